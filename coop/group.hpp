#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/world/world.hpp"
#include "coop/election.hpp"
#include "coop/key_schedule.hpp"
#include "coop/options.hpp"
#include "coop/policy_digest.hpp"
#include "coop/pseudotime.hpp"
#include "coop/replica.hpp"
#include "coop/sender_leases.hpp"
#include "coop/status.hpp"
#include "coop/stream.hpp"
#include "gdoi/spending_limit.hpp"

namespace cohort::coop {

/// Who wants to know what changes in a group. Called from within the group's handling of a message
/// or a timer, at its end: calling back into the group is allowed.
class GroupObserver {
 public:
  virtual ~GroupObserver() = default;
  /// Role, epoch or leases changed: ask again what holds.
  virtual void on_keys_changed(TimePoint now) = 0;
  /// An item came from a peer. Null: it was deleted.
  virtual void on_item(TimePoint now, const ItemKey& id, const Item* item) = 0;
};

/// One message to a peer, to be protected and sent; the sequence number is the transmitter's to
/// fill in. What was sent, or 0 octets if there is no phase 1.
struct Sent {
  std::size_t octets = 0;
  std::uint32_t sequence = 0;
};
using Transmit = std::function<Sent(const IpAddress& peer, Message message)>;

/// One group at one server: its role, its peers, its replicated state, its epochs. Gets messages
/// that are authenticated already, and knows no phase 1. One control-plane thread.
class Group {
 public:
  Group(World& world, Options options, Transmit transmit);

  /// Reads the store and begins to listen, or takes office at once if there are no peers. Fails
  /// for damaged state and changes nothing then.
  Status start(TimePoint now);
  void observe(GroupObserver* observer) { observer_ = observer; }
  void set_transmit(Transmit transmit) { transmit_ = std::move(transmit); }

  // ---- driven ----------------------------------------------------------------------------------
  void on_message(TimePoint now, const IpAddress& from, const Message& message, std::size_t octets);
  void on_link(TimePoint now, const IpAddress& peer, bool up);
  void count_receive_drop(const IpAddress& peer);
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

  // ---- policy and operator -----------------------------------------------------------------
  /// The policy in force here, and the lines that need keys. `extra` is compared by name as well,
  /// without being part of the hash.
  /// Fails, and changes nothing, if a line's period is not below its lifetime.
  Status set_policy(TimePoint now, std::vector<PolicyEntry> policy, std::vector<LineSpec> lines,
                    std::uint8_t sender_id_bits, const std::vector<PolicyEntry>& extra = {});
  /// `cohort coop elect`.
  void elect(TimePoint now);
  /// The operator has decided that our policy is the right one, though it differs: rank as usual
  /// until it changes, and elect.
  void lead(TimePoint now);
  /// Begins an epoch that excludes (eviction or compromise), by the primary only. coop_partition if
  /// it has to wait, which all servers remember.
  Status exclude(TimePoint now, EpochCause cause);
  /// At any server: the primary begins an epoch that excludes this identity when it hears of it.
  /// coop_partition if that has to wait for a merge, as far as this server can tell.
  Status remove_identity(TimePoint now, const ItemKey& id, const std::string& identity);
  /// Begins an epoch for everybody who has the present one, by the primary only.
  Status refresh(TimePoint now);
  /// When the keys that hold change by themselves next.
  [[nodiscard]] TimePoint next_generation(TimePoint now) const;

  // ---- what holds now --------------------------------------------------------------------------
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] bool primary() const { return role_ == Role::primary; }
  /// Whether every configured peer is heard.
  [[nodiscard]] bool everybody_reachable() const;
  /// Whether every reachable peer has the epoch that is in force here.
  [[nodiscard]] bool epochs_agree() const;
  /// Whether members can be registered: we hold the state that the primary has.
  [[nodiscard]] Status may_register() const;
  [[nodiscard]] const Pseudotime& time() const { return time_; }
  /// The epoch in force, null if there is none yet.
  [[nodiscard]] const Epoch* epoch() const;
  /// An epoch whose traffic keys are still received, with the pseudotime at which it was left.
  struct OldEpoch {
    const Epoch* epoch;
    std::uint64_t left_ms;
  };
  [[nodiscard]] std::vector<OldEpoch> old_epochs() const;
  /// Whether the epoch in force was reached from `before` without excluding anybody.
  [[nodiscard]] bool deliverable_from(const EpochId& before) const;

