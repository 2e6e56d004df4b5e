#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "controlplane/crypto/cbc.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/crypto/key.hpp"
#include "tests/packets/lab.hpp"

/// The edge cases of project Wycheproof (https://github.com/C2SP/wycheproof, Apache-2.0). Its files
/// are no part of this tree: they are read from the folder that COHORT_WYCHEPROOF names, or from
/// ../shared/data/wycheproof where there is such a folder beside the tree; else the tests are
/// skipped.
namespace cohort::test {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

/// The document of a primitive, "aes_gcm"; null where it is not at hand.
Json document(const std::string& primitive) {
  const char* named = std::getenv("COHORT_WYCHEPROOF");
  const fs::path folder = named != nullptr ? named : WYCHEPROOF_DATA;
  for (const std::string& name : {"wycheproof-" + primitive + ".json", primitive + "_test.json"}) {
    std::ifstream file(folder / name);
    if (file) return Json::parse(file);
  }
  return nullptr;
}

Bytes hex(const Json& object, const char* name) {
  return from_hex(object.at(name).get<std::string>()).value();
}

std::string case_of(const Json& test) {
  return "case " + std::to_string(test.at("tcId").get<int>()) + ": " +
         test.at("comment").get<std::string>();
}

bool is_valid(const Json& test) {
  return test.at("result") == "valid";
}

/// Calls `check` for each case of each group.
void each(const Json& document,
          const std::function<void(const Json& group, const Json& test)>& check) {
  for (const Json& group : document.at("testGroups"))
    for (const Json& test : group.at("tests")) check(group, test);
}

dataplane::Suite gcm_suite(int key_bits) {
  return key_bits == 128   ? dataplane::Suite::aes_128_gcm_16
         : key_bits == 192 ? dataplane::Suite::aes_192_gcm_16
                           : dataplane::Suite::aes_256_gcm_16;
}

// What the workers call, by the sizes that ESP has: IVs of 96 bits, tags of 128.
TEST(Wycheproof, AesGcm) {
  const Json all = document("aes_gcm");
  if (all.is_null()) GTEST_SKIP() << "no Wycheproof files at hand; name them by COHORT_WYCHEPROOF";
  const auto cipher = dataplane::Cipher::create().value();
  unsigned used = 0;
  each(all, [&](const Json& group, const Json& test) {
    if (group.at("ivSize") != 96 || group.at("tagSize") != 128) return;
    const dataplane::Suite suite = gcm_suite(group.at("keySize").get<int>());
    dataplane::Sa sa = make_sa(suite);
    sa.cipher_key = Secret(hex(test, "key"));
    const dataplane::SaKeys keys(cipher->manager(), sa);
    const dataplane::GcmCalls gcm = dataplane::gcm_of(cipher->manager(), keys.code.key_size);
    const Bytes cipher_text = hex(test, "ct");
    const Bytes iv = hex(test, "iv");
    const Bytes aad = hex(test, "aad");
    Bytes text = cipher_text;
    Bytes tag(16);
    gcm_context_data context;
    gcm.decrypt(&keys.gcm, &context, text.data(), text.data(), text.size(), iv.data(), aad.data(),
                aad.size(), tag.data(), 16);
    EXPECT_EQ(tag == hex(test, "tag"), is_valid(test)) << case_of(test);
    ++used;
    if (!is_valid(test)) return;
    EXPECT_EQ(text, hex(test, "msg")) << case_of(test);
    gcm.encrypt(&keys.gcm, &context, text.data(), text.data(), text.size(), iv.data(), aad.data(),
                aad.size(), tag.data(), 16);
    EXPECT_EQ(text, cipher_text) << case_of(test);
    EXPECT_EQ(tag, hex(test, "tag")) << case_of(test);
  });
  EXPECT_GT(used, 150u);
}

// CBC pads nothing here: the vectors' PKCS #7 is put on, and taken off, by hand.
TEST(Wycheproof, AesCbc) {
  const Json all = document("aes_cbc_pkcs5");
  if (all.is_null()) GTEST_SKIP() << "no Wycheproof files at hand; name them by COHORT_WYCHEPROOF";
  unsigned used = 0;
  each(all, [&](const Json& group, const Json& test) {
    const int bits = group.at("keySize").get<int>();
    const auto cipher = bits == 128   ? crypto::Cipher::aes_128
                        : bits == 192 ? crypto::Cipher::aes_192
                                      : crypto::Cipher::aes_256;
    const Bytes key = hex(test, "key");
    const Bytes iv = hex(test, "iv");
    const Bytes cipher_text = hex(test, "ct");
    Bytes padded = hex(test, "msg");
    const std::size_t padding = 16 - padded.size() % 16;
    padded.insert(padded.end(), padding, static_cast<std::uint8_t>(padding));
    const auto opened = crypto::cbc_decrypt(cipher, key, iv, cipher_text);
    ++used;
    if (!is_valid(test)) {
      EXPECT_FALSE(opened && *opened == padded) << case_of(test);
      return;
    }
    ASSERT_TRUE(opened) << case_of(test);
    EXPECT_EQ(*opened, padded) << case_of(test);
    EXPECT_EQ(crypto::cbc_encrypt(cipher, key, iv, padded).value(), cipher_text) << case_of(test);
  });
  EXPECT_GT(used, 200u);
}

TEST(Wycheproof, Hmac) {
  const std::pair<const char*, crypto::Hash> primitives[] = {{"hmac_sha1", crypto::Hash::sha1},
                                                             {"hmac_sha256", crypto::Hash::sha256}};
  unsigned used = 0;
  for (const auto& [name, hash] : primitives) {
    const Json all = document(name);
    if (all.is_null())
      GTEST_SKIP() << "no Wycheproof files at hand; name them by COHORT_WYCHEPROOF";
    each(all, [&, hash = hash](const Json& group, const Json& test) {
      Bytes computed = crypto::hmac(hash, hex(test, "key"), {hex(test, "msg")});
      computed.resize(group.at("tagSize").get<std::size_t>() / 8);
      EXPECT_EQ(equal_constant_time(computed, hex(test, "tag")), is_valid(test)) << case_of(test);
      ++used;
    });
  }
  EXPECT_GT(used, 300u);
}

TEST(Wycheproof, RsaSignatures) {
  const Json all = document("rsa_signature_2048_sha256");
  if (all.is_null()) GTEST_SKIP() << "no Wycheproof files at hand; name them by COHORT_WYCHEPROOF";
  unsigned used = 0;
  each(all, [&](const Json& group, const Json& test) {
    const auto key = crypto::PublicKey::from_spki(hex(group, "publicKeyDer")).value();
    const Bytes digest = crypto::digest(crypto::Hash::sha256, {hex(test, "msg")});
    const bool verified =
        key.verify(crypto::SignatureForm::rsa_pkcs1, crypto::Hash::sha256, digest, hex(test, "sig"))
            .has_value();
    ++used;
    // "acceptable" is a DigestInfo without its NULL, which RFC 8017 lets a verifier refuse.
    if (test.at("result") != "acceptable") {
      EXPECT_EQ(verified, is_valid(test)) << case_of(test);
    }
  });
  EXPECT_GT(used, 200u);
}

}  // namespace
}  // namespace cohort::test
