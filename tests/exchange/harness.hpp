#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "controlplane/world/provenance.hpp"
#include "tests/exchange/test_pki.hpp"

/// Whole nodes in one process, in virtual time: a clock that only moves when there is something to
/// do, randomness from a seed, a network that does what the test says, jobs that come back later.
namespace cohort::harness {

/// 2026-06-01T00:00:00Z, where every test's wall clock begins.
inline constexpr WallTime start_of_tests{std::chrono::seconds{1780272000}};

class VirtualClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override {
    return start_of_tests +
           std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch() -
                                                            start_.time_since_epoch()) +
           step_;
  }
  void advance_to(TimePoint when) { now_ = std::max(now_, when); }
  void step_wall(std::chrono::seconds by) { step_ += by; }

 private:
  static constexpr TimePoint start_{std::chrono::hours{1}};
  TimePoint now_ = start_;
  std::chrono::seconds step_{0};
};

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(std::span<std::uint8_t> out) override {
    for (auto& octet : out) octet = static_cast<std::uint8_t>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

inline constexpr Reason store_broken{"store_broken", "the test's store takes nothing"};

class MemoryStore final : public TracedStore {
 public:
  bool broken = false;  ///< writes fail
  /// What a start is told of all that is there; one that finds a copy is to be told otherwise.
  Provenance past = Provenance::latest;
  Status put(std::string_view name, ByteView value) override {
    if (broken) return fail(store_broken, std::string(name));
    blobs_[std::string(name)] = to_bytes(value);
    return {};
  }
  [[nodiscard]] Result<std::optional<Bytes>> get(std::string_view name) const override {
    const auto found = blobs_.find(std::string(name));
    if (found == blobs_.end()) return std::optional<Bytes>{};
    return std::optional<Bytes>{found->second};
  }
  Status remove(std::string_view name) override {
    blobs_.erase(std::string(name));
    return {};
  }
  [[nodiscard]] Provenance provenance(std::string_view name) const override {
    return blobs_.contains(std::string(name)) ? past : Provenance::unknown;
  }

 private:
  std::map<std::string, Bytes> blobs_;
};

/// Remembers what it was told to install.
class RecordingDataplane final : public Dataplane {
 public:
  Status apply(std::string_view port_pair, dataplane::Snapshot snapshot) override {
    ++applied;
    snapshots[std::string(port_pair)] = std::move(snapshot);
    return {};
  }
  [[nodiscard]] dataplane::Usage usage(std::string_view port_pair) const override {
    const auto found = usages.find(std::string(port_pair));
    return found == usages.end() ? dataplane::Usage{} : found->second;
  }
  std::map<std::string, dataplane::Snapshot> snapshots;
  std::map<std::string, dataplane::Usage> usages;  ///< set by the test
  unsigned applied = 0;
};

class Net;

/// One machine: an address, a World, and the nodes that run on it.
class Host final : public Outbox, public CryptoJobs {
 public:
  Host(Net& net, IpAddress address, std::uint64_t seed);

  /// Datagrams to `port` go to `node`; the host's timers and jobs too. The node must outlive the
  /// host's use: call unbind() before it goes.
  void bind(std::uint16_t port, Node& node);
  void unbind(Node& node);

  [[nodiscard]] const IpAddress& address() const { return address_; }
  [[nodiscard]] Endpoint at(std::uint16_t port) const { return {address_, port}; }
  [[nodiscard]] std::size_t count(const EventKind& kind) const;
  [[nodiscard]] std::size_t count(const Reason& reason) const;  ///< refusals

  void send(Datagram datagram) override;
  void report(Event event) override { events.push_back(std::move(event)); }
  void refuse(Refusal refusal) override { refusals.push_back(std::move(refusal)); }
  void join_multicast(const IpAddress& group, const IpAddress&) override {
    multicast_groups.push_back(group);
  }
  void leave_multicast(const IpAddress& group, const IpAddress&) override {
    std::erase(multicast_groups, group);
  }
  JobId post(Job job) override;

 private:
  friend class Net;
  Net& net_;
  IpAddress address_;
  SeededRandom random_;

 public:
  TestCredentials credentials;
  MemoryStore store;
  RecordingDataplane dataplane;
  World world;
  std::vector<Event> events;
  std::vector<Refusal> refusals;
  std::vector<IpAddress> multicast_groups;  ///< that the host has joined
  unsigned verified = 0;                    ///< signatures that it has checked

 private:
  std::multimap<std::uint16_t, Node*> ports_;
  std::vector<Node*> nodes_;
};

/// What the network does with a datagram: `local` is the sender's end, `remote` the destination.
struct Fate {
  unsigned copies = 1;  ///< 0 loses it
  Duration extra_delay{0};
  std::optional<Bytes> payload = {};  ///< delivered in place of the original
};

/// The network and the virtual time of all its hosts.
class Net {
 public:
  explicit Net(std::uint64_t seed = 1) : seed_(seed) {}
  Host& add_host(std::string_view address);

  /// Decides over each datagram; by default each arrives once, after the latency.
  std::function<Fate(const Datagram&)> fate;
  /// A datagram as if `from` had sent it; not subject to `fate`.
  void inject(const Endpoint& from, const Endpoint& to, Bytes payload);

  [[nodiscard]] TimePoint now() const { return clock.now(); }
  /// Delivers everything that is due until `duration` has passed; the clock ends there.
  void run_for(Duration duration);
  /// Runs until `condition` holds or `limit` has passed; true if it holds.
  bool run_until(const std::function<bool()>& condition, Duration limit = std::chrono::minutes{10});

  VirtualClock clock;
  Duration latency = std::chrono::milliseconds{1};
  Duration job_time = std::chrono::microseconds{200};
  std::vector<Datagram> sent;  ///< everything that nodes sent, before its fate

 private:
  friend class Host;
  struct Arrival {
    TimePoint when;
    std::uint64_t order;
    std::function<void(TimePoint)> deliver;
    bool operator>(const Arrival& other) const {
      return std::tie(when, order) > std::tie(other.when, other.order);
    }
  };
  void carry(const Host& from, Datagram datagram);
  void deliver(const Datagram& datagram);
  void at(TimePoint when, std::function<void(TimePoint)> what);
  [[nodiscard]] TimePoint next_time() const;
  void step(TimePoint when);

  std::uint64_t seed_;
  std::uint64_t order_ = 0;
  JobId last_job_ = 0;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::priority_queue<Arrival, std::vector<Arrival>, std::greater<>> queue_;
};

}  // namespace cohort::harness
