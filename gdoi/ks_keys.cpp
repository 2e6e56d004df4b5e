#include <algorithm>
#include <fmt/core.h>
#include <utility>

#include "gdoi/authority.hpp"
#include "gdoi/events.hpp"
#include "gdoi/ks_group.hpp"
#include "gdoi/reasons.hpp"

// When a group's keys are replaced, and what a change of policy does to them.
namespace cohort::gdoi {
namespace {

using std::chrono::seconds;

/// Members change over this long before the old TEK ends: their clocks of its end differ a little.
constexpr Duration overlap = seconds{5};

bool current(const GroupTek& tek) {
  return !tek.superseded && !tek.delete_at;
}

bool serves(const GroupTek& tek, const SaPolicy& sa, const std::vector<AclEntry>& entries) {
  return current(tek) && tek.sa_number == sa.number && tek.tek.suite == sa.suite &&
         tek.lifetime == sa.lifetime && tek.tek.replay == sa.replay &&
         tek.tek.replay_window == sa.replay_window && tek.single_sender == sa.single_sender &&
         tek.entries == entries;
}

std::vector<AclEntry> order_of(const GroupPolicy& policy) {
  std::vector<AclEntry> entries;
  for (const SaPolicy& sa : policy.sas) {
    entries.insert(entries.end(), sa.acl.begin(), sa.acl.end());
  }
  return entries;
}

bool needs_new_kek(const RekeyPolicy& a, const RekeyPolicy& b) {
  return a.cipher != b.cipher || a.signature_hash != b.signature_hash || a.lifetime != b.lifetime ||
         a.transport != b.transport || a.multicast_destination != b.multicast_destination ||
         a.acknowledge != b.acknowledge;
}

DeletePayload delete_all(std::uint8_t protocol) {
  const std::uint8_t size = protocol == protocol_kek ? 16 : 4;
  return {protocol, size, {Bytes(size, 0)}};
}

}  // namespace

// ---- schedule -----------------------------------------------------------------------------------

Duration KsGroup::tek_lead(seconds lifetime) const {
  const Duration life = lifetime;
  const Duration share = life * state_.options.rekey_lead_permille / 1000;
  const RekeyPolicy& policy = state_.policy().rekey;
  const Duration resending = policy.retransmit_interval * policy.retransmit_number + seconds{10};
  const Duration delay = state_.policy().activation_delay + overlap;
  return std::min(std::max({share, delay, resending}), life / 2);
}

Duration KsGroup::kek_lead(seconds lifetime) const {
  const RekeyPolicy& policy = state_.policy().rekey;
  const Duration life = lifetime;
  const Duration share = life * state_.options.rekey_lead_permille / 1000;
  const Duration least =
      policy.retransmit_interval * policy.retransmit_number + policy.acknowledge_wait;
  return std::min(std::max(share, least), life / 2);
}

TimePoint KsGroup::rekey_due(const GroupTek& tek) const {
  return tek.tek.expires - tek_lead(tek.lifetime);
}

TimePoint KsGroup::kek_due() const {
  const auto& sa = state_.keys.rekey;
  if (sa->seq > 0xfffffff0u) return TimePoint{};  // SEQ must not wrap
  return sa->kek.expires - kek_lead(sa->lifetime);
}

TimePoint KsGroup::next_deadline() const {
  if (state_.options.authority != nullptr) return next_planned();
  TimePoint next = std::min({sender_.next_deadline(), exclusions_due_.value_or(never),
                             restart_rekey_at_.value_or(never), store_.retry_at(), next_spending_,
                             end_reset_at_, time_due()});
  for (const GroupTek& tek : state_.keys.teks) {
    next = std::min(next, current(tek) ? rekey_due(tek) : tek.tek.expires);
    if (tek.delete_at) next = std::min(next, *tek.delete_at);
  }
  if (state_.keys.rekey) next = std::min(next, kek_due());
  return next;
}

void KsGroup::on_timer(TimePoint now) {
  sender_.on_timer(now);
  if (store_.retry_at() <= now) (void)store_.save_keys(now, state_);  // it reports itself
  renew_spending(now);
  evict_silent(now);
  end_reset(now);
  if (state_.options.authority == nullptr || distributing_)
    report_failure(delete_obsolete(now));
  else
    forget_obsolete(now);
  if (state_.options.authority == nullptr) renew_for_restarted(now);
  tell_time(now);
  std::erase_if(state_.keys.teks, [now](const GroupTek& tek) { return tek.tek.expires <= now; });
  if (state_.options.authority != nullptr) {
    remind_late(now);
    return follow(now);
  }
  std::set<std::uint32_t> due;
  for (const SaPolicy& sa : state_.policy().sas) {
    bool has_current = false;
    for (const GroupTek& tek : state_.keys.teks) {
      if (tek.sa_number != sa.number || !current(tek)) continue;
      has_current = true;
      if (rekey_due(tek) <= now) due.insert(sa.number);
    }
    if (!has_current) due.insert(sa.number);
  }
  const bool kek = state_.keys.rekey && kek_due() <= now;
  if (!due.empty() || kek) {
    report_failure(rekey(now, due, kek, kek ? "KEK lifetime" : "TEK lifetime"));
  }
}

void KsGroup::report_failure(const Status& status) const {
  if (status) return;
  world_.outbox.refuse({status.error(), "gdoi_rekey", state_.policy().name});
}

// ---- making keys --------------------------------------------------------------------------------

GroupTek KsGroup::make_one(TimePoint now, const SaPolicy& sa, std::vector<AclEntry> entries) const {
  GroupTek tek;
  tek.tek = make_tek(world_.random, sa, now,
                     [this](std::uint32_t spi) { return state_.keys.find(spi) != nullptr; });
  tek.sa_number = sa.number;
  tek.entries = std::move(entries);
  tek.lifetime = sa.lifetime;
  tek.single_sender = sa.single_sender;
  tek.many_senders = state_.members.size() > 2;
  tek.made = tek.activate = now;
  return tek;
}

void KsGroup::replace_teks(TimePoint now, const SaPolicy& sa) {
  TimePoint activate = now;  // nobody sends with anything else
  for (GroupTek& tek : state_.keys.teks) {
    if (tek.sa_number != sa.number || !current(tek)) continue;
    tek.superseded = now;
    const TimePoint latest = std::max(now, tek.tek.expires - overlap);
    activate = std::max(activate, std::min(now + state_.policy().activation_delay, latest));
  }
  for (auto& entries : key_shares(sa)) {
    state_.keys.teks.push_back(make_one(now, sa, std::move(entries)));
    state_.keys.teks.back().activate = activate;
  }
}

void KsGroup::replace_kek(TimePoint now) {
  state_.keys.previous = std::move(state_.keys.rekey);
  state_.keys.rekey = make_rekey_sa(world_.random, state_.policy().rekey,
                                    state_.options.rekey_signing_key.public_key(), now);
}

void KsGroup::new_keys(TimePoint now) {
  state_.keys.teks.clear();
  for (const SaPolicy& sa : state_.policy().sas) replace_teks(now, sa);
  replace_kek(now);
  state_.keys.previous.reset();  // whoever was removed holds it: nothing may come under it again
  state_.exclusions = policy_exclusions();
  exclusions_due_.reset();
  ++state_.keys.generation;
  world_.outbox.report(
      {&events::ks_keys_made,
       {{"group", state_.policy().name}, {"teks", fmt::format("{}", state_.keys.teks.size())}}});
}

// ---- rekey --------------------------------------------------------------------------------------

Status KsGroup::rekey_all(TimePoint now, bool kek, std::string_view why) {
  if (state_.options.authority != nullptr) return state_.options.authority->refresh(now);
  std::set<std::uint32_t> numbers;
  for (const SaPolicy& sa : state_.policy().sas) numbers.insert(sa.number);
  return rekey(now, numbers, kek, why);
}

Status KsGroup::rekey(TimePoint now, const std::set<std::uint32_t>& sa_numbers, bool kek,
                      std::string_view why) {
  if (state_.options.authority != nullptr) return state_.options.authority->refresh(now);
  auto under = state_.keys.rekey;
  for (const SaPolicy& sa : state_.policy().sas) {
    if (sa_numbers.contains(sa.number)) replace_teks(now, sa);
  }
  PushPlan plan;
  if (kek) {
    replace_kek(now);
    plan.new_kek = state_.keys.rekey;
  }
  ++state_.keys.generation;
  // Section 5.6.1 wants a TEK in each rekey: with a new KEK alone the current ones are repeated.
  for (SatPlan& item : plan_policy(state_.policy(), state_.keys, now)) {
    const GroupTek* tek = item.spi != 0 ? state_.keys.find(item.spi) : nullptr;
    if (tek != nullptr && current(*tek) && (kek || sa_numbers.contains(tek->sa_number))) {
      plan.sats.push_back(std::move(item));
    }
  }
  return sender_.start(now, std::move(plan), std::move(under), why);
}

/// All current keys once more. A server that died while it distributed a rekey doesn't know who has
/// heard of it; to those who have, this changes nothing.
Status KsGroup::remind(TimePoint now, std::string_view why) {
  PushPlan plan;
  for (SatPlan& item : plan_policy(state_.policy(), state_.keys, now)) {
    const GroupTek* tek = item.spi != 0 ? state_.keys.find(item.spi) : nullptr;
    if (tek == nullptr || current(*tek)) plan.sats.push_back(std::move(item));
  }
  if (const auto& before = state_.keys.previous; before && before->kek.expires > now) {
    PushPlan with_kek = plan;
    with_kek.new_kek = state_.keys.rekey;
    COHORT_CHECK(sender_.start(now, std::move(with_kek), before, why));
  }
  return sender_.start(now, std::move(plan), state_.keys.rekey, why);
}

PushPlan KsGroup::deletion_of_everything() const {
  PushPlan plan;
  plan.deletes.push_back(delete_all(protocol_esp));
  if (!state_.exclusions.empty() &&
      (state_.policy().send_exclusions || state_.members.all_cohort())) {
    plan.deletes.push_back(delete_all(protocol_exclusion));
  }
  plan.deletes.push_back(delete_all(protocol_kek));
  return plan;
}

Status KsGroup::reset(TimePoint now, std::string_view why) {
  if (state_.options.authority != nullptr) return state_.options.authority->exclude(now, why);
  auto under = state_.keys.rekey;
  PushPlan plan = deletion_of_everything();
  world_.outbox.report(
      {&events::ks_clear_register, {{"group", state_.policy().name}, {"why", std::string(why)}}});
  if (state_.keys.sender_ids.bits() != state_.policy().sender_id_bits) {
    state_.keys.sender_ids = SenderIdAllocator(state_.policy().sender_id_bits);
  }
  // The ids start over since every key is new, and since nobody keeps a KEK that would bring the
  // new keys to the holder of an old id.
  state_.keys.sender_ids.restart();
  state_.keys.sender_ids_reserved = 0;
  state_.keys.spending = {};
  next_spending_ = now;
  sender_id_shares_.clear();
  new_keys(now);
  // The stored members stay until they have been told: a restart before that tells them.
  if (!state_.members.all().empty()) state_.reset_under = under;
  const Status sent = sender_.start(now, std::move(plan), std::move(under), why);
  state_.members.clear();
  return sent;
}

/// Everybody has been told. The stored list is still the one of before, and it is the stored KEK
/// beside it that says so: that goes last, or a restart would take those on the list for members.
void KsGroup::end_reset(TimePoint now) {
  constexpr Duration retry = seconds{1};
  if (end_reset_at_ <= now) end_reset_at_ = never;
  if (!state_.reset_under || !sender_.idle() || end_reset_at_ != never) return;
  if (const Status stored = store_.save_all_members(now, state_); !stored) {
    end_reset_at_ = now + retry;
    return report_failure(stored);
  }
  state_.reset_under.reset();
  report_failure(store_.save_keys(now, state_));
}

Status KsGroup::close(TimePoint now) {
  // The other key servers keep the group, and its members: we only stop to serve it.
  if (state_.options.authority != nullptr) return {};
  return reset(now, "group removed");
}

bool KsGroup::finish_closing() {
  if (sender_.next_deadline() != never) return false;
  report_failure(store_.erase());
  return true;
}

// ---- policy -------------------------------------------------------------------------------------

std::vector<AclEntry> KsGroup::policy_exclusions() const {
  std::vector<AclEntry> out;
  for (AclEntry& entry : order_of(state_.policy())) {
    if (!entry.permit) out.push_back(std::move(entry));
  }
  return out;
}

std::vector<AclEntry> KsGroup::stale_exclusions() const {
  const std::vector<AclEntry> wanted = policy_exclusions();
  std::vector<AclEntry> stale;
  for (const AclEntry& entry : state_.exclusions) {
    if (std::find(wanted.begin(), wanted.end(), entry) == wanted.end()) stale.push_back(entry);
  }
  return stale;
}

/// Makes the keys fit the policy: what it has and we lack is made, what it no longer has is marked
/// for deletion after the deactivation delay. True if members have to hear of it.
bool KsGroup::adopt_policy(TimePoint now) {
  std::vector<GroupTek> made;
  std::set<std::uint32_t> kept;
  std::set<std::pair<std::uint32_t, std::vector<AclEntry>>> lines;
  for (const SaPolicy& sa : state_.policy().sas) {
    for (auto& entries : key_shares(sa)) {
      lines.emplace(sa.number, entries);
      const auto found =
          std::find_if(state_.keys.teks.begin(), state_.keys.teks.end(),
                       [&](const GroupTek& tek) { return serves(tek, sa, entries); });
      if (found != state_.keys.teks.end()) {
        kept.insert(found->tek.spi);
      } else {
        made.push_back(make_one(now, sa, std::move(entries)));
      }
    }
  }
  const GroupPolicy& policy = state_.policy();
  const Duration delay =
      std::max<Duration>(policy.deactivation_delay, policy.activation_delay + seconds{1});
  bool changed = !made.empty();
  for (GroupTek& tek : state_.keys.teks) {
    if (tek.delete_at || kept.contains(tek.tek.spi)) continue;
    // One that a rekey has superseded stays for reception. Not without its lines: once those of its
    // successor are gone, members would send with it again.
    if (tek.superseded && lines.contains({tek.sa_number, tek.entries})) continue;
    if (!tek.superseded) tek.superseded = now;
    tek.delete_at = now + delay;
    changed = true;
  }
  for (GroupTek& tek : made) {
    tek.activate = now + policy.activation_delay;
    state_.keys.teks.push_back(std::move(tek));
  }
  for (const AclEntry& entry : policy_exclusions()) {
    auto& known = state_.exclusions;
    if (std::find(known.begin(), known.end(), entry) != known.end()) continue;
    known.push_back(entry);
    changed = true;
  }
  if (!stale_exclusions().empty()) exclusions_due_ = now + delay;
  if (changed) ++state_.keys.generation;
  return changed;
}

Status KsGroup::update_policy(TimePoint now, GroupPolicy policy) {
  KeyServerOptions proposed = state_.options;
  proposed.policy = std::move(policy);
  COHORT_CHECK(check_policy(proposed));
  const GroupPolicy before = state_.policy();
  state_.options.policy = std::move(proposed.policy);
  state_.members.set_limit(state_.policy().members_max);
  drop_foreign(now);
  world_.outbox.report({&events::policy_change, {{"group", state_.policy().name}}});
  if (state_.options.authority != nullptr) return instruct(now);
  if (before.sender_id_bits != state_.policy().sender_id_bits) {
    return reset(now, "another size of sender ids");
  }
  const bool kek = needs_new_kek(before.rekey, state_.policy().rekey);
  const bool changed = adopt_policy(now);
  if (!changed && !kek && order_of(before) == order_of(state_.policy())) {
    return store_.save_keys(now, state_);
  }
  auto under = state_.keys.rekey;
  PushPlan plan;
  if (kek) {
    replace_kek(now);
    plan.new_kek = state_.keys.rekey;
  }
  ++state_.keys.generation;
  for (SatPlan& item : plan_policy(state_.policy(), state_.keys, now)) {
    const GroupTek* tek = item.spi != 0 ? state_.keys.find(item.spi) : nullptr;
    if (tek == nullptr || current(*tek)) plan.sats.push_back(std::move(item));
  }
  return sender_.start(now, std::move(plan), std::move(under), "policy change");
}

Status KsGroup::delete_obsolete(TimePoint now) {
  PushPlan plan;
  DeletePayload teks;
  for (const GroupTek& tek : state_.keys.teks) {
    if (tek.delete_at && *tek.delete_at <= now) teks.spis.push_back(spi_octets(tek.tek.spi));
  }
  if (!teks.spis.empty()) plan.deletes.push_back(std::move(teks));
  if (exclusions_due_ && *exclusions_due_ <= now) {
    exclusions_due_.reset();
    DeletePayload gone;
    gone.protocol = protocol_exclusion;
    for (const AclEntry& entry : stale_exclusions()) {
      gone.spis.push_back(spi_octets(exclusion_id(entry)));
    }
    const bool may = state_.policy().send_exclusions || state_.members.all_cohort();
    if (!gone.spis.empty() && may) plan.deletes.push_back(std::move(gone));
    state_.exclusions = policy_exclusions();
  }
  if (plan.deletes.empty()) return {};
  std::erase_if(state_.keys.teks,
                [now](const GroupTek& tek) { return tek.delete_at && *tek.delete_at <= now; });
  ++state_.keys.generation;
  return sender_.start(now, std::move(plan), state_.keys.rekey, "obsolete SAs");
}

}  // namespace cohort::gdoi
