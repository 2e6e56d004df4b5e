#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "controlplane/world/provenance.hpp"
#include "coop/events.hpp"
#include "coop/group.hpp"
#include "coop/reasons.hpp"
#include "coop/sealed_state.hpp"

// Streams between servers, the disk, and the comparison of policies.
namespace cohort::coop {

namespace {

constexpr std::string_view head_magic = "COHCOOP2";
constexpr unsigned head_time_bits = 48;  // of either time: no clock of ours shows more
constexpr std::chrono::seconds head_interval{20};
constexpr std::chrono::seconds old_after{600};
constexpr std::chrono::seconds clock_error{5};
constexpr std::size_t differences_reported_max = 16;
constexpr unsigned stamp_counter_bits = 16;
constexpr std::uint32_t seq_tick_ms = 250;  // docs/coop-protocol.md section 7.3

}  // namespace

// ---- streams ------------------------------------------------------------------------------------

void Group::on_data(TimePoint now, Peer& peer, const Data& data) {
  ++peer.counters.data_received;
  auto taken = peer.in.take(data);
  if (!taken) {
    ++peer.counters.receive_drops;
    world_.outbox.refuse({taken.error(), "coop", peer.end.address.text()});
    return;
  }
  for (const WipedBytes& record : taken->records) take_record(now, peer, record);
  peer.ack_due = peer.ack_due || taken->acknowledge;
}

void Group::take_record(TimePoint now, const Peer& peer, ByteView record) {
  auto item = decode_item(record);
  if (!item) {
    world_.outbox.refuse({item.error(), "coop_item", peer.end.address.text()});
    return;
  }
  if (!*item) return;  // a kind that we don't know yet
  if (const auto heard = check_heard(**item); !heard) {
    world_.outbox.refuse({heard.error(), "coop_item", peer.end.address.text()});
    return;
  }
  const ItemKey id = (*item)->id;
  if (id.kind == Kind::epoch) {
    EpochId epoch_id{};
    std::copy_n(id.key.begin(), epoch_id.size(), epoch_id.begin());
    // What we have left behind and erased does not come back.
    const Epoch* current = epoch();
    if (current != nullptr && !epochs_.contains(epoch_id) && current->descends_from(epoch_id))
      return;
    const auto incoming = decode_epoch(epoch_id, (*item)->value.view());
    if (incoming && !epochs_.contains(epoch_id) && is_far_behind(now, *incoming)) {
      world_.outbox.refuse({Error(coop_record, "an epoch that is many generations behind its time"),
                            "coop_item", peer.end.address.text()});
      return;
    }
    if (incoming && !make_room(*incoming)) return;
  }
  if (id.kind == Kind::lease) {
    const auto lease = decode_lease(id.key, (*item)->value.view());
    if (lease && lease->sid_epoch < sid_epoch()) return;
  }
  auto applied = replica_.apply(std::move(**item), peer.end.address);
  if (!applied) {
    world_.outbox.report({&events::limit_reached,
                          {{"group", options_.group_name},
                           {"ks", peer.end.address.text()},
                           {"kind", std::string(name_of(id.kind))}}});
    return;
  }
  if (*applied == Replica::Applied::unchanged) return;
  const Item* now_there = replica_.find(id);
  if (id.kind == Kind::removed_identity) note_removal(id);
  if (id.kind == Kind::epoch && now_there != nullptr) {
    load_epoch(now, *now_there);
    reconsider(now);
  } else if (id.kind == Kind::policy) {
    for (Peer& other : peers_) compare_policy(other);
  }
  items_changed_.emplace_back(id, now_there == nullptr);
}

void Group::pump(TimePoint now) {
  if (!replica_.dirty().empty()) return;  // acknowledged and sent is only what is stored
  for (Peer& peer : peers_) {
    if (peer.ack_due) {
      peer.ack_due = false;
      Message message;
      message.body = peer.in.ack();
      send(peer, std::move(message));
    }
    if (peer.reach != Reach::alive || peer.incarnation == 0) continue;
    peer.out.pump(now, replica_, peer.end.address, [&](Data data) {
      Message message;
      message.body = std::move(data);
      send(peer, std::move(message));
    });
  }
}

bool Group::held_by_reachable(std::uint64_t change) const {
  return replica_.dirty().empty() &&
         std::all_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
           return peer.reach != Reach::alive ||
                  (peer.out.running() && peer.out.holds(replica_, peer.end.address, change));
         });
}

