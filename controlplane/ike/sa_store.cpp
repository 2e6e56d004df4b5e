#include "controlplane/ike/sa_store.hpp"

#include <algorithm>
#include <array>

namespace cohort::ike {

namespace {

/// The address of the network, with zeros behind its prefix.
IpAddress network_of(const IpAddress& address) {
  if (address.is_v4()) return IpAddress::v4(address.v4_value() & 0xffffff00u);
  std::array<std::uint8_t, 16> octets{};
  std::copy_n(address.bytes().begin(), 8, octets.begin());
  return IpAddress::v6(octets);
}

void count_down(std::map<IpAddress, std::size_t>& counts, const IpAddress& key) {
  const auto count = counts.find(key);
  if (--count->second == 0) counts.erase(count);
}

std::size_t count_of(const std::map<IpAddress, std::size_t>& counts, const IpAddress& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

}  // namespace

Cookie SaStore::fresh_cookie(Random& random) const {
  Cookie cookie{};
  do {
    random.fill(cookie);
  } while (cookie == Cookie{} || by_own_cookie_.contains(cookie));
  return cookie;
}

Phase1Sa& SaStore::insert(std::unique_ptr<Phase1Sa> sa) {
  Phase1Sa& kept = *sa;
  by_own_cookie_[kept.own_cookie()] = &kept;
  by_address_.emplace(kept.info.remote.address, &kept);
  if (kept.role == Role::responder) {
    const First first{kept.initiator_cookie, kept.info.remote};
    by_first_[first] = kept.info.id;
    half_open_.emplace(kept.info.id, first);
    ++half_open_by_address_[kept.info.remote.address];
    ++half_open_by_network_[network_of(kept.info.remote.address)];
  }
  by_id_[kept.info.id] = std::move(sa);
  return kept;
}

std::unique_ptr<Phase1Sa> SaStore::take(Phase1Id id) {
  auto node = by_id_.extract(id);
  if (node.empty()) return nullptr;
  not_half_open(*node.mapped());
  by_own_cookie_.erase(node.mapped()->own_cookie());
  const auto [first, last] = by_address_.equal_range(node.mapped()->info.remote.address);
  const auto mine = std::find_if(
      first, last, [&](const auto& entry) { return entry.second == node.mapped().get(); });
  if (mine != last) by_address_.erase(mine);
  schedule(*node.mapped(), never);
  return std::move(node.mapped());
}

Phase1Sa* SaStore::find(Phase1Id id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second.get();
}

Phase1Sa* SaStore::find(const Cookie& initiator, const Cookie& responder) const {
  if (const auto found = by_own_cookie_.find(responder); found != by_own_cookie_.end()) {
    Phase1Sa* sa = found->second;
    if (sa->role == Role::responder && sa->initiator_cookie == initiator) return sa;
  }
  if (const auto found = by_own_cookie_.find(initiator); found != by_own_cookie_.end()) {
    Phase1Sa* sa = found->second;
    const bool answered = sa->responder_cookie != Cookie{};
    if (sa->role == Role::initiator && (!answered || sa->responder_cookie == responder)) return sa;
  }
  return nullptr;
}

Phase1Sa* SaStore::find_first(const Cookie& initiator, const Endpoint& remote) const {
  const auto found = by_first_.find({initiator, remote});
  return found == by_first_.end() ? nullptr : find(found->second);
}

void SaStore::not_half_open(const Phase1Sa& sa) {
  const auto found = half_open_.find(sa.info.id);
  if (found == half_open_.end()) return;
  const IpAddress address = found->second.second.address;
  by_first_.erase(found->second);
  half_open_.erase(found);
  count_down(half_open_by_address_, address);
  count_down(half_open_by_network_, network_of(address));
}

std::size_t SaStore::half_open(const IpAddress& address) const {
  return count_of(half_open_by_address_, address);
}

std::size_t SaStore::half_open_near(const IpAddress& address) const {
  return count_of(half_open_by_network_, network_of(address));
}

Phase1Sa* SaStore::oldest_unproven() const {
  for (const auto& [id, first] : half_open_) {
    Phase1Sa* sa = find(id);
    if (sa->state == State::sa_sent) return sa;
  }
  return nullptr;
}

Phase1Sa* SaStore::oldest_unproven_near(const IpAddress& address) const {
  const IpAddress network = network_of(address);
  for (const auto& [id, first] : half_open_) {
    if (network_of(first.second.address) != network) continue;
    Phase1Sa* sa = find(id);
    if (sa->state == State::sa_sent) return sa;
  }
  return nullptr;
}

Phase1Sa* SaStore::oldest_silent(TimePoint since, const IpAddress* near) const {
  for (const auto& [id, first] : half_open_) {
    if (near != nullptr && network_of(first.second.address) != network_of(*near)) continue;
    Phase1Sa* sa = find(id);
    if (sa->state == State::ke_sent && sa->answered < since) return sa;
  }
  return nullptr;
}

void SaStore::schedule(const Phase1Sa& sa, TimePoint deadline) {
  const Phase1Id id = sa.info.id;
  if (const auto old = deadline_of_.find(id); old != deadline_of_.end()) {
    deadlines_.erase({old->second, id});
    deadline_of_.erase(old);
  }
  if (deadline == never) return;
  deadlines_.insert({deadline, id});
  deadline_of_[id] = deadline;
}

TimePoint SaStore::next_deadline() const {
  return deadlines_.empty() ? never : deadlines_.begin()->first;
}

Phase1Sa* SaStore::due(TimePoint now) const {
  if (next_deadline() > now || deadlines_.empty()) return nullptr;
  return find(deadlines_.begin()->second);
}

}  // namespace cohort::ike
