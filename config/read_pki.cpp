// Key pairs, trustpoints and the certificate authority.
#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "config/reader.hpp"
#include "config/sections.hpp"
#include "pki/http.hpp"

namespace cohort::config {
namespace {

using pki::ExtendedKeyUsage;
using std::chrono::hours;
using std::chrono::seconds;

const std::vector<Choice<crypto::KeyType>>& key_types() {
  static const std::vector<Choice<crypto::KeyType>> types{
      {"rsa", crypto::KeyType::rsa},
      {"ecdsa-p256", crypto::KeyType::ecdsa_p256},
      {"ecdsa-p384", crypto::KeyType::ecdsa_p384},
      {"ecdsa-p521", crypto::KeyType::ecdsa_p521}};
  return types;
}

unsigned read_modulus(Object& object, crypto::KeyType type, unsigned otherwise) {
  if (object.has("modulus") && type != crypto::KeyType::rsa) {
    object.reject("modulus", "no modulus: the curve decides the size", "remove it");
  }
  const auto bits = static_cast<unsigned>(
      object.number("modulus", otherwise, pki::rsa_bits_weak_min, pki::rsa_bits_max));
  if (bits >= pki::rsa_bits_min) return bits;
  if (object.context().allow_weak) {
    object.warn("modulus", "2048 bits at least: shorter keys can be broken",
                "use it only with peers that know no better");
    return bits;
  }
  object.reject("modulus", "2048 bits at least: shorter keys can be broken",
                "choose 2048 or more, or set \"allow_weak\": true at the top of the file");
  return otherwise;
}

std::vector<ExtendedKeyUsage> read_usages(Object& object, std::string_view key,
                                          std::vector<ExtendedKeyUsage> otherwise) {
  static constexpr std::pair<std::string_view, ExtendedKeyUsage> names[] = {
      {"server-auth", ExtendedKeyUsage::server_auth},
      {"client-auth", ExtendedKeyUsage::client_auth},
      {"ipsec-ike", ExtendedKeyUsage::ipsec_ike},
      {"ike-intermediate", ExtendedKeyUsage::ike_intermediate},
      {"any", ExtendedKeyUsage::any}};
  if (!object.has(key)) return otherwise;
  std::vector<ExtendedKeyUsage> out;
  object.each_item(key, 16, [&](const Json& item, const std::string& pointer) {
    const std::string word = item.is_string() ? item.get<std::string>() : std::string();
    for (const auto& [name, usage] : names) {
      if (name == word) {
        out.push_back(usage);
        return;
      }
    }
    std::vector<std::string_view> known;
    for (const auto& one : names) known.push_back(one.first);
    const std::string_view near = did_you_mean(word, known);
    object.context().diagnostics.error(
        pointer, found_text(item), fmt::format("one of {}", fmt::join(known, ", ")),
        near.empty() ? "choose one of these" : fmt::format("did you mean \"{}\"?", near));
  });
  return out;
}

/// Keeps a distinguished name's text; the certificate code parses it again.
std::string read_name(Object& object, std::string_view key) {
  const auto text = object.text(key);
  if (!text) return {};
  if (text->find('=') == std::string::npos) {
    object.reject(key, "a distinguished name", fmt::format("write \"CN={}\"", *text));
  } else if (const auto name = read_distinguished_name(*text); !name) {
    object.reject(key, "a distinguished name", name.error());
  }
  return *text;
}

std::string read_url(Object& object, std::string_view key) {
  const auto url = object.text(key);
  if (!url) return {};
  const auto parsed = pki::parse_http_url(*url);
  if (parsed) return *url;
  object.reject(key, "an http:// URL",
                url->starts_with("https://")
                    ? "SCEP protects its messages itself: write http://"
                    : parsed.error().detail() + ": write it as in \"http://192.0.2.1:80/path\"");
  return {};
}

std::string read_fingerprint(Object& object, std::string_view key) {
  const auto text = object.text(key);
  if (!text) return {};
  const auto digits = from_hex(*text);
  if (digits && digits->size() == 32) return to_hex(*digits);
  std::string fix = "print it on the authority with `cohort show crypto pki server`";
  if (digits && digits->size() == 20) fix = "this is a SHA-1 fingerprint; " + fix;
  if (digits && digits->size() == 16) fix = "this is an MD5 fingerprint; " + fix;
  object.reject(key, "64 hexadecimal digits", std::move(fix));
  return {};
}

void read_intervals(Object& object, pki::TrustpointOptions& out) {
  out.http_timeout = object.seconds("http_timeout", out.http_timeout, seconds(1), seconds(600));
  out.poll_interval = object.seconds("poll_interval", out.poll_interval, seconds(1), hours(24));
  out.poll_interval_max =
      object.seconds("poll_interval_max", out.poll_interval_max, seconds(1), hours(24 * 7));
  out.poll_max = static_cast<unsigned>(object.number("poll_max", out.poll_max, 1, 100'000));
  out.retry_interval = object.seconds("retry_interval", out.retry_interval, seconds(1), hours(24));
  out.retry_interval_max =
      object.seconds("retry_interval_max", out.retry_interval_max, seconds(1), hours(24));
  out.crl_refresh_max =
      object.seconds("crl_refresh_max", out.crl_refresh_max, seconds(10), hours(24 * 30));
  for (const auto& [low, high, key] :
       {std::tuple{out.poll_interval, out.poll_interval_max, "poll_interval_max"},
        std::tuple{out.retry_interval, out.retry_interval_max, "retry_interval_max"}}) {
    if (high < low && object.has(key)) {
      object.reject(key, "no less than the interval it limits", "raise it");
    }
  }
  out.poll_interval_max = std::max(out.poll_interval, out.poll_interval_max);
  out.retry_interval_max = std::max(out.retry_interval, out.retry_interval_max);
}

pki::TrustpointOptions read_trustpoint(ReadContext& context, const std::string& name,
                                       const Json& value, const std::string& pointer,
                                       const Names& names, const std::string& hostname) {
  Object object(context, value, pointer, sections::trustpoint);
  pki::TrustpointOptions out;
  out.name = name;
  const std::string label = read_reference(
      object, "key", "key pair",
      names_of(names.keys, [](const auto& key) -> std::string_view { return key.label; }), true);
  for (const auto& key : names.keys) {
    if (key.label == label) out.key = key;
  }
  if (out.key.imported) {
    object.reject("key", "a key pair with \"source\": \"generate\"",
                  "a trustpoint's key pair is made here and leaves this machine never");
  }
  out.enrollment_url = read_url(object, "enrollment_url");
  out.subject_name = read_name(object, "subject_name");
  if (object.flag("include_hostname", true)) out.hostname = hostname;
  out.serial_number = object.text("serial_number");
  out.ip_address = object.address("ip_address");
  out.fingerprint_sha256 = read_fingerprint(object, "ca_fingerprint_sha256");
  out.ca_identifier = object.text_or("ca_identifier", "");
  if (auto secret = object.secret("challenge_password")) {
    out.challenge_password = std::move(*secret);
  }
  using pki::RevocationCheck;
  out.revocation_check =
      object.choice<RevocationCheck>("revocation_check", out.revocation_check,
                                     {{"none", RevocationCheck::none},
                                      {"crl", RevocationCheck::crl},
                                      {"crl-then-none", RevocationCheck::crl_then_none}});
  out.peer_eku = read_usages(object, "peer_extended_key_usage", out.peer_eku);
  out.auto_enroll_percent = static_cast<unsigned>(object.number("auto_enroll_percent", 70, 0, 95));
  out.regenerate_key = object.flag("regenerate_key", out.regenerate_key);
  out.allow_weak = context.allow_weak;
  read_intervals(object, out);
  object.finish();
  return out;
}

pki::Days days_of(Object& object, std::string_view key, pki::Days otherwise) {
  const auto out = object.duration(key, otherwise, pki::Days(1), pki::Days(36500));
  const auto days = std::chrono::duration_cast<pki::Days>(out);
  if (days != out) object.reject(key, "whole days", "write it in days, as in \"5000d\"");
  return days;
}

}  // namespace

std::vector<pki::KeyPairOptions> read_key_pairs(Object& file) {
  std::vector<pki::KeyPairOptions> out;
  file.each_named(
      "keys", 1000, [&](const std::string& label, const Json& value, const std::string& pointer) {
        Object object(file.context(), value, pointer, sections::key_pair);
        pki::KeyPairOptions key;
        key.label = label;
        key.type = object.choice("type", key.type, key_types());
        key.bits = read_modulus(object, key.type, key.bits);
        key.exportable = object.flag("exportable", key.exportable);
        key.imported =
            object.choice<bool>("source", false, {{"generate", false}, {"import", true}});
        object.finish();
        out.push_back(key);
      });
  return out;
}

std::vector<pki::TrustpointOptions> read_trustpoints(Object& file, const Names& names,
                                                     const std::string& hostname) {
  std::vector<pki::TrustpointOptions> out;
  file.each_named(
      "trustpoints", 100,
      [&](const std::string& name, const Json& value, const std::string& pointer) {
        out.push_back(read_trustpoint(file.context(), name, value, pointer, names, hostname));
      });
  return out;
}

CertificateAuthorityRole read_certificate_authority(ReadContext& context, const Json& value,
                                                    const std::string& state) {
  Object object(context, value, "/certificate_authority", sections::certificate_authority);
  CertificateAuthorityRole out{Endpoint{IpAddress(), 80}, {}};
  pki::CaOptions& ca = out.options;
  ca.name = object.text_or("name", ca.name);
  if (object.has("name")) (void)check_name(context, ca.name, object.pointer_to("name"));
  out.listen = object.endpoint("listen", 80).value_or(out.listen);
  ca.issuer_name = read_name(object, "issuer_name");
  ca.database = state + "/ca.sqlite";
  ca.grant = object.choice<pki::Grant>(
      "grant", ca.grant, {{"auto", pki::Grant::automatic}, {"manual", pki::Grant::manual}});
  bool named = false;
  object.each_item("challenge_passwords", 1000, [&](const Json& item, const std::string& pointer) {
    named = true;
    if (auto secret = read_secret(context, item, pointer)) {
      ca.challenge_passwords.push_back(std::move(*secret));
    }
  });
  if (object.has("challenge_passwords") && !named) {
    object.reject("challenge_passwords", "one password at least",
                  "remove the key if requests need none");
  }
  using pki::DuplicateSubject;
  ca.duplicate_subject = object.choice<DuplicateSubject>("duplicate_subject", ca.duplicate_subject,
                                                         {{"grant", DuplicateSubject::grant},
                                                          {"pend", DuplicateSubject::pend},
                                                          {"refuse", DuplicateSubject::refuse}});
  ca.key_type = object.choice("key_type", ca.key_type, key_types());
  ca.key_bits = read_modulus(object, ca.key_type, ca.key_bits);
  ca.hash = object.choice<crypto::Hash>("hash", ca.hash,
                                        {{"sha256", crypto::Hash::sha256},
                                         {"sha384", crypto::Hash::sha384},
                                         {"sha512", crypto::Hash::sha512}});
  ca.ca_lifetime = days_of(object, "lifetime_ca_certificate", ca.ca_lifetime);
  ca.certificate_lifetime = object.seconds("lifetime_certificate", ca.certificate_lifetime,
                                           seconds(20), pki::Days(36500));
  ca.crl_lifetime = object.seconds("lifetime_crl", ca.crl_lifetime, seconds(60), hours(24 * 365));
  ca.eku = read_usages(object, "extended_key_usage", ca.eku);
  ca.crl_url = read_url(object, "crl_url");
  if (auto secret = object.secret("archive_password")) {
    ca.archive = "ca/archive.p12";
    ca.archive_password = std::move(*secret);
  }
  ca.allow_weak = context.allow_weak;
  ca.pending_max = object.number("pending_max", ca.pending_max, 1, 100'000);
  ca.certificates_max = object.number("certificates_max", ca.certificates_max, 1, 10'000'000);
  ca.requests_per_second = static_cast<unsigned>(
      object.number("requests_per_second", ca.requests_per_second, 1, 100'000));
  ca.requests_per_second_per_source = static_cast<unsigned>(object.number(
      "requests_per_second_per_source", ca.requests_per_second_per_source, 1, 100'000));
  object.finish();
  return out;
}

}  // namespace cohort::config
