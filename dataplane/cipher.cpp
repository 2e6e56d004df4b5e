#include "dataplane/cipher.hpp"

#include <algorithm>
#include <cstring>
#include <emmintrin.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <rte_cycles.h>
#include <vector>

#include "dataplane/headers.hpp"
#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

void expand_key(IMB_MGR& manager, const std::uint8_t* key, std::size_t size, SaKeys::Cbc& out) {
  switch (size) {
    case 16:
      IMB_AES_KEYEXP_128(&manager, key, out.encrypt.data(), out.decrypt.data());
      break;
    case 24:
      IMB_AES_KEYEXP_192(&manager, key, out.encrypt.data(), out.decrypt.data());
      break;
    default:
      IMB_AES_KEYEXP_256(&manager, key, out.encrypt.data(), out.decrypt.data());
  }
}

/// HMAC's state after the key block (RFC 2104): keys are never longer than a block here.
void start_hmac(IMB_MGR& manager, IMB_HASH_ALG hash, ByteView key, std::uint8_t pad,
                std::uint8_t* state) {
  std::array<std::uint8_t, 128> block;
  block.fill(pad);
  for (std::size_t i = 0; i < key.size(); ++i) block[i] ^= key[i];
  switch (hash) {
    case IMB_AUTH_HMAC_SHA_1:
      IMB_SHA1_ONE_BLOCK(&manager, block.data(), state);
      break;
    case IMB_AUTH_HMAC_SHA_256:
      IMB_SHA256_ONE_BLOCK(&manager, block.data(), state);
      break;
    case IMB_AUTH_HMAC_SHA_384:
      IMB_SHA384_ONE_BLOCK(&manager, block.data(), state);
      break;
    default:
      IMB_SHA512_ONE_BLOCK(&manager, block.data(), state);
  }
  OPENSSL_cleanse(block.data(), block.size());
}

IMB_HASH_ALG hash_of(const SuiteShape& shape) {
  switch (shape.integrity_key) {
    case 20:
      return IMB_AUTH_HMAC_SHA_1;
    case 32:
      return IMB_AUTH_HMAC_SHA_256;
    case 48:
      return IMB_AUTH_HMAC_SHA_384;
    default:
      return IMB_AUTH_HMAC_SHA_512;
  }
}

/// The GCM nonce: salt and IV in one register, stored at once, so that the cipher's 16-octet load
/// meets one store (four times cheaper than a failed store forward).
inline void store_nonce(std::uint8_t* nonce, std::uint32_t salt, const std::uint8_t* iv) {
  const auto bits = load<std::uint64_t>(iv);
  const __m128i value =
      _mm_set_epi64x(static_cast<long long>(bits >> 32), static_cast<long long>(salt | bits << 32));
  _mm_store_si128(reinterpret_cast<__m128i*>(nonce), value);
}

inline bool equal_16(const std::uint8_t* a, const std::uint8_t* b) {
  const __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a)),
                                      _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)));
  return _mm_movemask_epi8(same) == 0xffff;
}

/// Constant time; `size` is 12, 16, 24 or 32.
inline bool equal_icv(const std::uint8_t* a, const std::uint8_t* b, std::size_t size) {
  std::uint64_t difference =
      (load<std::uint64_t>(a) ^ load<std::uint64_t>(b)) |
      (load<std::uint64_t>(a + size - 8) ^ load<std::uint64_t>(b + size - 8));
  for (std::size_t i = 8; i + 8 < size; i += 8)
    difference |= load<std::uint64_t>(a + i) ^ load<std::uint64_t>(b + i);
  return difference == 0;
}

}  // namespace

