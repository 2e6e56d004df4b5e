#include "tests/sim/network.hpp"

#include <fmt/core.h>

namespace cohort::sim {

namespace {
constexpr std::size_t replay_memory = 16;  // datagrams that an attacker keeps for each host
}  // namespace

void Network::attach(const IpAddress& address, std::string name, Receiver receiver) {
  auto& port = ports_[address];
  port.name = std::move(name);
  port.receiver = std::move(receiver);
}

std::string Network::name_of(const IpAddress& address) const {
  const auto found = ports_.find(address);
  return found == ports_.end() ? address.text() : found->second.name;
}

const LinkOptions& Network::link(const IpAddress& from, const IpAddress& to) const {
  const auto found = links_.find({from, to});
  return found == links_.end() ? default_ : found->second;
}

std::uint64_t Network::sent_by(const IpAddress& address) const {
  const auto found = ports_.find(address);
  return found == ports_.end() ? 0 : found->second.sent;
}

bool Network::reachable(const IpAddress& from, const IpAddress& to) const {
  return !blocked_.contains({from, to}) && !mute_.contains(from) && !deaf_.contains(to);
}

void Network::partition(const std::vector<IpAddress>& one, const std::vector<IpAddress>& other) {
  for (const auto& a : one) {
    for (const auto& b : other) {
      block(a, b);
      block(b, a);
    }
  }
}

void Network::isolate(const IpAddress& address, bool inbound, bool outbound) {
  if (inbound) deaf_.insert(address);
  if (outbound) mute_.insert(address);
}

void Network::heal() {
  blocked_.clear();
  deaf_.clear();
  mute_.clear();
}

std::uint64_t Network::add_filter(Filter filter) {
  filters_.emplace(next_filter_, std::move(filter));
  return next_filter_++;
}

void Network::send(const Datagram& datagram) {
  ++counters_.sent;
  if (const auto port = ports_.find(datagram.local.address); port != ports_.end())
    ++port->second.sent;
  log_.note(scheduler_.now(), name_of(datagram.local.address), "send",
            fmt::format("to {} {} octets {:016x}", name_of(datagram.remote.address),
                        datagram.payload.size(), hash64(datagram.payload)));
  for (const auto& [id, filter] : filters_) {
    if (filter(datagram)) continue;
    ++counters_.filtered;
    return;
  }
  const auto group = groups_.find(datagram.remote.address);
  if (group == groups_.end()) return unicast(datagram, datagram.remote.address);
  for (const auto& member : group->second) {
    if (member != datagram.local.address) unicast(datagram, member);
  }
}

void Network::unicast(Datagram datagram, const IpAddress& to) {
  const auto& from = datagram.local.address;
  const auto& options = link(from, to);
  if (!reachable(from, to)) {
    ++counters_.blocked;
    return;
  }
  if (datagram.payload.size() > options.mtu) {
    ++counters_.too_long;
    return;
  }
  // The receiver's view: its end is local.
  std::swap(datagram.local, datagram.remote);
  const auto delay = [&] { return prng_.between(options.delay_min, options.delay_max); };
  if (prng_.chance(options.duplicate_permille)) {
    ++counters_.duplicated;
    deliver_after(delay(), datagram, to, "copy");
  }
  const auto port = ports_.find(to);
  if (port != ports_.end() && prng_.chance(options.replay_permille) &&
      !port->second.heard.empty()) {
    ++counters_.replayed;
    const auto& heard = port->second.heard;
    deliver_after(prng_.between(Duration(1), replay_delay_max), heard[prng_.below(heard.size())],
                  to, "replay");
  }
  if (prng_.chance(options.loss_permille)) {
    ++counters_.lost;
    log_.note(scheduler_.now(), name_of(to), "lost", "");
    return;
  }
  if (prng_.chance(options.corrupt_permille)) {
    ++counters_.corrupted;
    damage(datagram.payload);
  }
  deliver_after(delay(), std::move(datagram), to, "deliver");
}

void Network::inject(const Datagram& datagram, Duration delay) {
  deliver_after(delay, datagram, datagram.local.address, "inject");
}

void Network::deliver_after(Duration delay, Datagram datagram, const IpAddress& to,
                            const char* how) {
  ++in_flight_;
  scheduler_.after(delay, [this, datagram = std::move(datagram), to, how] {
    --in_flight_;
    deliver(datagram, to, how);
  });
}

void Network::deliver(const Datagram& datagram, const IpAddress& to, const char* how) {
  const auto port = ports_.find(to);
  if (port == ports_.end() || !port->second.receiver) {
    ++counters_.nobody;
    return;
  }
  ++counters_.delivered;
  log_.note(scheduler_.now(), port->second.name, how,
            fmt::format("from {} {} octets {:016x}", name_of(datagram.remote.address),
                        datagram.payload.size(), hash64(datagram.payload)));
  auto& heard = port->second.heard;
  heard.push_back(datagram);
  if (heard.size() > replay_memory) heard.pop_front();
  for (const auto& tap : taps_) tap(datagram);
  port->second.receiver(datagram);
}

void Network::damage(Bytes& payload) {
  if (payload.empty()) return;
  switch (prng_.below(4)) {
    case 0:
      payload.resize(prng_.below(payload.size()));
      break;
    case 1:
      payload.resize(payload.size() + 1 + prng_.below(32), 0xa5);
      break;
    default:
      for (auto flips = 1 + prng_.below(4); flips > 0; --flips)
        payload[prng_.below(payload.size())] ^= static_cast<std::uint8_t>(1u << prng_.below(8));
  }
}

}  // namespace cohort::sim
