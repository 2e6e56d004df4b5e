#include "coop/replica.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "controlplane/crypto/hash.hpp"
#include "coop/key_schedule.hpp"
#include "coop/reasons.hpp"
#include "coop/sender_leases.hpp"

namespace cohort::coop {

namespace {

constexpr unsigned stamp_counter_bits = 16;
// Behind a stamp must be room for newer ones: with the last of all, nothing could change any more.
constexpr std::uint64_t stamp_max = ~std::uint64_t{0} >> 1;

/// Whether (stamp, origin) of `a` is above that of `b`; what was taken back is above what it was.
bool newer(const Item& a, const Item& b) {
  if (a.stamp != b.stamp) return a.stamp > b.stamp;
  if (a.origin != b.origin) return a.origin > b.origin;
  return a.tombstone && !b.tombstone;
}

bool take_if_newer(Item& ours, Item& theirs) {
  if (!newer(theirs, ours)) return false;
  ours = std::move(theirs);
  return true;
}

bool merge_epoch(Item& ours, const Item& theirs) {
  // Chains are what we hold; only the state moves, from prepared to committed.
  EpochId id{};
  std::copy_n(ours.id.key.begin(), id.size(), id.begin());
  auto mine = decode_epoch(id, ours.value.view());
  const auto other = decode_epoch(id, theirs.value.view());
  if (!mine || !other) return false;
  if (mine->state == EpochState::committed || other->state != EpochState::committed) return false;
  mine->state = EpochState::committed;
  ours.value = Secret::take(encode_epoch(*mine));
  ours.stamp = std::max(ours.stamp, theirs.stamp);
  return true;
}

bool merge_seq(Item& ours, const Item& theirs) {
  Reader mine(ours.value.view()), other(theirs.value.view());
  if (other.u32() <= mine.u32()) return false;
  ours.value = theirs.value.clone();
  ours.stamp = std::max(ours.stamp, theirs.stamp);
  ours.origin = theirs.origin;
  return true;
}

bool merge_lease(Item& ours, Item& theirs) {
  auto mine = decode_lease(ours.id.key, ours.value.view());
  auto other = decode_lease(theirs.id.key, theirs.value.view());
  if (!mine || !other) return false;
  const std::uint32_t next = std::max(mine->next, other->next);
  const std::uint32_t common = std::max(mine->common, other->common);
  // What was cut off belongs to somebody else: a lease never grows again, though an old disk says
  // so.
  const std::uint32_t count = std::min(mine->count, other->count);
  const bool replaced = newer(theirs, ours);
  const bool changed =
      replaced || next != mine->next || common != mine->common || count != mine->count;
  if (replaced) {
    ours.stamp = theirs.stamp;
    ours.origin = theirs.origin;
    *mine = *other;
  }
  mine->count = count;
  mine->next = std::min(next, mine->end());
  mine->common = std::min(common, mine->next);
  ours.value = Secret::take(encode_lease(*mine));
  return changed;
}

constexpr std::size_t removed_octets_max = 1'025;
constexpr std::uint8_t flag_excluded = 1;

Status check_form(const Item& item) {
  const std::size_t key = item.id.key.size();
  const ByteView value = item.value.view();
  const auto need = [](bool ok, const char* what) -> Status {
    if (!ok) return fail(coop_record, what);
    return {};
  };
  switch (item.id.kind) {
    case Kind::policy:
      return need(key == 4 || key == 16, "a policy's key is an address");
    case Kind::epoch: {
      COHORT_CHECK(need(key == 8 && !item.tombstone, "an epoch's key is its id"));
      EpochId id{};
      std::copy_n(item.id.key.begin(), id.size(), id.begin());
      COHORT_TRY([[maybe_unused]] const Epoch epoch, decode_epoch(id, value));
      return {};
    }
    case Kind::seq:
      return need(key == 16 && !item.tombstone && value.size() == 4, "SEQ item");
    case Kind::removed_identity:
      return need(
          key == 16 && (item.tombstone || !value.empty()) && value.size() <= removed_octets_max,
          "removed identity item");
    case Kind::member:
      return need(key >= 1 && value.size() <= member_value_octets_max, "member item");
    case Kind::lease: {
      COHORT_CHECK(need(!item.tombstone, "a lease can't be deleted"));
      COHORT_TRY([[maybe_unused]] const Lease lease, decode_lease(item.id.key, value));
      return {};
    }
  }
  return fail(coop_record, "kind");
}

}  // namespace

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::policy:
      return "policy";
    case Kind::epoch:
      return "epoch";
    case Kind::seq:
      return "SEQ";
    case Kind::removed_identity:
      return "removed identity";
    case Kind::member:
      return "member";
    case Kind::lease:
      return "SID lease";
  }
  return "?";
}

