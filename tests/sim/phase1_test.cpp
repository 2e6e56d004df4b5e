#include <gtest/gtest.h>
#include <map>

#include "controlplane/ike/isakmp.hpp"
#include "tests/sim/host.hpp"

/// IKEv1 phase 1 alone in a bad world: one responder, many initiators that want an SA at all times.
namespace cohort::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint16_t port_number = 848;
const IpAddress responder_address = IpAddress::v4(0x0aff0001);

struct Phase1Options {
  std::uint64_t seed = 1;
  unsigned initiators = 5;
  bool certificates = false;
  crypto::DhGroup group = crypto::DhGroup::ecp256;
  std::size_t fragment_size = 1280;
  std::chrono::seconds lifetime{86'400};
};

ike::IsakmpOptions isakmp_options(const Phase1Options& options, const IpAddress& local) {
  ike::IsakmpOptions isakmp;
  isakmp.local = {local, port_number};
  ike::Phase1Policy policy;
  policy.group = options.group;
  policy.lifetime = options.lifetime;
  policy.auth =
      options.certificates ? ike::AuthMethod::rsa_signature : ike::AuthMethod::pre_shared_key;
  isakmp.policies = {policy};
  isakmp.trustpoint = "sim";
  isakmp.fragment_size = options.fragment_size;
  isakmp.dpd = {ike::DpdOptions::Mode::periodic, seconds(10), seconds(2), 3};
  return isakmp;
}

/// An Isakmp, and what it has told; an initiator starts again a second after a failure.
class Phase1Program final : public Program, public Node, public ike::ExchangeHandler {
 public:
  Phase1Program(Host& host, const Phase1Options& options, bool initiator) : initiator_(initiator) {
    auto& port = host.open_port();
    isakmp = std::make_unique<ike::Isakmp>(port.world(), isakmp_options(options, host.address()));
    isakmp->attach(ike::ExchangeType::none, *this);
    if (initiator_) wanted_ = host.clock.now();
    port.node = this;
    port.listens = true;
  }
  void on_phase1_established(TimePoint, const ike::Phase1Info&) override { ++established; }
  void on_phase1_closed(TimePoint now, ike::Phase1Id, const Error&) override {
    ++closed;
    if (initiator_) wanted_ = now + seconds(1);
  }
  void on_datagram(TimePoint now, const Datagram& datagram) override {
    isakmp->on_datagram(now, datagram);
  }
  void on_timer(TimePoint now) override {
    if (wanted_ <= now) {
      wanted_ = never;
      (void)isakmp->initiate(now, {responder_address, port_number});
    }
    if (isakmp->next_deadline() <= now) isakmp->on_timer(now);
  }
  [[nodiscard]] TimePoint next_deadline() const override {
    return std::min(wanted_, isakmp->next_deadline());
  }
  void on_job_done(TimePoint now, JobId id, JobResult result) override {
    isakmp->on_job_done(now, id, std::move(result));
  }

  unsigned established = 0;
  unsigned closed = 0;

 private:
  bool initiator_;
  TimePoint wanted_ = never;

