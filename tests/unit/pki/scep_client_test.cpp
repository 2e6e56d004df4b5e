#include "pki/scep_client.hpp"

#include <set>

#include "pki/ca_issue.hpp"
#include "pki/events.hpp"
#include "tests/unit/pki/fixture.hpp"
#include "tests/unit/pki/forge.hpp"

namespace cohort::pki::test {
namespace {

/// A CA with its server, and one client; HTTP is carried by hand.
class Enrolment : public ::testing::Test {
 protected:
  void open_ca(CaOptions options) {
    ca_ = must(CertificateAuthority::open(std::move(options), ca_machine_.world));
    server_.emplace(*ca_, ca_machine_.world);
  }
  [[nodiscard]] std::string ca_fingerprint() const {
    return ca_->certificate().fingerprint(crypto::Hash::sha256);
  }
  /// Of a client that takes the authority by its fingerprint and asks nobody.
  [[nodiscard]] TrustpointOptions pinned_options() const {
    TrustpointOptions options = trustpoint_options();
    options.fingerprint_sha256 = ca_fingerprint();
    return options;
  }
  void open_client(TrustpointOptions options) {
    client_.reset();
    if (options.key.type == crypto::KeyType::rsa)
      must(machine_.keys.add(options.key, pooled_rsa()));
    trustpoint_ = &machine_.keyring.add(std::move(options));
    client_.emplace(machine_.world, *trustpoint_, machine_.keys);
  }
  /// A fresh process over the same store.
  void restart_client(TrustpointOptions options) {
    client_.reset();
    keyring_.emplace(machine_.store, clock_);
    trustpoint_ = &keyring_->add(std::move(options));
    must(trustpoint_->load(machine_.keys));
    client_.emplace(machine_.world, *trustpoint_, machine_.keys);
  }
  /// Carries requests until the client rests; returns how many.
  int run() {
    int carried = 0;
    for (;;) {
      if (const auto wish = client_->take_key_wish()) {
        ++keys_made_;
        client_->on_key(clock_.now(), wish->id,
                        generate_key(wish->options.type, wish->options.bits));
      }
      const auto out = client_->take_request();
      if (!out) return carried;
      urls_.push_back(out->request.url);
      client_->on_response(clock_.now(), out->id, server_->handle(out->request));
      if (++carried > 20) throw std::runtime_error("the client never rests");
    }
  }
  /// Sleeps until the client's deadline and lets it act.
  void wake() {
    clock_.advance_to(client_->next_deadline());
    client_->on_timer(clock_.now());
  }
  [[nodiscard]] std::string failure() const {
    return client_->last_error() ? client_->last_error()->text() : "none";
  }

