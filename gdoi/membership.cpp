#include "gdoi/membership.hpp"

#include <algorithm>

namespace cohort::gdoi {
namespace {

bool is_same(const Member& member, const std::string& identity, const IpAddress& address) {
  return member.identity == identity && member.remote.address == address;
}

}  // namespace

Member* Membership::admit(const std::string& identity, const Endpoint& remote) {
  for (auto& [id, member] : members_) {
    if (is_same(member, identity, remote.address)) {
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

const Member* Membership::find(const std::string& identity, const IpAddress& address) const {
  for (const auto& [id, member] : members_) {
    if (is_same(member, identity, address)) return &member;
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

std::vector<MemberId> Membership::drop_outdated() {
  std::map<std::pair<std::string, IpAddress>, MemberId> last;
  std::vector<MemberId> outdated;
  for (const auto& [id, member] : members_) {
    auto& known = last[{member.identity, member.remote.address}];
    if (known != 0) outdated.push_back(known);
    known = id;
  }
  for (const MemberId id : outdated) members_.erase(id);
  return outdated;
}

bool Membership::all_cohort() const {
  return std::all_of(members_.begin(), members_.end(),
                     [](const auto& entry) { return entry.second.cohort; });
}

}  // namespace cohort::gdoi
