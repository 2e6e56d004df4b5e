#include <set>

#include "gdoi/groupkey_push.hpp"
#include "tests/exchange/gdoi_fixture.hpp"

/// Rekeys: what reaches a member, when it sends with what, and what it refuses.
namespace cohort::harness {
namespace {

using ike::ExchangeType;

class Push : public GdoiDialogue {};

bool is_push(const Datagram& datagram) {
  const auto header = ike::Header::parse(datagram.payload);
  return header && header->exchange == ExchangeType::groupkey_push;
}

// <-- HDR*, SEQ, SA, KD, SIG      --> HDR, HASH, SEQ, ID
TEST_F(Push, new_teks_are_received_on_at_once_and_sent_with_after_the_activation_delay) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto old_spis = current_spis(server);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(1s);
  const auto new_spis = current_spis(server);
  ASSERT_NE(new_spis, old_spis);
  EXPECT_EQ(sending(member), old_spis);
  for (const std::uint32_t spi : new_spis) EXPECT_TRUE(receives(member, spi));
  net.run_for(18s);
  EXPECT_EQ(sending(member), old_spis);
  net.run_for(2s);
  EXPECT_EQ(sending(member), new_spis);
  for (const std::uint32_t spi : old_spis) EXPECT_TRUE(receives(member, spi));
  EXPECT_EQ(sent(ExchangeType::groupkey_push).size(), 1u);
  EXPECT_EQ(sent(ExchangeType::groupkey_push_ack).size(), 1u);
  EXPECT_EQ(status(server).acks_received, 1u);
  EXPECT_EQ(status(member).last_rekey_seq, 1u);
  EXPECT_EQ(status(member).rekey_acks_sent, 1u);
  EXPECT_TRUE(member.host->refusals.empty()) << log();
  EXPECT_TRUE(server.host->refusals.empty()) << log();
}

TEST_F(Push, keys_are_replaced_before_they_end_and_nobody_is_without_one) {
  auto policy = default_policy();
  policy.sas[0].lifetime = 300s;
  policy.rekey.lifetime = 900s;
  policy.rekey.retransmit_interval = 10s;
  Server& server = add_server("10.9.0.2", policy);
  for (const char* address : {"10.9.0.11", "10.9.0.12"}) add_member(address);
  ASSERT_TRUE(register_all());
  for (int minute = 0; minute < 60; ++minute) {
    net.run_for(60s);
    for (Member& member : members) {
      const auto spis = sending(member);
      for (const std::uint32_t spi : spis) {
        ASSERT_NE(spi, 0u) << "minute " << minute << "\n" << log();
        // What one sends the other receives.
        for (Member& other : members) ASSERT_TRUE(receives(other, spi)) << "minute " << minute;
      }
    }
  }
  EXPECT_GE(status(server).rekeys, 12u);
  EXPECT_GE(status(server).kek_rekeys, 3u);
  EXPECT_EQ(status(server).registrations, 2u) << "nobody had to register again\n" << log();
  EXPECT_EQ(status(server).evictions, 0u);
}

TEST_F(Push, the_kek_is_replaced_under_the_old_one_and_seq_starts_over) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  const auto before = status(member).kek->spi;
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", true));
  net.run_for(1s);
  EXPECT_NE(status(member).kek->spi, before);
  EXPECT_EQ(status(member).kek->spi, status(server).kek->spi);
  EXPECT_EQ(status(server).kek->seq, 0u);
  const auto push = sent(ExchangeType::groupkey_push).at(0);
  EXPECT_TRUE(equal(ByteView(push.payload).first(16), before));
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(1s);
  EXPECT_EQ(status(member).kek->seq, 1u);
  EXPECT_EQ(status(server).acks_received, 2u);
  EXPECT_EQ(status(server).rekeys, 2u);
  EXPECT_EQ(status(server).kek_rekeys, 1u);
  EXPECT_EQ(status(member).pfs_rekeys, 1u) << "the first brought new TEKs under a new KEK";
  EXPECT_EQ(status(member).rekeys_received, 2u);
  EXPECT_TRUE(member.host->refusals.empty()) << log();
}

