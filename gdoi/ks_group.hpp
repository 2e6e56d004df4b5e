#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "controlplane/ike/isakmp.hpp"
#include "gdoi/authority.hpp"
#include "gdoi/key_server.hpp"
#include "gdoi/ks_state.hpp"
#include "gdoi/member_claim.hpp"
#include "gdoi/rekey_sender.hpp"

namespace cohort::gdoi {

/// One group at its key server: its keys and when they are replaced, its policy, its members. Knows
/// no PULL exchange; KeyServer asks it what to offer and whom to admit.
class KsGroup final : private KeyAuthorityClient {
 public:
  KsGroup(World& world, ike::Isakmp& isakmp, KeyServerOptions options);
  ~KsGroup() override;
  KsGroup(const KsGroup&) = delete;
  KsGroup& operator=(const KsGroup&) = delete;

  /// Continues with what is stored, or makes the first keys.
  Status start(TimePoint now);

  // ---- registration ----------------------------------------------------------------------------
  /// Authorization, and whether there is room. Changes nothing.
  [[nodiscard]] Status may_join(const ike::Phase1Info& info) const;
  /// Whether the group's policy can be told to such a member.
  [[nodiscard]] Status may_follow(const MemberClaim& claim) const;
  /// Message 2 for this peer.
  [[nodiscard]] SaPayload offer(TimePoint now, const ike::Phase1Info& info,
                                const MemberClaim& claim) const;
  struct Grant {
    std::uint32_t seq = 0;
    KdPayload kd;
    MemberId member = 0;
  };
  /// After message 3: the member is on the list and its sender ids are spent, durably. `spis`: the
  /// TEKs that it was offered.
  Result<Grant> join(TimePoint now, const ike::Phase1Info& info, const MemberClaim& claim,
                     const GapPayload& request, const std::vector<std::uint32_t>& spis);
  [[nodiscard]] std::uint64_t generation() const { return state_.keys.generation; }

  // ---- changes ---------------------------------------------------------------------------------
  Status rekey(TimePoint now, const std::set<std::uint32_t>& sa_numbers, bool kek,
               std::string_view why);
  Status rekey_all(TimePoint now, bool kek, std::string_view why);
  Status update_policy(TimePoint now, GroupPolicy policy);
  /// Deletes every key at every member, which all register again for new ones (RFC 6407 sections
  /// 3.5 and 5.9). Sender ids start over.
  Status reset(TimePoint now, std::string_view why);
  Status remove_member(TimePoint now, MemberId id);
  Status admit(TimePoint now, std::string_view identity);
  /// The group is being removed for good: its members are told to forget its keys.
  Status close(TimePoint now);
  /// True once they have been told; then nothing of the group is left in the store.
  [[nodiscard]] bool finish_closing();

  // ---- the rest --------------------------------------------------------------------------------
  [[nodiscard]] const KsGroupState& state() const { return state_; }
  [[nodiscard]] KsGroupStatus status(TimePoint now) const;
  [[nodiscard]] RekeySender& sender() { return sender_; }
  [[nodiscard]] const RekeySender& sender() const { return sender_; }
  void count_refusal() { ++state_.counters.refused; }
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

