#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <intel-ipsec-mb.h>
#include <memory>
#include <optional>

#include "controlplane/base/result.hpp"
#include "dataplane/api/snapshot.hpp"
#include "dataplane/burst.hpp"
#include "dataplane/multi_buffer.hpp"

namespace cohort::dataplane {

/// What IPsec-MB is told of a suite.
struct SuiteCode {
  Suite suite{};
  bool aead = false;
  std::uint8_t key_size = 0;
  std::uint8_t iv = 0;
  std::uint8_t icv = 0;
  std::uint8_t block = 0;
  IMB_HASH_ALG hash = IMB_AUTH_NULL;
};
[[nodiscard]] constexpr std::uint32_t suite_bit(Suite suite) {
  return 1u << static_cast<unsigned>(suite);
}
[[nodiscard]] SuiteCode code_of(Suite suite);

/// The direct calls for AES-GCM of a manager's copy of IPsec-MB, which are that worker's own.
struct GcmCalls {
  aes_gcm_enc_dec_t encrypt;
  aes_gcm_enc_dec_t decrypt;
};
[[nodiscard]] GcmCalls gcm_of(const IMB_MGR& manager, std::uint8_t key_size);

/// An SA's keys as IPsec-MB wants them, made once when the SA is installed. Zeroized when it goes.
/// The GCM tables belong to the manager's CPU architecture: the same in one process.
class SaKeys {
 public:
  SaKeys(IMB_MGR& manager, const Sa& sa);
  ~SaKeys();
  SaKeys(const SaKeys&) = delete;
  SaKeys& operator=(const SaKeys&) = delete;

  struct Cbc {
    alignas(64) std::array<std::uint32_t, 60> encrypt;
    alignas(64) std::array<std::uint32_t, 60> decrypt;
    alignas(64) std::array<std::uint8_t, 64> inner;  ///< HMAC state after the ipad block
    alignas(64) std::array<std::uint8_t, 64> outer;
  };
  SuiteCode code;
  std::uint32_t salt;  ///< of GCM, as in memory
  union {
    gcm_key_data gcm;
    Cbc cbc;
  };
};

/// One packet's part in a crypto burst: the ESP header, IV behind it, then `text` octets of
/// plaintext or ciphertext, then the ICV.
struct CryptoItem {
  std::uint8_t* esp;
  const SaKeys* keys;
  std::uint32_t text;   ///< octets between IV and ICV
  std::uint32_t place;  ///< the caller's own
};

/// A worker's crypto engine: a copy of IPsec-MB and a manager of it, called directly. Not shared
/// between threads.
class Cipher {
 public:
  static Result<std::unique_ptr<Cipher>> create();
  ~Cipher();
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;

  [[nodiscard]] IMB_MGR& manager() { return *manager_; }

  enum class Direction : std::uint8_t { encrypt, decrypt };
  /// Whether twice as many packets together go faster, for some of the suites: where they fill
  /// lanes.
  [[nodiscard]] bool gathers(std::uint32_t suites, Direction direction) const;

  /// Encrypts in place and writes the ICVs. ESP header, IV and trailer are there. n <= burst_max.
  /// The packets may be of several SAs and suites: those of one suite share IPsec-MB's lanes.
  void seal(const CryptoItem* items, unsigned n);
  /// Checks the ICVs and decrypts in place those that are right: ok[i] says which. The text of the
  /// others is void.
  void open(const CryptoItem* items, unsigned n, bool* ok);
  /// Unpredictable, never repeating IVs for CBC (NIST SP 800-38A appendix C), n of 16 octets: the
  /// key stream of AES in counter mode under a key that only this worker knows.
  void make_cbc_ivs(std::uint8_t* ivs, unsigned n);

 private:
  Cipher() : library_(MultiBuffer::lease()), manager_(library_->best()) {}

  struct HashLoad {
    unsigned packets;
    std::uint64_t octets;
  };
  /// Jobs for the items of one CBC suite that are among `n`: order_ says whose each is.
  HashLoad fill_jobs(const CryptoItem* items, unsigned n, const SuiteCode& code,
                     Direction direction);
  void order_by_length(const CryptoItem* items, unsigned n);
  void prepare_jobs(const SuiteCode& code);
  unsigned seal_cbc(const CryptoItem* items, unsigned n, const SuiteCode& code);
  unsigned open_cbc(const CryptoItem* items, unsigned n, const SuiteCode& code, bool* ok);
  struct HashCost {
    float packet, octet;  ///< cycles
  };
  struct HashWays {
    HashCost by_lanes, by_sha_ni;
  };
  HashWays measure_hash(Suite suite);
  IMB_MGR& hash_manager(const SuiteCode& code, HashLoad load);

  std::shared_ptr<const MultiBuffer> library_;
  MultiBuffer::Manager manager_;
  /// SSE, with SHA-NI, which beats AVX512's lanes where texts are short or few. Null: there is
  /// none.
  MultiBuffer::Manager sha_ni_;
  HashWays sha1_{}, sha256_{};
  /// Whether it is faster for that load than lanes are for theirs, which is more where some idle.
  [[nodiscard]] bool sha_ni_wins(IMB_HASH_ALG hash, HashLoad load, HashLoad in_lanes) const;
  alignas(64) std::array<IMB_JOB, burst_max> jobs_{};
  alignas(64) std::array<std::array<std::uint8_t, 32>, burst_max> tags_{};
  std::array<std::uint8_t, burst_max> order_{};
  /// What the constant fields of all jobs are made for.
  std::optional<Suite> prepared_;
  alignas(64) gcm_key_data iv_key_{};
  std::uint64_t iv_counter_ = 0;
};

}  // namespace cohort::dataplane
