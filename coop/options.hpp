#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/crypto/key.hpp"
#include "gdoi/policy.hpp"

namespace cohort::coop {

/// docs/coop-protocol.md section 4. From 100 ms up; see check().
struct Timers {
  std::chrono::milliseconds announce{20'000};
  std::chrono::milliseconds silent{30'000};  ///< then a secondary asks its primary
  std::chrono::milliseconds dead{60'000};    ///< then a peer is unreachable
};

enum class KeySource : std::uint8_t { derived, random };
enum class EvictInPartition : std::uint8_t { now, at_merge };

inline constexpr std::size_t servers_max = 8;

/// One group's part in COOP.
struct Options {
  std::string group_name;
  gdoi::GroupId group;
  Endpoint local;  ///< our address as the peers know it, not unspecified; port 848
  std::uint16_t priority = 1;
  std::vector<Endpoint> peers;  ///< the other servers, at most 7
  /// Who may be a key server, besides having a peer's address. Empty: with certificates nobody.
  std::vector<gdoi::AuthorizationRule> authorization;
  Timers timers;
  bool preempt = false;            ///< take over from a primary that ranks lower
  bool lead_when_drifted = false;  ///< rank normally though the policy differs from the primary's
  KeySource key_source = KeySource::derived;
  EvictInPartition evict_in_partition = EvictInPartition::now;
  std::chrono::milliseconds pseudotime_tolerance{10'000};
  std::chrono::seconds refresh_after{86'400};  ///< new randomness; 0: never by itself
  /// How old a copy of our disk is trusted at least, when a start finds nothing better to go by,
  /// for which the sender ids that are handed out in such a time are limited. 0: it never is.
  std::chrono::seconds state_trust{0};
  /// Seals what is stored: 32 octets or more. Empty: stored as it is, in files of mode 0600.
  Secret state_key;
};

/// Whether the options make sense; the error says which does not and why.
[[nodiscard]] Status check(const Options& options);

}  // namespace cohort::coop