std::size_t limit_of(Kind kind) {
  switch (kind) {
    case Kind::policy:
      return 8;
    case Kind::epoch:
      return 16;
    case Kind::seq:
      return 64;
    case Kind::removed_identity:
      return 4'096;
    case Kind::member:
      return members_max;
    case Kind::lease:
      return 1'024;
  }
  return 0;
}

Item Item::clone() const {
  return {id, stamp, origin, tombstone, value.clone()};
}

Bytes encode_removed(const RemovedIdentity& removed) {
  Writer out;
  out.u8(removed.excluded ? flag_excluded : 0).bytes(as_bytes(removed.identity));
  return out.take();
}

Result<RemovedIdentity> decode_removed(ByteView value) {
  Reader in(value);
  RemovedIdentity removed;
  removed.excluded = (in.u8() & flag_excluded) != 0;
  const ByteView text = in.rest();
  if (!in.ok()) return fail(coop_record, "a removed identity has no flags");
  removed.identity.assign(text.begin(), text.end());
  return removed;
}

Bytes encode_item(const Item& item) {
  Writer out;
  out.u8(static_cast<std::uint8_t>(item.id.kind)).u8(item.tombstone ? 1 : 0);
  out.u8(static_cast<std::uint8_t>(item.id.key.size()));
  write_address(out, item.origin);
  out.u64(item.stamp).u32(static_cast<std::uint32_t>(item.value.size()));
  out.bytes(item.id.key).bytes(item.value.view());
  return out.take();
}

Result<std::optional<Item>> decode_item(ByteView record) {
  Reader in(record);
  const std::uint8_t kind = in.u8();
  const std::uint8_t flags = in.u8();
  const std::size_t key_octets = in.u8();
  COHORT_TRY(const IpAddress origin, read_address(in));
  const std::uint64_t stamp = in.u64();
  const std::size_t value_octets = in.u32();
  if (stamp > stamp_max) return fail(coop_record, "a stamp that no clock of ours makes");
  if (!in.ok() || key_octets > key_octets_max || value_octets > value_octets_max ||
      in.remaining() != key_octets + value_octets)
    return fail(coop_record, "the lengths of an item contradict each other");
  if (limit_of(static_cast<Kind>(kind)) == 0) return std::optional<Item>{};
  Item item;
  item.id.kind = static_cast<Kind>(kind);
  item.tombstone = (flags & 1) != 0;
  item.origin = origin;
  item.stamp = stamp;
  item.id.key = to_bytes(in.take(key_octets));
  item.value = Secret(in.take(value_octets));
  if (item.tombstone && value_octets != 0) return fail(coop_record, "a tombstone with a value");
  COHORT_CHECK(check_form(item));
  return std::optional<Item>(std::move(item));
}

