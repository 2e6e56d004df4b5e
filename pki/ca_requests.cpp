#include <algorithm>
#include <fmt/format.h>

#include "pki/ca.hpp"
#include "pki/ca_database.hpp"
#include "pki/ca_issue.hpp"
#include "pki/distinguished_name.hpp"
#include "pki/events.hpp"
#include "pki/reasons.hpp"
#include "pki/scep_message.hpp"

/// How a CA decides on requests.
namespace cohort::pki {

namespace {

constexpr std::int64_t backdate_s = 300;
constexpr std::size_t subject_size_max = 1024;  ///< octets of DER

/// True if each of `asked` is in `had`.
template <typename T>
bool within(const std::vector<T>& asked, const std::vector<T>& had) {
  return std::all_of(asked.begin(), asked.end(), [&](const T& each) {
    return std::find(had.begin(), had.end(), each) != had.end();
  });
}

std::string serial_of(const std::optional<Certificate>& certificate) {
  return certificate ? certificate->serial() : std::string();
}

std::string owner_of(const Submission& submission) {
  return request_owner(serial_of(submission.renewed), submission.request.spki_sha256());
}

}  // namespace

Status CertificateAuthority::check_request(const CertificateRequest& request) const {
  const crypto::PublicKey key = request.public_key();
  const std::size_t bits_min = options_.allow_weak ? rsa_bits_weak_min : rsa_bits_min;
  if (key.type() == crypto::KeyType::rsa && (key.bits() < bits_min || key.bits() > rsa_bits_max))
    return fail(request_key_weak, fmt::format("RSA of {} bits", key.bits()));
  const Bytes subject = request.subject_der();
  if (request.subject().empty() || subject.size() > subject_size_max)
    return fail(request_subject_bad, fmt::format("{} octets", subject.size()));
  if (same_name(subject, certificate_->subject_der()) ||
      same_name(subject, message_key_->certificate.subject_der()))
    return fail(request_subject_bad, request.subject());
  if (world_.clock.wall() > certificate_->not_after()) return fail(ca_expired);
  return {};
}

Status CertificateAuthority::check_challenge(const CertificateRequest& request) const {
  if (options_.challenge_passwords.empty()) return {};
  const Secret given = request.challenge_password();
  bool right = false;
  for (const auto& password : options_.challenge_passwords)  // all of them, for equal time
    right = (!password.empty() && password == given) || right;
  if (!right) return fail(challenge_wrong);
  return {};
}

/// A certificate in hand vouches for its own names and no others.
Status CertificateAuthority::check_renewal(const Submission& submission) const {
  const auto issued = check_issued(*submission.renewed);
  if (!issued) return fail(renewal_signer_bad, issued.error().text());
  const CertificateRequest& request = submission.request;
  const CertificateInfo old = submission.renewed->describe();
  if (!same_name(request.subject_der(), submission.renewed->subject_der()))
    return fail(renewal_subject_mismatch,
                fmt::format("{} asks for {}", old.subject, request.subject()));
  if (!within(request.san_dns(), old.san_dns) || !within(request.san_email(), old.san_email) ||
      !within(request.san_addresses(), old.san_addresses))
    return fail(renewal_subject_mismatch, "it asks for further alternative names");
  return {};
}

Status CertificateAuthority::check_key_reuse(const CertificateRequest& request) const {
  COHORT_TRY(const bool compromised, database_->is_compromised(request.spki_sha256()));
  if (compromised) return fail(key_compromised, request.subject());
  COHORT_TRY(const auto same_key, database_->valid_by_key(request.spki_sha256(), now_s()));
  for (const auto& stored : same_key) {
    COHORT_TRY(const Certificate certificate, Certificate::from_der(stored.der));
    if (!same_name(certificate.subject_der(), request.subject_der()))
      return fail(key_subject_mismatch,
                  fmt::format("{} has serial {}", certificate.subject(), certificate.serial()));
  }
  return {};
}

Result<std::string> CertificateAuthority::duplicate_subject(
    const CertificateRequest& request) const {
  COHORT_TRY(const auto same_subject, database_->valid_by_subject(request.subject_der(), now_s()));
  for (const auto& stored : same_subject) {
    COHORT_TRY(const Certificate certificate, Certificate::from_der(stored.der));
    if (certificate.spki_sha256() == request.spki_sha256()) continue;
    return fmt::format("serial {} has the same subject and another key", stored.serial);
  }
  // Peers are authorized by alternative names too.
  for (const std::string& name :
       name_keys(request.san_dns(), request.san_email(), request.san_addresses())) {
    COHORT_TRY(const auto holders, database_->valid_by_name(name, now_s()));
    for (const auto& stored : holders) {
      COHORT_TRY(const Certificate certificate, Certificate::from_der(stored.der));
      if (certificate.spki_sha256() == request.spki_sha256()) continue;
      return fmt::format("serial {} has the alternative name {} and another key", stored.serial,
                         name);
    }
  }
  return std::string();
}

Result<std::string> CertificateAuthority::reason_to_wait(const Submission& submission) const {
  const bool renewal = submission.renewed.has_value();
  if ((renewal ? options_.renewal_grant : options_.grant) == Grant::manual)
    return std::string("grant is manual");
  const bool vouched = renewal || !options_.challenge_passwords.empty();
  if (vouched || options_.duplicate_subject == DuplicateSubject::grant) return std::string();
  COHORT_TRY(std::string note, duplicate_subject(submission.request));
  if (!note.empty() && options_.duplicate_subject == DuplicateSubject::refuse)
    return fail(subject_in_use, note);
  return note;
}

Result<Decision> CertificateAuthority::decision_of(const StoredRequest& stored) const {
  Decision out;
  out.state = stored.record.state;
  out.request_id = stored.record.id;
  out.note = stored.record.note;
  if (out.state == RequestState::rejected) return fail(request_rejected, out.note);
  if (out.state == RequestState::pending) return out;
  COHORT_TRY(const auto issued, database_->certificate(stored.record.serial));
  if (!issued) return fail(ca_database_damaged, "a granted request without its certificate");
  if (issued->revoked_at) return fail(certificate_revoked, stored.record.serial);
  COHORT_TRY(out.certificate, Certificate::from_der(issued->der));
  return out;
}

Result<std::optional<Decision>> CertificateAuthority::known_transaction(
    const Submission& submission) {
  COHORT_TRY(const auto stored,
             database_->request(submission.transaction_id, owner_of(submission)));
  if (!stored) return std::nullopt;
  if (stored->spki_sha256 != submission.request.spki_sha256())
    return fail(transaction_key_mismatch, submission.transaction_id);
  if (!same_name(stored->subject_der, submission.request.subject_der()))
    return fail(transaction_subject_mismatch,
                fmt::format("{} was for {}", submission.transaction_id, stored->record.subject));
  COHORT_TRY(auto decision, decision_of(*stored));
  // Clients that make the id from their key come with the same one years later.
  if (decision.certificate && decision.certificate->not_after() < world_.clock.wall()) {
    COHORT_CHECK(database_->remove_request(stored->record.id));
    return std::nullopt;
  }
  return decision;
}

Result<Certificate> CertificateAuthority::issue(const CertificateRequest& request) {
  COHORT_TRY(const std::size_t count, database_->count_certificates(now_s()));
  if (count >= options_.certificates_max) return fail(too_many_certificates, std::to_string(count));
  const std::int64_t ca_begin = certificate_->not_before().time_since_epoch().count();
  const std::int64_t ca_end = certificate_->not_after().time_since_epoch().count();
  const std::int64_t lifetime = options_.certificate_lifetime.count();
  // Little of a short life, or renewal would be due as soon as it is issued.
  const std::int64_t backdate = std::min(backdate_s, lifetime / 20);
  const IssueTimes times{new_serial(), std::max(now_s() - backdate, ca_begin),
                         std::min(now_s() + lifetime, ca_end)};
  COHORT_TRY(Certificate certificate,
             make_certificate({*key_, *certificate_, options_.hash}, request, options_.eku,
                              options_.crl_url, times));
  COHORT_CHECK(database_->add_certificate(certificate));
  return certificate;
}

/// Stores the request and, when nothing makes it wait, its certificate, in one transaction.
Result<Decision> CertificateAuthority::decide_new(const Submission& submission,
                                                  const std::string& wait) {
  const CertificateRequest& request = submission.request;
  if (!wait.empty()) {
    COHORT_TRY(const std::size_t pending, database_->count_requests(RequestState::pending));
    if (pending >= options_.pending_max) return fail(too_many_pending, std::to_string(pending));
  }
  Decision out;
  out.note = wait;
  const Status written = database_->transaction([&]() -> Status {
    StoredRequest stored;
    stored.record.transaction_id = submission.transaction_id;
    stored.record.subject = request.subject();
    stored.record.note = wait;
    stored.spki_sha256 = request.spki_sha256();
    stored.subject_der = request.subject_der();
    if (!wait.empty()) stored.csr = request.der();
    COHORT_TRY(out.request_id, database_->add_request(stored, owner_of(submission), now_s()));
    if (!wait.empty()) return {};
    COHORT_TRY(out.certificate, issue(request));
    out.state = RequestState::granted;
    return database_->decide(out.request_id, RequestState::granted, out.certificate->serial(), {});
  });
  COHORT_CHECK(written);
  return out;
}

Result<Decision> CertificateAuthority::submit(const Submission& submission) {
  if (submission.transaction_id.empty() || submission.transaction_id.size() > transaction_id_max)
    return fail(scep_bad_attribute, "transactionID");
  COHORT_CHECK(check_request(submission.request));
  COHORT_TRY(auto known, known_transaction(submission));
  if (known) return std::move(*known);
  COHORT_CHECK(submission.renewed ? check_renewal(submission)
                                  : check_challenge(submission.request));
  COHORT_CHECK(check_key_reuse(submission.request));
  COHORT_TRY(const std::string wait, reason_to_wait(submission));
  COHORT_TRY(Decision decision, decide_new(submission, wait));
  report(wait.empty() ? certificate_granted : request_pending, submission.request.subject(),
         serial_of(decision.certificate), wait);
  return decision;
}

Result<Decision> CertificateAuthority::poll(std::string_view transaction_id,
                                            const Certificate& signer) {
  if (has_signed(signer)) {
    COHORT_TRY(const auto renewal, database_->request(transaction_id, signer.serial()));
    if (renewal) return decision_of(*renewal);
  }
  COHORT_TRY(const auto stored,
             database_->request(transaction_id, request_owner({}, signer.spki_sha256())));
  if (!stored) return fail(request_unknown, std::string(transaction_id));
  return decision_of(*stored);
}

Result<Certificate> CertificateAuthority::grant(std::int64_t request_id) {
  COHORT_TRY(const auto stored, database_->request(request_id));
  if (!stored) return fail(request_unknown, std::to_string(request_id));
  if (stored->record.state != RequestState::pending)
    return fail(request_not_pending, std::string(name_of(stored->record.state)));
  COHORT_TRY(const auto request, CertificateRequest::from_der(stored->csr));
  COHORT_CHECK(check_request(request));
  COHORT_CHECK(check_key_reuse(request));
  std::optional<Certificate> made;
  const Status written = database_->transaction([&]() -> Status {
    COHORT_TRY(made, issue(request));
    return database_->decide(request_id, RequestState::granted, made->serial(), {});
  });
  COHORT_CHECK(written);
  report(certificate_granted, request.subject(), made->serial(), "by the operator");
  return std::move(*made);
}

Status CertificateAuthority::reject(std::int64_t request_id, std::string_view why) {
  COHORT_TRY(const auto stored, database_->request(request_id));
  if (!stored) return fail(request_unknown, std::to_string(request_id));
  if (stored->record.state != RequestState::pending)
    return fail(request_not_pending, std::string(name_of(stored->record.state)));
  const Status written = database_->transaction([&] {
    return database_->decide(request_id, RequestState::rejected, {}, why.substr(0, 256));
  });
  COHORT_CHECK(written);
  report(request_denied, stored->record.subject, {}, why);
  return {};
}

Status CertificateAuthority::forget(std::int64_t request_id) {
  COHORT_TRY(const auto stored, database_->request(request_id));
  if (!stored) return fail(request_unknown, std::to_string(request_id));
  if (stored->record.state != RequestState::rejected)
    return fail(request_not_rejected, std::string(name_of(stored->record.state)));
  return database_->transaction([&] { return database_->remove_request(request_id); });
}

}  // namespace cohort::pki