// What is sent at one moment may be overtaken, and a lower SEQ is refused: not in every round.
TEST_F(Push, rekeys_that_are_under_way_together_are_not_repeated_at_one_moment) {
  auto policy = default_policy();
  policy.rekey.retransmit_interval = 4s;
  policy.rekey.retransmit_number = 3;
  Server& server = add_server("10.9.0.2", policy);
  add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  net.fate = [](const Datagram& datagram) { return is_push(datagram) ? Fate{0} : Fate{}; };
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(3900ms);
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", true));
  net.run_for(200ms);
  std::size_t before = sent(ExchangeType::groupkey_push).size();
  const std::size_t first = before;
  for (int i = 0; i < 40; ++i) {
    net.run_for(500ms);
    const std::size_t now = sent(ExchangeType::groupkey_push).size();
    EXPECT_LE(now - before, 1u) << i;
    before = now;
  }
  EXPECT_EQ(before - first, 6u) << "three rounds of each";
}

std::set<std::uint16_t> windows(const dataplane::Snapshot& snapshot) {
  std::set<std::uint16_t> found;
  for (const auto& sa : snapshot.sas) {
    found.insert(sa.replay == dataplane::ReplayKind::none ? std::uint16_t{0} : sa.replay_window);
  }
  return found;
}

// RFC 5374: a window is right for one sender. Members of two hear one; of three, two.
TEST_F(Push, the_third_member_ends_counter_anti_replay_for_everybody) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.11");
  add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  EXPECT_EQ(windows(installed(members[0])), std::set<std::uint16_t>{64});
  EXPECT_EQ(windows(installed(members[1])), std::set<std::uint16_t>{64});
  EXPECT_EQ(server.host->count(gdoi::events::ks_replay_window_off), 0u);
  const auto spis = sending(members[0]);
  add_member("10.9.0.13");
  ASSERT_TRUE(register_all());
  net.run_for(1s);
  for (Member& member : members) {
    EXPECT_EQ(windows(installed(member)), std::set<std::uint16_t>{0}) << log();
    EXPECT_EQ(sending(member), spis) << "the keys stay";
  }
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(120s);
  for (Member& member : members) {
    EXPECT_EQ(windows(installed(member)), std::set<std::uint16_t>{0});
  }
  add_member("10.9.0.14");
  ASSERT_TRUE(register_all());
  EXPECT_EQ(server.host->count(gdoi::events::ks_replay_window_off), 1u);
  EXPECT_EQ(status(server).teks.at(0).replay, dataplane::ReplayKind::none);
}

TEST_F(Push, three_that_register_at_once_have_no_window_either) {
  add_server("10.9.0.2", default_policy());
  for (const char* address : {"10.9.0.11", "10.9.0.12", "10.9.0.13"}) add_member(address);
  ASSERT_TRUE(register_all());
  net.run_for(1s);
  for (Member& member : members) {
    EXPECT_EQ(windows(installed(member)), std::set<std::uint16_t>{0}) << log();
  }
}

TEST_F(Push, an_sa_with_a_single_sender_keeps_its_window) {
  gdoi::GroupPolicy policy = default_policy();
  policy.sas[0].single_sender = true;
  Server& server = add_server("10.9.0.2", policy);
  for (const char* address : {"10.9.0.11", "10.9.0.12", "10.9.0.13"}) add_member(address);
  ASSERT_TRUE(register_all());
  for (Member& member : members) {
    EXPECT_EQ(windows(installed(member)), std::set<std::uint16_t>{64});
  }
  EXPECT_EQ(server.host->count(gdoi::events::ks_replay_window_off), 0u);
}

TEST_F(Push, a_member_that_restarts_brings_new_teks_where_there_are_windows) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.11");
  Member& second = add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  const auto before = current_spis(server);
  ASSERT_TRUE(second.role().register_now(net.now(), "GETVPN"));
  net.run_for(10s);
  EXPECT_EQ(current_spis(server), before) << "it holds its keys and counts on";
  second.node.reset();
  start(second);
  net.run_for(10s);
  EXPECT_NE(current_spis(server), before) << log();
  EXPECT_EQ(server.host->count(gdoi::events::ks_member_restarted), 1u);
  net.run_for(30s);
  EXPECT_EQ(sending(members[0]), current_spis(server));
  EXPECT_EQ(sending(second), current_spis(server));
  // Again and again: at most once a minute.
  const auto rekeys = status(server).rekeys;
  for (int i = 0; i < 5; ++i) {
    second.node.reset();
    start(second);
    net.run_for(5s);
  }
  EXPECT_LE(status(server).rekeys, rekeys + 1);
}

