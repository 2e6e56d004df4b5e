#include "pki/scep_server.hpp"

#include <set>

#include "tests/unit/pki/fixture.hpp"

namespace cohort::pki::test {
namespace {

/// A requester that writes its messages by hand, so that it can write wrong ones.
class Server : public ::testing::Test {
 protected:
  void SetUp() override { open(ca_options()); }
  void open(CaOptions options) {
    ca_ = must(CertificateAuthority::open(std::move(options), machine_.world));
    server_.emplace(*ca_, machine_.world);
    machine_.outbox.refusals.clear();
  }
  [[nodiscard]] Certificate self(const Applicant& who) const {
    return must(self_signed(who.key, who.request.subject_der(), crypto::Hash::sha256,
                            clock_.wall().time_since_epoch().count()));
  }
  [[nodiscard]] Bytes message(ScepType type, ByteView data, const Certificate& signer,
                              const crypto::PrivateKey& key, const std::string& transaction) {
    ScepMessage out;
    out.type = type;
    out.transaction_id = transaction;
    out.sender_nonce.fill(9);
    out.envelope =
        must(codec_.seal(data, {ca_->message_key().certificate, {}}, ScepCipher::aes_128));
    return must(codec_.sign(out, signer, key));
  }
  [[nodiscard]] HttpResponse post(Bytes body) {
    return server_->handle({HttpMethod::post, "/scep?operation=PKIOperation",
                            "application/x-pki-message", std::move(body), "192.0.2.1"});
  }
  [[nodiscard]] HttpResponse get(std::string url) {
    return server_->handle({HttpMethod::get, std::move(url), "", {}, "192.0.2.1"});
  }
  /// The CertRep in a response, opened with the requester's key.
  [[nodiscard]] ScepMessage read(const HttpResponse& response, const Certificate& signer,
                                 const crypto::PrivateKey& key) {
    if (response.status != 200) throw std::runtime_error(std::to_string(response.status));
    const std::vector<Certificate> trusted{ca_->message_key().certificate};
    auto out = must(codec_.parse(response.body, trusted));
    if (out.status == PkiStatus::success) must(codec_.open(out, signer, key));
    return out;
  }
  [[nodiscard]] Certificate enrol(const Applicant& who, const std::string& transaction) {
    const auto signer = self(who);
    const auto answer =
        read(post(message(ScepType::pkcs_req, who.request.der(), signer, who.key, transaction)),
             signer, who.key);
    return must(parse_certificate_bag(answer.data)).certificates.at(0);
  }

