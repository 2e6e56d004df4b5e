#include "gdoi/member_keys.hpp"

#include <algorithm>
#include <gtest/gtest.h>

#include "gdoi/algorithms.hpp"
#include "gdoi/policy_wire.hpp"
#include "gdoi/reasons.hpp"

/// A member's keys, fed with policies as a key server would send them.
namespace cohort::gdoi {
namespace {

using std::chrono_literals::operator""s;

constexpr TimePoint start{std::chrono::hours{1}};

/// A key server's half: policies and keys as the payloads of PULL and PUSH.
struct Offer {
  OfferedPolicy policy;
  KdPayload kd;
};

class MemberKeysTest : public testing::Test {
 protected:
  KekSpi kek_spi(std::uint8_t number) const {
    KekSpi spi{};
    spi.fill(number);
    return spi;
  }
  void offer_kek(Offer& offer, std::uint8_t number, bool with_key) const {
    OfferedKek kek;
    kek.spi = kek_spi(number);
    kek.cipher = crypto::Cipher::aes_128;
    kek.signature_hash = crypto::Hash::sha256;
    kek.signature_type = crypto::KeyType::ecdsa_p256;
    kek.lifetime = 600s;
    offer.policy.kek = kek;
    KeyPacket packet;
    packet.spi = to_bytes(kek.spi);
    KekKeys material;
    material.algorithm_key = Secret(Bytes(32, number));
    if (with_key) material.signature_key = key.public_key().spki();
    packet.keys = std::move(material);
    offer.kd.packets.push_back(std::move(packet));
  }
  static void offer_tek(Offer& offer, std::uint32_t spi, bool may_send = true) {
    OfferedSa sa;
    sa.spi = spi;
    sa.entry.selector.source = Prefix::parse("10.0.0.0/24").value();
    sa.entry.selector.destination = Prefix::parse("10.1.0.0/24").value();
    sa.suite = dataplane::Suite::aes_128_cbc_sha256_128;
    sa.lifetime = 300s;
    sa.may_send = may_send;
    offer.policy.items.emplace_back(sa);
    KeyPacket packet;
    packet.spi = spi_octets(spi);
    TekKeys material;
    material.algorithm_key = Secret(Bytes(16, 1));
    material.integrity_key = Secret(Bytes(32, 2));
    packet.keys = std::move(material);
    offer.kd.packets.push_back(std::move(packet));
  }
  /// A TEK of a counter mode.
  static void offer_counter_tek(Offer& offer, std::uint32_t spi) {
    offer_tek(offer, spi);
    std::get<OfferedSa>(offer.policy.items.back()).suite = dataplane::Suite::aes_128_gcm_16;
    TekKeys material;
    material.algorithm_key = Secret(Bytes(20, 3));  // with the salt
    offer.kd.packets.back().keys = std::move(material);
  }
  /// Registers for one counter-mode TEK under a KEK, with one sender id.
  void register_for(std::uint32_t spi, std::uint8_t kek, std::uint32_t sender_id) {
    Offer offer;
    offer_kek(offer, kek, true);
    offer_counter_tek(offer, spi);
    offer.kd.packets.push_back(make_key_packet(std::vector{sender_id}, 16));
    const Status taken = keys.install(start, offer.policy, offer.kd, 0u);
    ASSERT_TRUE(taken) << taken.error().text();
  }
  /// What the dataplane may send with under a TEK.
  std::vector<std::uint32_t> sender_ids_of(std::uint32_t spi) const {
    for (const dataplane::Sa& sa : keys.snapshot(start).sas)
      if (sa.spi == spi) return sa.sender_ids;
    return {};
  }
  Result<MemberKeys::Change> push(Offer offer, std::vector<DeletePayload> deletes,
                                  std::uint8_t under) {
    PushContent content;
    content.deletes = std::move(deletes);
    content.kd = std::move(offer.kd);
    return keys.update(start, std::optional(std::move(offer.policy)), content, kek_spi(under));
  }
  static DeletePayload delete_kek(Bytes spi) { return {protocol_kek, 16, {std::move(spi)}}; }
  static DeletePayload delete_tek(std::uint32_t spi) {
    return {protocol_esp, 4, {spi_octets(spi)}};
  }
  void install_first() {
    Offer first;
    offer_kek(first, 1, true);
    offer_tek(first, 0x1000);
    ASSERT_TRUE(keys.install(start, first.policy, first.kd, 0u));
  }

