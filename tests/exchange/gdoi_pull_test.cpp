#include <algorithm>

#include "tests/exchange/gdoi_fixture.hpp"

/// Registration: what a member gets, and who gets nothing.
namespace cohort::harness {
namespace {

using ike::ExchangeType;

class Pull : public GdoiDialogue {};

// --> HDR*, HASH(1), Ni, ID    <-- HDR*, HASH(2), Nr, SA
// --> HDR*, HASH(3)            <-- HDR*, HASH(4), SEQ, KD
TEST_F(Pull, a_member_registers_and_its_dataplane_gets_policy_and_keys) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  EXPECT_EQ(sent(ExchangeType::groupkey_pull).size(), 4u);

  const dataplane::Snapshot& snapshot = installed(member);
  ASSERT_EQ(snapshot.policy.size(), 2u);
  ASSERT_EQ(snapshot.sas.size(), 2u);
  EXPECT_EQ(sending(member), current_spis(server));
  EXPECT_EQ(snapshot.otherwise, dataplane::Action::bypass);
  for (const auto& sa : snapshot.sas) {
    EXPECT_EQ(sa.suite, dataplane::Suite::aes_128_cbc_sha256_128);
    EXPECT_EQ(sa.cipher_key.size(), 16u);
    EXPECT_EQ(sa.integrity_key.size(), 32u);
    EXPECT_EQ(sa.replay_window, 64);
  }
  const auto listed = status(server).members;
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].identity, "CN=gm1,OU=GETVPN_GM,O=Cohort Test");
  EXPECT_EQ(listed[0].remote, member.host->at(gdoi_port));
  EXPECT_EQ(member.host->count(gdoi::events::gm_regs_compl), 1u);
  EXPECT_EQ(server.host->count(gdoi::events::ks_regs_compl), 1u);
  EXPECT_TRUE(member.host->refusals.empty());
  EXPECT_TRUE(server.host->refusals.empty());
}

/// Changes our vendor id wherever it passes in clear, as anybody on the path can.
Fate without_our_vendor_id(const Datagram& datagram) {
  constexpr std::string_view ours = "cohort group key";
  Bytes changed = datagram.payload;
  const auto at = std::search(changed.begin(), changed.end(), ours.begin(), ours.end());
  if (at == changed.end()) return Fate{};
  *at = 'C';
  return Fate{1, {}, changed};
}

TEST_F(Pull, what_a_member_understands_is_said_under_the_hash_and_not_in_a_vendor_id) {
  gdoi::GroupPolicy policy = default_policy();
  policy.sas[0].acl.insert(policy.sas[0].acl.begin(), deny("10.0.0.1/32", "172.16.0.0/16"));
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  net.fate = without_our_vendor_id;
  ASSERT_TRUE(register_all());
  ASSERT_FALSE(server.node->isakmp.established().at(0).peer_is_cohort);
  ASSERT_EQ(installed(member).policy.size(), 3u) << "the exclusion is there";
  EXPECT_EQ(installed(member).sas.at(0).replay_window, 64);
}

TEST_F(Pull, where_the_key_server_names_no_window_none_is_guessed) {
  gdoi::GroupMemberOptions options;
  EXPECT_EQ(options.replay_window, 0);
}

TEST_F(Pull, before_registration_traffic_is_dropped_or_passes_as_configured) {
  add_server("10.9.0.2", default_policy());
  Member& closed = add_member("10.9.0.1");
  closed.options.local_exclusions = {deny("10.0.0.0/24", "192.0.2.0/24")};
  Member& open = add_member("10.9.0.3");
  open.options.fail_close = false;
  start(closed);
  start(open);
  EXPECT_EQ(installed(closed).otherwise, dataplane::Action::drop);
  ASSERT_EQ(installed(closed).policy.size(), 1u);
  EXPECT_EQ(installed(closed).policy[0].action, dataplane::Action::bypass);
  EXPECT_EQ(installed(open).otherwise, dataplane::Action::bypass);
}

TEST_F(Pull, several_members_share_the_keys) {
  add_server("10.9.0.2", default_policy());
  for (const char* address : {"10.9.0.11", "10.9.0.12", "10.9.0.13"}) add_member(address);
  ASSERT_TRUE(register_all());
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_EQ(sending(members[i]), sending(members[0]));
    EXPECT_EQ(installed(members[i]).sas[0].cipher_key, installed(members[0]).sas[0].cipher_key);
  }
}

