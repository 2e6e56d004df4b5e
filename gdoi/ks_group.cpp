#include "gdoi/ks_group.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "gdoi/algorithms.hpp"
#include "gdoi/authorization.hpp"
#include "gdoi/events.hpp"
#include "gdoi/group_clock.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

constexpr std::size_t sender_ids_per_member_max = sender_ids_max;

/// How many sender ids are stored as spent at once: a restart wastes at most these.
std::uint32_t reservation(std::uint8_t bits) {
  return bits <= 8 ? 1u : 1u << (bits - 8);
}

}  // namespace

KsGroup::KsGroup(World& world, ike::Isakmp& isakmp, KeyServerOptions options)
    : world_(world),
      state_{std::move(options), {}, Membership{}, {}, {}, nullptr, {}},
      store_(world, state_.options.policy.name),
      sender_(world, isakmp, state_, store_) {
  state_.members.set_limit(state_.policy().members_max);
  state_.keys.sender_ids = SenderIdAllocator(state_.policy().sender_id_bits);
}

KsGroup::~KsGroup() {
  if (state_.options.authority != nullptr) state_.options.authority->serve(TimePoint{}, nullptr);
}

Status KsGroup::start(TimePoint now) {
  COHORT_CHECK(check_policy(state_.options));
  if (state_.options.authority != nullptr) {
    // It has stored keys, members and SEQ, and hears from the other key servers what changed.
    COHORT_CHECK(instruct(now));
    state_.options.authority->serve(now, this);
    return {};
  }
  next_spending_ = now;
  COHORT_TRY(const KsStore::Loaded loaded, store_.load(now, state_));
  const auto& rekey_sa = state_.keys.rekey;
  const bool usable =
      loaded.found && rekey_sa && rekey_sa->kek.expires > now &&
      rekey_sa->kek.signature_key_spki == state_.options.rekey_signing_key.public_key().spki() &&
      state_.keys.sender_ids.bits() == state_.policy().sender_id_bits;
  if (!usable) {
    state_.keys.sender_ids = SenderIdAllocator(state_.policy().sender_id_bits);
    state_.keys.spending = {};
    if (!loaded.found) state_.group_time_offset_ms = group_time_start_ms - ms_of(now);
    new_keys(now);
    return store_.save_keys(now, state_);
  }
  std::erase_if(state_.keys.teks, [now](const GroupTek& tek) { return tek.tek.expires <= now; });
  for (GroupTek& tek : state_.keys.teks)
    tek.many_senders = tek.many_senders || state_.members.size() > 2;
  world_.outbox.report({&events::ks_state_restored,
                        {{"group", state_.policy().name},
                         {"teks", fmt::format("{}", state_.keys.teks.size())},
                         {"members", fmt::format("{}", state_.members.size())},
                         {"seq", fmt::format("{}", rekey_sa->seq)}}});
  jump_seq(loaded);
  if (!trust_disk(loaded)) return start_over(now);
  drop_foreign(now);
  const bool changed = adopt_policy(now);
  if (state_.reset_under) {
    // Nobody but those who registered since holds the current keys; the others must be told.
    const Status told = sender_.start(now, deletion_of_everything(), state_.reset_under, "restart");
    forget_older_than_reset();
    if (!told || !loaded.clock_set_back) return told;
  }
  if (loaded.clock_set_back) return distrust_ages(now);
  COHORT_CHECK(remind(now, changed ? "policy changed while we were down" : "restart"));
  if (kek_fits_policy()) return {};
  return rekey(now, {}, true, "policy changed while we were down");
}

/// Whether the KEK, and the way its rekeys go, are as the policy wants them now.
bool KsGroup::kek_fits_policy() const {
  const RekeyPolicy& policy = state_.policy().rekey;
  const RekeySa& sa = *state_.keys.rekey;
  const bool multicast = policy.transport == RekeyTransport::multicast;
  const auto destination = multicast ? policy.multicast_destination : std::nullopt;
  const crypto::KeyType signer = state_.options.rekey_signing_key.type();
  return sa.kek.cipher == policy.cipher && sa.lifetime == policy.lifetime &&
         sa.kek.signature_hash == hash_for(signer, policy.signature_hash) &&
         sa.multicast == destination;
}

