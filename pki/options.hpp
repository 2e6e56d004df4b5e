#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/crypto/key.hpp"

/// What the configuration says about certificates. Plain values; the modules of pki/ read these
/// and never a file of the configuration. They hold Secrets, so they move and do not copy.
namespace cohort::pki {

inline constexpr unsigned rsa_bits_min = 2048;
inline constexpr unsigned rsa_bits_max = 8192;
inline constexpr unsigned rsa_bits_weak_min = 1024;  ///< with allow_weak

using Days = std::chrono::duration<std::int64_t, std::ratio<86400>>;

/// A labelled key pair. RSA of rsa_bits_min..rsa_bits_max bits in steps of one, or ECDSA on P-256,
/// P-384 or P-521 (then `bits` is not read).
struct KeyPairOptions {
  std::string label = "cohort";  ///< 1..64 letters, digits, '.', '-' or '_'
  crypto::KeyType type = crypto::KeyType::rsa;
  unsigned bits = 3072;
  bool exportable = false;
  bool imported = false;  ///< never made here: an operator imports it
};

/// Extended key usages that we write and ask for (RFC 5280 section 4.2.1.12, RFC 4945 5.1.3.12).
enum class ExtendedKeyUsage : std::uint8_t {
  server_auth,
  client_auth,
  ipsec_ike,
  ike_intermediate,
  any
};

enum class Grant : std::uint8_t { automatic, manual };

/// What `crl` does without a usable CRL of the issuer is to refuse; `crl_then_none` goes on
/// without. A certificate that a CRL at hand lists is refused by both.
enum class RevocationCheck : std::uint8_t { none, crl, crl_then_none };

/// What a CA that grants by itself does with a request for the subject, or an alternative name, of
/// a valid certificate by another key, when no password and no old certificate vouches for it.
enum class DuplicateSubject : std::uint8_t { grant, pend, refuse };

/// The certificate authority role.
struct CaOptions {
  std::string name = "ca-server";
  std::string issuer_name;  ///< DN text; empty: "CN=" + name
  std::string database;     ///< path of the SQLite file; its folder must exist; ":memory:" in tests
  Grant grant = Grant::manual;
  /// For requests that a valid certificate of this CA signs and that keep its names.
  Grant renewal_grant = Grant::automatic;
  /// Any one of these lets a request through; empty: requests need none.
  std::vector<Secret> challenge_passwords;
  DuplicateSubject duplicate_subject = DuplicateSubject::pend;
  /// Key of the CA. With ECDSA, an RSA key and a certificate for SCEP messages are made beside it,
  /// since SCEP encrypts to its receiver (RFC 8894 section 3.1).
  crypto::KeyType key_type = crypto::KeyType::rsa;
  unsigned key_bits = 3072;                  ///< RSA; also of the SCEP key beside an ECDSA one
  crypto::Hash hash = crypto::Hash::sha256;  ///< of every signature: sha256, sha384, sha512
  Days ca_lifetime{7300};
  std::chrono::seconds certificate_lifetime{Days{1825}};
  std::vector<ExtendedKeyUsage> eku{ExtendedKeyUsage::server_auth, ExtendedKeyUsage::client_auth};
  std::chrono::seconds crl_lifetime{std::chrono::hours{24 * 7}};
  std::string crl_url;  ///< written as CRL distribution point when not empty
  /// Name in the World's Store of an encrypted PKCS#12 backup, written when the CA is made; empty:
  /// none. `archive_password` must not be empty then.
  std::string archive;
  Secret archive_password;
  /// Serve clients that know only 3DES, DES, SHA-1 or short RSA keys, and list these capabilities.
  bool allow_weak = false;
  std::size_t pending_max = 1000;         ///< requests that wait for the operator
  std::size_t certificates_max = 200000;  ///< issued and not expired
  /// SCEP messages and CRLs served a second, in total and for an IPv4 address or IPv6 /64: each
  /// costs private-key operations and a write. 0: no limit.
  unsigned requests_per_second = 50;
  unsigned requests_per_second_per_source = 5;
};

/// A trustpoint: whose certificates we believe, and how we come by our own.
struct TrustpointOptions {
  std::string name;            ///< 1..64 letters, digits, '.', '-' or '_'
  std::string enrollment_url;  ///< "http://10.191.61.120/scep"; empty: certificates are imported
  std::string subject_name;    ///< DN text, RFC 4514 or "CN=gm1 OU=GETVPN_GM"; may be empty
  std::string hostname;        ///< fully qualified; into the subject (unstructuredName) and the SAN
  std::optional<std::string> serial_number;  ///< into the subject (serialNumber)
  std::optional<IpAddress> ip_address;       ///< into the subject (unstructuredAddress) and the SAN
  /// SHA-256 of the CA's certificate, hexadecimal, ':' and spaces allowed; empty: an operator says
  /// yes or no.
  std::string fingerprint_sha256;
  std::string ca_identifier;  ///< sent with GetCACaps and GetCACert; usually empty
  Secret challenge_password;  ///< for PKCSReq; may be empty
  RevocationCheck revocation_check = RevocationCheck::crl;
  /// A peer's certificate with an extended key usage must have one of these (or "any"); one
  /// without the extension is accepted.
  std::vector<ExtendedKeyUsage> peer_eku{ExtendedKeyUsage::ipsec_ike, ExtendedKeyUsage::server_auth,
                                         ExtendedKeyUsage::client_auth,
                                         ExtendedKeyUsage::ike_intermediate};
  KeyPairOptions key;
  unsigned auto_enroll_percent = 0;  ///< renew when so much of the lifetime is over; 0: never
  bool regenerate_key = false;       ///< a new key pair at each renewal
  bool allow_weak = false;           ///< read DES/3DES/SHA-1 messages, accept weak certificates
  std::chrono::seconds http_timeout{30};
  std::chrono::seconds poll_interval{60};  ///< while pending; doubles up to poll_interval_max
  std::chrono::seconds poll_interval_max{3600};
  unsigned poll_max = 1000;                 ///< then the request is given up and made anew
  std::chrono::seconds retry_interval{10};  ///< after a failure; doubles up to retry_interval_max
  std::chrono::seconds retry_interval_max{600};
  std::chrono::seconds crl_refresh_max{std::chrono::hours{24}};  ///< CRLs are fetched this often
};

}  // namespace cohort::pki
