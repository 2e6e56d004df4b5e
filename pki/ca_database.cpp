#include "pki/ca_database.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include "pki/distinguished_name.hpp"
#include "pki/reasons.hpp"

namespace cohort::pki {

namespace {

constexpr std::int64_t schema_version = 3;

/// `spki_sha256` and `subject_key` (name_key) are kept beside the DER to be looked up.
constexpr const char* schema = R"(
CREATE TABLE authority (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  name TEXT NOT NULL,
  certificate BLOB NOT NULL,
  private_key BLOB NOT NULL,
  message_certificate BLOB,
  message_key BLOB,
  crl BLOB,
  crl_number INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE certificates (
  serial TEXT PRIMARY KEY,
  subject TEXT NOT NULL,
  subject_key TEXT NOT NULL,
  spki_sha256 BLOB NOT NULL,
  not_before INTEGER NOT NULL,
  not_after INTEGER NOT NULL,
  der BLOB NOT NULL,
  revoked_at INTEGER,
  revocation_reason INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX certificates_by_key ON certificates (spki_sha256);
CREATE INDEX certificates_by_subject ON certificates (subject_key);
CREATE INDEX certificates_by_end ON certificates (not_after);
CREATE TABLE requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  transaction_id TEXT NOT NULL,
  renewal_of TEXT NOT NULL,
  state INTEGER NOT NULL,
  subject TEXT NOT NULL,
  subject_der BLOB NOT NULL,
  spki_sha256 BLOB NOT NULL,
  csr BLOB,
  received INTEGER NOT NULL,
  serial TEXT REFERENCES certificates (serial),
  note TEXT NOT NULL,
  UNIQUE (transaction_id, renewal_of)
) STRICT;
CREATE INDEX requests_by_state ON requests (state);
)";

/// Since version 2: the alternative names of each certificate.
constexpr const char* schema_names = R"(
CREATE TABLE certificate_names (
  name TEXT NOT NULL,
  serial TEXT NOT NULL REFERENCES certificates (serial),
  PRIMARY KEY (name, serial)
) STRICT, WITHOUT ROWID;
)";

/// Since version 3: certificates that were revoked before the authority was restored.
constexpr const char* schema_earlier = R"(
CREATE TABLE earlier_revocations (
  serial TEXT PRIMARY KEY,
  revoked_at INTEGER NOT NULL,
  revocation_reason INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
)";

/// Begins what requests hold in `renewal_of` for the key of a request that renews nothing.
constexpr std::string_view owner_key = "key:";

Error error_of(sqlite3* database, int code) {
  const bool damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
  const char* path = sqlite3_db_filename(database, "main");
  return Error(damaged ? ca_database_damaged : ca_database_failed,
               fmt::format("{}: {}", path == nullptr ? "" : path, sqlite3_errmsg(database)));
}

constexpr std::string_view request_columns =
    "SELECT id, transaction_id, renewal_of, state, subject, subject_der, spki_sha256, csr, "
    "received, serial, note FROM requests ";

RequestRecord read_record(const SqlStatement& row) {
  RequestRecord out;
  out.id = row.integer(0);
  out.transaction_id = row.text(1);
  out.renewal = !row.text(2).starts_with(owner_key);
  const std::int64_t state = row.integer(3);
  out.state = state == 1   ? RequestState::granted
              : state == 2 ? RequestState::rejected
                           : RequestState::pending;
  out.subject = row.text(4);
  out.spki_sha256 = to_hex(row.blob(6));
  out.received = WallTime{std::chrono::seconds{row.integer(8)}};
  out.serial = row.text(9);
  out.note = row.text(10);
  return out;
}

Result<std::optional<StoredRequest>> read_request(SqlStatement& statement) {
  COHORT_TRY(const bool row, statement.step());
  if (!row) return std::nullopt;
  return StoredRequest{read_record(statement), statement.blob(6), statement.blob(5),
                       statement.blob(7)};
}

IssuedRecord read_issued(const SqlStatement& row) {
  IssuedRecord out;
  out.serial = row.text(0);
  out.subject = row.text(1);
  out.not_before = WallTime{std::chrono::seconds{row.integer(2)}};
  out.not_after = WallTime{std::chrono::seconds{row.integer(3)}};
  if (!row.is_null(4)) out.revoked_at = WallTime{std::chrono::seconds{row.integer(4)}};
  out.revocation_reason = static_cast<RevocationReason>(row.integer(5));
  return out;
}

constexpr std::string_view issued_columns =
    "SELECT serial, subject, not_before, not_after, revoked_at, revocation_reason "
    "FROM certificates ";

Result<std::vector<IssuedRecord>> read_all_issued(SqlStatement& statement) {
  std::vector<IssuedRecord> out;
  while (true) {
    COHORT_TRY(const bool row, statement.step());
    if (!row) return out;
    out.push_back(read_issued(statement));
  }
}

Result<std::vector<StoredCertificate>> read_all_certificates(SqlStatement& statement) {
  std::vector<StoredCertificate> out;
  while (true) {
    COHORT_TRY(const bool row, statement.step());
    if (!row) return out;
    out.push_back({statement.text(0), statement.blob(1), std::nullopt});
  }
}

/// The file exists with mode 0600 before SQLite opens it; its log files take that mode over.
Status make_private_file(const std::string& path) {
  if (path == ":memory:") return {};
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return fail(ca_database_failed, fmt::format("{}: can't be opened", path));
  ::close(file);
  return {};
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

std::vector<std::string> name_keys(const std::vector<std::string>& dns,
                                   const std::vector<std::string>& email,
                                   const std::vector<IpAddress>& addresses) {
  std::vector<std::string> out;
  for (const auto& name : dns) out.push_back("dns:" + lower(name));
  for (const auto& name : email) out.push_back("email:" + lower(name));
  for (const auto& address : addresses) out.push_back("address:" + address.text());
  return out;
}

SqlStatement::SqlStatement(sqlite3* database, std::string_view sql) : database_(database) {
  code_ =
      sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr);
}

SqlStatement::~SqlStatement() {
  sqlite3_finalize(statement_);
}

SqlStatement& SqlStatement::bind(std::int64_t value) {
  if (code_ == SQLITE_OK) code_ = sqlite3_bind_int64(statement_, next_++, value);
  return *this;
}

SqlStatement& SqlStatement::bind(std::string_view text) {
  if (code_ == SQLITE_OK)
    code_ = sqlite3_bind_text(statement_, next_++, text.data() == nullptr ? "" : text.data(),
                              static_cast<int>(text.size()), SQLITE_TRANSIENT);
  return *this;
}

SqlStatement& SqlStatement::bind(ByteView blob) {
  if (code_ == SQLITE_OK)
    code_ = sqlite3_bind_blob(statement_, next_++,
                              blob.empty() ? static_cast<const void*>("") : blob.data(),
                              static_cast<int>(blob.size()), SQLITE_TRANSIENT);
  return *this;
}

SqlStatement& SqlStatement::bind_null() {
  if (code_ == SQLITE_OK) code_ = sqlite3_bind_null(statement_, next_++);
  return *this;
}

Result<bool> SqlStatement::step() {
  if (code_ == SQLITE_OK) {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    code_ = code;
  }
  return fail(error_of(database_, code_));
}

Status SqlStatement::run() {
  COHORT_TRY(const bool row, step());
  (void)row;
  return {};
}

std::int64_t SqlStatement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

bool SqlStatement::is_null(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::string SqlStatement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Bytes SqlStatement::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_, column));
  if (data == nullptr) return {};
  return {data, data + sqlite3_column_bytes(statement_, column)};
}

