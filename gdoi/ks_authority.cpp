#include <algorithm>
#include <fmt/core.h>

#include "gdoi/algorithms.hpp"
#include "gdoi/events.hpp"
#include "gdoi/ks_group.hpp"
#include "gdoi/reasons.hpp"

// A group whose keys an authority decides: the key server follows its plan, and brings members what
// is new in it when that is its task.
namespace cohort::gdoi {

namespace {

/// How far another server's registration may be from a rekey of ours to have missed it: clocks
/// differ a little, and a busy server hands out for a moment what is about to be replaced.
constexpr Duration late_within = std::chrono::seconds{10};
constexpr Duration late_pause = std::chrono::milliseconds{100};  // one reminder for many members

Secret part(const Secret& material, std::size_t from, std::size_t octets) {
  if (octets == 0 || material.size() < from + octets) return Secret();
  return Secret(material.view().subspan(from, octets));
}

bool is_of(const GroupTek& tek, const KeyLine& line) {
  return tek.sa_number == line.sa_number && tek.tek.suite == line.suite &&
         tek.lifetime == line.lifetime && tek.tek.replay == line.replay &&
         tek.entries == line.entries;
}

}  // namespace

/// Tells the authority what needs keys.
Status KsGroup::instruct(TimePoint now) {
  lines_.clear();
  for (const SaPolicy& sa : state_.policy().sas) {
    for (auto& entries : key_shares(sa)) {
      lines_.push_back(
          {sa.number, sa.suite, sa.lifetime, tek_lead(sa.lifetime), std::move(entries), sa.replay});
    }
  }
  if (!stale_exclusions().empty()) exclusions_due_ = now + state_.policy().deactivation_delay;
  for (const AclEntry& entry : policy_exclusions()) {
    auto& known = state_.exclusions;
    if (std::find(known.begin(), known.end(), entry) == known.end()) known.push_back(entry);
  }
  return state_.options.authority->set_policy(now, state_.policy(), lines_,
                                              kek_lead(state_.policy().rekey.lifetime),
                                              state_.options.rekey_signing_key.public_key().spki());
}

/// A member that another server registered just when we brought everybody newer keys: it may have
/// got the older ones, and we did not know it yet. All are reminded once, before the new keys are
/// sent with if there is time.
void KsGroup::note_late(TimePoint now, const Member& member) {
  if (!distributing_ || !state_.keys.rekey) return;
  bool older = state_.keys.previous != nullptr;
  TimePoint newest = state_.keys.rekey->made;
  for (const GroupTek& tek : state_.keys.teks) {
    older = older || tek.superseded.has_value();
    if (!tek.superseded) newest = std::max(newest, tek.made);
  }
  if (!older || member.registered > newest + late_within) return;
  const TimePoint due = std::max(now + late_pause, newest + state_.policy().activation_delay / 2);
  remind_late_at_ = std::min(remind_late_at_, due);
}

void KsGroup::remind_late(TimePoint now) {
  if (remind_late_at_ > now) return;
  remind_late_at_ = never;
  if (distributing_ && serves_everything())
    report_failure(remind(now, "registered elsewhere in mid-rekey"));
}

TimePoint KsGroup::next_planned() const {
  TimePoint next =
      std::min({sender_.next_deadline(), exclusions_due_.value_or(never), store_.retry_at()});
  for (const GroupTek& tek : state_.keys.teks)
    next = std::min({next, tek.tek.expires, tek.delete_at.value_or(never)});
  return std::min({next, next_plan_, remind_late_at_, time_due()});
}

void KsGroup::on_plan_changed(TimePoint now) {
  follow(now);
}

// ---- keys ---------------------------------------------------------------------------------------

std::shared_ptr<RekeySa> KsGroup::rekey_sa(const PlannedKek& planned) const {
  const RekeyPolicy& policy = state_.policy().rekey;
  const crypto::PublicKey key = state_.options.rekey_signing_key.public_key();
  const std::size_t block = crypto::block_size(policy.cipher);
  auto sa = std::make_shared<RekeySa>();
  sa->kek.spi = planned.spi;
  sa->kek.cipher = policy.cipher;
  sa->kek.iv = part(planned.material, 0, block);
  sa->kek.key = part(planned.material, block, crypto::key_size(policy.cipher));
  sa->kek.signature_hash = hash_for(key.type(), policy.signature_hash);
  sa->kek.signature_key_spki = key.spki();
  sa->kek.expires = planned.expires;
  sa->made = planned.made;
  sa->lifetime = policy.lifetime;
  if (policy.transport == RekeyTransport::multicast) sa->multicast = policy.multicast_destination;
  return sa;
}

bool KsGroup::take_keks(TimePoint now, KeyPlan& plan) {
  const bool fresh = take_newest_kek(plan);
  if (auto& previous = state_.keys.previous; previous != nullptr) {
    const auto end = state_.options.authority->kek_end(now, previous->kek.spi);
    if (end)
      previous->kek.expires = *end;
    else
      previous.reset();
  }
  return fresh;
}

bool KsGroup::take_newest_kek(KeyPlan& plan) {
  GroupKeys& keys = state_.keys;
  const PlannedKek& newest = plan.keks.front();
  if (keys.rekey && keys.rekey->kek.spi == newest.spi) {
    keys.rekey->kek.expires = newest.expires;  // the pseudotime may have been put right
    keys.rekey->made = newest.made;            // SEQ goes by it
    return false;
  }
  if (keys.rekey)
    keys.previous = std::move(keys.rekey);
  else if (plan.keks.size() > 1)
    keys.previous = rekey_sa(plan.keks[1]);
  keys.rekey = rekey_sa(newest);
  return true;
}

/// The SPIs that were not there before.
std::set<std::uint32_t> KsGroup::take_teks(TimePoint now, KeyPlan& plan, bool first) {
  GroupKeys& keys = state_.keys;
  std::set<std::uint32_t> planned, fresh;
  served_.clear();
  for (PlannedTek& one : plan.teks) {
    if (one.line >= lines_.size()) continue;
    const KeyLine& line = lines_[one.line];
    if (one.current) served_.insert(one.line);
    planned.insert(one.spi);
    GroupTek* tek = keys.find(one.spi);
    if (tek == nullptr) {
      const dataplane::SuiteShape& shape = dataplane::shape_of(line.suite);
      const auto sa = std::find_if(state_.policy().sas.begin(), state_.policy().sas.end(),
                                   [&](const SaPolicy& p) { return p.number == line.sa_number; });
      GroupTek made;
      made.tek.spi = one.spi;
      made.tek.suite = line.suite;
      made.tek.cipher_key = part(one.material, 0, shape.cipher_key);
      made.tek.integrity_key = part(one.material, shape.cipher_key, shape.integrity_key);
      made.tek.salt = part(one.material, shape.cipher_key + shape.integrity_key, shape.salt);
      made.tek.replay = sa->replay;
      made.tek.replay_window = sa->replay_window;
      made.tek.send_from = now;
      made.sa_number = line.sa_number;
      made.entries = line.entries;
      made.lifetime = line.lifetime;
      made.single_sender = sa->single_sender;
      made.many_senders = state_.members.size() > 2;
      made.made = one.made;
      // With another key of the line about, nobody shall send with this one before all have it.
      const bool follows =
          std::any_of(plan.teks.begin(), plan.teks.end(),
                      [&](const PlannedTek& t) { return t.line == one.line && t.spi != one.spi; });
      made.activate = first ? one.made : std::max(now, one.made);
      if (follows) made.activate += state_.policy().activation_delay;
      made.receive_only = one.receive_only;
      keys.teks.push_back(std::move(made));
      tek = &keys.teks.back();
      fresh.insert(one.spi);
    }
    tek->tek.expires = one.expires;
    tek->delete_at.reset();  // the policy has its line again
    if (!one.current && !tek->superseded) tek->superseded = now;
    if (one.current) tek->superseded.reset();
  }
  // What members are to send with comes last, also when an older key was heard of later.
  const auto place = [&plan](const GroupTek& tek) {
    const auto at = std::find_if(plan.teks.begin(), plan.teks.end(),
                                 [&](const PlannedTek& one) { return one.spi == tek.tek.spi; });
    return at == plan.teks.end() ? -1 : at - plan.teks.begin();
  };
  std::stable_sort(keys.teks.begin(), keys.teks.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
  const Duration delay =
      std::max<Duration>(state_.policy().deactivation_delay,
                         state_.policy().activation_delay + std::chrono::seconds{1});
  // A key whose line is still there is over, or not made yet, by the pseudotime. When that has been
  // put right, our clock had another end for it.
  std::erase_if(keys.teks, [&](const GroupTek& tek) {
    return !planned.contains(tek.tek.spi) &&
           std::ranges::any_of(lines_, [&](const KeyLine& line) { return is_of(tek, line); });
  });
  for (GroupTek& tek : keys.teks) {
    if (planned.contains(tek.tek.spi) || tek.delete_at) continue;
    tek.superseded = now;  // the policy has lost its line
    tek.delete_at = now + delay;
  }
  return fresh;
}

/// Somebody was excluded: every member has to register again, and nothing that it had counts.
void KsGroup::forget_era(TimePoint now) {
  world_.outbox.report(
      {&events::ks_clear_register, {{"group", state_.policy().name}, {"why", "excluded"}}});
  auto under = std::move(state_.keys.rekey);
  state_.keys.rekey.reset();
  state_.keys.previous.reset();
  state_.keys.teks.clear();
  sender_id_shares_.clear();
  ++state_.keys.generation;
  KeyAuthority& authority = *state_.options.authority;
  if (authority.distributes() && under)
    report_failure(sender_.start(now, deletion_of_everything(), std::move(under), "excluded"));
  if (authority.distributes())
    for (const auto& [id, member] : state_.members.all()) authority.member_gone(now, member, false);
  state_.members.clear();
}

void KsGroup::follow(TimePoint now) {
  KeyAuthority& authority = *state_.options.authority;
  auto plan = authority.plan(now);
  next_plan_ = authority.next_change(now);
  if (!plan || plan->keks.empty()) return;
  if (state_.keys.rekey && plan->era != era_) forget_era(now);
  era_ = plan->era;
  auto under = state_.keys.rekey;
  const bool first = under == nullptr;
  const bool kek = take_keks(now, *plan);
  const auto fresh = take_teks(now, *plan, first);
  if (state_.keys.sender_ids.bits() != state_.policy().sender_id_bits)
    state_.keys.sender_ids = SenderIdAllocator(state_.policy().sender_id_bits);
  if (kek || !fresh.empty()) {
    ++state_.keys.generation;
    world_.outbox.report({&events::ks_keys_made,
                          {{"group", state_.policy().name},
                           {"teks", fmt::format("{}", fresh.size())},
                           {"kek", kek ? "yes" : "no"}}});
  }
  const bool begins = authority.distributes() && !distributing_;
  distributing_ = authority.distributes();
  const bool changed = !first && (kek || !fresh.empty());
  if (!distributing_) owes_rekey_ = false;
  // Members that lost lines of their policy for want of keys would lose the keys that they have.
  if (!serves_everything())
    owes_rekey_ = distributing_ && (owes_rekey_ || begins || changed);
  else if (begins || std::exchange(owes_rekey_, false))
    take_over(now);
  else if (distributing_ && changed)
    distribute(now, fresh, kek, std::move(under), kek ? "KEK lifetime" : "TEK lifetime");
  tell_time(now);
}

/// Whether a member can be given anything. Our policy may be another than the one that the keys in
/// force were made for, until the policies are the same again, or the primary has made keys for it.
bool KsGroup::serves_something() const {
  return state_.options.authority == nullptr || !served_.empty();
}

bool KsGroup::serves_everything() const {
  return state_.options.authority == nullptr || served_.size() == lines_.size();
}

/// A new primary: what the one before may have begun to distribute is brought to everybody.
void KsGroup::take_over(TimePoint now) {
  std::vector<GroupTek>& teks = state_.keys.teks;
  for (GroupTek& tek : teks) {
    const bool rolling = std::any_of(teks.begin(), teks.end(), [&](const GroupTek& other) {
      return other.entries == tek.entries && other.superseded && other.tek.expires > now;
    });
    if (tek.superseded || tek.delete_at || !rolling) continue;
    // Nobody shall begin to send with it before those who lack it can have it.
    if (tek.activate > now - state_.policy().activation_delay)
      tek.activate = now + state_.policy().activation_delay;
  }
  report_failure(remind(now, "another primary"));
}

/// What delete_obsolete() does where somebody else tells the members.
void KsGroup::forget_obsolete(TimePoint now) {
  std::erase_if(state_.keys.teks,
                [now](const GroupTek& tek) { return tek.delete_at && *tek.delete_at <= now; });
  if (!exclusions_due_ || *exclusions_due_ > now) return;
  exclusions_due_.reset();
  state_.exclusions = policy_exclusions();
}

void KsGroup::distribute(TimePoint now, const std::set<std::uint32_t>& spis, bool kek,
                         std::shared_ptr<RekeySa> under, std::string_view why) {
  PushPlan whole;
  if (kek) whole.new_kek = state_.keys.rekey;
  for (SatPlan& item : plan_policy(state_.policy(), state_.keys, now)) {
    if (item.spi == 0) continue;
    const GroupTek* tek = state_.keys.find(item.spi);
    const bool wanted = spis.contains(item.spi) || (kek && !tek->superseded);
    if (wanted) whole.sats.push_back(std::move(item));
  }
  report_failure(sender_.start(now, std::move(whole), std::move(under), why));
}

// ---- sender ids ---------------------------------------------------------------------------------

Result<std::vector<std::uint32_t>> KsGroup::spend_leased(TimePoint now, std::size_t count) {
  auto ids = state_.options.authority->take_sender_ids(now, count);
  if (!ids) return fail(keys_not_ready, ids.error().text());
  return ids;
}

// ---- members and identities ---------------------------------------------------------------------

void KsGroup::on_member(TimePoint now, const Member& heard) {
  // Of a time before the policy: what it would need to know can't be told to it.
  if (!heard.cohort && goes_by_time(state_.policy())) return;
  Member* member = state_.members.admit(heard.identity, heard.remote);
  if (member == nullptr) return;
  member->unanswered = 0;
  const bool known = member->registrations == heard.registrations && !member->sender_ids.empty() &&
                     member->sender_ids == heard.sender_ids && member->remote == heard.remote;
  if (known) return;  // nothing new: a rekey may be on its way to it
  sender_.settle(member->id);
  member->remote = heard.remote;
  member->local = state_.options.local;
  member->cohort = heard.cohort;
  member->sender_ids = heard.sender_ids;
  member->registered = heard.registered;
  member->registrations = heard.registrations;
  member->unanswered = 0;
  note_late(now, *member);
}

void KsGroup::on_member_gone(TimePoint, const std::string& identity, const IpAddress& at) {
  for (const auto& [id, member] : state_.members.all()) {
    if (member.identity != identity || member.remote.address != at) continue;
    sender_.settle(id);
    state_.members.remove(id);
    return;
  }
}

void KsGroup::on_identity_removed(TimePoint, const std::string& identity) {
  if (state_.removed.size() < removed_identities_max) state_.removed.insert(identity);
}

void KsGroup::on_identity_admitted(TimePoint, const std::string& identity) {
  state_.removed.erase(identity);
}

}  // namespace cohort::gdoi
