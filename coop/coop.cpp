#include "coop/coop.hpp"

#include <algorithm>

#include "coop/events.hpp"
#include "coop/reasons.hpp"
#include "gdoi/authorization.hpp"

namespace cohort::coop {

namespace {

inline constexpr Reason peer_silent{
    "coop_peer_silent",
    "the key server said nothing under this phase 1 for too long; a new one is "
    "tried"};

}  // namespace

Coop::Coop(World& world, ike::Isakmp& isakmp) : world_(world), isakmp_(isakmp) {
  isakmp.attach(ike::ExchangeType::coop, *this);
}

Coop::~Coop() = default;

// ---- groups -------------------------------------------------------------------------------------

Status Coop::add_group(TimePoint now, Options options) {
  COHORT_CHECK(check(options));
  const std::string name = options.group_name;
  if (groups_.contains(name)) return fail(coop_bad_options, "the group is there already: " + name);
  for (const auto& [other, group] : groups_)
    if (group->options().group == options.group)
      return fail(coop_bad_options, name + " has the identity of " + other);
  auto group = std::make_unique<Group>(world_, std::move(options), Transmit());
  Group& there = *group;
  there.set_transmit([this, &there](const IpAddress& peer, Message message) {
    return transmit(there.options(), peer, std::move(message));
  });
  COHORT_CHECK(there.start(now));
  groups_.emplace(name, std::move(group));
  handles_[name] = ++last_handle_;
  update_lines(now);
  for (auto& [id, session] : sessions_)
    if (authorized(there.options(), session.peer, session.remote.address))
      there.on_link(now, session.remote.address, true);
  return {};
}

Status Coop::remove_group(std::string_view name) {
  const auto found = groups_.find(name);
  if (found == groups_.end()) return fail(coop_no_such_group, std::string(name));
  for (const Endpoint& peer : found->second->options().peers)
    world_.outbox.report(
        {&events::ks_remove, {{"group", std::string(name)}, {"ks", peer.address.text()}}});
  groups_.erase(found);
  handles_.erase(handles_.find(name));
  update_lines(world_.clock.now());
  return {};
}

Group* Coop::find(std::string_view name) {
  const auto found = groups_.find(name);
  return found == groups_.end() ? nullptr : found->second.get();
}

std::vector<GroupStatus> Coop::status(TimePoint now) const {
  std::vector<GroupStatus> out;
  for (const auto& [name, group] : groups_) {
    out.push_back(group->status(now));
    out.back().group_handle = handles_.at(name);
  }
  return out;
}

// ---- phase 1 with the peers ---------------------------------------------------------------------

/// Which peers there are, and how patient to be with each.
void Coop::update_lines(TimePoint now) {
  std::map<IpAddress, Line> wanted;
  for (const auto& [name, group] : groups_) {
    const Options& options = group->options();
    for (const Endpoint& peer : options.peers) {
      Line& line = wanted[peer.address];
      const auto known = lines_.find(peer.address);
      if (known != lines_.end()) line = known->second;
      line.remote = peer;
      line.retry = line.retry.count() == 0
                       ? Duration(options.timers.announce)
                       : std::min<Duration>(line.retry, options.timers.announce);
      line.silence = std::max<Duration>(line.silence, options.timers.dead);
      // The lower address begins; the other one waits, so that they don't call each other at once.
      if (known == lines_.end() && line.next_try == never)
        line.next_try = options.local.address < peer.address ? now : now + line.retry;
    }
  }
  lines_ = std::move(wanted);
}

bool Coop::trusted(const Session& session) const {
  return std::any_of(groups_.begin(), groups_.end(), [&](const auto& entry) {
    return authorized(entry.second->options(), session.peer, session.remote.address).has_value();
  });
}

Session* Coop::session_to(const IpAddress& peer, const Options* group) {
  Session* newest = nullptr;
  for (auto& [id, session] : sessions_) {
    if (session.remote.address != peer || session.sent == sequence_max) continue;
    // Somebody else at a peer's address, a member perhaps, does not take the peer's place.
    if (group != nullptr ? !authorized(*group, session.peer, peer) : !trusted(session)) continue;
    if (newest == nullptr || session.established >= newest->established) newest = &session;
  }
  return newest;
}

void Coop::on_phase1_established(TimePoint now, const ike::Phase1Info& info) {
  Session session;
  session.id = info.id;
  session.remote = info.remote;
  session.initiator = info.initiator;
  session.peer = info.peer;
  session.established = session.last_heard = now;
  const auto line = lines_.find(info.remote.address);
  if (line == lines_.end()) return;  // a member's, most likely
  Session& there = sessions_.insert_or_assign(info.id, std::move(session)).first->second;
  for (const auto& [name, group] : groups_) {
    const auto& peers = group->options().peers;
    const bool ours = std::any_of(peers.begin(), peers.end(), [&](const Endpoint& peer) {
      return peer.address == info.remote.address;
    });
    if (!ours) continue;
    if (const auto allowed = authorized(group->options(), there.peer, info.remote.address); allowed)
      group->on_link(now, info.remote.address, true);
    else
      refuse_stranger(there, allowed.error(), name);
  }
  line->second.next_try = trusted(there) ? never : now + line->second.silence;
}

void Coop::on_phase1_closed(TimePoint now, ike::Phase1Id id, const Error&) {
  const auto found = sessions_.find(id);
  if (found != sessions_.end()) {
    const IpAddress peer = found->second.remote.address;
    sessions_.erase(found);
    if (session_to(peer) != nullptr) return;
    for (const auto& [name, group] : groups_) group->on_link(now, peer, false);
    if (const auto line = lines_.find(peer); line != lines_.end())
      line->second.next_try = now + line->second.retry / 4;
    return;
  }
  // An attempt that failed: try each line again that has nothing.
  for (auto& [peer, line] : lines_)
    if (line.next_try == never && session_to(peer) == nullptr) line.next_try = now + line.retry;
}

/// When a session with a peer that is silent under all of them is given up. Of two, each end may
/// send under another one, so that one of them seems silent.
TimePoint Coop::stale_at(const Session& session, const Line& line) const {
  TimePoint heard = session.last_heard;
  for (const auto& [id, other] : sessions_)
    if (other.remote.address == session.remote.address) heard = std::max(heard, other.last_heard);
  return heard + line.silence;
}

/// A phase 1 under which nothing is heard may live on here only: the peer has restarted.
void Coop::drop_stale(TimePoint now) {
  std::vector<ike::Phase1Id> stale;
  for (const auto& [id, session] : sessions_) {
    const auto line = lines_.find(session.remote.address);
    if (line == lines_.end() || now >= stale_at(session, line->second)) stale.push_back(id);
  }
  for (const ike::Phase1Id id : stale) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) continue;
    const IpAddress peer = found->second.remote.address;
    // What a member has begun is not ours to end.
    if (found->second.initiator || trusted(found->second)) isakmp_.close(now, id, peer_silent);
    sessions_.erase(id);  // on_phase1_closed has done it, unless isakmp had forgotten it
    if (const auto line = lines_.find(peer); line != lines_.end() && session_to(peer) == nullptr)
      line->second.next_try = now;
  }
}

