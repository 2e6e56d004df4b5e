#include "pki/scep_message.hpp"

#include "pki/der.hpp"
#include "pki/http.hpp"
#include "tests/unit/pki/fixture.hpp"

namespace cohort::pki::test {
namespace {

/// An RSA end that signs and reads messages.
struct End {
  crypto::PrivateKey key;
  Certificate certificate;
};
End end_of(std::string_view name, crypto::KeyType type = crypto::KeyType::rsa) {
  auto key = must(type == crypto::KeyType::rsa ? crypto::PrivateKey::generate_rsa(2048)
                                               : crypto::PrivateKey::generate_ec(type));
  auto certificate = must(self_signed(key, must(name_der_of_text(name)), crypto::Hash::sha256,
                                      epoch.time_since_epoch().count()));
  return {std::move(key), std::move(certificate)};
}

class Messages : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    client_ = std::make_unique<End>(end_of("CN=client"));
    server_ = std::make_unique<End>(end_of("CN=server"));
  }
  static void TearDownTestSuite() {
    client_.reset();
    server_.reset();
  }
  [[nodiscard]] static ScepMessage request() {
    ScepMessage out;
    out.type = ScepType::pkcs_req;
    out.transaction_id = "0123456789abcdef";
    out.sender_nonce.fill(0x5a);
    return out;
  }
  static std::unique_ptr<End> client_;
  static std::unique_ptr<End> server_;
  ScepCodec codec_{false};
  ScepCodec weak_{true};
  Bytes data_ = to_bytes(as_bytes("the data of the message"));
};
std::unique_ptr<End> Messages::client_;
std::unique_ptr<End> Messages::server_;

TEST_F(Messages, RoundTripWithEveryStrongAlgorithm) {
  for (const auto hash : {crypto::Hash::sha256, crypto::Hash::sha384, crypto::Hash::sha512})
    for (const auto cipher : {ScepCipher::aes_128, ScepCipher::aes_192, ScepCipher::aes_256}) {
      ScepMessage message = request();
      message.hash = hash;
      message.envelope = must(codec_.seal(data_, {server_->certificate, {}}, cipher));
      const Bytes der = must(codec_.sign(message, client_->certificate, client_->key));
      ScepMessage read = must(codec_.parse(der, {}));
      EXPECT_EQ(read.type, ScepType::pkcs_req);
      EXPECT_EQ(read.transaction_id, message.transaction_id);
      EXPECT_EQ(read.sender_nonce, message.sender_nonce);
      EXPECT_EQ(read.hash, hash);
      EXPECT_EQ(*read.signer, client_->certificate);
      must(codec_.open(read, server_->certificate, server_->key));
      EXPECT_EQ(read.cipher, cipher);
      EXPECT_EQ(read.data, data_);
    }
}

TEST_F(Messages, WeakAlgorithmsNeedTheSwitch) {
  for (const auto cipher : {ScepCipher::triple_des, ScepCipher::des}) {
    EXPECT_REFUSED(codec_.seal(data_, {server_->certificate, {}}, cipher), scep_weak_algorithm);
    ScepMessage message = request();
    message.hash = crypto::Hash::sha1;
    message.envelope = must(weak_.seal(data_, {server_->certificate, {}}, cipher));
    const Bytes der = must(weak_.sign(message, client_->certificate, client_->key));
    EXPECT_REFUSED(codec_.parse(der, {}), scep_weak_algorithm);
    ScepMessage read = must(weak_.parse(der, {}));
    EXPECT_REFUSED(codec_.open(read, server_->certificate, server_->key), scep_weak_algorithm);
    EXPECT_TRUE(read.data.empty());
    must(weak_.open(read, server_->certificate, server_->key));
    EXPECT_EQ(read.data, data_);
    EXPECT_EQ(read.cipher, cipher);
  }
}

TEST_F(Messages, WritesRsaEncryptionAsTheSignatureAlgorithm) {
  const Bytes der = must(codec_.sign(request(), client_->certificate, client_->key));
  // AlgorithmIdentifier { rsaEncryption, NULL }, right before the signature of 256 octets.
  const Bytes tail = must(from_hex("300d06092a864886f70d010101050004820100"));
  ASSERT_GT(der.size(), tail.size() + 256);
  const ByteView found = ByteView(der).subspan(der.size() - 256 - tail.size(), tail.size());
  EXPECT_EQ(to_hex(found), to_hex(tail));
}

