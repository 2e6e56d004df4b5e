#include "controlplane/crypto/key.hpp"

#include <gtest/gtest.h>

#include "controlplane/crypto/reasons.hpp"

namespace cohort::crypto {
namespace {

TEST(Key, RsaFormsDiffer) {
  const PrivateKey key = PrivateKey::generate_rsa(2049).value();
  EXPECT_EQ(key.bits(), 2049u);
  const Bytes hashed = digest(Hash::sha256, {as_bytes("data")});
  const Bytes with_info = key.sign(SignatureForm::rsa_pkcs1, Hash::sha256, hashed).value();
  const Bytes bare = key.sign(SignatureForm::rsa_pkcs1_bare, Hash::sha256, hashed).value();
  const PublicKey other_end = PublicKey::from_spki(key.public_key().spki()).value();
  EXPECT_TRUE(other_end.verify(SignatureForm::rsa_pkcs1, Hash::sha256, hashed, with_info));
  EXPECT_TRUE(other_end.verify(SignatureForm::rsa_pkcs1_bare, Hash::sha256, hashed, bare));
  EXPECT_FALSE(other_end.verify(SignatureForm::rsa_pkcs1, Hash::sha256, hashed, bare));
  EXPECT_FALSE(other_end.verify(SignatureForm::rsa_pkcs1_bare, Hash::sha256, hashed, with_info));
}

TEST(Key, EcdsaIsConcatenatedAtFixedSize) {
  const std::pair<KeyType, std::size_t> cases[] = {
      {KeyType::ecdsa_p256, 64}, {KeyType::ecdsa_p384, 96}, {KeyType::ecdsa_p521, 132}};
  for (const auto& [type, size] : cases) {
    const PrivateKey key = PrivateKey::generate_ec(type).value();
    EXPECT_EQ(key.type(), type);
    const Bytes hashed = digest(Hash::sha256, {as_bytes("data")});
    Bytes signature = key.sign(SignatureForm::ecdsa_concatenated, Hash::sha256, hashed).value();
    EXPECT_EQ(signature.size(), size);
    const PublicKey other_end = key.public_key();
    EXPECT_TRUE(
        other_end.verify(SignatureForm::ecdsa_concatenated, Hash::sha256, hashed, signature));
    signature[3] = static_cast<std::uint8_t>(signature[3] ^ 1);
    EXPECT_TRUE(other_end.verify(SignatureForm::ecdsa_concatenated, Hash::sha256, hashed, signature)
                    .error()
                    .is(bad_signature));
    EXPECT_FALSE(other_end.verify(SignatureForm::rsa_pkcs1, Hash::sha256, hashed, signature));
    signature.pop_back();
    EXPECT_FALSE(
        other_end.verify(SignatureForm::ecdsa_concatenated, Hash::sha256, hashed, signature));
  }
}

TEST(Key, PemWithAndWithoutPassphrase) {
  const PrivateKey key = PrivateKey::generate_ec(KeyType::ecdsa_p256).value();
  const Secret passphrase = Secret::of_text("long enough");
  const auto text = [](const Secret& pem) {
    return std::string_view(reinterpret_cast<const char*>(pem.view().data()), pem.size());
  };
  const Secret plain = key.to_pem({}).value();
  EXPECT_EQ(PrivateKey::from_pem(text(plain), {})->public_key().spki(), key.public_key().spki());
  const Secret sealed = key.to_pem(passphrase).value();
  EXPECT_NE(text(sealed).find("ENCRYPTED"), std::string_view::npos);
  EXPECT_TRUE(PrivateKey::from_pem(text(sealed), passphrase));
  EXPECT_TRUE(PrivateKey::from_pem(text(sealed), Secret::of_text("wrong")).error().is(bad_key));
  EXPECT_TRUE(PrivateKey::from_pem(text(sealed), {}).error().is(bad_key));
}

TEST(Key, RefusesGarbage) {
  EXPECT_FALSE(PublicKey::from_spki({}));
  EXPECT_FALSE(PublicKey::from_spki(Bytes(40, 0x30)));
  EXPECT_FALSE(PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\n", {}));
  Bytes trailing = PrivateKey::generate_ec(KeyType::ecdsa_p256)->public_key().spki();
  trailing.push_back(0);
  EXPECT_FALSE(PublicKey::from_spki(trailing));
  EXPECT_TRUE(PrivateKey::generate_rsa(512).error().is(weak_key));
}

}  // namespace
}  // namespace cohort::crypto