bool Group::everybody_reachable() const {
  return std::all_of(peers_.begin(), peers_.end(),
                     [](const Peer& peer) { return peer.reach == Reach::alive; });
}

bool Group::epochs_agree() const {
  return current_ && std::all_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
           return peer.reach != Reach::alive || peer.last.epoch_id == *current_;
         });
}

/// Whether every reachable peer that has state has given it to us.
bool Group::heard_everything() const {
  return std::all_of(peers_.begin(), peers_.end(), [](const Peer& peer) {
    return peer.reach != Reach::alive || peer.synced || (peer.announced && !peer.last.has_state);
  });
}

// ---- what the key server keeps here ---------------------------------------------------------

Status Group::put(TimePoint now, ItemKey id, ByteView value) {
  COHORT_CHECK(replica_.put(std::move(id), value, now_ms(now)));
  persist(now);
  pump(now);
  return {};
}

void Group::erase(TimePoint now, const ItemKey& id) {
  replica_.erase(id, now_ms(now));
  if (id.kind == Kind::removed_identity) note_removal(id);
  persist(now);
  pump(now);
}

void Group::retract(TimePoint now, const ItemKey& id) {
  replica_.retract(id);
  persist(now);
  pump(now);
}

/// Our place among the servers in the order of their addresses.
std::uint32_t Group::slot() const {
  std::uint32_t before = 0;
  for (const Peer& peer : peers_) before += peer.end.address < options_.local.address ? 1 : 0;
  return before;
}

std::uint32_t Group::seq_floor(const KekSpi& kek) const {
  const auto own = seqs_.find(kek);
  const Item* item = replica_.find({Kind::seq, to_bytes(kek)});
  const std::uint32_t reserved = item == nullptr ? 0 : Reader(item->value.view()).u32();
  const std::uint32_t used_by_others = reserved > seqs_ahead() ? reserved - seqs_ahead() : 0;
  return std::max(own == seqs_.end() ? 0 : own->second.used, used_by_others);
}

/// So many are reserved at once. Who takes over begins above all that the one before had reserved,
/// and no sooner than after `dead`: so half of what time adds meanwhile, lest numbers run away.
std::uint32_t Group::seqs_ahead() const {
  const auto ticks = static_cast<std::uint32_t>(options_.timers.dead.count()) / seq_tick_ms;
  return std::clamp(ticks / 2, 4u, 64u) * seq_slots;
}

/// Numbers are used when they can't be used again: our disk knows that they may have been, and so
/// do the reachable peers. Those are not waited for long, as time alone keeps numbers above others.
Result<std::uint32_t> Group::take_seqs(TimePoint now, const KekSpi& kek, std::uint32_t last_used,
                                       std::size_t count, std::uint64_t kek_start_ms) {
  const ItemKey id{Kind::seq, to_bytes(kek)};
  if (!seqs_.contains(kek))  // a new one; those of long ago have given way in the replica, too
    std::erase_if(seqs_, [this](const auto& entry) {
      return replica_.find({Kind::seq, to_bytes(entry.first)}) == nullptr;
    });
  Seq& seq = seqs_[kek];
  if (seq.next == 0 || now >= seq.stale) choose_seq(now, kek, last_used, kek_start_ms);
  const auto last = static_cast<std::uint32_t>(seq.next + (count - 1) * seq_slots);
  if (last + seqs_ahead() / 4 > seq.reserved) {
    if (seq.held == seq.reserved) seq.until = now + options_.timers.announce;
    COHORT_CHECK(put(now, id, Writer().u32(last + seqs_ahead()).view()));
    seq.reserved = last + seqs_ahead();
    seq.change = replica_.last_change();
  }
  const bool overdue = now >= seq.until && replica_.dirty().empty();
  if (held_by_reachable(seq.change) || overdue) seq.held = seq.reserved;
  if (last > seq.held) return fail(coop_seq_waits);
  seq.used = last;
  return std::exchange(seq.next, 0);
}

