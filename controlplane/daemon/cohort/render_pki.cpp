// Certificates, trustpoints, the authority, key pairs.
#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>
#include <iterator>

#include "controlplane/daemon/cohort/render.hpp"

namespace cohort::daemon {
namespace {

using Out = std::back_insert_iterator<std::string>;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

struct UsageName {
  std::string_view name;
  std::string_view printed;
  std::uint32_t bit;
};
/// RFC 5280 section 4.2.1.3: bit 0 is the leftmost.
constexpr std::array<UsageName, 9> usages{{{"digitalSignature", "Digital Signature", 0x80000000},
                                           {"nonRepudiation", "Non Repudiation", 0x40000000},
                                           {"keyEncipherment", "Key Encipherment", 0x20000000},
                                           {"dataEncipherment", "Data Encipherment", 0x10000000},
                                           {"keyAgreement", "Key Agreement", 0x08000000},
                                           {"keyCertSign", "Key Cert Sign", 0x04000000},
                                           {"cRLSign", "CRL Signature", 0x02000000},
                                           {"encipherOnly", "Encipher Only", 0x01000000},
                                           {"decipherOnly", "Decipher Only", 0x00800000}}};

std::string extended_usage_text(const std::string& name) {
  if (name == "TLS Web Server Authentication") return "Server Auth";
  if (name == "TLS Web Client Authentication") return "Client Auth";
  return name;
}

/// "SHA256 with RSA Encryption" of "sha256WithRSAEncryption".
std::string signature_text(const std::string& name) {
  for (const std::string_view hash : {"256", "384", "512", "1"}) {
    if (name == fmt::format("sha{}WithRSAEncryption", hash)) {
      return fmt::format("SHA{} with RSA Encryption", hash);
    }
    if (name == fmt::format("ecdsa-with-SHA{}", hash)) return fmt::format("SHA{} with ECDSA", hash);
  }
  return name;
}

/// "hostname" for what X.500 calls unstructuredName, as the field prints it.
std::string type_text(const std::string& type) {
  if (type == "unstructuredName") return "hostname";
  if (type == "unstructuredAddress") return "ipaddress";
  return lower(type);
}

void subject_part(Out out, const Json& certificate) {
  std::string name;
  for (const std::string_view wanted : {"unstructuredName", "CN"}) {
    for (const Json& attribute : list_of(certificate, "subject_attributes")) {
      if (name.empty() && text_of(attribute, "type") == wanted) name = text_of(attribute, "value");
    }
  }
  fmt::format_to(out, "  Subject:\n");
  if (!name.empty()) fmt::format_to(out, "    Name: {}\n", name);
  for (const Json& attribute : list_of(certificate, "subject_attributes")) {
    fmt::format_to(out, "    {}={}\n", type_text(text_of(attribute, "type")),
                   text_of(attribute, "value"));
  }
}

void key_part(Out out, const Json& certificate) {
  const std::string algorithm = text_of(certificate, "key_algorithm");
  fmt::format_to(out, "  Subject Key Info:\n    Public Key Algorithm: {}\n", algorithm);
  fmt::format_to(out, "    {} Public Key: ({} bit)\n",
                 algorithm.substr(0, 3) == "rsa" ? "RSA" : "EC",
                 number_of(certificate, "key_bits"));
  fmt::format_to(out, "  Signature Algorithm: {}\n",
                 signature_text(text_of(certificate, "signature_algorithm")));
  fmt::format_to(out, "  Fingerprint MD5: {}\n",
                 fingerprint_text(text_of(certificate, "fingerprint_md5")));
  fmt::format_to(out, "  Fingerprint SHA1: {}\n",
                 fingerprint_text(text_of(certificate, "fingerprint_sha1")));
  fmt::format_to(out, "  Fingerprint SHA256: {}\n",
                 fingerprint_text(text_of(certificate, "fingerprint_sha256")));
}

void extensions_part(Out out, const Json& certificate) {
  fmt::format_to(out, "  X509v3 extensions:\n");
  std::uint32_t bits = 0;
  std::string names;
  for (const UsageName& usage : usages) {
    for (const Json& name : list_of(certificate, "key_usage")) {
      if (name != usage.name) continue;
      bits |= usage.bit;
      names += fmt::format("      {}\n", usage.printed);
    }
  }
  if (bits != 0) fmt::format_to(out, "    X509v3 Key Usage: {:08X}\n{}", bits, names);
  const std::string subject = text_of(certificate, "subject_key_id");
  if (!subject.empty()) {
    fmt::format_to(out, "    X509v3 Subject Key ID: {}\n", fingerprint_text(subject));
  }
  if (flag_of(certificate, "is_ca")) {
    fmt::format_to(out, "    X509v3 Basic Constraints:\n        CA: TRUE\n");
  }
  const std::string authority = text_of(certificate, "authority_key_id");
  if (!authority.empty()) {
    fmt::format_to(out, "    X509v3 Authority Key ID: {}\n", fingerprint_text(authority));
  }
  fmt::format_to(out, "    Authority Info Access:\n");
  if (!list_of(certificate, "san_dns").empty() || !list_of(certificate, "san_addresses").empty()) {
    fmt::format_to(out, "    X509v3 Subject Alternative Name:\n");
    for (const std::string_view key : {"san_dns", "san_addresses"}) {
      for (const Json& name : list_of(certificate, key)) {
        if (name.is_string()) {
          fmt::format_to(out, "        {}\n", clean(name.get_ref<const std::string&>()));
        }
      }
    }
  }
  if (list_of(certificate, "extended_key_usage").empty()) return;
  fmt::format_to(out, "    Extended Key Usage:\n");
  for (const Json& usage : list_of(certificate, "extended_key_usage")) {
    if (usage.is_string()) {
      fmt::format_to(out, "        {}\n",
                     clean(extended_usage_text(usage.get_ref<const std::string&>())));
    }
  }
}

void certificate_text(Out out, const Json& certificate, bool verbose) {
  const bool ca = text_of(certificate, "kind") == "ca";
  fmt::format_to(out, "{}\n", ca ? "CA Certificate" : "Certificate");
  fmt::format_to(out, "  Status: {}\n", text_of(certificate, "status"));
  if (verbose) fmt::format_to(out, "  Version: {}\n", number_of(certificate, "version"));
  fmt::format_to(out, "  Certificate Serial Number (hex): {}\n", text_of(certificate, "serial"));
  fmt::format_to(out, "  Certificate Usage: {}\n", text_of(certificate, "usage"));
  fmt::format_to(out, "  Issuer: \n    {}\n", text_of(certificate, "issuer"));
  subject_part(out, certificate);
  fmt::format_to(out, "  Validity Date: \n    start date: {}\n    end   date: {}\n",
                 date_text(text_of(certificate, "not_before")),
                 date_text(text_of(certificate, "not_after")));
  if (verbose) {
    key_part(out, certificate);
    extensions_part(out, certificate);
  }
  if (verbose)
    fmt::format_to(out, "  Cert install time: {}\n",
                   date_text(text_of(certificate, "installed", "unknown")));
  fmt::format_to(out, "  Associated Trustpoints: {}\n", text_of(certificate, "trustpoint"));
  fmt::format_to(out, "  Storage: {}\n", text_of(certificate, "storage"));
  if (ca) return;
  fmt::format_to(out, "  Key Label: {}\n", text_of(certificate, "key_label"));
  if (verbose)
    fmt::format_to(out, "  Key storage device: {}\n", text_of(certificate, "key_storage"));
}

}  // namespace

std::string render_certificates(const Json& certificates, bool verbose) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const Json& certificate : certificates) {
    if (!certificate.is_object()) continue;
    if (!text.empty()) text += "\n";
    certificate_text(out, certificate, verbose);
  }
  return text.empty() ? "% No certificates\n" : text;
}

