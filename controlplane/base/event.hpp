#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/base/result.hpp"

namespace cohort {

/// Syslog severities (RFC 5424 section 6.2.1).
enum class Severity : std::uint8_t {
  emergency,
  alert,
  critical,
  error,
  warning,
  notice,
  informational,
  debug
};

/// A kind of event, defined once as a constexpr object by the module that reports it (events.hpp
/// of its folder). Log lines ("%GDOI-5-GM_REGS_COMPL: …"), JSON and metrics are made from it.
struct EventKind {
  std::string_view facility;  ///< "GDOI", "CRYPTO", "PKI", "IKE", …
  Severity severity;
  std::string_view mnemonic;  ///< "GM_REGS_COMPL"; stable
  /// What happened. "{name}" stands for the field of that name; the others are appended as
  /// key=value.
  std::string_view sentence;
};

/// Something that happened, for the operator. Holds no secret.
struct Event {
  const EventKind* kind;
  std::vector<std::pair<std::string_view, std::string>> fields;  ///< in the order to print

  /// "%GDOI-5-GM_REGS_COMPL: sentence (key=value, …)".
  [[nodiscard]] std::string text() const;
  /// The sentence alone, with its fields filled in.
  [[nodiscard]] std::string sentence() const;
};

/// A refused input: what counted, from whom. Reported through World.events as well, with the
/// reason's name as the counter's label.
struct Refusal {
  Error error;
  std::string where;  ///< entry: "isakmp", "gdoi_pull", "scep", …
  std::string peer;   ///< address or name, may be empty
};

}  // namespace cohort
