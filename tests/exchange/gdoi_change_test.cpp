#include "tests/exchange/gdoi_fixture.hpp"

/// Changes of policy and membership, restarts, and keys that run out.
namespace cohort::harness {
namespace {

using dataplane::Action;
using ike::ExchangeType;

class Change : public GdoiDialogue {
 protected:
  static std::vector<std::string> acl(const std::vector<gdoi::AclEntry>& entries) {
    std::vector<std::string> out;
    for (const auto& entry : entries) out.push_back(entry.text());
    return out;
  }
  void lose_rekeys() {
    net.fate = [](const Datagram& datagram) {
      const auto header = ike::Header::parse(datagram.payload);
      return header && header->exchange == ExchangeType::groupkey_push ? Fate{0} : Fate{};
    };
  }
  /// Half a second, of the next registration.
  void hold_up_message_4() {
    net.fate = [pulls = 0](const Datagram& datagram) mutable {
      const auto header = ike::Header::parse(datagram.payload);
      const bool is_pull = header && header->exchange == ExchangeType::groupkey_pull;
      return is_pull && ++pulls == 4 ? Fate{1, 500ms, {}} : Fate{};
    };
  }
};

// ---- policy -------------------------------------------------------------------------------------

TEST_F(Change, a_new_policy_is_distributed_in_order_and_what_is_gone_deleted_later) {
  auto policy = default_policy();
  policy.activation_delay = 10s;
  policy.deactivation_delay = 30s;
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto before = sending(member);
  auto changed = policy;
  changed.sas[0].acl = {deny("10.0.0.0/28", "172.16.0.0/16"),
                        permit("10.7.0.0/24", "172.16.0.0/16"),
                        permit("10.0.0.0/24", "172.16.0.0/16")};
  ASSERT_TRUE(server.role().update_policy(net.now(), changed));
  net.run_for(2s);
  // The new lines stand first, in their order; the old line still receives.
  auto lines = status(member).acl;
  ASSERT_EQ(lines.size(), 4u) << log();
  lines.resize(3);
  EXPECT_EQ(lines, acl(changed.sas[0].acl));
  EXPECT_EQ(installed(member).policy[2].send_spi, before[0]) << "an unchanged entry keeps its key";
  EXPECT_NE(installed(member).policy[1].send_spi, 0u);
  EXPECT_TRUE(receives(member, before[1]));
  net.run_for(35s);
  EXPECT_EQ(status(member).acl, acl(changed.sas[0].acl));
  EXPECT_FALSE(receives(member, before[1]));
  EXPECT_EQ(status(server).registrations, 1u);
  EXPECT_TRUE(member.host->refusals.empty()) << log();

  // Back again: the exclusion goes too.
  ASSERT_TRUE(server.role().update_policy(net.now(), policy));
  net.run_for(40s);
  EXPECT_EQ(status(member).acl, acl(policy.sas[0].acl)) << log();
}

// As at a server that has not heard of the line, or when the rekey that took it was lost.
TEST_F(Change, a_line_that_a_registration_does_not_have_is_received_on_to_its_end) {
  auto policy = default_policy();
  policy.sas[0].acl = {permit("10.0.0.0/24", "172.16.0.0/16"),
                       permit("10.0.0.0/8", "172.16.0.0/16"),
                       permit("192.0.2.0/24", "172.16.0.0/16")};
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  lose_rekeys();
  auto changed = policy;
  changed.sas[0].acl = {permit("10.0.0.0/8", "172.16.0.0/16")};
  changed.sas[0].suite = dataplane::Suite::aes_256_cbc_sha256_128;
  ASSERT_TRUE(server.role().update_policy(net.now(), changed));
  const auto before = installed(member).policy;
  ASSERT_TRUE(member.role().register_now(net.now(), "GETVPN"));
  net.run_for(2s);
  ASSERT_EQ(status(member).registrations_succeeded, 2u) << log();
  EXPECT_TRUE(receives(member, before[0].send_spi)) << log();
  const auto now = installed(member).policy;
  EXPECT_EQ(now[0].selector, before[1].selector);
  EXPECT_NE(now[0].send_spi, before[0].send_spi) << "nothing is sent with it";
  EXPECT_EQ(std::count(now[0].receive_spis.begin(), now[0].receive_spis.end(), before[0].send_spi),
            1);
  for (const auto& line : now) EXPECT_NE(line.selector, before[2].selector) << "nothing follows it";
  net.fate = {};
  net.run_for(policy.sas[0].lifetime);
  EXPECT_FALSE(receives(member, before[0].send_spi));
  EXPECT_EQ(status(member).acl, acl(changed.sas[0].acl)) << log();
}

// Keys that rekeys have superseded are still there for reception. With the lines that they share
// with their successor gone, nobody may fall back to sending with them.
TEST_F(Change, lines_that_are_gone_take_superseded_keys_with_them) {
  auto policy = default_policy();
  policy.activation_delay = 2s;
  policy.deactivation_delay = 5s;
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  for (const bool kek : {false, false, true}) {
    ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", kek));
    net.run_for(8s);
  }
  policy.sas[0].acl = {permit("10.7.0.0/24", "172.16.0.0/16")};
  ASSERT_TRUE(server.role().update_policy(net.now(), policy));
  net.run_for(20s);
  EXPECT_EQ(status(member).acl, acl(policy.sas[0].acl)) << log();
  EXPECT_EQ(sending(member), current_spis(server));
  EXPECT_EQ(status(server).registrations, 1u);
}

TEST_F(Change, another_suite_takes_over_without_a_gap) {
  auto policy = default_policy();
  Server& server = add_server("10.9.0.2", policy);
  for (const char* address : {"10.9.0.11", "10.9.0.12"}) add_member(address);
  ASSERT_TRUE(register_all());
  policy.sas[0].suite = dataplane::Suite::aes_256_cbc_sha512_256;
  ASSERT_TRUE(server.role().update_policy(net.now(), policy));
  for (int second = 0; second < 90; ++second) {
    net.run_for(1s);
    for (Member& from : members) {
      for (const std::uint32_t spi : sending(from)) {
        for (Member& to : members) ASSERT_TRUE(receives(to, spi)) << "second " << second;
      }
    }
  }
  for (const auto& sa : installed(members[0]).sas) {
    EXPECT_EQ(sa.suite, dataplane::Suite::aes_256_cbc_sha512_256);
  }
}

TEST_F(Change, a_rekey_to_counter_mode_without_a_sender_id_brings_a_registration) {
  auto policy = default_policy();
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  policy.sas[0].suite = dataplane::Suite::aes_128_gcm_16;
  ASSERT_TRUE(server.role().update_policy(net.now(), policy));
  net.run_for(80s);
  EXPECT_EQ(status(member).registrations_succeeded, 2u);
  EXPECT_EQ(sending(member), current_spis(server)) << log();
  EXPECT_FALSE(installed(member).sas[0].sender_ids.empty());
}

TEST_F(Change, a_policy_that_gdoi_cannot_say_is_refused_and_nothing_changes) {
  Server& server = add_server("10.9.0.2", default_policy());
  auto bad = default_policy();
  bad.sas[0].acl[0].selector.protocol = 17;
  bad.sas[0].acl[0].selector.destination_ports = {5000, 6000};
  const Status refused = server.role().update_policy(net.now(), bad);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(gdoi::bad_group_policy));
  EXPECT_EQ(status(server).acl.size(), 2u);
  EXPECT_EQ(status(server).acl[0], default_policy().sas[0].acl[0].text());
}

// ---- removal ------------------------------------------------------------------------------------

TEST_F(Change, a_removed_member_keeps_nothing_and_gets_nothing) {
  Server& server = add_server("10.9.0.2", default_policy());
  for (const char* address : {"10.9.0.11", "10.9.0.12"}) add_member(address);
  ASSERT_TRUE(register_all());
  const auto old_spis = current_spis(server);
  const auto listed = status(server).members;
  ASSERT_TRUE(server.role().remove_member(net.now(), "GETVPN", listed[1].id));
  net.run_for(20s);
  EXPECT_EQ(sending(members[0]), current_spis(server)) << log();
  EXPECT_NE(current_spis(server), old_spis);
  for (const std::uint32_t spi : current_spis(server)) EXPECT_FALSE(receives(members[1], spi));
  EXPECT_EQ(sending(members[1]), (std::vector<std::uint32_t>{0, 0})) << "dropped, not in clear";
  EXPECT_GE(server.host->count(gdoi::removed_member), 1u);
  EXPECT_EQ(status(server).members.size(), 1u);
  ASSERT_EQ(status(server).removed.size(), 1u);

  // The next rekey is not for it either, and an operator can let it in again.
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", true));
  net.run_for(5s);
  for (const std::uint32_t spi : current_spis(server)) EXPECT_FALSE(receives(members[1], spi));
  ASSERT_TRUE(server.role().admit_member(net.now(), "GETVPN", listed[1].identity));
  ASSERT_TRUE(register_all(120s));
  EXPECT_EQ(status(server).members.size(), 2u);
}

// Members still listen for unicast when they are told of multicast.
TEST_F(Change, from_unicast_to_multicast_is_told_the_old_way) {
  gdoi::GroupPolicy policy = default_policy();
  Server& server = add_server("10.9.0.2", policy);
  add_member("10.9.0.11");
  add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  policy.rekey.transport = gdoi::RekeyTransport::multicast;
  policy.rekey.multicast_destination = Endpoint{IpAddress::parse("239.10.1.1").value(), gdoi_port};
  ASSERT_TRUE(server.role().update_policy(net.now(), policy));
  net.run_for(5s);
  for (Member& member : members) {
    EXPECT_EQ(status(member).kek->transport, gdoi::RekeyTransport::multicast) << log();
  }
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(60s);
  for (Member& member : members) EXPECT_EQ(sending(member), current_spis(server));
}

// Nothing that was sent before a registration may undo it.
TEST_F(Change, a_delete_that_comes_after_the_registration_takes_nothing) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  std::optional<Datagram> held;
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    if (!header || header->exchange != ExchangeType::groupkey_push) return Fate{};
    held = datagram;
    return Fate{0, {}, {}};
  };
  ASSERT_TRUE(server.role().clear_members(net.now(), "GETVPN"));
  net.run_for(1s);
  ASSERT_TRUE(held);
  ASSERT_TRUE(member.role().register_now(net.now(), "GETVPN"));
  net.run_for(10s);
  ASSERT_EQ(sending(member), current_spis(server));
  net.fate = nullptr;
  net.inject(held->local, held->remote, held->payload);
  net.run_for(100ms);
  EXPECT_EQ(status(member).state, gdoi::MemberState::registered);
  EXPECT_EQ(sending(member), current_spis(server)) << log();
}

