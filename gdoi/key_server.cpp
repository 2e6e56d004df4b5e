#include "gdoi/key_server.hpp"

#include <algorithm>
#include <fmt/core.h>
#include <initializer_list>
#include <map>
#include <utility>

#include "gdoi/algorithms.hpp"
#include "gdoi/authorization.hpp"
#include "gdoi/events.hpp"
#include "gdoi/groupkey_pull.hpp"
#include "gdoi/ks_group.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using ike::NotifyType;

constexpr std::size_t nonce_octets = 32;

/// One GROUPKEY-PULL. Until message 3 is right it is all that a member has changed here.
struct Pull {
  PullResponder responder;
  MemberClaim claim;
  std::string group;
  std::uint64_t generation = 0;     ///< of what was offered
  std::vector<std::uint32_t> spis;  ///< of the TEKs that were offered
  TimePoint expires;
};

/// Phase 1, M-ID.
using PullKey = std::pair<ike::Phase1Id, std::uint32_t>;

NotifyType notify_for(const Error& error) {
  if (error.is(unknown_group)) return NotifyType::invalid_id_information;
  if (error.is(unauthorized_identity) || error.is(removed_member)) {
    return NotifyType::authentication_failed;
  }
  const auto is_any = [&error](std::initializer_list<const Reason*> reasons) {
    return std::ranges::any_of(reasons, [&error](const Reason* one) { return error.is(*one); });
  };
  if (error.is(ike::unexpected_payload)) return NotifyType::invalid_payload_type;
  if (is_any({&ike::bad_payload, &ike::bad_length, &ike::truncated_message, &nonce_size,
              &unknown_attribute, &duplicate_attribute, &too_many_items})) {
    return NotifyType::payload_malformed;
  }
  return NotifyType::no_proposal_chosen;
}

/// Worth a Notify to an authenticated peer: an answer that will not change by sending again.
/// Damaged messages get silence, so that the undamaged one can still come.
bool is_verdict(const Error& error) {
  return !error.is(hash_mismatch) && !error.is(ike::bad_header) && !error.is(wrong_message) &&
         !error.is(too_many_exchanges);
}

}  // namespace

struct KeyServer::Impl {
  World& world;
  ike::Isakmp& isakmp;
  std::vector<std::unique_ptr<KsGroup>> groups;
  std::vector<std::unique_ptr<KsGroup>> closing;  ///< removed, but their Delete is still being sent
  std::map<PullKey, Pull> pulls;

  KsGroup* find(std::string_view name) {
    for (auto& group : groups) {
      if (group->state().policy().name == name) return group.get();
    }
    return nullptr;
  }
  KsGroup* find(const GroupId& id) {
    for (auto& group : groups) {
      if (group->state().policy().id == id) return group.get();
    }
    return nullptr;
  }
  Result<KsGroup*> named(std::string_view name) {
    KsGroup* group = find(name);
    if (group == nullptr) return fail(no_such_group, std::string(name));
    return group;
  }

  Status begin(TimePoint now, const ike::Phase1Info& info, const PullKey& key,
               const Datagram& datagram);
  Status finish(TimePoint now, const ike::Phase1Info& info, Pull& pull, const Datagram& datagram);
  Result<KsGroup*> requested_group(const ike::Phase1Info& info, const IdPayload& id);
  Status make_room_for_pull(const ike::Phase1Info& info, const KeyServerOptions& options);
  void refused(TimePoint now, const ike::Phase1Info& info, const Error& error);
};

KeyServer::KeyServer(World& world, ike::Isakmp& isakmp)
    : impl_(new Impl{world, isakmp, {}, {}, {}}) {
  isakmp.attach(ike::ExchangeType::groupkey_pull, *this);
  isakmp.attach(ike::ExchangeType::groupkey_push_ack, *this);
}

KeyServer::~KeyServer() = default;

// ---- groups -------------------------------------------------------------------------------------

Status KeyServer::add_group(TimePoint now, KeyServerOptions options) {
  const std::string name = options.policy.name;
  if (impl_->find(name) || impl_->find(options.policy.id)) {
    return fail(bad_group_policy, name + ": the name or identity is in use");
  }
  auto group = std::make_unique<KsGroup>(impl_->world, impl_->isakmp, std::move(options));
  COHORT_CHECK(group->start(now));
  const GroupPolicy& policy = group->state().policy();
  impl_->world.outbox.report(
      {&events::ks_group_add, {{"group", name}, {"identity", policy.id.text()}}});
  if (!group->state().exclusions.empty() && !policy.send_exclusions) {
    impl_->world.outbox.report({&events::ks_exclusions_not_sent, {{"group", name}}});
  }
  impl_->groups.push_back(std::move(group));
  return {};
}