std::string render_pki_server(const Json& server) {
  std::string text;
  const Out out = std::back_inserter(text);
  fmt::format_to(out, "Certificate Server {}:\n", text_of(server, "name"));
  fmt::format_to(out, "    Status: enabled\n    State: enabled\n");
  fmt::format_to(out, "    Issuer name: {}\n", text_of(server, "issuer"));
  fmt::format_to(out, "    SCEP server: http://{}\n", text_of(server, "listen"));
  fmt::format_to(out, "    CA cert fingerprint: {}\n",
                 fingerprint_text(text_of(server, "fingerprint_md5")));
  fmt::format_to(out, "    CA cert fingerprint SHA1: {}\n",
                 fingerprint_text(text_of(server, "fingerprint_sha1")));
  fmt::format_to(out, "    CA cert fingerprint SHA256: {}\n",
                 fingerprint_text(text_of(server, "fingerprint_sha256")));
  fmt::format_to(out, "    Granting mode is: {}\n", text_of(server, "grant"));
  fmt::format_to(out, "    Last certificate issued serial number (hex): {}\n",
                 text_of(server, "last_serial", "none"));
  fmt::format_to(out, "    CA certificate expiration timer: {}\n",
                 date_text(text_of(server, "not_after")));
  fmt::format_to(out, "    CRL NextUpdate timer: {}\n",
                 date_text(text_of(server, "crl_next_update", "no CRL made yet")));
  fmt::format_to(out, "    Current primary storage dir: {}\n", text_of(server, "database"));
  std::string extended;
  for (const Json& usage : list_of(server, "extended_key_usage")) {
    if (usage.is_string()) extended += " " + clean(usage.get_ref<const std::string&>());
  }
  fmt::format_to(out, "    Database Level: {} - all issued certs written\n",
                 text_of(server, "database_level"));
  fmt::format_to(out, "    Database archive: {}\n", text_of(server, "database_archive"));
  fmt::format_to(out, "    Hash: {}\n", text_of(server, "hash"));
  constexpr std::uint64_t day_s = 86400;
  const std::uint64_t life = number_of(server, "lifetime_certificate_s");
  fmt::format_to(out, "    Lifetime of certificates: {} {}, of the CA certificate: {} days\n",
                 life % day_s == 0 ? life / day_s : life, life % day_s == 0 ? "days" : "sec",
                 number_of(server, "lifetime_ca_certificate_days"));
  fmt::format_to(out, "    Lifetime of CRLs: {} sec\n", number_of(server, "lifetime_crl_s"));
  fmt::format_to(out, "    Extended key usage:{}\n", extended);
  fmt::format_to(out, "    Challenge password: {}\n",
                 flag_of(server, "challenge_required") ? "required" : "not required");
  fmt::format_to(out, "    CRL distribution point: {}\n", text_of(server, "crl_url", "none"));
  fmt::format_to(out,
                 "    Certificates: {} issued, {} revoked; requests: {} pending, {} rejected\n",
                 number_of(server, "certificates"), number_of(server, "revoked"),
                 number_of(server, "pending"), number_of(server, "rejected"));
  return text;
}

