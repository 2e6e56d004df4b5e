#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <sstream>

#include "tests/packets/lab.hpp"

/// Known answers that others computed: ESP packets of Linux, and the vectors of NIST and the RFCs
/// as Debian's python3-cryptography-vectors has them (skipped where that package is not installed).
namespace cohort::test {
namespace {

using namespace dataplane;

// ---- Linux XFRM and scapy: tests/golden/data/esp-linux ----

Bytes file_octets(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Bytes> read_pcap(const std::string& path) {
  const Bytes all = file_octets(path);
  const auto le32 = [&](std::size_t at) {
    return all[at] | all[at + 1] << 8 | all[at + 2] << 16 | std::uint32_t{all[at + 3]} << 24;
  };
  EXPECT_EQ(le32(0), 0xa1b2c3d4u);
  std::vector<Bytes> frames;
  for (std::size_t at = 24; at + 16 <= all.size();) {
    const std::size_t length = le32(at + 8);
    at += 16;
    frames.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(at),
                        all.begin() + static_cast<std::ptrdiff_t>(at + length));
    at += length;
  }
  return frames;
}

Suite suite_named(const std::string& name) {
  const std::map<std::string, Suite> suites{{"aes128-sha1", Suite::aes_128_cbc_sha1_96},
                                            {"aes256-sha1", Suite::aes_256_cbc_sha1_96},
                                            {"aes128-sha256", Suite::aes_128_cbc_sha256_128},
                                            {"aes256-sha256", Suite::aes_256_cbc_sha256_128},
                                            {"aes128gcm16", Suite::aes_128_gcm_16},
                                            {"aes256gcm16", Suite::aes_256_gcm_16}};
  return suites.at(name);
}

Snapshot linux_snapshot(const std::string& path) {
  Snapshot snapshot;
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields(line);
    std::string spi, source, destination, suite, key, auth;
    fields >> spi >> source >> destination >> suite >> key >> auth;
    Sa sa;
    sa.spi = static_cast<std::uint32_t>(std::stoul(spi, nullptr, 16));
    sa.suite = suite_named(suite);
    const Bytes cipher = from_hex(key).value();
    const std::size_t salt = shape_of(sa.suite).salt;
    sa.cipher_key = Secret(ByteView(cipher).first(cipher.size() - salt));
    sa.salt = Secret(ByteView(cipher).last(salt));
    if (auth != "-") sa.integrity_key = Secret(from_hex(auth).value());
    const std::string bits = source.find(':') == std::string::npos ? "/32" : "/128";
    snapshot.policy.push_back(entry(Action::protect, source + bits, destination + bits, sa.spi));
    snapshot.sas.push_back(std::move(sa));
  }
  return snapshot;
}

TEST(LinuxEsp, EveryPacketOfTheCaptureDecrypts) {
  const std::string folder = GOLDEN_DATA "/esp-linux/linux-xfrm-esp";
  Lab lab;
  lab.apply(linux_snapshot(folder + ".sas"));
  const std::vector<Bytes> frames = read_pcap(folder + ".pcap");
  ASSERT_EQ(frames.size(), 48u);
  const Outcome out = lab.outside(frames);
  EXPECT_TRUE(out.drops.empty()) << out.drops.begin()->first;
  ASSERT_EQ(out.inside.size(), frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Bytes inner = packet_of(out.inside[i]);
    EXPECT_TRUE(checksums_right(inner)) << i;
    EXPECT_TRUE(
        std::ranges::equal(ByteView(out.inside[i]).first(14), ByteView(frames[i]).first(14)));
  }
  // Once more: all of them replays.
  const Outcome again = lab.outside(frames);
  EXPECT_TRUE(again.inside.empty());
  EXPECT_EQ(again.drops.at("replay_duplicate") + again.drops.at("replay_too_old"), frames.size());
}

// ---- NIST and RFC vectors ----

using Record = std::map<std::string, std::string>;

/// Records of a .rsp or RFC text: "Name = value" lines, apart by empty lines; [headers] carry over.
std::vector<Record> records(const std::string& name, bool& installed) {
  const std::string path = "/usr/lib/python3/dist-packages/cryptography_vectors/" + name;
  installed = std::filesystem::exists(path);
  std::vector<Record> out;
  std::ifstream file(path);
  Record current;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line == "FAIL") current["FAIL"] = "";
    const std::size_t equals = line.find(" = ");
    if (equals != std::string::npos && line[0] != '#' && line[0] != '[')
      current[line.substr(0, equals)] = line.substr(equals + 3);
    if (line.empty() && !current.empty()) {
      out.push_back(std::move(current));
      current.clear();
    }
  }
  if (!current.empty()) out.push_back(std::move(current));
  return out;
}

Bytes hex(const Record& record, const char* name) {
  const auto found = record.find(name);
  return found == record.end() ? Bytes{} : from_hex(found->second).value();
}

class Vectors : public testing::TestWithParam<unsigned> {
 protected:
  std::unique_ptr<Cipher> cipher_ = Cipher::create().value();
};
INSTANTIATE_TEST_SUITE_P(KeyBits, Vectors, testing::Values(128u, 192u, 256u));