/// Nobody knows how long the stored keys have lived: they live only until the members have others.
Status KsGroup::distrust_ages(TimePoint now) {
  world_.outbox.report({&events::ks_clock_set_back, {{"group", state_.policy().name}}});
  // Nor does anybody know the group's time, and members do not let a rekey set theirs back.
  if (by_time()) return reset(now, "the clock was set back");
  const Duration left = state_.policy().activation_delay + std::chrono::seconds{10};
  for (GroupTek& tek : state_.keys.teks) tek.tek.expires = std::min(tek.tek.expires, now + left);
  COHORT_CHECK(remind(now, "restart"));
  return rekey_all(now, true, "the clock was set back");
}

/// Of the stored members, those who registered after every key was deleted hold the new ones and
/// stay on the list; the Delete is under a KEK that they don't have. Stored times are good to a
/// second or two; who stays by mistake is told by the Delete, and registers again.
void KsGroup::forget_older_than_reset() {
  const RekeySa& first = state_.keys.previous ? *state_.keys.previous : *state_.keys.rekey;
  const TimePoint made = first.made - std::chrono::seconds{2};
  std::erase_if(state_.members.all(), [&](const auto& entry) {
    return entry.second.registered < made || state_.removed.contains(entry.second.identity);
  });
}

// ---- registration -------------------------------------------------------------------------------

bool KsGroup::counter_mode() const {
  return std::any_of(state_.keys.teks.begin(), state_.keys.teks.end(),
                     [](const GroupTek& tek) { return dataplane::shape_of(tek.tek.suite).aead; });
}

Status KsGroup::may_join(const ike::Phase1Info& info) const {
  if (const KeyAuthority* authority = state_.options.authority; authority != nullptr) {
    if (const Status ready = authority->may_register(); !ready) {
      return fail(keys_not_ready, ready.error().text());
    }
  }
  if (!state_.keys.rekey || !serves_something()) return fail(keys_not_ready);
  if (!store_.durable()) return fail(keys_not_stored);
  COHORT_CHECK(authorize(state_.policy().authorization, info.peer));
  const std::string identity = identity_of(info.peer);
  if (state_.removed.contains(identity)) return fail(removed_member, identity);
  if (state_.members.full() && !state_.members.knows(identity, info.remote)) {
    return fail(members_full, fmt::format("{} members", state_.members.size()));
  }
  return {};
}

SaPayload KsGroup::offer(TimePoint now, const ike::Phase1Info& info,
                         const MemberClaim& claim) const {
  const GroupPolicy& policy = state_.policy();
  SaPayload sa;
  Endpoint from = state_.options.local;
  if (from.address.is_unspecified()) from.address = info.local.address;
  if (from.port == 0) from.port = info.local.port;
  const Endpoint to = policy.rekey.transport == RekeyTransport::multicast
                          ? *policy.rekey.multicast_destination
                          : info.remote;
  sa.sak = make_sak(policy.rekey, *state_.keys.rekey, from, to, now);
  const std::size_t members =
      state_.members.size() + (state_.members.knows(identity_of(info.peer), info.remote) ? 0 : 1);
  const Extras extras{claim.cohort || policy.send_exclusions, claim.cohort, members > 2};
  for (const SatPlan& plan : plan_policy(policy, state_.keys, now)) {
    if (auto sat = make_sat(plan, state_.keys, extras, now)) sa.sats.push_back(std::move(*sat));
  }
  // Amid a rekey the newcomer must not send with the new TEK before the others receive on it, nor
  // wait longer than they do.
  sa.gap = make_gap(policy, state_.keys, spis_of(sa), now);
  if (goes_by_time(sa)) sa.gap->group_time_ms = state_.group_time_ms(now);
  return sa;
}

