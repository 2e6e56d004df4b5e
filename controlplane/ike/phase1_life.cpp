#include <algorithm>
#include <fmt/format.h>

#include "controlplane/ike/events.hpp"
#include "controlplane/ike/isakmp_impl.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

using std::chrono::seconds;

// How long the last answer of main mode is repeated to an initiator that missed it.
constexpr seconds remember_answer{120};
// How long an SA that was re-keyed stays for the exchanges under it.
constexpr seconds superseded_life{30};
// Who begins one from a timer has heard of its end when the next timer is over, not this one.
constexpr std::chrono::milliseconds stillborn_life{1};
// SAs that one identity may have at once as initiator: two during a re-key, some more for restarts.
constexpr std::size_t established_max_of_peer = 16;
// A network (an IPv4 /24, an IPv6 /64) may have this part of the half-open ones.
constexpr std::size_t network_share = 4;
// A peer that goes on answers within a round trip and two or three retransmissions.
constexpr seconds patience_when_full{5};
// RFC 3948 section 4: the default.
constexpr seconds keepalive_interval{20};
// Proven failures after which an initiator gives up, rather than waiting for a better answer.
constexpr unsigned proven_failures_max = 2;

Bytes digest_of(ByteView message) {
  return crypto::digest(crypto::Hash::sha256, {message});
}

/// The identity only if it is known: it has been proven then.
Event about(const EventKind& kind, const Phase1Sa& sa) {
  Event event{&kind, {{"peer", sa.info.remote.text()}}};
  const std::string& identity = sa.info.peer.id_text;
  if (!identity.empty()) event.fields.emplace_back("identity", identity);
  event.fields.emplace_back("role", sa.role == Role::initiator ? "initiator" : "responder");
  return event;
}

bool waits_for_peer(State state) {
  return state == State::sa_sent || state == State::ke_sent || state == State::auth_sent;
}

}  // namespace

Phase1Id Isakmp::Impl::begin(TimePoint now, const Endpoint& remote,
                             std::optional<Phase1Id> replaces) {
  auto made = std::make_unique<Phase1Sa>();
  made->info.id = {++last_id};
  made->info.local = options.local;
  made->info.remote = remote;
  made->info.initiator = true;
  made->info.replaces = replaces;
  made->requested = remote;
  made->created = now;
  made->initiator_cookie = sas.fresh_cookie(world.random);
  made->handshake = std::make_unique<Handshake>();
  Phase1Sa& sa = sas.insert(std::move(made));
  Step step{world, options, now, sa};
  Outcome outcome = start(step);
  if (outcome.refused) {
    // The caller does not have the id yet: the next timer tells the handlers.
    sa.stillborn = std::move(outcome.refused);
    schedule(sa);
  } else {
    apply(now, step, std::move(outcome));
  }
  return sa.info.id;
}

void Isakmp::Impl::on_main_mode(TimePoint now, const Header& header, const Datagram& datagram) {
  if (header.message_id != 0)
    return refuse(Error(bad_header, "main mode has message id 0"), datagram.remote);
  if (header.responder == Cookie{}) return on_first_message(now, header, datagram);
  Phase1Sa* sa = sas.find(header.initiator, header.responder);
  if (sa == nullptr) return refuse(Error(unknown_cookies, "main mode"), datagram.remote);
  const bool port_may_move = options.nat_traversal && sa->peer.nat_traversal;
  if (sa->info.remote.address != datagram.remote.address ||
      (sa->info.remote.port != datagram.remote.port && !port_may_move))
    return refuse(Error(wrong_endpoint), datagram.remote);
  const Bytes digest = digest_of(datagram.payload);
  if (equal(digest, sa->answered_digest)) {
    // Our answer was lost, or theirs came twice. Only the responder repeats at once; the initiator
    // has a timer, and both doing it would keep a duplicate alive.
    if (sa->role == Role::responder && !sa->sent.empty()) transmit(*sa, sa->sent);
    return;
  }
  if (sa->established()) return refuse(Error(unexpected_message, "established"), datagram.remote);
  if (equal(digest, sa->handshake->accepted_digest)) return;  // its answer is being computed
  Step step{world, options, now, *sa, !knows_peer(*sa)};
  step.message = datagram.payload;
  step.header = header;
  step.local = datagram.local;
  step.remote = datagram.remote;
  Outcome outcome = on_message(step);
  if (!outcome.refused) sa->handshake->accepted_digest = digest;
  apply(now, step, std::move(outcome));
}

