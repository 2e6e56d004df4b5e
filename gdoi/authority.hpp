#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/secret.hpp"
#include "gdoi/membership.hpp"
#include "gdoi/options.hpp"

/// Who decides what a group's keys are. A lone key server decides itself and has no authority; one
/// of several asks this, so that all of them come to the same keys. GDOI knows nothing more of how.
namespace cohort::gdoi {

/// A part of the traffic policy with a TEK of its own.
struct KeyLine {
  std::uint32_t sa_number = 0;
  dataplane::Suite suite{};
  std::chrono::seconds lifetime{0};
  Duration lead{};  ///< how long before its end a key's successor is distributed
  std::vector<AclEntry> entries;
  /// Other sequence numbers need another key: it decides of what they are at every key server.
  dataplane::ReplayKind replay{};
};

struct PlannedTek {
  std::size_t line = 0;  ///< index into the lines of set_policy
  std::uint32_t spi = 0;
  Secret material;  ///< cipher key, integrity key, salt, in the sizes of the suite
  TimePoint made, expires;
  bool current = false;       ///< the newest of its line
  bool receive_only = false;  ///< somebody else's members send with it, ours must not
};

struct PlannedKek {
  KekSpi spi{};
  Secret material;  ///< IV, then key
  TimePoint made, expires;
};

struct KeyPlan {
  /// Differs from the last plan's if somebody was excluded: nothing of this plan may be sent under
  /// a KEK of that one.
  std::uint64_t era = 0;
  std::vector<PlannedKek> keks;  ///< newest first; those not yet ended
  std::vector<PlannedTek> teks;  ///< oldest first; those not yet ended
};

/// What an authority tells a group's key server: from within its own handling of messages and
/// timers, and from within serve(), set_policy(), exclude() and refresh().
class KeyAuthorityClient {
 public:
  virtual ~KeyAuthorityClient() = default;
  /// The plan, the right to distribute, or the sender ids have changed.
  virtual void on_plan_changed(TimePoint now) = 0;
  /// A key server has registered this member, or may have heard it while we could not. `id` and
  /// `local` are not set.
  virtual void on_member(TimePoint now, const Member& member) = 0;
  virtual void on_member_gone(TimePoint now, const std::string& identity, const IpAddress& at) = 0;
  virtual void on_identity_removed(TimePoint now, const std::string& identity) = 0;
  virtual void on_identity_admitted(TimePoint now, const std::string& identity) = 0;
};

class KeyAuthority {
 public:
  virtual ~KeyAuthority() = default;
  /// Tells `client` at once of all members and removed identities, then of changes.
  virtual void serve(TimePoint now, KeyAuthorityClient* client) = 0;
  /// `signing_key`: the SubjectPublicKeyInfo that members are told to check rekeys with.
  virtual Status set_policy(TimePoint now, const GroupPolicy& policy, std::vector<KeyLine> lines,
                            Duration kek_lead, ByteView signing_key) = 0;

  /// Whether members can be registered now.
  [[nodiscard]] virtual Status may_register() const = 0;
  /// Whether rekeys are ours to send.
  [[nodiscard]] virtual bool distributes() const = 0;
  /// Empty while there are no keys.
  [[nodiscard]] virtual std::optional<KeyPlan> plan(TimePoint now) const = 0;
  [[nodiscard]] virtual TimePoint next_change(TimePoint now) const = 0;
  /// When this KEK ends, also one that the plan has no more; empty if it has ended.
  [[nodiscard]] virtual std::optional<TimePoint> kek_end(TimePoint now,
                                                         const KekSpi& kek) const = 0;

  /// The group's time, in ms: the same at all key servers.
  [[nodiscard]] virtual std::uint64_t group_time_ms(TimePoint now) const = 0;

  /// The SEQs for the next `count` GROUPKEY-PUSH messages under a KEK, above all used by anybody;
  /// or why there are none at this moment: they are then being reserved.
  virtual Result<std::vector<std::uint32_t>> next_seqs(TimePoint now, const KekSpi& kek,
                                                       TimePoint kek_made, std::uint32_t last_used,
                                                       std::size_t count) = 0;
  /// A SEQ that somebody has used under the KEK, or 0: newcomers need accept nothing up to it.
  [[nodiscard]] virtual std::uint32_t seq_floor(const KekSpi& kek) const = 0;
  /// `count` sender ids that nobody has, durably spent, or why there are none now: what brings more
  /// is then under way.
  virtual Result<std::vector<std::uint32_t>> take_sender_ids(TimePoint now, std::size_t count) = 0;
  struct SenderIdCount {
    std::uint64_t used = 0, left = 0;
  };
  [[nodiscard]] virtual SenderIdCount sender_id_count() const = 0;

  /// Begins keys that nobody has who had the old ones; sender ids start over.
  virtual Status exclude(TimePoint now, std::string_view why) = 0;
  /// New keys for those who have the old ones.
  virtual Status refresh(TimePoint now) = 0;

  virtual void member_registered(TimePoint now, const Member& member) = 0;
  /// `silent`: it has answered no rekey, which proves nothing if it can talk to another server
  /// only.
  virtual void member_gone(TimePoint now, const Member& member, bool silent) = 0;
  /// Begins, as exclude() does, keys that it does not get; at any key server.
  virtual Status identity_removed(TimePoint now, const std::string& identity) = 0;
  virtual void identity_admitted(TimePoint now, const std::string& identity) = 0;
};

}  // namespace cohort::gdoi