  ManualClock clock_;
  Machine ca_machine_{clock_, 1};
  Machine machine_{clock_, 2};
  std::unique_ptr<CertificateAuthority> ca_;
  std::optional<ScepServer> server_;
  std::optional<Keyring> keyring_;
  Trustpoint* trustpoint_ = nullptr;
  std::optional<ScepClient> client_;
  std::vector<std::string> urls_;
  int keys_made_ = 0;
};

TEST(EnrolTable, HasOneRowForAStateAndEventAndReachesEveryState) {
  std::set<std::pair<EnrolState, EnrolEvent>> seen;
  std::set<EnrolState> reached{EnrolState::idle};
  for (const auto& row : enrol_transitions())
    EXPECT_TRUE(seen.insert({row.from, row.on}).second)
        << name_of(row.from) << " " << name_of(row.on);
  for (std::size_t i = 0; i < enrol_transitions().size(); ++i)
    for (const auto& row : enrol_transitions())
      if (reached.contains(row.from)) reached.insert(row.to);
  EXPECT_EQ(reached.size(), 12u);
}

// Unattended authentication by a pinned fingerprint, then enrolment.
TEST_F(Enrolment, EnrolsWithPinnedFingerprintAndChallenge) {
  auto ca = ca_options();
  ca.challenge_passwords.push_back(Secret::of_text("let me in please"));
  open_ca(std::move(ca));
  auto options = pinned_options();
  options.challenge_password = Secret::of_text("let me in please");
  options.serial_number = "9KSX4711";
  options.ip_address = must(IpAddress::parse("10.191.61.116"));
  open_client(std::move(options));

  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  const auto info = trustpoint_->certificate()->describe();
  EXPECT_EQ(info.subject,
            "unstructuredName=gm1.example.net,serialNumber=9KSX4711,"
            "unstructuredAddress=10.191.61.116,CN=gm1,OU=GETVPN_GM");
  EXPECT_THAT(info.san_dns, ::testing::ElementsAre("gm1.example.net"));
  EXPECT_EQ(info.san_addresses.at(0).text(), "10.191.61.116");
  EXPECT_FALSE(info.is_ca);
  EXPECT_EQ(trustpoint_->trust().crls.size(), 1u);  // revocation_check is crl
  EXPECT_EQ(machine_.outbox.count(certificate_installed), 1u);
  EXPECT_TRUE(machine_.outbox.refusals.empty());

  // What the keyring hands to IKE verifies against the same trustpoint.
  const auto local = machine_.keyring.local("GETVPN");
  ASSERT_TRUE(local);
  const auto peer = machine_.keyring.verify("GETVPN", local->chain);
  ASSERT_TRUE(peer) << peer.error().text();
  EXPECT_EQ(peer->subject_der, local->subject_der);
}

TEST_F(Enrolment, WrongChallengeIsAFailureWithASentence) {
  auto ca = ca_options();
  ca.challenge_passwords.push_back(Secret::of_text("let me in please"));
  open_ca(std::move(ca));
  auto options = pinned_options();
  open_client(std::move(options));
  ASSERT_TRUE(trustpoint_->use({Secret::of_text("let me in, please"), {}, {}}));
  client_->start(clock_.now());
  run();
  EXPECT_EQ(client_->state(), EnrolState::retry);
  EXPECT_TRUE(client_->last_error()->is(scep_rejected));
  EXPECT_THAT(failure(), ::testing::HasSubstr("badRequest"));
  EXPECT_THAT(failure(), ::testing::HasSubstr("challenge password"));
  EXPECT_EQ(ca_machine_.outbox.count(challenge_wrong), 1u);
  EXPECT_TRUE(must(ca_->issued()).empty());
  EXPECT_TRUE(must(ca_->requests()).empty());
  // An operator who knows better now does not wait for the next try.
  ASSERT_TRUE(trustpoint_->use({Secret::of_text("let me in please"), {}, {}}));
  client_->start(clock_.now());
  run();
  EXPECT_EQ(client_->state(), EnrolState::enrolled) << failure();
}

TEST_F(Enrolment, AnOperatorAddsWhatTheConfigurationLeavesOpen) {
  open_ca(ca_options());
  auto options = pinned_options();
  options.serial_number = "9KSX4711";
  open_client(std::move(options));
  EXPECT_FALSE(trustpoint_->open_questions().serial_number);
  ASSERT_TRUE(trustpoint_->open_questions().ip_address);
  ASSERT_TRUE(trustpoint_->use({{}, "another", must(IpAddress::parse("10.191.61.117"))}));
  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  const auto info = trustpoint_->certificate()->describe();
  EXPECT_THAT(info.subject, ::testing::HasSubstr("serialNumber=9KSX4711,unstructuredAddress=10."));
  ASSERT_EQ(info.san_addresses.size(), 1u);
  // A renewal keeps it, also in a process that nobody has told.
  auto again = trustpoint_options();
  again.fingerprint_sha256 = ca_fingerprint();
  restart_client(std::move(again));
  client_->start(clock_.now());
  ASSERT_TRUE(client_->renew(clock_.now()));
  run();
  const auto renewed = trustpoint_->certificate()->describe();
  EXPECT_NE(renewed.serial, info.serial) << failure();
  EXPECT_EQ(renewed.subject, info.subject);
  EXPECT_EQ(renewed.san_addresses, info.san_addresses);
}

TEST_F(Enrolment, AnAnswerThatFitsIntoNoNameChangesNothing) {
  open_ca(ca_options());
  open_client(trustpoint_options());
  const auto done = trustpoint_->use({Secret::of_text("secret"), std::string(65, '7'), {}});
  ASSERT_FALSE(done);
  EXPECT_TRUE(done.error().is(bad_name));
  EXPECT_TRUE(trustpoint_->options().challenge_password.empty());
}

TEST_F(Enrolment, AnotherFingerprintRefusesAndSaysBothValues) {
  open_ca(ca_options());
  auto options = trustpoint_options();
  options.fingerprint_sha256 = std::string(64, 'a');
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  EXPECT_EQ(client_->state(), EnrolState::refused);
  EXPECT_TRUE(client_->last_error()->is(ca_fingerprint_mismatch));
  EXPECT_THAT(failure(), ::testing::HasSubstr(std::string(64, 'a')));
  EXPECT_THAT(failure(), ::testing::HasSubstr(ca_fingerprint()));
  EXPECT_FALSE(trustpoint_->is_authenticated());
  EXPECT_EQ(client_->next_deadline(), never);
}

TEST_F(Enrolment, OperatorSeesFingerprintsAndSaysYesOrNo) {
  open_ca(ca_options());
  open_client(trustpoint_options());
  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::decision);
  EXPECT_EQ(client_->offer()->fingerprint_sha256, ca_fingerprint());
  EXPECT_EQ(client_->offer()->fingerprint_md5.size(), 32u);
  EXPECT_EQ(client_->offer()->fingerprint_sha1.size(), 40u);
  must(client_->decide(clock_.now(), false));
  EXPECT_EQ(client_->state(), EnrolState::refused);
  EXPECT_FALSE(trustpoint_->is_authenticated());
  EXPECT_REFUSED(client_->decide(clock_.now(), true), scep_no_transition);