Status KeyServer::remove_group(TimePoint now, std::string_view name) {
  COHORT_TRY(KsGroup * group, impl_->named(name));
  const Status closed = group->close(now);
  impl_->world.outbox.report({&events::ks_group_delete, {{"group", std::string(name)}}});
  const auto at = std::find_if(impl_->groups.begin(), impl_->groups.end(),
                               [&](const auto& owned) { return owned.get() == group; });
  // With other key servers they tell the members what is to be told, and the authority goes now.
  const bool alone = group->state().options.authority == nullptr;
  if (!group->finish_closing() && alone) impl_->closing.push_back(std::move(*at));
  impl_->groups.erase(at);
  return closed;
}

Status KeyServer::rekey_now(TimePoint now, std::string_view name, bool kek) {
  COHORT_TRY(KsGroup * group, impl_->named(name));
  return group->rekey_all(now, kek, "operator");
}

Status KeyServer::update_policy(TimePoint now, GroupPolicy policy) {
  COHORT_TRY(KsGroup * group, impl_->named(policy.name));
  return group->update_policy(now, std::move(policy));
}

Status KeyServer::remove_member(TimePoint now, std::string_view name, MemberId member) {
  COHORT_TRY(KsGroup * group, impl_->named(name));
  return group->remove_member(now, member);
}

Status KeyServer::admit_member(TimePoint now, std::string_view name, std::string_view identity) {
  COHORT_TRY(KsGroup * group, impl_->named(name));
  return group->admit(now, identity);
}

Status KeyServer::clear_members(TimePoint now, std::string_view name) {
  COHORT_TRY(KsGroup * group, impl_->named(name));
  return group->reset(now, "operator");
}

std::vector<KsGroupStatus> KeyServer::status(TimePoint now) const {
  std::vector<KsGroupStatus> out;
  for (const auto& group : impl_->groups) out.push_back(group->status(now));
  return out;
}

// ---- GROUPKEY-PULL ------------------------------------------------------------------------------

/// A peer that begins more PULLs than it may have loses its own oldest, at first of those that are
/// answered: they stand only to answer a repeated message. Of others, only such may give way.
Status KeyServer::Impl::make_room_for_pull(const ike::Phase1Info& info,
                                           const KeyServerOptions& options) {
  const auto answered = [](const auto& entry) {
    return entry.second.responder.state() == PullState::done;
  };
  const auto sooner = [&](const auto& a, const auto& b) {
    return std::pair(!answered(a), a.second.expires) < std::pair(!answered(b), b.second.expires);
  };
  const auto first = pulls.lower_bound({info.id, 0});
  const auto last = std::find_if(first, pulls.end(),
                                 [&](const auto& entry) { return entry.first.first != info.id; });
  if (std::cmp_greater_equal(std::distance(first, last), options.pulls_max_per_phase1)) {
    pulls.erase(std::min_element(first, last, sooner));
  }
  if (pulls.size() < options.pulls_max) return {};
  const auto oldest = std::min_element(pulls.begin(), pulls.end(), sooner);
  if (!answered(*oldest)) return fail(too_many_exchanges, fmt::format("{} open", pulls.size()));
  pulls.erase(oldest);
  return {};
}

Result<KsGroup*> KeyServer::Impl::requested_group(const ike::Phase1Info& info,
                                                  const IdPayload& id) {
  const Result<GroupId> group_id = group_id_from_wire(id);
  if (!group_id) return fail(unknown_group, group_id.error().text());
  KsGroup* group = find(*group_id);
  if (group == nullptr) {
    world.outbox.report(
        {&events::ks_bad_id, {{"identity", group_id->text()}, {"peer", info.remote.text()}}});
    return fail(unknown_group, group_id->text());
  }
  if (const Status admitted = group->may_join(info); !admitted) {
    group->count_refusal();
    if (admitted.error().is(unauthorized_identity) || admitted.error().is(removed_member)) {
      world.outbox.report({&events::unauthorized_identity,
                           {{"group", group->state().policy().name},
                            {"peer", info.remote.text()},
                            {"reason", admitted.error().detail()}}});
    }
    return fail(admitted.error());
  }
  return group;
}

// Message 1: nothing is kept of it unless it is answered.
Status KeyServer::Impl::begin(TimePoint now, const ike::Phase1Info& info, const PullKey& key,
                              const Datagram& datagram) {
  if (groups.empty()) return fail(unknown_group, "no group is configured");
  COHORT_CHECK(make_room_for_pull(info, groups.front()->state().options));
  COHORT_TRY(ike::SecureExchange exchange, isakmp.begin_exchange(info.id, key.second));
  Pull pull{
      PullResponder(std::move(exchange), world.random.bytes(nonce_octets)), {}, {}, 0, {}, {}};
  COHORT_TRY(const IdPayload id, pull.responder.read_request(datagram.payload));
  isakmp.heard(now, info.id);
  COHORT_TRY(KsGroup * group, requested_group(info, id));
  pull.claim = read_member_nonce(pull.responder.member_nonce());
  if (Status can = group->may_follow(pull.claim); !can) {
    group->count_refusal();
    return fail(std::move(can).error());
  }
  const SaPayload policy = group->offer(now, info, pull.claim);
  COHORT_TRY(const Bytes answer, pull.responder.offer(policy));
  pull.group = group->state().policy().name;
  pull.generation = group->generation();
  pull.spis = spis_of(policy);
  pull.expires = now + group->state().options.pull_lifetime;
  isakmp.send(info.id, answer);
  pulls.emplace(key, std::move(pull));
  return {};
}

