// Commands about certificates: trustpoints and the authority.
#include <openssl/evp.h>
#include <sys/stat.h>
#include <utility>

#include "controlplane/daemon/commands.hpp"
#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

Json certificate_json(const pki::Certificate& certificate) {
  const pki::CertificateInfo info = certificate.describe();
  Json subject = Json::array();
  for (const NameAttribute& attribute : info.subject_attributes) {
    subject.push_back({{"type", attribute.type}, {"value", attribute.value}});
  }
  Json addresses = Json::array();
  for (const IpAddress& address : info.san_addresses) addresses.push_back(address.text());
  return {{"version", info.version},
          {"serial", info.serial},
          {"usage", info.usage},
          {"issuer", info.issuer},
          {"subject", info.subject},
          {"subject_attributes", subject},
          {"not_before", to_text(info.not_before)},
          {"not_after", to_text(info.not_after)},
          {"key_algorithm", info.key_algorithm},
          {"key_bits", info.key_bits},
          {"signature_algorithm", info.signature_algorithm},
          {"fingerprint_md5", info.fingerprint_md5},
          {"fingerprint_sha1", info.fingerprint_sha1},
          {"fingerprint_sha256", info.fingerprint_sha256},
          {"key_usage", texts_json(info.key_usage)},
          {"extended_key_usage", texts_json(info.extended_key_usage)},
          {"subject_key_id", info.subject_key_id},
          {"authority_key_id", info.authority_key_id},
          {"is_ca", info.is_ca},
          {"san_dns", texts_json(info.san_dns)},
          {"san_addresses", addresses},
          {"crl_urls", texts_json(info.crl_urls)},
          {"pem", certificate.pem()}};
}

std::string_view status_of(const pki::Certificate& certificate, WallTime now) {
  if (now < certificate.not_before()) return "Not yet valid";
  return now > certificate.not_after() ? "Expired" : "Available";
}

Result<std::vector<const pki::Trustpoint*>> chosen(Daemon& daemon, const Arguments& arguments) {
  COHORT_TRY(const std::string wanted, arguments.text_or("trustpoint", ""));
  std::vector<const pki::Trustpoint*> out;
  for (const pki::Trustpoint* trustpoint : daemon.runtime().keyring->trustpoints()) {
    if (wanted.empty() || trustpoint->name() == wanted) out.push_back(trustpoint);
  }
  if (!wanted.empty() && out.empty()) return fail(no_trustpoint, wanted);
  return out;
}

/// When a file of the state directory was written, null if there is none.
Json written_at(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return {};
  return to_text(WallTime{std::chrono::seconds{info.st_mtim.tv_sec}});
}

Result<Json> show_certificates(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"trustpoint"}));
  COHORT_TRY(const auto trustpoints, chosen(daemon, arguments));
  const WallTime now = daemon.runtime().clock.wall();
  Json out = Json::array();
  for (const pki::Trustpoint* trustpoint : trustpoints) {
    const auto add = [&](const pki::Certificate& certificate, std::string_view kind) {
      Json one = certificate_json(certificate);
      one["kind"] = kind;
      one["status"] = status_of(certificate, now);
      one["trustpoint"] = trustpoint->name();
      const std::string& directory = daemon.configuration().state_directory;
      const bool ours = kind == "certificate";
      const std::string path = directory + "/" + trustpoint->blob(ours ? "identity.pem" : "ca.pem");
      one["storage"] = path;
      one["installed"] = written_at(path);
      if (ours) {
        one["key_label"] = trustpoint->key_label();
        one["key_storage"] = directory + "/keys";
      }
      out.push_back(std::move(one));
    };
    if (trustpoint->certificate()) add(*trustpoint->certificate(), "certificate");
    for (const pki::Certificate& ca : trustpoint->ca_certificates()) add(ca, "ca");
  }
  return out;
}