TEST_F(Pull, counter_mode_lends_sender_ids_that_never_repeat) {
  auto policy = default_policy();
  policy.sas[0].suite = dataplane::Suite::aes_256_gcm_16;
  Server& server = add_server("10.9.0.2", policy);
  add_member("10.9.0.11").options.sender_ids = 2;
  add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  // RFC 6407 section 3.5: from zero, in order, and anew for each registration.
  EXPECT_EQ(installed(members[0]).sas[0].sender_ids.size(), 2u);
  EXPECT_EQ(installed(members[0]).sas[0].sid_bits, 16);
  EXPECT_EQ(status(server).sender_ids_used, 3u);
  const auto before = installed(members[0]).sas[0].sender_ids;
  ASSERT_TRUE(members[0].role().register_now(net.now(), "GETVPN"));
  ASSERT_TRUE(register_all());
  const auto after = installed(members[0]).sas[0].sender_ids;
  EXPECT_EQ(after, (std::vector<std::uint32_t>{3, 4}));
  EXPECT_NE(before, after);
  EXPECT_EQ(installed(members[0]).sas[0].salt.size(), 4u);
}

TEST_F(Pull, exhausted_sender_ids_bring_new_keys_for_everybody) {
  auto policy = default_policy();
  policy.sas[0].suite = dataplane::Suite::aes_128_gcm_16;
  policy.sender_id_bits = 8;
  Server& server = add_server("10.9.0.2", policy);
  for (const char* address : {"10.9.0.11", "10.9.0.13", "10.9.0.14", "10.9.0.15"})
    add_member(address).options.sender_ids = 32;
  ASSERT_TRUE(register_all());
  const auto first_spis = current_spis(server);
  for (Member& member : members) member.options.sender_ids = 31;
  for (Member& member : members) {
    member.node.reset();
    start(member);
  }
  ASSERT_TRUE(register_all());
  EXPECT_EQ(status(server).sender_ids_left, 4u);
  EXPECT_EQ(current_spis(server), first_spis);
  add_member("10.9.0.12").options.sender_ids = 5;
  ASSERT_TRUE(register_all()) << log();
  net.run_for(10s);
  ASSERT_TRUE(register_all()) << log();
  EXPECT_NE(current_spis(server), first_spis);
  for (Member& member : members) {
    EXPECT_EQ(sending(member), current_spis(server));
    for (const std::uint32_t old : first_spis) EXPECT_FALSE(receives(member, old));
  }
  EXPECT_GE(server.host->count(gdoi::events::ks_clear_register), 1u);
}

TEST_F(Pull, a_member_that_registers_too_often_waits_and_the_group_keeps_its_keys) {
  auto policy = default_policy();
  policy.sas[0].suite = dataplane::Suite::aes_128_gcm_16;
  policy.sas[0].lifetime = 600s;
  policy.sender_id_bits = 8;
  Server& server = add_server("10.9.0.2", policy);
  Member& busy = add_member("10.9.0.11");
  Member& other = add_member("10.9.0.12");
  busy.options.sender_ids = 32;
  ASSERT_TRUE(register_all());
  const auto spis = current_spis(server);
  busy.options.registration_retry_initial = 100ms;
  for (int i = 0; i < 20; ++i) {
    busy.node.reset();
    start(busy);
    net.run_for(5s);
  }
  EXPECT_EQ(status(busy).state, gdoi::MemberState::waiting) << log();
  EXPECT_NE(status(busy).last_failure.find("sender_id_share_spent"), std::string::npos)
      << status(busy).last_failure;
  EXPECT_EQ(status(server).sender_ids_used, 33u);
  EXPECT_EQ(server.host->count(gdoi::events::ks_sender_id_share), 1u);
  EXPECT_EQ(server.host->count(gdoi::events::ks_clear_register), 0u);
  EXPECT_GE(status(server).refused, 1u);
  // The others are as free as before, and so is the busy one in the life of another traffic key.
  ASSERT_TRUE(other.role().register_now(net.now(), "GETVPN"));
  net.run_for(600s);
  EXPECT_EQ(status(other).registrations_succeeded, 2u);
  EXPECT_EQ(status(busy).state, gdoi::MemberState::registered) << log();
  EXPECT_EQ(server.host->count(gdoi::events::ks_clear_register), 0u);
  EXPECT_NE(current_spis(server), spis);
}

