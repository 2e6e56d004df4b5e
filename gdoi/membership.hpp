#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/time.hpp"
#include "gdoi/key_server.hpp"

namespace cohort::gdoi {

/// A registered member as its key server knows it.
struct Member {
  MemberId id = 0;
  std::string identity;
  Endpoint remote;      ///< where its PULL came from: rekeys go there
  Endpoint local;       ///< where it reached us
  bool cohort = false;  ///< one of our own programs, by its claim in message 1
  TimePoint registered;
  std::uint64_t registrations = 0;
  std::vector<std::uint32_t> sender_ids;
  std::uint64_t rekeys_sent = 0, rekey_retries = 0;
  std::uint64_t acks_received = 0, acks_missed = 0;
  unsigned unanswered = 0;
  std::uint32_t last_seq_sent = 0, last_seq_acknowledged = 0;
};

/// The members of one group: bounded, one entry for an identity at an address.
class Membership {
 public:
  explicit Membership(std::size_t limit = 0) : limit_(limit) {}

  /// The entry of this identity at this address, made if there is none; null when the list is full.
  Member* admit(const std::string& identity, const Endpoint& remote);
  [[nodiscard]] Member* find(MemberId id);
  /// The entry of this identity at this address, whatever its port.
  [[nodiscard]] const Member* find(const std::string& identity, const IpAddress& address) const;
  bool remove(MemberId id);
  void clear() { members_.clear(); }
  void set_limit(std::size_t limit) { limit_ = limit; }
  /// Puts back a stored entry.
  void restore(Member member);
  /// Leaves the last of several entries for an identity at an address; those that it removes.
  std::vector<MemberId> drop_outdated();
  [[nodiscard]] MemberId next_id() const { return next_; }
  void skip_ids_below(MemberId id) { next_ = id > next_ ? id : next_; }

  [[nodiscard]] std::map<MemberId, Member>& all() { return members_; }
  [[nodiscard]] const std::map<MemberId, Member>& all() const { return members_; }
  [[nodiscard]] std::size_t size() const { return members_.size(); }
  [[nodiscard]] bool full() const { return members_.size() >= limit_; }
  [[nodiscard]] bool knows(const std::string& identity, const Endpoint& remote) const {
    return find(identity, remote.address) != nullptr;
  }
  [[nodiscard]] bool all_cohort() const;

 private:
  std::size_t limit_;
  std::map<MemberId, Member> members_;
  MemberId next_ = 1;
};

}  // namespace cohort::gdoi