TEST_P(Vectors, NistGcm) {
  bool installed = false;
  const auto all =
      records("ciphers/AES/GCM/gcmDecrypt" + std::to_string(GetParam()) + ".rsp", installed);
  if (!installed) GTEST_SKIP() << "python3-cryptography-vectors is not installed";
  unsigned used = 0;
  for (const Record& record : all) {
    const Bytes iv = hex(record, "IV");
    const Bytes tag = hex(record, "Tag");
    if (!record.contains("Key") || iv.size() != 12 || tag.size() != 16) continue;
    const Suite suite = GetParam() == 128   ? Suite::aes_128_gcm_16
                        : GetParam() == 192 ? Suite::aes_192_gcm_16
                                            : Suite::aes_256_gcm_16;
    Sa sa = make_sa(suite);
    sa.cipher_key = Secret(hex(record, "Key"));
    const SaKeys keys(cipher_->manager(), sa);
    const GcmCalls gcm = gcm_of(cipher_->manager(), keys.code.key_size);
    Bytes text = hex(record, "CT");
    const Bytes cipher_text = text;
    const Bytes aad = hex(record, "AAD");
    Bytes computed(16);
    gcm_context_data context;
    gcm.decrypt(&keys.gcm, &context, text.data(), text.data(), text.size(), iv.data(), aad.data(),
                aad.size(), computed.data(), 16);
    const bool authentic = computed == tag;
    EXPECT_EQ(authentic, !record.contains("FAIL"));
    ++used;
    if (!authentic) continue;
    EXPECT_EQ(text, hex(record, "PT"));
    gcm.encrypt(&keys.gcm, &context, text.data(), text.data(), text.size(), iv.data(), aad.data(),
                aad.size(), computed.data(), 16);
    EXPECT_EQ(text, cipher_text);
    EXPECT_EQ(computed, tag);
  }
  EXPECT_GT(used, 300u);
}

TEST_P(Vectors, NistCbc) {
  bool installed = false;
  const auto all =
      records("ciphers/AES/CBC/CBCMMT" + std::to_string(GetParam()) + ".rsp", installed);
  if (!installed) GTEST_SKIP() << "python3-cryptography-vectors is not installed";
  unsigned used = 0;
  for (const Record& record : all) {
    if (!record.contains("KEY")) continue;
    const Suite suite = GetParam() == 128   ? Suite::aes_128_cbc_sha1_96
                        : GetParam() == 192 ? Suite::aes_192_cbc_sha1_96
                                            : Suite::aes_256_cbc_sha1_96;
    Sa sa = make_sa(suite);
    sa.cipher_key = Secret(hex(record, "KEY"));
    const SaKeys keys(cipher_->manager(), sa);
    const SuiteCode code = code_of(suite);
    // As it stands in a packet: ESP header, IV, text, ICV.
    const Bytes plain = hex(record, "PLAINTEXT");
    Bytes esp(8);
    const Bytes iv = hex(record, "IV");
    esp.insert(esp.end(), iv.begin(), iv.end());
    esp.insert(esp.end(), plain.begin(), plain.end());
    esp.resize(esp.size() + code.icv);
    const CryptoItem item{esp.data(), &keys, static_cast<std::uint32_t>(plain.size()), 0};
    cipher_->seal(&item, 1);
    const auto text = esp.begin() + 24;
    const auto end = text + static_cast<std::ptrdiff_t>(plain.size());
    EXPECT_EQ(Bytes(text, end), hex(record, "CIPHERTEXT"));
    bool ok = false;
    cipher_->open(&item, 1, &ok);
    EXPECT_TRUE(ok);
    EXPECT_EQ(Bytes(text, end), plain);
    ++used;
  }
  EXPECT_GE(used, 10u);
}

struct HmacCase {
  const char* file;
  Suite suite;
};
class HmacVectors : public testing::TestWithParam<HmacCase> {
 protected:
  std::unique_ptr<Cipher> cipher_ = Cipher::create().value();
};
INSTANTIATE_TEST_SUITE_P(
    Rfc, HmacVectors,
    testing::Values(HmacCase{"HMAC/rfc-2202-sha1.txt", Suite::aes_128_cbc_sha1_96},
                    HmacCase{"HMAC/rfc-4231-sha256.txt", Suite::aes_128_cbc_sha256_128},
                    HmacCase{"HMAC/rfc-4231-sha384.txt", Suite::aes_128_cbc_sha384_192},
                    HmacCase{"HMAC/rfc-4231-sha512.txt", Suite::aes_128_cbc_sha512_256}));

TEST_P(HmacVectors, Truncated) {
  bool installed = false;
  const auto all = records(GetParam().file, installed);
  if (!installed) GTEST_SKIP() << "python3-cryptography-vectors is not installed";
  unsigned used = 0;
  for (const Record& record : all) {
    Bytes key = hex(record, "Key");
    const Bytes message = hex(record, "Msg");
    // Keys longer than a block are hashed first; ours never are.
    if (key.empty() || key.size() > 64) continue;
    const SuiteCode code = code_of(GetParam().suite);
    Sa sa = make_sa(GetParam().suite);
    sa.integrity_key = Secret(key);
    const SaKeys keys(cipher_->manager(), sa);
    Bytes tag(code.icv);
    IMB_JOB job{};
    job.src = message.data();
    job.msg_len_to_hash_in_bytes = message.size();
    job.u.HMAC._hashed_auth_key_xor_ipad = keys.cbc.inner.data();
    job.u.HMAC._hashed_auth_key_xor_opad = keys.cbc.outer.data();
    job.auth_tag_output = tag.data();
    job.auth_tag_output_len_in_bytes = code.icv;
    IMB_SUBMIT_HASH_BURST(&cipher_->manager(), &job, 1, code.hash);
    Bytes expected = hex(record, "MD");
    expected.resize(std::min<std::size_t>(expected.size(), code.icv));
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), tag.begin()));
    ++used;
  }
  EXPECT_GE(used, 4u);
}

}  // namespace
}  // namespace cohort::test
