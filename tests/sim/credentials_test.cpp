#include "tests/sim/credentials.hpp"

#include <gtest/gtest.h>

#include "controlplane/crypto/hash.hpp"

namespace cohort::sim {
namespace {

constexpr WallTime now{std::chrono::seconds(1000)};
constexpr WallTime later{std::chrono::seconds(2000)};

TEST(Authority, VouchesForWhatItIssuedOnly) {
  Authority authority(1);
  const auto certificate = authority.issue({"gm1", "members", later});
  const auto identity = authority.verify(now, certificate);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->subject_der, der_name("members", "gm1"));
  EXPECT_EQ(identity->attributes[1].value, "gm1");
  for (std::size_t i = 0; i < certificate.size(); ++i) {
    auto forged = certificate;
    forged[i] ^= 1;
    EXPECT_FALSE(authority.verify(now, forged)) << i;
    EXPECT_FALSE(authority.verify(now, ByteView(certificate).first(i)));
  }
  EXPECT_FALSE(Authority(2).verify(now, certificate)) << "another authority's";
}

TEST(Authority, RefusesTheExpiredAndTheRevoked) {
  Authority authority(1);
  const auto certificate = authority.issue({"gm1", "members", later});
  EXPECT_FALSE(authority.verify(later + std::chrono::seconds(1), certificate));
  authority.revoke("gm1");
  EXPECT_FALSE(authority.verify(now, certificate));
}

TEST(SimCredentials, SignWithTheKeyThatThePeerWillFind) {
  Authority authority(1);
  SimCredentials mine(authority, IpAddress::v4(1), [] { return now; });
  SimCredentials theirs(authority, IpAddress::v4(2), [] { return now; });
  EXPECT_FALSE(mine.local("any"));
  mine.enrol({"gm1", "members", later});
  const auto local = mine.local("any");
  ASSERT_TRUE(local);
  const auto digest = crypto::digest(crypto::Hash::sha256, {as_bytes("text")});
  const auto signature =
      local->key.sign(crypto::SignatureForm::rsa_pkcs1, crypto::Hash::sha256, digest).value();
  const auto peer = theirs.verify("any", local->chain);
  ASSERT_TRUE(peer);
  EXPECT_TRUE(
      peer->key->verify(crypto::SignatureForm::rsa_pkcs1, crypto::Hash::sha256, digest, signature));
  EXPECT_EQ(peer->subject_der, local->subject_der);
}

TEST(SimCredentials, SharesOneSecretForEachPair) {
  Authority authority(1);
  SimCredentials a(authority, IpAddress::v4(1), [] { return now; });
  SimCredentials b(authority, IpAddress::v4(2), [] { return now; });
  EXPECT_EQ(*a.pre_shared_key(IpAddress::v4(2)), *b.pre_shared_key(IpAddress::v4(1)));
  EXPECT_FALSE(*a.pre_shared_key(IpAddress::v4(3)) == *a.pre_shared_key(IpAddress::v4(2)));
  a.share_keys(false);
  EXPECT_FALSE(a.pre_shared_key(IpAddress::v4(2)));
}

}  // namespace
}  // namespace cohort::sim