Json enrolment_json(const pki::ScepClient& client) {
  Json out{{"state", pki::name_of(client.state())},
           {"renewing", client.is_renewing()},
           {"polls", client.polls()}};
  out["last_error"] = client.last_error() ? Json(client.last_error()->text()) : Json();
  const auto renewal = client.renewal_at();
  out["renewal_at"] = renewal ? Json(to_text(*renewal)) : Json();
  return out;
}

Result<Json> show_trustpoints(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"trustpoint"}));
  COHORT_TRY(const auto trustpoints, chosen(daemon, arguments));
  Json out = Json::array();
  for (const pki::Trustpoint* trustpoint : trustpoints) {
    Json one{{"name", trustpoint->name()},
             {"enrollment_url", trustpoint->options().enrollment_url},
             {"subject_name", trustpoint->options().subject_name},
             {"authenticated", trustpoint->is_authenticated()},
             {"enrolled", trustpoint->certificate().has_value()},
             {"key_label", trustpoint->options().key.label},
             {"auto_enroll_percent", trustpoint->options().auto_enroll_percent}};
    const auto* enrolment = daemon.find_enrolment(trustpoint->name());
    one["enrolment"] = enrolment ? enrolment_json(enrolment->client()) : Json();
    if (trustpoint->certificate()) {
      one["certificate_serial"] = trustpoint->certificate()->serial();
      one["certificate_not_after"] = to_text(trustpoint->certificate()->not_after());
    }
    out.push_back(std::move(one));
  }
  return out;
}

Result<Enrolment*> enrolment_of(Daemon& daemon, const Arguments& arguments) {
  COHORT_TRY(const std::string name, arguments.text("trustpoint"));
  if (Enrolment* found = daemon.find_enrolment(name)) return found;
  const bool known = daemon.runtime().keyring->find(name) != nullptr;
  return fail(known ? no_enrolment : no_trustpoint, name);
}

/// Where an enrolment stands, with what an operator may have to decide on.
Json progress_json(const Daemon& daemon, Enrolment& enrolment) {
  const pki::ScepClient& client = enrolment.client();
  const pki::TrustpointOptions& options = enrolment.trustpoint().options();
  Json out = enrolment_json(client);
  out["trustpoint"] = enrolment.name();
  out["authenticated"] = enrolment.trustpoint().is_authenticated();
  out["enrolled"] = enrolment.trustpoint().certificate().has_value();
  out["subject_name"] = options.subject_name;
  out["hostname"] = options.hostname;
  if (options.serial_number) out["serial_number"] = *options.serial_number;
  if (options.ip_address) out["ip_address"] = options.ip_address->text();
  const pki::OpenQuestions& open = enrolment.trustpoint().open_questions();
  out["open"] = {{"challenge", open.challenge_password},
                 {"serial_number", open.serial_number},
                 {"ip_address", open.ip_address}};
  const config::Configuration& configuration = daemon.configuration();
  out["own_address"] = configuration.group_member ? configuration.group_member->local.address.text()
                       : configuration.key_server ? configuration.key_server->local.address.text()
                                                  : "";
  out["offer"] = Json();
  if (const auto& offer = client.offer(); offer && client.state() == pki::EnrolState::decision) {
    out["offer"] = {{"subject", offer->subject},
                    {"not_after", to_text(offer->not_after)},
                    {"fingerprint_md5", offer->fingerprint_md5},
                    {"fingerprint_sha1", offer->fingerprint_sha1},
                    {"fingerprint_sha256", offer->fingerprint_sha256}};
  }
  return out;
}

Result<Json> pki_progress(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"trustpoint"}));
  COHORT_TRY(Enrolment* const enrolment, enrolment_of(daemon, arguments));
  return progress_json(daemon, *enrolment);
}