void Isakmp::Impl::on_first_message(TimePoint now, const Header& header, const Datagram& datagram) {
  if (Phase1Sa* known = sas.find_first(header.initiator, datagram.remote); known != nullptr) {
    if (equal(known->answered_digest, digest_of(datagram.payload))) {
      if (known->state == State::sa_sent) transmit(*known, known->sent);
    } else {
      refuse(Error(unexpected_message, "another message with the cookie"), datagram.remote);
    }
    return;
  }
  if (const Status room = make_room(now, datagram.remote.address); !room)
    return refuse(room.error(), datagram.remote);
  auto made = std::make_unique<Phase1Sa>();
  made->role = Role::responder;
  made->info.id = {++last_id};
  made->info.local = datagram.local;
  made->info.remote = datagram.remote;
  made->created = now;
  made->give_up = now + options.half_open_timeout;
  made->initiator_cookie = header.initiator;
  made->responder_cookie = sas.fresh_cookie(world.random);
  made->handshake = std::make_unique<Handshake>();
  made->handshake->accepted_digest = digest_of(datagram.payload);
  Step step{world, options, now, *made};
  step.message = datagram.payload;
  step.header = header;
  step.local = datagram.local;
  step.remote = datagram.remote;
  Outcome outcome = on_message(step);
  if (outcome.refused) {
    const Error why = *outcome.refused;
    refuse(why, datagram.remote);
    if (why.is(no_proposal_chosen) || why.is(no_usable_policy))
      send_clear_notify(header, datagram, NotifyType::no_proposal_chosen);
    return;
  }
  sas.insert(std::move(made));
  apply(now, step, std::move(outcome));
}

Status Isakmp::Impl::make_room(TimePoint now, const IpAddress& address) {
  if (sas.half_open(address) >= options.half_open_max_per_address)
    return fail(half_open_limit, address.text());
  if (sas.size() - sas.half_open() >= options.established_max) return fail(established_limit);
  // Who has a network of his own can answer from each address of it: one network gets a share, so
  // that he does not keep out everybody else.
  const bool share_spent = sas.half_open_near(address) >=
                           std::max<std::size_t>(1, options.half_open_max / network_share);
  if (!share_spent && sas.half_open() < options.half_open_max) return {};
  // Under a flood the oldest exchange whose peer never answered gives way: a forged source can't
  // answer, a real peer does within a round trip. Next, one whose peer has answered and then let
  // it lie: who has many networks would otherwise fill the table with such.
  Phase1Sa* oldest = share_spent ? sas.oldest_unproven_near(address) : sas.oldest_unproven();
  if (oldest == nullptr)
    oldest = sas.oldest_silent(now - patience_when_full, share_spent ? &address : nullptr);
  if (oldest == nullptr)
    return fail(half_open_limit, share_spent ? "from the network of " + address.text() : "in all");
  drop(now, *oldest, Error(half_open_evicted), false);
  return {};
}

void Isakmp::Impl::on_job(TimePoint now, Phase1Sa& sa, JobResult result) {
  sa.job = 0;
  Step step{world, options, now, sa, !knows_peer(sa)};
  step.last_block = sa.handshake->candidate_last_block;
  Outcome outcome = ike::on_job(step, std::move(result));
  apply(now, step, std::move(outcome));
}

