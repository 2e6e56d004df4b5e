#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

/// Answers as the text that operators of such systems know. Pure functions of the answer; a field
/// that is missing prints as empty, never as an exception.
namespace cohort::daemon {

using Json = nlohmann::json;

[[nodiscard]] std::string render_gkm_group(const Json& groups);
[[nodiscard]] std::string render_ks_members(const Json& groups);
[[nodiscard]] std::string render_ks_policy(const Json& groups);
[[nodiscard]] std::string render_ks_rekey(const Json& groups);
[[nodiscard]] std::string render_ks_coop(const Json& groups);
[[nodiscard]] std::string render_ks_coop_version(const Json& groups);
[[nodiscard]] std::string render_isakmp_sa(const Json& sas);
[[nodiscard]] std::string render_pki_server(const Json& server);
[[nodiscard]] std::string render_certificates(const Json& certificates, bool verbose);
[[nodiscard]] std::string render_trustpoints(const Json& trustpoints);
[[nodiscard]] std::string render_requests(const Json& requests);
[[nodiscard]] std::string render_issued(const Json& certificates);
[[nodiscard]] std::string render_keys(const Json& keys);
[[nodiscard]] std::string render_access_lists(const Json& lists);
[[nodiscard]] std::string render_dataplane_counters(const Json& pairs);
[[nodiscard]] std::string render_version(const Json& version);
[[nodiscard]] std::string render_refusals(const Json& refusals);
[[nodiscard]] std::string render_debug(const Json& categories);
[[nodiscard]] std::string render_doctor(const Json& sentences);

// Parts, for the tests and the interactive commands.
/// Text without control characters.
[[nodiscard]] std::string clean(std::string_view text);
/// A member as text: strings as they are, null and missing as `otherwise`.
[[nodiscard]] std::string text_of(const Json& object, std::string_view key,
                                  std::string_view otherwise = "");
/// A member's text with its line ends, for files; empty when it is none.
[[nodiscard]] std::string raw_text_of(const Json& object, std::string_view key);
[[nodiscard]] bool flag_of(const Json& object, std::string_view key);
[[nodiscard]] std::uint64_t number_of(const Json& object, std::string_view key);
/// The member as a list; empty when it is none.
[[nodiscard]] const Json& list_of(const Json& object, std::string_view key);
[[nodiscard]] const Json& object_of(const Json& object, std::string_view key);
/// "CD60821B 034ACFCF …".
[[nodiscard]] std::string fingerprint_text(std::string_view hex);
/// "11:58:27 UTC Sep 9 2025" of "2025-09-09T11:58:27Z".
[[nodiscard]] std::string date_text(std::string_view iso);
/// "10.0.0.1" and "848" of "10.0.0.1:848"; brackets go.
[[nodiscard]] std::string address_of(std::string_view endpoint);
[[nodiscard]] std::string port_of(std::string_view endpoint);
/// "0x535F673B(1398761275)".
[[nodiscard]] std::string spi_text(std::uint64_t spi);

}  // namespace cohort::daemon