TEST_F(Push, a_replayed_an_old_and_a_forged_push_are_refused) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
    net.run_for(5s);
  }
  const auto pushes = sent(ExchangeType::groupkey_push);
  ASSERT_EQ(pushes.size(), 2u);
  const auto applied = member.host->dataplane.applied;
  net.inject(pushes[0].local, pushes[0].remote, pushes[0].payload);  // SEQ 1 after SEQ 2
  Bytes forged = pushes[1].payload;
  forged[60] = static_cast<std::uint8_t>(forged[60] ^ 0x10u);
  net.inject(pushes[1].local, pushes[1].remote, forged);
  Bytes stranger = pushes[1].payload;
  stranger[3] = static_cast<std::uint8_t>(stranger[3] ^ 1u);
  net.inject(pushes[1].local, pushes[1].remote, stranger);
  Bytes cut = pushes[1].payload;
  cut.resize(cut.size() - 16);
  net.inject(pushes[1].local, pushes[1].remote, cut);
  net.run_for(2s);
  EXPECT_EQ(member.host->count(gdoi::replayed_push), 2u);  // the forged one has the old SEQ, too
  EXPECT_EQ(member.host->count(gdoi::unknown_kek), 1u);
  EXPECT_EQ(member.host->refusals.size(), 4u) << log();
  EXPECT_EQ(member.host->dataplane.applied, applied);
  EXPECT_EQ(status(member).rekeys_received, 2u);
  EXPECT_EQ(status(member).last_rekey_seq, 2u);
}

// A member knows the KEK but can't sign: it must not be able to burn sequence numbers.
TEST_F(Push, a_push_signed_by_somebody_else_does_not_advance_seq) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(1s);
  // A bit of the last blocks damages nothing but SIG.
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.fate = [&](const Datagram& datagram) {
    if (!is_push(datagram)) return Fate{};
    Bytes forged = datagram.payload;
    forged[forged.size() - 40] = static_cast<std::uint8_t>(forged[forged.size() - 40] ^ 4u);
    return Fate{1, {}, forged};
  };
  net.run_for(1s);
  EXPECT_EQ(member.host->count(gdoi::bad_push_signature), 1u) << log();
  EXPECT_EQ(status(member).kek->seq, 1u);
  net.fate = nullptr;
  net.run_for(60s);  // the retransmission
  EXPECT_EQ(status(member).kek->seq, 3u);
  EXPECT_EQ(sending(member), current_spis(server));
}

TEST_F(Push, a_lost_push_is_sent_again_with_a_new_seq) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.11");
  add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  int lost = 0;
  net.fate = [&](const Datagram& datagram) {
    const bool to_second = datagram.remote == members[1].host->at(gdoi_port);
    if (is_push(datagram) && to_second && lost++ == 0) return Fate{0};
    return Fate{};
  };
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(60s);
  for (Member& member : members) EXPECT_EQ(sending(member), current_spis(server)) << log();
  // The first one has answered: only the second is sent to again.
  EXPECT_EQ(sent(ExchangeType::groupkey_push).size(), 3u);
  EXPECT_EQ(status(members[0]).rekeys_received, 1u);
  EXPECT_EQ(status(members[1]).last_rekey_seq, 2u);
  EXPECT_EQ(status(server).members[1].acks_missed, 0u);
}

TEST_F(Push, a_lost_acknowledgement_is_given_again) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  int lost = 0;
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    const bool ack = header && header->exchange == ExchangeType::groupkey_push_ack;
    return ack && lost++ == 0 ? Fate{0} : Fate{};
  };
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(120s);
  EXPECT_EQ(status(server).acks_received, 1u);
  EXPECT_EQ(status(member).rekey_acks_sent, 2u);
  EXPECT_EQ(status(server).members[0].unanswered_rekeys, 0u);
  // A copy of the datagram on the network is acknowledged again, too, but not without limit.
  const auto push = sent(ExchangeType::groupkey_push).back();
  for (int i = 0; i < 5; ++i) net.inject(push.local, push.remote, push.payload);
  net.run_for(1s);
  EXPECT_EQ(status(member).rekey_acks_sent, 3u);
}