  crypto::PrivateKey key = crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256).value();
  GroupMemberOptions options;
  MemberKeys keys{options};
};

// RFC 6407 section 5.6.2.2: SIG_ALGORITHM_KEY may be left out, and the group's key is known.
TEST_F(MemberKeysTest, a_kek_is_deleted_and_another_taken_in_one_message) {
  install_first();
  for (const std::uint8_t number : {std::uint8_t{2}, std::uint8_t{3}}) {
    Offer next;
    offer_kek(next, number, false);
    offer_tek(next, 0x1000u + number);
    const auto under = static_cast<std::uint8_t>(number - 1);
    const Bytes which = number == 2 ? Bytes(16, 0) : Bytes(16, under);  // all, or that one
    const auto change = push(std::move(next), {delete_kek(which)}, under);
    ASSERT_TRUE(change) << change.error().text();
    EXPECT_TRUE(change->kek_deleted);
    EXPECT_TRUE(change->new_kek);
    ASSERT_TRUE(keys.kek());
    EXPECT_EQ(keys.kek()->kek.spi, kek_spi(number));
    EXPECT_EQ(keys.kek()->kek.signature_key_spki, key.public_key().spki());
  }
}

// A key server that has not heard of the deletion gives it out again, with an older SEQ: rekeys of
// before, the Delete among them, must not be taken a second time.
TEST_F(MemberKeysTest, a_rekey_sa_that_comes_back_goes_on_where_it_was) {
  install_first();
  ike::Header header;
  header.initiator.fill(1);
  header.responder.fill(1);
  ASSERT_NE(keys.kek_of(header), nullptr);
  keys.kek_of(header)->seq = 800;
  PushContent content;
  content.deletes = {delete_kek(Bytes(16, 0))};
  ASSERT_TRUE(keys.update(start, std::nullopt, content, kek_spi(1)));
  ASSERT_FALSE(keys.kek());
  install_first();  // SEQ 0, says the key server
  ASSERT_TRUE(keys.kek());
  EXPECT_EQ(keys.kek()->seq, 800u);
  keys.kek_of(header)->seq = 900;
  Offer other;
  offer_kek(other, 2, true);
  offer_tek(other, 0x2000);
  ASSERT_TRUE(keys.install(start, other.policy, other.kd, 5u));
  EXPECT_EQ(keys.kek()->seq, 5u);
  install_first();
  EXPECT_EQ(keys.kek()->seq, 900u);
}

TEST_F(MemberKeysTest, a_push_that_cannot_be_taken_whole_deletes_nothing) {
  install_first();
  Offer wrong;
  offer_kek(wrong, 2, false);
  wrong.policy.kek->cipher = crypto::Cipher::aes_256;  // its key has another size
  offer_tek(wrong, 0x1001);
  const auto change = push(std::move(wrong), {delete_kek(Bytes(16, 0)), delete_tek(0x1000)}, 1);
  ASSERT_FALSE(change);
  EXPECT_TRUE(change.error().is(wrong_key_size)) << change.error().text();
  ASSERT_TRUE(keys.kek());
  EXPECT_EQ(keys.kek()->kek.spi, kek_spi(1));
  EXPECT_TRUE(keys.teks().contains(0x1000));
  EXPECT_FALSE(keys.teks().contains(0x1001));
}

TEST_F(MemberKeysTest, a_registration_without_a_signature_key_is_refused) {
  Offer first;
  offer_kek(first, 1, false);
  offer_tek(first, 0x1000);
  const Status refused = keys.install(start, first.policy, first.kd, 0u);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(missing_key));
}

TEST_F(MemberKeysTest, a_policy_to_receive_only_is_usable) {
  Offer first;
  offer_kek(first, 1, true);
  offer_tek(first, 0x1000, false);
  ASSERT_TRUE(keys.install(start, first.policy, first.kd, 0u));
  EXPECT_TRUE(keys.usable(start));
  EXPECT_EQ(keys.send_spi(keys.entries().at(0), start), 0u);
  EXPECT_EQ(keys.snapshot(start).policy.at(0).receive_spis, (std::vector<std::uint32_t>{0x1000}));
  EXPECT_EQ(keys.end(), start + 300s);
  EXPECT_TRUE(keys.expire(start + 300s));
  EXPECT_FALSE(keys.usable(start + 300s));
}