/// What an operator answered, if that is among the arguments, for the requests to come.
Status use_answers(Enrolment& enrolment, const Arguments& arguments) {
  if (!arguments.has("challenge") && !arguments.has("serial_number") &&
      !arguments.has("ip_address"))
    return {};
  pki::RequestAnswers answers;
  COHORT_TRY(const std::string serial, arguments.text_or("serial_number", ""));
  if (!serial.empty()) answers.serial_number = serial;
  COHORT_TRY(const std::string address, arguments.text_or("ip_address", ""));
  if (!address.empty()) {
    COHORT_TRY(answers.ip_address, IpAddress::parse(address));
  }
  COHORT_TRY(std::string challenge, arguments.text_or("challenge", ""));
  answers.challenge_password = Secret::of_text(challenge);
  zeroize(challenge);
  return enrolment.trustpoint().use(std::move(answers));
}

Result<Json> pki_start(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"trustpoint", "challenge", "serial_number", "ip_address"}));
  COHORT_TRY(Enrolment* const enrolment, enrolment_of(daemon, arguments));
  COHORT_CHECK(use_answers(*enrolment, arguments));
  const pki::EnrolState state = enrolment->client().state();
  // What is under way goes on; what has stopped or waits after a failure begins anew.
  if (state == pki::EnrolState::idle || state == pki::EnrolState::refused ||
      state == pki::EnrolState::retry) {
    enrolment->start();
    daemon.audit("crypto pki enroll", enrolment->name());
  }
  return progress_json(daemon, *enrolment);
}

Result<Json> pki_decide(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only(
      {"trustpoint", "accept", "fingerprint_sha256", "challenge", "serial_number", "ip_address"}));
  COHORT_TRY(Enrolment* const enrolment, enrolment_of(daemon, arguments));
  COHORT_TRY(const bool accept, arguments.flag("accept", false));
  COHORT_TRY(const std::string seen, arguments.text("fingerprint_sha256"));
  const auto& offer = enrolment->client().offer();
  // The yes is for the certificate that the operator saw, not for one that came since.
  if (!offer || offer->fingerprint_sha256 != seen) {
    return fail(bad_argument, "the authority's certificate is another one now; look again");
  }
  // Before the decision, since the request goes out with it.
  COHORT_CHECK(use_answers(*enrolment, arguments));
  COHORT_CHECK(enrolment->decide(accept));
  daemon.audit(accept ? "crypto pki authenticate: yes" : "crypto pki authenticate: no",
               enrolment->name() + " " + seen);
  return progress_json(daemon, *enrolment);
}

Result<Json> pki_renew(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"trustpoint"}));
  COHORT_TRY(Enrolment* const enrolment, enrolment_of(daemon, arguments));
  COHORT_CHECK(enrolment->renew());
  daemon.audit("crypto pki renew", enrolment->name());
  return progress_json(daemon, *enrolment);
}

Result<Json> pki_crl(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"trustpoint"}));
  COHORT_TRY(Enrolment* const enrolment, enrolment_of(daemon, arguments));
  COHORT_CHECK(enrolment->refresh_crl());
  daemon.audit("crypto pki crl", enrolment->name());
  return progress_json(daemon, *enrolment);
}

// ---- without SCEP: any authority, by files ----

/// A trustpoint that nobody enrols but the operator, and the key pair that it is for.
struct ByHand {
  pki::Trustpoint* trustpoint;
  pki::KeyPair pair;
};

Result<ByHand> by_hand(Daemon& daemon, const Arguments& arguments) {
  COHORT_TRY(const std::string name, arguments.text("trustpoint"));
  pki::Trustpoint* trustpoint = daemon.runtime().keyring->find(name);
  if (trustpoint == nullptr) return fail(no_trustpoint, name);
  if (daemon.find_enrolment(name) != nullptr) {
    return fail(bad_argument, name + " has an enrollment_url and enrols by itself");
  }
  COHORT_TRY(auto pair, daemon.runtime().keys->find(trustpoint->options().key.label));
  if (!pair) return fail(bad_argument, "no key pair " + trustpoint->options().key.label);
  return ByHand{trustpoint, std::move(*pair)};
}