TEST_F(Change, a_lost_delete_is_sent_again) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto old_spis = current_spis(server);
  int lost = 0;
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    const bool is_push = header && header->exchange == ExchangeType::groupkey_push;
    return is_push && lost++ == 0 ? Fate{0} : Fate{};
  };
  ASSERT_TRUE(server.role().clear_members(net.now(), "GETVPN"));
  net.run_for(30s);
  EXPECT_EQ(sending(member), old_spis);
  net.run_for(30s);
  EXPECT_EQ(sending(member), current_spis(server)) << log();
  EXPECT_FALSE(receives(member, old_spis[0]));
}

TEST_F(Change, a_removed_group_is_forgotten_everywhere) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().remove_group(net.now(), "GETVPN"));
  net.run_for(200s);
  EXPECT_TRUE(server.role().status(net.now()).empty());
  EXPECT_TRUE(installed(member).sas.empty());
  EXPECT_EQ(sending(member), (std::vector<std::uint32_t>{0, 0}));
  ASSERT_TRUE(server.role().add_group(net.now(), server_options(default_policy())));
  EXPECT_EQ(server.host->count(gdoi::events::ks_state_restored), 0u);
  ASSERT_TRUE(register_all(200s));
}

TEST_F(Change, a_member_that_leaves_wipes_its_keys) {
  add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(member.role().remove_group(net.now(), "GETVPN"));
  EXPECT_TRUE(installed(member).sas.empty());
  EXPECT_EQ(installed(member).otherwise, Action::drop);
  net.run_for(10s);
}

