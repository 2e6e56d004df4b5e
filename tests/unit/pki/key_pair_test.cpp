#include "pki/key_pair.hpp"

#include "tests/unit/pki/fixture.hpp"

namespace cohort::pki::test {
namespace {

std::string_view text_of(const Secret& secret) {
  return {reinterpret_cast<const char*>(secret.view().data()), secret.size()};
}

KeyPairOptions options(const std::string& label, unsigned bits, bool exportable = false) {
  return {label, crypto::KeyType::rsa, bits, exportable};
}

// Sizes in steps of one bit.
TEST(KeyPairs, MakesRsaOf2049Bits) {
  MemoryStore store;
  KeyPairs keys(store);
  EXPECT_EQ(must(keys.generate(options("pkikey", 2049))).key.bits(), 2049u);
  EXPECT_EQ(must(keys.find("pkikey"))->key.bits(), 2049u);
}

TEST(KeyPairs, RefusesSizesLabelsAndDoubles) {
  MemoryStore store;
  KeyPairs keys(store);
  EXPECT_REFUSED(keys.generate(options("a", 2047)), bad_key_size);
  EXPECT_REFUSED(keys.generate(options("a", 8193)), bad_key_size);
  for (const char* label : {"", "../../etc/passwd", "a b", "é"})
    EXPECT_REFUSED(keys.generate(options(label, 2048)), bad_key_label);
  EXPECT_TRUE(store.blobs.empty());
  must(keys.generate({"a", crypto::KeyType::ecdsa_p256, 0, false}));
  EXPECT_REFUSED(keys.generate(options("a", 2048)), key_pair_exists);
}

// The guide's rekey key has 1024 bits.
TEST(KeyPairs, TakesShortRsaOnlyWithAllowWeak) {
  MemoryStore store;
  KeyPairs weak(store, {}, true);
  EXPECT_EQ(must(weak.generate(options("getKey", 1024, true))).key.bits(), 1024u);
  EXPECT_REFUSED(weak.generate(options("a", 1023)), bad_key_size);
  const Secret passphrase = Secret::of_text("correct horse");
  const Secret pem = must(weak.export_pem("getKey", passphrase));
  KeyPairs strong(store);
  EXPECT_REFUSED(strong.import_pem("b", text_of(pem), passphrase, true), bad_key_size);
  EXPECT_EQ(must(weak.import_pem("b", text_of(pem), passphrase, true)).key.bits(), 1024u);
}

TEST(KeyPairs, MakesEcdsaOnEachCurve) {
  MemoryStore store;
  KeyPairs keys(store);
  for (const auto curve :
       {crypto::KeyType::ecdsa_p256, crypto::KeyType::ecdsa_p384, crypto::KeyType::ecdsa_p521}) {
    const std::string label = "k" + std::to_string(static_cast<int>(curve));
    EXPECT_EQ(must(keys.generate({label, curve, 0, false})).key.type(), curve);
    EXPECT_EQ(must(keys.find(label))->key.type(), curve);
  }
}

TEST(KeyPairs, LabelsDifferByCase) {
  MemoryStore store;
  KeyPairs keys(store);
  for (const char* label : {"getKey", "getkey", "get_4bey", ".."})
    must(keys.generate({label, crypto::KeyType::ecdsa_p256, 0, false}));
  EXPECT_THAT(must(keys.labels()), ::testing::ElementsAre("..", "getKey", "get_4bey", "getkey"));
  for (const auto& [name, blob] : store.blobs) EXPECT_EQ(name.find(".."), std::string::npos);
  must(keys.remove("getKey"));
  EXPECT_THAT(must(keys.labels()), ::testing::ElementsAre("..", "get_4bey", "getkey"));
  EXPECT_REFUSED(keys.remove("getKey"), key_pair_missing);
}

// Export and import, both forms; a non-exportable key refuses.
TEST(KeyPairs, ExportsAndImportsEncryptedPem) {
  MemoryStore store;
  KeyPairs keys(store);
  const auto pair = must(keys.generate(options("getKey", 2048, true)));
  const Secret passphrase = Secret::of_text("correct horse");
  const struct {
    KeyPemForm form;
    const char* mark;
  } forms[] = {{KeyPemForm::pkcs8, "BEGIN ENCRYPTED PRIVATE KEY"},
               {KeyPemForm::traditional_3des, "DEK-Info: DES-EDE3-CBC"}};
  for (const auto& [form, mark] : forms) {
    const Secret pem = must(keys.export_pem("getKey", passphrase, form));
    EXPECT_THAT(text_of(pem), ::testing::HasSubstr(mark));
    MemoryStore other_store;
    KeyPairs other(other_store);
    EXPECT_REFUSED(other.import_pem("getKey", text_of(pem), Secret::of_text("wrong horse"), false),
                   bad_pem_key);
    const auto imported = must(other.import_pem("getKey", text_of(pem), passphrase, false));
    EXPECT_EQ(imported.key.public_key().spki(), pair.key.public_key().spki());
    EXPECT_REFUSED(other.export_pem("getKey", passphrase, form), key_not_exportable);
  }
  EXPECT_REFUSED(keys.export_pem("getKey", Secret::of_text("short"), KeyPemForm::pkcs8),
                 passphrase_missing);
  EXPECT_REFUSED(keys.export_pem("nokey", passphrase, KeyPemForm::pkcs8), key_pair_missing);
}

TEST(KeyPairs, AreNotExportableByDefault) {
  MemoryStore store;
  KeyPairs keys(store);
  KeyPairOptions wanted;
  wanted.type = crypto::KeyType::ecdsa_p384;
  must(keys.generate(wanted));
  EXPECT_REFUSED(keys.export_pem(wanted.label, Secret::of_text("correct horse")),
                 key_not_exportable);
}

TEST(KeyPairs, StoragePassphraseEncryptsWhatIsStored) {
  MemoryStore store;
  KeyPairs keys(store, Secret::of_text("at rest"));
  must(keys.generate({"k", crypto::KeyType::ecdsa_p256, 0, false}));
  const Bytes& blob = store.blobs.at("keys/k.key");
  const std::string text(blob.begin(), blob.end());
  EXPECT_THAT(text, ::testing::HasSubstr("BEGIN ENCRYPTED PRIVATE KEY"));
  EXPECT_TRUE(must(KeyPairs(store, Secret::of_text("at rest")).find("k")));
  EXPECT_REFUSED(KeyPairs(store).find("k"), key_pair_damaged);
}

TEST(KeyPairs, ADamagedBlobIsNamed) {
  MemoryStore store;
  KeyPairs keys(store);
  must(keys.generate({"k", crypto::KeyType::ecdsa_p256, 0, false}));
  auto& blob = store.blobs.at("keys/k.key");
  blob[blob.size() / 2] = static_cast<std::uint8_t>(blob[blob.size() / 2] ^ 0x40);
  blob.resize(blob.size() - 40);
  EXPECT_REFUSED(keys.find("k"), key_pair_damaged);
  blob.clear();
  EXPECT_REFUSED(keys.find("k"), key_pair_damaged);
}

}  // namespace
}  // namespace cohort::pki::test
