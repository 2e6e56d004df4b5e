#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/crypto/key.hpp"
#include "pki/certificate.hpp"

/// The SCEP PKIMessage (RFC 8894 section 3): CMS SignedData over CMS EnvelopedData.
namespace cohort::pki {

inline constexpr std::size_t scep_message_size_max = 128 * 1024;  ///< octets
inline constexpr std::size_t transaction_id_max = 128;            ///< characters

enum class ScepType : std::uint8_t {
  cert_rep = 3,
  renewal_req = 17,
  pkcs_req = 19,
  cert_poll = 20,
  get_cert = 21,
  get_crl = 22
};
enum class PkiStatus : std::uint8_t { success = 0, failure = 2, pending = 3 };
enum class FailInfo : std::uint8_t {
  bad_alg = 0,
  bad_message_check = 1,
  bad_request = 2,
  bad_time = 3,
  bad_cert_id = 4
};
/// Content encryption; des and triple_des only with allow_weak.
enum class ScepCipher : std::uint8_t { aes_128, aes_192, aes_256, triple_des, des };

[[nodiscard]] std::string_view name_of(ScepType type);  ///< "PKCSReq"
/// RFC 8894 table 5 as a sentence.
[[nodiscard]] std::string_view sentence_of(FailInfo info);

using ScepNonce = std::array<std::uint8_t, 16>;

/// The signed attributes of a message and, once opened, what it carries.
struct ScepMessage {
  ScepType type = ScepType::pkcs_req;
  std::string transaction_id;
  ScepNonce sender_nonce{};
  std::optional<ScepNonce> recipient_nonce;  ///< in answers
  std::optional<PkiStatus> status;           ///< in a CertRep, as the two below
  std::optional<FailInfo> fail_info;
  std::string fail_text;
  crypto::Hash hash = crypto::Hash::sha256;  ///< of the signature
  ScepCipher cipher = ScepCipher::aes_128;   ///< of the envelope
  std::optional<Certificate> signer;
  std::vector<Certificate> certificates;  ///< all that the message carries, unchecked
  Bytes envelope;                         ///< EnvelopedData; empty in failure and pending
  Bytes data;                             ///< what was in the envelope
};

/// Who can read an envelope: the holder of a certificate's RSA key, or of a password when the key
/// can't decrypt (RFC 8894 section 3.1).
struct ScepRecipient {
  std::optional<Certificate> certificate;
  Secret password;
};

/// Writes and reads messages. With allow_weak it reads (and, where asked, writes) DES, 3DES, MD5
/// and SHA-1, for which it holds OpenSSL's legacy provider in a library context of its own.
class ScepCodec {
 public:
  explicit ScepCodec(bool allow_weak);
  ~ScepCodec();
  ScepCodec(const ScepCodec&) = delete;
  ScepCodec& operator=(const ScepCodec&) = delete;
  [[nodiscard]] bool allow_weak() const { return allow_weak_; }

  /// EnvelopedData of `data`.
  [[nodiscard]] Result<Bytes> seal(ByteView data, const ScepRecipient& recipient,
                                   ScepCipher cipher) const;
  /// SignedData of message.envelope (absent when empty) with message's attributes, DER. The signer
  /// is sent along, and `extra` certificates too.
  [[nodiscard]] Result<Bytes> sign(const ScepMessage& message, const Certificate& signer,
                                   const crypto::PrivateKey& key,
                                   std::span<const Certificate> extra = {}) const;

  /// Reads SignedData (DER, or BER with indefinite lengths), checks its one signature and its
  /// attributes. `trusted`: only these may have signed (answers); empty: any certificate in the
  /// message may, and the caller judges it (requests). The envelope stays closed.
  [[nodiscard]] Result<ScepMessage> parse(ByteView der, std::span<const Certificate> trusted) const;
  /// Opens message.envelope into message.data and notes the cipher. All ways to fail look the same
  /// outside (scep_bad_envelope), so that a server is no oracle for PKCS #1 padding.
  [[nodiscard]] Status open(ScepMessage& message, const Certificate& certificate,
                            const crypto::PrivateKey& key, const Secret& password = {}) const;

 private:
  struct Weak;
  bool allow_weak_;
  std::unique_ptr<Weak> weak_;
};

/// IssuerAndSubject (RFC 8894 section 3.3.3) and IssuerAndSerialNumber: DER Name and Name, or DER
/// Name and upper-case hex.
struct IssuerAndSubject {
  Bytes issuer_der;
  Bytes subject_der;
};
struct IssuerAndSerial {
  Bytes issuer_der;
  std::string serial;
};
[[nodiscard]] Bytes encode(const IssuerAndSubject& value);
[[nodiscard]] Result<Bytes> encode(const IssuerAndSerial& value);
[[nodiscard]] Result<IssuerAndSubject> parse_issuer_and_subject(ByteView der);
[[nodiscard]] Result<IssuerAndSerial> parse_issuer_and_serial(ByteView der);

/// Degenerate SignedData: certificates and CRLs without a signature (RFC 8894 section 3.4).
struct CertificateBag {
  std::vector<Certificate> certificates;
  std::vector<Crl> crls;
};
[[nodiscard]] Result<Bytes> encode(const CertificateBag& bag);
[[nodiscard]] Result<CertificateBag> parse_certificate_bag(ByteView der);

/// A certificate by itself over `key`, as requests of the first enrolment are signed with
/// (RFC 8894 section 2.3). Valid from an hour before `now` for a week.
[[nodiscard]] Result<Certificate> self_signed(const crypto::PrivateKey& key, ByteView subject_der,
                                              crypto::Hash hash, std::int64_t now_s);

}  // namespace cohort::pki
