#pragma once

#include <map>

#include "tests/sim/host.hpp"

/// Nodes of no use but to test the simulator itself.
namespace cohort::sim {

/// Sends a number to its peer every `period`, keeps the last one sent in the store, and remembers
/// what it heard. On "job" it posts a key generation.
class ToyNode final : public Node {
 public:
  ToyNode(World& world, IpAddress self, IpAddress peer, Duration period)
      : world_(world), self_(self), peer_(peer), period_(period) {
    if (const auto kept = world_.store.get("toy"); kept && *kept) {
      Reader in(**kept);
      next_ = in.u32() + 1;
    }
    deadline_ = world_.clock.now() + period_;
  }

  void on_datagram(TimePoint, const Datagram& datagram) override {
    Reader in(datagram.payload);
    const auto number = in.u32();
    if (!in.ok() || !in.empty()) {
      ++malformed;
    } else {
      ++heard[number];
    }
  }
  void on_timer(TimePoint now) override {
    ++timers;
    deadline_ = now + period_;
    Writer number;
    number.u32(next_++);
    if (!world_.store.put("toy", number.view())) return;
    world_.outbox.send({{self_, 848}, {peer_, 848}, to_bytes(number.view())});
    if (next_ % 8 == 0) (void)world_.jobs.post(DhGenerateJob{crypto::DhGroup::ecp256});
  }
  [[nodiscard]] TimePoint next_deadline() const override { return deadline_; }
  void on_job_done(TimePoint, JobId, JobResult result) override {
    if (result) keys.push_back(to_bytes(std::get<1>(*result)->public_value()));
  }

  std::map<std::uint32_t, unsigned> heard;
  std::vector<Bytes> keys;
  unsigned timers = 0;
  unsigned malformed = 0;

 private:
  World& world_;
  IpAddress self_, peer_;
  Duration period_;
  TimePoint deadline_;
  std::uint32_t next_ = 1;
};

class ToyProgram final : public Program {
 public:
  ToyProgram(Host& host, IpAddress peer, Duration period)
      : port(host.open_port()), node(port.world(), host.address(), peer, period) {
    port.node = &node;
    port.listens = true;
  }
  NodePort& port;
  ToyNode node;
};

/// Two toy hosts that talk to each other.
struct ToyPair {
  explicit ToyPair(std::uint64_t seed, Duration period = std::chrono::milliseconds(100),
                   int drift_ppm = 0)
      : outside(seed, false), authority(seed) {
    const IpAddress addresses[] = {IpAddress::v4(0x0a000001), IpAddress::v4(0x0a000002)};
    for (int i = 0; i < 2; ++i) {
      HostOptions options;
      options.name = i == 0 ? "a" : "b";
      options.address = addresses[i];
      options.drift_ppm = i == 0 ? drift_ppm : 0;
      hosts.push_back(std::make_unique<Host>(
          outside, options,
          [peer = addresses[1 - i], period](Host& host) {
            return std::make_unique<ToyProgram>(host, peer, period);
          },
          std::make_unique<SimCredentials>(authority, addresses[i], [] { return WallTime{}; })));
    }
  }
  void boot() {
    for (auto& host : hosts) host->boot();
  }
  ToyNode& node(std::size_t i) { return dynamic_cast<ToyProgram*>(hosts[i]->program())->node; }
  Host& a() { return *hosts[0]; }
  Host& b() { return *hosts[1]; }

  Outside outside;
  Authority authority;
  std::vector<std::unique_ptr<Host>> hosts;
};

}  // namespace cohort::sim
