#include <fstream>
#include <gtest/gtest.h>

#include "controlplane/ike/identification.hpp"
#include "controlplane/ike/keying.hpp"
#include "controlplane/ike/message_rules.hpp"
#include "controlplane/ike/payloads.hpp"
#include "controlplane/ike/proposal.hpp"
#include "controlplane/ike/vendor_ids.hpp"

/// strongSwan's main mode with RSA signatures and its dead peer detection, captured on UDP 848,
/// decrypted with the recorded cipher key.
namespace cohort::golden {
namespace {

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(GOLDEN_DATA) + "/ike-charon/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::uint32_t little_endian(ByteView four) {
  return four[0] | (four[1] << 8) | (four[2] << 16) | (static_cast<std::uint32_t>(four[3]) << 24);
}

/// UDP payloads of a classic little-endian pcap of Ethernet and IPv4.
std::vector<Bytes> udp_payloads(const std::string& pcap) {
  std::vector<Bytes> payloads;
  Reader in(as_bytes(pcap));
  in.skip(24);
  while (!in.empty()) {
    in.skip(8);
    const std::size_t captured = little_endian(in.take(4));
    in.skip(4);
    const ByteView frame = in.take(captured);
    const std::size_t ip = 14;
    const std::size_t ip_header = 4u * (frame[ip] & 15);
    const std::size_t total = static_cast<std::size_t>(frame[ip + 2] << 8 | frame[ip + 3]);
    payloads.push_back(to_bytes(frame.subspan(ip + ip_header + 8, total - ip_header - 8)));
  }
  return payloads;
}

class Charon : public testing::Test {
 protected:
  void SetUp() override {
    messages = udp_payloads(read_file("charon-mainmode-rsa-dpd-848.pcap"));
    ASSERT_EQ(messages.size(), 17u);
    const std::string line = read_file("charon-mainmode-rsa-dpd-848.keys");
    const auto comma = line.find(',');
    cipher_key = from_hex(line.substr(comma + 1, 64)).value();
    for (const Bytes& message : messages) headers.push_back(ike::Header::parse(message).value());
  }
  [[nodiscard]] std::vector<ike::RawPayload> clear(std::size_t i) const {
    return ike::walk(headers[i].next, ByteView(messages[i]).subspan(ike::Header::size), false)
        .value();
  }
  [[nodiscard]] ByteView last_block(std::size_t i) const { return ByteView(messages[i]).last(16); }
  [[nodiscard]] Bytes decrypt(std::size_t i, ByteView iv) const {
    return crypto::cbc_decrypt(crypto::Cipher::aes_256, cipher_key, iv,
                               ByteView(messages[i]).subspan(ike::Header::size))
        .value();
  }

  std::vector<Bytes> messages;
  std::vector<ike::Header> headers;
  Bytes cipher_key;
};

TEST_F(Charon, clear_messages_follow_our_rules) {
  for (const std::size_t i : {0u, 1u}) EXPECT_TRUE(ike::check(ike::rule_sa, clear(i)));
  for (const std::size_t i : {2u, 3u}) EXPECT_TRUE(ike::check(ike::rule_ke, clear(i)));
  ike::PeerCapabilities peer;
  for (const auto& payload : clear(1))
    if (payload.type == ike::PayloadType::vendor_id) peer.note(payload.body);
  EXPECT_TRUE(peer.dpd);
  EXPECT_TRUE(peer.fragmentation);
  EXPECT_TRUE(peer.nat_traversal);
  EXPECT_FALSE(peer.cohort);
}

TEST_F(Charon, proposal) {
  const auto offer = ike::parse_offer(clear(0).front().body);
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->doi, ike::doi_ipsec);
  EXPECT_EQ(offer->situation, 1u);
  const ike::Phase1Policy policy{crypto::Cipher::aes_256, crypto::Hash::sha256,
                                 crypto::DhGroup::modp2048, ike::AuthMethod::rsa_signature,
                                 std::chrono::hours{24}};
  const auto choice = ike::choose(*offer, std::vector{policy});
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->policy.lifetime, std::chrono::seconds{15840});
  EXPECT_EQ(to_hex(choice->body), to_hex(clear(1).front().body));  // as charon itself answered
  EXPECT_TRUE(ike::accept_answer(clear(1).front().body, std::vector{policy}));
}

TEST_F(Charon, proofs_and_dead_peer_detection) {
  const auto group = crypto::DhGroup::modp2048;
  const auto message3 = clear(2), message4 = clear(3);
  const Bytes g_xi = ike::public_value_of(message3, group).value();
  const Bytes g_xr = ike::public_value_of(message4, group).value();
  Bytes iv = crypto::digest(crypto::Hash::sha256, {g_xi, g_xr});
  iv.resize(16);
  for (const std::size_t i : {4u, 5u}) {
    const Bytes plain = decrypt(i, iv);
    const auto payloads = ike::walk(headers[i].next, plain, true);
    ASSERT_TRUE(payloads);
    EXPECT_TRUE(ike::check(ike::rule_signature, *payloads));
    EXPECT_TRUE(ike::Identification::parse(payloads->front().body));
    EXPECT_EQ(ike::certificates_of(*payloads)->size(), 1u);
    iv = to_bytes(last_block(i));
  }
  // Five questions with their answers, then a Delete.
  std::uint32_t asked = 0;
  for (std::size_t i = 6; i < messages.size(); ++i) {
    ASSERT_EQ(headers[i].exchange, ike::ExchangeType::informational);
    Writer id;
    id.u32(headers[i].message_id);
    Bytes first_iv = crypto::digest(crypto::Hash::sha256, {last_block(5), id.view()});
    first_iv.resize(16);
    const Bytes plain = decrypt(i, first_iv);
    const auto payloads = ike::walk(headers[i].next, plain, true);
    ASSERT_TRUE(payloads) << i;
    ASSERT_TRUE(ike::check(ike::rule_informational, *payloads)) << i;
    const auto spi = ike::phase1_spi(headers[i].initiator, headers[i].responder);
    if (i + 1 == messages.size()) {
      const auto del = ike::Delete::parse(payloads->back().body);
      ASSERT_TRUE(del);
      EXPECT_TRUE(equal(del->spis.front(), spi));
      EXPECT_EQ(to_hex(del->body()), to_hex(payloads->back().body));
      continue;
    }
    const auto notify = ike::Notify::parse(payloads->back().body);
    ASSERT_TRUE(notify);
    EXPECT_EQ(notify->type,
              i % 2 == 0 ? ike::NotifyType::dpd_are_you_there : ike::NotifyType::dpd_ack);
    EXPECT_TRUE(equal(notify->spi, spi));
    const std::uint32_t sequence = Reader(notify->data).u32();
    if (i > 6) {
      EXPECT_EQ(sequence, i % 2 == 0 ? asked + 1 : asked);
    }
    asked = sequence;
    EXPECT_EQ(to_hex(notify->body()), to_hex(payloads->back().body));
  }
}

}  // namespace
}  // namespace cohort::golden
