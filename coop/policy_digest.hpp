#pragma once

#include <string>
#include <vector>

#include "coop/key_schedule.hpp"
#include "coop/messages.hpp"
#include "gdoi/policy.hpp"

/// The policy in a form that two servers can compare: docs/coop-protocol.md section 9.
namespace cohort::coop {

struct PolicyEntry {
  std::string name;  ///< unique: "sa 10 acl 2"
  std::string value;
  bool operator==(const PolicyEntry&) const = default;
};

[[nodiscard]] std::vector<PolicyEntry> canonical(const gdoi::GroupPolicy& policy);
/// "name = value", a newline behind each: what is hashed and sent.
[[nodiscard]] std::string policy_text(const std::vector<PolicyEntry>& entries);
/// The inverse, of what a peer sent: bounded, and lines without " = " are left out.
[[nodiscard]] std::vector<PolicyEntry> parse_policy_text(ByteView text);
[[nodiscard]] PolicyHash hash_of(const std::vector<PolicyEntry>& entries);
[[nodiscard]] PolicyHash hash_of(std::vector<IpAddress> servers);

struct Difference {
  std::string name;
  std::string here;   ///< empty: not there
  std::string there;  ///< empty: not there
  bool operator==(const Difference&) const = default;
};
/// By name, in the order of `here`, then what only the other one has.
[[nodiscard]] std::vector<Difference> differences(const std::vector<PolicyEntry>& here,
                                                  const std::vector<PolicyEntry>& there);

inline constexpr std::string_view kek_line = "kek";
/// Name of the entry that holds the digest of the key that rekeys are signed with.
inline constexpr std::string_view signing_key_entry = "rekey signing-key";
/// The line of one SA's entries: with a TEK per entry, each has one of its own.
[[nodiscard]] std::string tek_line(const gdoi::SaPolicy& sa,
                                   const std::vector<gdoi::AclEntry>& entries);

}  // namespace cohort::coop
