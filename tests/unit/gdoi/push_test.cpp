#include <gtest/gtest.h>

#include "gdoi/algorithms.hpp"
#include "gdoi/groupkey_push.hpp"
#include "gdoi/policy_wire.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

Kek sample_kek() {
  Kek kek;
  kek.spi.fill(0x5a);
  kek.cipher = crypto::Cipher::aes_128;
  kek.iv = Secret(Bytes(16, 1));
  kek.key = Secret(Bytes(16, 2));
  kek.signature_hash = crypto::Hash::sha256;
  return kek;
}

PushContent delete_one() {
  PushContent content;
  content.deletes.push_back({protocol_esp, 4, {{0, 0, 2, 1}}});
  return content;
}

struct Signed {
  crypto::PrivateKey key = crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256).value();
  Kek kek = sample_kek();
  Bytes datagram;
  explicit Signed(const PushContent& content) {
    const auto prepared = prepare_push(kek, 5, content, 64).value();
    const auto signature =
        key.sign(crypto::SignatureForm::ecdsa_concatenated, kek.signature_hash, prepared.digest);
    datagram = finish_push(kek, prepared, signature.value()).value();
  }
};

TEST(PushMessage, is_opened_verified_and_read) {
  const Signed message(delete_one());
  EXPECT_EQ(message.datagram.size(), push_size(message.kek, delete_one(), 64));
  const auto opened = open_push(message.kek, message.datagram);
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(opened->seq, 5u);
  ASSERT_TRUE(verify_push(message.kek, message.key.public_key(), *opened, std::nullopt));
  EXPECT_EQ(read_push(*opened)->deletes, delete_one().deletes);
}

TEST(PushMessage, needs_flags_and_message_id_as_the_rfc_says) {
  const Signed message(delete_one());
  for (const std::size_t at : {18u, 19u, 20u, 23u}) {
    Bytes changed = message.datagram;
    changed[at] = static_cast<std::uint8_t>(changed[at] ^ 2u);
    EXPECT_FALSE(open_push(message.kek, changed)) << at;
  }
}

TEST(PushMessage, of_another_signer_does_not_verify) {
  const Signed message(delete_one());
  const auto opened = open_push(message.kek, message.datagram);
  ASSERT_TRUE(opened);
  const auto other = crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256).value();
  const auto verified = verify_push(message.kek, other.public_key(), *opened, std::nullopt);
  ASSERT_FALSE(verified);
  EXPECT_TRUE(verified.error().is(bad_push_signature));
}

TEST(PushMessage, with_sender_ids_is_refused) {
  PushContent content;
  content.sa = SaPayload{};
  EspSat esp;
  esp.source = esp.destination = {id_type::ipv4, 0, {10, 0, 0, 1}};
  esp.spi = 999;
  content.sa->sats.push_back({protocol_esp, esp});
  content.kd = KdPayload{};
  content.kd->packets.push_back({{}, SenderIdKeys{16, {{0, 1}}}});
  const Signed message(content);
  const auto opened = open_push(message.kek, message.datagram);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(read_push(*opened).error().is(malformed_push));
}

TEST(PushMessage, with_sa_but_no_kd_is_not_made) {
  PushContent content;
  content.sa = SaPayload{};
  EXPECT_FALSE(prepare_push(sample_kek(), 1, content, 64));
}

// ---- RFC 8263 -----------------------------------------------------------------------------------

TEST(PushAcknowledgement, proves_the_kek_and_names_seq_and_member) {
  const Kek kek = sample_kek();
  const IdPayload id{id_type::ipv4, 0, 0, {10, 9, 0, 1}};
  for (const AckType type : {AckType::kek_sha256, AckType::kek_sha512}) {
    const Bytes ack = make_push_ack(type, kek, 7, id);
    EXPECT_EQ(ack[18], 35);
    EXPECT_EQ(ack[19], 0);
    const auto read = read_push_ack(type, kek, ack);
    ASSERT_TRUE(read) << read.error().text();
    EXPECT_EQ(read->seq, 7u);
    EXPECT_EQ(read->id, id);
    for (std::size_t at = 16; at < ack.size(); ++at) {
      if (at == 29) continue;  // RESERVED of HASH itself, which nothing covers
      Bytes changed = ack;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ 0x10u);
      EXPECT_FALSE(read_push_ack(type, kek, changed)) << at;
    }
  }
  Kek other = sample_kek();
  other.key = Secret(Bytes(16, 3));
  EXPECT_FALSE(
      read_push_ack(AckType::kek_sha256, other, make_push_ack(AckType::kek_sha256, kek, 7, id)));
}

// ---- dividing -----------------------------------------------------------------------------------

class Dividing : public testing::Test {
 protected:
  void add(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      GroupTek tek;
      tek.tek.spi = static_cast<std::uint32_t>(1000 + i);
      tek.tek.suite = dataplane::Suite::aes_256_gcm_16;
      tek.tek.cipher_key = Secret(Bytes(32, 1));
      tek.tek.salt = Secret(Bytes(4, 1));
      tek.tek.expires = now + std::chrono::hours{1};
      AclEntry entry;
      entry.selector.source = Prefix::any(Family::v4);
      entry.selector.destination = Prefix::any(Family::v4);
      entry.selector.protocol = static_cast<std::uint8_t>(i);
      tek.entries = {entry};
      plan.sats.push_back({tek.tek.spi, entry});
      keys.teks.push_back(std::move(tek));
    }
  }
  [[nodiscard]] PushContext context() const {
    return {policy, keys, Endpoint{IpAddress::v4(1), 848}, Endpoint{}, {}, now};
  }
  TimePoint now{std::chrono::hours{5}};
  GroupPolicy policy;
  GroupKeys keys;
  PushPlan plan;
  Kek kek = sample_kek();
};

TEST_F(Dividing, small_rekeys_stay_whole) {
  add(2);
  const auto plans = divide_push(plan, context(), kek, 256, 1400);
  ASSERT_TRUE(plans);
  EXPECT_EQ(plans->size(), 1u);
}

TEST_F(Dividing, large_ones_keep_every_sa_and_the_limit) {
  add(60);
  plan.deletes.push_back({protocol_esp, 4, {{0, 0, 2, 1}}});
  const auto plans = divide_push(plan, context(), kek, 256, 1400);
  ASSERT_TRUE(plans) << plans.error().text();
  std::vector<SatPlan> together;
  for (auto at = plans->rbegin(); at != plans->rend(); ++at) {
    const auto content = make_push(*at, context());
    ASSERT_TRUE(content);
    EXPECT_LE(push_size(kek, *content, 256), 1400u);
    together.insert(together.end(), at->sats.begin(), at->sats.end());
  }
  EXPECT_EQ(together, plan.sats) << "the last datagram has the first entries";
  EXPECT_FALSE(plans->back().deletes.empty());
}

TEST_F(Dividing, what_can_never_fit_is_refused) {
  add(3);
  const auto plans = divide_push(plan, context(), kek, 1024, 1100);
  ASSERT_FALSE(plans);
  EXPECT_TRUE(plans.error().is(update_too_large));
}

}  // namespace
}  // namespace cohort::gdoi