  client_->start(clock_.now());
  run();
  must(client_->decide(clock_.now(), true));
  run();
  EXPECT_EQ(client_->state(), EnrolState::enrolled) << failure();
}

TEST_F(Enrolment, PollsWhilePendingAlsoAcrossARestart) {
  auto ca = ca_options();
  ca.grant = Grant::manual;
  open_ca(std::move(ca));
  auto options = [&] {
    auto out = trustpoint_options();
    out.fingerprint_sha256 = ca_fingerprint();
    return out;
  };
  open_client(options());
  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::pending);
  EXPECT_EQ(machine_.outbox.count(enrolment_pending), 1u);
  const auto first_wait = client_->next_deadline() - clock_.now();
  EXPECT_GE(first_wait, std::chrono::seconds(60));
  wake();
  EXPECT_EQ(client_->state(), EnrolState::poll);
  run();
  ASSERT_EQ(client_->state(), EnrolState::pending);
  EXPECT_GE(client_->next_deadline() - clock_.now(), std::chrono::seconds(120));
  EXPECT_EQ(must(ca_->requests()).size(), 1u);

  restart_client(options());
  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::pending);
  EXPECT_EQ(must(ca_->requests()).size(), 1u) << "the restart made a second request";

  must(ca_->grant(must(ca_->requests()).front().id));
  wake();
  run();
  EXPECT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_EQ(trustpoint_->certificate()->serial(), must(ca_->issued()).front().serial);
}

TEST_F(Enrolment, ARejectedRequestIsToldWithTheReason) {
  auto ca = ca_options();
  ca.grant = Grant::manual;
  open_ca(std::move(ca));
  auto options = pinned_options();
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  must(ca_->reject(must(ca_->requests()).front().id, "who are you?"));
  wake();
  run();
  EXPECT_EQ(client_->state(), EnrolState::retry);
  EXPECT_TRUE(client_->last_error()->is(scep_rejected));
  EXPECT_THAT(failure(), ::testing::HasSubstr("the operator rejected the request"));
}

// Renewal by itself at 70 % of the lifetime; the old identity serves until the new one is
// there.
TEST_F(Enrolment, RenewsByItselfAndKeepsTheSubject) {
  auto ca = ca_options();
  ca.certificate_lifetime = Days(10);
  ca.grant = Grant::automatic;
  open_ca(std::move(ca));
  auto options = pinned_options();
  options.auto_enroll_percent = 70;
  options.revocation_check = RevocationCheck::none;
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  const std::string first = trustpoint_->certificate()->serial();
  const auto renewal = client_->renewal_at();
  ASSERT_TRUE(renewal);
  while (clock_.wall() < *renewal) {
    EXPECT_EQ(trustpoint_->certificate()->serial(), first);
    wake();
  }
  EXPECT_LT(clock_.wall(), *renewal + std::chrono::hours(1));
  EXPECT_TRUE(machine_.keyring.local("GETVPN").has_value());
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_NE(trustpoint_->certificate()->serial(), first);
  EXPECT_EQ(trustpoint_->key_label(), "pkikey");
  EXPECT_EQ(must(ca_->requests()).front().renewal, true);
}