/// Above all that is known to be reserved by others. Once only for each number: two servers that
/// went above each other's reservations again and again would never come to send. But what was
/// chosen for a rekey that was given up is soon below what others send.
void Group::choose_seq(TimePoint now, const KekSpi& kek, std::uint32_t last_used,
                       std::uint64_t kek_start_ms) {
  Seq& seq = seqs_[kek];
  if (const Item* item = replica_.find({Kind::seq, to_bytes(kek)})) {
    const std::uint32_t known = Reader(item->value.view()).u32();
    if (known > seq.reserved) {
      seq.used = std::max(seq.used, known);
      seq.held = seq.reserved = known;
    }
  }
  seq.next = next_seq(std::max(seq.used, last_used), kek_start_ms, now_ms(now), slot());
  seq.stale = now + options_.timers.dead;
}

// ---- disk ---------------------------------------------------------------------------------------

std::string Group::blob_name(unsigned bucket) const {
  return state_name(options_.group_name, bucket);
}

Bytes Group::head(TimePoint now) const {
  Writer out;
  out.bytes(as_bytes(head_magic)).u64(now_ms(now));
  out.u64(static_cast<std::uint64_t>(world_.clock.wall().time_since_epoch().count()));
  out.u64(static_cast<std::uint64_t>(now.time_since_epoch().count()));
  out.u16(static_cast<std::uint16_t>(spending_.size()));
  for (const auto& [lease, limit] : spending_) {
    out.u32(lease.first).u32(lease.second);
    limit.write(out);
  }
  return out.take();
}

bool Group::persist(TimePoint now) {
  auto& dirty = replica_.dirty();
  if (dirty.empty()) return true;
  const auto store = [&](const std::string& name, ByteView octets) -> Status {
    COHORT_TRY(Bytes sealed, seal_state(world_.random, options_.state_key, name, octets));
    const Secret blob = Secret::take(std::move(sealed));  // in clear if there is no state key
    return world_.store.put(name, blob.view());
  };
  Status stored;
  // The time goes first: what is stamped must not lie in the future of a restarted server.
  if (dirty.contains(0)) {
    renew_spending();
    stored = store(blob_name(Replica::buckets), head(now));
    next_head_save_ = now + std::max<Duration>(head_interval, options_.timers.announce);
  }
  while (stored && !dirty.empty()) {
    const unsigned bucket = *dirty.begin();
    const Secret octets = replica_.encode_bucket(bucket);
    stored = store(blob_name(bucket), octets.view());
    if (stored) dirty.erase(bucket);
  }
  if (!stored && !store_failing_)
    world_.outbox.report(
        {&events::store_failed, {{"group", options_.group_name}, {"why", stored.error().text()}}});
  store_failing_ = !stored;
  if (!stored) next_head_save_ = now + std::chrono::seconds(1);
  return stored.has_value();
}

/// What lies in the store under a name, opened; empty if there is nothing.
Result<std::optional<Secret>> Group::load_blob(const std::string& name) const {
  COHORT_TRY(auto stored, world_.store.get(name));
  if (!stored) return std::optional<Secret>();
  const Secret blob = Secret::take(std::move(*stored));
  COHORT_TRY(Secret octets, open_state(options_.state_key, name, blob.view()));
  return std::optional<Secret>(std::move(octets));
}

/// When it was stored; the clock's beginning if there is none.
Result<WallTime> Group::load_head(TimePoint now) {
  const std::string name = blob_name(Replica::buckets);
  COHORT_TRY(const auto octets, load_blob(name));
  if (!octets) return WallTime{};
  Reader in(octets->view());
  const bool ours = equal(in.take(head_magic.size()), as_bytes(head_magic));
  const std::uint64_t stored_ms = in.u64();
  const std::uint64_t wall = in.u64();
  const std::uint64_t monotonic = in.u64();
  const std::size_t limits = in.u16();
  for (std::size_t i = 0; i < limits && in.ok(); ++i) {
    const LeaseId lease{in.u32(), in.u32()};
    spending_[lease] = gdoi::SpendingLimit::read(in);
  }
  if (!ours || !in.ok() || !in.empty() || (stored_ms | wall) >> head_time_bits != 0 ||
      monotonic >> 63 != 0)
    return fail(coop_corrupt_state, name + " is no head");
  const auto stored_at = WallTime(std::chrono::seconds(wall));
  time_ = Pseudotime(now, Pseudotime::estimate(stored_ms, stored_at, world_.clock.wall()));
  // A machine that has run through has a clock that nobody sets.
  const TimePoint then{Duration(static_cast<std::int64_t>(monotonic))};
  const bool ran_through = provenance_of(world_.store, name) == Provenance::latest;
  if (ran_through && then <= now) {
    time_ = Pseudotime(then, stored_ms);
  } else if (world_.clock.wall() + clock_error < stored_at) {
    world_.outbox.report(
        {&events::clock_behind, {{"group", options_.group_name}, {"stored", to_text(stored_at)}}});
  }
  if (world_.clock.wall() - stored_at > old_after)
    world_.outbox.report(
        {&events::state_old, {{"group", options_.group_name}, {"stored", to_text(stored_at)}}});
  return stored_at;
}