Result<std::unique_ptr<CaDatabase>> CaDatabase::open(const std::string& path) {
  COHORT_CHECK(make_private_file(path));
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (handle == nullptr) return fail(ca_database_failed, path);
  std::unique_ptr<CaDatabase> out(new CaDatabase(handle));
  if (code != SQLITE_OK) return fail(error_of(handle, code));
  COHORT_CHECK(out->prepare_schema());
  return out;
}

CaDatabase::~CaDatabase() {
  sqlite3_close_v2(handle_);
}

Status CaDatabase::execute(const char* sql) const {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return fail(error_of(handle_, code));
  return {};
}

Result<std::int64_t> CaDatabase::single(SqlStatement& statement) const {
  COHORT_TRY(const bool row, statement.step());
  if (!row) return fail(ca_database_damaged, "a row is missing");
  return statement.integer(0);
}

Status CaDatabase::prepare_schema() {
  sqlite3_busy_timeout(handle_, 2000);
  // secure_delete: keys and challenge passwords do not stay in freed pages.
  COHORT_CHECK(
      execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
              "PRAGMA secure_delete=ON; PRAGMA trusted_schema=OFF;"));
  SqlStatement check(handle_, "PRAGMA quick_check(1)");
  COHORT_TRY(const bool row, check.step());
  if (!row || check.text(0) != "ok") return fail(ca_database_damaged, check.text(0));
  SqlStatement version(handle_, "PRAGMA user_version");
  COHORT_TRY(const std::int64_t found, single(version));
  if (found == schema_version) return {};
  if (found == 1 || found == 2) return upgrade(found);
  if (found != 0)
    return fail(ca_database_failed,
                fmt::format("it has schema {}, this program knows {}", found, schema_version));
  const std::string all = fmt::format("BEGIN IMMEDIATE; {} {} {} PRAGMA user_version={}; COMMIT;",
                                      schema, schema_names, schema_earlier, schema_version);
  const Status made = execute(all.c_str());
  if (!made && sqlite3_get_autocommit(handle_) == 0) (void)execute("ROLLBACK");
  return made;
}