// Each certificate ends with the CA's own, so the last ones are short, and backdated.
TEST_F(Enrolment, ACertificateThatIsMostlyOverIsNotRenewedAtOnceAndAgain) {
  auto ca = ca_options();
  ca.ca_lifetime = Days(1);
  open_ca(std::move(ca));
  clock_.advance(std::chrono::seconds(86400 - 100));
  auto options = pinned_options();
  options.auto_enroll_percent = 70;
  options.revocation_check = RevocationCheck::none;
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_GE(client_->next_deadline() - clock_.now(), std::chrono::seconds(60));
  unsigned renewals = 0;
  while (clock_.wall() < trustpoint_->certificate()->not_after() && renewals < 100) {
    wake();
    run();
    ++renewals;
  }
  EXPECT_LE(renewals, 10u);
}

// A certificate of minutes is backdated by little of them: it is renewed at 70 % as any other.
TEST_F(Enrolment, ShortLivesAreRenewedInTime) {
  auto ca = ca_options();
  ca.certificate_lifetime = std::chrono::seconds(100);
  open_ca(std::move(ca));
  auto options = pinned_options();
  options.auto_enroll_percent = 70;
  options.revocation_check = RevocationCheck::none;
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  const WallTime began = clock_.wall();
  for (int i = 0; i < 3; ++i) {
    const std::string serial = trustpoint_->certificate()->serial();
    wake();
    run();
    ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
    EXPECT_NE(trustpoint_->certificate()->serial(), serial);
  }
  EXPECT_GE(clock_.wall() - began, std::chrono::seconds(3 * 65));
  EXPECT_LE(clock_.wall() - began, std::chrono::seconds(3 * 71));
}

TEST_F(Enrolment, RenewalWithANewKeyRemovesTheOldOne) {
  open_ca(ca_options());
  auto options = pinned_options();
  options.regenerate_key = true;
  options.revocation_check = RevocationCheck::none;
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  const Bytes first = trustpoint_->certificate()->spki_sha256();
  for (const char* label : {"pkikey.next", "pkikey"}) {
    must(client_->renew(clock_.now()));
    run();
    ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
    EXPECT_EQ(trustpoint_->key_label(), label);
    EXPECT_THAT(must(machine_.keys.labels()), ::testing::ElementsAre(label));
    EXPECT_NE(trustpoint_->certificate()->spki_sha256(), first);
  }
  EXPECT_EQ(keys_made_, 2);
}

// RSA takes seconds: the client asks for a key pair and waits, and sends nothing meanwhile.
TEST_F(Enrolment, KeyPairsAreMadeElsewhere) {
  open_ca(ca_options());
  auto options = pinned_options();
  options.revocation_check = RevocationCheck::none;
  options.regenerate_key = true;
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  const std::string serial = trustpoint_->certificate()->serial();
  must(client_->renew(clock_.now()));
  const auto capabilities = client_->take_request();
  client_->on_response(clock_.now(), capabilities->id, server_->handle(capabilities->request));
  EXPECT_EQ(client_->state(), EnrolState::key);
  const auto wish = client_->take_key_wish();
  ASSERT_TRUE(wish);
  EXPECT_EQ(wish->options.label, "pkikey.next");
  EXPECT_EQ(wish->options.bits, 2048u);
  EXPECT_FALSE(client_->take_key_wish()) << "each is given out once";
  EXPECT_FALSE(client_->take_request());
  EXPECT_EQ(client_->next_deadline(), never);
  // Not the one that is waited for.
  client_->on_key(clock_.now(), wish->id + 2, pooled_rsa());
  EXPECT_EQ(client_->state(), EnrolState::key);
  EXPECT_THAT(must(machine_.keys.labels()), ::testing::ElementsAre("pkikey"));
  // It could not be made: again after a while, with another wish.
  client_->on_key(clock_.now(), wish->id, fail(bad_key_size, "a test says so"));
  EXPECT_EQ(client_->state(), EnrolState::retry);
  client_->on_key(clock_.now(), wish->id, pooled_rsa());
  EXPECT_EQ(client_->state(), EnrolState::retry);
  wake();
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_EQ(keys_made_, 1);
  EXPECT_NE(trustpoint_->certificate()->serial(), serial);
  EXPECT_THAT(must(machine_.keys.labels()), ::testing::ElementsAre("pkikey.next"));
}

TEST_F(Enrolment, AFirstKeyPairIsMadeElsewhereToo) {
  open_ca(ca_options());
  auto options = pinned_options();
  options.revocation_check = RevocationCheck::none;
  open_client(std::move(options));
  must(machine_.keys.remove("pkikey"));
  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_EQ(keys_made_, 1);
  EXPECT_EQ(trustpoint_->key_label(), "pkikey");
}

