#include <gtest/gtest.h>

#include "controlplane/ike/keying.hpp"
#include "controlplane/ike/main_mode.hpp"
#include "controlplane/ike/proposal.hpp"
#include "tests/exchange/harness.hpp"
#include "tests/golden/gdoi_golden.hpp"

/// Main mode of the recorded conversations: every value recomputed, every datagram decrypted, and
/// the recorded proofs put before our own state machine in both roles.
namespace cohort::golden {
namespace {

using harness::Host;
using harness::Net;

struct Recorded {
  explicit Recorded(const std::string& scenario)
      : json(GdoiConversation::load(scenario).json), p1(json["phase1"]) {
    const Bytes i = field("cky_i"), r = field("cky_r");
    std::copy_n(i.begin(), 8, initiator.begin());
    std::copy_n(r.begin(), 8, responder.begin());
    values.initiator_cookie = initiator;
    values.responder_cookie = responder;
    values.initiator_public = g_xi = field("g_xi");
    values.responder_public = g_xr = field("g_xr");
    values.initiator_nonce = ni = field("ni");
    values.responder_nonce = nr = field("nr");
    values.initiator_sa = sai_b = field("sai_b");
    const bool weak_cipher = p1["encryption"] == "3des";
    policy.cipher = weak_cipher ? crypto::Cipher::triple_des : crypto::Cipher::aes_128;
    policy.hash = p1["hash"] == "sha1" ? crypto::Hash::sha1 : crypto::Hash::sha256;
    policy.group = p1["group"] == "modp1024"   ? crypto::DhGroup::modp1024
                   : p1["group"] == "modp1536" ? crypto::DhGroup::modp1536
                                               : crypto::DhGroup::modp2048;
    policy.auth = signed_() ? ike::AuthMethod::rsa_signature : ike::AuthMethod::pre_shared_key;
    policy.lifetime = std::chrono::hours{1};
  }
  [[nodiscard]] Bytes field(const char* name) const { return octets(p1[name]); }
  [[nodiscard]] bool signed_() const { return p1["auth"] == "rsa"; }
  [[nodiscard]] Bytes wire(std::size_t n) const { return octets(json["datagrams"][n - 1]["wire"]); }
  [[nodiscard]] Bytes plain(std::size_t n) const {
    return octets(json["datagrams"][n - 1]["plain"]);
  }
  [[nodiscard]] Secret skeyid() const { return Secret(field("skeyid")); }
  [[nodiscard]] Secret shared() const { return Secret(field("g_xy")); }
  [[nodiscard]] ike::Phase1Keys keys() const {
    return ike::derive_keys(policy.cipher, policy.hash, skeyid(), shared(), values);
  }
  [[nodiscard]] static crypto::PrivateKey key(const char* name) {
    return crypto::PrivateKey::from_pem(read_text(name), Secret()).value();
  }