void Isakmp::Impl::apply(TimePoint now, Step& step, Outcome outcome) {
  Phase1Sa& sa = step.sa;
  if (outcome.refused) {
    refuse(*outcome.refused, sa.info.remote);
    sa.handshake->accepted_digest.clear();
    // The responder is satisfied and established by then, so it needs the Delete as well.
    const bool hopeless = sa.role == Role::initiator && outcome.proven_peer_fault &&
                          sa.handshake->failures >= proven_failures_max;
    if (outcome.proven_peer_fault || outcome.refused->is(undecryptable))
      tell_failure(step, *outcome.refused, hopeless);
    if (outcome.ended || hopeless) return drop(now, sa, *outcome.refused, false);
  }
  if (sa.role == Role::initiator && sa.handshake->nat && sa.info.remote.port != options.nat_port) {
    sa.info.local.port = options.nat_port;  // RFC 3947 section 4: from message 5 on
    sa.info.remote.port = options.nat_port;
    world.outbox.report(about(nat_detected, sa));
  }
  if (outcome.send) {
    sa.sent = std::move(*outcome.send);
    sa.answered_digest = sa.handshake->accepted_digest;
    sa.answered = now;
    transmit(sa, sa.sent);
    if (sa.role == Role::initiator)
      sa.retransmission = {now + options.retransmit_initial, options.retransmit_initial, 0};
  }
  if (outcome.job) {
    sa.job = world.jobs.post(std::move(*outcome.job));
    jobs[sa.job] = sa.info.id;
  }
  if (outcome.established) establish(now, sa);
  schedule(sa);
}

void Isakmp::Impl::establish(TimePoint now, Phase1Sa& sa) {
  const auto lifetime = sa.info.transform.lifetime;
  const bool peer_began_anew = sa.handshake->candidate_initial_contact;
  sa.answered_digest = sa.handshake->accepted_digest;
  sa.handshake.reset();
  sa.info.established = now;
  sa.info.expires = now + lifetime;
  sa.info.peer_is_cohort = sa.peer.cohort;
  sa.retransmission = {};
  sa.give_up = never;
  sas.not_half_open(sa);
  if (sa.role == Role::responder)
    sa.forget_sent = now + remember_answer;
  else
    sa.sent.clear();
  // A translator forgets where to send our rekeys; whether it is ours or the peer's is all one.
  if (sa.role == Role::initiator && has_marker(sa.info.local))
    sa.keepalive_at = now + keepalive_interval;
  if (sa.peer.dpd) sa.dpd = Dpd(now, options.dpd, world.random.u32());
  if (sa.role == Role::initiator && options.rekey) {
    // Between 85 and 95 % of the life, so that many initiators don't come at once.
    const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(lifetime).count();
    const auto jitter = world.random.below(static_cast<std::uint64_t>(whole / 10) + 1);
    sa.rekey_at =
        now + std::chrono::milliseconds(whole * 85 / 100 + static_cast<std::int64_t>(jitter));
  }
  if (Phase1Sa* old = sa.info.replaces ? sas.find(*sa.info.replaces) : nullptr; old != nullptr) {
    old->superseded = true;
    old->rekey_at = never;
    old->info.expires = std::min(old->info.expires, now + superseded_life);
    schedule(*old);
  }
  world.outbox.report(about(phase1_up, sa));
  notices.push_back(Established{sa.info.id});
  if (peer_began_anew) forget_older(now, sa);
  bound_peer(now, sa);
}

/// No one peer takes the room of all the others. Its identity is proven; its addresses are not few.
void Isakmp::Impl::bound_peer(TimePoint now, const Phase1Sa& newest) {
  Phase1Sa* oldest = nullptr;
  std::size_t count = 0;
  sas.for_each([&](Phase1Sa& sa) {
    if (!sa.established() || sa.role != Role::responder || sa.peer_id != newest.peer_id) return;
    ++count;
    if (oldest == nullptr || sa.info.established < oldest->info.established) oldest = &sa;
  });
  if (count <= established_max_of_peer || oldest == &newest) return;
  refuse(Error(peer_limit, oldest->info.peer.id_text), oldest->info.remote);
  drop(now, *oldest, Error(peer_limit), true);
}

void Isakmp::Impl::forget_older(TimePoint now, const Phase1Sa& newest) {
  // Those that were there before the peer began: one that it made at the same time stays.
  std::vector<Phase1Sa*> older;
  sas.for_each_with(newest.info.remote.address, [&](Phase1Sa& sa) {
    if (&sa != &newest && sa.established() && sa.info.established < newest.created &&
        sa.peer_id == newest.peer_id)
      older.push_back(&sa);
  });
  for (Phase1Sa* sa : older) drop(now, *sa, Error(peer_restarted), false);
}

bool Isakmp::Impl::knows_peer(const Phase1Sa& except) const {
  bool known = false;
  sas.for_each_with(except.info.remote.address,
                    [&](const Phase1Sa& sa) { known = known || &sa != &except; });
  return known;
}