std::string pem_of_request(ByteView der) {
  constexpr std::size_t line = 64;
  std::string base64(4 * ((der.size() + 2) / 3) + 1, '\0');
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()), der.data(),
                                     static_cast<int>(der.size()));
  base64.resize(static_cast<std::size_t>(length));
  std::string out = "-----BEGIN CERTIFICATE REQUEST-----\n";
  for (std::size_t at = 0; at < base64.size(); at += line) out += base64.substr(at, line) + "\n";
  return out + "-----END CERTIFICATE REQUEST-----\n";
}

Result<Json> pki_request(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"trustpoint"}));
  COHORT_TRY(const ByHand chosen_one, by_hand(daemon, arguments));
  COHORT_TRY(const pki::RequestContents contents,
             pki::request_contents(chosen_one.trustpoint->options()));
  COHORT_TRY(const auto request,
             pki::CertificateRequest::make(contents, chosen_one.pair.key, crypto::Hash::sha256));
  return Json{{"subject", request.subject()}, {"pem", pem_of_request(request.der())}};
}

Status import_ca(pki::Trustpoint& trustpoint, const std::string& pem) {
  COHORT_TRY(auto certificates, pki::Certificate::list_from_pem(pem));
  std::vector<pki::Certificate> anchors;
  std::vector<pki::Certificate> others;
  for (pki::Certificate& certificate : certificates) {
    const bool anchor = certificate.is_ca() && certificate.is_self_issued();
    (anchor ? anchors : others).push_back(std::move(certificate));
  }
  // A file of one intermediate authority alone makes that one the anchor.
  if (anchors.empty()) anchors.swap(others);
  return trustpoint.accept_ca(std::move(anchors), std::move(others));
}

/// Why a peer that trusts as we do would refuse these certificates now; null if it would not.
Json objection(pki::Trust trust, const std::vector<pki::Certificate>& chain, WallTime now) {
  trust.revocation_check = pki::RevocationCheck::none;
  std::vector<Bytes> ders;
  for (const pki::Certificate& one : chain) ders.push_back(one.der());
  const auto verified = trust.verify(ders, now);
  return verified ? Json() : Json(verified.error().text());
}

Result<Json> pki_import(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"trustpoint", "ca", "certificate"}));
  COHORT_TRY(const std::string ca, arguments.text_or("ca", ""));
  COHORT_TRY(const std::string own, arguments.text_or("certificate", ""));
  COHORT_TRY(const ByHand chosen_one, by_hand(daemon, arguments));
  pki::Trustpoint& trustpoint = *chosen_one.trustpoint;
  if (ca.empty() && own.empty()) return fail(bad_argument, "name a file to import");
  if (!ca.empty()) COHORT_CHECK(import_ca(trustpoint, ca));
  Json warning;
  if (!own.empty()) {
    COHORT_TRY(auto chain, pki::Certificate::list_from_pem(own));
    warning = objection(trustpoint.trust(), chain, daemon.runtime().clock.wall());
    const pki::Certificate leaf = chain.front();
    chain.erase(chain.begin());
    COHORT_CHECK(trustpoint.install(chosen_one.pair, leaf, std::move(chain)));
  }
  daemon.audit("crypto pki import", trustpoint.name());
  return Json{{"trustpoint", trustpoint.name()},
              {"authenticated", trustpoint.is_authenticated()},
              {"enrolled", trustpoint.certificate().has_value()},
              {"warning", warning}};
}

// ---- the authority ----

Result<pki::CertificateAuthority*> ca_of(Daemon& daemon) {
  if (daemon.ca() == nullptr) return fail(no_role, "no certificate authority here");
  return daemon.ca();
}

