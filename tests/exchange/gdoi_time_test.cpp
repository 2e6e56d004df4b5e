#include "gdoi/group_clock.hpp"
#include "tests/exchange/gdoi_fixture.hpp"

/// Anti-replay by time: who is told the group's time, when, and who can't be.
namespace cohort::harness {
namespace {

using dataplane::ReplayKind;
using ike::ExchangeType;

class Time : public GdoiDialogue {
 protected:
  static gdoi::GroupPolicy by_time(gdoi::GroupPolicy policy = default_policy()) {
    policy.sas[0].replay = ReplayKind::time;
    policy.sas[0].replay_window = 4000;
    return policy;
  }
  Server& group_of(std::initializer_list<const char*> addresses,
                   const gdoi::GroupPolicy& policy = by_time()) {
    Server& server = add_server("10.9.0.2", policy);
    for (const char* address : addresses) add_member(address);
    EXPECT_TRUE(register_all()) << log();
    return server;
  }
  /// The key server's idea of the offset, which a member should have.
  [[nodiscard]] std::int64_t offset(Server& server) const {
    return static_cast<std::int64_t>(status(server).group_time_ms.value()) - gdoi::ms_of(net.now());
  }
  [[nodiscard]] static std::int64_t offset(Member& member) {
    return installed(member).group_time_offset_ms;
  }
  [[nodiscard]] static std::set<ReplayKind> kinds(Member& member) {
    std::set<ReplayKind> found;
    for (const auto& sa : installed(member).sas) found.insert(sa.replay);
    return found;
  }
  [[nodiscard]] ReplayKind kind_of(Member& member, std::uint32_t spi) const {
    for (const auto& sa : installed(member).sas)
      if (sa.spi == spi) return sa.replay;
    ADD_FAILURE() << "no SA " << spi;
    return {};
  }
};

TEST_F(Time, any_number_of_members_checks_and_a_restart_costs_no_key) {
  Server& server = group_of({"10.9.0.11", "10.9.0.12", "10.9.0.13"});
  const auto spis = current_spis(server);
  for (Member& member : members) {
    EXPECT_EQ(kinds(member), std::set{ReplayKind::time});
    EXPECT_EQ(installed(member).sas[0].replay_window, 4000);
    EXPECT_NEAR(static_cast<double>(offset(member)), static_cast<double>(offset(server)), 50);
    EXPECT_EQ(status(member).teks.at(0).replay, ReplayKind::time);
    ASSERT_TRUE(status(member).time);
  }
  EXPECT_GE(status(server).group_time_ms.value(), std::uint64_t{1} << 32);
  EXPECT_EQ(status(server).teks.at(0).replay, ReplayKind::time);
  EXPECT_EQ(status(server).teks.at(0).replay_window, 4000);
  members[1].node.reset();
  ASSERT_TRUE(register_all());
  net.run_for(60s);
  EXPECT_EQ(current_spis(server), spis);
  EXPECT_EQ(server.host->count(gdoi::events::ks_replay_window_off), 0u);
  EXPECT_EQ(server.host->count(gdoi::events::ks_member_restarted), 0u);
}

TEST_F(Time, a_member_of_another_make_is_refused_by_name) {
  Server& server = add_server("10.9.0.2", by_time());
  Member& other = add_member("10.9.0.11");
  other.options.private_use = false;
  EXPECT_FALSE(register_all());
  EXPECT_GE(server.host->count(gdoi::no_time_based_replay), 1u) << log();
  EXPECT_NE(status(other).last_failure.find("no_time_based_replay"), std::string::npos)
      << status(other).last_failure;
  EXPECT_GE(status(server).refused, 1u);
  // Another policy lets it in.
  ASSERT_TRUE(server.role().update_policy(net.now(), default_policy()));
  net.run_for(120s);
  EXPECT_EQ(status(other).state, gdoi::MemberState::registered) << log();
}

/// A change of policy is a change of keys: what is on its way under the old one is still read.
TEST_F(Time, a_policy_turns_to_it_under_traffic) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.11");
  add_member("10.9.0.12");
  Member& other = add_member("10.9.0.13");
  other.options.private_use = false;
  ASSERT_TRUE(register_all());
  const auto before = current_spis(server);
  ASSERT_TRUE(server.role().update_policy(net.now(), by_time()));
  net.run_for(1s);
  const auto after = current_spis(server);
  ASSERT_NE(after, before);
  for (Member* member : {&members[0], &members[1]}) {
    EXPECT_EQ(sending(*member), before);
    EXPECT_EQ(kind_of(*member, before[0]), ReplayKind::none) << "three were members";
    EXPECT_EQ(kind_of(*member, after[0]), ReplayKind::time);
  }
  EXPECT_EQ(server.host->count(gdoi::events::ks_foreign_member_dropped), 1u);
  net.run_for(25s);
  for (Member* member : {&members[0], &members[1]}) {
    EXPECT_EQ(sending(*member), after);
    EXPECT_TRUE(receives(*member, before[0]));
    EXPECT_NEAR(static_cast<double>(offset(*member)), static_cast<double>(offset(server)), 50);
  }
  EXPECT_EQ(status(other).rekeys_received, 0u) << "it could not read it";
  // And back: the key that goes by time is no longer sent with, but still what it is.
  ASSERT_TRUE(server.role().update_policy(net.now(), default_policy()));
  net.run_for(25s);
  EXPECT_EQ(sending(members[0]), current_spis(server));
  EXPECT_EQ(kind_of(members[0], after[0]), ReplayKind::time);
  EXPECT_NE(kind_of(members[0], current_spis(server)[0]), ReplayKind::time);
}

TEST_F(Time, each_rekey_tells_it_as_it_is_when_it_is_sent) {
  Server& server = group_of({"10.9.0.11", "10.9.0.12"});
  // The first transmission is lost, the second comes 10 s later and says so.
  unsigned pushes = 0;
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    if (!header || header->exchange != ExchangeType::groupkey_push) return Fate{};
    return ++pushes <= 2 ? Fate{0} : Fate{};
  };
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(60s);
  EXPECT_GE(pushes, 4u);
  for (Member& member : members) {
    EXPECT_EQ(status(member).rekeys_received, 1u);
    EXPECT_NEAR(static_cast<double>(offset(member)), static_cast<double>(offset(server)), 50);
  }
}

