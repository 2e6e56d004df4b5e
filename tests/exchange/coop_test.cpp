#include <gmock/gmock.h>

#include "tests/exchange/coop_fixture.hpp"

namespace cohort::harness {
namespace {

using coop::Role;
namespace events = coop::events;

// ---- roles --------------------------------------------------------------------------------------

TEST_F(CoopGroup, TheHighestPriorityBecomesPrimary) {
  make(3);
  start_all();
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(servers[1]->role(), Role::secondary);
  EXPECT_EQ(servers[0]->host.count(events::ks_trans_to_pri), 1u);
  // Both say who it is.
  EXPECT_EQ(servers[1]->host.count(events::ks_trans_to_pri), 1u);
}

TEST_F(CoopGroup, EqualPrioritiesAreDecidedByTheHigherAddress) {
  make(3);
  for (auto& server : servers) server->options.priority = 75;
  start_all();
  EXPECT_TRUE(settle(2));
}

TEST_F(CoopGroup, ALoneServerTakesOfficeAfterListening) {
  make(2);
  ASSERT_TRUE(start(1));
  net.run_for(milliseconds(1900));
  EXPECT_EQ(servers[1]->role(), Role::listening);
  EXPECT_FALSE(servers[1]->group()->may_register());
  EXPECT_TRUE(settle(1));
}

TEST_F(CoopGroup, ASecondaryTakesOverWithTheSameKeys) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string epoch = servers[0]->epoch();
  const auto elections = servers[1]->host.count(events::ks_election);
  const TimePoint died = net.now();
  servers[0]->crash();
  ASSERT_TRUE(settle(1));
  // 4 s until the primary is dead, a quarter interval of election; asked three times in between.
  EXPECT_LE(net.now() - died, milliseconds(5500));
  EXPECT_GE(net.now() - died, milliseconds(3000));
  EXPECT_EQ(servers[1]->epoch(), epoch);
  EXPECT_EQ(servers[1]->host.count(events::ks_unreach), 1u);
  EXPECT_EQ(servers[1]->host.count(events::ks_election), elections + 1);
  std::vector<std::string> said;
  for (const Event& event : servers[1]->host.events) said.push_back(event.text());
  using testing::Contains;
  EXPECT_THAT(said, Contains("%GDOI-5-COOP_KS_TRANS_TO_PRI: KS 10.9.0.1 in group GETVPN "
                             "transitioned to Primary (Previous Primary = NONE)"));
  EXPECT_THAT(said, Contains("%GDOI-3-COOP_KS_UNREACH: Cooperative KS 10.9.0.1 Unreachable in "
                             "group GETVPN"));
  EXPECT_THAT(said, Contains("%GDOI-5-COOP_KS_ELECTION: KS entering election mode in group GETVPN "
                             "(Previous Primary = 10.9.0.1)"));
  EXPECT_THAT(said, Contains("%GDOI-5-COOP_KS_TRANS_TO_PRI: KS 10.9.0.2 in group GETVPN "
                             "transitioned to Primary (Previous Primary = 10.9.0.1)"));
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(1));
  said.clear();
  for (const Event& event : servers[1]->host.events) said.push_back(event.text());
  EXPECT_THAT(said, Contains("%GDOI-5-COOP_KS_REACH: Reachability restored with Cooperative KS "
                             "10.9.0.1 in group GETVPN."));
}

TEST_F(CoopGroup, ASilentPrimaryIsAskedBeforeAnElection) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const auto asked = [&] {
    return servers[1]->group()->status(net.now()).peers[0].counters.announces_sent_with_request;
  };
  const auto before = asked();
  const auto elections = servers[1]->host.count(events::ks_election);
  cut(0, 1);
  net.run_for(milliseconds(2800));
  EXPECT_GE(asked(), before + 1);
  EXPECT_EQ(servers[1]->role(), Role::secondary);
  heal();
  net.run_for(seconds(10));
  EXPECT_TRUE(one_primary(0));
  EXPECT_EQ(servers[1]->host.count(events::ks_election), elections);
}

TEST_F(CoopGroup, AReturningServerDoesNotPreempt) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  servers[0]->crash();
  ASSERT_TRUE(settle(1));
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(1));
  net.run_for(seconds(30));
  EXPECT_TRUE(one_primary(1));
  EXPECT_EQ(servers[1]->host.count(events::ks_reach), 1u);
}

TEST_F(CoopGroup, ItPreemptsIfItIsAskedTo) {
  make(2);
  servers[0]->options.preempt = true;
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string epoch = servers[0]->epoch();
  servers[0]->crash();
  ASSERT_TRUE(settle(1));
  ASSERT_TRUE(start(0));
  EXPECT_TRUE(settle(0));
  EXPECT_EQ(servers[0]->epoch(), epoch);
}