Json usages_json(const std::vector<pki::ExtendedKeyUsage>& usages) {
  using pki::ExtendedKeyUsage;
  Json out = Json::array();
  for (const ExtendedKeyUsage usage : usages) {
    switch (usage) {
      case ExtendedKeyUsage::server_auth:
        out.push_back("server-auth");
        break;
      case ExtendedKeyUsage::client_auth:
        out.push_back("client-auth");
        break;
      case ExtendedKeyUsage::ipsec_ike:
        out.push_back("ipsec-ike");
        break;
      case ExtendedKeyUsage::ike_intermediate:
        out.push_back("ike-intermediate");
        break;
      case ExtendedKeyUsage::any:
        out.push_back("any");
        break;
    }
  }
  return out;
}

/// What the configuration says about the certificates to be issued.
void add_ca_policy(Json& out, const pki::CaOptions& options) {
  out["hash"] = crypto::name_of(options.hash);
  out["lifetime_certificate_s"] = options.certificate_lifetime.count();
  out["lifetime_ca_certificate_days"] = options.ca_lifetime.count();
  out["lifetime_crl_s"] = options.crl_lifetime.count();
  out["extended_key_usage"] = usages_json(options.eku);
  out["challenge_required"] = !options.challenge_passwords.empty();
  out["database_level"] = "complete";
  out["database_archive"] = options.archive.empty() ? "none" : "pkcs12";
  out["crl_url"] = options.crl_url.empty() ? Json() : Json(options.crl_url);
}

Result<Json> show_pki_server(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  COHORT_TRY(pki::CertificateAuthority* const ca, ca_of(daemon));
  COHORT_TRY(const pki::CaStatus status, ca->status());
  const pki::ScepServerCounters& scep = daemon.scep()->counters();
  Json out{{"name", status.name},
           {"issuer", status.issuer},
           {"listen", daemon.configuration().certificate_authority->listen.text()},
           {"grant", status.grant == pki::Grant::automatic ? "auto" : "manual"},
           {"fingerprint_md5", status.fingerprint_md5},
           {"fingerprint_sha1", status.fingerprint_sha1},
           {"fingerprint_sha256", status.fingerprint_sha256},
           {"not_before", to_text(status.ca_not_before)},
           {"not_after", to_text(status.ca_not_after)},
           {"last_serial", status.last_serial},
           {"crl_next_update",
            status.crl_next_update == WallTime{} ? Json() : Json(to_text(status.crl_next_update))},
           {"database", status.database},
           {"certificates", status.certificates},
           {"revoked", status.revoked},
           {"pending", status.pending},
           {"rejected", status.rejected},
           {"scep_requests", scep.requests},
           {"scep_granted", scep.granted},
           {"scep_refused", scep.refused},
           {"scep_throttled", scep.throttled}};
  add_ca_policy(out, ca->options());
  return out;
}

Result<Json> server_requests(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  COHORT_TRY(pki::CertificateAuthority* const ca, ca_of(daemon));
  COHORT_TRY(const auto requests, ca->requests());
  Json out = Json::array();
  for (const pki::RequestRecord& request : requests) {
    out.push_back({{"id", request.id},
                   {"state", pki::name_of(request.state)},
                   {"subject", request.subject},
                   {"transaction_id", request.transaction_id},
                   {"key_sha256", request.spki_sha256},
                   {"received", to_text(request.received)},
                   {"renewal", request.renewal},
                   {"note", request.note},
                   {"serial", request.serial}});
  }
  return out;
}

Result<Json> server_certificates(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  COHORT_TRY(pki::CertificateAuthority* const ca, ca_of(daemon));
  COHORT_TRY(const auto issued, ca->issued());
  Json out = Json::array();
  for (const pki::IssuedRecord& record : issued) {
    Json one{{"serial", record.serial},
             {"subject", record.subject},
             {"not_before", to_text(record.not_before)},
             {"not_after", to_text(record.not_after)}};
    one["revoked_at"] = record.revoked_at ? Json(to_text(*record.revoked_at)) : Json();
    out.push_back(std::move(one));
  }
  return out;
}

