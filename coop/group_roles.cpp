#include <algorithm>
#include <fmt/format.h>

#include "coop/events.hpp"
#include "coop/group.hpp"

// Election and roles: docs/coop-protocol.md section 4.
namespace cohort::coop {

namespace {

std::string text_of(const std::optional<IpAddress>& address) {
  return address ? address->text() : "NONE";
}

}  // namespace

Rank Group::own_rank() const {
  return {drifted(), options_.priority, options_.local.address};
}

Rank Group::rank_of(const Peer& peer) {
  return {peer.last.drifted, peer.last.priority, peer.end.address};
}

/// Whether our policy differs from that of the primary that we follow, or followed last.
bool Group::drifted() const {
  if (options_.lead_when_drifted || told_to_lead_ || !policy_set_ || primary()) return false;
  for (const Peer& peer : peers_)
    if (followed_ == peer.end.address && peer.announced)
      return peer.last.policy_hash != policy_hash_;
  return false;
}

const Group::Peer* Group::best_primary() const {
  const Peer* best = nullptr;
  for (const Peer& peer : peers_) {
    if (peer.reach != Reach::alive || !peer.announced || peer.last.role != Role::primary) continue;
    if (best == nullptr || outranks(rank_of(peer), rank_of(*best))) best = &peer;
  }
  return best;
}

void Group::enter(TimePoint now, Role role) {
  if (role_ == role) return;
  const Role before = std::exchange(role_, role);
  keys_changed_ = true;
  listen_until_ = window_until_ = await_until_ = yield_by_ = never;
  awaited_.reset();
  if (role != Role::electing) passed_over_.clear();
  if (role != Role::secondary) next_request_ = never;
  if (before == Role::primary) previous_primary_ = options_.local.address;
  if (role == Role::secondary && before != Role::listening)
    world_.outbox.report({&events::ks_trans_to_sec,
                          {{"group", options_.group_name}, {"primary", text_of(followed_)}}});
  next_announce_ = now;  // at each change of role
}

void Group::handle(TimePoint now, Event event) {
  const Transition* row = transition(role_, event);
  if (row == nullptr) return;
  const Role before = role_;
  if (row->action == Action::follow || row->action == Action::yield) {
    // Whom to follow is known before the role is entered.
    const Peer* best = best_primary();
    if (best == nullptr) return;
    followed_ = best->end.address;
  }
  enter(now, row->to);
  act(now, row->action, before);
}

void Group::act(TimePoint now, Action action, Role before) {
  switch (action) {
    case Action::none:
      return;
    case Action::follow:
      follow(now, before);
      return;
    case Action::request_reply:
      ++retries_;
      next_request_ = now + std::max<Duration>((options_.timers.dead - options_.timers.silent) / 3,
                                               std::chrono::milliseconds(20));
      for (Peer& peer : peers_)
        if (followed_ == peer.end.address) announce(now, peer, true, false);
      return;
    case Action::open_window:
      open_window(now);
      return;
    case Action::pass_over:
      if (awaited_) passed_over_.push_back(*awaited_);
      open_window(now);
      return;
    case Action::await_winner:
      await_until_ = now + options_.timers.silent;
      return;
    case Action::take_office:
      take_office(now);
      return;
    case Action::assert_office:
      for (Peer& peer : peers_)
        if (peer.announced && peer.last.role == Role::primary) announce(now, peer, false, false);
      return;
    case Action::yield:
      world_.outbox.report(
          {&events::merged, {{"group", options_.group_name}, {"primary", text_of(followed_)}}});
      follow(now, before);
      return;
    case Action::listen:
      followed_.reset();
      listen_until_ = now + options_.timers.silent;
      announce_all(now, true);
      return;
  }
}

void Group::follow(TimePoint now, Role before) {
  if (before != Role::secondary) {
    followed_since_ = now;
    next_preempt_ = now + options_.timers.silent;
  }
  retries_ = 0;
  leaderless_ = false;
  if (followed_ != reported_primary_) {
    world_.outbox.report({&events::ks_trans_to_pri,
                          {{"group", options_.group_name},
                           {"ks", text_of(followed_)},
                           {"previous_primary", text_of(reported_primary_)}}});
    reported_primary_ = followed_;
  }
  for (const Peer& peer : peers_) {
    if (followed_ != peer.end.address) continue;
    next_request_ = peer.last_heard + options_.timers.silent;
    if (time_.is_estimate() && !peer.last.time_estimate) take_time(now, peer.last.pseudotime_ms);
  }
  if (time_.is_estimate()) time_is_sure(now);
}

void Group::open_window(TimePoint now) {
  ++elections_;
  world_.outbox.report(
      {&events::ks_election,
       {{"group", options_.group_name},
        {"previous_primary", text_of(followed_ ? followed_ : previous_primary_)}}});
  if (followed_) previous_primary_ = followed_;
  await_until_ = never;
  awaited_.reset();
  window_until_ = now + options_.timers.announce / 4;
  announce_all(now, true);
}

void Group::close_window(TimePoint now) {
  window_until_ = never;
  std::vector<Candidate> candidates{{own_rank(), Role::electing, epoch() != nullptr}};
  for (const Peer& peer : peers_)
    if (peer.reach == Reach::alive && peer.announced)
      candidates.push_back({rank_of(peer), peer.last.role, peer.last.has_state});
  const auto best = winner(candidates, passed_over_);
  const bool may_lead =
      best && std::any_of(candidates.begin(), candidates.end(), [&](const auto& one) {
        return one.rank.address == *best && !one.rank.drifted;
      });
  if (best && !may_lead) {
    wait_for_operator(now);
  } else if (!best) {
    passed_over_.clear();
    open_window(now);
  } else if (*best == options_.local.address) {
    handle(now, Event::window_won);
  } else {
    awaited_ = *best;
    handle(now, Event::window_lost);
  }
}

/// Everybody who is left has another policy than the last primary had. Members must not be given
/// that by accident: the operator puts it right, or says that it is right.
void Group::wait_for_operator(TimePoint now) {
  window_until_ = now + options_.timers.silent;
  announce_all(now, true);
  if (std::exchange(leaderless_, true)) return;
  world_.outbox.report({&events::no_primary, {{"group", options_.group_name}}});
}

void Group::lead(TimePoint now) {
  told_to_lead_ = true;
  if (role_ == Role::electing) {
    passed_over_.clear();
    open_window(now);
    settle(now);
  } else {
    elect(now);
  }
}

void Group::take_office(TimePoint now) {
  followed_.reset();
  leaderless_ = false;
  lead_time(now);
  world_.outbox.report({&events::ks_trans_to_pri,
                        {{"group", options_.group_name},
                         {"ks", options_.local.address.text()},
                         {"previous_primary", text_of(previous_primary_)}}});
  reported_primary_ = options_.local.address;
  complete_prepared(now);
  announce_all(now);
}

/// What an announcement says of its sender's role, as events of ours.
void Group::note_role(TimePoint now, Peer& peer, const Message& message, const Announce& announce) {
  if (message.elect_now && role_ != Role::electing && role_ != Role::listening) {
    ignore_primaries_until_ = now + options_.timers.announce / 8;
    handle(now, Event::elect_now);
    announce_all(now, true, true);  // pass it on
    return;
  }
  if (announce.role == Role::primary) {
    if (role_ == Role::electing && now < ignore_primaries_until_) return;
    if (!primary()) {
      handle(now, Event::primary_heard);
    } else if (outranks(own_rank(), rank_of(peer))) {
      handle(now, Event::lower_primary_heard);
    } else if (yield_by_ == never) {
      // Its keys must be ours, or ours its, before our members lose their primary.
      yield_by_ = now + options_.timers.dead;
    }
    return;
  }
  if (followed_ == peer.end.address && role_ == Role::secondary) handle(now, Event::primary_gone);
}

bool Group::ready_to_yield(const Peer& to) const {
  return current_ && to.last.epoch_id == *current_ && to.synced && !preparing_;
}

void Group::reach_timers(TimePoint now) {
  for (Peer& peer : peers_) {
    if (peer.reach != Reach::alive || now < peer.last_heard + options_.timers.dead) continue;
    peer.reach = Reach::dead;
    keys_changed_ = true;
    peer.out.stop();
    peer.synced = false;
    world_.outbox.report(
        {&events::ks_unreach, {{"group", options_.group_name}, {"ks", peer.end.address.text()}}});
    if (followed_ == peer.end.address) handle(now, Event::primary_gone);
  }
}

void Group::role_timers(TimePoint now) {
  if (now >= listen_until_) handle(now, Event::listen_over);
  if (now >= window_until_) close_window(now);
  if (now >= await_until_) handle(now, Event::winner_absent);
  if (now >= next_request_) handle(now, Event::primary_silent);
  if (primary() && yield_by_ != never) {
    const Peer* best = best_primary();
    if (best == nullptr || outranks(own_rank(), rank_of(*best)))
      yield_by_ = never;
    else if (ready_to_yield(*best) || now >= yield_by_)
      handle(now, Event::higher_primary_heard);
  }
  try_preempt(now);
}

void Group::try_preempt(TimePoint now) {
  if (!options_.preempt || role_ != Role::secondary || now < next_preempt_) return;
  next_preempt_ = now + options_.timers.dead;
  for (const Peer& peer : peers_)
    if (followed_ == peer.end.address && peer.synced && outranks(own_rank(), rank_of(peer)))
      elect(now);
}

void Group::elect(TimePoint now) {
  if (transition(role_, Event::elect_now) == nullptr) return;
  ignore_primaries_until_ = now + options_.timers.announce / 8;
  handle(now, Event::elect_now);
  announce_all(now, true, true);
  settle(now);
}

TimePoint Group::role_deadline() const {
  TimePoint next = std::min({listen_until_, window_until_, await_until_, next_request_});
  if (primary() && yield_by_ != never) {
    const Peer* best = best_primary();
    const bool due =
        best == nullptr || outranks(own_rank(), rank_of(*best)) || ready_to_yield(*best);
    next = std::min(next, due ? TimePoint{} : yield_by_);
  }
  if (options_.preempt && role_ == Role::secondary) next = std::min(next, next_preempt_);
  return next;
}

}  // namespace cohort::coop