void Coop::on_timer(TimePoint now) {
  drop_stale(now);
  for (auto& [peer, line] : lines_) {
    if (now < line.next_try) continue;
    line.next_try = now + line.retry;
    if (session_to(peer) == nullptr)
      isakmp_.initiate(now, line.remote);
    else
      line.next_try = never;
  }
  for (const auto& [name, group] : groups_)
    if (now >= group->next_deadline()) group->on_timer(now);
}

TimePoint Coop::next_deadline() const {
  TimePoint next = never;
  for (const auto& [peer, line] : lines_) next = std::min(next, line.next_try);
  for (const auto& [name, group] : groups_) next = std::min(next, group->next_deadline());
  for (const auto& [id, session] : sessions_) {
    const auto line = lines_.find(session.remote.address);
    if (line != lines_.end()) next = std::min(next, stale_at(session, line->second));
  }
  return next;
}

// ---- messages -----------------------------------------------------------------------------------

Status Coop::authorized(const Options& options, const PeerIdentity& peer,
                        const IpAddress& from) const {
  const bool configured = std::any_of(options.peers.begin(), options.peers.end(),
                                      [&](const Endpoint& one) { return one.address == from; });
  if (!configured)
    return fail(coop_unauthorized, from.text() + " is no peer of " + options.group_name);
  if (!peer.by_certificate) return {};  // the key was configured for this address
  if (const auto allowed = gdoi::authorize(options.authorization, peer); !allowed)
    return fail(coop_unauthorized, gdoi::identity_of(peer) + ": " + allowed.error().detail());
  return {};
}

Sent Coop::transmit(const Options& options, const IpAddress& peer, Message message) {
  Session* session = session_to(peer, &options);
  if (session == nullptr) return {};
  const std::size_t octets = seal_and_send(isakmp_, *session, message);
  return {octets, message.sequence};
}

void Coop::refuse_stranger(Session& session, const Error& why, std::string_view group) {
  world_.outbox.refuse({why, "coop", session.remote.text()});
  if (session.reported) return;
  session.reported = true;
  world_.outbox.report({&events::ks_unauth,
                        {{"group", std::string(group)},
                         {"address", session.remote.text()},
                         {"identity", gdoi::identity_of(session.peer)}}});
}

void Coop::on_protected(TimePoint now, const ike::Phase1Info& info, const ike::Header& header,
                        const Datagram& datagram) {
  const auto found = sessions_.find(info.id);
  if (found == sessions_.end()) {
    // Not from a peer's address: no state is kept, nothing is decrypted.
    world_.outbox.refuse(
        {Error(coop_unauthorized, gdoi::identity_of(info.peer)), "coop", datagram.remote.text()});
    return;
  }
  Session& session = found->second;
  const IpAddress from = session.remote.address;
  auto message = open(isakmp_, session, header, datagram.payload);
  if (!message) {
    world_.outbox.refuse({message.error(), "coop", datagram.remote.text()});
    for (const auto& [name, group] : groups_) group->count_receive_drop(from);
    return;
  }
  if (trusted(session)) {
    session.last_heard = now;
    isakmp_.heard(now, info.id);
  }
  if (!*message) return;
  for (const auto& [name, group] : groups_) {
    if (group->options().group != (*message)->group) continue;
    const auto allowed = authorized(group->options(), session.peer, from);
    if (!allowed) return refuse_stranger(session, allowed.error(), name);
    const auto* announce = std::get_if<Announce>(&(*message)->body);
    if (announce != nullptr && announce->sender != from) {
      world_.outbox.refuse(
          {Error(coop_wrong_sender, announce->sender.text()), "coop", datagram.remote.text()});
      return group->count_receive_drop(from);
    }
    group->on_message(now, from, **message, datagram.payload.size());
    return;
  }
  world_.outbox.refuse(
      {Error(coop_unknown_group, (*message)->group.text()), "coop", datagram.remote.text()});
}

void Coop::on_unprotected(TimePoint, const ike::Header&, const Datagram& datagram) {
  world_.outbox.refuse({Error(coop_unauthorized, "no phase 1"), "coop", datagram.remote.text()});
}

}  // namespace cohort::coop
