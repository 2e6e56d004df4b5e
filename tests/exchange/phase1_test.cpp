#include "tests/exchange/phase1_fixture.hpp"

/// Main mode between two real nodes: every method in both roles, and what each refuses.
namespace cohort::harness {
namespace {

using ike::AuthMethod;
using ike::ExchangeType;
using ike::PayloadType;

ike::Header header_of(const Datagram& datagram) {
  return ike::Header::parse(datagram.payload).value();
}

struct Method {
  const char* name;
  AuthMethod auth;
  crypto::KeyType type;
  crypto::Cipher cipher;
  crypto::Hash hash;
  crypto::DhGroup group;
};

class EveryMethod : public TwoPeers, public testing::WithParamInterface<Method> {};

TEST_P(EveryMethod, establishes_and_carries_an_exchange) {
  const Method& m = GetParam();
  make(options_with({{m.cipher, m.hash, m.group, m.auth, std::chrono::hours{1}}}));
  if (m.auth != AuthMethod::pre_shared_key) certify(m.type);
  ASSERT_TRUE(connect());

  // --> HDR, SA, VID      <-- HDR, SA, VID
  // --> HDR, KE, Ni       <-- HDR, KE, Nr
  // --> HDR*, ID, proof   <-- HDR*, ID, proof
  std::vector<Datagram> main_mode = net.sent;
  ASSERT_EQ(main_mode.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(header_of(main_mode[i]).exchange, ExchangeType::identity_protection);
    EXPECT_EQ(header_of(main_mode[i]).message_id, 0u);
    EXPECT_EQ(header_of(main_mode[i]).encrypted(), i >= 4);
    EXPECT_EQ(main_mode[i].local, i % 2 == 0 ? member->end() : server->end());
  }
  EXPECT_TRUE(member->host.refusals.empty());
  EXPECT_TRUE(server->host.refusals.empty());

  const ike::Phase1Info& at_server = server->observer.established.front();
  const ike::Phase1Info& at_member = member->observer.established.front();
  EXPECT_EQ(at_server.remote, member->end());
  EXPECT_TRUE(at_member.initiator);
  EXPECT_FALSE(at_server.initiator);
  EXPECT_TRUE(at_server.peer_is_cohort);
  EXPECT_EQ(at_server.peer.by_certificate, m.auth != AuthMethod::pre_shared_key);
  EXPECT_EQ(at_server.peer.address, member->host.address());
  if (at_server.peer.by_certificate)
    EXPECT_EQ(at_server.peer.id_text, "CN=member,OU=GETVPN_GM,O=Cohort Test");
  else
    EXPECT_EQ(at_server.peer.id_text, "10.9.0.1");
  EXPECT_EQ(at_member.expires - at_member.established, std::chrono::hours{1});

  // An exchange above it: what one seals the other opens.
  auto a = member->isakmp->begin_exchange(id, 99).value();
  auto b = server->isakmp->begin_exchange(server_id(), 99).value();
  const Bytes sealed =
      a.seal(ExchangeType::groupkey_pull, PayloadType::hash, Bytes{0, 0, 0, 5, 7}).value();
  member->isakmp->send(id, sealed);
  net.run_for(std::chrono::seconds{1});
  ASSERT_EQ(server->observer.protected_messages.size(), 1u);
  const auto opened = b.open(server->observer.protected_messages.front());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->plain[4], 7);
}

INSTANTIATE_TEST_SUITE_P(
    methods, EveryMethod,
    testing::Values(
        Method{"psk",
               AuthMethod::pre_shared_key,
               {},
               crypto::Cipher::aes_256,
               crypto::Hash::sha256,
               crypto::DhGroup::modp2048},
        Method{"psk_aes192_sha512_ecp521",
               AuthMethod::pre_shared_key,
               {},
               crypto::Cipher::aes_192,
               crypto::Hash::sha512,
               crypto::DhGroup::ecp521},
        Method{"rsa", AuthMethod::rsa_signature, crypto::KeyType::rsa, crypto::Cipher::aes_256,
               crypto::Hash::sha256, crypto::DhGroup::modp2048},
        Method{"rsa_sha384_modp3072", AuthMethod::rsa_signature, crypto::KeyType::rsa,
               crypto::Cipher::aes_128, crypto::Hash::sha384, crypto::DhGroup::modp3072},
        Method{"rsa_sha512_modp4096", AuthMethod::rsa_signature, crypto::KeyType::rsa,
               crypto::Cipher::aes_256, crypto::Hash::sha512, crypto::DhGroup::modp4096},
        Method{"ecdsa256_ecp256", AuthMethod::ecdsa_256, crypto::KeyType::ecdsa_p256,
               crypto::Cipher::aes_128, crypto::Hash::sha256, crypto::DhGroup::ecp256},
        // RFC 4754 ties the hash to the curve, whatever was agreed for the rest.
        Method{"ecdsa256_sha512", AuthMethod::ecdsa_256, crypto::KeyType::ecdsa_p256,
               crypto::Cipher::aes_256, crypto::Hash::sha512, crypto::DhGroup::ecp384},
        Method{"ecdsa384", AuthMethod::ecdsa_384, crypto::KeyType::ecdsa_p384,
               crypto::Cipher::aes_192, crypto::Hash::sha384, crypto::DhGroup::ecp384},
        Method{"ecdsa521", AuthMethod::ecdsa_521, crypto::KeyType::ecdsa_p521,
               crypto::Cipher::aes_256, crypto::Hash::sha256, crypto::DhGroup::ecp521}),
    [](const auto& method) { return method.param.name; });

using Phase1 = TwoPeers;

// What an initiator's ECDSA signature is of is a choice; whatever it is, the responder takes it,
// and answers with the same.
TEST_F(Phase1, an_ecdsa_initiator_signs_the_hash_or_its_digest) {
  for (const bool digest : {false, true}) {
    ike::IsakmpOptions options = options_with({fast_policy(AuthMethod::ecdsa_256)});
    options.ecdsa_signs_digest = digest;
    member.reset();
    server.reset();
    make(options, options_with({fast_policy(AuthMethod::ecdsa_256)}));
    certify(crypto::KeyType::ecdsa_p256);
    ASSERT_TRUE(connect()) << digest;
    // The usual reading is tried first, the other one after it.
    EXPECT_EQ(server->host.verified, digest ? 2u : 1u);
    EXPECT_EQ(member->host.verified, digest ? 2u : 1u) << "the answer is of the same kind";
  }
}

TEST_F(Phase1, weak_algorithms_only_when_allowed) {
  ike::IsakmpOptions weak =
      options_with({{crypto::Cipher::triple_des, crypto::Hash::sha1, crypto::DhGroup::modp1024,
                     AuthMethod::pre_shared_key, std::chrono::hours{1}}});
  weak.allow_weak = true;
  ike::IsakmpOptions strict = weak;
  strict.allow_weak = false;
  make(weak, weak);
  ASSERT_TRUE(connect());
  server->stop();
  server->start(strict);
  member->isakmp->close(net.now(), id, ike::phase1_expired);
  go();
  EXPECT_FALSE(net.run_until([&] { return server->observer.established.size() == 2; }));
  EXPECT_GE(server->host.count(ike::no_usable_policy), 1u);
}

TEST_F(Phase1, our_own_weak_policies_are_never_offered) {
  ike::IsakmpOptions weak =
      options_with({{crypto::Cipher::triple_des, crypto::Hash::md5, crypto::DhGroup::modp1536,
                     AuthMethod::pre_shared_key, std::chrono::hours{1}}});
  make(weak);
  go();
  net.run_for(std::chrono::seconds{1});
  EXPECT_TRUE(net.sent.empty());
  EXPECT_EQ(member->observer.last_reason(), ike::no_usable_policy.name);
}

TEST_F(Phase1, chooses_by_the_responders_priority) {
  const auto first = fast_policy(AuthMethod::pre_shared_key);
  auto second = first;
  second.cipher = crypto::Cipher::aes_256;
  second.lifetime = std::chrono::hours{2};
  make(options_with({first, second}), options_with({second, first}));
  ASSERT_TRUE(connect());
  EXPECT_EQ(member->observer.established.front().transform.cipher, crypto::Cipher::aes_256);
  // The shorter lifetime of both holds at both ends.
  EXPECT_EQ(server->observer.established.front().transform.lifetime, std::chrono::hours{2});
}

TEST_F(Phase1, the_local_key_decides_among_the_allowed_methods) {
  make(options_with({fast_policy(AuthMethod::rsa_signature), fast_policy(AuthMethod::ecdsa_256)}));
  certify(crypto::KeyType::ecdsa_p256);
  ASSERT_TRUE(connect());
  EXPECT_EQ(member->observer.established.front().transform.auth, AuthMethod::ecdsa_256);
}

TEST_F(Phase1, no_common_policy_is_refused_and_explained) {
  auto other = fast_policy(AuthMethod::pre_shared_key);
  other.hash = crypto::Hash::sha512;
  make(options_with({fast_policy(AuthMethod::pre_shared_key)}), options_with({other}));
  go();
  net.run_for(std::chrono::minutes{2});
  EXPECT_GE(server->host.count(ike::no_proposal_chosen), 1u);
  ASSERT_EQ(member->observer.closed.size(), 1u);
  const Error& why = member->observer.closed.front().second;
  EXPECT_TRUE(why.is(ike::peer_unreachable));
  EXPECT_NE(why.detail().find("NO-PROPOSAL-CHOSEN"), std::string::npos) << why.text();
  // Nobody vouches for such a notification, so it did not end the attempts.
  EXPECT_EQ(member->host.count(ike::unauthenticated_notify), 6u);
}

TEST_F(Phase1, wrong_pre_shared_key) {
  make(options_with({fast_policy(AuthMethod::pre_shared_key)}));
  server->host.credentials.share_key(member->host.address(), "something else");
  go();
  net.run_for(std::chrono::minutes{3});
  EXPECT_FALSE(both_up());
  EXPECT_GE(server->host.count(ike::undecryptable), 1u);
  EXPECT_EQ(member->observer.last_reason(), ike::peer_unreachable.name);
  EXPECT_EQ(server->observer.last_reason(), ike::undecryptable.name);
}

TEST_F(Phase1, a_log_line_names_an_identity_once_it_is_proven) {
  make(options_with({fast_policy(AuthMethod::pre_shared_key)}));
  ASSERT_TRUE(connect());
  const Event& up = member->host.events.front();
  EXPECT_EQ(up.text(),
            "%IKE-6-PHASE1_UP: phase 1 with a peer is established (peer=10.9.0.2:848, "
            "identity=10.9.0.2, role=initiator)");
  const auto elsewhere = Endpoint{IpAddress::parse("10.9.0.77").value(), gdoi_port};
  (void)member->isakmp->initiate(net.now(), elsewhere);
  net.run_for(std::chrono::seconds{1});
  const std::string failed = member->host.events.back().text();
  EXPECT_EQ(failed.find("%IKE-4-PHASE1_FAILED: phase 1 with a peer could not be established "
                        "(peer=10.9.0.77:848, role=initiator, reason=no_usable_policy"),
            0u)
      << failed;
}

TEST_F(Phase1, a_key_shared_with_nobody_is_not_offered) {
  make(options_with({fast_policy(AuthMethod::pre_shared_key)}));
  const auto elsewhere = Endpoint{IpAddress::parse("10.9.0.77").value(), gdoi_port};
  (void)member->isakmp->initiate(net.now(), elsewhere);
  EXPECT_TRUE(member->observer.closed.empty());  // never from within the call
  net.run_for(std::chrono::seconds{1});
  EXPECT_EQ(member->observer.last_reason(), ike::no_usable_policy.name);
}

class Certificates : public TwoPeers {
 protected:
  void SetUp() override {
    make(options_with({fast_policy(AuthMethod::ecdsa_256)}));
    certify(crypto::KeyType::ecdsa_p256);
  }
  void member_has(const Certified& leaf) { member->host.credentials.enrol("GETVPN", leaf); }
  void expect_refused_by_server(const Reason& reason) {
    go();
    net.run_for(std::chrono::minutes{3});
    EXPECT_FALSE(both_up());
    EXPECT_GE(server->host.count(reason), 1u);
    EXPECT_EQ(member->observer.last_reason(), ike::peer_refused.name);
    EXPECT_EQ(server->observer.last_reason(), reason.name);
  }
};

TEST_F(Certificates, from_an_unknown_authority) {
  const TestCa other("Other CA", crypto::KeyType::ecdsa_p256, 7);
  member_has(other.issue({.common_name = "member"}));
  expect_refused_by_server(untrusted_certificate);
}

TEST_F(Certificates, expired) {
  member_has(ca.issue({.common_name = "member", .valid_to = std::chrono::hours{-1}}));
  expect_refused_by_server(untrusted_certificate);
}

TEST_F(Certificates, not_yet_valid) {
  member_has(ca.issue({.common_name = "member", .valid_from = std::chrono::hours{1}}));
  expect_refused_by_server(untrusted_certificate);
}

TEST_F(Certificates, of_somebody_else_with_our_own_key) {
  // The certificate is good and public; the signature with it is not.
  const auto stolen = ca.issue({.common_name = "another member", .which_key = 5});
  member_has(Certified(std::shared_ptr<X509>(stolen.handle(), [](X509*) {}),
                       test_key(crypto::KeyType::ecdsa_p256, 1)));
  expect_refused_by_server(crypto::bad_signature);
}

TEST_F(Certificates, through_an_intermediate) {
  const TestCa middle("Middle CA", ca, 8);
  const auto leaf = middle.issue({.common_name = "branch", .which_key = 9});
  member->host.credentials.enrol("GETVPN", leaf, {middle.certificate()});
  ASSERT_TRUE(connect());
  EXPECT_EQ(server->observer.established.front().peer.issuer, "CN=Middle CA,O=Cohort Test");
}

TEST_F(Certificates, the_servers_is_checked_as_well) {
  const TestCa other("Other CA", crypto::KeyType::ecdsa_p256, 7);
  server->host.credentials.enrol("GETVPN", other.issue({.common_name = "server"}));
  go();
  net.run_for(std::chrono::minutes{3});
  EXPECT_TRUE(member->observer.established.empty());
  EXPECT_EQ(member->observer.last_reason(), untrusted_certificate.name);
  // The server, which was satisfied, is told and lets go as well.
  EXPECT_EQ(server->observer.notifies.size(), 2u);
  EXPECT_EQ(server->observer.last_reason(), ike::peer_deleted.name);
}

TEST_F(Certificates, a_weak_rsa_key) {
  member.reset();
  server.reset();
  make(options_with({fast_policy(AuthMethod::rsa_signature)}));
  certify(crypto::KeyType::rsa);
  LeafOptions weak{.common_name = "member"};
  weak.key = weak_rsa_key();
  member_has(ca.issue(weak));
  expect_refused_by_server(crypto::weak_key);
}

TEST_F(Certificates, while_not_enrolled_nothing_is_sent) {
  member->host.credentials.forget("GETVPN");
  go();
  net.run_for(std::chrono::seconds{1});
  EXPECT_EQ(member->observer.last_reason(), ike::no_usable_policy.name);
  EXPECT_TRUE(net.sent.empty());
}

}  // namespace
}  // namespace cohort::harness
