#include "tests/sim/scenario.hpp"

namespace cohort::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(Registration, SucceedsUnderThirtyPercentLoss) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    auto options = scenario_options(6);
    options.seed = seed;
    options.link.loss_permille = 300;
    Scenario scenario(options);
    scenario.group.boot();
    scenario.expect_converged(minutes(5));
  }
}

TEST(Registration, WithCertificatesAndSmallFragments) {
  auto options = scenario_options(4);
  options.certificates = true;
  options.fragment_size = 600;
  options.link.mtu = 620;  // anything that was not cut to size vanishes
  options.link.loss_permille = 50;
  Scenario scenario(options);
  scenario.group.boot();
  scenario.expect_converged(minutes(5));
}

TEST(Registration, OfEverybodyAtOnceIsNoStorm) {
  auto options = scenario_options(100, seconds(5));
  options.link.delay_max = milliseconds(40);
  Scenario scenario(options);
  scenario.oracles.limits.expect_quiet(true);
  scenario.settle(minutes(2));
  EXPECT_EQ(scenario.registrations(), 100u);
  scenario.lose_nothing();
  scenario.group.run_for(seconds(30));
}

TEST(Registration, AmidARekeyLosesNoPacket) {
  for (const auto wait : {milliseconds(1), milliseconds(3000), milliseconds(18'000)}) {
    Scenario scenario(scenario_options(4, milliseconds(20)));
    scenario.settle();
    scenario.group.member(3).crash();
    scenario.group.rekey();
    scenario.group.run_for(wait);
    scenario.group.member(3).boot();
    EXPECT_TRUE(scenario.group.run_until(
        [&] { return scenario.group.member(3).dataplane.can_send(); }, minutes(1)));
    scenario.group.run_for(milliseconds(30));  // what was sent to it before
    scenario.lose_nothing();
    scenario.group.run_for(rekey_bound(scenario.group.options()));
    EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  }
}

TEST(Registration, OfAnUnauthorizedMemberIsRefused) {
  auto options = scenario_options(3);
  options.certificates = true;
  Scenario scenario(options);
  scenario.group.authority().revoke("gm3");
  scenario.group.boot();
  scenario.group.run_for(minutes(3));
  EXPECT_TRUE(scenario.group.member_status(0)->registered);
  EXPECT_TRUE(scenario.group.member_status(1)->registered);
  EXPECT_FALSE(scenario.group.member_status(2)->registered);
  EXPECT_FALSE(scenario.group.member(2).dataplane.can_send());
}

TEST(Rekey, OfTheTekLosesNoPacket) {
  auto options = scenario_options(4, milliseconds(20));
  options.link.delay_max = milliseconds(300);
  Scenario scenario(options);
  scenario.settle();
  scenario.lose_nothing();
  const auto before = scenario.group.member(0).dataplane.sending_spi();
  scenario.group.rekey();
  scenario.group.run_for(rekey_bound(scenario.group.options()));
  EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  EXPECT_NE(scenario.group.member(0).dataplane.sending_spi(), before);
  EXPECT_EQ(scenario.registrations(), 4u);
  EXPECT_GT(scenario.group.traffic().count(Fate::accepted), 10'000u);
}

TEST(Rekey, OfTheKekLosesNoPacketAndTheNextOneStillArrives) {
  Scenario scenario(scenario_options(4, milliseconds(20)));
  scenario.settle();
  scenario.lose_nothing();
  const auto before = scenario.group.server_status()->kek->spi;
  scenario.group.rekey(true);
  scenario.group.run_for(rekey_bound(scenario.group.options()));
  EXPECT_NE(scenario.group.server_status()->kek->spi, before);
  EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  scenario.group.rekey();
  scenario.group.run_for(rekey_bound(scenario.group.options()));
  EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  EXPECT_EQ(scenario.registrations(), 4u);
}

TEST(Rekey, ByTimeGoesOnForManyLivesWithoutALossOrARegistration) {
  Scenario scenario(scenario_options(3, milliseconds(200)));
  scenario.settle();
  scenario.lose_nothing();
  scenario.oracles.limits.expect_quiet(true);
  scenario.group.run_for(seconds(600) * 8);
  EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  EXPECT_EQ(scenario.registrations(), 3u);
  EXPECT_GT(scenario.oracles.sequence.acknowledgements(), 3u * 8);
}

TEST(Rekey, WithLossIsRepairedByRetransmission) {
  auto options = scenario_options(6, milliseconds(50));
  options.policy.rekey.retransmit_number = 8;
  options.policy.rekey.retransmit_interval = seconds(2);
  Scenario scenario(options);
  scenario.settle();
  auto lossy = options.link;
  lossy.loss_permille = 300;
  scenario.group.network().set_default(lossy);
  scenario.lose_nothing();
  for (int i = 0; i < 3; ++i) {
    scenario.group.rekey();
    scenario.group.run_for(rekey_bound(options));
    EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  }
  EXPECT_EQ(scenario.registrations(), 6u);
}

TEST(Rekey, DuplicatedAndReorderedIsTakenOnce) {
  auto options = scenario_options(4, milliseconds(50));
  options.policy.activation_delay = seconds(20);
  Scenario scenario(options);
  scenario.settle();
  auto wild = options.link;
  wild.delay_min = milliseconds(1);
  wild.delay_max = seconds(4);
  wild.duplicate_permille = 800;
  wild.replay_permille = 500;
  scenario.group.network().set_default(wild);
  scenario.lose_nothing();
  for (int i = 0; i < 4; ++i) {
    scenario.group.rekey(i == 2);
    scenario.group.run_for(seconds(8));  // the next before the last has ended
  }
  scenario.group.run_for(rekey_bound(options));
  EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  EXPECT_EQ(scenario.registrations(), 4u);
}

TEST(Rekey, ByMulticastReachesEverybody) {
  auto options = scenario_options(5, milliseconds(50));
  options.policy.rekey.transport = gdoi::RekeyTransport::multicast;
  options.policy.rekey.multicast_destination = Endpoint{IpAddress::v4(0xef000101), 848};
  Scenario scenario(options);
  scenario.settle();
  scenario.lose_nothing();
  for (const bool kek : {false, true, false}) {
    scenario.group.rekey(kek);
    scenario.group.run_for(rekey_bound(options));
    EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  }
  EXPECT_EQ(scenario.registrations(), 5u);
}

TEST(Rekey, ThatAMemberNeverHearsMakesItRegisterInTime) {
  auto options = scenario_options(3, milliseconds(200));
  Scenario scenario(options);
  scenario.settle();
  const auto deaf = Group::member_address(2);
  scenario.group.network().add_filter([&](const Datagram& datagram) {
    return !(Scenario::is(datagram, ike::ExchangeType::groupkey_push) &&
             datagram.remote.address == deaf);
  });
  const auto before = scenario.group.member_status(2)->registrations_succeeded;
  scenario.group.run_for(seconds(620));
  const auto after = scenario.group.member_status(2);
  EXPECT_GT(after->registrations_succeeded, before);
  EXPECT_TRUE(after->registered);
  EXPECT_TRUE(scenario.group.member(2).dataplane.can_send());
}

/// Members hear of a change one after the other: which packets are on their way then is chance.
TEST(Policy, ChangeLosesNoPacket) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    auto options = scenario_options(4, milliseconds(20));
    options.seed = seed;
    Scenario scenario(options);
    scenario.settle();
    scenario.lose_nothing();
    for (unsigned variant = 1; variant <= 4; ++variant) {
      scenario.group.update_policy(variant_of(scenario.group.policy(), variant));
      scenario.group.run_for(rekey_bound(scenario.group.options()) +
                             scenario.group.policy().deactivation_delay);
      EXPECT_TRUE(scenario.group.converged()) << variant << ": " << scenario.group.describe();
    }
    EXPECT_EQ(scenario.registrations(), 4u);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(KeyServer, RestartedMidRekeyGoesOnWithTheSameKeys) {
  for (const auto downtime : {milliseconds(200), milliseconds(8000)}) {
    Scenario scenario(scenario_options(4, milliseconds(50)));
    scenario.settle();
    scenario.lose_nothing();
    const auto kek = scenario.group.server_status()->kek->spi;
    scenario.group.rekey();
    scenario.group.run_for(milliseconds(12));  // some have it
    scenario.group.server().crash();
    scenario.group.run_for(downtime);
    scenario.group.server().boot();
    scenario.group.run_for(rekey_bound(scenario.group.options()));
    ASSERT_NE(scenario.group.server_status(), nullptr);
    EXPECT_EQ(scenario.group.server_status()->kek->spi, kek);
    EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
    scenario.group.rekey();
    scenario.group.run_for(rekey_bound(scenario.group.options()));
    EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
    EXPECT_EQ(scenario.registrations(), 4u);
  }
}

TEST(KeyServer, ThatDiesBeforeItsRekeyIsSignedSendsItLater) {
  Scenario scenario(scenario_options(4, milliseconds(50)));
  scenario.settle();
  scenario.lose_nothing();
  scenario.group.server().set_job_time(milliseconds(50), milliseconds(50));
  scenario.group.rekey();
  scenario.group.run_for(milliseconds(20));  // made and stored, not yet signed
  scenario.group.server().crash();
  scenario.group.run_for(seconds(2));
  scenario.group.server().boot();
  scenario.group.run_for(rekey_bound(scenario.group.options()));
  EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  EXPECT_EQ(scenario.registrations(), 4u);
}

TEST(KeyServer, DownForLongerThanTheKeysLiveStartsOver) {
  auto options = scenario_options(3, milliseconds(200));
  Scenario scenario(options);
  scenario.settle();
  scenario.group.server().crash();
  scenario.group.run_for(seconds(2000));  // TEK and KEK have ended everywhere
  for (std::size_t i = 0; i < 3; ++i) EXPECT_FALSE(scenario.group.member(i).dataplane.can_send());
  scenario.group.server().boot();
  scenario.expect_converged(minutes(5));
}

TEST(KeyServer, WithAFullDiskSendsNothingItCouldForget) {
  Scenario scenario(scenario_options(3, milliseconds(50)));
  scenario.settle();
  scenario.group.server().store.set_faults({.put_error_permille = 1000});
  const auto sent = scenario.oracles.sequence.pushes();
  scenario.group.rekey();
  scenario.group.run_for(seconds(60));
  EXPECT_EQ(scenario.oracles.sequence.pushes(), sent);
  scenario.group.server().store.set_faults({});
  scenario.group.rekey();
  scenario.group.run_for(rekey_bound(scenario.group.options()));
  EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
}

TEST(KeyServer, WhoseDiskFailedOnceLendsNoSenderIdTwice) {
  Scenario scenario(scenario_options(3, milliseconds(20)));
  scenario.group.boot_servers();
  scenario.group.server().store.set_faults({.put_error_permille = 1000});
  scenario.group.boot_members();
  scenario.group.run_for(seconds(2));  // registrations fail, since nothing can be reserved
  scenario.group.server().store.set_faults({});
  scenario.expect_converged(minutes(3));
  scenario.group.traffic().start();
  scenario.group.run_for(seconds(1));
  scenario.group.server().crash();
  scenario.group.server().boot();
  scenario.group.member(1).crash();
  scenario.group.member(1).boot();
  scenario.expect_converged(minutes(3));
  scenario.group.run_for(seconds(5));  // the nonce oracle watches
}

TEST(KeyServer, WithATornDiskRefusesToServe) {
  Scenario scenario(scenario_options(2));
  scenario.settle();
  scenario.group.server().crash();
  auto image = scenario.group.server().store.image();
  ASSERT_FALSE(image.empty());
  for (const auto& [name, value] : image) scenario.group.server().store.tear(name);
  scenario.group.server().boot();
  ASSERT_NE(Group::program(scenario.group.server()), nullptr);
  EXPECT_TRUE(Group::program(scenario.group.server())->failed.has_value())
      << "it must not begin anew over a state that it can't read";
}

TEST(Member, RebootedGetsFreshSenderIds) {
  auto options = scenario_options(3, milliseconds(20));
  options.sender_ids = 2;
  Scenario scenario(options);
  scenario.settle();
  for (int i = 0; i < 3; ++i) {
    scenario.group.member(1).crash();
    scenario.group.run_for(seconds(3));
    scenario.group.member(1).boot();
    scenario.expect_converged(minutes(2));
    scenario.group.run_for(seconds(5));  // the nonce oracle watches
  }
}

TEST(Member, RemovedReadsNothingMadeSinceAndIsReplacedByNobody) {
  Scenario scenario(scenario_options(4, milliseconds(50)));
  scenario.settle();
  ASSERT_TRUE(scenario.group.remove_member(3));
  scenario.group.run_for(minutes(2));
  EXPECT_TRUE(scenario.group.converged()) << scenario.group.describe();
  const auto newest = scenario.group.member(0).dataplane.sending_spi();
  const auto spis = scenario.group.member(3).dataplane.spis();
  EXPECT_EQ(std::count(spis.begin(), spis.end(), newest), 0);
  EXPECT_FALSE(scenario.group.removals().at(3).known.contains(newest));
  scenario.group.admit_member(3);
  scenario.expect_converged(minutes(5));
}

TEST(Member, CutOffForLongerThanItsKeysLiveHoldsNoneOfThem) {
  auto options = scenario_options(3, milliseconds(200));
  Scenario scenario(options);
  scenario.settle();
  scenario.group.network().isolate(Group::member_address(0), true, true);
  scenario.group.run_for(seconds(700));  // the lifetime oracle watches
  EXPECT_FALSE(scenario.group.member(0).dataplane.can_send());
  scenario.group.network().heal();
  scenario.expect_converged(minutes(4));
}

TEST(Member, ThatHearsNothingButIsHeardComesBack) {
  Scenario scenario(scenario_options(3, milliseconds(200)));
  scenario.settle();
  scenario.group.network().isolate(Group::member_address(1), true, false);
  scenario.group.run_for(minutes(12));
  scenario.group.network().heal();
  scenario.expect_converged(minutes(4));
}

TEST(Group, OfTwoWithCounterReplayDropsCopiesOnly) {
  auto options = scenario_options(2, milliseconds(20));
  options.traffic.duplicate_permille = 200;
  Scenario scenario(options);
  scenario.settle();
  scenario.lose_nothing();
  scenario.group.rekey();
  scenario.group.run_for(rekey_bound(options));
  const auto& traffic = scenario.group.traffic();
  EXPECT_GT(traffic.count(Fate::replayed), 100u);
  EXPECT_GE(traffic.count(Fate::accepted) + 10, traffic.offered());
}

TEST(Group, DriftingAndSteppingClocksCostNothing) {
  auto options = scenario_options(4, milliseconds(100));
  options.drift_ppm_max = 200;
  Scenario scenario(options);
  scenario.settle();
  scenario.lose_nothing();
  for (int i = 0; i < 12; ++i) {
    scenario.group.member(static_cast<std::size_t>(i) % 4)
        .clock.step_wall(std::chrono::hours(i % 2 == 0 ? 30 : -31));
    scenario.group.run_for(seconds(150));
  }
  EXPECT_EQ(scenario.registrations(), 4u);
}

GroupOptions options_by_time(unsigned members) {
  auto options = scenario_options(members, milliseconds(100));
  options.drift_ppm_max = 200;
  options.policy.sas.front().replay = dataplane::ReplayKind::time;
  options.policy.sas.front().replay_window = 4000;
  options.traffic.replay_permille = 200;
  return options;
}

/// Nor do old packets that somebody plays to them again.
TEST(Group, ByTimeDriftingAndSteppingClocksCostNothing) {
  auto options = options_by_time(4);
  // Nothing but the time is told meanwhile.
  options.policy.sas.front().lifetime = std::chrono::hours(10);
  options.policy.rekey.lifetime = std::chrono::hours(10);
  Scenario scenario(options);
  scenario.settle();
  scenario.lose_nothing();
  for (int i = 0; i < 8; ++i) {
    scenario.group.member(static_cast<std::size_t>(i) % 4)
        .clock.step_wall(std::chrono::hours(i % 2 == 0 ? 30 : -31));
    scenario.group.run_for(std::chrono::minutes(30));
  }
  EXPECT_EQ(scenario.registrations(), 4u);
}

TEST(Group, ByTimeARestartOfAnybodyCostsNoKeyAndNoPacketAfterIt) {
  Scenario scenario(options_by_time(3));
  scenario.settle();
  for (const std::size_t i : {0u, 1u, 2u}) {
    scenario.group.member(i).crash();
    scenario.group.run_for(seconds(20));
    scenario.group.member(i).boot();
    scenario.group.run_for(seconds(20));
    scenario.group.server().crash();
    scenario.group.run_for(seconds(7));
    scenario.group.server().boot();
    scenario.group.run_for(seconds(60));
  }
  scenario.expect_converged(std::chrono::minutes(3));
  scenario.lose_nothing();
  scenario.group.rekey();
  scenario.group.run_for(std::chrono::minutes(15));
}

}  // namespace
}  // namespace cohort::sim
