#include "tests/exchange/gdoi_fixture.hpp"

/// What a member does when it has missed something, and what nobody can make it do.
namespace cohort::harness {
namespace {

using ike::ExchangeType;

class Recovery : public GdoiDialogue {
 protected:
  /// The dataplane of `member` has dropped `packets` more with this unknown SPI.
  static void drop_unknown(Member& member, std::uint32_t spi, std::uint64_t packets = 1) {
    dataplane::Usage& usage = member.host->dataplane.usages["wan"];
    usage.unknown_spi = spi;
    if (usage.drops.empty()) usage.drops.push_back({"unknown_spi", 0});
    usage.drops[0].value += packets;
  }
  /// No rekey reaches this member.
  void cut_off(const Member& member) {
    net.fate = [at = member.host->address()](const Datagram& datagram) {
      const auto header = ike::Header::parse(datagram.payload);
      const bool push = header && header->exchange == ExchangeType::groupkey_push;
      return push && datagram.remote.address == at ? Fate{0} : Fate{};
    };
  }
  [[nodiscard]] static gdoi::GroupPolicy patient_policy() {
    auto policy = default_policy();
    policy.sas[0].lifetime = 7200s;
    return policy;
  }
};

TEST_F(Recovery, a_member_that_missed_a_rekey_registers_when_others_use_the_new_key) {
  Server& server = add_server("10.9.0.2", patient_policy());
  Member& cut = add_member("10.9.0.11");
  add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  cut_off(cut);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(30s);
  const auto spis = current_spis(server);
  ASSERT_EQ(sending(members[1]), spis);
  ASSERT_FALSE(receives(cut, spis[0]));
  drop_unknown(cut, spis[0]);
  net.run_for(20s);
  EXPECT_EQ(sending(cut), spis) << log();
  EXPECT_EQ(status(cut).unknown_spi_registrations, 1u);
  EXPECT_EQ(status(cut).unknown_spi, spis[0]);
  EXPECT_EQ(status(cut).unknown_spi_postponed, 0u);
  EXPECT_EQ(cut.host->count(gdoi::events::gm_unknown_spi), 1u);
  EXPECT_EQ(cut.host->count(gdoi::events::gm_re_register), 1u);
  EXPECT_EQ(status(server).registrations, 3u);
}

TEST_F(Recovery, a_member_that_was_evicted_while_it_was_cut_off_comes_back) {
  auto policy = patient_policy();
  policy.rekey.evict_after_unanswered = 1;
  policy.rekey.retransmit_interval = 5s;
  Server& server = add_server("10.9.0.2", policy);
  Member& cut = add_member("10.9.0.11");
  add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  cut_off(cut);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", true));
  net.run_for(60s);
  ASSERT_EQ(status(server).members.size(), 1u) << log();
  net.fate = nullptr;
  drop_unknown(cut, current_spis(server)[1], 100);
  net.run_for(20s);
  EXPECT_EQ(status(server).members.size(), 2u) << log();
  EXPECT_EQ(sending(cut), current_spis(server));
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(30s);
  EXPECT_EQ(sending(cut), current_spis(server));
}

TEST_F(Recovery, a_rekey_that_is_only_late_makes_the_registration_needless) {
  Server& server = add_server("10.9.0.2", patient_policy());
  Member& late = add_member("10.9.0.11");
  late.options.unknown_spi_wait = 600s;
  ASSERT_TRUE(register_all());
  cut_off(late);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(10s);
  drop_unknown(late, current_spis(server)[0]);
  net.fate = nullptr;
  ASSERT_TRUE(
      net.run_until([&] { return late.host->count(gdoi::events::gm_unknown_spi) == 1; }, 10s));
  net.run_for(700s);  // the rekey is sent again after 40 s
  EXPECT_EQ(sending(late), current_spis(server));
  EXPECT_EQ(status(late).registrations_succeeded, 1u) << log();
  EXPECT_EQ(status(late).unknown_spi_registrations, 0u);
}

TEST_F(Recovery, packets_under_keys_that_have_ended_are_no_reason) {
  auto policy = default_policy();
  policy.sas[0].lifetime = 300s;
  policy.rekey.retransmit_interval = 5s;
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.11");
  ASSERT_TRUE(register_all());
  const auto old = current_spis(server);
  net.run_for(600s);
  ASSERT_FALSE(receives(member, old[0]));
  for (int i = 0; i < 60; ++i) {
    drop_unknown(member, old[static_cast<std::size_t>(i) % 2], 1000);  // recorded, and sent again
    net.run_for(5s);
  }
  EXPECT_EQ(member.host->count(gdoi::events::gm_unknown_spi), 0u);
  EXPECT_EQ(status(member).registrations_succeeded, 1u) << log();
}

TEST_F(Recovery, a_flood_of_random_spis_is_no_flood_at_the_key_server) {
  Server& server = add_server("10.9.0.2", patient_policy());
  for (const char* at : {"10.9.0.11", "10.9.0.12", "10.9.0.13", "10.9.0.14", "10.9.0.15"})
    add_member(at);
  ASSERT_TRUE(register_all());
  std::uint32_t spi = 0x01000000;
  const auto flood = [&](std::chrono::seconds how_long) {
    for (auto at = 0s; at < how_long; at += 5s) {
      for (Member& member : members) drop_unknown(member, ++spi, 100'000);
      net.run_for(5s);
    }
  };
  const auto before = status(server).registrations;
  flood(3600s);
  const auto first_hour = status(server).registrations - before;
  EXPECT_GE(first_hour, 5u);
  EXPECT_LE(first_hour, 5u * 9);
  flood(7200s);
  // From then on each member asks about once an hour at the most.
  EXPECT_LE(status(server).registrations - before - first_hour, 5u * 4) << log();
  // Once it is quiet, a missed rekey is noticed as fast as ever.
  net.run_for(7200s);
  cut_off(members[0]);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(30s);
  drop_unknown(members[0], current_spis(server)[0]);
  net.run_for(20s);
  EXPECT_EQ(sending(members[0]), current_spis(server)) << log();
}

TEST_F(Recovery, the_members_of_a_group_do_not_come_all_at_once) {
  Server& server = add_server("10.9.0.2", patient_policy());
  for (int i = 0; i < 12; ++i) add_member("10.9.1." + std::to_string(10 + i));
  ASSERT_TRUE(register_all());
  const auto before = status(server).registrations;
  for (Member& member : members) drop_unknown(member, 0x7777);
  unsigned most = 0;
  auto last = before;
  for (int i = 0; i < 20; ++i) {
    net.run_for(1s);
    const auto now = status(server).registrations;
    most = std::max(most, static_cast<unsigned>(now - last));
    last = now;
  }
  EXPECT_EQ(last - before, 12u);
  EXPECT_LE(most, 6u) << "spread over ten seconds";
}

TEST_F(Recovery, an_overtaken_registration_asks_again_after_a_growing_pause) {
  Server& server = add_server("10.9.0.2", patient_policy());
  Member& member = add_member("10.9.0.11");
  // The group is rekeyed between message 2 and 3, each time.
  bool busy = true;
  unsigned offers = 0;
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    const bool offer = header && header->exchange == ExchangeType::groupkey_pull &&
                       datagram.local.address == server.host->address();
    if (offer && busy) {
      ++offers;
      (void)server.role().rekey_now(net.now(), "GETVPN");
    }
    return Fate{};
  };
  start(member);
  net.run_for(10s);
  EXPECT_GE(offers, 4u);
  EXPECT_LE(offers, 8u) << "not a hundred times a second";
  EXPECT_NE(status(member).state, gdoi::MemberState::registered);
  net.run_for(20s);
  EXPECT_NE(status(member).last_failure.find("stale_offer"), std::string::npos)
      << status(member).last_failure;
  busy = false;
  EXPECT_TRUE(register_all(60s)) << log();
}

// After a restart the key server sends its keys under the KEK of before as well.
TEST_F(Recovery, who_registered_after_a_change_of_the_kek_owes_no_answer_under_the_one_before) {
  auto policy = default_policy();
  policy.rekey.evict_after_unanswered = 1;
  Server& server = add_server("10.9.0.2", policy);
  add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", true));
  net.run_for(60s);
  Member& late = add_member("10.9.0.3");
  ASSERT_TRUE(register_all());
  server.node.reset();
  start_server(server, server_options(policy));
  net.run_for(120s);
  EXPECT_EQ(status(late).kek->seq, status(server).kek->seq) << log();
  EXPECT_EQ(status(server).members.size(), 2u) << log();
}

}  // namespace
}  // namespace cohort::harness
