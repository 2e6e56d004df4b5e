#include "gdoi/membership.hpp"

#include <algorithm>

namespace cohort::gdoi {
namespace {

bool is_same(const Member& member, const std::string& identity, const Endpoint& remote) {
  return member.identity == identity && member.remote.address == remote.address;
}

}  // namespace

Member* Membership::admit(const std::string& identity, const Endpoint& remote) {
  for (auto& [id, member] : members_) {
    if (is_same(member, identity, remote)) {
      member.remote = remote;
      return &member;
    }
  }
  if (full()) return nullptr;
  Member member;
  member.id = next_++;
  member.identity = identity;
  member.remote = remote;
  return &members_.emplace(member.id, std::move(member)).first->second;
}

Member* Membership::find(MemberId id) {
  const auto found = members_.find(id);
  return found == members_.end() ? nullptr : &found->second;
}

Member* Membership::find_at(const Endpoint& remote) {
  for (auto& [id, member] : members_) {
    if (member.remote == remote) return &member;
  }
  return nullptr;
}

Member* Membership::find_at(const IpAddress& address) {
  for (auto& [id, member] : members_) {
    if (member.remote.address == address) return &member;
  }
  return nullptr;
}

bool Membership::remove(MemberId id) {
  return members_.erase(id) != 0;
}

void Membership::restore(Member member) {
  next_ = std::max(next_, member.id + 1);
  const MemberId id = member.id;
  members_.insert_or_assign(id, std::move(member));
}

bool Membership::knows(const std::string& identity, const Endpoint& remote) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const auto& entry) { return is_same(entry.second, identity, remote); });
}

bool Membership::all_cohort() const {
  return std::all_of(members_.begin(), members_.end(),
                     [](const auto& entry) { return entry.second.cohort; });
}

}  // namespace cohort::gdoi
