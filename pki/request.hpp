#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/crypto/key.hpp"

typedef struct X509_req_st X509_REQ;

namespace cohort::pki {

inline constexpr std::size_t request_size_max = 64 * 1024;  ///< octets of DER
inline constexpr std::size_t san_max = 32;                  ///< subject alternative names of a kind

/// What goes into a PKCS #10 request (RFC 2986) besides the key.
struct RequestContents {
  Bytes subject_der;
  std::vector<std::string> san_dns;
  std::vector<std::string> san_email;
  std::vector<IpAddress> san_addresses;
  Secret challenge_password;  ///< RFC 2985 section 5.4.1; empty: not written
};

/// A parsed PKCS #10 request; immutable, copies share it. Its own signature has been checked.
class CertificateRequest {
 public:
  /// Exactly one DER request whose signature verifies.
  static Result<CertificateRequest> from_der(ByteView der);
  static Result<CertificateRequest> make(const RequestContents& contents,
                                         const crypto::PrivateKey& key, crypto::Hash hash);

  [[nodiscard]] Bytes der() const;
  [[nodiscard]] Bytes subject_der() const;
  [[nodiscard]] std::string subject() const;  ///< RFC 4514 text
  [[nodiscard]] crypto::PublicKey public_key() const;
  [[nodiscard]] Bytes spki_sha256() const;
  /// Empty when the request has none. UTF-8.
  [[nodiscard]] Secret challenge_password() const;
  /// Subject alternative names asked for; other extensions asked for are not looked at.
  [[nodiscard]] std::vector<std::string> san_dns() const;
  [[nodiscard]] std::vector<std::string> san_email() const;
  [[nodiscard]] std::vector<IpAddress> san_addresses() const;
  [[nodiscard]] X509_REQ* handle() const { return handle_.get(); }

 private:
  explicit CertificateRequest(std::shared_ptr<X509_REQ> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<X509_REQ> handle_;
};

}  // namespace cohort::pki
