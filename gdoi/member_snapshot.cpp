#include <algorithm>

#include "gdoi/member_keys.hpp"

// What the dataplane should do with a member's keys at a moment.
namespace cohort::gdoi {

std::uint32_t MemberKeys::send_spi(const MemberEntry& entry, TimePoint now) const {
  const MemberTek* active = nullptr;
  const MemberTek* pending = nullptr;
  for (const std::uint32_t spi : entry.spis) {
    const auto found = teks_.find(spi);
    if (found == teks_.end()) continue;
    const MemberTek& tek = found->second;
    const bool sendable = tek.may_send && !tek.receive_only_now && tek.tek.expires > now &&
                          (!dataplane::shape_of(tek.tek.suite).aead || holds_sender_id());
    if (!sendable) continue;
    if (tek.tek.send_from <= now) {
      active = &tek;  // the newest one that is active
    } else if (pending == nullptr || tek.tek.send_from < pending->tek.send_from) {
      pending = &tek;
    }
  }
  // Without an active key the coming one is better than none: everybody received it when we did.
  const MemberTek* chosen = active != nullptr ? active : pending;
  return chosen == nullptr ? 0 : chosen->tek.spi;
}

bool MemberKeys::usable(TimePoint now) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const MemberEntry& entry) {
    return entry.acl.permit && send_spi(entry, now) != 0;
  });
}

dataplane::Snapshot MemberKeys::snapshot(TimePoint now) const {
  dataplane::Snapshot out;
  for (const AclEntry& entry : options_.local_exclusions) {
    out.policy.push_back({entry.selector, dataplane::Action::bypass, 0, {}});
  }
  for (const MemberEntry& entry : entries_) {
    dataplane::PolicyEntry line{entry.acl.selector, dataplane::Action::bypass, 0, {}};
    if (entry.acl.permit) {
      line.action = dataplane::Action::protect;
      line.send_spi = send_spi(entry, now);
      for (const std::uint32_t spi : entry.spis) {
        const auto tek = teks_.find(spi);
        if (tek != teks_.end() && tek->second.may_receive) line.receive_spis.push_back(spi);
      }
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
      sa.sender_ids = sender_ids_.ids;
      sa.sid_bits = sender_ids_.bits;
    }
    for (const MemberEntry& entry : entries_) {
      const bool ours = std::find(entry.spis.begin(), entry.spis.end(), spi) != entry.spis.end();
      if (!ours) continue;
      const std::uint16_t window = entry.replay_window.value_or(options_.replay_window);
      sa.replay = window == 0 ? dataplane::ReplayKind::none : dataplane::ReplayKind::counter;
      sa.replay_window = window;
    }
    out.sas.push_back(std::move(sa));
  }
  // Before the first registration there is no policy: fail-close drops everything.
  const bool closed = entries_.empty() && options_.fail_close;
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