TEST_F(Push, a_member_that_never_answers_is_evicted_after_some_rekeys) {
  auto policy = default_policy();
  policy.rekey.retransmit_interval = 5s;
  Server& server = add_server("10.9.0.2", policy);
  add_member("10.9.0.11");
  Member& silent = add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  silent.node.reset();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(status(server).members.size(), 2u);
    ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
    net.run_for(60s);
  }
  ASSERT_EQ(status(server).members.size(), 1u);
  EXPECT_EQ(status(server).members[0].remote, members[0].host->at(gdoi_port));
  EXPECT_EQ(server.host->count(gdoi::events::ks_nack_gm_eject), 1u);
  EXPECT_EQ(server.host->count(gdoi::events::ks_ack_missing), 3u);
  const auto before = sent(ExchangeType::groupkey_push).size();
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(60s);
  EXPECT_EQ(sent(ExchangeType::groupkey_push).size(), before + 1);
  // It may come back.
  start(silent);
  ASSERT_TRUE(register_all());
  EXPECT_EQ(status(server).members.size(), 2u);
}

TEST_F(Push, forged_copied_and_unasked_acknowledgements_are_refused) {
  Server& server = add_server("10.9.0.2", default_policy());
  add_member("10.9.0.11");
  Member& slow = add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  net.fate = [&](const Datagram& datagram) {
    return is_push(datagram) && datagram.remote == slow.host->at(gdoi_port) ? Fate{0} : Fate{};
  };
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(1s);
  const auto ack = sent(ExchangeType::groupkey_push_ack).at(0);
  net.inject(ack.local, ack.remote, ack.payload);
  Bytes forged = ack.payload;
  forged.back() = static_cast<std::uint8_t>(forged.back() ^ 1u);  // another member's address
  net.inject(slow.host->at(gdoi_port), ack.remote, forged);
  Bytes other_kek = ack.payload;
  other_kek[0] = static_cast<std::uint8_t>(other_kek[0] ^ 1u);
  net.inject(ack.local, ack.remote, other_kek);
  net.run_for(1s);
  EXPECT_EQ(server.host->count(gdoi::duplicate_ack), 1u);
  EXPECT_EQ(server.host->count(gdoi::hash_mismatch), 1u);
  EXPECT_EQ(server.host->count(gdoi::unsolicited_ack), 1u);
  EXPECT_EQ(status(server).acks_received, 1u);
}

// RFC 8263: what was not taken is not acknowledged, however often it comes.
TEST_F(Push, a_refused_rekey_is_never_acknowledged) {
  gdoi::GroupPolicy policy = default_policy();
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  member.options.accepted_suites = {policy.sas[0].suite};
  ASSERT_TRUE(register_all());
  policy.sas[0].suite = dataplane::Suite::aes_256_cbc_sha512_256;
  ASSERT_TRUE(server.role().update_policy(net.now(), policy));
  net.run_for(3s);
  const auto pushes = sent(ExchangeType::groupkey_push);
  ASSERT_EQ(pushes.size(), 1u);
  net.inject(pushes[0].local, pushes[0].remote, pushes[0].payload);
  net.run_for(3s);
  EXPECT_EQ(member.host->count(gdoi::unacceptable_suite), 1u) << log();
  EXPECT_TRUE(sent(ExchangeType::groupkey_push_ack).empty());
}

TEST_F(Push, multicast_sends_once_for_all) {
  auto policy = default_policy();
  policy.sas[0].replay = dataplane::ReplayKind::none;
  policy.rekey.transport = gdoi::RekeyTransport::multicast;
  policy.rekey.multicast_destination = Endpoint{IpAddress::parse("239.10.1.1").value(), gdoi_port};
  Server& server = add_server("10.9.0.2", policy);
  for (const char* address : {"10.9.0.11", "10.9.0.12", "10.9.0.13"}) add_member(address);
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(300s);
  for (Member& member : members) {
    EXPECT_EQ(sending(member), current_spis(server));
    EXPECT_EQ(status(member).kek->transport, gdoi::RekeyTransport::multicast);
    EXPECT_EQ(status(member).unicast_rekeys_received, 0u);
  }
  // Once, and twice again as the policy says; no acknowledgements.
  EXPECT_EQ(sent(ExchangeType::groupkey_push).size(), 3u);
  EXPECT_TRUE(sent(ExchangeType::groupkey_push_ack).empty());
  EXPECT_EQ(server.host->count(gdoi::events::ks_send_mcast_rekey), 1u);
}