TEST_F(Enrolment, EcdsaKeysEnrolAndRenew) {
  auto ca = ca_options();
  ca.key_type = crypto::KeyType::ecdsa_p384;  // a registration authority with RSA is made beside it
  open_ca(std::move(ca));
  auto options = pinned_options();
  options.key.type = crypto::KeyType::ecdsa_p256;
  options.challenge_password = Secret::of_text("opens the answer");
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_EQ(trustpoint_->certificate()->describe().key_algorithm, "id-ecPublicKey (P-256)");
  const std::string first = trustpoint_->certificate()->serial();
  must(client_->renew(clock_.now()));
  run();
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_NE(trustpoint_->certificate()->serial(), first);
}

TEST_F(Enrolment, ARestartOfAnEnrolledClientAsksForNoCertificate) {
  open_ca(ca_options());
  const auto options = [&] {
    auto out = trustpoint_options();
    out.fingerprint_sha256 = ca_fingerprint();
    out.revocation_check = RevocationCheck::none;
    return out;
  };
  open_client(options());
  client_->start(clock_.now());
  run();
  const std::string serial = trustpoint_->certificate()->serial();
  restart_client(options());
  client_->start(clock_.now());
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(client_->state(), EnrolState::enrolled);
  EXPECT_EQ(trustpoint_->certificate()->serial(), serial);
}

TEST_F(Enrolment, SilenceIsRetriedWithBackOffAndLateAnswersAreIgnored) {
  open_ca(ca_options());
  auto options = pinned_options();
  open_client(std::move(options));
  client_->start(clock_.now());
  auto lost = client_->take_request();
  ASSERT_TRUE(lost);
  wake();
  EXPECT_EQ(client_->state(), EnrolState::retry);
  EXPECT_TRUE(client_->last_error()->is(http_timeout));
  client_->on_response(clock_.now(), lost->id, server_->handle(lost->request));
  EXPECT_EQ(client_->state(), EnrolState::retry);
  EXPECT_FALSE(client_->take_request());
  const auto first = client_->next_deadline() - clock_.now();
  wake();
  (void)client_->take_request();
  wake();
  const auto second = client_->next_deadline() - clock_.now();
  EXPECT_GT(second, first);
  wake();
  run();
  EXPECT_EQ(client_->state(), EnrolState::enrolled) << failure();
}

TEST_F(Enrolment, ALostAnswerGetsTheSameCertificate) {
  open_ca(ca_options());
  auto options = pinned_options();
  options.revocation_check = RevocationCheck::none;
  open_client(std::move(options));
  client_->start(clock_.now());
  while (auto out = client_->take_request()) {
    const auto response = server_->handle(out->request);
    if (client_->state() == EnrolState::request && must(ca_->issued()).size() == 1) break;  // lost
    client_->on_response(clock_.now(), out->id, response);
  }
  wake();  // time-out
  wake();  // retry
  run();
  EXPECT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_EQ(must(ca_->issued()).size(), 1u);
}

TEST_F(Enrolment, AServerThatOnlyKnowsWeakAlgorithmsIsRefused) {
  open_ca(ca_options());
  auto options = trustpoint_options();
  open_client(std::move(options));
  client_->start(clock_.now());
  const auto out = client_->take_request();
  client_->on_response(clock_.now(), out->id,
                       HttpResponse{200, "text/plain", to_bytes(as_bytes("DES3\nSHA-1\n"))});
  EXPECT_EQ(client_->state(), EnrolState::retry);
  EXPECT_TRUE(client_->last_error()->is(scep_server_weak));
}

TEST_F(Enrolment, AnAnswerToAnotherRequestIsRefusedByName) {
  open_ca(ca_options());
  auto options = pinned_options();
  open_client(std::move(options));
  client_->start(clock_.now());
  HttpResponse old;
  for (int round = 0; round < 2; ++round) {
    while (auto out = client_->take_request()) {
      auto response = server_->handle(out->request);
      if (client_->state() == EnrolState::request) {
        if (round == 0) {
          old = response;
          break;  // lost
        }
        response = old;  // replayed: signed by the CA, but for the first request's nonce
      }
      client_->on_response(clock_.now(), out->id, response);
    }
    if (round == 0) {
      wake();
      wake();
    }
  }
  EXPECT_EQ(client_->state(), EnrolState::retry);
  EXPECT_TRUE(client_->last_error()->is(scep_wrong_answer)) << failure();
  EXPECT_FALSE(trustpoint_->certificate());
}