TEST_F(Pull, keys_that_are_not_stored_are_given_to_nobody) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& first = add_member("10.9.0.11");
  Member& second = add_member("10.9.0.12");
  start(first);
  ASSERT_TRUE(net.run_until([&] { return status(first).state == gdoi::MemberState::registered; }));
  const auto stored = current_spis(server);
  server.host->store.broken = true;
  (void)server.role().rekey_now(net.now(), "GETVPN", true);
  const auto not_stored = current_spis(server);
  ASSERT_NE(not_stored, stored);
  second.options.registration_retry_initial = 500ms;
  start(second);
  ASSERT_TRUE(first.role().register_now(net.now(), "GETVPN"));
  net.run_for(300s);  // longer than all transmissions of a rekey, and an eviction, would take
  EXPECT_TRUE(sent(ExchangeType::groupkey_push).empty());
  EXPECT_GE(server.host->count(gdoi::keys_not_stored), 2u);
  EXPECT_EQ(server.host->count(gdoi::events::ks_store_failed), 1u);
  EXPECT_EQ(server.host->count(gdoi::events::ks_ack_missing), 0u) << "nothing was sent";
  EXPECT_TRUE(installed(second).sas.empty());
  EXPECT_EQ(sending(first), stored);

  server.host->store.broken = false;
  net.run_for(2s);
  EXPECT_EQ(server.host->count(gdoi::events::ks_store_recovered), 1u);
  EXPECT_EQ(sending(first), stored) << "the activation delay begins with the first transmission";
  ASSERT_TRUE(register_all(120s)) << log();
  net.run_for(30s);
  EXPECT_EQ(sending(first), not_stored);
  EXPECT_EQ(sending(second), not_stored);
  // And a restart knows them.
  server.node.reset();
  start_server(server, server_options(default_policy()));
  EXPECT_EQ(current_spis(server), not_stored);
}

TEST_F(Pull, a_member_that_could_not_be_stored_is_not_on_the_list) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.11");
  server.host->store.broken = true;
  EXPECT_FALSE(register_all(3s));
  EXPECT_TRUE(status(server).members.empty());
  EXPECT_TRUE(installed(member).sas.empty());
  server.host->store.broken = false;
  EXPECT_TRUE(register_all(60s));
  EXPECT_EQ(status(server).members.size(), 1u);
}

TEST_F(Pull, an_identity_that_no_rule_admits_is_refused_by_name) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& stranger = add_member("10.9.0.66", "ACCOUNTING");
  EXPECT_FALSE(register_all(20s));
  EXPECT_GE(server.host->count(gdoi::unauthorized_identity), 1u);
  EXPECT_GE(server.host->count(gdoi::events::unauthorized_identity), 1u);
  EXPECT_TRUE(status(server).members.empty());
  const std::string reason = server.host->refusals.at(0).error.detail();
  EXPECT_NE(reason.find("OU=ACCOUNTING"), std::string::npos) << reason;
  EXPECT_NE(reason.find("OU=GETVPN_GM"), std::string::npos) << reason;
  EXPECT_NE(status(stranger).last_failure.find("AUTHENTICATION-FAILED"), std::string::npos)
      << status(stranger).last_failure;
  EXPECT_EQ(installed(stranger).otherwise, dataplane::Action::drop);
}

TEST_F(Pull, a_member_that_is_not_enrolled_says_so_once_and_registers_when_it_is) {
  add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.11");
  member.host->credentials.forget("GETVPN");
  start(member);
  net.run_for(600s);
  EXPECT_EQ(member.host->events.size(), 1u) << log();
  EXPECT_EQ(member.host->count(gdoi::events::gm_awaits_credentials), 1u);
  EXPECT_EQ(status(member).state, gdoi::MemberState::waiting);
  EXPECT_NE(status(member).last_failure.find("no_usable_policy"), std::string::npos);
  EXPECT_EQ(installed(member).otherwise, dataplane::Action::drop);

  enrol(*member.host, "gm1", "GETVPN_GM", 3);
  EXPECT_TRUE(register_all(1500ms)) << "it looks each second\n" << log();
  EXPECT_TRUE(status(member).last_failure.empty());

  // Who has been in the group and has lost its certificate has a fault to report.
  member.host->credentials.forget("GETVPN");
  for (const auto& phase1 : member.node->isakmp.established())
    member.node->isakmp.close(net.now(), phase1.id, gdoi::pull_timeout);
  ASSERT_TRUE(member.role().register_now(net.now(), "GETVPN"));
  net.run_for(2s);
  EXPECT_EQ(member.host->count(gdoi::events::gm_awaits_credentials), 1u);
  EXPECT_GE(member.host->count(gdoi::events::gm_regs_failed), 1u) << log();
}

