#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "controlplane/world/provenance.hpp"
#include "coop/events.hpp"
#include "coop/group.hpp"
#include "coop/reasons.hpp"

// Leases of sender ids: docs/coop-protocol.md section 10.
namespace cohort::coop {

namespace {

constexpr std::chrono::seconds clock_error{5};

ItemKey item_of(const Lease& lease) {
  return {Kind::lease, lease_key(lease)};
}

std::uint64_t left_of(const std::vector<Lease>& leases, const IpAddress& owner) {
  std::uint64_t left = 0;
  for (const Lease& lease : leases) left += lease.owner == owner ? lease.left() : 0;
  return left;
}

}  // namespace

std::uint32_t Group::sid_epoch() const {
  return epoch() == nullptr ? 0 : epoch()->sid_epoch;
}

void Group::lease_new_space(TimePoint now, const Epoch& epoch) {
  for (const Lease& lease : divide(epoch.sid_epoch, sender_id_bits_, servers()))
    (void)replica_.put(item_of(lease), encode_lease(lease), now_ms(now));
}

/// Those of the SID epoch in force.
std::vector<Lease> Group::leases() const {
  std::vector<Lease> out;
  for (const Item* item : replica_.all(Kind::lease)) {
    const auto lease = decode_lease(item->id.key, item->value.view());
    if (lease && lease->sid_epoch == sid_epoch()) out.push_back(*lease);
  }
  return out;
}

std::vector<Lease> Group::own_leases() const {
  std::vector<Lease> out = leases();
  std::erase_if(out, [&](const Lease& lease) { return lease.owner != options_.local.address; });
  return out;
}

/// What was leased before all members had to register again is of no use to anybody.
void Group::drop_old_leases() {
  std::vector<ItemKey> old;
  for (const Item* item : replica_.all(Kind::lease)) {
    const auto lease = decode_lease(item->id.key, item->value.view());
    if (lease && lease->sid_epoch < sid_epoch()) old.push_back(item->id);
  }
  for (const ItemKey& id : old) replica_.forget(id);
  std::erase_if(sids_, [&](const auto& entry) { return entry.first.first != sid_epoch(); });
}

/// A SID epoch begins where all registrations of before end, so that epoch's id is its name.
bool Group::began_space() const {
  return epoch() != nullptr && epoch()->purge == begun_space_;
}

/// Somebody else's group is in force now, whose SID epoch may have the same number. What we have
/// handed out in it, before we lost our disk and began another, others may know better.
void Group::leave_space() {
  sids_.clear();
  if (restoring_) return;
  spending_.clear();
  resumed_.clear();
  sids_proven_ = false;
}

bool Group::surely_unused(const Lease& lease) const {
  return sids_proven_ || began_space() || resumed_.contains(id_of(lease));
}

bool Group::sids_surely_unused() const {
  return sids_proven_ || began_space() ||
         std::any_of(resumed_.begin(), resumed_.end(),
                     [&](const auto& entry) { return entry.first.first == sid_epoch(); });
}

/// Our disk may be an old image. A peer knows every reservation but those made while it could not
/// be reached, and those were alone_max at most: behind that many nothing was ever handed out.
void Group::prove_sids(TimePoint now) {
  // What we gave away since the moment of a copy we hear for sure when all are there.
  if (sids_proven_ && !resumed_.empty() && everybody_reachable() && heard_everything())
    resumed_.clear();
  const bool told = std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) {
    return peer.reach == Reach::alive && peer.synced && peer.last.has_state;
  });
  if (sids_proven_ || epoch() == nullptr || !told || !heard_everything()) return;
  for (Lease lease : own_leases()) {
    if (surely_unused(lease)) continue;
    lease.next = std::min(lease.end(), lease.next + alone_max(lease));
    lease.common = lease.next;
    (void)replica_.put(item_of(lease), encode_lease(lease), now_ms(now));
  }
  sids_proven_ = true;
}

// ---- the disk of a start (section 10.1) ---------------------------------------------------------

void Group::trust_disk(TimePoint now, WallTime stored_at) {
  // All but members lies in bucket 0, which is stored with each head, and after it.
  const Provenance disk = std::min(provenance_of(world_.store, blob_name(Replica::buckets)),
                                   provenance_of(world_.store, blob_name(0)));
  const bool recent = options_.state_trust.count() != 0 && disk == Provenance::original &&
                      world_.clock.wall() + clock_error >= stored_at;
  std::uint32_t skipped = 0;
  if (disk == Provenance::latest)
    sids_proven_ = true;
  else if (recent)
    skipped = resume_leases(now);
  if (!sids_surely_unused()) spending_.clear();
  world_.outbox.report({sids_surely_unused() ? &events::state_trusted : &events::state_unproven,
                        {{"group", options_.group_name}, {"skipped", fmt::format("{}", skipped)}}});
}