TEST_F(CoopGroup, TheOperatorCanAskForAnElectionAnywhere) {
  make(3);
  start_all();
  ASSERT_TRUE(settle(0));
  servers[0]->crash();
  ASSERT_TRUE(settle(1));
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(1));
  servers[2]->group()->elect(net.now());
  EXPECT_TRUE(settle(0));
}

TEST_F(CoopGroup, AServerThatWasSuspendedDoesNotActOnWhatItBelieved) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  servers[0]->node->paused = true;
  net.run_for(seconds(8));
  EXPECT_TRUE(servers[1]->primary());
  servers[0]->node->paused = false;
  servers[0]->node->on_timer(net.now());
  EXPECT_EQ(servers[0]->role(), Role::listening);
  EXPECT_TRUE(settle(1));
}

// Its socket gives it what the primary said when both still had the same state.
TEST_F(CoopGroup, AServerThatWasSuspendedDoesNotBelieveWhatHasWaited) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(2));
  CoopNode& node = *servers[1]->node;
  node.paused = true;
  const std::size_t before = net.sent.size();
  net.run_for(seconds(3));
  const std::size_t after = net.sent.size();
  part(0, 1);
  net.run_for(seconds(8));
  ASSERT_TRUE(servers[0]->group()->refresh(net.now()));
  net.run_for(seconds(1));
  node.paused = false;
  for (std::size_t i = before; i < after; ++i) {
    const Datagram waiting = net.sent[i];
    if (waiting.remote.address == servers[1]->host.address())
      node.on_datagram(net.now(), {waiting.remote, waiting.local, waiting.payload});
  }
  EXPECT_EQ(servers[1]->role(), Role::secondary);
  EXPECT_FALSE(servers[1]->group()->may_register());
  heal();
  EXPECT_TRUE(settle(0));
}

TEST_F(CoopGroup, SixOfSevenDieOneAfterTheOther) {
  make(7);
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string epoch = servers[0]->epoch();
  for (std::size_t i = 0; i + 1 < 7; ++i) {
    servers[i]->crash();
    ASSERT_TRUE(settle(i + 1)) << i;
  }
  EXPECT_EQ(servers[6]->epoch(), epoch);
}

// ---- who may speak ------------------------------------------------------------------------------

class CoopStrangers : public CoopGroup {
 protected:
  void enrol(std::size_t i, const std::string& unit) {
    LeafOptions leaf{.common_name = "server " + std::to_string(i), .unit = unit};
    leaf.which_key = static_cast<unsigned>(i + 1);
    leaf.addresses = {servers[i]->host.address()};
    servers[i]->host.credentials.enrol("GETVPN", ca.issue(leaf));
    servers[i]->host.credentials.trust("GETVPN", ca.certificate());
    gdoi::AuthorizationRule rule;
    rule.organizational_unit = "GETVPN_KS";
    servers[i]->options.authorization = {rule};
  }
  TestCa ca{"root"};
};

TEST_F(CoopStrangers, KeyServersAreAuthorizedByTheirCertificates) {
  auth = ike::AuthMethod::ecdsa_256;
  make(2);
  enrol(0, "GETVPN_KS");
  enrol(1, "GETVPN_KS");
  start_all();
  EXPECT_TRUE(settle(0));
}

TEST_F(CoopStrangers, AMembersCertificateMakesNoKeyServer) {
  auth = ike::AuthMethod::ecdsa_256;
  make(2);
  enrol(0, "GETVPN_KS");
  enrol(1, "GETVPN_GM");
  start_all();
  net.run_for(seconds(20));
  EXPECT_TRUE(servers[0]->primary());
  EXPECT_EQ(servers[1]->host.count(events::ks_trans_to_sec), 0u);
  EXPECT_NE(servers[0]->epoch(), servers[1]->epoch());
  ASSERT_GE(servers[0]->host.count(events::ks_unauth), 1u);
  bool named = false;
  for (const Event& event : servers[0]->host.events)
    named = named || (event.kind == &events::ks_unauth &&
                      event.text().find("server 1") != std::string::npos);
  EXPECT_TRUE(named);
  EXPECT_EQ(servers[0]->group()->status(net.now()).peers[0].counters.announces_received, 0u);
}