Result<std::vector<std::uint32_t>> KsGroup::spend_sender_ids(TimePoint now, std::size_t count) {
  if (state_.options.authority != nullptr) return spend_leased(now, count);
  GroupKeys& keys = state_.keys;
  const std::uint32_t limit = keys.spending.at(world_.clock.wall());
  if (count <= keys.sender_ids.left() && keys.sender_ids.next() + count > limit)
    return fail(sender_ids_limited, fmt::format("{} of {}", count, keys.sender_ids.left()));
  COHORT_TRY(std::vector<std::uint32_t> ids, keys.sender_ids.allocate(count));
  if (keys.sender_ids.next() > keys.sender_ids_reserved) {
    const std::uint8_t bits = keys.sender_ids.bits();
    const std::uint32_t before = keys.sender_ids_reserved;
    keys.sender_ids_reserved =
        std::min(keys.sender_ids.next() + reservation(bits) - 1, std::uint32_t{1} << bits);
    if (Status stored = store_.save_keys(now, state_); !stored) {
      keys.sender_ids_reserved = before;  // or ids that a restart lends again would be lent next
      return fail(std::move(stored).error());
    }
  }
  return ids;
}

/// For one registration; when they have run out, everybody starts over.
Result<std::vector<std::uint32_t>> KsGroup::lend_sender_ids(TimePoint now,
                                                            const std::string& identity,
                                                            const GapPayload& request) {
  const std::size_t wanted =
      std::clamp<std::size_t>(request.sender_id_request.value_or(1), 1, sender_ids_per_member_max);
  Duration period{0};
  for (const SaPolicy& sa : state_.policy().sas) period = std::max<Duration>(period, sa.lifetime);
  const std::uint8_t bits = state_.keys.sender_ids.bits();
  if (Status within = sender_id_shares_.take(now, identity, wanted, bits, period); !within) {
    ++state_.counters.refused;
    if (sender_id_shares_.first_refusal(identity)) {
      world_.outbox.report(
          {&events::ks_sender_id_share, {{"group", state_.policy().name}, {"member", identity}}});
    }
    return fail(std::move(within).error());
  }
  auto spent = spend_sender_ids(now, wanted);
  if (!spent) sender_id_shares_.give_back(identity, wanted);
  if (!spent && spent.error().is(sender_ids_exhausted)) {
    COHORT_CHECK(reset(now, "sender ids exhausted"));
  }
  return spent;
}

/// Puts the member on the list, durably, or leaves the list as it was.
Result<const Member*> KsGroup::enlist(TimePoint now, const ike::Phase1Info& info,
                                      const MemberClaim& claim,
                                      const std::vector<std::uint32_t>& sender_ids) {
  const std::string identity = identity_of(info.peer);
  const Member* listed = state_.members.find(identity, info.remote.address);
  const std::optional<Member> before = listed != nullptr ? std::optional(*listed) : std::nullopt;
  Member* member = state_.members.admit(identity, info.remote);
  if (member == nullptr) return fail(members_full);
  member->local = info.local;
  member->cohort = claim.cohort;
  member->registered = now;
  ++member->registrations;
  member->unanswered = 0;
  member->sender_ids = sender_ids;
  if (KeyAuthority* authority = state_.options.authority; authority != nullptr) {
    authority->member_registered(now, *member);
    return member;
  }
  if (Status stored = store_.save_member(now, state_, member->id); !stored) {
    const MemberId id = member->id;
    state_.members.remove(id);
    if (before) state_.members.restore(*before);
    return fail(std::move(stored).error());
  }
  return member;
}