SaKeys::SaKeys(IMB_MGR& manager, const Sa& sa) {
  std::memset(static_cast<void*>(this), 0, sizeof *this);
  const SuiteShape& shape = shape_of(sa.suite);
  const std::uint8_t* key = sa.cipher_key.view().data();
  code = code_of(sa.suite);
  if (shape.aead) {
    std::memcpy(&salt, sa.salt.view().data(), sizeof salt);
    switch (shape.cipher_key) {
      case 16:
        IMB_AES128_GCM_PRE(&manager, key, &gcm);
        break;
      case 24:
        IMB_AES192_GCM_PRE(&manager, key, &gcm);
        break;
      default:
        IMB_AES256_GCM_PRE(&manager, key, &gcm);
    }
    return;
  }
  expand_key(manager, key, shape.cipher_key, cbc);
  start_hmac(manager, hash_of(shape), sa.integrity_key.view(), 0x36, cbc.inner.data());
  start_hmac(manager, hash_of(shape), sa.integrity_key.view(), 0x5c, cbc.outer.data());
}

SaKeys::~SaKeys() {
  OPENSSL_cleanse(static_cast<void*>(this), sizeof *this);
}

SuiteCode code_of(Suite suite) {
  const SuiteShape& shape = shape_of(suite);
  SuiteCode code;
  code.suite = suite;
  code.aead = shape.aead;
  code.key_size = shape.cipher_key;
  code.iv = shape.iv;
  code.icv = shape.icv;
  code.block = shape.block;
  if (!shape.aead) code.hash = hash_of(shape);
  return code;
}

GcmCalls gcm_of(const IMB_MGR& manager, std::uint8_t key_size) {
  switch (key_size) {
    case 16:
      return {manager.gcm128_enc, manager.gcm128_dec};
    case 24:
      return {manager.gcm192_enc, manager.gcm192_dec};
    default:
      return {manager.gcm256_enc, manager.gcm256_dec};
  }
}

Result<std::unique_ptr<Cipher>> Cipher::create() {
  std::unique_ptr<Cipher> cipher(new Cipher);
  if (!cipher->manager_) return fail(no_multi_buffer, "no memory");
  if (imb_get_errno(cipher->manager_.get()) != 0 ||
      (cipher->manager_->features & IMB_FEATURE_AESNI) == 0)
    return fail(no_multi_buffer);
  // Of IPsec-MB's managers the SSE one alone has SHA-NI for SHA-1, too.
  constexpr std::uint64_t sha_on_sse = IMB_FEATURE_SSE4_2 | IMB_FEATURE_SHANI;
  if (cipher->manager_->used_arch == IMB_ARCH_AVX512 &&
      (cipher->manager_->features & sha_on_sse) == sha_on_sse) {
    cipher->sha_ni_ = cipher->library_->sse();
    if (cipher->sha_ni_) {
      cipher->sha1_ = cipher->measure_hash(Suite::aes_128_cbc_sha1_96);
      cipher->sha256_ = cipher->measure_hash(Suite::aes_128_cbc_sha256_128);
    }
  }
  std::array<std::uint8_t, 16> key;
  if (RAND_priv_bytes(key.data(), static_cast<int>(key.size())) != 1)
    return fail(no_multi_buffer, "no randomness");
  IMB_AES128_GCM_PRE(cipher->manager_.get(), key.data(), &cipher->iv_key_);
  OPENSSL_cleanse(key.data(), key.size());
  return cipher;
}

Cipher::~Cipher() {
  OPENSSL_cleanse(&iv_key_, sizeof iv_key_);
}