// A machine may be a key server and a member, and what it says as a member is no COOP.
TEST_F(CoopStrangers, AMemberAtAPeersAddressDoesNotTakeItsPlace) {
  auth = ike::AuthMethod::ecdsa_256;
  make(2);
  enrol(0, "GETVPN_KS");
  enrol(1, "GETVPN_KS");
  start_all();
  ASSERT_TRUE(settle(0));
  enrol(1, "GETVPN_GM");
  Host& machine = servers[1]->host;
  ike::IsakmpOptions options = options_with({fast_policy(auth)});
  options.local = machine.at(4848);
  CoopNode member(machine.world, std::move(options));
  machine.bind(4848, member);
  member.isakmp.initiate(net.now(), servers[0]->host.at(gdoi_port));
  net.run_for(seconds(10));
  EXPECT_EQ(servers[0]->host.count(events::ks_unauth), 1u);
  EXPECT_EQ(machine.count(events::ks_unreach), 0u);
  EXPECT_TRUE(one_primary(0));
  EXPECT_TRUE(servers[1]->group()->may_register());
  machine.unbind(member);
}

TEST_F(CoopGroup, ReplayedReflectedAndDamagedMessagesAreRefused) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  Bytes last;
  for (const Datagram& datagram : net.sent)
    if (datagram.local.address == servers[0]->host.address() && datagram.payload.size() > 18 &&
        datagram.payload[18] == 245)
      last = datagram.payload;
  ASSERT_FALSE(last.empty());
  Host& there = servers[1]->host;
  const auto before = servers[1]->group()->status(net.now()).peers[0].counters.announces_received;
  net.inject(servers[0]->host.at(gdoi_port), there.at(gdoi_port), last);
  net.inject(there.at(gdoi_port), servers[0]->host.at(gdoi_port), last);
  net.run_for(milliseconds(5));
  EXPECT_EQ(there.count(coop::coop_replayed), 1u);
  EXPECT_EQ(servers[0]->host.count(coop::coop_reflected), 1u);
  // A number that was not used yet, so that only the HASH can tell.
  Bytes damaged = last;
  damaged[22] = 0x3f;
  net.inject(servers[0]->host.at(gdoi_port), there.at(gdoi_port), damaged);
  net.run_for(milliseconds(5));
  EXPECT_EQ(there.count(coop::coop_hash) + there.count(coop::coop_format) +
                there.count(ike::bad_length) + there.count(ike::truncated_message) +
                there.count(ike::too_many_payloads),
            1u);
  EXPECT_LE(servers[1]->group()->status(net.now()).peers[0].counters.announces_received,
            before + 1);
  EXPECT_TRUE(settle(0));
}

// ---- drift --------------------------------------------------------------------------------------

TEST_F(CoopGroup, ADifferenceIsReportedByNameOnBothSides) {
  make(2);
  policies[1][0].value = "7200";
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(3));
  for (const std::size_t i : {0u, 1u}) {
    ASSERT_GE(servers[i]->host.count(events::config_mismatch), 1u) << i;
    const auto status = servers[i]->group()->status(net.now());
    ASSERT_EQ(status.peers[0].differences.size(), 1u);
    EXPECT_EQ(status.peers[0].differences[0].name, "sa 10 lifetime");
  }
  EXPECT_TRUE(servers[1]->group()->status(net.now()).drifted);
  policies[1] = policies[0];
  ASSERT_TRUE(servers[1]->group()->set_policy(net.now(), policies[1], lines, 16));
  net.run_for(seconds(3));
  EXPECT_GE(servers[0]->host.count(events::config_match), 1u);
  EXPECT_FALSE(servers[1]->group()->status(net.now()).drifted);
}

TEST_F(CoopGroup, ADriftedServerDoesNotLeadUntilItIsTold) {
  make(3);
  policies[1][0].value = "7200";  // priority 90, but different
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(3));
  servers[0]->crash();
  ASSERT_TRUE(settle(2));
  servers[2]->crash();
  net.run_for(seconds(60));
  EXPECT_FALSE(servers[1]->primary());
  EXPECT_EQ(servers[1]->host.count(events::no_primary), 1u);
  EXPECT_TRUE(servers[1]->group()->status(net.now()).leaderless);
  servers[1]->group()->lead(net.now());
  EXPECT_TRUE(settle(1));
  // Its policy is then the one that others are measured by.
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(1));
  net.run_for(seconds(3));
  EXPECT_TRUE(servers[0]->group()->status(net.now()).drifted);
}

TEST_F(CoopGroup, ADriftedServerLeadsIfItIsTold) {
  make(3);
  policies[1][0].value = "7200";
  servers[1]->options.lead_when_drifted = true;
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(3));
  servers[0]->crash();
  EXPECT_TRUE(settle(1));
}

}  // namespace
}  // namespace cohort::harness