// ---- restarts -----------------------------------------------------------------------------------

TEST_F(Change, a_restarted_key_server_goes_on_with_its_keys_seq_and_members) {
  auto policy = default_policy();
  policy.sas[0].suite = dataplane::Suite::aes_256_gcm_16;
  Server& server = add_server("10.9.0.2", policy);
  for (const char* address : {"10.9.0.11", "10.9.0.12"}) add_member(address);
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(5s);
  const auto spis = current_spis(server);
  const auto kek = status(server).kek->spi;
  const auto used = installed(members[1]).sas[0].sender_ids;

  server.node.reset();
  net.run_for(30s);
  start_server(server, server_options(policy));
  EXPECT_EQ(server.host->count(gdoi::events::ks_state_restored), 1u);
  EXPECT_EQ(current_spis(server), spis);
  EXPECT_EQ(status(server).kek->spi, kek);
  EXPECT_EQ(status(server).kek->seq, 2u) << "the current keys once more, under the next SEQ";
  EXPECT_EQ(status(server).members.size(), 2u);
  EXPECT_LE(status(server).teks[0].remaining, 3600s - 30s);

  // Its rekeys reach the members without a registration, and no sender id is lent twice.
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(30s);
  EXPECT_EQ(status(members[0]).last_rekey_seq, 3u) << log();
  EXPECT_EQ(sending(members[0]), current_spis(server));
  add_member("10.9.0.13");
  ASSERT_TRUE(register_all());
  EXPECT_GT(installed(members[2]).sas[0].sender_ids.at(0), used.at(0));
  EXPECT_EQ(status(server).members.size(), 3u);
}

