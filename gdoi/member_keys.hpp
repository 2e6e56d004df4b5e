#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/crypto/key.hpp"
#include "gdoi/group_clock.hpp"
#include "gdoi/member_policy.hpp"

namespace cohort::gdoi {

/// A TEK at a member.
struct MemberTek {
  Tek tek;
  std::chrono::seconds lifetime{0};
  bool may_send = true, may_receive = true;
  std::optional<std::uint16_t> replay_window;  ///< as the key server said
  std::optional<std::uint16_t> time_window;    ///< in ms, if it goes by time
  /// Not in the latest registration, or deleted: others may still send with it, we don't.
  bool receive_only_now = false;
  /// With `receive_only_now`: the sender ids that we had for it. Those of a later registration may
  /// be another member's under this key.
  std::optional<GrantedSenderIds> own_sender_ids;
  std::optional<TimePoint> delete_at;

  /// By a Delete that is in force: what is left is to receive what others still send with it.
  [[nodiscard]] bool deleted() const { return receive_only_now && delete_at.has_value(); }
};

/// A line of the downloaded policy with its TEKs, older first.
struct MemberEntry {
  AclEntry acl;
  std::uint32_t exclusion_id = 0;
  std::vector<std::uint32_t> spis;
  std::optional<std::uint16_t> replay_window;  ///< last said: for a TEK that comes without
};

/// Whether each packet that matches `inner` matches `outer` as well.
[[nodiscard]] bool contains(const dataplane::Selector& outer, const dataplane::Selector& inner);

/// A Rekey SA at a member.
struct MemberKek {
  Kek kek;
  crypto::PublicKey key;
  OfferedKek offer;
  std::uint32_t seq = 0;         ///< last accepted, or told by the PULL
  std::optional<PushForm> form;  ///< in which its signatures verify
  Bytes last_accepted;           ///< the datagram, to acknowledge a copy of it again
  TimePoint last_acknowledged{};

  [[nodiscard]] bool is_weak() const;  ///< allow_weak alone admits it
};

/// What a group's policy and keys are at one member, and what the dataplane should do about it.
/// Knows no messages; every change is followed by a snapshot().
class MemberKeys {
 public:
  explicit MemberKeys(const GroupMemberOptions& options) : options_(options) {}

  /// A registration replaces the policy. TEKs that it does not name stay for reception.
  Status install(TimePoint now, const OfferedPolicy& policy, const KdPayload& kd,
                 std::optional<std::uint32_t> seq);
  /// A rekey adds to the policy and deletes from it. `under`: the KEK that it came under.
  struct Change {
    bool new_kek = false;
    bool kek_deleted = false;
    bool all_teks_deleted = false;
    bool lacks_sender_id = false;  ///< to be had by a registration
    unsigned new_teks = 0, deleted_teks = 0;
  };
  Result<Change> update(TimePoint now, const std::optional<OfferedPolicy>& policy,
                        const PushContent& content, const KekSpi& under);
  /// Forgets what has ended; true if something did.
  bool expire(TimePoint now);
  void wipe();

  /// A registration that brings a policy has said the group's time, between `asked` and `answered`.
  void told_time(TimePoint asked, TimePoint answered, std::uint64_t ms) {
    clock_.registration_said(asked, answered, ms);
  }
  [[nodiscard]] const GroupClock& clock() const { return clock_; }

  [[nodiscard]] dataplane::Snapshot snapshot(TimePoint now) const;
  /// The next moment at which snapshot() changes by itself.
  [[nodiscard]] TimePoint next_change(TimePoint now) const;
  /// When the first entry has no key any more, or the KEK ends; `never` without keys.
  [[nodiscard]] TimePoint end() const;
  /// The shortest configured life among the keys that end() looks at.
  [[nodiscard]] std::chrono::seconds shortest_life() const;

  [[nodiscard]] MemberKek* kek_of(const ike::Header& header);
  [[nodiscard]] const std::optional<MemberKek>& kek() const { return kek_; }
  [[nodiscard]] const std::vector<MemberEntry>& entries() const { return entries_; }
  [[nodiscard]] const std::map<std::uint32_t, MemberTek>& teks() const { return teks_; }
  [[nodiscard]] const GrantedSenderIds& sender_ids() const { return sender_ids_; }
  [[nodiscard]] bool usable(TimePoint now) const;  ///< some entry has a key that works
  /// The SPI that an entry sends with now, 0 for none.
  [[nodiscard]] std::uint32_t send_spi(const MemberEntry& entry, TimePoint now) const;

 private:
  [[nodiscard]] bool receive_only(const MemberEntry& entry, TimePoint now) const;
  [[nodiscard]] bool sendable(const MemberTek& tek, TimePoint now) const;
  [[nodiscard]] std::uint32_t active_spi(const MemberEntry& entry, TimePoint now) const;
  [[nodiscard]] std::vector<std::uint32_t> receive_spis(const MemberEntry& entry) const;
  MemberEntry& entry_for(std::vector<MemberEntry>& entries, const AclEntry& acl);
  Status add_teks(TimePoint now, const OfferedPolicy& policy, const KdPayload& kd,
                  std::map<std::uint32_t, MemberTek>& added) const;
  [[nodiscard]] Result<std::optional<MemberKek>> read_rekey_sa(TimePoint now,
                                                               const OfferedPolicy& policy,
                                                               const KdPayload& kd,
                                                               const MemberKek* signer) const;
  void refresh_rekey_sa(TimePoint now, const OfferedKek& offer, std::uint32_t seq);
  void replace_rekey_sa(MemberKek fresh, std::uint32_t seq);
  void remember_seq(std::optional<MemberKek>& gone);
  [[nodiscard]] bool deletes_kek(const PushContent& content) const;
  [[nodiscard]] const MemberKek* rekey_sa(const KekSpi& spi) const;
  void keep_unnamed(std::vector<MemberEntry>& entries, std::map<std::uint32_t, MemberTek>& fresh,
                    bool same_kek);
  void keep_line(MemberEntry line, std::vector<MemberEntry>& entries,
                 std::map<std::uint32_t, MemberTek>& fresh);
  void reorder(const OfferedPolicy& policy);
  void delete_teks(TimePoint when, TimePoint now, const DeletePayload& del, Change& change);
  void keep_for_reception(TimePoint now, const std::vector<std::uint32_t>& spis);
  void delete_exclusions(const DeletePayload& del);
  void retire(const MemberTek& tek);
  void drop(std::uint32_t spi);
  [[nodiscard]] bool may_count_anew(std::uint32_t spi) const;
  [[nodiscard]] bool holds_sender_id() const { return !sender_ids_.ids.empty(); }

  const GroupMemberOptions& options_;
  std::vector<MemberEntry> entries_;
  std::map<std::uint32_t, MemberTek> teks_;
  std::optional<MemberKek> kek_, previous_kek_;
  GrantedSenderIds sender_ids_;
  /// Counter-mode TEKs that we have had with these sender ids and dropped. If one came back (from a
  /// key server that has not heard of its deletion, or in a rekey that was under way for long), our
  /// sender ids would count from 0 under it once more: it is not taken before we have others.
  /// Bounded; when full, no TEK is taken.
  std::set<std::uint32_t> retired_;
  /// SEQ under Rekey SAs that we no longer have, older first; bounded. If one came back, from a key
  /// server that has not heard of its deletion, rekeys of before could be played to us again.
  std::deque<std::pair<KekSpi, std::uint32_t>> past_seqs_;
  std::chrono::seconds activation_delay_{0};
  GroupClock clock_;
};

}  // namespace cohort::gdoi