/// Versions 1 and 2 lack tables, and ids of requests were anybody's.
Status CaDatabase::upgrade(std::int64_t from) {
  return transaction([&]() -> Status {
    if (from == 1) COHORT_CHECK(add_names_table());
    COHORT_CHECK(execute(schema_earlier));
    COHORT_CHECK(
        execute("UPDATE requests SET renewal_of = 'key:' || lower(hex(spki_sha256)) "
                "WHERE renewal_of = ''"));
    return execute(fmt::format("PRAGMA user_version={}", schema_version).c_str());
  });
}

Status CaDatabase::add_names_table() {
  COHORT_CHECK(execute(schema_names));
  SqlStatement statement(handle_, "SELECT serial, der FROM certificates");
  while (true) {
    COHORT_TRY(const bool row, statement.step());
    if (!row) return {};
    COHORT_TRY(const Certificate certificate, Certificate::from_der(statement.blob(1)));
    COHORT_CHECK(add_names(certificate));
  }
}

Status CaDatabase::add_names(const Certificate& certificate) {
  const CertificateInfo info = certificate.describe();
  for (const std::string& name : name_keys(info.san_dns, info.san_email, info.san_addresses)) {
    SqlStatement statement(handle_,
                           "INSERT OR IGNORE INTO certificate_names (name, serial) VALUES (?, ?)");
    COHORT_CHECK(statement.bind(name).bind(certificate.serial()).run());
  }
  return {};
}

Status CaDatabase::transaction(const std::function<Status()>& work) {
  COHORT_CHECK(execute("BEGIN IMMEDIATE"));
  Status done = work();
  if (done) done = execute("COMMIT");
  if (!done && sqlite3_get_autocommit(handle_) == 0) (void)execute("ROLLBACK");
  return done;
}

Result<std::optional<StoredAuthority>> CaDatabase::authority() const {
  SqlStatement statement(handle_,
                         "SELECT name, certificate, private_key, message_certificate, message_key "
                         "FROM authority");
  COHORT_TRY(const bool row, statement.step());
  if (!row) return std::nullopt;
  return StoredAuthority{statement.text(0), statement.blob(1), Secret::take(statement.blob(2)),
                         statement.blob(3), Secret::take(statement.blob(4))};
}

Status CaDatabase::put_authority(const StoredAuthority& authority) {
  SqlStatement statement(handle_,
                         "INSERT INTO authority (id, name, certificate, private_key, "
                         "message_certificate, message_key) VALUES (1, ?, ?, ?, ?, ?)");
  return statement.bind(authority.name)
      .bind(authority.certificate)
      .bind(authority.key.view())
      .bind(authority.message_certificate)
      .bind(authority.message_key.view())
      .run();
}

Result<std::int64_t> CaDatabase::next_crl_number(std::int64_t now_s) {
  SqlStatement statement(handle_,
                         "UPDATE authority SET crl_number = max(crl_number + 1, ?) "
                         "RETURNING crl_number");
  statement.bind(now_s);
  COHORT_TRY(const std::int64_t number, single(statement));
  COHORT_CHECK(statement.run());
  return number;
}

Result<std::optional<Bytes>> CaDatabase::crl() const {
  SqlStatement statement(handle_, "SELECT crl FROM authority");
  COHORT_TRY(const bool row, statement.step());
  if (!row || statement.is_null(0)) return std::nullopt;
  return statement.blob(0);
}

Status CaDatabase::put_crl(ByteView der) {
  SqlStatement statement(handle_, "UPDATE authority SET crl = ?");
  return statement.bind(der).run();
}

Status CaDatabase::drop_crl() {
  return execute("UPDATE authority SET crl = NULL");
}