 public:
  std::unique_ptr<ike::Isakmp> isakmp;  ///< goes before the handler
};

struct Star {
  explicit Star(const Phase1Options& options) : outside(options.seed, false), authority(1) {
    hosts.push_back(make(options, "hub", responder_address, false));
    for (std::uint32_t i = 0; i < options.initiators; ++i) {
      hosts.push_back(
          make(options, "spoke" + std::to_string(i), IpAddress::v4(0x0a000001 + i), true));
    }
  }
  ~Star() {
    for (auto& host : hosts) host->crash();
  }
  std::unique_ptr<Host> make(const Phase1Options& options, std::string name, IpAddress address,
                             bool initiator) {
    auto credentials = std::make_unique<SimCredentials>(
        authority, address, [] { return WallTime{seconds(1'900'000'000)}; });
    if (options.certificates) {
      credentials->share_keys(false);
      credentials->enrol({name, "unit", WallTime{seconds(2'500'000'000)}});
    }
    HostOptions host;
    host.name = std::move(name);
    host.address = address;
    return std::make_unique<Host>(
        outside, host,
        [options, initiator](Host& self) {
          return std::make_unique<Phase1Program>(self, options, initiator);
        },
        std::move(credentials));
  }
  void boot() {
    for (auto& host : hosts) host->boot();
  }
  Phase1Program& program(std::size_t i) {
    return dynamic_cast<Phase1Program&>(*hosts[i]->program());
  }
  /// Every initiator has an SA that the responder has, too.
  bool connected() {
    std::map<IpAddress, unsigned> known;
    for (const auto& info : program(0).isakmp->established()) ++known[info.remote.address];
    for (std::size_t i = 1; i < hosts.size(); ++i) {
      if (program(i).isakmp->established().empty() || known[hosts[i]->address()] == 0) return false;
    }
    return true;
  }
  bool connect_within(Duration limit) {
    const auto end = outside.scheduler.now() + limit;
    while (outside.scheduler.now() < end) {
      if (connected()) return true;
      outside.scheduler.run_for(milliseconds(100));
    }
    return connected();
  }

  Outside outside;
  Authority authority;
  std::vector<std::unique_ptr<Host>> hosts;
};

LinkOptions bad_link(unsigned loss_permille) {
  LinkOptions link;
  link.delay_min = milliseconds(2);
  link.delay_max = milliseconds(400);
  link.loss_permille = loss_permille;
  link.duplicate_permille = 200;
  link.corrupt_permille = 50;
  link.replay_permille = 100;
  return link;
}

TEST(Phase1, IsEstablishedThroughLossCopiesDamageAndReplay) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Phase1Options options;
    options.seed = seed;
    options.certificates = seed % 2 == 0;
    if (seed % 3 == 0) options.fragment_size = 600;
    Star star(options);
    star.outside.network.set_default(bad_link(250));
    star.boot();
    EXPECT_TRUE(star.connect_within(minutes(5))) << "seed " << seed << '\n'
                                                 << star.outside.log.tail();
    EXPECT_EQ(star.outside.judge.text(), "");
  }
}

TEST(Phase1, IsRepeatable) {
  const auto run = [](std::uint64_t seed) {
    Phase1Options options;
    options.seed = seed;
    options.certificates = true;
    Star star(options);
    star.outside.network.set_default(bad_link(200));
    star.boot();
    star.outside.scheduler.run_for(minutes(2));
    return star.outside.log.hash();
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Phase1, DeadPeerIsNoticedAndReplaced) {
  Star star({});
  star.boot();
  ASSERT_TRUE(star.connect_within(minutes(1)));
  star.hosts[0]->crash();
  star.outside.scheduler.run_for(seconds(5));
  star.hosts[0]->boot();
  star.outside.scheduler.run_for(minutes(1));
  EXPECT_TRUE(star.connected()) << star.outside.log.tail();
  for (std::size_t i = 1; i < star.hosts.size(); ++i) EXPECT_EQ(star.program(i).closed, 1u) << i;
}

TEST(Phase1, StaysBoundedThroughHoursOfBadWeather) {
  Phase1Options options;
  options.initiators = 8;
  options.lifetime = seconds(600);
  Star star(options);
  star.outside.network.set_default(bad_link(200));
  star.boot();
  for (int i = 0; i < 36; ++i) {
    star.outside.scheduler.run_for(minutes(5));
    EXPECT_LE(star.program(0).isakmp->established().size(), 8u * 4) << i;
    EXPECT_LE(star.hosts[0]->pending_jobs(), 64u);
    if (i % 6 == 5) {
      star.hosts[static_cast<std::size_t>(i) % 8 + 1]->crash();
      star.hosts[static_cast<std::size_t>(i) % 8 + 1]->boot();
    }
  }
  star.outside.network.set_default({});
  star.outside.scheduler.run_for(minutes(3));
  EXPECT_TRUE(star.connected()) << star.outside.log.tail();
  EXPECT_EQ(star.outside.judge.text(), "");
}

TEST(Phase1, OfTwoHundredAtOnceSettlesQuickly) {
  Phase1Options options;
  options.initiators = 200;
  Star star(options);
  star.boot();
  EXPECT_TRUE(star.connect_within(seconds(20)));
  EXPECT_LT(star.outside.network.counters().sent, 200u * 16);
}

}  // namespace
}  // namespace cohort::sim
