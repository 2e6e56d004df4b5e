#pragma once

#include <map>
#include <memory>
#include <set>

#include "controlplane/ike/sa.hpp"

namespace cohort::ike {

/// All phase 1 SAs of an Isakmp, found by id, by cookies, by first message, and by deadline; counts
/// the half-open ones. Pointers stay good until the SA is taken out.
class SaStore {
 public:
  /// A cookie that no SA of ours uses.
  [[nodiscard]] Cookie fresh_cookie(Random& random) const;
  Phase1Sa& insert(std::unique_ptr<Phase1Sa> sa);
  std::unique_ptr<Phase1Sa> take(Phase1Id id);

  [[nodiscard]] Phase1Sa* find(Phase1Id id) const;
  /// By both cookies; an initiator's SA that has no answer yet by its own alone.
  [[nodiscard]] Phase1Sa* find(const Cookie& initiator, const Cookie& responder) const;
  /// As responder: the one that this first message has made already.
  [[nodiscard]] Phase1Sa* find_first(const Cookie& initiator, const Endpoint& remote) const;
  template <typename F>
  void for_each(F&& visit) const {
    for (const auto& [id, sa] : by_id_) visit(*sa);
  }

  /// Those whose peer has this address, in whatever state.
  template <typename F>
  void for_each_with(const IpAddress& address, F&& visit) const {
    const auto [first, last] = by_address_.equal_range(address);
    for (auto entry = first; entry != last; ++entry) visit(*entry->second);
  }

  /// Takes a responder's SA out of the half-open counts.
  void not_half_open(const Phase1Sa& sa);
  [[nodiscard]] std::size_t size() const { return by_id_.size(); }
  [[nodiscard]] std::size_t half_open() const { return half_open_.size(); }
  [[nodiscard]] std::size_t half_open(const IpAddress& address) const;
  /// From the network of an address (an IPv4 /24, an IPv6 /64): whoever has one address of it may
  /// have all.
  [[nodiscard]] std::size_t half_open_near(const IpAddress& address) const;
  /// The oldest half-open one whose peer has not yet shown that it receives our answers; the second
  /// one: among those from the network of `address`.
  [[nodiscard]] Phase1Sa* oldest_unproven() const;
  [[nodiscard]] Phase1Sa* oldest_unproven_near(const IpAddress& address) const;
  /// The oldest half-open one whose peer has owed us message 5 since before `since`; `near`: among
  /// those from the network of that address.
  [[nodiscard]] Phase1Sa* oldest_silent(TimePoint since, const IpAddress* near) const;

  void schedule(const Phase1Sa& sa, TimePoint deadline);
  [[nodiscard]] TimePoint next_deadline() const;
  /// An SA whose deadline has come, if any.
  [[nodiscard]] Phase1Sa* due(TimePoint now) const;

 private:
  using First = std::pair<Cookie, Endpoint>;
  std::map<Phase1Id, std::unique_ptr<Phase1Sa>> by_id_;
  std::map<Cookie, Phase1Sa*> by_own_cookie_;
  std::multimap<IpAddress, Phase1Sa*> by_address_;
  std::map<First, Phase1Id> by_first_;
  std::map<Phase1Id, First> half_open_;  // responder's; ids grow with age
  std::map<IpAddress, std::size_t> half_open_by_address_;
  std::map<IpAddress, std::size_t> half_open_by_network_;
  std::set<std::pair<TimePoint, Phase1Id>> deadlines_;
  std::map<Phase1Id, TimePoint> deadline_of_;
};

}  // namespace cohort::ike