Result<KsGroup::Grant> KsGroup::join(TimePoint now, const ike::Phase1Info& info,
                                     const MemberClaim& claim, const GapPayload& request,
                                     const std::vector<std::uint32_t>& spis) {
  COHORT_CHECK(may_join(info));
  for (const std::uint32_t spi : spis) {
    if (state_.keys.find(spi) == nullptr) return fail(stale_offer);  // ended since it was offered
  }
  std::vector<std::uint32_t> ids;
  if (counter_mode()) {
    COHORT_TRY(ids, lend_sender_ids(now, identity_of(info.peer), request));
  }
  const bool known = state_.members.knows(identity_of(info.peer), info.remote);
  if (!known) before_member(now);
  COHORT_TRY(const Member* member, enlist(now, info, claim, ids));
  sender_.settle(member->id);
  ++state_.counters.registrations;
  if (known && claim.starts_anew) note_restart(now, *member);
  if (!state_.time_told) {
    state_.time_told = now;
    state_.told_offset_ms = static_cast<std::int64_t>(state_.group_time_ms(now)) - ms_of(now);
  }
  if (!known) after_member();
  // What this registration itself has changed (an end of windows, a reset) may not be stored yet.
  if (!store_.durable()) return fail(keys_not_stored);

  Grant grant;
  grant.member = member->id;
  grant.seq = state_.keys.rekey->seq;
  if (const KeyAuthority* authority = state_.options.authority; authority != nullptr)
    grant.seq = std::max(grant.seq, authority->seq_floor(state_.keys.rekey->kek.spi));
  grant.kd.packets.push_back(make_key_packet(state_.keys.rekey->kek));
  for (const std::uint32_t spi : spis) {
    grant.kd.packets.push_back(make_key_packet(state_.keys.find(spi)->tek));
  }
  if (!ids.empty()) {
    grant.kd.packets.push_back(make_key_packet(ids, state_.keys.sender_ids.bits()));
  }
  return grant;
}

// ---- members ------------------------------------------------------------------------------------

Status KsGroup::remove_member(TimePoint now, MemberId id) {
  const Member* member = state_.members.find(id);
  if (member == nullptr) return fail(no_such_member, fmt::format("{}", id));
  if (state_.removed.size() == removed_identities_max) {
    return fail(too_many_items, "removed identities");
  }
  state_.removed.insert(member->identity);
  world_.outbox.report({&events::ks_gm_revoked,
                        {{"group", state_.policy().name},
                         {"member", member->identity},
                         {"address", member->remote.text()}}});
  if (state_.options.authority != nullptr) {
    const std::string identity = member->identity;
    return state_.options.authority->identity_removed(now, identity);
  }
  return reset(now, "member removed");
}

Status KsGroup::admit(TimePoint now, std::string_view identity) {
  if (state_.removed.erase(std::string(identity)) == 0) {
    return fail(no_such_member, std::string(identity));
  }
  if (state_.options.authority != nullptr) {
    state_.options.authority->identity_admitted(now, std::string(identity));
    return {};
  }
  return store_.save_keys(now, state_);
}

void KsGroup::evict_silent(TimePoint now) {
  // Who was silent to the last rekeys of a primary that is none any more may have heard the next
  // one.
  const bool ours = state_.options.authority == nullptr || distributing_;
  for (const MemberId id : sender_.take_silent()) {
    const Member* member = state_.members.find(id);
    if (member == nullptr || !ours) continue;
    ++state_.counters.evictions;
    world_.outbox.report({&events::ks_nack_gm_eject,
                          {{"group", state_.policy().name},
                           {"member", member->identity},
                           {"address", member->remote.text()}}});
    sender_.settle(id);
    if (state_.options.authority != nullptr)
      state_.options.authority->member_gone(now, *member, true);
    state_.members.remove(id);
    if (state_.options.authority == nullptr) (void)store_.save_member(now, state_, id);
    if (state_.members.size() == 0) {
      world_.outbox.report({&events::ks_last_gm, {{"group", state_.policy().name}}});
    }
  }
}

// ---- status -------------------------------------------------------------------------------------