// The worst moment for a crash: the new keys are stored, and not a datagram has left.
TEST_F(Change, a_crash_in_the_middle_of_a_rekey_loses_nothing) {
  Server& server = add_server("10.9.0.2", default_policy());
  for (const char* address : {"10.9.0.11", "10.9.0.12"}) add_member(address);
  ASSERT_TRUE(register_all());
  for (const bool kek : {false, true}) {
    ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", kek));
    server.node.reset();
    net.run_for(5s);
    start_server(server, server_options(default_policy()));
    net.run_for(60s);
    for (Member& member : members) {
      EXPECT_EQ(sending(member), current_spis(server)) << log();
      EXPECT_EQ(status(member).kek->spi, status(server).kek->spi);
    }
  }
  EXPECT_EQ(status(members[0]).registrations_succeeded, 1u);
}

TEST_F(Change, a_crash_in_the_middle_of_a_removal_keeps_the_removed_out) {
  Server& server = add_server("10.9.0.2", default_policy());
  for (const char* address : {"10.9.0.11", "10.9.0.12"}) add_member(address);
  ASSERT_TRUE(register_all());
  const auto old_spis = current_spis(server);
  ASSERT_TRUE(server.role().remove_member(net.now(), "GETVPN", status(server).members[1].id));
  server.node.reset();
  start_server(server, server_options(default_policy()));
  net.run_for(60s);
  EXPECT_EQ(sending(members[0]), current_spis(server)) << log();
  EXPECT_FALSE(receives(members[0], old_spis[0]));
  EXPECT_EQ(sending(members[1]), (std::vector<std::uint32_t>{0, 0})) << log();
}

TEST_F(Change, after_a_long_outage_the_key_server_makes_new_keys) {
  auto policy = default_policy();
  policy.sas[0].lifetime = 300s;
  policy.rekey.lifetime = 600s;
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto spis = current_spis(server);
  server.node.reset();
  net.run_for(700s);
  EXPECT_EQ(sending(member), (std::vector<std::uint32_t>{0, 0})) << "no key outlives its life";
  EXPECT_TRUE(installed(member).sas.empty());
  EXPECT_EQ(member.host->count(gdoi::events::gm_no_keys), 1u);
  start_server(server, server_options(policy));
  EXPECT_NE(current_spis(server), spis);
  ASSERT_TRUE(net.run_until([&] { return sending(member) == current_spis(server); }, 200s))
      << log();
}

TEST_F(Change, damaged_state_is_refused_with_a_way_out) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  server.node.reset();
  const std::string prefix =
      "gdoi/" + to_hex(crypto::digest(crypto::Hash::sha256, {as_bytes("GETVPN")})).substr(0, 16);
  auto blob = server.host->store.get(prefix + "/keys").value().value();
  blob[40] = static_cast<std::uint8_t>(blob[40] ^ 1u);
  ASSERT_TRUE(server.host->store.put(prefix + "/keys", blob));
  server.node = std::make_unique<ServerNode>(*server.host, ike_options(*server.host));
  const Status refused = server.role().add_group(net.now(), server_options(default_policy()));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(gdoi::corrupt_state)) << refused.error().text();
  EXPECT_NE(refused.error().text().find("/keys"), std::string::npos);
  ASSERT_TRUE(server.host->store.remove(prefix + "/keys"));
  EXPECT_TRUE(server.role().add_group(net.now(), server_options(default_policy())));
}