/// SHA-NI in one lane or two, against sixteen lanes of AVX512: which is faster differs from CPU to
/// CPU and with the lengths, so we try both with short texts and long ones. Two milliseconds.
Cipher::HashWays Cipher::measure_hash(Suite suite) {
  constexpr std::array<std::uint32_t, 2> lengths{80, 1040};
  constexpr std::size_t stride = 1152;
  const SuiteShape& shape = shape_of(suite);
  Sa sa;
  sa.suite = suite;
  sa.cipher_key = Secret(Bytes(shape.cipher_key));
  sa.integrity_key = Secret(Bytes(shape.integrity_key));
  const SaKeys keys(*manager_, sa);
  std::vector<std::uint8_t> packets(burst_max * stride);
  std::array<CryptoItem, burst_max> items;
  std::array<std::array<double, 2>, 2> cycles{};  // a packet: of lanes, then SHA-NI; by length
  for (std::size_t l = 0; l < lengths.size(); ++l) {
    for (std::uint32_t i = 0; i < burst_max; ++i)
      items[i] = {&packets[i * stride], &keys, lengths[l], i};
    fill_jobs(items.data(), burst_max, keys.code, Direction::decrypt);
    for (std::size_t way = 0; way < 2; ++way) {
      IMB_MGR& manager = way == 0 ? *manager_ : *sha_ni_;
      std::uint64_t least = UINT64_MAX;
      for (unsigned attempt = 0; attempt < 6; ++attempt) {
        const std::uint64_t start = rte_rdtsc();
        IMB_SUBMIT_HASH_BURST_NOCHECK(&manager, jobs_.data(), burst_max, keys.code.hash);
        least = std::min(least, rte_rdtsc() - start);
      }
      cycles[way][l] = static_cast<double>(least) / burst_max;
    }
  }
  const auto cost = [&](std::size_t way) {
    const double octet = (cycles[way][1] - cycles[way][0]) / (lengths[1] - lengths[0]);
    return HashCost{static_cast<float>(cycles[way][0] - octet * lengths[0]),
                    static_cast<float>(octet)};
  };
  return {cost(0), cost(1)};
}

void Cipher::make_cbc_ivs(std::uint8_t* ivs, unsigned n) {
  alignas(64) static constexpr std::array<std::uint8_t, burst_max * 16> zeros{};
  alignas(16) std::array<std::uint64_t, 2> nonce{++iv_counter_, 0};
  alignas(16) std::array<std::uint8_t, 16> unused;
  gcm_context_data context;
  IMB_AES128_GCM_ENC(manager_.get(), &iv_key_, &context, ivs, zeros.data(), n * std::uint64_t{16},
                     reinterpret_cast<const std::uint8_t*>(nonce.data()), unused.data(), 0,
                     unused.data(), unused.size());
}

// ---- AES-GCM: one call a packet ----

namespace {

/// Packets of one SA, as many as follow each other; returns their number.
unsigned seal_gcm(const IMB_MGR& manager, const CryptoItem* items, unsigned n) {
  gcm_context_data context;
  alignas(16) std::array<std::uint8_t, 16> nonce;
  const SaKeys* const keys = items->keys;
  const auto encrypt = gcm_of(manager, keys->code.key_size).encrypt;
  const std::uint32_t salt = keys->salt;
  unsigned i = 0;
  do {
    std::uint8_t* esp = items[i].esp;
    std::uint8_t* text = esp + 16;
    const std::uint64_t length = items[i].text;
    store_nonce(nonce.data(), salt, esp + 8);
    encrypt(&keys->gcm, &context, text, text, length, nonce.data(), esp, 8, text + length, 16);
  } while (++i < n && items[i].keys == keys);
  return i;
}

unsigned open_gcm(const IMB_MGR& manager, const CryptoItem* items, unsigned n, bool* ok) {
  gcm_context_data context;
  alignas(16) std::array<std::uint8_t, 16> nonce;
  alignas(16) std::array<std::uint8_t, 16> tag;
  const SaKeys* const keys = items->keys;
  const auto decrypt = gcm_of(manager, keys->code.key_size).decrypt;
  const std::uint32_t salt = keys->salt;
  unsigned i = 0;
  do {
    std::uint8_t* esp = items[i].esp;
    std::uint8_t* text = esp + 16;
    const std::uint64_t length = items[i].text;
    store_nonce(nonce.data(), salt, esp + 8);
    decrypt(&keys->gcm, &context, text, text, length, nonce.data(), esp, 8, tag.data(), 16);
    ok[i] = equal_16(tag.data(), text + length);
  } while (++i < n && items[i].keys == keys);
  return i;
}

}  // namespace

// ---- CBC and HMAC: the packets of a suite together ----