namespace {

std::chrono::seconds whole(Duration duration) {
  return std::max(std::chrono::duration_cast<std::chrono::seconds>(duration),
                  std::chrono::seconds{0});
}

KsMemberStatus status_of(const Member& member, TimePoint now) {
  KsMemberStatus out;
  out.id = member.id;
  out.cohort = member.cohort;
  out.identity = member.identity;
  out.remote = member.remote;
  out.registered_ago = whole(now - member.registered);
  out.registrations = member.registrations;
  out.sender_ids = member.sender_ids;
  out.rekeys_sent = member.rekeys_sent;
  out.rekey_retries = member.rekey_retries;
  out.acks_received = member.acks_received;
  out.acks_missed = member.acks_missed;
  out.unanswered_rekeys = member.unanswered;
  out.last_seq_sent = member.last_seq_sent;
  out.last_seq_acknowledged = member.last_seq_acknowledged;
  return out;
}

KsTekStatus status_of(const GroupTek& tek, TimePoint now) {
  KsTekStatus out;
  out.spi = tek.tek.spi;
  out.sa_number = tek.sa_number;
  for (const AclEntry& entry : tek.entries) out.acl.push_back(entry.text());
  out.suite = tek.tek.suite;
  out.replay_window = tek.by_time() ? tek.tek.replay_window : tek.window();
  out.replay = out.replay_window != 0 ? tek.tek.replay : dataplane::ReplayKind::none;
  out.lifetime = tek.lifetime;
  out.remaining = whole(tek.tek.expires - now);
  out.elapsed = whole(now - tek.made);
  out.superseded = tek.superseded.has_value();
  return out;
}

KsKekStatus status_of(const RekeySa& sa, std::size_t key_bits, TimePoint now) {
  KsKekStatus out;
  out.spi = sa.kek.spi;
  out.cipher = sa.kek.cipher;
  out.signature_hash = sa.kek.signature_hash;
  out.signature_key_bits = key_bits;
  out.lifetime = sa.lifetime;
  out.remaining = whole(sa.kek.expires - now);
  out.seq = sa.seq;
  return out;
}

}  // namespace

KsGroupStatus KsGroup::status(TimePoint now) const {
  const GroupPolicy& policy = state_.policy();
  KsGroupStatus out;
  out.name = policy.name;
  out.id = policy.id;
  out.transport = policy.rekey.transport;
  out.acknowledge = policy.rekey.acknowledge;
  if (state_.keys.rekey)
    out.kek = status_of(*state_.keys.rekey, state_.options.rekey_signing_key.bits(), now);
  for (const GroupTek& tek : state_.keys.teks) {
    out.teks.push_back(status_of(tek, now));
    if (!tek.superseded && !tek.delete_at) {
      const auto in = whole(rekey_due(tek) - now);
      out.next_rekey = std::min(out.next_rekey.value_or(in), in);
    }
  }
  if (state_.keys.rekey) out.next_kek_rekey = whole(kek_due() - now);
  if (const TimePoint next = sender_.next_deadline(); next != never)
    out.next_member_timer = whole(std::max(next, now) - now);
  for (const auto& [id, member] : state_.members.all()) {
    out.members.push_back(status_of(member, now));
  }
  for (const SaPolicy& sa : policy.sas) {
    for (const AclEntry& entry : sa.acl) out.acl.push_back(entry.text());
  }
  out.removed.assign(state_.removed.begin(), state_.removed.end());
  out.sender_id_bits = state_.keys.sender_ids.bits();
  out.sender_ids_used = state_.keys.sender_ids.used();
  out.sender_ids_left = state_.keys.sender_ids.left();
  if (const KeyAuthority* authority = state_.options.authority; authority != nullptr) {
    const KeyAuthority::SenderIdCount count = authority->sender_id_count();
    out.sender_ids_used = count.used;
    out.sender_ids_left = count.left;
  }
  if (by_time()) out.group_time_ms = state_.group_time_ms(now);
  out.activation_delay = policy.activation_delay;
  out.deactivation_delay = policy.deactivation_delay;
  out.retransmit_number = policy.rekey.retransmit_number;
  out.retransmit_interval = policy.rekey.retransmit_interval;
  const KsCounters& counters = state_.counters;
  out.registrations = counters.registrations;
  out.refused = counters.refused;
  out.rekeys = counters.rekeys;
  out.kek_rekeys = counters.kek_rekeys;
  out.pushes_sent = counters.pushes_sent;
  out.retransmissions = counters.retransmissions;
  out.acks_received = counters.acks_received;
  out.evictions = counters.evictions;
  return out;
}

}  // namespace cohort::gdoi
