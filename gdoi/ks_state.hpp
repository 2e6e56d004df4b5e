#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "controlplane/world/provenance.hpp"
#include "gdoi/keys.hpp"
#include "gdoi/membership.hpp"
#include "gdoi/options.hpp"

/// What a key server knows of one group, and how it survives a restart.
namespace cohort::gdoi {

struct KsCounters {
  std::uint64_t registrations = 0, refused = 0;
  std::uint64_t rekeys = 0, kek_rekeys = 0, pushes_sent = 0, retransmissions = 0;
  std::uint64_t acks_received = 0, evictions = 0;
};

struct KsGroupState {
  KeyServerOptions options;
  GroupKeys keys;
  Membership members;
  std::set<std::string> removed;     ///< identities that an operator removed; bounded
  std::vector<AclEntry> exclusions;  ///< last distributed, to know what a change deletes
  /// Every key was deleted, but perhaps not every member has heard of it: the KEK of before, for
  /// the Delete and nothing else. Until then the stored members are still those of before.
  std::shared_ptr<RekeySa> reset_under;
  /// The group's time (README.md, "Anti-replay by time") is the monotonic clock's plus this; with
  /// an authority, its pseudotime.
  std::int64_t group_time_offset_ms = 0;
  /// When the group's time last went out in a rekey, and its offset then.
  std::optional<TimePoint> time_told;
  std::int64_t told_offset_ms = 0;
  KsCounters counters;  ///< since the start; not stored

  [[nodiscard]] const GroupPolicy& policy() const { return options.policy; }
  [[nodiscard]] std::uint64_t group_time_ms(TimePoint now) const;
};

/// What a group's time begins with: so far from 0 that nothing is before it.
inline constexpr std::int64_t group_time_start_ms = std::int64_t{1} << 32;
inline constexpr std::size_t removed_identities_max = 1024;

/// Stored under "gdoi/GROUP/keys" and "gdoi/GROUP/members.N": the members are divided so that a
/// registration writes little. Each blob: magic, version, when it was written, content, SHA-256.
class KsStore {
 public:
  KsStore(World& world, const std::string& group);

  /// Keys, SEQ, reserved sender ids, removed identities. Durable when it returns.
  Status save_keys(TimePoint now, const KsGroupState& state);
  /// Whether the last save_keys() succeeded. Every change of the keys ends with one; until it has,
  /// a restart would know nothing of them, so nobody may be given any.
  [[nodiscard]] bool durable() const { return retry_at_ == never; }
  /// When to call save_keys() again, `never` while it is durable.
  [[nodiscard]] TimePoint retry_at() const { return retry_at_; }
  /// The blob that holds this member (also when it has just gone).
  Status save_member(TimePoint now, const KsGroupState& state, MemberId id);
  Status save_all_members(TimePoint now, const KsGroupState& state);
  /// Fills `state` from the store, if there is anything. What has expired meanwhile
  /// comes back expired. corrupt_state if a blob is damaged: nothing is half-loaded into use.
  struct Loaded {
    bool found = false;
    /// The wall clock shows less than it did when this was written, so nobody knows how old the
    /// keys are: at least as old as the monotonic clock says.
    bool clock_set_back = false;
    WallTime written{};
    Provenance provenance = Provenance::unknown;  ///< of the keys
  };
  Result<Loaded> load(TimePoint now, KsGroupState& state);
  Status erase();

 private:
  Status save_shard(TimePoint now, const KsGroupState& state, std::uint32_t shard);
  World& world_;
  std::string prefix_;
  TimePoint retry_at_ = never;
};

}  // namespace cohort::gdoi