TEST_F(Change, a_clock_that_was_set_back_adds_no_life_to_keys) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto before = status(server);
  server.node.reset();
  net.run_for(100s);
  net.clock.step_wall(-7200s);
  start_server(server, server_options(default_policy()));
  EXPECT_EQ(server.host->count(gdoi::events::ks_clock_set_back), 1u);
  for (const auto& tek : status(server).teks) {
    if (!tek.superseded) continue;
    EXPECT_LE(tek.remaining, 30s) << "what is left of the activation delay, and a little";
  }
  EXPECT_NE(status(server).kek->spi, before.kek->spi);
  for (int i = 0; i < 60; ++i) {
    net.run_for(1s);
    for (const std::uint32_t spi : sending(member)) ASSERT_NE(spi, 0u) << log();
  }
  EXPECT_EQ(sending(member), current_spis(server)) << log();
  EXPECT_EQ(status(server).registrations, 0u) << "nobody had to register again";
  // Down again, with a clock that goes right: nothing out of the ordinary.
  server.node.reset();
  net.run_for(100s);
  start_server(server, server_options(default_policy()));
  EXPECT_EQ(server.host->count(gdoi::events::ks_clock_set_back), 1u);
}

TEST_F(Change, a_clock_that_was_set_back_and_a_long_outage_leave_no_key) {
  auto policy = default_policy();
  policy.sas[0].lifetime = 300s;
  policy.rekey.lifetime = 600s;
  Server& server = add_server("10.9.0.2", policy);
  add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto spis = current_spis(server);
  server.node.reset();
  net.run_for(700s);
  net.clock.step_wall(-690s);
  start_server(server, server_options(policy));
  for (const auto& tek : status(server).teks) {
    for (const std::uint32_t old : spis) EXPECT_NE(tek.spi, old);
  }
}

TEST_F(Change, a_stored_value_that_means_nothing_is_refused) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  server.node.reset();
  const std::string name =
      "gdoi/" + to_hex(crypto::digest(crypto::Hash::sha256, {as_bytes("GETVPN")})).substr(0, 16) +
      "/keys";
  const Bytes good = server.host->store.get(name).value().value();
  const std::size_t content = 8 + 2 + 8 + 8;  // magic, version, two clocks
  const std::size_t cipher = content + 1 + 16, hash = cipher + 1, iv_length = hash + 1;
  for (const std::size_t at :
       {std::size_t{10}, std::size_t{18}, content, cipher, hash, iv_length}) {
    Bytes bad(good.begin(), good.end() - 32);
    bad.at(at) = 0x7f;
    const Bytes checksum = crypto::digest(crypto::Hash::sha256, {bad});
    bad.insert(bad.end(), checksum.begin(), checksum.end());
    ASSERT_TRUE(server.host->store.put(name, bad));
    server.node = std::make_unique<ServerNode>(*server.host, ike_options(*server.host));
    const Status refused = server.role().add_group(net.now(), server_options(default_policy()));
    ASSERT_FALSE(refused) << at;
    EXPECT_TRUE(refused.error().is(gdoi::corrupt_state)) << refused.error().text();
    server.node.reset();
  }
}

TEST_F(Change, a_transport_changed_while_the_server_was_down_is_told_the_old_way) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  server.node.reset();
  auto policy = default_policy();
  policy.rekey.transport = gdoi::RekeyTransport::multicast;
  policy.rekey.multicast_destination = Endpoint{IpAddress::parse("239.10.1.1").value(), gdoi_port};
  start_server(server, server_options(policy));
  net.run_for(5s);
  EXPECT_EQ(status(member).kek->transport, gdoi::RekeyTransport::multicast) << log();
  EXPECT_EQ(status(member).kek->spi, status(server).kek->spi);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(30s);
  EXPECT_EQ(sending(member), current_spis(server)) << log();
  EXPECT_EQ(status(member).registrations_succeeded, 1u);
}