/// The fields that all jobs of a suite have in common, in all jobs.
void Cipher::prepare_jobs(const SuiteCode& code) {
  for (IMB_JOB& job : jobs_) {
    job.cipher_start_src_offset_in_bytes = 8u + code.iv;
    job.hash_start_src_offset_in_bytes = 0;
    job.key_len_in_bytes = code.key_size;
    job.iv_len_in_bytes = 16;
    job.auth_tag_output_len_in_bytes = code.icv;
    job.cipher_mode = IMB_CIPHER_CBC;
    job.hash_alg = code.hash;
  }
  prepared_ = code.suite;
}

/// Long packets first: those that come last keep few of the lanes busy, and should be short.
void Cipher::order_by_length(const CryptoItem* items, unsigned n) {
  constexpr unsigned buckets = 32;
  const auto bucket_of = [&](unsigned i) {
    return buckets - 1 - std::min(items[i].text / 64, buckets - 1);
  };
  std::array<std::uint8_t, buckets + 1> start{};
  for (unsigned k = 0; k < n; ++k) ++start[bucket_of(order_[k]) + 1];
  for (unsigned b = 1; b < buckets; ++b)
    start[b] = static_cast<std::uint8_t>(start[b] + start[b - 1]);
  const std::array<std::uint8_t, burst_max> given = order_;
  for (unsigned k = 0; k < n; ++k) order_[start[bucket_of(given[k])]++] = given[k];
}

Cipher::HashLoad Cipher::fill_jobs(const CryptoItem* items, unsigned n, const SuiteCode& code,
                                   Direction direction) {
  unsigned count = 0;
  std::uint32_t shortest = UINT32_MAX;
  std::uint32_t longest = 0;
  std::uint64_t octets = 0;
  for (unsigned i = 0; i < n; ++i) {
    if (items[i].keys->code.suite != code.suite) continue;
    order_[count++] = static_cast<std::uint8_t>(i);
    shortest = std::min(shortest, items[i].text);
    longest = std::max(longest, items[i].text);
    octets += items[i].text;
  }
  // CBC encrypts in lanes, and hashes are made in them unless SHA-NI beats even full ones.
  const bool lanes =
      direction == Direction::encrypt || !sha_ni_wins(code.hash, {count, octets}, {count, octets});
  if (lanes && longest - shortest >= 64) order_by_length(items, count);
  if (prepared_ != code.suite) [[unlikely]]
    prepare_jobs(code);
  const std::uint32_t header = 8u + code.iv;
  for (unsigned k = 0; k < count; ++k) {
    const CryptoItem& item = items[order_[k]];
    IMB_JOB& job = jobs_[k];
    std::uint8_t* text = item.esp + header;
    job.src = item.esp;
    job.dst = text;
    job.iv = item.esp + 8;
    job.msg_len_to_cipher_in_bytes = item.text;
    job.msg_len_to_hash_in_bytes = header + item.text;
    job.enc_keys = item.keys->cbc.encrypt.data();
    job.dec_keys = item.keys->cbc.decrypt.data();
    job.u.HMAC._hashed_auth_key_xor_ipad = item.keys->cbc.inner.data();
    job.u.HMAC._hashed_auth_key_xor_opad = item.keys->cbc.outer.data();
    job.auth_tag_output = direction == Direction::encrypt ? text + item.text : tags_[k].data();
  }
  return {count, octets};
}

bool Cipher::sha_ni_wins(IMB_HASH_ALG hash, HashLoad load, HashLoad in_lanes) const {
  if (!sha_ni_ || (hash != IMB_AUTH_HMAC_SHA_1 && hash != IMB_AUTH_HMAC_SHA_256)) return false;
  const HashWays& ways = hash == IMB_AUTH_HMAC_SHA_1 ? sha1_ : sha256_;
  const auto cost = [](const HashCost& way, HashLoad of) {
    return static_cast<float>(of.packets) * way.packet + static_cast<float>(of.octets) * way.octet;
  };
  return cost(ways.by_sha_ni, load) < cost(ways.by_lanes, in_lanes);
}