/// Goes on behind whatever may have been handed out since a copy of our disk was made. What we may
/// have given away to other servers since is not touched. The ids that this skips.
std::uint32_t Group::resume_leases(TimePoint now) {
  std::uint32_t skipped = 0;
  for (Lease lease : own_leases()) {
    const auto limit = spending_.find(id_of(lease));
    if (limit == spending_.end()) continue;
    const auto spent = limit->second.spent_by(world_.clock.wall());
    if (!spent) continue;
    resumed_[id_of(lease)] = limit->second.kept();
    const std::uint32_t next = std::clamp(*spent, lease.next, lease.end());
    skipped += next - lease.next;
    lease.next = next;
    (void)replica_.put(item_of(lease), encode_lease(lease), now_ms(now));
  }
  return skipped;
}

/// Before each head is stored: how far the leases may be spent while copies of it are trusted.
void Group::renew_spending() {
  if (options_.state_trust.count() == 0) return spending_.clear();
  std::erase_if(spending_, [&](const auto& entry) { return entry.first.first != sid_epoch(); });
  const WallTime wall = world_.clock.wall();
  for (const Lease& lease : own_leases()) {
    if (!surely_unused(lease)) continue;
    gdoi::SpendingLimit& limit = spending_[id_of(lease)];
    const auto known = sids_.find(id_of(lease));
    const OwnSids own = known == sids_.end()
                            ? OwnSids{lease.next, lease.next, lease.next, lease.common, 0, {}}
                            : known->second;
    Lease rest = lease;
    rest.next = std::min(own.asked, lease_end(lease));
    rest.count = lease_end(lease) - lease.first;
    const std::uint32_t kept = middle(rest);
    const std::uint32_t end = std::min(lease_bound(own, lease), kept);
    limit.renew(wall, options_.state_trust, rest.next, end - std::min(rest.next, end), kept);
  }
}

std::uint32_t Group::lease_end(const Lease& lease) const {
  const auto resumed = resumed_.find(id_of(lease));
  const std::uint32_t end = resumed == resumed_.end() ? lease.end() : resumed->second;
  return std::clamp(end, lease.first, lease.end());
}

/// Behind this no id of a lease is handed out while the other servers are as they are.
std::uint32_t Group::lease_bound(const OwnSids& own, const Lease& lease) const {
  return std::min(lease_end(lease), own.common + alone_max(lease));
}

/// And not now either.
std::uint32_t Group::lease_limit(const OwnSids& own, const Lease& lease) const {
  const std::uint32_t bound = lease_bound(own, lease);
  const auto limit = spending_.find(id_of(lease));
  return limit == spending_.end() ? bound : std::min(bound, limit->second.at(world_.clock.wall()));
}

/// Whether more of our own will be ready without anybody's help.
bool Group::sids_on_their_way() const {
  if (!heard_everything()) return true;
  if (!sids_surely_unused()) return false;
  for (const Lease& lease : own_leases()) {
    if (!surely_unused(lease)) continue;
    const auto own = sids_.find(id_of(lease));
    if (own == sids_.end() || own->second.asked > own->second.held ||
        own->second.asked < lease_bound(own->second, lease))
      return true;
  }
  return false;
}

void Group::advance_lease(TimePoint now, Lease lease) {
  const auto [place, fresh] = sids_.try_emplace(id_of(lease));
  OwnSids& own = place->second;
  // After a restart, and when a peer remembers more than our disk did: start behind it.
  if (fresh || lease.next > own.asked)
    own = OwnSids{lease.next, lease.next, lease.next, lease.common, replica_.last_change(), {}};
  const bool overdue = now >= own.until && replica_.dirty().empty();
  if (own.asked > own.held && (held_by_reachable(own.change) || overdue)) {
    own.held = own.asked;
    keys_changed_ = true;
  }
  if (everybody_reachable() && held_by_reachable(own.change)) own.common = own.held;
  const std::uint32_t step = std::max(reservation(lease), sids_needed_);
  const std::uint32_t ready = own.held - std::min(own.from, own.held);
  const std::uint32_t limit = lease_limit(own, lease);
  if (ready >= std::max((step + 1) / 2, sids_needed_) || own.asked != own.held ||
      own.asked >= limit)
    return;
  const std::uint32_t asked = std::min(limit, own.asked + step);
  // Where the limit grows slowly not every id is worth a write.
  if (asked - own.asked < (step + 7) / 8 && ready >= std::max(sids_needed_, 1u)) return;
  own.asked = asked;
  lease.next = own.asked;
  lease.common = own.common;
  (void)replica_.put(item_of(lease), encode_lease(lease), now_ms(now));
  own.change = replica_.last_change();
  own.until = now + options_.timers.dead;
}

void Group::advance_leases(TimePoint now) {
  prove_sids(now);
  for (const Lease& lease : own_leases())
    if (surely_unused(lease)) advance_lease(now, lease);
  lend(now);
  std::uint32_t ready = 0;
  for (const SidRange& range : sender_ids()) ready += range.end - range.first;
  if (ready < sids_needed_ || ready == 0) return;
  sids_needed_ = 0;
  sids_wanted_ = false;
}

