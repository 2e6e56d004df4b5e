#include <algorithm>

#include "gdoi/member_keys.hpp"

// What the dataplane should do with a member's keys at a moment.
namespace cohort::gdoi {
namespace {

using dataplane::PortRange;
using dataplane::Selector;

bool contains(const Prefix& outer, const Prefix& inner) {
  return outer.length <= inner.length && outer.contains(inner.address);
}
bool contains(const PortRange& outer, const PortRange& inner) {
  return outer.first <= inner.first && inner.last <= outer.last;
}
}  // namespace

bool contains(const Selector& outer, const Selector& inner) {
  return contains(outer.source, inner.source) && contains(outer.destination, inner.destination) &&
         (outer.protocol == 0 || outer.protocol == inner.protocol) &&
         contains(outer.source_ports, inner.source_ports) &&
         contains(outer.destination_ports, inner.destination_ports);
}

namespace {

bool overlap(const Prefix& a, const Prefix& b) {
  return contains(a, b) || contains(b, a);
}
bool overlap(const PortRange& a, const PortRange& b) {
  return a.first <= b.last && b.first <= a.last;
}
/// Whether some packet matches both.
bool overlap(const Selector& a, const Selector& b) {
  return overlap(a.source, b.source) && overlap(a.destination, b.destination) &&
         (a.protocol == 0 || b.protocol == 0 || a.protocol == b.protocol) &&
         overlap(a.source_ports, b.source_ports) &&
         overlap(a.destination_ports, b.destination_ports);
}

void add_once(std::vector<std::uint32_t>& spis, std::uint32_t spi) {
  if (std::find(spis.begin(), spis.end(), spi) == spis.end()) spis.push_back(spi);
}

}  // namespace

bool MemberKeys::sendable(const MemberTek& tek, TimePoint now) const {
  return tek.may_send && !tek.receive_only_now && tek.tek.expires > now &&
         (!dataplane::shape_of(tek.tek.suite).aead || holds_sender_id());
}

std::uint32_t MemberKeys::active_spi(const MemberEntry& entry, TimePoint now) const {
  std::uint32_t active = 0;
  for (const std::uint32_t spi : entry.spis) {
    const auto tek = teks_.find(spi);
    if (tek == teks_.end() || !sendable(tek->second, now)) continue;
    if (tek->second.tek.send_from <= now) active = spi;  // the newest one that is active
  }
  return active;
}

std::uint32_t MemberKeys::send_spi(const MemberEntry& entry, TimePoint now) const {
  if (const std::uint32_t active = active_spi(entry, now); active != 0) return active;
  // Amid a change of policy the entry's own key is not yet to be sent with: what protected the
  // same packets before still is, and everybody can read it.
  for (const MemberEntry& other : entries_) {
    if (!other.acl.permit || !contains(other.acl.selector, entry.acl.selector)) continue;
    if (const std::uint32_t active = active_spi(other, now); active != 0) return active;
  }
  // Without any active key the coming one is better than none.
  const MemberTek* pending = nullptr;
  for (const std::uint32_t spi : entry.spis) {
    const auto tek = teks_.find(spi);
    if (tek == teks_.end() || !sendable(tek->second, now)) continue;
    if (pending == nullptr || tek->second.tek.send_from < pending->tek.send_from)
      pending = &tek->second;
  }
  return pending == nullptr ? 0 : pending->tek.spi;
}

/// An entry's own TEKs, and those of every entry that it overlaps: a member which has not yet heard
/// of a change of policy, or has heard of it before us, matches the packet to another entry.
std::vector<std::uint32_t> MemberKeys::receive_spis(const MemberEntry& entry) const {
  std::vector<std::uint32_t> spis;
  const auto add = [&](const MemberEntry& from) {
    for (const std::uint32_t spi : from.spis) {
      const auto tek = teks_.find(spi);
      if (tek != teks_.end() && tek->second.may_receive) add_once(spis, spi);
    }
  };
  for (const MemberEntry& other : entries_) {
    if (&other != &entry && other.acl.permit && overlap(other.acl.selector, entry.acl.selector))
      add(other);
  }
  add(entry);
  return spis;
}

/// Whether the policy wants us only to hear what others send under this entry, and we can.
bool MemberKeys::receive_only(const MemberEntry& entry, TimePoint now) const {
  bool hears = false;
  for (const std::uint32_t spi : entry.spis) {
    const auto tek = teks_.find(spi);
    if (tek == teks_.end() || tek->second.tek.expires <= now) continue;
    if (tek->second.may_send) return false;
    hears = hears || (tek->second.may_receive && !tek->second.receive_only_now);
  }
  return hears;
}

bool MemberKeys::usable(TimePoint now) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const MemberEntry& entry) {
    return entry.acl.permit && (send_spi(entry, now) != 0 || receive_only(entry, now));
  });
}

