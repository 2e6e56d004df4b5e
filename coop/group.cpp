#include "coop/group.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "coop/events.hpp"
#include "coop/reasons.hpp"

// Messages, announcements and timers of one group.
namespace cohort::coop {

namespace {

constexpr std::int64_t jump_ms = 20;
constexpr unsigned settle_rounds_max = 8;  // an observer that answers each change with another

Duration retransmit_first(const Timers& timers) {
  return std::max<Duration>(timers.announce / 20, std::chrono::milliseconds(50));
}

}  // namespace

std::string_view name_of(Reach reach) {
  switch (reach) {
    case Reach::unknown:
      return "Unknown";
    case Reach::alive:
      return "Alive";
    case Reach::dead:
      return "Dead";
  }
  return "?";
}

Group::Group(World& world, Options options, Transmit transmit)
    : world_(world),
      options_(std::move(options)),
      transmit_(std::move(transmit)),
      incarnation_(std::max<std::uint64_t>(1, world.random.u64())),
      time_(world.clock.now()),
      replica_(options_.local.address) {
  unsigned handle = 1;  // our own
  for (const Endpoint& end : options_.peers) {
    Peer peer;
    peer.handle = ++handle;
    peer.end = end;
    peer.out = StreamSender(retransmit_first(options_.timers), options_.timers.announce);
    peers_.push_back(std::move(peer));
  }
  servers_hash_ = hash_of(servers());
}

Status Group::start(TimePoint now) {
  COHORT_CHECK(check(options_));
  COHORT_CHECK(load(now));
  started_ = last_run_ = now;
  for (const Peer& peer : peers_)
    world_.outbox.report(
        {&events::ks_add, {{"group", options_.group_name}, {"ks", peer.end.address.text()}}});
  if (peers_.empty()) {
    enter(now, Role::primary);
    take_office(now);
  } else {
    act(now, Action::listen, Role::listening);
  }
  settle(now);
  return {};
}

Group::Peer* Group::find(const IpAddress& address) {
  for (Peer& peer : peers_)
    if (peer.end.address == address) return &peer;
  return nullptr;
}

std::vector<IpAddress> Group::servers() const {
  std::vector<IpAddress> all{options_.local.address};
  for (const Peer& peer : peers_) all.push_back(peer.end.address);
  return all;
}

// ---- sending ------------------------------------------------------------------------------------

void Group::send(Peer& peer, Message message) {
  message.group = options_.group;
  message.from = incarnation_;
  message.to = peer.incarnation;
  const bool request = message.reply_requested;
  const bool is_announce = std::holds_alternative<Announce>(message.body);
  const bool is_data = std::holds_alternative<Data>(message.body);
  const Sent sent = transmit_(peer.end.address, std::move(message));
  if (sent.octets == 0) {
    ++peer.counters.send_drops;
    return;
  }
  peer.sequence_sent = sent.sequence;
  peer.counters.octets_sent += sent.octets;
  if (is_announce) ++peer.counters.announces_sent;
  if (is_announce && request) ++peer.counters.announces_sent_with_request;
  if (is_data) ++peer.counters.data_sent;
}

Announce Group::own_announce(TimePoint now, const Peer& peer) const {
  Announce out;
  out.priority = options_.priority;
  out.role = role_;
  out.drifted = drifted();
  out.time_estimate = time_.is_estimate();
  if (const Epoch* now_in_force = epoch()) {
    out.has_state = true;
    out.epoch_number = now_in_force->number;
    out.epoch_id = now_in_force->id;
  }
  out.synchronized =
      peer.out.running() && peer.out.holds(replica_, peer.end.address, replica_.last_change());
  out.wants_sender_ids = sids_wanted_;
  out.pseudotime_ms = now_ms(now);
  out.policy_hash = policy_hash_;
  out.servers_hash = servers_hash_;
  out.sender = options_.local.address;
  if (primary())
    out.primary = options_.local.address;
  else if (followed_ && role_ == Role::secondary)
    out.primary = *followed_;
  out.clients = our_clients();
  for (const Peer& other : peers_)
    if (other.reach == Reach::alive) out.heard.push_back(other.end.address);
  return out;
}

void Group::announce(TimePoint now, Peer& peer, bool request, bool elect) {
  Message message;
  message.reply_requested = request;
  message.elect_now = elect;
  message.body = own_announce(now, peer);
  send(peer, std::move(message));
}

void Group::announce_all(TimePoint now, bool request, bool elect) {
  for (Peer& peer : peers_) announce(now, peer, request, elect);
  next_announce_ = now + options_.timers.announce;
}

// ---- receiving ----------------------------------------------------------------------------------

void Group::on_message(TimePoint now, const IpAddress& from, const Message& message,
                       std::size_t octets) {
  Peer* peer = find(from);
  if (peer == nullptr) return;
  check_stalled(now);
  peer->counters.octets_received += octets;
  peer->sequence_received = message.sequence;
  peer->version_minor = message.version_minor;
  note_incarnation(now, *peer, message);
  note_heard(now, *peer);
  if (const auto* heard = std::get_if<Announce>(&message.body)) {
    on_announce(now, *peer, message, *heard);
  } else if (message.to != incarnation_) {
    // Meant for who we were before a restart: it does not know yet.
    ++peer->counters.receive_drops;
    if (now - peer->last_reply >= options_.timers.announce / 4) {
      peer->last_reply = now;
      announce(now, *peer, false, false);
    }
  } else if (const auto* data = std::get_if<Data>(&message.body)) {
    on_data(now, *peer, *data);
  } else if (const auto* ack = std::get_if<Ack>(&message.body)) {
    peer->out.on_ack(now, *ack);
  }
  settle(now);
}

void Group::note_incarnation(TimePoint now, Peer& peer, const Message& message) {
  if (peer.incarnation == message.from) return;
  const bool known = peer.incarnation != 0;
  peer.incarnation = message.from;
  peer.in.reset();
  peer.synced = false;
  if (known) replica_.forget_source(peer.end.address);
  peer.out.restart(true);
  // Say who we are at once, so that its stream to us can begin.
  announce(now, peer, false, false);
}

void Group::note_heard(TimePoint now, Peer& peer) {
  peer.last_heard = now;
  if (peer.reach == Reach::alive) return;
  if (peer.reach == Reach::dead)
    world_.outbox.report(
        {&events::ks_reach, {{"group", options_.group_name}, {"ks", peer.end.address.text()}}});
  peer.reach = Reach::alive;
  keys_changed_ = true;
  if (!peer.out.running()) peer.out.restart(false);
}

void Group::note_time(TimePoint now, Peer& peer, const Announce& announce) {
  const auto ours = static_cast<std::int64_t>(now_ms(now));
  peer.time_difference_ms = static_cast<std::int64_t>(announce.pseudotime_ms) - ours;
  if (announce.time_estimate) return;
  if (time_.is_estimate()) {
    if (announce.role == Role::primary) take_time(now, announce.pseudotime_ms);
    return;
  }
  const std::int64_t off = peer.time_difference_ms;
  const std::int64_t tolerance = options_.pseudotime_tolerance.count();
  const bool far = off > tolerance || off < -tolerance;
  if (far) ++invalid_pseudotimes_;
  if (far && !peer.time_reported)
    world_.outbox.report({off > 0 ? &events::pseudo_time_large : &events::pseudo_time_too_old,
                          {{"group", options_.group_name},
                           {"ks", peer.end.address.text()},
                           {"difference_ms", fmt::format("{}", off)}}});
  peer.time_reported = far;
  time_.advance(now, announce.pseudotime_ms);
  // What was planned for a moment of the pseudotime is due earlier now.
  if (off > jump_ms) keys_changed_ = true;
}

/// The primary's time in place of an estimate, though never before what our epochs show.
void Group::take_time(TimePoint now, std::uint64_t primary_ms) {
  time_.adopt(now, primary_ms);
  for (const auto& [id, one] : epochs_) time_.advance(now, one.known_since_ms());
  time_is_sure(now);
}

/// The primary's time is the group's. If it only guesses, the largest of all guesses is the best:
/// all count from a stored time, one that has lost it from nothing.
void Group::lead_time(TimePoint now) {
  if (!time_.is_estimate()) return;
  for (const Peer& peer : peers_) {
    if (peer.reach != Reach::alive || !peer.announced) continue;
    const auto since = std::chrono::floor<std::chrono::milliseconds>(now - peer.announced_at);
    time_.advance(now, peer.last.pseudotime_ms + static_cast<std::uint64_t>(since.count()));
  }
  time_is_sure(now);
}

void Group::time_is_sure(TimePoint now) {
  time_.settle();
  keys_changed_ = true;
  next_ratchet_ = now;  // while it was a guess nothing was erased
}

void Group::on_announce(TimePoint now, Peer& peer, const Message& message,
                        const Announce& announce) {
  ++peer.counters.announces_received;
  if (message.reply_requested) ++peer.counters.announces_received_with_request;
  const bool first = !peer.announced;
  peer.last = announce;
  peer.announced = true;
  peer.announced_at = now;
  if (announce.synchronized && message.to == incarnation_) {
    if (!peer.synced)
      world_.outbox.report({&events::synchronized,
                            {{"group", options_.group_name}, {"ks", peer.end.address.text()}}});
    keys_changed_ = keys_changed_ || !peer.synced;
    peer.synced = true;
  }
  note_time(now, peer, announce);
  if (first) compare_policy(peer);  // then whenever one of the two policies changes
  if (message.reply_requested && (first || now - peer.last_reply >= options_.timers.announce / 4)) {
    peer.last_reply = now;
    this->announce(now, peer, false, false);
  }
  note_role(now, peer, message, announce);
}

void Group::on_link(TimePoint now, const IpAddress& address, bool up) {
  Peer* peer = find(address);
  if (peer == nullptr || peer->linked == up) return;
  peer->linked = up;
  if (up) announce(now, *peer, true, false);
  settle(now);
}

void Group::count_receive_drop(const IpAddress& address) {
  if (Peer* peer = find(address)) ++peer->counters.receive_drops;
}

// ---- time ---------------------------------------------------------------------------------------

void Group::check_stalled(TimePoint now) {
  // A server that has not run for so long was given up by its peers; nothing it believes holds.
  const bool stalled = !peers_.empty() && now - last_run_ > options_.timers.dead;
  last_run_ = now;
  if (!stalled) return;
  // What was sent to us meanwhile has waited: that we hold all that a peer holds is true only if it
  // says so to who we are from now on.
  incarnation_ = std::max<std::uint64_t>(1, world_.random.u64());
  for (Peer& peer : peers_) {
    peer.synced = false;
    peer.in.reset();
    peer.out.restart(true);
  }
  handle(now, Event::stalled);
}

void Group::on_timer(TimePoint now) {
  check_stalled(now);
  reach_timers(now);
  role_timers(now);
  if (now >= next_head_save_) {
    replica_.drop_tombstones(now_ms(now), std::uint64_t{86'400'000});
    replica_.dirty().insert(0);
  }
  settle(now);
}

TimePoint Group::next_deadline() const {
  TimePoint next = std::min({next_announce_, next_ratchet_, next_head_save_, role_deadline()});
  const bool stored = replica_.dirty().empty();  // else nothing is sent, and the head is due soon
  for (const Peer& peer : peers_) {
    if (stored) next = std::min(next, peer.out.deadline());
    if (peer.reach == Reach::alive) next = std::min(next, peer.last_heard + options_.timers.dead);
  }
  if (preparing_ && stored) next = std::min(next, preparing_->until);
  for (const auto& [lease, sids] : sids_)
    if (lease.first == sid_epoch() && sids.asked > sids.held && stored)
      next = std::min(next, sids.until);
  return next;
}

/// What follows from all that an entry point changed: epochs, leases, disk, observer, streams.
void Group::settle(TimePoint now) {
  for (unsigned round = 0; round < settle_rounds_max; ++round) {
    persist(now);  // only what is stored counts as held
    advance_epochs(now);
    advance_leases(now);
    if (now >= next_ratchet_) ratchet(now);
    persist(now);
    const bool more = preparing_ && held_by_reachable(preparing_->change);
    const bool keys = std::exchange(keys_changed_, false);
    const auto items = std::exchange(items_changed_, {});
    if (!keys && items.empty() && !more) break;
    if (observer_ == nullptr) continue;
    // Keys first: members that are to be told of an exclusion must not be forgotten before.
    if (keys) observer_->on_keys_changed(now);
    for (const auto& [id, deleted] : items)
      observer_->on_item(now, id, deleted ? nullptr : replica_.find(id));
  }
  if (may_register()) served_ = current_;
  if (now >= next_announce_) announce_all(now);
  pump(now);
}

// ---- status -------------------------------------------------------------------------------------

namespace {

std::chrono::milliseconds until(TimePoint now, TimePoint when) {
  if (when == never || when <= now) return std::chrono::milliseconds(0);
  return std::chrono::duration_cast<std::chrono::milliseconds>(when - now);
}

}  // namespace

PeerStatus Group::status_of(TimePoint now, const Peer& peer) const {
  PeerStatus one;
  one.handle = peer.handle;
  one.address = peer.end;
  one.version_major = peer.incarnation != 0 ? version_major : std::uint8_t{0};
  one.version_minor = peer.version_minor;
  one.priority = peer.last.priority;
  one.role = peer.last.role;
  one.role_known = peer.announced;
  one.reach = peer.reach;
  one.sequence_sent = peer.sequence_sent;
  one.sequence_received = peer.sequence_received;
  one.ike_established = peer.linked;
  if (peer.incarnation != 0)
    one.heard_ago = std::chrono::duration_cast<std::chrono::milliseconds>(now - peer.last_heard);
  one.synchronized =
      peer.out.running() && peer.out.holds(replica_, peer.end.address, replica_.last_change());
  const std::uint64_t acknowledged = peer.out.acknowledged_change();
  const std::uint64_t changes = replica_.last_change();
  if (!one.synchronized) one.lag = changes - std::min(acknowledged, changes);
  one.drifted = peer.last.drifted;
  one.differences = peer.differences;
  one.pseudotime_difference_ms = peer.time_difference_ms;
  one.clients = peer.last.clients;
  one.counters = peer.counters;
  one.counters.retransmissions = peer.out.retransmissions();
  return one;
}

GroupStatus Group::status(TimePoint now) const {
  GroupStatus out;
  out.group_name = options_.group_name;
  out.group = options_.group;
  out.local = options_.local;
  out.priority = options_.priority;
  out.role = role_;
  out.drifted = drifted();
  out.leaderless = leaderless_;
  out.primary = primary() ? std::optional(options_.local.address) : followed_;
  out.clients = our_clients();
  out.pseudotime_ms = now_ms(now);
  out.pseudotime_estimate = time_.is_estimate();
  if (const Epoch* in_force = epoch()) {
    out.epoch_number = in_force->number;
    out.epoch_id = in_force->id;
    out.epoch_cause = name_of(in_force->cause);
    out.sid_epoch = in_force->sid_epoch;
    for (const Chain& chain : in_force->chains) {
      const bool kek = chain.line == line_id(kek_line);
      auto& generation = kek ? out.kek_generation : out.tek_generation;
      generation = std::max(generation, chain.newest(now_ms(now)));
    }
  }
  out.key_source = options_.key_source;
  out.refresh_policy = options_.timers.announce;
  out.refresh_remaining = until(now, next_announce_);
  out.periodic = options_.timers.silent;
  out.periodic_remaining = until(now, role_ == Role::secondary ? next_request_ : role_deadline());
  out.dead = options_.timers.dead;
  out.retries = retries_;
  out.invalid_pseudotimes = invalid_pseudotimes_;
  out.members_blocked = !may_register();
  out.elections = elections_;
  out.members = replica_.all(Kind::member).size();
  const SidCount sids = sid_count();
  out.sids_leased = sids.leased;
  out.sids_left = sids.left;
  for (const Peer& peer : peers_) {
    out.peers.push_back(status_of(now, peer));
    out.sequence = std::max(out.sequence, peer.sequence_sent);
  }
  return out;
}

}  // namespace cohort::coop