// Message 3: the member lives, and has the phase 1 keys: now the group may change.
Status KeyServer::Impl::finish(TimePoint now, const ike::Phase1Info& info, Pull& pull,
                               const Datagram& datagram) {
  COHORT_TRY(const GapPayload request, pull.responder.read_proof(datagram.payload));
  isakmp.heard(now, info.id);
  COHORT_TRY(KsGroup * group, named(pull.group));
  if (group->generation() != pull.generation) return fail(stale_offer, pull.group);
  COHORT_TRY(const KsGroup::Grant grant, group->join(now, info, pull.claim, request, pull.spis));
  COHORT_TRY(const Bytes answer, pull.responder.grant(grant.seq, grant.kd));
  isakmp.send(info.id, answer);
  world.outbox.report({&events::ks_regs_compl,
                       {{"group", pull.group},
                        {"member", identity_of(info.peer)},
                        {"address", info.remote.text()}}});
  return {};
}

void KeyServer::Impl::refused(TimePoint now, const ike::Phase1Info& info, const Error& error) {
  world.outbox.refuse({error, "gdoi_pull", info.remote.text()});
  if (!is_verdict(error)) return;
  isakmp.notify(now, info.id, notify_for(error), as_bytes(error.reason().name));
}

void KeyServer::on_protected(TimePoint now, const ike::Phase1Info& info, const ike::Header& header,
                             const Datagram& datagram) {
  if (header.exchange != ike::ExchangeType::groupkey_pull) return;
  const PullKey key{info.id, header.message_id};
  const auto found = impl_->pulls.find(key);
  if (found == impl_->pulls.end()) {
    if (const Status begun = impl_->begin(now, info, key, datagram); !begun) {
      impl_->refused(now, info, begun.error());
    }
    return;
  }
  if (const Bytes* answer = found->second.responder.cached_answer(datagram.payload)) {
    impl_->isakmp.send(info.id, *answer);
    return;
  }
  const Status finished = impl_->finish(now, info, found->second, datagram);
  if (finished) return;
  impl_->refused(now, info, finished.error());
  if (is_verdict(finished.error())) impl_->pulls.erase(key);
}

void KeyServer::on_phase1_closed(TimePoint, ike::Phase1Id id, const Error&) {
  std::erase_if(impl_->pulls, [id](const auto& entry) { return entry.first.first == id; });
}

// ---- GROUPKEY-PUSH-ACK --------------------------------------------------------------------------

void KeyServer::on_unprotected(TimePoint now, const ike::Header& header, const Datagram& datagram) {
  if (header.exchange != ike::ExchangeType::groupkey_push_ack) {
    impl_->world.outbox.refuse(
        {Error(wrong_message, "no such phase 1"), "gdoi_pull", datagram.remote.text()});
    return;
  }
  for (auto* list : {&impl_->groups, &impl_->closing}) {
    for (auto& group : *list) {
      if (!group->sender().sent_under(header)) continue;
      if (const Status taken = group->sender().on_ack(now, header, datagram); !taken) {
        impl_->world.outbox.refuse({taken.error(), "gdoi_push_ack", datagram.remote.text()});
      }
      return;
    }
  }
  impl_->world.outbox.refuse(
      {Error(unsolicited_ack, "unknown KEK"), "gdoi_push_ack", datagram.remote.text()});
}

// ---- time and jobs ------------------------------------------------------------------------------

bool KeyServer::on_job_done(TimePoint now, JobId id, JobResult& result) {
  for (auto* list : {&impl_->groups, &impl_->closing}) {
    for (auto& group : *list) {
      if (group->sender().on_job_done(now, id, result)) return true;
    }
  }
  return false;
}

void KeyServer::on_timer(TimePoint now) {
  std::erase_if(impl_->pulls, [now](const auto& entry) { return entry.second.expires <= now; });
  for (auto& group : impl_->groups) {
    if (group->next_deadline() <= now) group->on_timer(now);
  }
  for (auto& group : impl_->closing) group->sender().on_timer(now);
  std::erase_if(impl_->closing, [](const auto& group) { return group->finish_closing(); });
}

TimePoint KeyServer::next_deadline() const {
  TimePoint next = never;
  for (const auto& group : impl_->groups) next = std::min(next, group->next_deadline());
  for (const auto& group : impl_->closing) {
    next = std::min(next, group->sender().next_deadline());
  }
  for (const auto& [key, pull] : impl_->pulls) next = std::min(next, pull.expires);
  return next;
}

}  // namespace cohort::gdoi
