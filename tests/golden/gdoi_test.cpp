#include <gtest/gtest.h>

#include "gdoi/algorithms.hpp"
#include "gdoi/groupkey_pull.hpp"
#include "gdoi/groupkey_push.hpp"
#include "gdoi/reasons.hpp"
#include "tests/golden/gdoi_golden.hpp"

// Every GDOI message of an independent implementation is decrypted, parsed, verified and built
// again octet for octet.
namespace cohort::gdoi {
namespace {

using golden::GdoiConversation;
using golden::octets;

class GdoiGolden : public testing::TestWithParam<const char*> {
 protected:
  GdoiConversation conversation = GdoiConversation::load(GetParam());
};

/// Empty where the recording has null.
std::string hex(const nlohmann::json& record, const char* key) {
  return record[key].is_null() ? std::string() : record[key].get<std::string>();
}

TEST_P(GdoiGolden, PullIsReadAndBuiltAgainByBothRoles) {
  const auto recorded = conversation.datagrams(32);
  ASSERT_EQ(recorded.size(), 4u);
  const auto& pull = conversation.json["pull"];
  PullInitiator member(conversation.pull_exchange(), octets(pull["ni"]));
  PullResponder server(conversation.pull_exchange(), octets(pull["nr"]));
  const auto wire = [&recorded](std::size_t i) { return octets(recorded[i]["wire"]); };

  // GM -> KS  HDR*, HASH(1), Ni, ID
  const auto group = server.read_request(wire(0));
  ASSERT_TRUE(group) << group.error().text();
  EXPECT_EQ(to_hex(group->data), hex(pull, "group_id"));
  const auto first = member.request(*group);
  ASSERT_TRUE(first);
  EXPECT_EQ(to_hex(*first), hex(recorded[0], "wire"));

  // KS -> GM  HDR*, HASH(2), Nr, SA
  const auto policy = member.read_offer(wire(1));
  ASSERT_TRUE(policy) << policy.error().text();
  const auto second = server.offer(*policy);
  ASSERT_TRUE(second);
  EXPECT_EQ(to_hex(*second), hex(recorded[1], "wire"));

  // GM -> KS  HDR*, HASH(3) [, GAP]
  const auto request = server.read_proof(wire(2));
  ASSERT_TRUE(request) << request.error().text();
  const auto third = member.prove(request->sender_id_request);
  ASSERT_TRUE(third);
  EXPECT_EQ(to_hex(*third), hex(recorded[2], "wire"));

  // KS -> GM  HDR*, HASH(4), SEQ, KD
  const auto keys = member.read_keys(wire(3));
  ASSERT_TRUE(keys) << keys.error().text();
  EXPECT_EQ(keys->seq, 0u);
  const auto fourth = server.grant(keys->seq, keys->kd);
  ASSERT_TRUE(fourth);
  EXPECT_EQ(to_hex(*fourth), hex(recorded[3], "wire"));
  EXPECT_EQ(member.state(), PullState::done);
  EXPECT_EQ(server.state(), PullState::done);
}

TEST_P(GdoiGolden, PullKeysAreTheRecordedOnes) {
  const auto recorded = conversation.datagrams(32);
  const auto& pull = conversation.json["pull"];
  PullInitiator member(conversation.pull_exchange(), octets(pull["ni"]));
  ASSERT_TRUE(member.request(IdPayload{id_type::key_id, 0, 0, octets(pull["group_id"])}));
  const auto policy = member.read_offer(octets(recorded[1]["wire"]));
  ASSERT_TRUE(policy);
  const auto asks = conversation.json["policy"].contains("sids");
  ASSERT_TRUE(member.prove(asks ? std::optional<std::uint16_t>(2) : std::nullopt));
  const auto keys = member.read_keys(octets(recorded[3]["wire"]));
  ASSERT_TRUE(keys) << keys.error().text();

  std::size_t teks = 0, sids = 0;
  for (const KeyPacket& packet : keys->kd.packets) {
    if (const auto* tek = std::get_if<TekKeys>(&packet.keys)) {
      for (const auto& record : conversation.json["tek"]) {
        if (hex(record, "spi") != to_hex(packet.spi)) continue;
        ++teks;
        EXPECT_EQ(to_hex(tek->algorithm_key.view()), hex(record, "key"));
        EXPECT_EQ(to_hex(tek->integrity_key.view()), hex(record, "integrity"));
      }
    } else if (const auto* sid = std::get_if<SenderIdKeys>(&packet.keys)) {
      EXPECT_EQ(sid->bits, 16);
      sids += sid->values.size();
    }
  }
  EXPECT_EQ(teks, policy->sats.size());
  EXPECT_EQ(sids, asks ? 2u : 0u);
}

TEST_P(GdoiGolden, PushesAreVerifiedAndBuiltAgain) {
  const auto recorded = conversation.datagrams(33);
  const auto& records = conversation.json["push"];
  ASSERT_EQ(recorded.size(), 5u);
  ASSERT_EQ(records.size(), 5u);
  const crypto::PrivateKey signer = GdoiConversation::rekey_key();
  for (std::size_t i = 0; i < 5; ++i) {
    SCOPED_TRACE(i);
    const auto& record = records[i];
    const Bytes wire = octets(recorded[i]["wire"]);
    const Kek kek = conversation.kek(record["kek_spi"]);
    const auto key = crypto::PublicKey::from_spki(kek.signature_key_spki);
    ASSERT_TRUE(key);

    const auto opened = open_push(kek, wire);
    ASSERT_TRUE(opened) << opened.error().text();
    EXPECT_EQ(to_hex(opened->plain.view()), hex(recorded[i], "plain"));
    EXPECT_EQ(opened->seq, record["seq"].get<std::uint32_t>());
    EXPECT_EQ(opened->unpadded_length, record["signed_length"].get<std::size_t>());
    const auto form = verify_push(kek, *key, *opened, std::nullopt);
    ASSERT_TRUE(form) << form.error().text();
    EXPECT_EQ(form->signature, crypto::SignatureForm::rsa_pkcs1_bare);
    EXPECT_FALSE(form->padded_length);

    const auto content = read_push(*opened);
    ASSERT_TRUE(content) << content.error().text();
    const auto prepared = prepare_push(kek, opened->seq, *content, signature_size(*key));
    ASSERT_TRUE(prepared);
    EXPECT_EQ(to_hex(prepared->digest), hex(record, "signed_hash"));
    const auto signature =
        signer.sign(crypto::SignatureForm::rsa_pkcs1_bare, kek.signature_hash, prepared->digest);
    ASSERT_TRUE(signature) << signature.error().text();
    EXPECT_EQ(to_hex(*signature), hex(record, "signature"));
    const auto again = finish_push(kek, *prepared, *signature);
    ASSERT_TRUE(again);
    EXPECT_EQ(to_hex(*again), hex(recorded[i], "wire"));
    EXPECT_EQ(push_size(kek, *content, signature->size()), wire.size());
  }
}

TEST_P(GdoiGolden, PushesNameTheRecordedKeysAndDeletions) {
  const auto recorded = conversation.datagrams(33);
  const auto& records = conversation.json["push"];
  for (std::size_t i = 0; i < 5; ++i) {
    SCOPED_TRACE(i);
    const Kek kek = conversation.kek(records[i]["kek_spi"]);
    const auto opened = open_push(kek, octets(recorded[i]["wire"]));
    ASSERT_TRUE(opened);
    const auto content = read_push(*opened);
    ASSERT_TRUE(content);
    std::size_t deleted = 0;
    for (const DeletePayload& del : content->deletes) deleted += del.spis.size();
    EXPECT_EQ(deleted, records[i]["deleted"].size());
    if (!content->sa) continue;
    ASSERT_TRUE(content->sa->sak);
    const auto cipher = kek_cipher_from_wire(*content->sa->sak);
    ASSERT_TRUE(cipher);
    EXPECT_EQ(*cipher, kek.cipher);
    for (const auto& spi : records[i]["new_tek"]) {
      bool found = false;
      for (const KeyPacket& packet : content->kd->packets) {
        found = found || to_hex(packet.spi) == spi.get<std::string>();
      }
      EXPECT_TRUE(found) << spi;
    }
  }
}

// One flipped bit anywhere behind the cookies is noticed before anything is believed.
TEST_P(GdoiGolden, DamagedPushIsRefused) {
  const auto& record = conversation.json["push"][1];
  const Kek kek = conversation.kek(record["kek_spi"]);
  const auto key = crypto::PublicKey::from_spki(kek.signature_key_spki);
  const Bytes wire = octets(conversation.datagrams(33)[1]["wire"]);
  for (std::size_t at = 16; at < wire.size(); at += at < 28 ? 1 : 13) {
    Bytes damaged = wire;
    damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ (1u << (at % 8)));
    const auto opened = open_push(kek, damaged);
    if (!opened) continue;
    // The zeros of the padding are ignored, as the signature does not cover them.
    const std::size_t block = crypto::block_size(kek.cipher);
    if (at >= wire.size() - block && opened->unpadded_length != wire.size()) continue;
    EXPECT_FALSE(verify_push(kek, *key, *opened, std::nullopt)) << "octet " << at;
  }
}

TEST_P(GdoiGolden, DamagedPullIsRefusedWithoutAnEffect) {
  const auto recorded = conversation.datagrams(32);
  PullResponder server(conversation.pull_exchange(), octets(conversation.json["pull"]["nr"]));
  const Bytes wire = octets(recorded[0]["wire"]);
  for (std::size_t at = 0; at < wire.size() - 16; ++at) {
    Bytes damaged = wire;
    damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ 0x40u);
    EXPECT_FALSE(server.read_request(damaged)) << "octet " << at;
  }
  EXPECT_TRUE(server.read_request(wire));
  EXPECT_TRUE(server.read_request(wire).error().is(wrong_message));
}

INSTANTIATE_TEST_SUITE_P(Recorded, GdoiGolden, testing::ValuesIn(golden::scenarios),
                         [](const auto& scenario) {
                           std::string name = scenario.param;
                           for (char& c : name) {
                             if (c == '-') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace cohort::gdoi
