#include "pki/ca.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "pki/ca_database.hpp"
#include "pki/ca_issue.hpp"
#include "pki/distinguished_name.hpp"
#include "pki/events.hpp"
#include "pki/key_pair.hpp"
#include "pki/reasons.hpp"
#include "pki/trust.hpp"

namespace cohort::pki {

namespace {

/// Certificates are valid from a little before now, for clocks that are a little behind.
constexpr std::int64_t backdate_s = 300;

Result<crypto::PrivateKey> make_key(const CaOptions& options) {
  return generate_key(options.key_type, options.key_bits);
}

Result<Bytes> issuer_of(const CaOptions& options) {
  const std::string text = options.issuer_name.empty() ? "CN=" + options.name : options.issuer_name;
  COHORT_TRY(const auto attributes, parse_name(text));
  if (attributes.empty()) return fail(bad_name, "the issuer name is empty");
  return name_to_der(attributes);
}

std::string_view text_of(const Secret& pem) {
  return {reinterpret_cast<const char*>(pem.view().data()), pem.size()};
}

}  // namespace

std::string_view name_of(RequestState state) {
  switch (state) {
    case RequestState::pending:
      return "pending";
    case RequestState::granted:
      return "granted";
    case RequestState::rejected:
      return "rejected";
  }
  return "unknown";
}

CertificateAuthority::CertificateAuthority(CaOptions options, World& world,
                                           std::unique_ptr<CaDatabase> database)
    : options_(std::move(options)), world_(world), database_(std::move(database)) {}

CertificateAuthority::~CertificateAuthority() = default;

std::int64_t CertificateAuthority::now_s() const {
  return world_.clock.wall().time_since_epoch().count();
}

std::string CertificateAuthority::new_serial() const {
  Bytes octets = world_.random.bytes(16);
  octets.front() =
      static_cast<std::uint8_t>((octets.front() & 0x7f) | 0x40);  // positive, 16 octets
  std::string out = to_hex(octets);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return out;
}

void CertificateAuthority::report(const EventKind& kind, std::string_view subject,
                                  std::string_view serial, std::string_view note) const {
  Event event{&kind, {{"ca", options_.name}, {"subject", std::string(subject)}}};
  if (!serial.empty()) event.fields.emplace_back("serial", serial);
  if (!note.empty()) event.fields.emplace_back("note", note);
  world_.outbox.report(std::move(event));
}

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::open_database(CaOptions options,
                                                                                  World& world) {
  if (options.hash == crypto::Hash::md5 || options.hash == crypto::Hash::sha1)
    return fail(certificate_weak, "a CA signs with sha256, sha384 or sha512");
  COHORT_TRY(auto database, CaDatabase::open(options.database));
  return std::unique_ptr<CertificateAuthority>(
      new CertificateAuthority(std::move(options), world, std::move(database)));
}

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::open(CaOptions options,
                                                                         World& world) {
  COHORT_TRY(auto ca, open_database(std::move(options), world));
  COHORT_TRY(const auto stored, ca->database_->authority());
  COHORT_CHECK(stored ? ca->load(*stored) : ca->create());
  COHORT_CHECK(ca->write_archive(false));
  return ca;
}

Result<std::unique_ptr<CertificateAuthority>> CertificateAuthority::restore(
    CaOptions options, World& world, ByteView pkcs12, const Secret& password) {
  COHORT_TRY(auto contents, parse_pkcs12(pkcs12, password));
  if (!contents.certificate.is_ca()) return fail(not_a_ca, contents.certificate.subject());
  COHORT_TRY(auto ca, open_database(std::move(options), world));
  COHORT_TRY(const auto stored, ca->database_->authority());
  if (stored) return fail(ca_exists, ca->options_.database);
  COHORT_CHECK(ca->adopt(std::move(contents.key), std::move(contents.certificate)));
  if (!contents.crl) return ca;
  const Status written = ca->database_->transaction([&]() -> Status {
    for (const IssuedRecord& revoked : entries_of(*contents.crl))
      COHORT_CHECK(ca->database_->add_earlier_revocation(revoked));
    return {};
  });
  COHORT_CHECK(written);
  return ca;
}

Status CertificateAuthority::load(const StoredAuthority& stored) {
  COHORT_TRY(certificate_, Certificate::from_der(stored.certificate));
  COHORT_TRY(key_, crypto::PrivateKey::from_pem(text_of(stored.key), Secret()));
  COHORT_TRY(const Bytes issuer, issuer_of(options_));
  if (!same_name(issuer, certificate_->subject_der()))
    return fail(ca_mismatch, fmt::format("it is of {}", certificate_->subject()));
  if (stored.message_certificate.empty()) {
    message_key_ = CaMessageKey{*certificate_, *key_};
    return {};
  }
  COHORT_TRY(Certificate certificate, Certificate::from_der(stored.message_certificate));
  COHORT_TRY(auto key, crypto::PrivateKey::from_pem(text_of(stored.message_key), Secret()));
  message_key_ = CaMessageKey{std::move(certificate), std::move(key)};
  return {};
}

Status CertificateAuthority::create() {
  COHORT_TRY(auto key, make_key(options_));
  COHORT_TRY(const Bytes subject, issuer_of(options_));
  const IssueTimes times{new_serial(), now_s() - backdate_s,
                         now_s() + std::chrono::seconds(options_.ca_lifetime).count()};
  COHORT_TRY(Certificate certificate, make_ca_certificate(key, subject, options_.hash, times));
  COHORT_CHECK(adopt(std::move(key), std::move(certificate)));
  report(ca_created, certificate_->subject(), certificate_->serial(), {});
  return {};
}

/// Takes key and certificate over and stores them, with a key for SCEP messages where the CA's own
/// can't decrypt.
Status CertificateAuthority::adopt(crypto::PrivateKey key, Certificate certificate) {
  StoredAuthority stored;
  stored.name = options_.name;
  stored.certificate = certificate.der();
  COHORT_TRY(stored.key, key.to_pem(Secret()));
  if (key.type() != crypto::KeyType::rsa) {
    COHORT_TRY(auto message_key, generate_key(crypto::KeyType::rsa, options_.key_bits));
    COHORT_TRY(const Bytes subject, name_to_der({{"CN", options_.name + "-scep"}}));
    const IssueTimes times{new_serial(), now_s() - backdate_s,
                           certificate.not_after().time_since_epoch().count()};
    COHORT_TRY(Certificate message_certificate,
               make_message_certificate({key, certificate, options_.hash}, message_key.public_key(),
                                        subject, times));
    stored.message_certificate = message_certificate.der();
    COHORT_TRY(stored.message_key, message_key.to_pem(Secret()));
  }
  const Status written = database_->transaction([&] { return database_->put_authority(stored); });
  COHORT_CHECK(written);
  return load(stored);
}

/// Once the CA is made, and whenever it has revoked something: what is restored from it must not
/// make revoked certificates good again.
Status CertificateAuthority::write_archive(bool anew) {
  if (options_.archive.empty()) return {};
  COHORT_TRY(const auto present, world_.store.get(options_.archive));
  if (present && !anew) return {};
  COHORT_TRY(const Bytes archive, backup(options_.archive_password));
  return world_.store.put(options_.archive, archive);
}

Result<Bytes> CertificateAuthority::backup(const Secret& password) {
  if (password.size() < passphrase_size_min) return fail(passphrase_missing);
  COHORT_TRY(Crl list, crl());
  return make_pkcs12({*key_, *certificate_, std::move(list)}, options_.name, password);
}

Result<CaStatus> CertificateAuthority::status() const {
  CaStatus out;
  out.name = options_.name;
  out.issuer = certificate_->subject();
  out.grant = options_.grant;
  out.fingerprint_md5 = certificate_->fingerprint(crypto::Hash::md5);
  out.fingerprint_sha1 = certificate_->fingerprint(crypto::Hash::sha1);
  out.fingerprint_sha256 = certificate_->fingerprint(crypto::Hash::sha256);
  out.ca_not_before = certificate_->not_before();
  out.ca_not_after = certificate_->not_after();
  COHORT_TRY(const auto last, database_->issued(1));
  if (!last.empty()) out.last_serial = last.front().serial;
  COHORT_TRY(const auto crl_der, database_->crl());
  if (crl_der) {
    COHORT_TRY(const Crl crl, Crl::from_der(*crl_der));
    out.crl_next_update = crl.next_update().value_or(WallTime{});
  }
  out.database = options_.database;
  COHORT_TRY(out.certificates, database_->count_certificates(now_s()));
  COHORT_TRY(out.revoked, database_->count_revoked(now_s()));
  COHORT_TRY(out.pending, database_->count_requests(RequestState::pending));
  COHORT_TRY(out.rejected, database_->count_requests(RequestState::rejected));
  return out;
}

Result<Certificate> CertificateAuthority::find(std::string_view serial) const {
  COHORT_TRY(const auto stored, database_->certificate(serial));
  if (!stored) return fail(serial_unknown, std::string(serial));
  return Certificate::from_der(stored->der);
}

bool CertificateAuthority::has_signed(const Certificate& certificate) const {
  const Trust trust{{*certificate_}, {}, {}, RevocationCheck::none, {}, options_.allow_weak};
  // At a time when it was valid: its time is not the question here.
  return trust.build_chain(certificate, {}, certificate.not_before()).has_value() &&
         !(certificate == *certificate_);
}

Status CertificateAuthority::check_issued(const Certificate& certificate) const {
  const Trust trust{{*certificate_}, {}, {}, RevocationCheck::none, {}, options_.allow_weak};
  COHORT_CHECK(trust.build_chain(certificate, {}, world_.clock.wall()).map([](const auto&) {}));
  COHORT_TRY(const auto stored, database_->certificate(certificate.serial()));
  if (stored && stored->revoked_at) return fail(certificate_revoked, certificate.serial());
  if (stored) return {};
  COHORT_TRY(const bool earlier, database_->is_earlier_revoked(certificate.serial()));
  if (earlier) return fail(certificate_revoked, certificate.serial());
  return {};
}

Result<Crl> CertificateAuthority::crl() {
  const std::int64_t now = now_s();
  COHORT_TRY(const auto stored, database_->crl());
  if (stored) {
    COHORT_TRY(Crl have, Crl::from_der(*stored));
    const WallTime wall = world_.clock.wall();
    const auto next = have.next_update().value_or(WallTime{});
    if (have.this_update() <= wall && next - wall > options_.crl_lifetime / 2) return have;
  }
  std::optional<Crl> made;
  const Status written = database_->transaction([&]() -> Status {
    COHORT_TRY(const auto revoked, database_->revoked(now));
    COHORT_TRY(const auto number, database_->next_crl_number(now));
    COHORT_TRY(made, make_crl({*key_, *certificate_, options_.hash}, revoked, number, now,
                              now + options_.crl_lifetime.count()));
    return database_->put_crl(made->der());
  });
  COHORT_CHECK(written);
  return std::move(*made);
}

Result<std::vector<RequestRecord>> CertificateAuthority::requests(std::optional<RequestState> state,
                                                                  std::size_t limit) const {
  return database_->requests(state, limit);
}

Result<std::vector<IssuedRecord>> CertificateAuthority::issued(std::size_t limit) const {
  return database_->issued(limit);
}

Status CertificateAuthority::revoke(std::string_view serial, RevocationReason reason) {
  std::string upper(serial);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
    return c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  COHORT_TRY(const auto stored, database_->certificate(upper));
  if (!stored) return fail(serial_unknown, upper);
  if (stored->revoked_at) return fail(already_revoked, upper);
  const Status written = database_->transaction([&]() -> Status {
    COHORT_CHECK(database_->revoke(upper, reason, now_s()));
    return database_->drop_crl();
  });
  COHORT_CHECK(written);
  COHORT_TRY(const Certificate certificate, Certificate::from_der(stored->der));
  report(certificate_was_revoked, certificate.subject(), upper, {});
  return write_archive(true);
}

}  // namespace cohort::pki