/// A server that has none left, or none yet, gets half of what the one with the most has. Only
/// while all are there: a server that does not know of it could tell us, restored from an old
/// image, that the range is still ours.
void Group::lend(TimePoint now) {
  if (epoch() == nullptr || preparing_ || !everybody_reachable() || !sids_surely_unused()) return;
  for (Peer& peer : peers_) {
    const std::vector<Lease> all = leases();
    const IpAddress& self = options_.local.address;
    const std::uint64_t own = left_of(all, self);
    const bool needs = left_of(all, peer.end.address) == 0 || peer.last.wants_sender_ids;
    const bool richest = std::all_of(peers_.begin(), peers_.end(), [&](const Peer& other) {
      const std::uint64_t theirs = left_of(all, other.end.address);
      return theirs < own || (theirs == own && self < other.end.address);
    });
    if (!peer.synced || !needs || !richest) continue;
    peer.last.wants_sender_ids = false;  // until it says so again
    std::vector<Lease> mine = own_leases();
    std::erase_if(mine, [&](const Lease& lease) { return !surely_unused(lease); });
    const auto most = std::max_element(
        mine.begin(), mine.end(), [](const auto& a, const auto& b) { return a.left() < b.left(); });
    if (most == mine.end()) continue;
    const auto limit = spending_.find(id_of(*most));
    const WallTime wall = world_.clock.wall();
    const std::uint32_t least = limit == spending_.end() ? 0 : limit->second.kept(wall);
    const auto given = split(*most, peer.end.address, least);
    if (!given) continue;
    (void)replica_.put(item_of(*most), encode_lease(*most), now_ms(now));
    (void)replica_.put(item_of(*given), encode_lease(*given), now_ms(now));
  }
}

/// Whether somebody lacks sender ids and nobody can lend any.
bool Group::sids_wanted() const {
  const std::vector<Lease> all = leases();
  const bool lendable =
      everybody_reachable() && sids_surely_unused() &&
      std::any_of(all.begin(), all.end(), [](const Lease& lease) { return lease.left() >= 2; });
  if (lendable || !heard_everything()) return false;
  return sids_wanted_ || std::any_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
           return peer.reach == Reach::alive && peer.announced && peer.last.wants_sender_ids &&
                  peer.last.epoch_id == current_;
         });
}

/// Whether the policy has changed the length of sender ids since the space was divided.
bool Group::sid_space_changed() const {
  std::uint32_t end = 0;
  for (const Lease& lease : leases()) end = std::max(end, lease.end());
  return end != 0 && end != std::uint32_t{1} << sender_id_bits_;
}

std::vector<Group::SidRange> Group::sender_ids() const {
  std::vector<SidRange> out;
  if (role_ == Role::listening || !heard_everything() || !sids_surely_unused()) return out;
  for (const Lease& lease : own_leases()) {
    const auto own = sids_.find(id_of(lease));
    if (own == sids_.end() || !surely_unused(lease)) continue;
    const std::uint32_t end = std::min(own->second.held, lease_end(lease));
    if (own->second.from < end) out.push_back({own->second.from, end});
  }
  return out;
}

void Group::spent_sender_ids(TimePoint now, std::uint32_t next) {
  for (const Lease& lease : own_leases()) {
    const auto own = sids_.find(id_of(lease));
    if (own == sids_.end() || next <= lease.first || next > lease.end()) continue;
    own->second.from = std::max(own->second.from, next);
  }
  advance_leases(now);
  persist(now);
  pump(now);
}

Result<std::vector<std::uint32_t>> Group::take_sender_ids(TimePoint now, std::size_t count) {
  std::vector<std::uint32_t> ids;
  const std::vector<SidRange> ranges = sender_ids();
  for (const SidRange& range : ranges)
    for (std::uint32_t id = range.first; id < range.end && ids.size() < count; ++id)
      ids.push_back(id);
  if (ids.size() < count) {
    sids_needed_ = std::max(sids_needed_, static_cast<std::uint32_t>(count));
    if (!sids_on_their_way() && !std::exchange(sids_wanted_, true))
      next_announce_ = now;  // somebody may have some to lend
    settle(now);
    return fail(coop_no_sender_ids);
  }
  for (const SidRange& range : ranges)
    if (range.first <= ids.back())
      spent_sender_ids(now, std::min(range.end, std::max(ids.back() + 1, range.first)));
  return ids;
}

Group::SidCount Group::sid_count() const {
  SidCount out;
  for (const Lease& lease : own_leases()) {
    out.leased += lease.count;
    const auto own = sids_.find(id_of(lease));
    const std::uint32_t next = own == sids_.end() ? lease.next : own->second.from;
    out.left += lease.end() - std::min(next, lease.end());
  }
  return out;
}

}  // namespace cohort::coop