bool Cipher::gathers(std::uint32_t suites, Direction direction) const {
  constexpr std::uint64_t long_text = 1024;
  for (const SuiteShape& shape : all_suites()) {
    if (shape.aead || (suites & suite_bit(shape.suite)) == 0) continue;
    // CBC encrypts in lanes and decrypts packet by packet.
    if (direction == Direction::encrypt ||
        !sha_ni_wins(hash_of(shape), {1, long_text}, {1, long_text + long_text / 16}))
      return true;
  }
  return false;
}

/// The manager for the hashes of jobs_. Sixteen lanes take as long as their longest text, and as
/// long if some are empty; jobs whose lengths differ are sorted by them.
IMB_MGR& Cipher::hash_manager(const SuiteCode& code, HashLoad load) {
  if (!sha_ni_) return *manager_;
  constexpr unsigned lanes = 16;
  HashLoad in_lanes{0, 0};
  for (; in_lanes.packets < load.packets; in_lanes.packets += lanes)
    in_lanes.octets += lanes * jobs_[in_lanes.packets].msg_len_to_cipher_in_bytes;
  return sha_ni_wins(code.hash, load, in_lanes) ? *sha_ni_ : *manager_;
}

unsigned Cipher::seal_cbc(const CryptoItem* items, unsigned n, const SuiteCode& code) {
  const HashLoad load = fill_jobs(items, n, code, Direction::encrypt);
  const unsigned count = load.packets;
  IMB_SUBMIT_CIPHER_BURST_NOCHECK(manager_.get(), jobs_.data(), count, IMB_CIPHER_CBC,
                                  IMB_DIR_ENCRYPT, static_cast<IMB_KEY_SIZE_BYTES>(code.key_size));
  IMB_SUBMIT_HASH_BURST_NOCHECK(&hash_manager(code, load), jobs_.data(), count, code.hash);
  return count;
}

unsigned Cipher::open_cbc(const CryptoItem* items, unsigned n, const SuiteCode& code, bool* ok) {
  const HashLoad load = fill_jobs(items, n, code, Direction::decrypt);
  const unsigned count = load.packets;
  IMB_SUBMIT_HASH_BURST_NOCHECK(&hash_manager(code, load), jobs_.data(), count, code.hash);
  unsigned right = 0;
  for (unsigned k = 0; k < count; ++k) {
    const IMB_JOB& job = jobs_[k];
    const bool good =
        equal_icv(tags_[k].data(), job.dst + job.msg_len_to_cipher_in_bytes, code.icv);
    ok[order_[k]] = good;
    if (right != k) jobs_[right] = job;
    right += good ? 1u : 0u;
  }
  if (right > 0)
    IMB_SUBMIT_CIPHER_BURST_NOCHECK(manager_.get(), jobs_.data(), right, IMB_CIPHER_CBC,
                                    IMB_DIR_DECRYPT,
                                    static_cast<IMB_KEY_SIZE_BYTES>(code.key_size));
  return count;
}

// ---- both ----

namespace {

/// Calls `run` for packets of AEAD suites and `batch` once for each other suite. Both say how many
/// they have done: `run` of those that follow, `batch` of all.
template <typename Run, typename Batch>
void by_suite(const CryptoItem* items, unsigned n, const Run& run, const Batch& batch) {
  std::uint32_t done = 0;  // CBC suites, by number
  for (unsigned i = 0; i < n;) {
    const SuiteCode& code = items[i].keys->code;
    if (code.aead) {
      i += run(i);
      continue;
    }
    const std::uint32_t bit = 1u << static_cast<unsigned>(code.suite);
    if ((done & bit) == 0 && batch(code) == n) return;
    done |= bit;
    ++i;
  }
}

}  // namespace

void Cipher::seal(const CryptoItem* items, unsigned n) {
  by_suite(
      items, n, [&](unsigned i) { return seal_gcm(*manager_, items + i, n - i); },
      [&](const SuiteCode& code) { return seal_cbc(items, n, code); });
}

void Cipher::open(const CryptoItem* items, unsigned n, bool* ok) {
  by_suite(
      items, n, [&](unsigned i) { return open_gcm(*manager_, items + i, n - i, ok + i); },
      [&](const SuiteCode& code) { return open_cbc(items, n, code, ok); });
}

}  // namespace cohort::dataplane