TEST_F(Messages, AnswersCarryStatusAndFailInfo) {
  ScepMessage answer = request();
  answer.type = ScepType::cert_rep;
  answer.recipient_nonce = answer.sender_nonce;
  answer.status = PkiStatus::failure;
  answer.fail_info = FailInfo::bad_cert_id;
  answer.fail_text = "no such certificate";
  const Bytes der = must(codec_.sign(answer, server_->certificate, server_->key));
  const std::vector<Certificate> trusted{server_->certificate};
  const ScepMessage read = must(codec_.parse(der, trusted));
  EXPECT_EQ(read.status, PkiStatus::failure);
  EXPECT_EQ(read.fail_info, FailInfo::bad_cert_id);
  EXPECT_EQ(read.fail_text, "no such certificate");
  EXPECT_TRUE(read.envelope.empty());
  EXPECT_REFUSED(codec_.parse(der, std::vector<Certificate>{client_->certificate}),
                 scep_bad_signature);
}

TEST_F(Messages, EcdsaEndsReadByPasswordOrByAgreement) {
  const End ec = end_of("CN=ec", crypto::KeyType::ecdsa_p256);
  const Secret password = Secret::of_text("challenge");
  ScepMessage message = request();
  message.envelope =
      must(codec_.seal(data_, {ec.certificate, password.clone()}, ScepCipher::aes_128));
  EXPECT_REFUSED(codec_.open(message, ec.certificate, ec.key, Secret::of_text("other")),
                 scep_bad_envelope);
  must(codec_.open(message, ec.certificate, ec.key, password));
  EXPECT_EQ(message.data, data_);
  message.envelope = must(codec_.seal(data_, {ec.certificate, {}}, ScepCipher::aes_128));
  must(codec_.open(message, ec.certificate, ec.key));
  EXPECT_EQ(message.data, data_);
}

TEST_F(Messages, AnotherKeyOpensNothing) {
  ScepMessage message = request();
  message.envelope = must(codec_.seal(data_, {server_->certificate, {}}, ScepCipher::aes_128));
  EXPECT_REFUSED(codec_.open(message, client_->certificate, client_->key), scep_bad_envelope);
  EXPECT_REFUSED(codec_.open(message, server_->certificate, client_->key), scep_bad_envelope);
  EXPECT_TRUE(message.data.empty());
}

TEST_F(Messages, EachChangedOctetIsRefusedOrChangesNothingSigned) {
  ScepMessage message = request();
  message.envelope = must(codec_.seal(data_, {server_->certificate, {}}, ScepCipher::aes_128));
  const Bytes der = must(codec_.sign(message, client_->certificate, client_->key));
  for (std::size_t i = 0; i < der.size(); i += 7) {
    Bytes changed = der;
    changed[i] = static_cast<std::uint8_t>(changed[i] ^ 0x01);
    const auto read = codec_.parse(changed, {});
    if (!read) continue;
    EXPECT_EQ(read->envelope, message.envelope) << i;
    EXPECT_EQ(read->transaction_id, message.transaction_id) << i;
    EXPECT_EQ(read->sender_nonce, message.sender_nonce) << i;
  }
  for (std::size_t length = 0; length < der.size(); length += 13)
    EXPECT_FALSE(codec_.parse(ByteView(der).first(length), {}));
  Bytes longer = der;
  longer.push_back(0);
  EXPECT_REFUSED(codec_.parse(longer, {}), scep_not_cms);
  EXPECT_REFUSED(codec_.parse(Bytes(scep_message_size_max + 1), {}), scep_too_large);
}

/// DER as BER with indefinite lengths in its outer `depth` levels and its octet strings in chunks,
/// as Java's libraries write it.
Bytes to_ber(ByteView der, int depth) {
  Bytes out;
  DerReader reader(der);
  while (!reader.empty()) {
    const auto value = reader.next();
    if (!value) throw std::runtime_error("not DER");
    const bool chunked = value->tag == 0x04 || value->tag == 0x80;
    if (depth == 0 || (!chunked && (value->tag & 0x20) == 0)) {
      out.insert(out.end(), value->whole.begin(), value->whole.end());
      continue;
    }
    out.push_back(value->tag | 0x20);
    out.push_back(0x80);
    if (chunked) {
      for (std::size_t i = 0; i < value->contents.size(); i += 100) {
        const ByteView part = value->contents.subspan(i).first(
            std::min<std::size_t>(100, value->contents.size() - i));
        out.push_back(0x04);
        out.push_back(static_cast<std::uint8_t>(part.size()));
        out.insert(out.end(), part.begin(), part.end());
      }
    } else {
      const Bytes inner = to_ber(value->contents, depth - 1);
      out.insert(out.end(), inner.begin(), inner.end());
    }
    out.insert(out.end(), {0, 0});
  }
  return out;
}

