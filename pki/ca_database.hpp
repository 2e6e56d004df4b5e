#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"
#include "pki/ca.hpp"

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;

namespace cohort::pki {

/// One prepared statement of a CaDatabase. Parameters are bound in order, then step() per row;
/// the first failure sticks and step() tells it.
class SqlStatement {
 public:
  SqlStatement(sqlite3* database, std::string_view sql);
  ~SqlStatement();
  SqlStatement(const SqlStatement&) = delete;
  SqlStatement& operator=(const SqlStatement&) = delete;

  SqlStatement& bind(std::int64_t value);
  SqlStatement& bind(std::string_view text);
  SqlStatement& bind(ByteView blob);
  SqlStatement& bind_null();
  /// True while there is a row.
  [[nodiscard]] Result<bool> step();
  /// For statements without rows.
  [[nodiscard]] Status run();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] Bytes blob(int column) const;

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int code_ = 0;
  int next_ = 1;
};

/// What the database knows of the CA itself. Keys are PKCS#8 PEM.
struct StoredAuthority {
  std::string name;
  Bytes certificate;
  Secret key;
  Bytes message_certificate;  ///< empty when the CA's key reads SCEP messages itself
  Secret message_key;
};

/// A request as stored; `csr` is gone once it is decided.
struct StoredRequest {
  RequestRecord record;
  Bytes spki_sha256;
  Bytes subject_der;
  Bytes csr;
};

struct StoredCertificate {
  std::string serial;
  Bytes der;
  std::optional<std::int64_t> revoked_at;
};

/// Whose a transaction is: ids are the client's to choose, and anybody may choose another's. That
/// of a renewal belongs to the certificate that signs it, any other to the request's key.
[[nodiscard]] std::string request_owner(std::string_view renewed_serial, ByteView spki_sha256);

/// Alternative names as the database keeps them: kind and name, in lower case.
[[nodiscard]] std::vector<std::string> name_keys(const std::vector<std::string>& dns,
                                                 const std::vector<std::string>& email,
                                                 const std::vector<IpAddress>& addresses);

/// The SQLite file of a CA: mode 0600, write-ahead log, synchronous=FULL, so that what a call has
/// committed survives a crash. All times in seconds since 1970.
class CaDatabase {
 public:
  /// Opens or makes the file and brings the schema up; ca_database_damaged when SQLite finds it
  /// damaged, ca_database_failed for other trouble.
  static Result<std::unique_ptr<CaDatabase>> open(const std::string& path);
  ~CaDatabase();
  CaDatabase(const CaDatabase&) = delete;
  CaDatabase& operator=(const CaDatabase&) = delete;

  /// Runs `work` in one transaction: committed if it returns a value, rolled back if an error.
  [[nodiscard]] Status transaction(const std::function<Status()>& work);

  [[nodiscard]] Result<std::optional<StoredAuthority>> authority() const;
  [[nodiscard]] Status put_authority(const StoredAuthority& authority);
  /// The next CRL number: higher than any before, also after a restore (it follows the clock).
  [[nodiscard]] Result<std::int64_t> next_crl_number(std::int64_t now_s);
  [[nodiscard]] Result<std::optional<Bytes>> crl() const;
  [[nodiscard]] Status put_crl(ByteView der);
  /// Forgets the CRL, so that the next caller makes a new one.
  [[nodiscard]] Status drop_crl();

  [[nodiscard]] Status add_certificate(const Certificate& certificate);
  [[nodiscard]] Result<std::optional<StoredCertificate>> certificate(std::string_view serial) const;
  /// Valid, unrevoked certificates of a key, or of a subject.
  [[nodiscard]] Result<std::vector<StoredCertificate>> valid_by_key(ByteView spki_sha256,
                                                                    std::int64_t now_s) const;
  [[nodiscard]] Result<std::vector<StoredCertificate>> valid_by_subject(ByteView subject_der,
                                                                        std::int64_t now_s) const;
  /// Likewise by an alternative name, as name_keys() writes it.
  [[nodiscard]] Result<std::vector<StoredCertificate>> valid_by_name(std::string_view name,
                                                                     std::int64_t now_s) const;
  /// Whether a certificate of this key was revoked since others may have the key.
  [[nodiscard]] Result<bool> is_compromised(ByteView spki_sha256) const;
  [[nodiscard]] Status revoke(std::string_view serial, RevocationReason reason, std::int64_t now_s);
  /// From before a restore: nothing else is known of these.
  [[nodiscard]] Status add_earlier_revocation(const IssuedRecord& record);
  [[nodiscard]] Result<bool> is_earlier_revoked(std::string_view serial) const;
  /// Revoked and not expired, and all of those from before a restore.
  [[nodiscard]] Result<std::vector<IssuedRecord>> revoked(std::int64_t now_s) const;
  [[nodiscard]] Result<std::vector<IssuedRecord>> issued(std::size_t limit) const;

  /// `owner` is a request_owner().
  [[nodiscard]] Result<std::optional<StoredRequest>> request(std::string_view transaction_id,
                                                             std::string_view owner) const;
  [[nodiscard]] Result<std::optional<StoredRequest>> request(std::int64_t id) const;
  [[nodiscard]] Result<std::int64_t> add_request(const StoredRequest& request,
                                                 std::string_view owner, std::int64_t now_s);
  [[nodiscard]] Status decide(std::int64_t id, RequestState state, std::string_view serial,
                              std::string_view note);
  [[nodiscard]] Status remove_request(std::int64_t id);
  [[nodiscard]] Result<std::vector<RequestRecord>> requests(std::optional<RequestState> state,
                                                            std::size_t limit) const;
  [[nodiscard]] Result<std::size_t> count_requests(RequestState state) const;
  [[nodiscard]] Result<std::size_t> count_certificates(std::int64_t now_s) const;
  [[nodiscard]] Result<std::size_t> count_revoked(std::int64_t now_s) const;

 private:
  explicit CaDatabase(sqlite3* handle) : handle_(handle) {}
  [[nodiscard]] Status execute(const char* sql) const;
  [[nodiscard]] Status prepare_schema();
  [[nodiscard]] Status upgrade(std::int64_t from);
  [[nodiscard]] Status add_names_table();
  [[nodiscard]] Status add_names(const Certificate& certificate);
  [[nodiscard]] Result<std::int64_t> single(SqlStatement& statement) const;
  sqlite3* handle_;
};

}  // namespace cohort::pki