Status check_heard(const Item& item) {
  if (item.stamp > heard_stamp_max)
    return fail(coop_record, fmt::format("stamp {:x}: no server comes so far", item.stamp));
  if (item.id.kind == Kind::seq && Reader(item.value.view()).u32() > heard_number_max)
    return fail(coop_record, "a SEQ that no server comes to while a KEK lives");
  if (item.id.kind != Kind::epoch) return {};
  EpochId id{};
  std::copy_n(item.id.key.begin(), id.size(), id.begin());
  const auto epoch = decode_epoch(id, item.value.view());
  if (epoch && epoch->number <= heard_number_max && epoch->known_since_ms() <= heard_ms_max)
    return {};
  return fail(coop_record, "an epoch with a number or a time that no server comes to");
}

std::uint64_t Replica::next_stamp(std::uint64_t now_ms) {
  last_stamp_ = std::max(last_stamp_ + 1, now_ms << stamp_counter_bits);
  return last_stamp_;
}

unsigned Replica::bucket_of(const ItemKey& id) {
  if (id.kind != Kind::member) return 0;
  return 1 + crypto::digest(crypto::Hash::sha256, {id.key})[0] % (buckets - 1);
}

bool Replica::room_for(const ItemKey& id, std::uint64_t stamp) {
  if (items_.contains(id) || counts_[id.kind] < limit_of(id.kind)) return true;
  if (id.kind != Kind::seq) return false;
  // Rekey SAs come and go: the SEQ of the one that was used longest ago gives way.
  const Item* oldest = nullptr;
  for (const Item* item : all(Kind::seq))
    if (oldest == nullptr || newer(*oldest, *item)) oldest = item;
  if (oldest == nullptr || oldest->stamp >= stamp) return false;
  forget(ItemKey(oldest->id));
  return true;
}

void Replica::note_change(Entry& entry, const IpAddress& from) {
  if (entry.change != 0) changes_[entry.learned_from].erase(entry.change);
  entry.change = ++last_change_;
  entry.learned_from = from;
  entry.tombstone_since_ms = 0;
  changes_[from].emplace(entry.change, &entry);
  stored_[entry.bucket].insert(&entry);
  dirty_.insert(entry.bucket);
}

void Replica::remove(std::map<ItemKey, Entry>::iterator place) {
  const Entry& entry = place->second;
  changes_[entry.learned_from].erase(entry.change);
  stored_[entry.bucket].erase(&entry);
  --counts_[entry.item.id.kind];
  dirty_.insert(entry.bucket);
  items_.erase(place);
}

Status Replica::put(ItemKey id, ByteView value, std::uint64_t now_ms) {
  const Item* before = find(id);
  if (before != nullptr && equal_constant_time(before->value.view(), value)) return {};
  if (!room_for(id, now_ms << stamp_counter_bits))
    return fail(coop_limit, std::string(name_of(id.kind)));
  const auto [place, fresh] = items_.try_emplace(id);
  Entry& entry = place->second;
  if (fresh) {
    ++counts_[id.kind];
    entry.bucket = bucket_of(id);
  }
  entry.item = Item{std::move(id), next_stamp(now_ms), self_, false, Secret(value)};
  note_change(entry, IpAddress());
  return {};
}

void Replica::erase(const ItemKey& id, std::uint64_t now_ms) {
  const auto found = items_.find(id);
  if (found == items_.end() || found->second.item.tombstone) return;
  found->second.item = Item{id, next_stamp(now_ms), self_, true, Secret()};
  note_change(found->second, IpAddress());
}

void Replica::retract(const ItemKey& id) {
  const auto found = items_.find(id);
  if (found == items_.end() || found->second.item.tombstone) return;
  found->second.item.tombstone = true;
  found->second.item.value = Secret();
  note_change(found->second, IpAddress());
}

void Replica::rewrite(const ItemKey& id, ByteView value) {
  const auto found = items_.find(id);
  if (found == items_.end()) return;
  found->second.item.value = Secret(value);
  dirty_.insert(bucket_of(id));
}

void Replica::forget(const ItemKey& id) {
  const auto found = items_.find(id);
  if (found != items_.end()) remove(found);
}

