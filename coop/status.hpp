#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"
#include "coop/messages.hpp"
#include "coop/options.hpp"
#include "coop/policy_digest.hpp"

/// What an operator sees: `show crypto gkm ks coop` and `… ks coop version`.
namespace cohort::coop {

enum class Reach : std::uint8_t { unknown, alive, dead };
[[nodiscard]] std::string_view name_of(Reach reach);  ///< "Unknown", "Alive", "Dead"

struct PeerCounters {
  std::uint64_t announces_sent = 0, announces_sent_with_request = 0;
  std::uint64_t announces_received = 0, announces_received_with_request = 0;
  std::uint64_t data_sent = 0, data_received = 0, retransmissions = 0;
  std::uint64_t send_drops = 0, receive_drops = 0;
  std::uint64_t octets_sent = 0, octets_received = 0;
};

struct PeerStatus {
  unsigned handle = 0;
  Endpoint address;
  std::uint8_t version_major = 0, version_minor = 0;  ///< 0.0 while unknown
  std::uint16_t priority = 0;
  Role role = Role::listening;
  bool role_known = false;
  Reach reach = Reach::unknown;
  std::uint32_t sequence_sent = 0, sequence_received = 0;
  bool ike_established = false;
  std::optional<std::chrono::milliseconds> heard_ago;
  bool synchronized = false;  ///< it holds all that we have
  std::uint64_t lag = 0;      ///< changes of ours that it has not acknowledged
  bool drifted = false;
  std::vector<Difference> differences;
  std::int64_t pseudotime_difference_ms = 0;
  std::vector<ClientVersion> clients;
  PeerCounters counters;
};

struct GroupStatus {
  std::string group_name;
  unsigned group_handle = 0;
  gdoi::GroupId group;
  Endpoint local;
  std::uint16_t priority = 0;
  Role role = Role::listening;
  bool drifted = false;
  bool leaderless = false;  ///< nobody may lead without the operator's word
  std::optional<IpAddress> primary;
  std::vector<ClientVersion> clients;
  std::uint64_t pseudotime_ms = 0;
  bool pseudotime_estimate = false;

  std::uint32_t epoch_number = 0;
  EpochId epoch_id{};
  std::string epoch_cause;
  /// Of the newest key of the Rekey SA, and the highest of a traffic key.
  std::uint64_t kek_generation = 0, tek_generation = 0;
  KeySource key_source = KeySource::derived;

  // "Primary Timers"
  std::chrono::milliseconds refresh_policy{0}, refresh_remaining{0};
  // "Secondary Timers"
  std::chrono::milliseconds periodic{0}, periodic_remaining{0}, dead{0};
  unsigned retries = 0;
  std::uint64_t invalid_pseudotimes = 0;
  bool members_blocked = false;  ///< registrations are refused for now

  std::uint64_t elections = 0;
  std::uint32_t sequence = 0;  ///< highest of all sessions
  std::uint64_t members = 0;
  std::uint32_t sid_epoch = 0;
  std::uint32_t sids_leased = 0, sids_left = 0;
  std::vector<PeerStatus> peers;
};

}  // namespace cohort::coop