  ManualClock clock_;
  Machine machine_{clock_, 11};
  ScepCodec codec_{false};
  std::unique_ptr<CertificateAuthority> ca_;
  std::optional<ScepServer> server_;
};

TEST_F(Server, CapabilitiesDependOnTheWeakSwitch) {
  const auto text = [&] {
    const auto response = get("/scep?operation=GetCACaps&message=x");
    return std::string(response.body.begin(), response.body.end());
  };
  EXPECT_EQ(text(), "AES\nPOSTPKIOperation\nRenewal\nSHA-256\nSHA-512\nSCEPStandard\n");
  auto options = ca_options();
  options.allow_weak = true;
  open(std::move(options));
  EXPECT_THAT(text(), ::testing::HasSubstr("DES3\nSHA-1\n"));
}

TEST_F(Server, GivesTheCaCertificateAndTheList) {
  const auto response = get("/cgi-bin/pkiclient.exe?operation=GetCACert");
  EXPECT_EQ(response.content_type, "application/x-x509-ca-cert");
  EXPECT_EQ(must(Certificate::from_der(response.body)), ca_->certificate());
  const auto list = get("/ca.crl");
  EXPECT_EQ(list.content_type, "application/pkix-crl");
  EXPECT_TRUE(must(Crl::from_der(list.body)).signed_by(ca_->certificate()));
}

TEST_F(Server, TakesMessagesByGetToo) {
  const auto who = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto signer = self(who);
  const Bytes der = message(ScepType::pkcs_req, who.request.der(), signer, who.key, "t1");
  static constexpr std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string plain;
  std::string escaped;
  for (std::size_t i = 0; i < der.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8 | (i + j < der.size() ? der[i + j] : 0u);
    for (std::size_t j = 0; j < 4; ++j) {
      const bool pad = i + j > der.size();
      const char c = pad ? '=' : alphabet[group >> (18 - 6 * j) & 63];
      plain.push_back(c);
      escaped += c == '+' ? "%2B" : c == '/' ? "%2F" : c == '=' ? "%3d" : std::string(1, c);
    }
  }
  for (const auto& text : {plain, escaped}) {
    const auto answer = read(get("/?operation=PKIOperation&message=" + text), signer, who.key);
    EXPECT_EQ(answer.status, PkiStatus::success);
  }
  EXPECT_EQ(must(ca_->issued()).size(), 1u);
}

TEST_F(Server, GetCertGetCrlAndTheirRefusals) {
  const auto who = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto certificate = enrol(who, "t1");
  const auto ask = [&](ScepType type, const Bytes& issuer, const std::string& serial) {
    return read(post(message(type, must(encode(IssuerAndSerial{issuer, serial})), certificate,
                             who.key, "g1")),
                certificate, who.key);
  };
  const Bytes issuer = ca_->certificate().subject_der();
  const auto found = ask(ScepType::get_cert, issuer, certificate.serial());
  EXPECT_EQ(must(parse_certificate_bag(found.data)).certificates.at(0), certificate);
  const auto list = ask(ScepType::get_crl, issuer, certificate.serial());
  EXPECT_EQ(must(parse_certificate_bag(list.data)).crls.size(), 1u);
  const auto none = ask(ScepType::get_cert, issuer, "4711");
  EXPECT_EQ(none.status, PkiStatus::failure);
  EXPECT_EQ(none.fail_info, FailInfo::bad_cert_id);
  const auto other = ask(ScepType::get_crl, must(name_der_of_text("CN=other")), "01");
  EXPECT_EQ(other.fail_info, FailInfo::bad_cert_id);
  EXPECT_EQ(machine_.outbox.count(serial_unknown), 2u);
}

// INTEROP: renewal comes as RenewalReq and as PKCSReq signed with the old certificate.
TEST_F(Server, RenewsInBothForms) {
  const auto old_key = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto old = enrol(old_key, "t1");
  for (const auto type : {ScepType::renewal_req, ScepType::pkcs_req}) {
    const auto fresh = applicant("CN=gm1", {}, crypto::KeyType::rsa);
    const auto answer =
        read(post(message(type, fresh.request.der(), old, old_key.key, "r1")), old, old_key.key);
    if (type == ScepType::renewal_req) {
      EXPECT_EQ(answer.status, PkiStatus::success);
    } else {
      // The same transaction id with another key: refused whatever the form.
      EXPECT_EQ(answer.fail_info, FailInfo::bad_request);
      const auto again =
          read(post(message(type, fresh.request.der(), old, old_key.key, "r2")), old, old_key.key);
      EXPECT_EQ(again.status, PkiStatus::success);
    }
  }
  EXPECT_EQ(must(ca_->issued()).size(), 3u);
  EXPECT_EQ(machine_.outbox.count(transaction_key_mismatch), 1u);
}

TEST_F(Server, RefusesSignersThatProveNothing) {
  const auto who = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto thief = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto stranger = self(thief);
  // Somebody else's request in one's own message.
  const auto stolen =
      read(post(message(ScepType::pkcs_req, who.request.der(), stranger, thief.key, "t1")),
           stranger, thief.key);
  EXPECT_EQ(stolen.fail_info, FailInfo::bad_message_check);
  EXPECT_EQ(machine_.outbox.count(signer_key_mismatch), 1u);
  // A renewal with a certificate that is not ours.
  const auto renewal =
      read(post(message(ScepType::renewal_req, thief.request.der(), stranger, thief.key, "t2")),
           stranger, thief.key);
  EXPECT_EQ(renewal.fail_info, FailInfo::bad_request);
  EXPECT_EQ(machine_.outbox.count(renewal_signer_bad), 1u);
  EXPECT_TRUE(must(ca_->issued()).empty());
}

TEST_F(Server, ARevokedCertificateDoesNotRenew) {
  const auto who = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto certificate = enrol(who, "t1");
  must(ca_->revoke(certificate.serial(), RevocationReason::key_compromise));
  const auto answer =
      read(post(message(ScepType::renewal_req, who.request.der(), certificate, who.key, "r1")),
           certificate, who.key);
  EXPECT_EQ(answer.status, PkiStatus::failure);
  EXPECT_EQ(machine_.outbox.count(renewal_signer_bad), 1u);
  EXPECT_EQ(must(ca_->issued()).size(), 1u);
}

TEST_F(Server, PollsBelongToTheirRequester) {
  auto options = ca_options();
  options.grant = Grant::manual;
  open(std::move(options));
  const auto who = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto other = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto signer = self(who);
  const auto pending = read(
      post(message(ScepType::pkcs_req, who.request.der(), signer, who.key, "t1")), signer, who.key);
  EXPECT_EQ(pending.status, PkiStatus::pending);
  EXPECT_TRUE(pending.envelope.empty());
  const Bytes names =
      encode(IssuerAndSubject{ca_->certificate().subject_der(), who.request.subject_der()});
  const auto stranger = self(other);
  const auto stolen = read(post(message(ScepType::cert_poll, names, stranger, other.key, "t1")),
                           stranger, other.key);
  EXPECT_EQ(stolen.status, PkiStatus::failure);
  const auto unknown =
      read(post(message(ScepType::cert_poll, names, signer, who.key, "t2")), signer, who.key);
  EXPECT_EQ(unknown.fail_info, FailInfo::bad_cert_id);
  must(ca_->grant(must(ca_->requests()).front().id));
  const auto granted =
      read(post(message(ScepType::cert_poll, names, signer, who.key, "t1")), signer, who.key);
  EXPECT_EQ(granted.status, PkiStatus::success);
}

struct BadCase {
  const char* name;
  HttpRequest request;
  unsigned status;
  const Reason* reason;
};

TEST_F(Server, BadHttpIsRefusedByNameAndChangesNothing) {
  const auto request = [](HttpMethod method, std::string url, std::size_t body = 0) {
    return HttpRequest{method, std::move(url), "", Bytes(body, 0x30), "192.0.2.1"};
  };
  const BadCase cases[] = {
      {"no operation", request(HttpMethod::get, "/scep"), 404, &scep_unknown_operation},
      {"unknown operation", request(HttpMethod::get, "/?operation=GetNextCACert"), 404,
       &scep_unknown_operation},
      {"posted GetCACert", request(HttpMethod::post, "/?operation=GetCACert"), 400,
       &http_bad_request},
      {"broken escape", request(HttpMethod::get, "/?operation=PKIOperation&message=%2"), 400,
       &http_bad_request},
      {"no base64", request(HttpMethod::get, "/?operation=PKIOperation&message=*"), 400,
       &http_bad_request},
      {"empty message", request(HttpMethod::get, "/?operation=PKIOperation"), 400, &scep_not_cms},
      {"garbage", request(HttpMethod::post, "/?operation=PKIOperation", 100), 400, &scep_not_cms},
      {"garbage, no operation", request(HttpMethod::post, "/scep", 100), 400, &scep_not_cms},
      {"large message",
       request(HttpMethod::post, "/?operation=PKIOperation", scep_message_size_max + 1), 413,
       &scep_too_large},
      {"large body", request(HttpMethod::post, "/?operation=PKIOperation", http_body_max + 1), 413,
       &scep_too_large},
      {"long url", request(HttpMethod::get, "/?operation=" + std::string(http_url_max, 'a')), 413,
       &scep_too_large},
  };
  for (const auto& each : cases) {
    machine_.outbox.refusals.clear();
    EXPECT_EQ(server_->handle(each.request).status, each.status) << each.name;
    EXPECT_EQ(machine_.outbox.count(*each.reason), 1u) << each.name;
  }
  EXPECT_TRUE(must(ca_->requests()).empty());
  EXPECT_EQ(server_->counters().refused, std::size(cases));
}

TEST_F(Server, BadContentIsAFailureByName) {
  const auto who = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  const auto signer = self(who);
  const Bytes garbage(64, 0x41);
  const struct {
    ScepType type;
    const Reason* reason;
  } cases[] = {{ScepType::pkcs_req, &bad_request_pkcs10},
               {ScepType::renewal_req, &bad_request_pkcs10},
               {ScepType::cert_poll, &scep_bad_content},
               {ScepType::get_cert, &scep_bad_content},
               {ScepType::get_crl, &scep_bad_content}};
  for (const auto& [type, reason] : cases) {
    machine_.outbox.refusals.clear();
    const auto answer = read(post(message(type, garbage, signer, who.key, "t1")), signer, who.key);
    EXPECT_EQ(answer.status, PkiStatus::failure);
    EXPECT_FALSE(answer.fail_text.empty());
    EXPECT_EQ(machine_.outbox.count(*reason), 1u) << name_of(type);
  }
  EXPECT_TRUE(must(ca_->requests()).empty());
}

TEST_F(Server, DoesNotTellWhetherAnOverheardEnvelopeWasDecrypted) {
  auto options = ca_options();
  options.requests_per_second = options.requests_per_second_per_source = 0;
  open(std::move(options));
  // A stranger signs what he has overheard, with a change, as a message of his own.
  const auto victim = applicant("CN=gm1", "the password", crypto::KeyType::rsa);
  const Bytes request = victim.request.der();
  const Bytes overheard =
      must(codec_.seal(request, {ca_->message_key().certificate, {}}, ScepCipher::aes_128));
  const auto stranger = applicant("CN=stranger", {}, crypto::KeyType::rsa);
  const auto signer = self(stranger);
  // What is changed a block before its end decides over the last octet, which is the padding's
  // length: a wrong one, and one octet of padding, behind which nonsense is read.
  const auto length = static_cast<std::uint8_t>(16 - request.size() % 16);
  std::set<std::string> reasons;
  for (const auto type : {ScepType::pkcs_req, ScepType::renewal_req, ScepType::cert_poll,
                          ScepType::get_cert, ScepType::get_crl}) {
    for (const unsigned change : {0x80u, length ^ 1u}) {
      ScepMessage out;
      out.type = type;
      out.transaction_id = "t1";
      out.envelope = overheard;
      out.envelope[overheard.size() - 17] ^= static_cast<std::uint8_t>(change);
      machine_.outbox.refusals.clear();
      const auto answer =
          read(post(must(codec_.sign(out, signer, stranger.key))), signer, stranger.key);
      ASSERT_EQ(machine_.outbox.refusals.size(), 1u);
      reasons.emplace(machine_.outbox.refusals[0].error.reason().name);
      EXPECT_EQ(answer.fail_info, FailInfo::bad_message_check) << *reasons.rbegin();
      EXPECT_EQ(answer.fail_text, "the enveloped part can't be decrypted, or is no such request");
    }
  }
  // Our log knows.
  EXPECT_THAT(reasons, ::testing::UnorderedElementsAre("scep_bad_envelope", "bad_request_pkcs10",
                                                       "scep_bad_content"));
}

TEST_F(Server, AnAnswerIsNoRequest) {
  const auto who = applicant("CN=gm1", {}, crypto::KeyType::rsa);
  ScepMessage answer;
  answer.type = ScepType::cert_rep;
  answer.transaction_id = "t1";
  answer.status = PkiStatus::pending;
  EXPECT_EQ(post(must(codec_.sign(answer, self(who), who.key))).status, 400u);
  EXPECT_EQ(machine_.outbox.count(scep_wrong_type), 1u);
}

TEST_F(Server, ARequestForACaGetsAnEndCertificate) {
  // Whatever else a request asks for, names are all that it gets.
  const auto who = applicant("CN=gm1, O=lab", {}, crypto::KeyType::rsa);
  EXPECT_FALSE(enrol(who, "t1").is_ca());
}

// What a stranger may cost is bounded: each message is two private-key operations and a write.
TEST_F(Server, MessagesAreServedAtABoundedRateForASource) {
  auto options = ca_options();
  options.requests_per_second = 50;
  options.requests_per_second_per_source = 5;
  open(std::move(options));
  const auto from = [&](const std::string& peer) {
    return server_->handle({HttpMethod::post, "/scep?operation=PKIOperation", "", {}, peer}).status;
  };
  for (int i = 0; i < 20; ++i) EXPECT_EQ(from("192.0.2.1"), 400u) << i;
  EXPECT_EQ(from("192.0.2.1"), 429u);
  EXPECT_TRUE(machine_.outbox.refusals.back().error.is(too_many_requests_of_source));
  EXPECT_EQ(server_->counters().throttled, 1u);
  // Others are not his fault; but all addresses of an IPv6 network are one.
  EXPECT_EQ(from("192.0.2.2"), 400u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(from("2001:db8::" + std::to_string(i + 1)), 400u) << i;
  EXPECT_EQ(from("2001:db8::99"), 429u);
  EXPECT_EQ(from("2001:db8:0:1::1"), 400u);
  // What costs next to nothing is answered.
  EXPECT_EQ(get("/scep?operation=GetCACert").status, 200u);
  EXPECT_EQ(get("/scep?operation=GetCACaps").status, 200u);
  EXPECT_EQ(get("/ca.crl").status, 429u);
  clock_.advance(std::chrono::seconds(1));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(from("192.0.2.1"), 400u) << i;
  EXPECT_EQ(from("192.0.2.1"), 429u);
}

TEST_F(Server, MessagesAreServedAtABoundedRateInTotal) {
  const auto from = [&](int network) {
    return server_
        ->handle({HttpMethod::post,
                  "/scep?operation=PKIOperation",
                  "",
                  {},
                  "198.51." + std::to_string(network / 256) + "." + std::to_string(network % 256)})
        .status;
  };
  for (int i = 0; i < 200; ++i) EXPECT_EQ(from(i), 400u) << i;
  EXPECT_EQ(from(200), 503u);
  EXPECT_TRUE(machine_.outbox.refusals.back().error.is(too_many_requests));
  clock_.advance(std::chrono::seconds(1));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(from(i), 400u) << i;
  EXPECT_EQ(from(50), 503u);
}

TEST(RequestRate, RemembersABoundedNumberOfSources) {
  RequestRate rate(0, 1);
  TimePoint now{};
  now += std::chrono::hours(1);
  const auto source = [](unsigned i) { return IpAddress::v4(0x0a000000u + i).text(); };
  // The first one uses up its share; then come as many others as there is room for, and more.
  for (int i = 0; i < 4; ++i) EXPECT_EQ(rate.take(now, source(0)), RequestRate::Verdict::allowed);
  EXPECT_EQ(rate.take(now, source(0)), RequestRate::Verdict::source_exceeded);
  for (unsigned i = 1; i < 10 * RequestRate::sources_max; ++i)
    EXPECT_EQ(rate.take(now, source(i)), RequestRate::Verdict::allowed);
  EXPECT_EQ(rate.take(now, source(0)), RequestRate::Verdict::source_exceeded)
      << "those who have most left are forgotten first";
}

}  // namespace
}  // namespace cohort::pki::test
