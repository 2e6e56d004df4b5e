#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/base/time.hpp"
#include "controlplane/world/world.hpp"
#include "pki/certificate.hpp"
#include "pki/options.hpp"
#include "pki/request.hpp"

namespace cohort::pki {

class CaDatabase;
struct StoredAuthority;
struct StoredRequest;

enum class RequestState : std::uint8_t { pending, granted, rejected };
[[nodiscard]] std::string_view name_of(RequestState state);

/// Why a certificate is revoked (RFC 5280 section 5.3.1).
enum class RevocationReason : std::uint8_t {
  unspecified = 0,
  key_compromise = 1,
  affiliation_changed = 3,
  superseded = 4,
  cessation_of_operation = 5
};

/// A row of the request list.
struct RequestRecord {
  std::int64_t id = 0;
  std::string transaction_id;
  RequestState state = RequestState::pending;
  std::string subject;      ///< RFC 4514 text
  std::string spki_sha256;  ///< lower-case hex
  WallTime received{};
  bool renewal = false;
  std::string note;    ///< why it waits, or why it was rejected
  std::string serial;  ///< when granted
};

/// A row of the certificate list.
struct IssuedRecord {
  std::string serial;  ///< upper-case hex
  std::string subject;
  WallTime not_before{};
  WallTime not_after{};
  std::optional<WallTime> revoked_at;
  RevocationReason revocation_reason = RevocationReason::unspecified;
};

/// What `show crypto pki server` shows.
struct CaStatus {
  std::string name;
  std::string issuer;  ///< RFC 4514 text
  Grant grant = Grant::manual;
  std::string fingerprint_md5;  ///< lower-case hex, as the two below
  std::string fingerprint_sha1;
  std::string fingerprint_sha256;
  WallTime ca_not_before{};
  WallTime ca_not_after{};
  std::string last_serial;  ///< issued last, may be empty
  WallTime crl_next_update{};
  std::string database;
  std::size_t certificates = 0;  ///< issued and not expired
  std::size_t revoked = 0;
  std::size_t pending = 0;
  std::size_t rejected = 0;
};

/// A request as it came, with what the transport has proven about its sender.
struct Submission {
  CertificateRequest request;
  std::string transaction_id;  ///< 1..transaction_id_max characters
  /// The certificate that signed the message when that is one which this CA issued and which is
  /// valid: a renewal. Empty: the message was signed with the request's own key.
  std::optional<Certificate> renewed;
};

/// What became of it.
struct Decision {
  RequestState state = RequestState::pending;
  std::int64_t request_id = 0;
  std::optional<Certificate> certificate;  ///< when granted
  std::string note;                        ///< when pending or rejected
};

/// The key and certificate that SCEP messages are signed with and encrypted to.
struct CaMessageKey {
  Certificate certificate;
  crypto::PrivateKey key;
};

/// A certificate authority on a durable SQLite database. Every change is one transaction, durable
/// when the call returns; after a crash a retransmitted request gets the same certificate.
/// Control-plane thread only; a signature per call, so milliseconds.
class CertificateAuthority {
 public:
  /// Opens the CA in options.database, or makes one (key, certificate, archive) when the database
  /// is new. `world` is kept by reference (clock, random, outbox, store).
  static Result<std::unique_ptr<CertificateAuthority>> open(CaOptions options, World& world);
  /// Makes the database of a CA from a PKCS #12 archive: same key, certificate and so the same
  /// fingerprint; certificates issued before are known by signature, and by serial those that had
  /// been revoked when the archive was made. ca_exists if the database holds a CA already.
  static Result<std::unique_ptr<CertificateAuthority>> restore(CaOptions options, World& world,
                                                               ByteView pkcs12,
                                                               const Secret& password);
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  [[nodiscard]] const CaOptions& options() const { return options_; }
  [[nodiscard]] const Certificate& certificate() const { return *certificate_; }
  [[nodiscard]] const CaMessageKey& message_key() const { return *message_key_; }
  [[nodiscard]] Result<CaStatus> status() const;

