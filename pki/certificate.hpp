#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/time.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/crypto/key.hpp"
#include "controlplane/world/identity.hpp"

typedef struct x509_st X509;
typedef struct X509_crl_st X509_CRL;

namespace cohort::pki {

inline constexpr std::size_t certificate_size_max = 64 * 1024;  ///< octets of DER
inline constexpr std::size_t crl_size_max = 4 * 1024 * 1024;    ///< octets of DER
inline constexpr std::size_t certificates_in_pem_max = 32;

/// Everything that an operator wants to see of a certificate.
struct CertificateInfo {
  unsigned version = 3;
  std::string serial;  ///< upper-case hex, without leading zeros but whole octets
  std::string issuer;  ///< RFC 4514 text
  std::string subject;
  std::vector<NameAttribute> subject_attributes;  ///< in the certificate's order
  WallTime not_before{};
  WallTime not_after{};
  std::string key_algorithm;  ///< "rsaEncryption" or "id-ecPublicKey (P-256)"
  std::size_t key_bits = 0;
  std::string signature_algorithm;  ///< "sha256WithRSAEncryption"
  std::string fingerprint_md5;      ///< lower-case hex, as the two below
  std::string fingerprint_sha1;
  std::string fingerprint_sha256;
  std::vector<std::string> key_usage;  ///< "digitalSignature", …; empty without the extension
  std::string usage;                   ///< "Signature", "Encryption", "General Purpose"
  std::vector<std::string> extended_key_usage;  ///< "TLS Web Server Authentication", … or OIDs
  std::string subject_key_id;                   ///< hex, may be empty
  std::string authority_key_id;
  bool is_ca = false;
  std::optional<unsigned> path_length;
  std::vector<std::string> san_dns;
  std::vector<std::string> san_email;
  std::vector<IpAddress> san_addresses;
  std::vector<std::string> crl_urls;
};

/// An X.509 certificate; immutable, copies share it, usable from several threads.
class Certificate {
 public:
  /// Exactly one DER certificate with a key that we know; anything behind it is refused.
  static Result<Certificate> from_der(ByteView der);
  /// The first certificate of a PEM text.
  static Result<Certificate> from_pem(std::string_view pem);
  /// All of them, at least one and at most certificates_in_pem_max.
  static Result<std::vector<Certificate>> list_from_pem(std::string_view pem);
  /// Takes a reference of its own; the handle must be complete.
  static Result<Certificate> share(X509* certificate);

  [[nodiscard]] Bytes der() const;
  [[nodiscard]] std::string pem() const;
  [[nodiscard]] std::string fingerprint(crypto::Hash hash) const;  ///< lower-case hex
  [[nodiscard]] Bytes subject_der() const;
  [[nodiscard]] Bytes issuer_der() const;
  [[nodiscard]] std::string subject() const;  ///< RFC 4514 text
  [[nodiscard]] std::string issuer() const;
  [[nodiscard]] std::string serial() const;  ///< upper-case hex
  [[nodiscard]] WallTime not_before() const;
  [[nodiscard]] WallTime not_after() const;
  [[nodiscard]] bool is_ca() const;           ///< basicConstraints says so
  [[nodiscard]] bool is_self_issued() const;  ///< subject and issuer are the same
  [[nodiscard]] crypto::PublicKey public_key() const;
  [[nodiscard]] Bytes spki_sha256() const;
  [[nodiscard]] CertificateInfo describe() const;
  [[nodiscard]] X509* handle() const { return handle_.get(); }
  [[nodiscard]] bool operator==(const Certificate& other) const;

 private:
  explicit Certificate(std::shared_ptr<X509> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<X509> handle_;
};

/// The proven identity of a certificate, without address and id_text.
[[nodiscard]] PeerIdentity identity_of(const Certificate& certificate);

/// A certificate revocation list; immutable, copies share it. Its signature is checked where it
/// is used.
class Crl {
 public:
  static Result<Crl> from_der(ByteView der);
  static Result<Crl> share(X509_CRL* crl);
  [[nodiscard]] Bytes der() const;
  [[nodiscard]] Bytes issuer_der() const;
  [[nodiscard]] std::string issuer() const;
  [[nodiscard]] WallTime this_update() const;
  [[nodiscard]] std::optional<WallTime> next_update() const;
  [[nodiscard]] std::size_t size() const;  ///< entries
  [[nodiscard]] bool lists(const Certificate& certificate) const;
  /// True if `issuer` has signed it.
  [[nodiscard]] bool signed_by(const Certificate& issuer) const;
  [[nodiscard]] X509_CRL* handle() const { return handle_.get(); }

 private:
  explicit Crl(std::shared_ptr<X509_CRL> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<X509_CRL> handle_;
};

}  // namespace cohort::pki