  nlohmann::json json;
  const nlohmann::json& p1;
  ike::Cookie initiator{}, responder{};
  Bytes g_xi, g_xr, ni, nr, sai_b;
  ike::KeyInputs values;
  ike::Phase1Policy policy;
};

class Phase1 : public testing::TestWithParam<const char*> {
 protected:
  Recorded recorded{GetParam()};
};

TEST_P(Phase1, key_exchange) {
  for (const char side : {'i', 'r'}) {
    const bool i = side == 'i';
    const auto key = crypto::DhKey::from_private(recorded.policy.group,
                                                 Secret(recorded.field(i ? "x_i" : "x_r")));
    ASSERT_TRUE(key);
    EXPECT_EQ(to_hex(key->public_value()), to_hex(recorded.field(i ? "g_xi" : "g_xr")));
    const auto shared = key->shared(recorded.field(i ? "g_xr" : "g_xi"));
    ASSERT_TRUE(shared);
    EXPECT_EQ(to_hex(shared->view()), to_hex(recorded.field("g_xy")));
  }
}

TEST_P(Phase1, key_schedule) {
  const Secret skeyid =
      recorded.signed_()
          ? ike::skeyid_of_signatures(recorded.policy.hash, recorded.shared(), recorded.values)
          : ike::skeyid_of_pre_shared_key(recorded.policy.hash,
                                          Secret::of_text(recorded.p1["psk"].get<std::string>()),
                                          recorded.values);
  EXPECT_EQ(to_hex(skeyid.view()), to_hex(recorded.field("skeyid")));
  const ike::Phase1Keys keys = recorded.keys();
  EXPECT_EQ(to_hex(keys.skeyid_d.view()), to_hex(recorded.field("skeyid_d")));
  EXPECT_EQ(to_hex(keys.skeyid_a.view()), to_hex(recorded.field("skeyid_a")));
  EXPECT_EQ(to_hex(keys.skeyid_e.view()), to_hex(recorded.field("skeyid_e")));
  EXPECT_EQ(to_hex(keys.cipher_key.view()), to_hex(recorded.field("cipher_key")));
  EXPECT_EQ(to_hex(keys.last_block), to_hex(recorded.field("iv0")));
}

TEST_P(Phase1, hashes_and_signatures) {
  const Bytes hash_i = ike::hash_i(recorded.policy.hash, recorded.skeyid(), recorded.values,
                                   recorded.field("idii_b"));
  const Bytes hash_r = ike::hash_r(recorded.policy.hash, recorded.skeyid(), recorded.values,
                                   recorded.field("idir_b"));
  EXPECT_EQ(to_hex(hash_i), to_hex(recorded.field("hash_i")));
  EXPECT_EQ(to_hex(hash_r), to_hex(recorded.field("hash_r")));
  if (!recorded.signed_()) return;
  const auto form = crypto::SignatureForm::rsa_pkcs1_bare;
  const auto gm = Recorded::key("gm.key");
  const auto ks = Recorded::key("ks.key");
  // Of this kind a signature is deterministic.
  EXPECT_EQ(to_hex(gm.sign(form, recorded.policy.hash, hash_i).value()),
            to_hex(recorded.field("sig_i")));
  EXPECT_EQ(to_hex(ks.sign(form, recorded.policy.hash, hash_r).value()),
            to_hex(recorded.field("sig_r")));
  EXPECT_TRUE(gm.public_key().verify(form, recorded.policy.hash, hash_i, recorded.field("sig_i")));
  EXPECT_FALSE(gm.public_key().verify(form, recorded.policy.hash, hash_r, recorded.field("sig_i")));
}

TEST_P(Phase1, datagrams_decrypt_and_encrypt_again) {
  const ike::Phase1Keys keys = recorded.keys();
  Bytes iv = keys.last_block;
  for (const std::size_t n : {5u, 6u}) {
    const Bytes wire = recorded.wire(n);
    const ByteView cipher_text = ByteView(wire).subspan(ike::Header::size);
    const auto plain = crypto::cbc_decrypt(keys.cipher, keys.cipher_key.view(), iv, cipher_text);
    ASSERT_TRUE(plain);
    EXPECT_EQ(to_hex(*plain), to_hex(recorded.plain(n)));
    EXPECT_EQ(to_hex(crypto::cbc_encrypt(keys.cipher, keys.cipher_key.view(), iv, *plain).value()),
              to_hex(cipher_text));
    // Parsed and written again: the same octets, padding aside.
    const auto header = ike::Header::parse(wire).value();
    const auto payloads = ike::walk(header.next, *plain, true);
    ASSERT_TRUE(payloads);
    EXPECT_TRUE(ike::check(recorded.signed_() ? ike::rule_signature : ike::rule_hash, *payloads));
    ike::PayloadWriter again;
    for (const auto& payload : *payloads) again.add(payload.type, payload.body);
    EXPECT_EQ(again.first(), header.next);
    EXPECT_EQ(to_hex(again.view()), to_hex(ByteView(*plain).first(again.view().size())));
    iv = to_bytes(cipher_text.last(crypto::block_size(keys.cipher)));
  }
  EXPECT_EQ(to_hex(iv), to_hex(recorded.field("last_block")));
}

TEST_P(Phase1, proposal_is_understood_and_answered_alike) {
  const Bytes first = recorded.wire(1);
  const auto payloads =
      ike::walk(ike::PayloadType::sa, ByteView(first).subspan(ike::Header::size), false).value();
  EXPECT_EQ(to_hex(payloads.front().body), to_hex(recorded.sai_b));
  const auto offer = ike::parse_offer(payloads.front().body);
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->doi, ike::doi_gdoi);
  EXPECT_EQ(offer->situation, 0u);
  ASSERT_EQ(offer->transforms.size(), 1u);
  EXPECT_EQ(ike::text_of(*offer->transforms[0].policy), ike::text_of(recorded.policy));
  EXPECT_EQ(offer->transforms[0].policy->lifetime, recorded.policy.lifetime);
  const auto choice = ike::choose(*offer, std::vector{recorded.policy});
  ASSERT_TRUE(choice);
  // The recorded responder's whole message 2: header, and the same SA payload.
  ike::PayloadWriter chain;
  chain.add(ike::PayloadType::sa, choice->body);
  ike::Header header;
  header.initiator = recorded.initiator;
  header.responder = recorded.responder;
  header.next = chain.first();
  header.exchange = ike::ExchangeType::identity_protection;
  header.length = static_cast<std::uint32_t>(ike::Header::size + chain.view().size());
  Writer out;
  header.write(out);
  out.bytes(chain.view());
  EXPECT_EQ(to_hex(out.view()), to_hex(recorded.wire(2)));
  // What we would offer differs in the number of the transform only (they count from 0).
  Bytes offered = ike::offer_body(ike::doi_gdoi, 0, std::vector{recorded.policy});
  ASSERT_EQ(offered[20], 1);
  offered[20] = 0;
  EXPECT_EQ(to_hex(offered), to_hex(recorded.sai_b));
}

/// One end of the recorded exchange just before it receives the other's proof.
class Replayed {
 public:
  Replayed(const Recorded& recorded, ike::Role role) : host_(net_.add_host("10.9.0.9")) {
    const bool initiator = role == ike::Role::initiator;
    net_.clock.step_wall(std::chrono::hours{24 * 365});  // the certificates are of late 2026
    host_.credentials.trust(
        "golden", harness::certified_from_pem(read_text("ca.crt"), Recorded::key("ca.key")));
    options_.trustpoint = "golden";
    options_.allow_weak = true;
    sa_.role = role;
    sa_.state = initiator ? ike::State::auth_sent : ike::State::ke_sent;
    sa_.initiator_cookie = recorded.initiator;
    sa_.responder_cookie = recorded.responder;
    sa_.info.transform = recorded.policy;
    sa_.keys = recorded.keys();
    sa_.handshake = std::make_unique<ike::Handshake>();
    ike::Handshake& handshake = *sa_.handshake;
    handshake.own_key = std::make_shared<const crypto::DhKey>(
        crypto::DhKey::from_private(recorded.policy.group,
                                    Secret(recorded.field(initiator ? "x_i" : "x_r")))
            .value());
    handshake.peer_public = initiator ? recorded.g_xr : recorded.g_xi;
    handshake.initiator_nonce = recorded.ni;
    handshake.responder_nonce = recorded.nr;
    handshake.initiator_sa = recorded.sai_b;
    handshake.skeyid = recorded.skeyid();
    handshake.own_id = recorded.field(initiator ? "idii_b" : "idir_b");
    const char* key = initiator ? "gm" : "ks";
    const auto own = harness::certified_from_pem(read_text(std::string(key) + ".crt"),
                                                 Recorded::key(initiator ? "gm.key" : "ks.key"));
    handshake.identity = LocalIdentity{{own.der()}, own.key(), own.subject_der()};
    peer_ = {IpAddress::parse(initiator ? "10.9.0.2" : "10.9.0.1").value(), 848};
  }
  ike::Outcome receive(const Bytes& message) {
    ike::Step step{host_.world, options_, net_.now(), sa_};
    step.message = message;
    step.header = ike::Header::parse(message).value();
    step.local = host_.at(848);
    step.remote = peer_;
    return ike::on_message(step);
  }
  ike::Outcome finish(const Job& job) {
    ike::Step step{host_.world, options_, net_.now(), sa_};
    return ike::on_job(step, run_job(job));
  }
  ike::Phase1Sa& sa() { return sa_; }