/// Nobody on the way can set a member's clock back by holding a rekey back.
TEST_F(Time, a_rekey_that_was_held_back_moves_no_clock) {
  Server& server = group_of({"10.9.0.11", "10.9.0.12"});
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    const bool push = header && header->exchange == ExchangeType::groupkey_push;
    Fate fate;
    if (push && datagram.remote.address == members[0].host->address()) fate.extra_delay = 30s;
    return fate;
  };
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(35s);
  ASSERT_GE(status(members[0]).rekeys_received, 1u);
  EXPECT_NEAR(static_cast<double>(offset(members[0])), static_cast<double>(offset(server)), 200);
}

/// Keys that live for a day would leave the clocks to themselves for as long.
TEST_F(Time, is_told_again_before_clocks_have_drifted_far) {
  auto policy = by_time();
  policy.sas[0].lifetime = std::chrono::hours{24};
  policy.rekey.lifetime = std::chrono::hours{24};
  Server& server = group_of({"10.9.0.11", "10.9.0.12"}, policy);
  const auto spis = current_spis(server);
  net.run_for(std::chrono::hours{3});
  EXPECT_EQ(current_spis(server), spis);
  for (Member& member : members) {
    EXPECT_GE(status(member).rekeys_received, 2u) << log();
    EXPECT_LE(status(member).rekeys_received, 3u);
    EXPECT_EQ(sending(member), spis);
  }
  EXPECT_LT(server.node->next_deadline() - net.now(), std::chrono::hours{2});
}

TEST_F(Time, goes_on_over_a_restart_of_the_key_server) {
  Server& server = group_of({"10.9.0.11", "10.9.0.12"});
  const std::int64_t before = offset(server);
  server.node.reset();
  net.run_for(90s);
  start_server(server, server_options(by_time()));
  EXPECT_EQ(offset(server), before);
  net.run_for(5s);
  for (Member& member : members)
    EXPECT_NEAR(static_cast<double>(offset(member)), static_cast<double>(before), 50);
}

/// Without a right time it would tell newcomers another than the members have.
TEST_F(Time, a_clock_that_was_set_back_makes_everybody_register_again) {
  Server& server = group_of({"10.9.0.11", "10.9.0.12"});
  server.node.reset();
  net.run_for(10s);
  net.clock.step_wall(-3600s);
  start_server(server, server_options(by_time()));
  net.run_for(30s);
  EXPECT_EQ(server.host->count(gdoi::events::ks_clock_set_back), 1u);
  for (Member& member : members) {
    EXPECT_EQ(sending(member), current_spis(server)) << log();
    EXPECT_NEAR(static_cast<double>(offset(member)), static_cast<double>(offset(server)), 50);
  }
}

/// An answer that took long says little of the time, so another is asked for.
TEST_F(Time, a_registration_that_took_long_is_made_again) {
  Server& server = add_server("10.9.0.2", by_time());
  Member& member = add_member("10.9.0.11");
  unsigned answers = 0;
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    const bool answer = header && header->exchange == ExchangeType::groupkey_pull &&
                        datagram.remote.address == member.host->address();
    Fate fate;
    if (answer && ++answers == 1) fate.extra_delay = 5s;
    return fate;
  };
  ASSERT_TRUE(register_all()) << log();
  EXPECT_EQ(status(server).registrations, 1u);
  EXPECT_NEAR(static_cast<double>(offset(member)), static_cast<double>(offset(server)), 50);
}

/// What packets say makes a member ask, and moves nothing else.
TEST_F(Time, a_member_whose_packets_do_not_fit_asks) {
  Server& server = group_of({"10.9.0.11", "10.9.0.12"});
  Member& member = members[0];
  const std::int64_t before = offset(member);
  dataplane::SaUsage sa;
  sa.spi = installed(member).sas[0].spi;
  sa.replay_drops = 10;
  member.host->dataplane.usages["wan"].sas = {sa};
  net.run_for(30s);
  EXPECT_EQ(status(member).time_registrations, 1u) << log();
  EXPECT_EQ(member.host->count(gdoi::events::gm_time_doubted), 1u);
  EXPECT_EQ(status(server).registrations, 3u);
  EXPECT_NEAR(static_cast<double>(offset(member)), static_cast<double>(before), 50);
  EXPECT_EQ(status(member).state, gdoi::MemberState::registered);
}

}  // namespace
}  // namespace cohort::harness