  // ---- state that the key server replicates ----------------------------------------------------
  Status put(TimePoint now, ItemKey id, ByteView value);
  void erase(TimePoint now, const ItemKey& id);
  /// Deletes an item as we know it: what another server has put since stays.
  void retract(TimePoint now, const ItemKey& id);
  [[nodiscard]] const Replica& replica() const { return replica_; }
  /// The first of `count` SEQs, seq_slots apart, that may be used now; reserves more in time.
  /// coop_seq_waits until what is needed is reserved durably: ask again soon.
  Result<std::uint32_t> take_seqs(TimePoint now, const KekSpi& kek, std::uint32_t last_used,
                                  std::size_t count, std::uint64_t kek_start_ms);
  /// The highest SEQ under a KEK of which we know that somebody has used it; 0 for none.
  [[nodiscard]] std::uint32_t seq_floor(const KekSpi& kek) const;
  /// Sender ids that may be handed out: replicated, ours, of the current SID epoch.
  struct SidRange {
    std::uint32_t first;
    std::uint32_t end;
    bool operator==(const SidRange&) const = default;
  };
  [[nodiscard]] std::vector<SidRange> sender_ids() const;
  /// In the lease that `next - 1` belongs to, all below `next` are spent: reserve more in time.
  void spent_sender_ids(TimePoint now, std::uint32_t next);
  /// Spends `count` of sender_ids(), or fails with coop_no_sender_ids, tells the others, and has a
  /// primary begin fresh keys if nobody has any to lend.
  Result<std::vector<std::uint32_t>> take_sender_ids(TimePoint now, std::size_t count);
  [[nodiscard]] std::uint32_t sid_epoch() const;
  struct SidCount {
    std::uint32_t leased = 0, left = 0;
  };
  [[nodiscard]] SidCount sid_count() const;

  [[nodiscard]] GroupStatus status(TimePoint now) const;

 private:
  struct Peer {
    unsigned handle = 0;
    Endpoint end;
    Reach reach = Reach::unknown;
    TimePoint last_heard{};
    TimePoint last_reply{};
    Incarnation incarnation = 0;
    bool linked = false;
    bool announced = false;  ///< `last` is valid, and came at `announced_at`
    TimePoint announced_at{};
    bool synced = false;  ///< it has given us all that it had
    Announce last;
    StreamSender out;
    StreamReceiver in;
    bool ack_due = false;
    std::int64_t time_difference_ms = 0;
    bool time_reported = false;
    std::vector<Difference> differences;
    std::uint32_t sequence_sent = 0, sequence_received = 0;  // of the last message
    std::uint8_t version_minor = 0;
    PeerCounters counters;
  };
  struct Preparing {
    EpochId id{};
    std::uint64_t change = 0;
    TimePoint until;
    std::vector<std::pair<ItemKey, std::uint64_t>> excludes;  // items, with their stamps
  };

  // group.cpp: messages and timers
  [[nodiscard]] Peer* find(const IpAddress& address);
  void on_announce(TimePoint now, Peer& peer, const Message& message, const Announce& announce);
  void note_incarnation(TimePoint now, Peer& peer, const Message& message);
  void note_time(TimePoint now, Peer& peer, const Announce& announce);
  void take_time(TimePoint now, std::uint64_t primary_ms);
  void lead_time(TimePoint now);
  void time_is_sure(TimePoint now);
  void note_heard(TimePoint now, Peer& peer);
  void send(Peer& peer, Message message);
  void announce(TimePoint now, Peer& peer, bool request, bool elect);
  void announce_all(TimePoint now, bool request = false, bool elect = false);
  [[nodiscard]] Announce own_announce(TimePoint now, const Peer& peer) const;
  void check_stalled(TimePoint now);
  void settle(TimePoint now);
  [[nodiscard]] PeerStatus status_of(TimePoint now, const Peer& peer) const;