// What was encrypted is dropped in any case once the keys have ended; the rest is a choice.
TEST_F(MemberKeysTest, fail_close_revert_closes_again_when_the_keys_have_ended) {
  for (const bool revert : {false, true}) {
    options.fail_close_revert = revert;
    Offer first;
    offer_kek(first, 1, true);
    offer_tek(first, 0x1000);
    ASSERT_TRUE(keys.install(start, first.policy, first.kd, 0u));
    EXPECT_EQ(keys.snapshot(start).otherwise, dataplane::Action::bypass);
    (void)keys.expire(start + 300s);
    const dataplane::Snapshot after = keys.snapshot(start + 300s);
    EXPECT_EQ(after.otherwise, revert ? dataplane::Action::drop : dataplane::Action::bypass);
    ASSERT_EQ(after.policy.size(), 1u);
    EXPECT_EQ(after.policy[0].action, dataplane::Action::protect);
    EXPECT_EQ(after.policy[0].send_spi, 0u);
  }
}

TEST_F(MemberKeysTest, what_the_policy_wants_sent_is_not_usable_by_receiving) {
  Offer first;
  offer_kek(first, 1, true);
  offer_tek(first, 0x1000, true);
  ASSERT_TRUE(keys.install(start, first.policy, first.kd, 0u));
  EXPECT_TRUE(keys.usable(start));
  EXPECT_FALSE(keys.usable(start + 300s)) << "it has ended";
}

// A rekey that was under way for longer than its key lives, or that waited in our socket.
TEST_F(MemberKeysTest, a_key_that_has_ended_does_not_come_back_to_the_same_sender_ids) {
  register_for(0x1000, 1, 7);
  ASSERT_TRUE(keys.expire(start + 300s));
  ASSERT_TRUE(keys.teks().empty());
  Offer late;
  offer_counter_tek(late, 0x1000);
  offer_counter_tek(late, 0x1001);
  const auto change = push(std::move(late), {}, 1);
  ASSERT_TRUE(change) << change.error().text();
  EXPECT_TRUE(change->lacks_sender_id);
  EXPECT_FALSE(keys.teks().contains(0x1000)) << "its counters would begin at 0 once more";
  EXPECT_TRUE(keys.teks().contains(0x1001));
  register_for(0x1000, 1, 8);
  EXPECT_EQ(sender_ids_of(0x1000), std::vector{8u}) << "with another id it may";
}

// After a reset a key server lends its ids from the first on, and the workers send with the old key
// until they have seen the new policy.
TEST_F(MemberKeysTest, new_sender_ids_are_not_for_the_keys_before_a_reset) {
  register_for(0x1000, 1, 7);
  register_for(0x2000, 2, 0);
  EXPECT_EQ(keys.send_spi(keys.entries().at(0), start), 0x2000u);
  EXPECT_EQ(sender_ids_of(0x2000), std::vector{0u});
  EXPECT_EQ(sender_ids_of(0x1000), std::vector{7u}) << "0 may be another member's under it";
  register_for(0x3000, 3, 1);
  EXPECT_EQ(sender_ids_of(0x3000), std::vector{1u});
  EXPECT_EQ(sender_ids_of(0x2000), std::vector{0u});
  EXPECT_EQ(sender_ids_of(0x1000), std::vector{7u});
}

// What remembers the dropped keys is bounded, and forgets none: beyond that only new ids help.
TEST_F(MemberKeysTest, a_full_memory_of_dropped_keys_takes_none_before_other_sender_ids) {
  register_for(0x1000, 1, 7);
  std::uint32_t spi = 0x10000;
  bool lacks = false;
  for (int i = 0; i < 5000 && !lacks; ++i, ++spi) {
    Offer next;
    offer_counter_tek(next, spi);
    const auto change = push(std::move(next), {delete_tek(spi - 1)}, 1);
    ASSERT_TRUE(change) << change.error().text();
    lacks = change->lacks_sender_id;
  }
  ASSERT_TRUE(lacks);
  register_for(0x1000, 1, 8);
  Offer next;
  offer_counter_tek(next, spi);
  const auto change = push(std::move(next), {}, 1);
  ASSERT_TRUE(change) << change.error().text();
  EXPECT_FALSE(change->lacks_sender_id);
  EXPECT_TRUE(keys.teks().contains(spi));
}