// Another vendor's server: a root, a CA below it, two registration authorities (one to sign,
// one to encrypt to), and a certificate that leads nowhere.
TEST_F(Enrolment, AThirdPartyChainIsTakenApart) {
  const auto root_key = must(crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p384));
  const auto sub_key = must(crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p384));
  const auto reader_key = pooled_rsa();
  const auto writer_key = pooled_rsa();
  const Extension is_ca{NID_basic_constraints, "critical,CA:TRUE"};
  const auto root = forge(root_key, "CN=root", root_key, "CN=root", {is_ca});
  const auto sub = forge(sub_key, "CN=sub", root_key, "CN=root", {is_ca});
  const auto reader = forge(reader_key, "CN=ra-encryption", sub_key, "CN=sub",
                            {{NID_key_usage, "critical,keyEncipherment"}});
  const auto writer = forge(writer_key, "CN=ra-signature", sub_key, "CN=sub",
                            {{NID_key_usage, "critical,digitalSignature"}});
  const auto stranger = forge(writer_key, "CN=stranger", writer_key, "CN=stranger", {});
  auto options = trustpoint_options();
  options.key.type = crypto::KeyType::ecdsa_p256;
  options.fingerprint_sha256 = root.fingerprint(crypto::Hash::sha256);
  options.revocation_check = RevocationCheck::none;
  open_client(std::move(options));
  const auto answer = [&](std::string_view type, Bytes body) {
    const auto out = client_->take_request();
    ASSERT_TRUE(out);
    client_->on_response(clock_.now(), out->id, HttpResponse{200, std::string(type), body});
  };
  client_->start(clock_.now());
  answer("text/plain", to_bytes(as_bytes("SCEPStandard\nRenewal\n")));
  answer("application/x-x509-ca-ra-cert",
         must(encode(CertificateBag{{reader, sub, stranger, root, writer}, {}})));
  EXPECT_EQ(trustpoint_->trust().anchors, std::vector<Certificate>{root});
  EXPECT_THAT(trustpoint_->trust().intermediates,
              ::testing::UnorderedElementsAre(reader, sub, writer));

  // The request opens with the key of the encrypting one, and the other's answer is taken.
  const auto wish = client_->take_key_wish();
  ASSERT_TRUE(wish) << failure();
  client_->on_key(clock_.now(), wish->id, generate_key(wish->options.type, wish->options.bits));
  const auto out = client_->take_request();
  ASSERT_TRUE(out) << failure();
  const ScepCodec codec(false);
  auto asked = must(codec.parse(out->request.body, {}));
  must(codec.open(asked, reader, reader_key));
  const auto request = must(CertificateRequest::from_der(asked.data));
  const auto issued = must(make_certificate({sub_key, sub, crypto::Hash::sha256}, request, {}, "",
                                            {"4711", at(-1), at(100)}));
  ScepMessage reply;
  reply.type = ScepType::cert_rep;
  reply.transaction_id = asked.transaction_id;
  reply.recipient_nonce = asked.sender_nonce;
  reply.status = PkiStatus::success;
  reply.envelope = must(codec.seal(must(encode(CertificateBag{{issued}, {}})), {asked.signer, {}},
                                   ScepCipher::aes_256));
  client_->on_response(clock_.now(), out->id,
                       HttpResponse{200, "", must(codec.sign(reply, writer, writer_key))});
  ASSERT_EQ(client_->state(), EnrolState::enrolled) << failure();
  EXPECT_EQ(*trustpoint_->certificate(), issued);
  // Ours and the CA between; peers have the root.
  const auto chain = machine_.keyring.local("GETVPN")->chain;
  EXPECT_THAT(chain, ::testing::ElementsAre(issued.der(), sub.der()));
}

TEST_F(Enrolment, ARevokedPeerIsRefusedAfterTheNextList) {
  open_ca(ca_options());
  auto options = pinned_options();
  open_client(std::move(options));
  client_->start(clock_.now());
  run();
  const std::vector<Bytes> chain = machine_.keyring.local("GETVPN")->chain;
  ASSERT_TRUE(trustpoint_->verify(chain));
  must(ca_->revoke(trustpoint_->certificate()->serial(), RevocationReason::key_compromise));
  EXPECT_TRUE(trustpoint_->verify(chain));  // the old list is still good
  clock_.advance(std::chrono::seconds(1));
  must(client_->refresh_crl(clock_.now()));
  run();
  EXPECT_REFUSED(trustpoint_->verify(chain), certificate_revoked);
}

}  // namespace
}  // namespace cohort::pki::test