TEST_F(Pull, an_unknown_group_is_refused) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.1").options.id.value = std::uint32_t{999};
  EXPECT_FALSE(register_all(10s));
  EXPECT_GE(server.host->count(gdoi::unknown_group), 1u);
  EXPECT_GE(server.host->count(gdoi::events::ks_bad_id), 1u);
}

TEST_F(Pull, a_full_group_refuses_newcomers_but_not_its_members) {
  auto policy = default_policy();
  policy.members_max = 1;
  Server& server = add_server("10.9.0.2", policy);
  Member& first = add_member("10.9.0.11");
  ASSERT_TRUE(register_all());
  add_member("10.9.0.12");
  EXPECT_FALSE(register_all(5s));
  EXPECT_GE(server.host->count(gdoi::members_full), 1u);
  ASSERT_TRUE(first.role().register_now(net.now(), "GETVPN"));
  net.run_for(1s);
  EXPECT_EQ(status(first).registrations_succeeded, 2u);
  EXPECT_EQ(status(server).members.size(), 1u);
}

TEST_F(Pull, a_member_refuses_a_suite_that_it_does_not_accept_and_tears_down) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  member.options.accepted_suites = {dataplane::Suite::aes_256_gcm_16};
  EXPECT_FALSE(register_all(5s));
  EXPECT_GE(member.host->count(gdoi::events::gm_rejecting_sa_payload), 1u);
  EXPECT_NE(status(member).last_failure.find("aes-128-cbc-hmac-sha256"), std::string::npos);
  // RFC 6407 section 3.3: a Delete for the phase 1; nothing changed at the key server.
  EXPECT_TRUE(server.node->isakmp.established().empty());
  EXPECT_TRUE(status(server).members.empty());
}

TEST_F(Pull, every_lost_message_is_made_good) {
  add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  std::map<std::size_t, int> seen;
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    const bool pull = header && header->exchange == ExchangeType::groupkey_pull;
    // The first copy of every PULL message is lost.
    if (pull && seen[std::hash<std::string>{}(to_hex(datagram.payload))]++ == 0) return Fate{0};
    return Fate{};
  };
  ASSERT_TRUE(register_all(60s));
  EXPECT_EQ(seen.size(), 4u);
  EXPECT_EQ(status(member).registrations_attempted, 1u);
}

TEST_F(Pull, duplicated_and_damaged_messages_change_nothing) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    if (!header || header->exchange != ExchangeType::groupkey_pull) return Fate{};
    Bytes damaged = datagram.payload;
    damaged.back() = static_cast<std::uint8_t>(damaged.back() ^ 1u);
    net.inject(datagram.local, datagram.remote, damaged);  // arrives first
    return Fate{3};
  };
  ASSERT_TRUE(register_all());
  net.run_for(2s);
  EXPECT_EQ(status(server).members.size(), 1u);
  EXPECT_EQ(status(server).registrations, 1u);
  EXPECT_EQ(status(member).registrations_succeeded, 1u);
  EXPECT_GE(server.host->count(gdoi::hash_mismatch), 1u);
  EXPECT_GE(member.host->count(gdoi::hash_mismatch), 1u);
}

TEST_F(Pull, a_replayed_request_leaves_the_key_server_as_it_was) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto pulls = sent(ExchangeType::groupkey_pull);
  net.run_for(120s);  // beyond the cached answers
  for (const Datagram& old : pulls) net.inject(old.local, old.remote, old.payload);
  net.run_for(5s);
  EXPECT_EQ(status(server).registrations, 1u);
  EXPECT_EQ(status(member).registrations_succeeded, 1u);
}