dataplane::Snapshot MemberKeys::snapshot(TimePoint now) const {
  dataplane::Snapshot out;
  for (const AclEntry& entry : options_.local_exclusions) {
    out.policy.push_back({entry.selector, dataplane::Action::bypass, 0, {}});
  }
  const bool closed =
      options_.fail_close && (entries_.empty() || (options_.fail_close_revert && !usable(now)));
  for (const MemberEntry& entry : entries_) {
    if (closed && !entry.acl.permit) continue;
    dataplane::PolicyEntry line{entry.acl.selector, dataplane::Action::bypass, 0, {}};
    if (entry.acl.permit) {
      line.action = dataplane::Action::protect;
      line.send_spi = send_spi(entry, now);
      line.receive_spis = receive_spis(entry);
    }
    out.policy.push_back(std::move(line));
  }
  for (const auto& [spi, tek] : teks_) {
    dataplane::Sa sa;
    sa.spi = spi;
    sa.suite = tek.tek.suite;
    sa.cipher_key = tek.tek.cipher_key.clone();
    sa.integrity_key = tek.tek.integrity_key.clone();
    sa.salt = tek.tek.salt.clone();
    if (dataplane::shape_of(tek.tek.suite).aead) {
      const GrantedSenderIds& granted = tek.own_sender_ids ? *tek.own_sender_ids : sender_ids_;
      sa.sender_ids = granted.ids;
      sa.sid_bits = granted.bits;
    }
    const std::uint16_t window = tek.replay_window.value_or(options_.replay_window);
    sa.replay = window == 0 ? dataplane::ReplayKind::none : dataplane::ReplayKind::counter;
    sa.replay_window = window;
    if (tek.time_window) {
      sa.replay = dataplane::ReplayKind::time;
      sa.replay_window = *tek.time_window;
    }
    out.sas.push_back(std::move(sa));
  }
  out.group_time_offset_ms = clock_.offset_ms();
  out.otherwise = closed ? dataplane::Action::drop : dataplane::Action::bypass;
  return out;
}

TimePoint MemberKeys::next_change(TimePoint now) const {
  TimePoint next = never;
  for (const auto& [spi, tek] : teks_) {
    if (tek.tek.send_from > now) next = std::min(next, tek.tek.send_from);
    next = std::min({next, tek.tek.expires, tek.delete_at.value_or(never)});
  }
  for (const auto* kek : {&kek_, &previous_kek_}) {
    if (*kek) next = std::min(next, (*kek)->kek.expires);
  }
  return next;
}

TimePoint MemberKeys::end() const {
  TimePoint end = kek_ ? kek_->kek.expires : never;
  for (const MemberEntry& entry : entries_) {
    TimePoint last = TimePoint::min();
    for (const std::uint32_t spi : entry.spis) {
      const auto tek = teks_.find(spi);
      if (tek == teks_.end() || tek->second.receive_only_now || tek->second.delete_at) continue;
      last = std::max(last, tek->second.tek.expires);
    }
    if (last != TimePoint::min()) end = std::min(end, last);
  }
  return end;
}

std::chrono::seconds MemberKeys::shortest_life() const {
  std::chrono::seconds life = kek_ ? kek_->offer.lifetime : std::chrono::hours{24};
  for (const auto& [spi, tek] : teks_) life = std::min(life, tek.lifetime);
  return life;
}

}  // namespace cohort::gdoi