TEST_F(Change, a_policy_changed_while_the_server_was_down_is_distributed_at_its_start) {
  auto policy = default_policy();
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto before = sending(member);
  server.node.reset();
  policy.sas[0].acl.push_back(permit("10.9.9.0/24", "172.16.0.0/16"));
  start_server(server, server_options(policy));
  net.run_for(2s);
  EXPECT_EQ(status(member).acl, acl(policy.sas[0].acl)) << log();
  EXPECT_EQ(sending(member)[0], before[0]);
}

// ---- keys that run out --------------------------------------------------------------------------

TEST_F(Change, a_member_that_gets_no_rekey_registers_again_in_time) {
  auto policy = default_policy();
  policy.sas[0].lifetime = 600s;
  policy.rekey.evict_after_unanswered = 0;
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  lose_rekeys();
  for (int second = 0; second < 1500; second += 5) {
    net.run_for(5s);
    for (const std::uint32_t spi : sending(member)) ASSERT_NE(spi, 0u) << second << "\n" << log();
  }
  EXPECT_GE(status(member).registrations_succeeded, 3u);
  EXPECT_GE(member.host->count(gdoi::events::gm_re_register), 2u);
  (void)server;
}

TEST_F(Change, nearly_used_up_sender_ids_are_renewed) {
  auto policy = default_policy();
  policy.sas[0].suite = dataplane::Suite::aes_128_gcm_16;
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto before = installed(member).sas[0].sender_ids;
  dataplane::Usage usage;
  usage.sas.push_back({.spi = installed(member).sas[0].spi, .exhausted_permille = 950});
  member.host->dataplane.usages["wan"] = usage;
  net.run_for(20s);
  EXPECT_EQ(status(member).registrations_succeeded, 2u) << "once, not at every look";
  EXPECT_NE(installed(member).sas[0].sender_ids, before);
  (void)server;
}

TEST_F(Change, a_pull_that_races_a_push_keeps_the_higher_seq) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  // Message 4 of a second registration is held up; a rekey overtakes it.
  hold_up_message_4();
  ASSERT_TRUE(member.role().register_now(net.now(), "GETVPN"));
  net.run_for(100ms);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(100ms);
  EXPECT_EQ(status(member).kek->seq, 1u);
  net.run_for(1s);
  EXPECT_EQ(status(member).registrations_succeeded, 2u);
  EXPECT_EQ(status(member).kek->seq, 1u) << "the SEQ of message 4 was 0: stale";
  net.run_for(30s);
  EXPECT_EQ(sending(member), current_spis(server)) << log();
}

// A PULL names the active TEK and the newest, and says lifetimes in whole seconds: by them the one
// between, 300 ms older than the newest, seems to end last.
TEST_F(Change, of_two_rekeys_within_a_second_a_registration_keeps_the_second) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(300ms);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(60'250ms);  // what is left has a fraction of a second
  ASSERT_EQ(sending(member), current_spis(server)) << log();
  ASSERT_TRUE(member.role().register_now(net.now(), "GETVPN"));
  net.run_for(60s);
  EXPECT_EQ(status(member).registrations_succeeded, 2u);
  EXPECT_EQ(sending(member), current_spis(server)) << log();
}

// Its keys are of before: what the rekey brought must not go with them, nor come back what it took.
TEST_F(Change, a_pull_that_a_new_policy_overtakes_is_begun_again) {
  gdoi::GroupPolicy policy = default_policy();
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  hold_up_message_4();
  ASSERT_TRUE(member.role().register_now(net.now(), "GETVPN"));
  net.run_for(100ms);
  policy.sas.push_back(policy.sas[0]);
  policy.sas[1].number = 20;
  policy.sas[1].acl = {permit("10.1.0.0/24", "172.17.0.0/16")};
  ASSERT_TRUE(server.role().update_policy(net.now(), policy));
  net.run_for(100ms);
  const std::uint32_t fresh = current_spis(server).back();
  ASSERT_TRUE(receives(member, fresh));
  for (int i = 0; i < 20; ++i) {
    net.run_for(100ms);
    ASSERT_TRUE(receives(member, fresh)) << log();
  }
  EXPECT_EQ(status(member).registrations_succeeded, 2u);
}

}  // namespace
}  // namespace cohort::harness