bool Replica::merge(Item& ours, Item& theirs) {
  if (!ours.tombstone && !theirs.tombstone) {
    if (ours.id.kind == Kind::epoch) return merge_epoch(ours, theirs);
    if (ours.id.kind == Kind::seq) return merge_seq(ours, theirs);
    if (ours.id.kind == Kind::lease) return merge_lease(ours, theirs);
  }
  return take_if_newer(ours, theirs);
}

Result<Replica::Applied> Replica::apply(Item item, const IpAddress& from) {
  last_stamp_ = std::max(last_stamp_, item.stamp);
  const auto found = items_.find(item.id);
  if (found != items_.end()) {
    const Secret theirs = item.value.clone();
    if (!merge(found->second.item, item)) return Applied::unchanged;
    // If we know more than the peer it has to hear of it.
    const bool lease_differs =
        found->first.kind == Kind::lease && !(found->second.item.value == theirs);
    note_change(found->second, lease_differs ? IpAddress() : from);
    return Applied::changed;
  }
  if (!room_for(item.id, item.stamp)) {
    if (item.id.kind == Kind::seq) return Applied::unchanged;  // of a Rekey SA long gone
    return fail(coop_limit, std::string(name_of(item.id.kind)));
  }
  ++counts_[item.id.kind];
  Entry& entry = items_[item.id];
  entry.bucket = bucket_of(item.id);
  entry.item = std::move(item);
  note_change(entry, from);
  return Applied::changed;
}

const Item* Replica::find(const ItemKey& id) const {
  const auto found = items_.find(id);
  return found == items_.end() || found->second.item.tombstone ? nullptr : &found->second.item;
}

std::vector<const Item*> Replica::all(Kind kind) const {
  std::vector<const Item*> out;
  for (auto at = items_.lower_bound({kind, {}}); at != items_.end() && at->first.kind == kind; ++at)
    if (!at->second.item.tombstone) out.push_back(&at->second.item);
  return out;
}

std::size_t Replica::count(Kind kind) const {
  const auto found = counts_.find(kind);
  return found == counts_.end() ? 0 : found->second;
}

std::optional<Replica::Change> Replica::next_after(std::uint64_t number,
                                                   const IpAddress& peer) const {
  std::optional<Change> first;
  for (const auto& [source, changes] : changes_) {
    if (source == peer) continue;
    const auto at = changes.upper_bound(number);
    if (at == changes.end() || (first && first->number < at->first)) continue;
    first = Change{at->first, &at->second->item};
  }
  return first;
}

void Replica::forget_source(const IpAddress& peer) {
  for (const auto& [number, entry] : changes_[peer]) entry->learned_from = IpAddress();
  changes_[IpAddress()].merge(changes_[peer]);
}

void Replica::drop_tombstones(std::uint64_t now_ms, std::uint64_t age_ms) {
  for (auto next = items_.begin(); next != items_.end();) {
    const auto at = next++;
    if (!at->second.item.tombstone) continue;
    std::uint64_t& since = at->second.tombstone_since_ms;
    if (since == 0) since = now_ms;
    if (since + age_ms <= now_ms) remove(at);
  }
}

Secret Replica::encode_bucket(unsigned bucket) const {
  Writer out;
  for (const Entry* entry : stored_[bucket]) {
    Bytes record = encode_item(entry->item);
    out.u32(static_cast<std::uint32_t>(record.size())).bytes(record);
    zeroize(record);
  }
  return Secret::take(out.take());
}

Status Replica::restore_bucket(ByteView octets) {
  Reader in(octets);
  while (!in.empty()) {
    const std::size_t length = in.u32();
    const ByteView record = in.take(length);
    if (!in.ok()) return fail(coop_corrupt_state, "a stored item is cut off");
    auto item = decode_item(record);
    if (!item) return fail(coop_corrupt_state, item.error().text());
    if (!*item) continue;
    auto applied = apply(std::move(**item), IpAddress());
    if (!applied) return fail(coop_corrupt_state, applied.error().text());
  }
  return {};
}

}  // namespace cohort::coop
