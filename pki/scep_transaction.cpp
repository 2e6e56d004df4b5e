#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

#include "pki/distinguished_name.hpp"
#include "pki/openssl.hpp"
#include "pki/scep_client.hpp"

/// The values of a SCEP client: its table, capabilities, and what it stores of a transaction.
namespace cohort::pki {

namespace {

using enum EnrolState;

/// GetCACaps -> GetCACert -> (decision) -> (key pair) -> PKCSReq/RenewalReq -> (pending, CertPoll)*
/// -> enrolled, and from there GetCRL and renewals.
constexpr std::array transitions{
    EnrolTransition{idle, EnrolEvent::ask_capabilities, capabilities},
    EnrolTransition{idle, EnrolEvent::nothing_wanted, enrolled},
    EnrolTransition{refused, EnrolEvent::ask_capabilities, capabilities},
    // GetCACaps was answered
    EnrolTransition{capabilities, EnrolEvent::ca_wanted, ca_request},
    EnrolTransition{capabilities, EnrolEvent::key_wanted, key},
    EnrolTransition{capabilities, EnrolEvent::request_wanted, request},
    EnrolTransition{capabilities, EnrolEvent::poll_wanted, poll},
    EnrolTransition{capabilities, EnrolEvent::crl_wanted, crl},
    EnrolTransition{capabilities, EnrolEvent::nothing_wanted, enrolled},
    EnrolTransition{capabilities, EnrolEvent::failed, retry},
    // GetCACert was answered
    EnrolTransition{ca_request, EnrolEvent::key_wanted, key},
    EnrolTransition{ca_request, EnrolEvent::request_wanted, request},
    EnrolTransition{ca_request, EnrolEvent::decision_wanted, decision},
    EnrolTransition{ca_request, EnrolEvent::ca_is_another, refused},
    EnrolTransition{ca_request, EnrolEvent::failed, retry},
    EnrolTransition{decision, EnrolEvent::key_wanted, key},
    EnrolTransition{decision, EnrolEvent::request_wanted, request},
    EnrolTransition{decision, EnrolEvent::declined, refused},
    // The key pair is there
    EnrolTransition{key, EnrolEvent::request_wanted, request},
    EnrolTransition{key, EnrolEvent::failed, retry},
    // PKCSReq, RenewalReq or CertPoll was answered
    EnrolTransition{request, EnrolEvent::told_to_wait, pending},
    EnrolTransition{request, EnrolEvent::crl_wanted, crl},
    EnrolTransition{request, EnrolEvent::nothing_wanted, enrolled},
    EnrolTransition{request, EnrolEvent::failed, retry},
    EnrolTransition{pending, EnrolEvent::poll_wanted, poll},
    EnrolTransition{pending, EnrolEvent::failed, retry},
    EnrolTransition{poll, EnrolEvent::told_to_wait, pending},
    EnrolTransition{poll, EnrolEvent::crl_wanted, crl},
    EnrolTransition{poll, EnrolEvent::nothing_wanted, enrolled},
    EnrolTransition{poll, EnrolEvent::failed, retry},
    // At rest
    EnrolTransition{enrolled, EnrolEvent::ask_capabilities, capabilities},
    EnrolTransition{crl, EnrolEvent::nothing_wanted, enrolled},
    EnrolTransition{retry, EnrolEvent::ask_capabilities, capabilities},
};

void put(Writer& writer, ByteView field) {
  writer.u32(static_cast<std::uint32_t>(field.size())).bytes(field);
}

std::string text(ByteView octets) {
  return {octets.begin(), octets.end()};
}

}  // namespace

std::span<const EnrolTransition> enrol_transitions() {
  return transitions;
}

std::string_view name_of(EnrolState state) {
  static constexpr std::array<std::string_view, 12> names{
      "idle",    "capabilities", "ca_request", "decision", "refused", "key",
      "request", "pending",      "poll",       "enrolled", "crl",     "retry"};
  return names[static_cast<std::size_t>(state)];
}

std::string_view name_of(EnrolEvent event) {
  static constexpr std::array<std::string_view, 12> names{
      "ask_capabilities", "ca_wanted",  "key_wanted",     "request_wanted",
      "poll_wanted",      "crl_wanted", "nothing_wanted", "decision_wanted",
      "ca_is_another",    "declined",   "told_to_wait",   "failed"};
  return names[static_cast<std::size_t>(event)];
}

ScepCapabilities ScepCapabilities::parse(ByteView text_octets) {
  ScepCapabilities out;
  std::string line;
  const auto take_line = [&] {
    if (line == "aes") out.aes = true;
    if (line == "des3") out.triple_des = true;
    if (line == "sha-256") out.sha_256 = true;
    if (line == "sha-512") out.sha_512 = true;
    if (line == "postpkioperation") out.post = true;
    if (line == "renewal") out.renewal = true;
    // RFC 8894 section 3.5.2: AES, SHA-256 and POST together.
    if (line == "scepstandard") out.aes = out.sha_256 = out.post = true;
    line.clear();
  };
  for (const std::uint8_t c : text_octets.first(std::min<std::size_t>(text_octets.size(), 4096))) {
    if (c == '\n' || c == '\r')
      take_line();
    else if (c != ' ')
      line.push_back(static_cast<char>(std::tolower(c)));
  }
  take_line();
  return out;
}

Bytes ScepTransaction::encode() const {
  Writer writer;
  writer.u8(1).u8(renewal ? 1 : 0).u8(pending ? 1 : 0);
  put(writer, as_bytes(id));
  put(writer, as_bytes(key_label));
  put(writer, csr);
  put(writer, signer);
  put(writer, as_bytes(signer_key_label));
  return writer.take();
}

Result<ScepTransaction> ScepTransaction::parse(ByteView octets) {
  Reader reader(octets);
  ScepTransaction out;
  const std::uint8_t version = reader.u8();
  out.renewal = reader.u8() != 0;
  out.pending = reader.u8() != 0;
  out.id = text(reader.take(reader.u32()));
  out.key_label = text(reader.take(reader.u32()));
  out.csr = to_bytes(reader.take(reader.u32()));
  out.signer = to_bytes(reader.take(reader.u32()));
  out.signer_key_label = text(reader.take(reader.u32()));
  if (!reader.ok() || !reader.empty() || version != 1) return fail(trustpoint_damaged);
  return out;
}

Result<RequestContents> request_contents(const TrustpointOptions& options) {
  std::vector<NameAttribute> name;
  if (!options.hostname.empty()) name.push_back({"unstructuredName", options.hostname});
  if (options.serial_number) name.push_back({"serialNumber", *options.serial_number});
  if (options.ip_address) name.push_back({"unstructuredAddress", options.ip_address->text()});
  COHORT_TRY(auto configured, parse_name(options.subject_name));
  for (auto& attribute : configured) name.push_back(std::move(attribute));
  if (name.empty())
    return fail(bad_name,
                fmt::format("trustpoint {} has neither subject_name nor hostname", options.name));
  RequestContents out;
  COHORT_TRY(out.subject_der, name_to_der(name));
  if (!options.hostname.empty()) out.san_dns.push_back(options.hostname);
  if (options.ip_address) out.san_addresses.push_back(*options.ip_address);
  out.challenge_password = options.challenge_password.clone();
  return out;
}

}  // namespace cohort::pki
