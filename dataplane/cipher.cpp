#include "dataplane/cipher.hpp"

#include <cstring>
#include <emmintrin.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "dataplane/headers.hpp"
#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

/// Mean text below which the AVX2 manager does SHA-256 faster (measured; the cross-over is flat).
constexpr std::uint32_t short_text = 320;

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
  const std::uint64_t difference = (load<std::uint64_t>(a) ^ load<std::uint64_t>(b)) |
                                   (load<std::uint64_t>(a + 8) ^ load<std::uint64_t>(b + 8));
  return difference == 0;
}

/// Constant time; `size` is a multiple of 4.
inline bool equal_icv(const std::uint8_t* a, const std::uint8_t* b, std::size_t size) {
  std::uint32_t difference = 0;
  for (std::size_t i = 0; i < size; i += 4)
    difference |= load<std::uint32_t>(a + i) ^ load<std::uint32_t>(b + i);
  return difference == 0;
}

}  // namespace

SaKeys::SaKeys(IMB_MGR& manager, const Sa& sa) {
  std::memset(static_cast<void*>(this), 0, sizeof *this);
  const SuiteShape& shape = shape_of(sa.suite);
  const std::uint8_t* key = sa.cipher_key.view().data();
  if (shape.aead) {
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

SuiteCode code_of(const IMB_MGR& manager, Suite suite) {
  const SuiteShape& shape = shape_of(suite);
  SuiteCode code;
  code.aead = shape.aead;
  code.key_size = shape.cipher_key;
  code.iv = shape.iv;
  code.icv = shape.icv;
  code.block = shape.block;
  if (!shape.aead) {
    code.hash = hash_of(shape);
    return code;
  }
  switch (shape.cipher_key) {
    case 16:
      code.gcm_encrypt = manager.gcm128_enc;
      code.gcm_decrypt = manager.gcm128_dec;
      break;
    case 24:
      code.gcm_encrypt = manager.gcm192_enc;
      code.gcm_decrypt = manager.gcm192_dec;
      break;
    default:
      code.gcm_encrypt = manager.gcm256_enc;
      code.gcm_decrypt = manager.gcm256_dec;
  }
  return code;
}

Result<std::unique_ptr<Cipher>> Cipher::create() {
  std::unique_ptr<Cipher> cipher(new Cipher);
  cipher->manager_.reset(alloc_mb_mgr(0));
  if (!cipher->manager_) return fail(no_multi_buffer, "no memory");
  init_mb_mgr_auto(cipher->manager_.get(), nullptr);
  if (imb_get_errno(cipher->manager_.get()) != 0 ||
      (cipher->manager_->features & IMB_FEATURE_AESNI) == 0)
    return fail(no_multi_buffer);
  constexpr std::uint64_t sha_on_avx2 = IMB_FEATURE_AVX2 | IMB_FEATURE_SHANI;
  if (cipher->manager_->used_arch == IMB_ARCH_AVX512 &&
      (cipher->manager_->features & sha_on_avx2) == sha_on_avx2) {
    cipher->short_sha256_.reset(alloc_mb_mgr(0));
    if (cipher->short_sha256_) init_mb_mgr_avx2(cipher->short_sha256_.get());
  }
  std::array<std::uint8_t, 16> key;
  if (RAND_priv_bytes(key.data(), static_cast<int>(key.size())) != 1 ||
      RAND_priv_bytes(reinterpret_cast<std::uint8_t*>(cipher->iv_counter_.data()), 16) != 1)
    return fail(no_multi_buffer, "no randomness");
  alignas(64) std::array<std::uint32_t, 60> unused;
  IMB_AES_KEYEXP_128(cipher->manager_.get(), key.data(), cipher->iv_key_.data(), unused.data());
  OPENSSL_cleanse(key.data(), key.size());
  OPENSSL_cleanse(unused.data(), sizeof unused);
  return cipher;
}

Cipher::~Cipher() {
  OPENSSL_cleanse(iv_key_.data(), sizeof iv_key_);
  OPENSSL_cleanse(iv_counter_.data(), sizeof iv_counter_);
}

void Cipher::make_cbc_iv(std::uint8_t* iv) {
  alignas(16) static constexpr std::array<std::uint8_t, 16> zero{};
  if (++iv_counter_[0] == 0) ++iv_counter_[1];
  // CFB of one block of zeros is the block cipher itself.
  IMB_AES128_CFB_ONE(manager_.get(), iv, zero.data(),
                     reinterpret_cast<const std::uint8_t*>(iv_counter_.data()), iv_key_.data(), 16);
}

void Cipher::fill_jobs(const SuiteCode& code, const SaKeys& keys, const CryptoItem* items,
                       unsigned n) {
  for (unsigned i = 0; i < n; ++i) {
    IMB_JOB& job = jobs_[i];
    std::uint8_t* text = items[i].esp + 8 + code.iv;
    job.src = items[i].esp;
    job.dst = text;
    job.cipher_start_src_offset_in_bytes = 8u + code.iv;
    job.msg_len_to_cipher_in_bytes = items[i].text;
    job.hash_start_src_offset_in_bytes = 0;
    job.msg_len_to_hash_in_bytes = 8u + code.iv + items[i].text;
    job.enc_keys = keys.cbc.encrypt.data();
    job.dec_keys = keys.cbc.decrypt.data();
    job.key_len_in_bytes = code.key_size;
    job.iv = items[i].esp + 8;
    job.iv_len_in_bytes = 16;
    job.u.HMAC._hashed_auth_key_xor_ipad = keys.cbc.inner.data();
    job.u.HMAC._hashed_auth_key_xor_opad = keys.cbc.outer.data();
    job.auth_tag_output = text + items[i].text;
    job.auth_tag_output_len_in_bytes = code.icv;
    job.cipher_mode = IMB_CIPHER_CBC;
    job.hash_alg = code.hash;
  }
}

IMB_MGR& Cipher::manager_for(const SuiteCode& code, const CryptoItem* items, unsigned n) {
  if (code.hash != IMB_AUTH_HMAC_SHA_256 || !short_sha256_) return *manager_;
  std::uint32_t sum = 0;
  for (unsigned i = 0; i < n; ++i) sum += items[i].text;
  return sum < short_text * n ? *short_sha256_ : *manager_;
}

void Cipher::run_hash(IMB_MGR& manager, const SuiteCode& code, unsigned n) {
  IMB_SUBMIT_HASH_BURST_NOCHECK(&manager, jobs_.data(), n, code.hash);
}

void Cipher::seal(const SuiteCode& code, const SaKeys& keys, std::uint32_t salt,
                  const CryptoItem* items, unsigned n) {
  if (code.aead) {
    gcm_context_data context;
    alignas(16) std::array<std::uint8_t, 16> nonce;
    for (unsigned i = 0; i < n; ++i) {
      std::uint8_t* text = items[i].esp + 16;
      store_nonce(nonce.data(), salt, items[i].esp + 8);
      code.gcm_encrypt(&keys.gcm, &context, text, text, items[i].text, nonce.data(), items[i].esp,
                       8, text + items[i].text, 16);
    }
    return;
  }
  fill_jobs(code, keys, items, n);
  IMB_MGR& manager = manager_for(code, items, n);
  IMB_SUBMIT_CIPHER_BURST_NOCHECK(&manager, jobs_.data(), n, IMB_CIPHER_CBC, IMB_DIR_ENCRYPT,
                                  static_cast<IMB_KEY_SIZE_BYTES>(code.key_size));
  run_hash(manager, code, n);
}

void Cipher::open(const SuiteCode& code, const SaKeys& keys, std::uint32_t salt,
                  const CryptoItem* items, unsigned n, bool* ok) {
  if (code.aead) {
    gcm_context_data context;
    alignas(16) std::array<std::uint8_t, 16> nonce;
    alignas(16) std::array<std::uint8_t, 16> tag;
    for (unsigned i = 0; i < n; ++i) {
      std::uint8_t* text = items[i].esp + 16;
      store_nonce(nonce.data(), salt, items[i].esp + 8);
      code.gcm_decrypt(&keys.gcm, &context, text, text, items[i].text, nonce.data(), items[i].esp,
                       8, tag.data(), 16);
      ok[i] = equal_16(tag.data(), text + items[i].text);
    }
    return;
  }
  fill_jobs(code, keys, items, n);
  for (unsigned i = 0; i < n; ++i) jobs_[i].auth_tag_output = tags_[i].data();
  IMB_MGR& manager = manager_for(code, items, n);
  run_hash(manager, code, n);
  unsigned right = 0;
  for (unsigned i = 0; i < n; ++i) {
    const std::uint8_t* icv = items[i].esp + 8 + code.iv + items[i].text;
    ok[i] = equal_icv(tags_[i].data(), icv, code.icv);
    if (!ok[i]) continue;
    if (right != i) jobs_[right] = jobs_[i];
    ++right;
  }
  if (right > 0)
    IMB_SUBMIT_CIPHER_BURST_NOCHECK(&manager, jobs_.data(), right, IMB_CIPHER_CBC, IMB_DIR_DECRYPT,
                                    static_cast<IMB_KEY_SIZE_BYTES>(code.key_size));
}

}  // namespace cohort::dataplane
