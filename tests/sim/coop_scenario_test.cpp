#include "tests/sim/scenario.hpp"

// Several key servers: what happens among them must not be felt by the members.
namespace cohort::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds tek_lifetime{600};

class CoopScenario : public Scenario {
 public:
  CoopScenario(unsigned servers, unsigned members, Duration interval = milliseconds(200),
               CoopSettings coop = {})
      : Scenario(options(servers, members, interval, coop)) {}

  static GroupOptions options(unsigned servers, unsigned members, Duration interval,
                              CoopSettings coop) {
    GroupOptions out = scenario_options(members, interval);
    out.key_servers = servers;
    out.coop = coop;
    out.echo = ::getenv("COOP_ECHO") != nullptr;
    out.coop.timers = {milliseconds(2000), milliseconds(4000), milliseconds(8000)};
    return out;
  }

  [[nodiscard]] bool one_primary() { return group.primaries().size() == 1; }
  /// Everybody has one primary and one epoch.
  [[nodiscard]] bool agreed() {
    std::set<coop::EpochId> epochs;
    for (std::size_t i = 0; i < group.servers(); ++i) {
      const auto* one = group.coop_group(i);
      if (one == nullptr || one->epoch() == nullptr) return false;
      epochs.insert(one->epoch()->id);
    }
    return one_primary() && epochs.size() == 1;
  }
  void expect_agreed(Duration limit = minutes(2)) {
    EXPECT_TRUE(group.run_until([&] { return agreed(); }, limit))
        << group.primaries().size() << " primaries\n"
        << group.outside().log.tail();
  }
  /// Servers of one side hear none of the other, nor do the members that chose them first.
  void part(const std::vector<std::size_t>& one, const std::vector<std::size_t>& other) {
    for (const std::size_t a : one) {
      for (const std::size_t b : other) {
        block_both(Group::server_address(a), Group::server_address(b));
        for (std::size_t m = 0; m < group.members(); ++m) {
          const std::size_t home = m % group.servers();
          if (home == a) block_both(Group::member_address(m), Group::server_address(b));
          if (home == b) block_both(Group::member_address(m), Group::server_address(a));
        }
      }
    }
  }
  void block_both(const IpAddress& a, const IpAddress& b) {
    group.network().block(a, b);
    group.network().block(b, a);
  }
};

