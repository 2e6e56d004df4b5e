#include <gmock/gmock.h>
#include <optional>
#include <set>

#include "tests/exchange/gdoi_fixture.hpp"

/// A lone key server, and a disk that is what it wrote last, or is not.
namespace cohort::harness {
namespace {

class Disk : public GdoiDialogue {
 protected:
  static gdoi::GroupPolicy counter_mode(std::uint8_t bits = 16) {
    auto policy = default_policy();
    policy.sas[0].suite = dataplane::Suite::aes_128_gcm_16;
    policy.sender_id_bits = bits;
    return policy;
  }
  Server& server_with(std::chrono::seconds trust, const gdoi::GroupPolicy& policy) {
    options = server_options(policy);
    options->state_trust = trust;
    Server& server = servers.emplace_back();
    server.host = &net.add_host("10.9.0.2");
    enrol(*server.host, "ks1", "GETVPN_KS", 1);
    start_server(server, *options);
    return server;
  }
  /// Starts again from a disk with this past.
  void restart(Server& server, Provenance past) {
    server.node.reset();
    server.host->store.past = past;
    net.run_for(5s);
    start_server(server, *options);
    net.run_for(5s);
  }
  /// What a member sends with: never the same for two, nor for one after another registration.
  void note_ids(Member& member) {
    for (const auto& sa : installed(member).sas)
      for (const std::uint32_t id : sa.sender_ids)
        EXPECT_TRUE(used.insert({sa.spi, id}).second) << "sender id " << id << " again";
  }
  void register_again(Member& member) {
    const auto before = status(member).registrations_succeeded;
    ASSERT_TRUE(member.role().register_now(net.now(), "GETVPN"));
    ASSERT_TRUE(net.run_until([&] { return status(member).registrations_succeeded > before; }, 90s))
        << log();
  }

  std::optional<gdoi::KeyServerOptions> options;
  std::set<std::pair<std::uint32_t, std::uint32_t>> used;
};

TEST_F(Disk, an_old_copy_deletes_every_key_and_the_members_hear_it) {
  Server& server = server_with(600s, counter_mode());
  for (const char* address : {"10.9.0.11", "10.9.0.12"}) add_member(address);
  ASSERT_TRUE(register_all());
  const MemoryStore copy = server.host->store;
  const auto spis = current_spis(server);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", false));
  net.run_for(30s);
  server.host->store = copy;
  restart(server, Provenance::unknown);
  EXPECT_EQ(server.host->count(gdoi::events::ks_state_unproven), 1u);
  EXPECT_NE(current_spis(server), spis);
  net.run_for(10s);
  for (Member& member : members) {
    EXPECT_EQ(status(member).registrations_succeeded, 2u) << log();
    EXPECT_EQ(sending(member), current_spis(server));
  }
}

TEST_F(Disk, without_counter_mode_an_old_copy_keeps_the_keys) {
  Server& server = server_with(0s, default_policy());
  Member& member = add_member("10.9.0.11");
  ASSERT_TRUE(register_all());
  const MemoryStore copy = server.host->store;
  net.run_for(60s);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(60s);
  server.host->store = copy;
  restart(server, Provenance::unknown);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(60s);
  EXPECT_EQ(sending(member), current_spis(server)) << "its rekeys are above what members have seen";
  EXPECT_EQ(status(member).registrations_succeeded, 1u);
}

TEST_F(Disk, a_recent_disk_goes_on_behind_all_that_may_have_been_lent) {
  Server& server = server_with(600s, counter_mode());
  Member& first = add_member("10.9.0.11");
  Member& second = add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  note_ids(first);
  note_ids(second);
  net.run_for(5s);
  const auto spis = current_spis(server);
  const MemoryStore snapshot = server.host->store;
  register_again(first);
  note_ids(first);
  restart(server, Provenance::original);  // the machine was off
  register_again(first);
  note_ids(first);
  server.host->store = snapshot;
  restart(server, Provenance::original);  // and now the snapshot is back
  register_again(second);
  note_ids(second);
  EXPECT_EQ(current_spis(server), spis) << "nobody had to do anything";
  EXPECT_EQ(status(first).registrations_succeeded, 3u);
  server.host->store = snapshot;
  server.node.reset();
  net.run_for(1200s);  // too old to tell
  restart(server, Provenance::original);
  EXPECT_EQ(server.host->count(gdoi::events::ks_state_unproven), 1u);
}

TEST_F(Disk, so_that_it_may_be_trusted_it_lends_a_part_at_most_at_a_time) {
  Server& server = server_with(600s, counter_mode(8));
  for (const char* address : {"10.9.0.11", "10.9.0.12", "10.9.0.13"}) {
    Member& member = add_member(address);
    member.options.sender_ids = 32;
    member.options.registration_retry_max = 5000ms;
  }
  net.run_for(1s);
  EXPECT_FALSE(register_all(60s)) << "64 of 256 in ten minutes, and a few more as it goes on";
  EXPECT_GE(server.host->count(gdoi::sender_ids_limited), 1u);
  EXPECT_TRUE(register_all(1300s)) << log();
  EXPECT_EQ(server.host->count(gdoi::events::ks_clear_register), 0u);
  EXPECT_EQ(status(server).sender_ids_used, 96u);
}

TEST_F(Disk, a_crash_after_a_reset_keeps_those_who_registered_since) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  Member& silent = add_member("10.9.0.3");
  ASSERT_TRUE(register_all());
  net.run_for(60s);
  silent.node.reset();  // owes an answer, so that the Delete goes on being sent
  ASSERT_TRUE(server.role().clear_members(net.now(), "GETVPN"));
  net.run_for(10s);
  ASSERT_EQ(sending(member), current_spis(server));
  server.node.reset();
  start_server(server, server_options(default_policy()));
  net.run_for(5s);
  ASSERT_EQ(status(server).members.size(), 1u) << log();
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(40s);
  EXPECT_EQ(sending(member), current_spis(server)) << log();
}

// Which of the stored members are of before the reset is told by times of whole seconds.
TEST_F(Disk, a_crash_after_a_reset_lists_nobody_twice) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.1");
  Member& silent = add_member("10.9.0.3");
  ASSERT_TRUE(register_all());
  silent.node.reset();  // owes an answer, so that the Delete goes on being sent
  ASSERT_TRUE(server.role().clear_members(net.now(), "GETVPN"));
  net.run_for(10s);
  ASSERT_EQ(status(server).members.size(), 1u) << log();
  server.node.reset();
  start_server(server, server_options(default_policy()));
  EXPECT_EQ(status(server).members.size(), 2u) << "the silent one, for now";
}

TEST_F(Disk, a_disk_that_fails_at_the_end_of_a_reset_brings_nobody_back) {
  Server& server = add_server("10.9.0.2", default_policy());
  for (const char* address : {"10.9.0.11", "10.9.0.12"}) add_member(address);
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().remove_member(net.now(), "GETVPN", status(server).members[1].id));
  server.host->store.broken = true;
  net.run_for(10s);
  server.host->store.broken = false;
  net.run_for(60s);
  ASSERT_EQ(sending(members[0]), current_spis(server)) << log();
  server.node.reset();
  start_server(server, server_options(default_policy()));
  const auto listed = status(server).members;
  ASSERT_EQ(listed.size(), 1u) << log();
  EXPECT_EQ(listed[0].remote.address, members[0].host->address());
}

}  // namespace
}  // namespace cohort::harness