// Others hear of the Delete later, and send with what it names until then.
TEST_F(MemberKeysTest, a_deleted_key_that_another_follows_receives_for_the_activation_delay) {
  Offer first;
  offer_kek(first, 1, true);
  first.policy.activation_delay = 20s;
  offer_tek(first, 0x1000);
  std::get<OfferedSa>(first.policy.items[0]).entry.selector.source =
      Prefix::parse("10.0.0.0/28").value();
  offer_tek(first, 0x2000);  // for all that the line in front of it protects
  ASSERT_TRUE(keys.install(start, first.policy, first.kd, 0u));
  PushContent content;
  content.deletes = {delete_tek(0x1000)};
  for (const auto again : {0s, 10s}) {  // a retransmission adds no time
    const auto change = keys.update(start + again, std::nullopt, content, kek_spi(1));
    ASSERT_TRUE(change) << change.error().text();
    const auto lines = keys.snapshot(start + again).policy;
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0].send_spi, 0x2000u);
    for (const auto& line : lines)
      EXPECT_NE(std::find(line.receive_spis.begin(), line.receive_spis.end(), 0x1000u),
                line.receive_spis.end());
  }
  EXPECT_EQ(keys.next_change(start + 10s), start + 20s);
  EXPECT_TRUE(keys.expire(start + 20s));
  EXPECT_FALSE(keys.teks().contains(0x1000));
  EXPECT_EQ(keys.entries().size(), 1u);
}

TEST_F(MemberKeysTest, a_deleted_key_does_not_stay_when_nothing_is_left_to_send_with) {
  for (const bool zero : {false, true}) {
    Offer first;
    offer_kek(first, 1, true);
    first.policy.activation_delay = 20s;
    offer_tek(first, 0x1000);
    offer_tek(first, 0x2000);
    ASSERT_TRUE(keys.install(start, first.policy, first.kd, 0u));
    PushContent content;
    content.deletes = {delete_tek(0x1000)};
    ASSERT_TRUE(keys.update(start, std::nullopt, content, kek_spi(1)));
    EXPECT_TRUE(keys.teks().contains(0x1000));
    content.deletes = {delete_tek(zero ? 0 : 0x2000)};
    const auto change = keys.update(start + 1s, std::nullopt, content, kek_spi(1));
    ASSERT_TRUE(change);
    EXPECT_TRUE(change->all_teks_deleted);
    EXPECT_TRUE(keys.teks().empty());
    ASSERT_EQ(keys.entries().size(), 1u) << "dropped, not in clear";
    EXPECT_EQ(keys.snapshot(start + 1s).policy.at(0).send_spi, 0u);
  }
}

TEST_F(MemberKeysTest, a_deleted_key_that_is_offered_again_does_not_count_anew) {
  register_for(0x1000, 1, 7);
  Offer next;
  next.policy.activation_delay = 20s;
  offer_counter_tek(next, 0x2000);
  ASSERT_TRUE(push(std::move(next), {}, 1));
  PushContent content;
  content.deletes = {delete_tek(0x1000)};
  ASSERT_TRUE(keys.update(start, std::nullopt, content, kek_spi(1)));
  EXPECT_EQ(sender_ids_of(0x1000), std::vector{7u});
  Offer again;
  offer_counter_tek(again, 0x1000);
  const auto change = push(std::move(again), {}, 1);
  ASSERT_TRUE(change) << change.error().text();
  EXPECT_TRUE(change->lacks_sender_id);
  EXPECT_FALSE(keys.teks().contains(0x1000));
}

TEST(PushSize, of_what_cannot_be_divided_is_bounded_when_it_is_configured) {
  KeyServerOptions server{{}, crypto::PrivateKey::generate_rsa(2048).value(), {}};
  server.policy.name = "G";
  SaPolicy sa;
  sa.acl.emplace_back();
  sa.acl[0].selector.source = Prefix::parse("10.0.0.0/8").value();
  sa.acl[0].selector.destination = Prefix::parse("10.0.0.0/8").value();
  server.policy.sas = {sa};
  ASSERT_TRUE(check_policy(server));
  server.push_size_max = 700;
  const Status refused = check_policy(server);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(bad_group_policy));
  for (const char* word : {"a new KEK", "700", "2048 bits", "message_size_max"})
    EXPECT_NE(refused.error().text().find(word), std::string::npos) << refused.error().text();
  server.rekey_signing_key = crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256).value();
  EXPECT_TRUE(check_policy(server));
}

}  // namespace
}  // namespace cohort::gdoi