  // group_roles.cpp: election
  void handle(TimePoint now, Event event);
  void act(TimePoint now, Action action, Role before);
  void note_role(TimePoint now, Peer& peer, const Message& message, const Announce& announce);
  void role_timers(TimePoint now);
  void reach_timers(TimePoint now);
  void follow(TimePoint now, Role before);
  void open_window(TimePoint now);
  void close_window(TimePoint now);
  void wait_for_operator(TimePoint now);
  void take_office(TimePoint now);
  void try_preempt(TimePoint now);
  [[nodiscard]] TimePoint role_deadline() const;
  [[nodiscard]] Rank own_rank() const;
  [[nodiscard]] static Rank rank_of(const Peer& peer);
  [[nodiscard]] const Peer* best_primary() const;
  [[nodiscard]] bool drifted() const;
  [[nodiscard]] bool ready_to_yield(const Peer& to) const;
  void enter(TimePoint now, Role role);

  // group_sync.cpp: streams, disk, comparison of policies
  void on_data(TimePoint now, Peer& peer, const Data& data);
  void take_record(TimePoint now, const Peer& peer, ByteView record);
  void pump(TimePoint now);
  [[nodiscard]] bool held_by_reachable(std::uint64_t change) const;
  bool persist(TimePoint now);
  Status load(TimePoint now);
  Result<WallTime> load_head(TimePoint now);
  [[nodiscard]] Result<std::optional<Secret>> load_blob(const std::string& name) const;
  [[nodiscard]] Bytes head(TimePoint now) const;
  void compare_policy(Peer& peer);
  [[nodiscard]] bool heard_everything() const;
  [[nodiscard]] std::string blob_name(unsigned bucket) const;
  [[nodiscard]] std::vector<IpAddress> servers() const;
  [[nodiscard]] std::uint32_t slot() const;

  // group_epochs.cpp
  Status begin(TimePoint now, EpochCause cause, const Epoch* other = nullptr);
  void advance_epochs(TimePoint now);
  void begin_after_partition(TimePoint now);
  void complete_prepared(TimePoint now);
  void commit(TimePoint now, const EpochId& id);
  void note_removal(const ItemKey& id);
  void settle_removals(TimePoint now, const Preparing& done);
  [[nodiscard]] bool may_exclude() const;
  void reconsider(TimePoint now);
  void consider(TimePoint now, const EpochId& id);
  void adopt(TimePoint now, const EpochId& id);
  [[nodiscard]] std::uint64_t succeeded_ms(const Epoch& old, std::uint64_t otherwise) const;
  void store_epoch(TimePoint now, const Epoch& epoch);
  void load_epoch(TimePoint now, const Item& item);
  void ratchet(TimePoint now);
  void prune(TimePoint now);
  [[nodiscard]] bool make_room(const Epoch& incoming);
  [[nodiscard]] bool is_past(const Epoch& one) const;
  [[nodiscard]] bool is_far_behind(TimePoint now, const Epoch& one) const;
  void drop_epoch(const EpochId& id);
  void drop_old_leases();
  [[nodiscard]] std::optional<EpochCause> due_epoch(TimePoint now) const;
  [[nodiscard]] TimePoint next_key_change(TimePoint now) const;

  // group_senders.cpp: leases of sender ids
  void lend(TimePoint now);
  void lease_new_space(TimePoint now, const Epoch& epoch);
  void prove_sids(TimePoint now);
  void trust_disk(TimePoint now, WallTime stored_at);
  std::uint32_t resume_leases(TimePoint now);
  void renew_spending();
  [[nodiscard]] bool surely_unused(const Lease& lease) const;
  void advance_leases(TimePoint now);
  void advance_lease(TimePoint now, Lease lease);
  [[nodiscard]] std::vector<Lease> leases() const;
  [[nodiscard]] std::vector<Lease> own_leases() const;
  [[nodiscard]] bool sids_surely_unused() const;
  [[nodiscard]] bool sids_wanted() const;
  [[nodiscard]] bool sids_on_their_way() const;
  [[nodiscard]] bool sid_space_changed() const;
  [[nodiscard]] bool lines_match(const Epoch& epoch) const;
  [[nodiscard]] std::uint64_t now_ms(TimePoint now) const { return time_.now_ms(now); }
  [[nodiscard]] std::uint64_t first_generation_ends_ms(const Epoch& epoch) const;
  [[nodiscard]] std::uint64_t random_due_ms(const Epoch& epoch) const;