// INTEROP: Java clients send BER.
TEST_F(Messages, ReadsBerWithIndefiniteLengths) {
  ScepMessage message = request();
  message.envelope =
      to_ber(must(codec_.seal(data_, {server_->certificate, {}}, ScepCipher::aes_256)), 5);
  EXPECT_EQ(message.envelope[1], 0x80);
  const Bytes ber = to_ber(must(codec_.sign(message, client_->certificate, client_->key)), 6);
  ScepMessage read = must(codec_.parse(ber, {}));
  must(codec_.open(read, server_->certificate, server_->key));
  EXPECT_EQ(read.data, data_);
  EXPECT_EQ(read.cipher, ScepCipher::aes_256);
  for (std::size_t length = 0; length < ber.size(); length += 17)
    EXPECT_FALSE(codec_.parse(ByteView(ber).first(length), {}));
}

TEST_F(Messages, MissingAttributesAreNamed) {
  ScepMessage message = request();
  message.transaction_id = std::string(transaction_id_max + 1, 'a');
  const Bytes der = must(codec_.sign(message, client_->certificate, client_->key));
  EXPECT_REFUSED(codec_.parse(der, {}), scep_bad_attribute);
  // A plain degenerate SignedData is a message of nobody.
  EXPECT_REFUSED(codec_.parse(must(encode(CertificateBag{{client_->certificate}, {}})), {}),
                 scep_not_cms);
}

TEST(ScepData, IssuerAndSerialRoundTrip) {
  const Bytes issuer = must(name_der_of_text("CN=ca, O=lab"));
  for (const char* serial : {"01", "7F", "80", "00FF0011223344556677889900AABBCCDD"}) {
    const auto read = must(parse_issuer_and_serial(must(encode(IssuerAndSerial{issuer, serial}))));
    EXPECT_EQ(read.issuer_der, issuer);
    EXPECT_EQ(read.serial, std::string_view(serial).starts_with("00") ? serial + 2 : serial);
  }
  EXPECT_REFUSED(parse_issuer_and_serial(ByteView{}), scep_bad_content);
  EXPECT_REFUSED(encode(IssuerAndSerial{issuer, "xyz"}), bad_hex);
}

TEST(ScepData, BagsRoundTrip) {
  const End one = end_of("CN=one", crypto::KeyType::ecdsa_p256);
  const End two = end_of("CN=two", crypto::KeyType::ecdsa_p256);
  const auto bag = must(
      parse_certificate_bag(must(encode(CertificateBag{{one.certificate, two.certificate}, {}}))));
  EXPECT_THAT(bag.certificates, ::testing::UnorderedElementsAre(one.certificate, two.certificate));
  EXPECT_REFUSED(parse_certificate_bag(one.certificate.der()), scep_bad_content);
}

TEST(HttpUrlTest, IsTakenApartOrRefused) {
  const auto url = must(parse_http_url("http://10.191.61.120/cgi-bin/pkiclient.exe?a=b"));
  EXPECT_EQ(url.host, "10.191.61.120");
  EXPECT_EQ(url.port, 80);
  EXPECT_EQ(url.target, "/cgi-bin/pkiclient.exe?a=b");
  EXPECT_EQ(must(parse_http_url("http://[2001:db8::1]:8080")).host, "2001:db8::1");
  EXPECT_EQ(must(parse_http_url("http://[2001:db8::1]:8080")).port, 8080);
  EXPECT_EQ(must(parse_http_url("http://ca?operation=x")).target, "/?operation=x");
  EXPECT_EQ(must(parse_http_url("http://ca/x#part")).target, "/x");
  for (const char* bad :
       {"", "https://ca/", "http://", "http:///x", "http://ca:0/", "http://ca:65536/",
        "http://ca:/", "http://ca:80x/", "http://u@ca/", "http://[::1/", "http://[x]/",
        "http://c%61/", "http://ca/a b", "http://ca/\r\nX: y"})
    EXPECT_REFUSED(parse_http_url(bad), bad_url);
}

}  // namespace
}  // namespace cohort::pki::test