Status Group::load(TimePoint now) {
  COHORT_TRY(const WallTime stored_at, load_head(now));
  for (unsigned bucket = 0; bucket < Replica::buckets; ++bucket) {
    COHORT_TRY(const auto octets, load_blob(blob_name(bucket)));
    if (octets) COHORT_CHECK(replica_.restore_bucket(octets->view()));
  }
  replica_.dirty().clear();
  const std::uint64_t stamped = replica_.last_stamp() >> stamp_counter_bits;
  if (stamped > now_ms(now)) time_ = Pseudotime(now, stamped);
  for (const Item* item : replica_.all(Kind::epoch)) load_epoch(now, *item);
  for (const Item* item : replica_.all(Kind::removed_identity)) note_removal(item->id);
  restoring_ = true;
  reconsider(now);
  restoring_ = false;
  ratchet(now);
  if (epoch() != nullptr) trust_disk(now, stored_at);
  return {};
}

// ---- policies -----------------------------------------------------------------------------------

Status Group::set_policy(TimePoint now, std::vector<PolicyEntry> policy,
                         std::vector<LineSpec> lines, std::uint8_t sender_id_bits,
                         const std::vector<PolicyEntry>& extra) {
  std::set<std::string> texts;
  std::erase_if(lines, [&](const LineSpec& line) { return !texts.insert(line.text).second; });
  if (lines.size() > chains_max)
    return fail(coop_bad_options, fmt::format("{} keys at once", lines.size()));
  for (const LineSpec& line : lines)
    if (line.period_ms == 0 || line.period_ms >= line.lifetime_ms ||
        line.lifetime_ms / line.period_ms >= alive_max || line.lifetime_ms > span_ms_max)
      return fail(coop_bad_options, "lifetime of " + line.text);
  if (policy != policy_) told_to_lead_ = false;
  policy_ = std::move(policy);
  lines_ = std::move(lines);
  sender_id_bits_ = sender_id_bits;
  policy_set_ = true;
  policy_hash_ = hash_of(policy_);
  compared_policy_ = policy_;
  compared_policy_.insert(compared_policy_.end(), extra.begin(), extra.end());
  for (const IpAddress& server : servers())
    compared_policy_.push_back({"server " + server.text(), "configured"});
  (void)replica_.put({Kind::policy, to_bytes(options_.local.address.bytes())},
                     as_bytes(policy_text(compared_policy_)), now_ms(now));
  keys_changed_ = true;
  for (Peer& peer : peers_) compare_policy(peer);
  next_announce_ = now;
  settle(now);
  return {};
}

void Group::compare_policy(Peer& peer) {
  if (!policy_set_ || !peer.announced) return;
  const Item* item = replica_.find({Kind::policy, to_bytes(peer.end.address.bytes())});
  if (item == nullptr) return;
  const auto theirs = parse_policy_text(item->value.view());
  auto found = differences(compared_policy_, theirs);
  // The order of names is not part of the meaning, and that of servers not of the text.
  if (found == peer.differences) return;
  if (found.empty()) {
    world_.outbox.report(
        {&events::config_match, {{"group", options_.group_name}, {"ks", peer.end.address.text()}}});
  }
  for (std::size_t i = 0; i < std::min(found.size(), differences_reported_max); ++i)
    world_.outbox.report({&events::config_mismatch,
                          {{"group", options_.group_name},
                           {"ks", peer.end.address.text()},
                           {"name", found[i].name},
                           {"here", found[i].here.empty() ? "nothing" : found[i].here},
                           {"there", found[i].there.empty() ? "nothing" : found[i].there}}});
  peer.differences = std::move(found);
}

}  // namespace cohort::coop