  /// Decides on a request, idempotent by transaction id: the same request again gets the same
  /// answer. Refusals are errors named in reasons.hpp (challenge_wrong, transaction_key_mismatch,
  /// key_subject_mismatch, subject_in_use, …) and change nothing.
  [[nodiscard]] Result<Decision> submit(const Submission& submission);
  /// The state of a transaction: request_unknown, or what submit would answer. `signer` has signed
  /// the poll: the request's key must be its own, or it is the certificate that is being renewed.
  [[nodiscard]] Result<Decision> poll(std::string_view transaction_id, const Certificate& signer);
  [[nodiscard]] Result<Certificate> find(std::string_view serial) const;
  /// True if this CA has signed the certificate, whatever its time and state.
  [[nodiscard]] bool has_signed(const Certificate& certificate) const;
  /// Success if this CA has signed the certificate, it is in its time and not revoked.
  [[nodiscard]] Status check_issued(const Certificate& certificate) const;
  /// The present CRL; made anew when it changed or half of its lifetime is over.
  [[nodiscard]] Result<Crl> crl();

  // The operator's side.
  /// Newest first; `state` narrows.
  [[nodiscard]] Result<std::vector<RequestRecord>> requests(
      std::optional<RequestState> state = std::nullopt, std::size_t limit = 1000) const;
  [[nodiscard]] Result<std::vector<IssuedRecord>> issued(std::size_t limit = 1000) const;
  [[nodiscard]] Result<Certificate> grant(std::int64_t request_id);
  [[nodiscard]] Status reject(std::int64_t request_id, std::string_view why);
  /// Forgets a rejection: who asks again with the same key is decided on anew.
  [[nodiscard]] Status forget(std::int64_t request_id);
  /// `serial` as upper- or lower-case hex. Writes the archive anew, which takes some 0.1 s.
  [[nodiscard]] Status revoke(std::string_view serial, RevocationReason reason);
  /// Encrypted PKCS #12 (AES-256, PBKDF2) of the CA's key and certificates, with its CRL.
  [[nodiscard]] Result<Bytes> backup(const Secret& password);

 private:
  CertificateAuthority(CaOptions options, World& world, std::unique_ptr<CaDatabase> database);
  static Result<std::unique_ptr<CertificateAuthority>> open_database(CaOptions options,
                                                                     World& world);
  [[nodiscard]] std::int64_t now_s() const;
  [[nodiscard]] std::string new_serial() const;
  [[nodiscard]] Status load(const StoredAuthority& stored);
  [[nodiscard]] Status create();
  [[nodiscard]] Status adopt(crypto::PrivateKey key, Certificate certificate);
  [[nodiscard]] Status write_archive(bool anew);
  [[nodiscard]] Status check_request(const CertificateRequest& request) const;
  [[nodiscard]] Status check_challenge(const CertificateRequest& request) const;
  [[nodiscard]] Status check_renewal(const Submission& submission) const;
  [[nodiscard]] Status check_key_reuse(const CertificateRequest& request) const;
  /// Empty: grant. Otherwise why the operator must decide.
  [[nodiscard]] Result<std::string> reason_to_wait(const Submission& submission) const;
  [[nodiscard]] Result<std::string> duplicate_subject(const CertificateRequest& request) const;
  /// What was decided on this transaction before; empty when nothing was.
  [[nodiscard]] Result<std::optional<Decision>> known_transaction(const Submission& submission);
  [[nodiscard]] Result<Decision> decision_of(const StoredRequest& stored) const;
  [[nodiscard]] Result<Decision> decide_new(const Submission& submission, const std::string& wait);
  [[nodiscard]] Result<Certificate> issue(const CertificateRequest& request);
  void report(const EventKind& kind, std::string_view subject, std::string_view serial,
              std::string_view note) const;

  CaOptions options_;
  World& world_;
  std::unique_ptr<CaDatabase> database_;
  std::optional<Certificate> certificate_;
  std::optional<crypto::PrivateKey> key_;
  std::optional<CaMessageKey> message_key_;
};

}  // namespace cohort::pki