 private:
  [[nodiscard]] Duration tek_lead(std::chrono::seconds lifetime) const;
  [[nodiscard]] Duration kek_lead(std::chrono::seconds lifetime) const;
  [[nodiscard]] TimePoint rekey_due(const GroupTek& tek) const;
  [[nodiscard]] TimePoint kek_due() const;
  [[nodiscard]] bool counter_mode() const;
  [[nodiscard]] GroupTek make_one(TimePoint now, const SaPolicy& sa,
                                  std::vector<AclEntry> entries) const;
  void replace_teks(TimePoint now, const SaPolicy& sa);
  void replace_kek(TimePoint now);
  void new_keys(TimePoint now);
  [[nodiscard]] PushPlan deletion_of_everything() const;
  void end_reset(TimePoint now);
  [[nodiscard]] bool adopt_policy(TimePoint now);
  Status remind(TimePoint now, std::string_view why);
  [[nodiscard]] Result<std::vector<std::uint32_t>> spend_sender_ids(TimePoint now,
                                                                    std::size_t count);
  [[nodiscard]] Result<std::vector<std::uint32_t>> lend_sender_ids(TimePoint now,
                                                                   const std::string& identity,
                                                                   const GapPayload& request);
  Result<const Member*> enlist(TimePoint now, const ike::Phase1Info& info, const MemberClaim& claim,
                               const std::vector<std::uint32_t>& sender_ids);
  Status delete_obsolete(TimePoint now);
  [[nodiscard]] std::vector<AclEntry> policy_exclusions() const;
  [[nodiscard]] std::vector<AclEntry> stale_exclusions() const;
  // Anti-replay, by counters with their limits and by time (ks_replay.cpp).
  [[nodiscard]] bool by_time() const;
  void drop_foreign(TimePoint now);
  [[nodiscard]] TimePoint time_due() const;
  void tell_time(TimePoint now);
  [[nodiscard]] bool shared_windows() const;
  void before_member(TimePoint now);
  void after_member();
  void note_restart(TimePoint now, const Member& member);
  void renew_for_restarted(TimePoint now);
  void forget_older_than_reset();
  Status distrust_ages(TimePoint now);
  [[nodiscard]] bool kek_fits_policy() const;
  void evict_silent(TimePoint now);
  void report_failure(const Status& status) const;

  // ks_disk.cpp
  [[nodiscard]] bool lends_sender_ids() const;
  [[nodiscard]] bool trust_disk(const KsStore::Loaded& loaded);
  void jump_seq(const KsStore::Loaded& loaded);
  Status start_over(TimePoint now);
  void renew_spending(TimePoint now);

  // ks_authority.cpp: keys that an authority decides
  Status instruct(TimePoint now);
  void follow(TimePoint now);
  void forget_era(TimePoint now);
  std::set<std::uint32_t> take_teks(TimePoint now, KeyPlan& plan, bool first);
  bool take_keks(TimePoint now, KeyPlan& plan);
  bool take_newest_kek(KeyPlan& plan);
  void take_over(TimePoint now);
  [[nodiscard]] bool serves_something() const;
  [[nodiscard]] bool serves_everything() const;
  void note_late(TimePoint now, const Member& member);
  void remind_late(TimePoint now);
  void forget_obsolete(TimePoint now);
  void distribute(TimePoint now, const std::set<std::uint32_t>& spis, bool kek,
                  std::shared_ptr<RekeySa> under, std::string_view why);
  [[nodiscard]] std::shared_ptr<RekeySa> rekey_sa(const PlannedKek& planned) const;
  [[nodiscard]] TimePoint next_planned() const;
  Result<std::vector<std::uint32_t>> spend_leased(TimePoint now, std::size_t count);
  void on_plan_changed(TimePoint now) override;
  void on_member(TimePoint now, const Member& member) override;
  void on_member_gone(TimePoint now, const std::string& identity, const IpAddress& at) override;
  void on_identity_removed(TimePoint now, const std::string& identity) override;
  void on_identity_admitted(TimePoint now, const std::string& identity) override;

  World& world_;
  KsGroupState state_;
  KsStore store_;
  RekeySender sender_;
  SenderIdShares sender_id_shares_;
  std::optional<TimePoint> restart_rekey_at_;  ///< new TEKs for a member that counts from 1 again
  TimePoint restart_rekey_not_before_ = TimePoint::min();
  bool window_warning_given_ = false;
  std::optional<TimePoint> exclusions_due_;  ///< when stale exclusions are deleted
  std::vector<KeyLine> lines_;               ///< as the authority was told
  std::uint64_t era_ = 0;
  std::set<std::size_t> served_;  ///< lines of which we have the key to send with
  bool distributing_ = false;
  bool owes_rekey_ = false;  ///< one that waits until there are keys for the whole policy
  TimePoint next_plan_ = never;
  TimePoint remind_late_at_ = never;
  TimePoint next_spending_ = never;  ///< when the limit of sender ids may be due
  TimePoint end_reset_at_ = never;   ///< when the list is stored again that the disk refused
};

}  // namespace cohort::gdoi