/// Others would refuse the private use attribute that says it, and the whole rekey with it.
TEST_F(Push, in_a_mixed_multicast_group_the_end_of_windows_is_told_to_ours_alone) {
  auto policy = default_policy();
  policy.rekey.transport = gdoi::RekeyTransport::multicast;
  policy.rekey.multicast_destination = Endpoint{IpAddress::parse("239.10.1.1").value(), gdoi_port};
  Server& server = add_server("10.9.0.2", policy);
  Member& ours = add_member("10.9.0.11");
  Member& other = add_member("10.9.0.12");
  other.options.private_use = false;
  other.options.replay_window = 128;
  ASSERT_TRUE(register_all());
  EXPECT_EQ(windows(installed(ours)), std::set<std::uint16_t>{64});
  EXPECT_EQ(windows(installed(other)), std::set<std::uint16_t>{128}) << "its own configuration";
  add_member("10.9.0.13");
  ASSERT_TRUE(register_all());
  net.run_for(200s);
  EXPECT_EQ(windows(installed(ours)), std::set<std::uint16_t>{0}) << log();
  EXPECT_EQ(status(other).rekeys_received, 0u);
  for (const Datagram& push : sent(ExchangeType::groupkey_push))
    EXPECT_EQ(push.remote.address, ours.host->address());
  // A rekey for all goes to all, and is above what ours alone have heard.
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(60s);
  for (Member& member : members) EXPECT_EQ(sending(member), current_spis(server)) << log();
}

TEST_F(Push, a_rekey_that_comes_after_its_successor_brings_nobody_back) {
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.11");
  Member& other = add_member("10.9.0.12");
  ASSERT_TRUE(register_all());
  bool lossy = true;
  net.fate = [&](const Datagram& datagram) {
    return lossy && is_push(datagram) && datagram.remote == member.host->at(gdoi_port) ? Fate{0}
                                                                                       : Fate{};
  };
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  const auto first = current_spis(server);
  net.run_for(30s);
  ASSERT_EQ(sending(other), first);
  lossy = false;
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  const auto second = current_spis(server);
  net.run_for(5s);
  EXPECT_TRUE(receives(member, second[0]));
  EXPECT_FALSE(receives(member, first[0]));
  net.run_for(10s);  // the first rekey once more
  EXPECT_TRUE(receives(member, first[0])) << "others send with it";
  net.run_for(60s);
  EXPECT_EQ(sending(member), second) << log();
  EXPECT_EQ(sending(other), second);
}

TEST_F(Push, large_updates_are_divided_and_the_order_survives) {
  auto policy = default_policy();
  policy.sas[0].suite = dataplane::Suite::aes_256_cbc_sha512_256;
  policy.sas[0].acl.clear();
  for (int i = 0; i < 30; ++i) {
    policy.sas[0].acl.push_back(permit("10.0." + std::to_string(i) + ".0/24", "172.16.0.0/16"));
  }
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", true));
  net.run_for(25s);
  const auto pushes = sent(ExchangeType::groupkey_push);
  EXPECT_GE(pushes.size(), 4u);
  for (const Datagram& push : pushes) EXPECT_LE(push.payload.size(), 1400u);
  EXPECT_EQ(sending(member), current_spis(server));
  EXPECT_EQ(status(server).acks_received, pushes.size());
  for (std::size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(installed(member).policy[i].selector, policy.sas[0].acl[i].selector) << i;
  }
}

TEST_F(Push, bare_digest_signatures_are_sent_on_request_and_understood) {
  auto policy = default_policy();
  policy.rekey.bare_digest_signature = true;
  Server& server = add_server("10.9.0.2", policy);
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(1s);
  EXPECT_EQ(status(member).rekeys_received, 1u);
  ASSERT_EQ(member.host->count(gdoi::events::gm_rekey_form), 1u);
}

TEST_F(Push, ecdsa_signs_rekeys_too) {
  signing_type = crypto::KeyType::ecdsa_p384;
  Server& server = add_server("10.9.0.2", default_policy());
  Member& member = add_member("10.9.0.1");
  ASSERT_TRUE(register_all());
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", true));
  net.run_for(1s);
  EXPECT_EQ(status(member).rekeys_received, 1u) << log();
  EXPECT_EQ(status(member).kek->signature_hash, crypto::Hash::sha384);
}

}  // namespace
}  // namespace cohort::harness