Status CaDatabase::add_certificate(const Certificate& certificate) {
  SqlStatement statement(handle_,
                         "INSERT INTO certificates (serial, subject, subject_key, spki_sha256, "
                         "not_before, not_after, der) VALUES (?, ?, ?, ?, ?, ?, ?)");
  COHORT_CHECK(statement.bind(certificate.serial())
                   .bind(certificate.subject())
                   .bind(name_key(certificate.subject_der()))
                   .bind(certificate.spki_sha256())
                   .bind(std::int64_t{certificate.not_before().time_since_epoch().count()})
                   .bind(std::int64_t{certificate.not_after().time_since_epoch().count()})
                   .bind(certificate.der())
                   .run());
  return add_names(certificate);
}

Result<std::optional<StoredCertificate>> CaDatabase::certificate(std::string_view serial) const {
  SqlStatement statement(handle_,
                         "SELECT serial, der, revoked_at FROM certificates WHERE serial = ?");
  statement.bind(serial);
  COHORT_TRY(const bool row, statement.step());
  if (!row) return std::nullopt;
  StoredCertificate out{statement.text(0), statement.blob(1), std::nullopt};
  if (!statement.is_null(2)) out.revoked_at = statement.integer(2);
  return out;
}

Result<std::vector<StoredCertificate>> CaDatabase::valid_by_key(ByteView spki_sha256,
                                                                std::int64_t now_s) const {
  SqlStatement statement(handle_,
                         "SELECT serial, der FROM certificates WHERE spki_sha256 = ? AND "
                         "not_after >= ? AND revoked_at IS NULL ORDER BY not_after DESC LIMIT 16");
  statement.bind(spki_sha256).bind(now_s);
  return read_all_certificates(statement);
}

Result<std::vector<StoredCertificate>> CaDatabase::valid_by_subject(ByteView subject_der,
                                                                    std::int64_t now_s) const {
  SqlStatement statement(handle_,
                         "SELECT serial, der FROM certificates WHERE subject_key = ? AND "
                         "not_after >= ? AND revoked_at IS NULL ORDER BY not_after DESC LIMIT 16");
  statement.bind(name_key(subject_der)).bind(now_s);
  return read_all_certificates(statement);
}

Result<std::vector<StoredCertificate>> CaDatabase::valid_by_name(std::string_view name,
                                                                 std::int64_t now_s) const {
  SqlStatement statement(handle_,
                         "SELECT c.serial, c.der FROM certificate_names n JOIN certificates c ON "
                         "c.serial = n.serial WHERE n.name = ? AND c.not_after >= ? AND "
                         "c.revoked_at IS NULL ORDER BY c.not_after DESC LIMIT 16");
  statement.bind(name).bind(now_s);
  return read_all_certificates(statement);
}

Result<bool> CaDatabase::is_compromised(ByteView spki_sha256) const {
  SqlStatement statement(handle_,
                         "SELECT 1 FROM certificates WHERE spki_sha256 = ? AND revoked_at IS NOT "
                         "NULL AND revocation_reason = ? LIMIT 1");
  statement.bind(spki_sha256).bind(static_cast<std::int64_t>(RevocationReason::key_compromise));
  return statement.step();
}

Status CaDatabase::revoke(std::string_view serial, RevocationReason reason, std::int64_t now_s) {
  SqlStatement statement(handle_,
                         "UPDATE certificates SET revoked_at = ?, revocation_reason = ? "
                         "WHERE serial = ? AND revoked_at IS NULL");
  return statement.bind(now_s).bind(static_cast<std::int64_t>(reason)).bind(serial).run();
}

Status CaDatabase::add_earlier_revocation(const IssuedRecord& record) {
  SqlStatement statement(handle_,
                         "INSERT OR IGNORE INTO earlier_revocations (serial, revoked_at, "
                         "revocation_reason) VALUES (?, ?, ?)");
  const WallTime when = record.revoked_at.value_or(WallTime{});
  return statement.bind(record.serial)
      .bind(std::int64_t{when.time_since_epoch().count()})
      .bind(static_cast<std::int64_t>(record.revocation_reason))
      .run();
}

Result<bool> CaDatabase::is_earlier_revoked(std::string_view serial) const {
  SqlStatement statement(handle_, "SELECT 1 FROM earlier_revocations WHERE serial = ?");
  statement.bind(serial);
  return statement.step();
}