TEST_F(Pull, the_next_server_of_the_list_is_tried) {
  Server& first = add_server("10.9.0.2", default_policy());
  Server& second = add_server("10.9.0.3", default_policy());
  Member& member = add_member("10.9.0.1");
  first.node.reset();
  ASSERT_TRUE(register_all(120s));
  EXPECT_EQ(status(member).registered_with, second.host->at(gdoi_port));
  EXPECT_EQ(status(member).registrations_attempted, 2u);
}

TEST_F(Pull, all_servers_down_means_waiting_longer_and_longer) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  auto options = server_options(default_policy());
  server.node.reset();
  EXPECT_FALSE(register_all(300s));
  const auto attempts = status(member).registrations_attempted;
  EXPECT_GE(attempts, 3u);
  EXPECT_LE(attempts, 12u);
  start_server(server, options);
  EXPECT_TRUE(register_all(180s));
}

TEST_F(Pull, two_groups_run_over_one_phase_1) {
  Server& server = add_server("10.9.0.2", default_policy());
  auto other = default_policy();
  other.name = "VOICE";
  other.id.value = IpAddress::parse("239.1.1.1").value();
  other.sas[0].acl = {permit("10.1.0.0/24", "10.2.0.0/24")};
  ASSERT_TRUE(server.role().add_group(net.now(), server_options(other)));
  Member& member = add_member("10.9.0.1");
  start(member);
  auto second = member.options;
  second.group_name = "VOICE";
  second.id = other.id;
  second.port_pair = "voice";
  ASSERT_TRUE(member.role().add_group(net.now(), second));
  ASSERT_TRUE(net.run_until([&] {
    const auto all = member.role().status(net.now());
    return all[0].state == gdoi::MemberState::registered &&
           all[1].state == gdoi::MemberState::registered;
  }));
  EXPECT_EQ(server.node->isakmp.established().size(), 1u);
  EXPECT_EQ(member.host->dataplane.snapshots.at("voice").policy.size(), 1u);
}

TEST_F(Pull, deny_entries_reach_members_that_are_ours_in_their_order) {
  auto policy = default_policy();
  policy.sas[0].acl = {deny("10.0.0.0/28", "172.16.0.0/16"), permit("10.0.0.0/24", "172.16.0.0/16"),
                       permit("172.16.0.0/16", "10.0.0.0/24")};
  add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto& lines = installed(member).policy;
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].action, dataplane::Action::bypass);
  EXPECT_EQ(lines[0].selector, policy.sas[0].acl[0].selector);
  EXPECT_EQ(lines[1].action, dataplane::Action::protect);
  EXPECT_EQ(status(member).acl[0], "deny ip 10.0.0.0 0.0.0.15 172.16.0.0 0.0.255.255");
}

TEST_F(Pull, ipv6_traffic_and_ports_are_selected_as_the_policy_says) {
  auto policy = default_policy();
  policy.sas[0].acl = {permit("2001:db8:1::/64", "2001:db8:2::/64"),
                       permit("10.0.0.0/24", "239.192.1.1/32"), permit("0.0.0.0/0", "10.0.0.0/9")};
  policy.sas[0].acl[1].selector.protocol = 17;
  policy.sas[0].acl[1].selector.destination_ports = {5004, 5004};
  add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_EQ(installed(member).policy.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(installed(member).policy[i].selector, policy.sas[0].acl[i].selector) << i;
  }
  EXPECT_EQ(status(member).crypto_path, "ipv4, ipv6");
}

TEST_F(Pull, more_sender_ids_than_one_key_packet_holds_are_cut_to_what_fits) {
  auto policy = default_policy();
  policy.sas[0].suite = dataplane::Suite::aes_128_gcm_16;
  add_server("10.9.0.2", policy);
  add_member("10.9.0.1").options.sender_ids = 64;
  ASSERT_TRUE(register_all()) << log();
  EXPECT_EQ(installed(members[0]).sas[0].sender_ids.size(), gdoi::sender_ids_max);
}

TEST_F(Pull, one_key_can_serve_a_whole_list) {
  auto policy = default_policy();
  policy.sas[0].tek_per_entry = false;
  add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  EXPECT_EQ(installed(member).sas.size(), 1u);
  EXPECT_EQ(sending(member)[0], sending(member)[1]);
}

}  // namespace
}  // namespace cohort::harness