Result<Json> server_grant(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"request"}));
  COHORT_TRY(const std::uint64_t id, arguments.number("request"));
  COHORT_TRY(pki::CertificateAuthority* const ca, ca_of(daemon));
  COHORT_TRY(const pki::Certificate made, ca->grant(static_cast<std::int64_t>(id)));
  daemon.audit("pki server grant", std::to_string(id));
  return Json{{"request", id}, {"serial", made.serial()}, {"subject", made.subject()}};
}

Result<Json> server_reject(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"request", "why"}));
  COHORT_TRY(const std::uint64_t id, arguments.number("request"));
  COHORT_TRY(const std::string why, arguments.text_or("why", "rejected by the operator"));
  COHORT_TRY(pki::CertificateAuthority* const ca, ca_of(daemon));
  COHORT_CHECK(ca->reject(static_cast<std::int64_t>(id), why));
  daemon.audit("pki server reject", std::to_string(id));
  return Json{{"request", id}};
}

Result<Json> server_forget(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"request"}));
  COHORT_TRY(const std::uint64_t id, arguments.number("request"));
  COHORT_TRY(pki::CertificateAuthority* const ca, ca_of(daemon));
  COHORT_CHECK(ca->forget(static_cast<std::int64_t>(id)));
  daemon.audit("pki server forget", std::to_string(id));
  return Json{{"request", id}};
}

Result<pki::RevocationReason> revocation_reason(const std::string& name) {
  using pki::RevocationReason;
  static constexpr std::pair<std::string_view, RevocationReason> names[] = {
      {"unspecified", RevocationReason::unspecified},
      {"key-compromise", RevocationReason::key_compromise},
      {"affiliation-changed", RevocationReason::affiliation_changed},
      {"superseded", RevocationReason::superseded},
      {"cessation-of-operation", RevocationReason::cessation_of_operation}};
  for (const auto& [known, reason] : names) {
    if (known == name) return reason;
  }
  return fail(bad_argument,
              "the reason must be unspecified, key-compromise, affiliation-changed, superseded or "
              "cessation-of-operation");
}

Result<Json> server_revoke(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"serial", "reason"}));
  COHORT_TRY(const std::string serial, arguments.text("serial"));
  COHORT_TRY(const std::string name, arguments.text_or("reason", "unspecified"));
  COHORT_TRY(const pki::RevocationReason reason, revocation_reason(name));
  COHORT_TRY(pki::CertificateAuthority* const ca, ca_of(daemon));
  COHORT_CHECK(ca->revoke(serial, reason));
  daemon.audit("pki server revoke", serial);
  return Json{{"serial", serial}, {"reason", name}};
}

Result<Json> server_backup(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"password"}));
  COHORT_TRY(std::string password, arguments.text("password"));
  COHORT_TRY(pki::CertificateAuthority* const ca, ca_of(daemon));
  const Secret secret = Secret::of_text(password);
  zeroize(password);
  COHORT_TRY(const Bytes archive, ca->backup(secret));
  daemon.audit("pki server backup", "");
  return Json{{"pkcs12_hex", to_hex(archive)}};
}

constexpr CommandRow rows[] = {
    {"show crypto pki certificates", show_certificates, nullptr},
    {"show crypto pki trustpoints", show_trustpoints, nullptr},
    {"show crypto pki server", show_pki_server, nullptr},
    {"pki progress", pki_progress, nullptr},
    {"pki start", pki_start, nullptr},
    {"pki decide", pki_decide, nullptr},
    {"pki renew", pki_renew, nullptr},
    {"pki crl", pki_crl, nullptr},
    {"pki request", pki_request, nullptr},
    {"pki import", pki_import, nullptr},
    {"pki server requests", server_requests, nullptr},
    {"pki server certificates", server_certificates, nullptr},
    {"pki server grant", server_grant, nullptr},
    {"pki server reject", server_reject, nullptr},
    {"pki server forget", server_forget, nullptr},
    {"pki server revoke", server_revoke, nullptr},
    {"pki server backup", server_backup, nullptr},
};

}  // namespace

std::span<const CommandRow> pki_commands() {
  return rows;
}

}  // namespace cohort::daemon