 private:
  Net net_;
  Host& host_;
  ike::IsakmpOptions options_;
  ike::Phase1Sa sa_;
  Endpoint peer_;
};

TEST_P(Phase1, our_initiator_accepts_the_recorded_responder) {
  Replayed end(recorded, ike::Role::initiator);
  end.sa().keys.last_block =
      to_bytes(ByteView(recorded.wire(5)).last(crypto::block_size(recorded.policy.cipher)));
  ike::Outcome outcome = end.receive(recorded.wire(6));
  ASSERT_FALSE(outcome.refused) << outcome.refused->text();
  if (recorded.signed_()) {
    ASSERT_TRUE(outcome.job);
    outcome = end.finish(*outcome.job);
    ASSERT_FALSE(outcome.refused) << outcome.refused->text();
    EXPECT_EQ(end.sa().info.peer.subject, "CN=ks,O=gdoi test");
  }
  EXPECT_TRUE(outcome.established);
  EXPECT_EQ(end.sa().info.peer.id_text, "10.9.0.2");
  EXPECT_EQ(to_hex(end.sa().keys.last_block), to_hex(recorded.field("last_block")));
}

TEST_P(Phase1, our_responder_accepts_the_recorded_initiator_and_answers_alike) {
  Replayed end(recorded, ike::Role::responder);
  ike::Outcome outcome = end.receive(recorded.wire(5));
  while (outcome.job) {
    ASSERT_FALSE(outcome.refused) << outcome.refused->text();
    outcome = end.finish(*outcome.job);
  }
  ASSERT_FALSE(outcome.refused) << outcome.refused->text();
  ASSERT_TRUE(outcome.established);
  ASSERT_TRUE(outcome.send);
  EXPECT_EQ(end.sa().info.peer.id_text, "10.9.0.1");
  // The recorded one adds INITIAL-CONTACT, which is an initiator's to send; before it all is equal.
  const ike::Phase1Keys keys = recorded.keys();
  const ByteView answer = ByteView(*outcome.send).subspan(ike::Header::size);
  const Bytes iv = to_bytes(ByteView(recorded.wire(5)).last(crypto::block_size(keys.cipher)));
  const Bytes plain = crypto::cbc_decrypt(keys.cipher, keys.cipher_key.view(), iv, answer).value();
  const Bytes theirs = recorded.plain(6);
  const auto ours = ike::walk(ike::PayloadType::id, plain, true).value();
  const auto expected = ike::walk(ike::PayloadType::id, theirs, true).value();
  ASSERT_EQ(ours.size() + 1, expected.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    EXPECT_EQ(ours[i].type, expected[i].type);
    EXPECT_EQ(to_hex(ours[i].body), to_hex(expected[i].body));
  }
}

TEST_P(Phase1, every_changed_octet_of_the_proof_is_refused) {
  const Bytes good = recorded.wire(5);
  const std::size_t block = crypto::block_size(recorded.policy.cipher);
  for (std::size_t at = ike::Header::size; at < good.size(); at += block) {
    Replayed end(recorded, ike::Role::responder);
    Bytes changed = good;
    changed[at] ^= 0x40;
    ike::Outcome outcome = end.receive(changed);
    if (outcome.job && !outcome.refused) outcome = end.finish(*outcome.job);
    // The notification behind the proof is outside of what the proof covers.
    const bool in_notification = at + 2 * block + 28 > good.size();
    EXPECT_TRUE(outcome.refused || in_notification) << "octet " << at;
    if (outcome.refused) {
      EXPECT_FALSE(outcome.ended);
      EXPECT_EQ(end.sa().state, ike::State::ke_sent);
      EXPECT_EQ(to_hex(end.sa().keys.last_block), to_hex(recorded.field("iv0")));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(conversations, Phase1, testing::ValuesIn(scenarios), [](const auto& name) {
  std::string text = name.param;
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
});

}  // namespace
}  // namespace cohort::golden
