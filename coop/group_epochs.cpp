#include <algorithm>
#include <fmt/format.h>

#include "coop/events.hpp"
#include "coop/group.hpp"
#include "coop/reasons.hpp"

// Epochs and their merge: docs/coop-protocol.md section 8.
namespace cohort::coop {

namespace {

ItemKey item_of(const EpochId& id) {
  return {Kind::epoch, to_bytes(id)};
}

/// The item of an exclusion that names nobody.
ItemKey nobody() {
  return {Kind::removed_identity, Bytes(16, 0)};
}

constexpr unsigned stamp_counter_bits = 16;

std::uint64_t longest_lifetime_ms(const Epoch& epoch) {
  std::uint64_t longest = 0;
  for (const Chain& chain : epoch.chains) longest = std::max(longest, chain.lifetime_ms);
  return longest;
}

/// The nearest ancestors of an epoch that ends a partition: those of both sides, in turn.
std::vector<EpochId> both_histories(const Epoch& made, const Epoch& other) {
  std::vector<EpochId> theirs{other.id}, out;
  theirs.insert(theirs.end(), other.ancestors.begin(), other.ancestors.end());
  const auto add = [&out](const std::vector<EpochId>& from, std::size_t i) {
    const bool room = i < from.size() && out.size() < ancestors_max;
    if (room && std::find(out.begin(), out.end(), from[i]) == out.end()) out.push_back(from[i]);
  };
  for (std::size_t i = 0; i < ancestors_max; ++i) {
    add(made.ancestors, i);
    add(theirs, i);
  }
  return out;
}

}  // namespace

const Epoch* Group::epoch() const {
  if (!current_) return nullptr;
  const auto found = epochs_.find(*current_);
  return found == epochs_.end() ? nullptr : &found->second;
}

std::vector<Group::OldEpoch> Group::old_epochs() const {
  std::vector<OldEpoch> out;
  const Epoch* current = epoch();
  for (const auto& [id, left] : left_ms_) {
    const auto found = epochs_.find(id);
    if (current == nullptr || found == epochs_.end()) continue;
    // Who was excluded holds the keys of what came before: they are not received any more.
    if (found->second.purge == current->purge) out.push_back({&found->second, left});
  }
  return out;
}

bool Group::deliverable_from(const EpochId& before) const {
  const Epoch* current = epoch();
  if (current == nullptr || current->id == before) return true;
  const auto found = epochs_.find(before);
  return found != epochs_.end() && found->second.purge == current->purge;
}

Status Group::may_register() const {
  if (role_ == Role::listening)
    return fail(coop_no_epoch, "still looking for the other key servers");
  const Epoch* current = epoch();
  if (current == nullptr) return fail(coop_no_epoch);
  // By a guess that is behind, keys are not over yet that are.
  if (time_.is_estimate())
    return fail(coop_no_epoch, "how much time has passed is a guess until there is a primary");
  if (role_ != Role::secondary) return {};
  for (const Peer& peer : peers_) {
    if (followed_ != peer.end.address) continue;
    if (!peer.synced) return fail(coop_no_epoch, "the primary's state is not complete yet");
    // Whom we register now could not check what the primary signs.
    for (const Difference& difference : peer.differences)
      if (difference.name == signing_key_entry)
        return fail(coop_other_signing_key, followed_->text());
    // A primary behind us will take ours; one ahead of us has keys that we lack.
    if (peer.last.epoch_number > current->number)
      return fail(coop_no_epoch, "the primary has newer keys");
  }
  return {};
}

// ---- beginning ----------------------------------------------------------------------------------

void Group::store_epoch(TimePoint now, const Epoch& epoch) {
  const Secret value = Secret::take(encode_epoch(epoch));
  (void)replica_.put(item_of(epoch.id), value.view(), now_ms(now));
}

void Group::load_epoch(TimePoint now, const Item& item) {
  EpochId id{};
  std::copy_n(item.id.key.begin(), id.size(), id.begin());
  auto decoded = decode_epoch(id, item.value.view());
  if (!decoded) return;
  time_.advance(now, decoded->known_since_ms());
  const auto known = epochs_.find(id);
  if (known == epochs_.end())
    epochs_.emplace(id, std::move(*decoded));
  else
    known->second.state = decoded->state;
}

/// Whether the epoch in force leaves nothing of this one to be decided: it comes after it.
bool Group::is_past(const Epoch& one) const {
  const Epoch* current = epoch();
  return current != nullptr && plan_merge(*current, one) == MergePlan::keep;
}

/// Whether a peer asks for more work than its epoch can need. While our own time is a guess there
/// is no telling, and nothing is stepped.
bool Group::is_far_behind(TimePoint now, const Epoch& one) const {
  return !time_.is_estimate() &&
         one.steps_to(std::max(now_ms(now), one.known_since_ms())) > received_steps_max;
}

/// Of more epochs than there is room for the lowest give way, past ones first: how to go on with
/// one of another side is not decided before all have heard of it. False if `incoming` gives way.
bool Group::make_room(const Epoch& incoming) {
  const auto sooner = [this](const Epoch& a, const Epoch& b) {
    return is_past(a) != is_past(b) ? is_past(a) : b.above(a);
  };
  while (!epochs_.contains(incoming.id) && replica_.count(Kind::epoch) >= limit_of(Kind::epoch)) {
    const Epoch* first = nullptr;
    for (const auto& [id, one] : epochs_) {
      const bool needed = current_ == id || (preparing_ && preparing_->id == id);
      if (!needed && (first == nullptr || sooner(one, *first))) first = &one;
    }
    if (first == nullptr || !sooner(*first, incoming)) return false;
    drop_epoch(EpochId(first->id));
  }
  return true;
}

void Group::drop_epoch(const EpochId& id) {
  replica_.forget(item_of(id));
  left_ms_.erase(id);
  epochs_.erase(id);
}

Status Group::begin(TimePoint now, EpochCause cause, const Epoch* other) {
  if (preparing_) return fail(coop_busy);
  std::uint32_t highest = 0;
  std::vector<const Epoch*> all;
  for (const auto& [id, one] : epochs_) {
    highest = std::max(highest, one.number);
    all.push_back(&one);
  }
  for (const Peer& peer : peers_) highest = std::max(highest, peer.last.epoch_number);
  if (highest >= heard_number_max) return fail(coop_numbers_used_up, fmt::format("{}", highest));
  Epoch made = begin_epoch(world_.random, cause, highest, epoch(), lines_, all, now_ms(now));
  if (other != nullptr) made.ancestors = both_histories(made, *other);
  (void)make_room(made);
  store_epoch(now, made);
  if (made.sid_epoch == made.number) {
    lease_new_space(now, made);
    begun_space_ = made.id;
  }
  preparing_ = Preparing{made.id, replica_.last_change(), now + options_.timers.dead, {}};
  if (purges(cause))
    for (const ItemKey& id : removals_)
      if (const Item* item = replica_.find(id)) preparing_->excludes.emplace_back(id, item->stamp);
  epochs_.emplace(made.id, std::move(made));
  return {};
}

bool Group::may_exclude() const {
  return options_.evict_in_partition == EvictInPartition::now || everybody_reachable();
}

Status Group::exclude(TimePoint now, EpochCause cause) {
  if (!primary()) return fail(coop_not_primary, followed_ ? followed_->text() : "");
  // Not now: then as a removal of nobody, so that the next primary knows of it too.
  if (preparing_ || !may_exclude()) return remove_identity(now, nobody(), "");
  COHORT_CHECK(begin(now, cause));
  settle(now);
  return {};
}

Status Group::remove_identity(TimePoint now, const ItemKey& id, const std::string& identity) {
  const Bytes value = encode_removed({false, identity});
  COHORT_CHECK(replica_.put(id, value, now_ms(now)));
  note_removal(id);
  const bool waits = primary() && !may_exclude();
  settle(now);
  if (!waits) return {};
  world_.outbox.report({&events::eviction_waits, {{"group", options_.group_name}}});
  return fail(coop_partition);
}

/// Keeps the list of those whom an epoch has still to exclude.
void Group::note_removal(const ItemKey& id) {
  const Item* item = replica_.find(id);
  const auto removed = item == nullptr ? Result<RemovedIdentity>(RemovedIdentity{true, {}})
                                       : decode_removed(item->value.view());
  if (removed && !removed->excluded)
    removals_.insert(id);
  else
    removals_.erase(id);
}

/// An epoch has begun that excludes these. Who was removed again since, is not among them.
void Group::settle_removals(TimePoint now, const Preparing& done) {
  for (const auto& [id, stamp] : done.excludes) {
    const Item* item = replica_.find(id);
    if (item == nullptr || item->stamp != stamp) continue;
    auto removed = decode_removed(item->value.view());
    if (removed && removed->identity.empty()) {
      replica_.erase(id, now_ms(now));
    } else if (removed) {
      removed->excluded = true;
      (void)replica_.put(id, encode_removed(*removed), now_ms(now));
    }
    note_removal(id);
  }
}

Status Group::refresh(TimePoint now) {
  if (!primary()) return fail(coop_not_primary, followed_ ? followed_->text() : "");
  if (epoch() == nullptr) return fail(coop_no_epoch);
  COHORT_CHECK(begin(now, EpochCause::refresh));
  settle(now);
  return {};
}

TimePoint Group::next_generation(TimePoint now) const {
  TimePoint next = never;
  const std::uint64_t at = now_ms(now);
  if (const Epoch* current = epoch())
    for (const Chain& chain : current->chains)
      next = std::min({next, time_.at(chain.distributed_ms(chain.newest(at) + 1)),
                       time_.at(chain.ends_ms(chain.oldest_alive(at)))});
  return next;
}

bool Group::lines_match(const Epoch& epoch) const {
  if (epoch.chains.size() != lines_.size()) return false;
  return std::all_of(lines_.begin(), lines_.end(), [&](const LineSpec& line) {
    const Chain* chain = epoch.find(line_id(line.text));
    return chain != nullptr && chain->period_ms == line.period_ms &&
           chain->lifetime_ms == line.lifetime_ms;
  });
}

std::uint64_t Group::first_generation_ends_ms(const Epoch& epoch) const {
  std::uint64_t first = ~std::uint64_t{0};
  for (const Chain& chain : epoch.chains) first = std::min(first, chain.distributed_ms(1));
  return first;
}

/// With random keys, when the next ones are made: in time for the peers to hold them before the
/// derived ones would come, which are for the case that nobody makes any.
std::uint64_t Group::random_due_ms(const Epoch& epoch) const {
  const std::uint64_t end = first_generation_ends_ms(epoch);
  const auto ahead = static_cast<std::uint64_t>(options_.timers.dead.count());
  return end - std::min(ahead, (end - std::min(end, epoch.start_ms)) / 2);
}

/// The reason for a new epoch that a primary has now, if any.
std::optional<EpochCause> Group::due_epoch(TimePoint now) const {
  if (!primary() || !policy_set_ || lines_.empty() || preparing_) return std::nullopt;
  const Epoch* current = epoch();
  if (current == nullptr)
    return heard_everything() ? std::optional(EpochCause::first) : std::nullopt;
  if (!removals_.empty() && may_exclude()) return EpochCause::eviction;
  if (may_exclude() && (sids_wanted() || sid_space_changed())) return EpochCause::sender_ids;
  if (!lines_match(*current)) return EpochCause::policy;
  if (options_.key_source == KeySource::random && now_ms(now) >= random_due_ms(*current))
    return EpochCause::generation;
  const auto refresh = static_cast<std::uint64_t>(options_.refresh_after.count()) * 1000;
  if (refresh != 0 && everybody_reachable() && now_ms(now) >= current->start_ms + refresh)
    return EpochCause::refresh;
  return std::nullopt;
}

/// Somebody was excluded on one side of a partition while the other went its own way: the primary
/// of both begins an epoch that comes after all of theirs. What we have left behind ourselves is no
/// other side's.
void Group::begin_after_partition(TimePoint now) {
  const Epoch* current = epoch();
  const bool may = primary() && yield_by_ == never && !preparing_ && heard_everything();
  if (current == nullptr || !may) return;
  const Epoch* other = nullptr;
  for (const auto& [id, one] : epochs_) {
    if (one.state != EpochState::committed || left_ms_.contains(id)) continue;
    if (plan_merge(*current, one) != MergePlan::begin_purging) continue;
    if (other == nullptr || one.above(*other)) other = &one;
  }
  if (other != nullptr) (void)begin(now, EpochCause::eviction, other);
}

void Group::advance_epochs(TimePoint now) {
  // A silent peer is not waited for; our own disk is.
  const bool overdue = preparing_ && now >= preparing_->until && replica_.dirty().empty();
  if (preparing_ && (held_by_reachable(preparing_->change) || overdue)) commit(now, preparing_->id);
  begin_after_partition(now);
  if (const auto cause = due_epoch(now))
    if (const auto begun = begin(now, *cause); !begun)
      world_.outbox.refuse({begun.error(), "coop", options_.group_name});
}

/// A primary's first duty: what its predecessor prepared may be in use already.
void Group::complete_prepared(TimePoint now) {
  const Epoch* best = nullptr;
  for (const auto& [id, one] : epochs_) {
    if (one.state != EpochState::prepared) continue;
    if (epoch() != nullptr && one.number <= epoch()->number) continue;
    if (best == nullptr || one.above(*best)) best = &one;
  }
  preparing_.reset();
  if (best != nullptr) commit(now, best->id);
}

void Group::commit(TimePoint now, const EpochId& id) {
  const auto prepared = std::exchange(preparing_, std::nullopt);
  const auto found = epochs_.find(id);
  if (found == epochs_.end()) return;
  found->second.state = EpochState::committed;
  store_epoch(now, found->second);
  if (prepared && prepared->id == id) settle_removals(now, *prepared);
  reconsider(now);
}

// ---- meeting other epochs -------------------------------------------------------------------

void Group::reconsider(TimePoint now) {
  for (std::size_t round = 0; round <= epochs_.size(); ++round) {
    const auto before = current_;
    std::vector<EpochId> ids;
    for (const auto& [id, one] : epochs_)
      if (one.state == EpochState::committed && current_ != id) ids.push_back(id);
    for (const EpochId& id : ids)  // one that begins because of another may have taken its place
      if (current_ != id && epochs_.contains(id)) consider(now, id);
    if (current_ == before) break;
  }
}

void Group::consider(TimePoint now, const EpochId& id) {
  const Epoch* current = epoch();
  const Epoch& other = epochs_.at(id);
  if (current == nullptr) return adopt(now, id);
  switch (plan_merge(*current, other)) {
    case MergePlan::same:
      return;
    case MergePlan::keep:
      left_ms_.try_emplace(id, succeeded_ms(other, current->start_ms));
      return;
    case MergePlan::keep_and_receive:
      if (left_ms_.try_emplace(id, now_ms(now)).second) keys_changed_ = true;
      return;
    case MergePlan::adopt_and_push:
    case MergePlan::adopt_and_purge:
      adopt(now, id);
      return;
    case MergePlan::begin_purging:
      return;  // begin_after_partition() does, once all of the other side is known
  }
}

/// When an epoch was left by those who were there: the first that we know to come after it was
/// committed then. No member has a key of a generation that would have come later.
std::uint64_t Group::succeeded_ms(const Epoch& old, std::uint64_t otherwise) const {
  std::optional<std::uint64_t> left;
  for (const auto& [id, one] : epochs_) {
    const Item* item = replica_.find(item_of(id));
    if (one.state != EpochState::committed || !one.descends_from(old.id) || item == nullptr)
      continue;
    left = std::min(left.value_or(otherwise), item->stamp >> stamp_counter_bits);
  }
  return std::max(left.value_or(otherwise), old.start_ms);
}

void Group::adopt(TimePoint now, const EpochId& id) {
  const Epoch* before = epoch();
  const Epoch& next = epochs_.at(id);
  if (before != nullptr)
    left_ms_[before->id] = served_ == before->id ? now_ms(now) : succeeded_ms(*before, now_ms(now));
  const bool new_space = before == nullptr || before->sid_epoch != next.sid_epoch;
  if (before != nullptr && before->purge != next.purge && !next.descends_from(before->id))
    leave_space();
  left_ms_.erase(id);
  current_ = id;
  if (new_space) {
    sids_wanted_ = false;
    sids_needed_ = 0;
    drop_old_leases();
  }
  if (preparing_ && !epochs_.at(preparing_->id).above(next)) preparing_.reset();
  keys_changed_ = true;
  next_announce_ = now;
  next_ratchet_ = now;
  if (restoring_) return;  // the operator has heard of it before
  world_.outbox.report({&events::epoch_begun,
                        {{"group", options_.group_name},
                         {"epoch", fmt::format("{}", next.number)},
                         {"id", to_hex(next.id)},
                         {"cause", std::string(name_of(next.cause))}}});
}

// ---- time ---------------------------------------------------------------------------------------

TimePoint Group::next_key_change(TimePoint now) const {
  std::uint64_t next = ~std::uint64_t{0};
  const std::uint64_t at = now_ms(now);
  for (const auto& [id, one] : epochs_)
    for (const Chain& chain : one.chains)
      next = std::min(next, chain.ends_ms(chain.oldest_alive(at)));
  if (const Epoch* current = epoch()) {
    if (options_.key_source == KeySource::random && primary())
      next = std::min(next, std::max(at + 1000, random_due_ms(*current)));
    const auto refresh = static_cast<std::uint64_t>(options_.refresh_after.count()) * 1000;
    if (refresh != 0 && primary() && current->start_ms + refresh > at)
      next = std::min(next, current->start_ms + refresh);
  }
  return next == ~std::uint64_t{0} ? never : time_.at(next);
}

/// Erases the secrets of keys that have ended, in memory and on the disk. By no guess: what is
/// erased does not come back if the time turns out to be less.
void Group::ratchet(TimePoint now) {
  next_ratchet_ = never;
  if (time_.is_estimate()) return;
  for (auto& [id, one] : epochs_) {
    const std::vector<std::uint64_t> before = [&chains = one.chains] {
      std::vector<std::uint64_t> generations;
      for (const Chain& chain : chains) generations.push_back(chain.generation);
      return generations;
    }();
    (void)one.ratchet(now_ms(now));
    bool stepped = false;
    for (std::size_t i = 0; i < before.size(); ++i)
      stepped = stepped || one.chains[i].generation != before[i];
    if (!stepped) continue;
    const Secret value = Secret::take(encode_epoch(one));
    replica_.rewrite(item_of(id), value.view());
  }
  prune(now);
  next_ratchet_ = next_key_change(now);
}

/// Forgets epochs none of whose keys can be alive.
void Group::prune(TimePoint now) {
  std::vector<EpochId> ended;
  for (auto at = epochs_.begin(); at != epochs_.end(); ++at) {
    const Epoch& one = at->second;
    const bool needed = current_ == at->first || (preparing_ && preparing_->id == at->first) ||
                        (epoch() != nullptr && one.number > epoch()->number);
    const auto left = left_ms_.find(at->first);
    const std::uint64_t since = left == left_ms_.end() ? one.start_ms : left->second;
    if (!needed && now_ms(now) > since + longest_lifetime_ms(one)) ended.push_back(at->first);
  }
  for (const EpochId& id : ended) drop_epoch(id);
}

}  // namespace cohort::coop