void Isakmp::Impl::drop(TimePoint now, Phase1Sa& sa, Error why, bool tell_peer) {
  if (tell_peer && sa.established()) send_delete(sa);
  Event event = about(sa.established() ? phase1_down : phase1_failed, sa);
  event.fields.emplace_back("reason", std::string(why.reason().name));
  if (!why.detail().empty()) event.fields.emplace_back("detail", why.detail());
  const bool worth_saying = sa.established() || sa.role == Role::initiator ||
                            (!why.is(half_open_evicted) && !why.is(half_open_timeout));
  if (worth_saying) world.outbox.report(std::move(event));
  Phase1Sa* old = sa.info.replaces && !sa.established() ? sas.find(*sa.info.replaces) : nullptr;
  if (old != nullptr && old->info.expires - now > 2 * options.half_open_timeout) {
    old->rekey_at = now + (old->info.expires - now) / 2;
    schedule(*old);
  }
  notices.push_back(Closed{sa.info.id, std::move(why)});
  jobs.erase(sa.job);
  closed.push_back(sas.take(sa.info.id));
}

void Isakmp::Impl::schedule(Phase1Sa& sa) {
  TimePoint next = never;
  if (sa.stillborn)
    next = sa.created + stillborn_life;
  else if (sa.established())
    next = std::min({sa.info.expires, sa.rekey_at, sa.dpd.deadline(), sa.forget_sent,
                     sa.fragments_until, sa.keepalive_at});
  else if (sa.role == Role::responder)
    next = sa.give_up;
  else if (waits_for_peer(sa.state))
    next = sa.retransmission.due;
  sas.schedule(sa, next);
}

void Isakmp::Impl::on_due(TimePoint now, Phase1Sa& sa) {
  if (sa.stillborn) return drop(now, sa, *sa.stillborn, false);
  if (!sa.established()) {
    if (sa.role == Role::initiator) return repeat(now, sa);
    const Error why =
        sa.handshake->hint ? *sa.handshake->hint : Error(half_open_timeout, sa.info.remote.text());
    return drop(now, sa, why, false);
  }
  if (sa.info.expires <= now)
    return drop(now, sa, Error(sa.superseded ? phase1_replaced : phase1_expired), true);
  if (sa.keepalive_at <= now) {
    sa.keepalive_at = sa.superseded ? never : now + keepalive_interval;
    world.outbox.send({sa.info.local, sa.info.remote, {nat_keepalive}});  // without a marker
  }
  if (sa.fragments_until <= now) {
    sa.fragments_until = never;
    sa.reassembly.clear();
    refuse(Error(bad_fragment, "the rest of the message did not come"), sa.info.remote);
  }
  if (sa.forget_sent <= now) {
    sa.forget_sent = never;
    sa.sent.clear();
  }
  if (sa.rekey_at <= now) {
    sa.rekey_at = never;
    begin(now, sa.requested, sa.info.id);
  }
  if (sa.dpd.deadline() <= now) return ask_if_alive(now, sa);
  schedule(sa);
}

void Isakmp::Impl::repeat(TimePoint now, Phase1Sa& sa) {
  Retransmission& r = sa.retransmission;
  if (r.sent == options.retransmit_tries) {
    const Error why =
        sa.handshake->hint ? *sa.handshake->hint : Error(peer_unreachable, sa.info.remote.text());
    return drop(now, sa, why, false);
  }
  ++r.sent;
  r.wait *= 2;
  r.due = now + r.wait;
  transmit(sa, sa.sent);
  schedule(sa);
}

void Isakmp::Impl::ask_if_alive(TimePoint now, Phase1Sa& sa) {
  const Dpd::Action action = sa.dpd.on_timer(now);
  if (action == Dpd::Action::dead) {
    world.outbox.report(about(dead_peer, sa));
    return drop(now, sa, Error(peer_dead, sa.info.remote.text()), true);
  }
  if (action == Dpd::Action::ask) {
    Writer sequence;
    sequence.u32(sa.dpd.sequence());
    send_notify(sa, NotifyType::dpd_are_you_there, sequence.view());
  }
  schedule(sa);
}

}  // namespace cohort::ike