TEST(CoopSim, FailoverLosesNoPacketAndNoMemberRegistersAgain) {
  CoopScenario story(2, 4);
  story.settle();
  story.expect_agreed();
  story.lose_nothing();
  story.group.server(0).crash();
  story.group.run_for(tek_lifetime * 4);
  EXPECT_EQ(story.group.primaries(), std::vector<std::size_t>{1});
  EXPECT_EQ(story.registrations(), 4u);
  EXPECT_GT(story.group.traffic().count(Fate::accepted), 10'000u);
}

TEST(CoopSim, ThePrimaryDiesAroundTheMomentOfARekey) {
  for (const auto offset : {milliseconds(-9'000), milliseconds(-500), milliseconds(5),
                            milliseconds(40), milliseconds(3'000), milliseconds(12'000)}) {
    SCOPED_TRACE(offset.count());
    CoopScenario story(2, 4);
    story.settle();
    story.lose_nothing();
    auto& server = story.group.server(0);
    const auto local = server.clock.now();
    const auto next = Group::program(server)->key_authority->next_change(local);
    story.group.run_for(next - local + offset);
    server.crash();
    story.group.run_for(tek_lifetime * 2);
    EXPECT_EQ(story.registrations(), 4u);
  }
}

TEST(CoopSim, SplitBrainForTenLifetimesAndHeal) {
  CoopScenario story(2, 4, milliseconds(500));
  story.settle();
  story.expect_agreed();
  story.lose_nothing();
  story.part({0}, {1});
  story.group.run_for(tek_lifetime * 10);
  EXPECT_EQ(story.group.primaries().size(), 2u);
  EXPECT_EQ(story.registrations(), 4u);
  story.group.network().heal();
  story.expect_agreed();
  story.group.run_for(seconds(5));
  for (const std::size_t i : {0u, 1u}) {
    EXPECT_EQ(story.group.coop_group(i)->replica().all(cohort::coop::Kind::member).size(), 4u);
    EXPECT_EQ(story.group.server_status(i)->members.size(), 4u);
  }
  story.group.run_for(tek_lifetime * 2);
  EXPECT_EQ(story.registrations(), 4u);
  EXPECT_TRUE(story.group.converged()) << story.group.describe();
}

TEST(CoopSim, ThreeWaySplit) {
  CoopScenario story(3, 6, milliseconds(500));
  story.settle();
  story.expect_agreed();
  story.lose_nothing();
  story.part({0}, {1, 2});
  story.part({1}, {2});
  story.group.run_for(tek_lifetime * 4);
  EXPECT_EQ(story.group.primaries().size(), 3u);
  story.group.network().heal();
  story.expect_agreed();
  story.group.run_for(tek_lifetime);
  EXPECT_EQ(story.registrations(), 6u);
}

TEST(CoopSim, EvictionInsideAPartitionNow) {
  CoopScenario story(2, 4, milliseconds(500));
  story.settle();
  story.expect_agreed();
  story.part({0}, {1});
  story.group.run_for(seconds(30));
  ASSERT_TRUE(story.group.remove_member(0));
  story.group.run_for(minutes(2));
  EXPECT_FALSE(story.group.member(0).dataplane.can_send());
  story.group.network().heal();
  story.expect_agreed();
  story.expect_converged(minutes(3));
}

TEST(CoopSim, EvictionInsideAPartitionAtMerge) {
  CoopSettings coop;
  coop.evict_in_partition = cohort::coop::EvictInPartition::at_merge;
  CoopScenario story(2, 4, milliseconds(500), coop);
  story.settle();
  story.expect_agreed();
  story.part({0}, {1});
  story.group.run_for(seconds(30));
  const auto spis = story.group.member(1).dataplane.sending_spi();
  auto* running = Group::program(story.group.server(0));
  const auto victim = story.group.server_status()->members.at(0).id;
  EXPECT_FALSE(
      running->key_server->remove_member(story.group.server(0).clock.now(), group_name, victim));
  story.group.run_for(seconds(60));
  EXPECT_EQ(story.group.member(1).dataplane.sending_spi(), spis);
  story.group.network().heal();
  EXPECT_TRUE(story.group.run_until(
      [&] { return story.agreed() && story.group.coop_group(0)->epoch()->number > 1; },
      minutes(3)));
}

TEST(CoopSim, AsymmetricLink) {
  CoopScenario story(2, 4);
  story.settle();
  story.expect_agreed();
  story.lose_nothing();
  story.group.network().block(Group::server_address(0), Group::server_address(1));
  story.group.run_for(tek_lifetime * 2);
  story.group.network().heal();
  story.expect_agreed();
  story.group.run_for(tek_lifetime);
  EXPECT_EQ(story.registrations(), 4u);
}

TEST(CoopSim, FlappingLink) {
  CoopScenario story(2, 4);
  story.settle();
  story.expect_agreed();
  story.lose_nothing();
  for (int i = 0; i < 40; ++i) {
    story.part({0}, {1});
    story.group.run_for(seconds(3 + i % 17));
    story.group.network().heal();
    story.group.run_for(seconds(2 + i % 11));
  }
  story.expect_agreed();
  story.group.run_for(tek_lifetime);
  EXPECT_EQ(story.registrations(), 4u);
}

TEST(CoopSim, RollingRestart) {
  CoopScenario story(3, 6);
  story.settle();
  story.expect_agreed();
  story.lose_nothing();
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < 3; ++i) {
      story.group.server(i).crash();
      story.group.run_for(seconds(20));
      story.group.server(i).boot();
      story.expect_agreed();
      story.group.run_for(seconds(40));
    }
  }
  story.group.run_for(tek_lifetime);
  EXPECT_EQ(story.registrations(), 6u);
}

TEST(CoopSim, AllServersRestartAtOnce) {
  CoopScenario story(2, 4);
  story.settle();
  story.expect_agreed();
  story.lose_nothing();
  for (std::size_t i = 0; i < 2; ++i) story.group.server(i).crash();
  story.group.run_for(seconds(30));
  for (std::size_t i = 0; i < 2; ++i) story.group.server(i).boot();
  story.expect_agreed();
  story.group.run_for(tek_lifetime * 2);
  EXPECT_EQ(story.registrations(), 4u);
}

TEST(CoopSim, RestoreFromAnOldDiskImage) {
  CoopScenario story(2, 4);
  story.settle();
  story.expect_agreed();
  const auto image = story.group.server(1).store.image();
  story.group.clear_members();  // new keys, and sender ids begin anew
  story.expect_converged(minutes(3));
  story.group.run_for(tek_lifetime);
  story.group.server(1).crash();
  story.group.server(1).store.restore(image);
  story.group.server(1).boot();
  story.expect_agreed();
  // Who registers there now must get sender ids that nobody has.
  story.group.member(1).crash();
  story.group.run_for(seconds(1));
  story.group.member(1).boot();
  story.expect_converged(minutes(3));
  story.lose_nothing();
  story.group.run_for(tek_lifetime * 2);
  EXPECT_TRUE(story.group.converged()) << story.group.describe();
}

TEST(CoopSim, ASuspendedPrimaryComesBackAsASecondary) {
  CoopScenario story(2, 4);
  story.settle();
  story.expect_agreed();
  story.lose_nothing();
  story.group.server(0).pause();
  story.group.run_for(seconds(60));
  EXPECT_TRUE(story.group.coop_group(1)->primary());
  story.group.server(0).resume();
  story.expect_agreed();
  story.group.run_for(tek_lifetime);
  EXPECT_EQ(story.registrations(), 4u);
}

TEST(CoopSim, ThreeServersAndManyMembersBootAtOnce) {
  CoopScenario story(3, 60, seconds(5));
  story.settle(minutes(5));
  story.expect_agreed();
  story.lose_nothing();
  story.group.run_for(seconds(60));
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(story.group.server_status(i)->members.size(), 60u) << i;
}

}  // namespace
}  // namespace cohort::sim