Result<std::vector<IssuedRecord>> CaDatabase::revoked(std::int64_t now_s) const {
  SqlStatement statement(handle_, std::string(issued_columns) +
                                      "WHERE revoked_at IS NOT NULL AND not_after >= ? UNION ALL "
                                      "SELECT serial, '', 0, 0, revoked_at, revocation_reason "
                                      "FROM earlier_revocations");
  statement.bind(now_s);
  return read_all_issued(statement);
}

Result<std::vector<IssuedRecord>> CaDatabase::issued(std::size_t limit) const {
  SqlStatement statement(handle_,
                         std::string(issued_columns) + "ORDER BY not_before DESC, serial LIMIT ?");
  statement.bind(static_cast<std::int64_t>(limit));
  return read_all_issued(statement);
}

std::string request_owner(std::string_view renewed_serial, ByteView spki_sha256) {
  if (!renewed_serial.empty()) return std::string(renewed_serial);
  return fmt::format("{}{}", owner_key, to_hex(spki_sha256));
}

Result<std::optional<StoredRequest>> CaDatabase::request(std::string_view transaction_id,
                                                         std::string_view owner) const {
  SqlStatement statement(
      handle_, std::string(request_columns) + "WHERE transaction_id = ? AND renewal_of = ?");
  statement.bind(transaction_id).bind(owner);
  return read_request(statement);
}

Result<std::optional<StoredRequest>> CaDatabase::request(std::int64_t id) const {
  SqlStatement statement(handle_, std::string(request_columns) + "WHERE id = ?");
  statement.bind(id);
  return read_request(statement);
}

Result<std::int64_t> CaDatabase::add_request(const StoredRequest& request, std::string_view owner,
                                             std::int64_t now_s) {
  SqlStatement statement(handle_,
                         "INSERT INTO requests (transaction_id, renewal_of, state, subject, "
                         "subject_der, spki_sha256, csr, received, note) "
                         "VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?)");
  COHORT_CHECK(statement.bind(request.record.transaction_id)
                   .bind(owner)
                   .bind(request.record.subject)
                   .bind(request.subject_der)
                   .bind(request.spki_sha256)
                   .bind(request.csr)
                   .bind(now_s)
                   .bind(request.record.note)
                   .run());
  return sqlite3_last_insert_rowid(handle_);
}

Status CaDatabase::decide(std::int64_t id, RequestState state, std::string_view serial,
                          std::string_view note) {
  SqlStatement statement(
      handle_, "UPDATE requests SET state = ?, serial = ?, note = ?, csr = NULL WHERE id = ?");
  statement.bind(static_cast<std::int64_t>(state));
  if (serial.empty())
    statement.bind_null();
  else
    statement.bind(serial);
  return statement.bind(note).bind(id).run();
}

Status CaDatabase::remove_request(std::int64_t id) {
  SqlStatement statement(handle_, "DELETE FROM requests WHERE id = ?");
  return statement.bind(id).run();
}

Result<std::vector<RequestRecord>> CaDatabase::requests(std::optional<RequestState> state,
                                                        std::size_t limit) const {
  SqlStatement statement(
      handle_, std::string(request_columns) + "WHERE ? < 0 OR state = ? ORDER BY id DESC LIMIT ?");
  const std::int64_t wanted = state ? static_cast<std::int64_t>(*state) : -1;
  statement.bind(wanted).bind(wanted).bind(static_cast<std::int64_t>(limit));
  std::vector<RequestRecord> out;
  while (true) {
    COHORT_TRY(const bool row, statement.step());
    if (!row) return out;
    out.push_back(read_record(statement));
  }
}

Result<std::size_t> CaDatabase::count_requests(RequestState state) const {
  SqlStatement statement(handle_, "SELECT count(*) FROM requests WHERE state = ?");
  statement.bind(static_cast<std::int64_t>(state));
  COHORT_TRY(const std::int64_t count, single(statement));
  return static_cast<std::size_t>(count);
}

Result<std::size_t> CaDatabase::count_certificates(std::int64_t now_s) const {
  SqlStatement statement(handle_, "SELECT count(*) FROM certificates WHERE not_after >= ?");
  statement.bind(now_s);
  COHORT_TRY(const std::int64_t count, single(statement));
  return static_cast<std::size_t>(count);
}

Result<std::size_t> CaDatabase::count_revoked(std::int64_t now_s) const {
  SqlStatement statement(handle_,
                         "SELECT count(*) FROM certificates WHERE not_after >= ? AND "
                         "revoked_at IS NOT NULL");
  statement.bind(now_s);
  COHORT_TRY(const std::int64_t count, single(statement));
  return static_cast<std::size_t>(count);
}

}  // namespace cohort::pki