std::string render_trustpoints(const Json& trustpoints) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const Json& trustpoint : trustpoints) {
    const Json& enrolment = object_of(trustpoint, "enrolment");
    fmt::format_to(out, "Trustpoint {}:\n", text_of(trustpoint, "name"));
    fmt::format_to(out, "    Enrollment URL: {}\n", text_of(trustpoint, "enrollment_url", "none"));
    fmt::format_to(out, "    Subject Name: {}\n", text_of(trustpoint, "subject_name", "none"));
    fmt::format_to(out, "    Key Label: {}\n", text_of(trustpoint, "key_label"));
    fmt::format_to(out, "    CA certificate: {}\n",
                   flag_of(trustpoint, "authenticated") ? "accepted" : "not yet accepted");
    fmt::format_to(out, "    Certificate: {}\n",
                   flag_of(trustpoint, "enrolled")
                       ? text_of(trustpoint, "certificate_serial") + ", until " +
                             date_text(text_of(trustpoint, "certificate_not_after"))
                       : "none");
    if (enrolment.empty()) continue;
    fmt::format_to(out, "    State: {}\n", text_of(enrolment, "state"));
    const std::string renewal = text_of(enrolment, "renewal_at");
    if (!renewal.empty()) fmt::format_to(out, "    Renewal at: {}\n", date_text(renewal));
    const std::string error = text_of(enrolment, "last_error");
    if (!error.empty()) fmt::format_to(out, "    Last error: {}\n", error);
  }
  return text.empty() ? "% No trustpoints\n" : text;
}

std::string render_requests(const Json& requests) {
  std::string text = fmt::format("{:<6} {:<9} {:<21} {:<40} {}\n", "ReqID", "State", "Received",
                                 "Subject", "Note");
  for (const Json& request : requests) {
    text += fmt::format("{:<6} {:<9} {:<21} {:<40} {}\n", number_of(request, "id"),
                        text_of(request, "state"), text_of(request, "received"),
                        text_of(request, "subject"), text_of(request, "note"));
  }
  return text;
}

std::string render_issued(const Json& certificates) {
  std::string text =
      fmt::format("{:<42} {:<21} {:<12} {}\n", "Serial (hex)", "Until", "Status", "Subject");
  for (const Json& certificate : certificates) {
    text += fmt::format("{:<42} {:<21} {:<12} {}\n", text_of(certificate, "serial"),
                        text_of(certificate, "not_after"),
                        text_of(certificate, "revoked_at").empty() ? "valid" : "revoked",
                        text_of(certificate, "subject"));
  }
  return text;
}

std::string render_keys(const Json& keys) {
  std::string text;
  for (const Json& key : keys) {
    text += fmt::format("Key name: {}\n  Type: {} ({} bit)\n  Exportable: {}\n  SHA256: {}\n",
                        text_of(key, "label"), text_of(key, "type"), number_of(key, "bits"),
                        flag_of(key, "exportable") ? "yes" : "no",
                        fingerprint_text(text_of(key, "key_sha256")));
  }
  return text.empty() ? "% No key pairs\n" : text;
}

}  // namespace cohort::daemon
