#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/world/world.hpp"
#include "tests/sim/credentials.hpp"
#include "tests/sim/dataplane.hpp"
#include "tests/sim/network.hpp"
#include "tests/sim/observer.hpp"
#include "tests/sim/store.hpp"

namespace cohort::sim {

/// What all hosts of a run share.
struct Outside {
  Scheduler scheduler;
  EventLog log;
  Prng prng;
  Network network;
  Judge judge;

  Outside(std::uint64_t seed, bool echo)
      : log(300, echo), prng(seed), network(scheduler, log, prng.fork("network")) {}
};

/// A host's clocks. The monotonic one starts anywhere at each boot and runs at its own rate; the
/// wall clock can be stepped. Protocol code must live with both.
class SimClock final : public Clock {
 public:
  explicit SimClock(const Scheduler& scheduler) : scheduler_(scheduler) {}

  [[nodiscard]] TimePoint now() const override { return local(scheduler_.now()); }
  [[nodiscard]] WallTime wall() const override;

  /// From now on: monotonic time continues at `start`, at (1 + drift_ppm / 10^6) of the true rate.
  void restart(TimePoint start, int drift_ppm);
  void step_wall(std::chrono::seconds by) { wall_offset_ += by; }
  [[nodiscard]] TimePoint local(TimePoint global) const;
  /// The earliest true instant at which the host's clock has reached `local`.
  [[nodiscard]] TimePoint global(TimePoint local) const;

 private:
  const Scheduler& scheduler_;
  TimePoint base_global_{};
  TimePoint base_local_{};
  int drift_ppm_ = 0;
  std::chrono::seconds wall_offset_{0};
};

class SimRandom final : public Random {
 public:
  explicit SimRandom(Prng prng) : prng_(prng) {}
  void fill(std::span<std::uint8_t> out) override;

 private:
  Prng prng_;
};

class Host;

/// One node's connection to its host: its own World, so that finished jobs find their way back.
class NodePort final : public CryptoJobs {
 public:
  NodePort(Host& host, std::uint64_t boot);
  JobId post(Job job) override;
  [[nodiscard]] World& world() { return world_; }

  Node* node = nullptr;     ///< set by the program once its node exists
  bool listens = false;     ///< receives the host's datagrams
  std::size_t pending = 0;  ///< jobs posted and not yet done

 private:
  Host& host_;
  std::uint64_t boot_;
  World world_;
};

/// What runs on a host between boot and crash: owns the nodes.
class Program {
 public:
  virtual ~Program() = default;
};
using ProgramFactory = std::function<std::unique_ptr<Program>(Host&)>;

struct HostOptions {
  std::string name;
  IpAddress address;
  int drift_ppm = 0;
  Duration job_time_min = std::chrono::microseconds(200);
  Duration job_time_max = std::chrono::milliseconds(2);
  Duration timer_late_max = std::chrono::microseconds(500);
  unsigned job_error_permille = 0;  ///< public-key work that fails for no reason
};

/// A machine: its clocks, randomness, disk, credentials and workers, and the program on it. Drives
/// the program's nodes as the daemon's event loop does.
class Host final : public Outbox {
 public:
  Host(Outside& outside, HostOptions options, ProgramFactory factory,
       std::unique_ptr<Credentials> credentials);
  ~Host() override;

  /// The program, or with it the machine if its disk has lost its witness.
  void boot();
  /// The program is gone at once; disk and credentials stay. Nothing it had begun takes effect.
  void crash();
  [[nodiscard]] bool up() const { return program_ != nullptr && !dying_; }
  /// A paused host (SIGSTOP) handles nothing; what came meanwhile is handled on resume.
  void pause();
  void resume();
  [[nodiscard]] bool paused() const { return paused_; }
  /// When it was last paused no more; its timers need a moment to catch up.
  [[nodiscard]] TimePoint resumed() const { return resumed_; }
  /// How old a datagram can be that it takes for new, since it waited in the socket.
  [[nodiscard]] Duration longest_pause() const { return longest_pause_; }

  /// For the program's constructor: a World for one node.
  NodePort& open_port();

  [[nodiscard]] Program* program() { return dying_ ? nullptr : program_.get(); }
  [[nodiscard]] const HostOptions& options() const { return options_; }
  [[nodiscard]] const std::string& name() const { return options_.name; }
  [[nodiscard]] const IpAddress& address() const { return options_.address; }
  [[nodiscard]] std::uint64_t boots() const { return boot_; }
  [[nodiscard]] Duration downtime() const { return downtime_; }  ///< between boots
  [[nodiscard]] std::size_t pending_jobs() const;

  Outside& outside;
  SimClock clock;
  SimRandom entropy;
  SimStore store;
  std::unique_ptr<Credentials> credentials;
  SimDataplane dataplane;
  /// The Worlds handed out refer to these; an impairment puts its own in front before boot().
  Store* store_seen;
  Dataplane* dataplane_seen;
  Random* random_seen;
  void set_job_time(Duration min, Duration max);

  /// Calls the program from outside (an operator's command), as the event loop would: `call` runs
  /// now, or not at all when the host is down or paused.
  void call(const std::function<void()>& call);

  void send(Datagram datagram) override;
  void report(Event event) override;
  void refuse(Refusal refusal) override;

 private:
  friend class NodePort;
  void on_datagram(const Datagram& datagram);
  void schedule_job(NodePort& port, std::uint64_t boot, JobId id, Job job);
  [[nodiscard]] JobResult work(const Job& job);
  void on_timer(std::uint64_t boot);
  /// After every call into a node: carry a death out, and arm the timer.
  void settle();
  void arm();

  HostOptions options_;
  ProgramFactory factory_;
  Prng prng_;
  std::vector<std::unique_ptr<NodePort>> ports_;
  std::unique_ptr<Program> program_;
  std::vector<std::function<void()>> waiting_;  ///< while paused
  std::uint64_t boot_ = 0;
  JobId next_job_ = 1;
  TimePoint armed_ = never;  ///< true time of the earliest timer event under way
  unsigned spins_ = 0;       ///< timer calls of this boot after which the node was due at once
  TimePoint paused_at_{}, resumed_{}, crashed_at_{};
  Duration longest_pause_{0}, downtime_{0};
  bool dying_ = false;
  bool paused_ = false;
  bool booting_ = false;
};

}  // namespace cohort::sim
