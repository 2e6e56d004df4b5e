// SCEP requests that other programs wrote, recorded against a CA whose key is beside them.
#include <fstream>
#include <gmock/gmock.h>
#include <iterator>
#include <string>

#include "pki/reasons.hpp"
#include "pki/request.hpp"
#include "pki/scep_message.hpp"

namespace cohort::pki {
namespace {

Bytes file(const std::string& name) {
  std::ifstream in(std::string(GOLDEN_DATA) + "/scep/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string text(const std::string& name) {
  const Bytes octets = file(name);
  return {octets.begin(), octets.end()};
}

struct Recording {
  const char* name;
  crypto::Hash hash;
  ScepCipher cipher;
  const char* subject;
  const char* san_dns;  ///< may be empty
};

class ScepGolden : public ::testing::TestWithParam<Recording> {};

TEST_P(ScepGolden, IsReadAsItsWriterMeantIt) {
  const auto ca = Certificate::from_pem(text("ca.pem"));
  const auto key = crypto::PrivateKey::from_pem(text("ca.key"), Secret());
  ASSERT_TRUE(ca && key);
  const Bytes der = file(GetParam().name);
  ASSERT_FALSE(der.empty());
  const ScepCodec codec(true);
  auto message = codec.parse(der, {});
  ASSERT_TRUE(message) << message.error().text();
  EXPECT_EQ(message->type, ScepType::pkcs_req);
  EXPECT_EQ(message->hash, GetParam().hash);
  EXPECT_FALSE(message->transaction_id.empty());
  const auto opened = codec.open(*message, *ca, *key);
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(message->cipher, GetParam().cipher);
  const auto request = CertificateRequest::from_der(message->data);
  ASSERT_TRUE(request) << request.error().text();
  EXPECT_EQ(request->subject(), GetParam().subject);
  EXPECT_EQ(request->challenge_password(), Secret::of_text("sesame"));
  EXPECT_EQ(request->spki_sha256(), message->signer->spki_sha256());
  const auto names = request->san_dns();
  EXPECT_EQ(names.empty() ? "" : names.front(), GetParam().san_dns);
}

TEST_P(ScepGolden, IsRefusedWithoutTheWeakSwitch) {
  const auto ca = Certificate::from_pem(text("ca.pem"));
  const auto key = crypto::PrivateKey::from_pem(text("ca.key"), Secret());
  ASSERT_TRUE(ca && key);
  const ScepCodec codec(false);
  auto message = codec.parse(file(GetParam().name), {});
  const auto outcome = message ? codec.open(*message, *ca, *key) : fail(message.error());
  ASSERT_FALSE(outcome);
  EXPECT_TRUE(outcome.error().is(scep_weak_algorithm)) << outcome.error().text();
}

INSTANTIATE_TEST_SUITE_P(Peers, ScepGolden,
                         ::testing::Values(Recording{"strongswan_pkcsreq.der", crypto::Hash::sha256,
                                                     ScepCipher::triple_des,
                                                     "CN=swan1,O=Golden,C=US", "swan1.example.net"},
                                           Recording{"micromdm_pkcsreq.der", crypto::Hash::sha1,
                                                     ScepCipher::des,
                                                     "CN=mdm1,OU=MDM,O=scep-client,C=US", ""}));

}  // namespace
}  // namespace cohort::pki