  World& world_;
  Options options_;
  Transmit transmit_;
  GroupObserver* observer_ = nullptr;
  Incarnation incarnation_;
  Pseudotime time_;
  Replica replica_;
  std::vector<Peer> peers_;

  std::vector<PolicyEntry> policy_, compared_policy_;
  PolicyHash policy_hash_{}, servers_hash_{};
  std::vector<LineSpec> lines_;
  std::uint8_t sender_id_bits_ = 16;
  bool policy_set_ = false;
  bool restoring_ = false;  ///< what is on the disk comes back

  Role role_ = Role::listening;
  std::optional<IpAddress> followed_, previous_primary_, reported_primary_;
  TimePoint started_{}, last_run_{};
  TimePoint next_announce_ = never, next_request_ = never;
  TimePoint listen_until_ = never, window_until_ = never, await_until_ = never;
  TimePoint ignore_primaries_until_{}, yield_by_ = never, next_preempt_{}, followed_since_{};
  std::optional<IpAddress> awaited_;
  bool told_to_lead_ = false;
  bool leaderless_ = false;  ///< nobody may lead: all that are left differ from the last primary
  std::vector<IpAddress> passed_over_;
  unsigned retries_ = 0;
  std::uint64_t elections_ = 0, invalid_pseudotimes_ = 0;

  std::map<EpochId, Epoch> epochs_;
  std::optional<EpochId> current_;
  std::map<EpochId, std::uint64_t> left_ms_;  // old epochs: when they were left
  std::optional<EpochId> served_;             // the last that members got keys of from us
  std::optional<Preparing> preparing_;
  std::set<ItemKey> removals_;  // whom no epoch has excluded yet
  TimePoint next_ratchet_ = never;

  struct OwnSids {
    std::uint32_t from = 0;    // next id to hand out
    std::uint32_t held = 0;    // end of what the reachable peers know to be reserved
    std::uint32_t asked = 0;   // and of what they were asked to know
    std::uint32_t common = 0;  // and of what all configured peers know
    std::uint64_t change = 0;
    TimePoint until;
  };
  using LeaseId = std::pair<std::uint32_t, std::uint32_t>;  // SID epoch, first
  [[nodiscard]] static LeaseId id_of(const Lease& lease) { return {lease.sid_epoch, lease.first}; }
  std::map<LeaseId, OwnSids> sids_;
  bool sids_proven_ = false;  // our disk is the latest, or we have skipped what it may lack
  EpochId begun_space_{};     // the last epoch of ours, in this run, that divides the space anew
  [[nodiscard]] bool began_space() const;
  void leave_space();
  /// Own leases as the head on the disk limits them.
  std::map<LeaseId, gdoi::SpendingLimit> spending_;
  /// Leases that we go on with as a copy of our disk has them: up to which id.
  std::map<LeaseId, std::uint32_t> resumed_;
  [[nodiscard]] std::uint32_t lease_end(const Lease& lease) const;
  [[nodiscard]] std::uint32_t lease_bound(const OwnSids& own, const Lease& lease) const;
  [[nodiscard]] std::uint32_t lease_limit(const OwnSids& own, const Lease& lease) const;
  bool sids_wanted_ = false;       // for members, and there will be none without help
  std::uint32_t sids_needed_ = 0;  // by the member that was refused last
  struct Seq {
    std::uint32_t used = 0;
    std::uint32_t held = 0;      // up to here the reachable peers and our disk know it
    std::uint32_t reserved = 0;  // and up to here they were asked to
    std::uint32_t next = 0;      // chosen, and not yet used since it is not held; or 0
    std::uint64_t change = 0;
    TimePoint until{};
    TimePoint stale{};  // who wants `next` has given up by then
  };
  void choose_seq(TimePoint now, const KekSpi& kek, std::uint32_t last_used,
                  std::uint64_t kek_start_ms);
  [[nodiscard]] std::uint32_t seqs_ahead() const;
  std::map<KekSpi, Seq> seqs_;

  TimePoint next_head_save_{};
  bool keys_changed_ = false;
  std::vector<std::pair<ItemKey, bool>> items_changed_;
  bool store_failing_ = false;
};

}  // namespace cohort::coop
