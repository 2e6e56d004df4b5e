#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/world/world.hpp"
#include "tests/sim/event_log.hpp"
#include "tests/sim/prng.hpp"
#include "tests/sim/scheduler.hpp"

namespace cohort::sim {

/// The longest that an attacker keeps a datagram before it sends it on.
inline constexpr Duration replay_delay_max = std::chrono::seconds(30);

/// What a link does to the datagrams that cross it, each on its own.
struct LinkOptions {
  Duration delay_min = std::chrono::milliseconds(5);
  Duration delay_max = std::chrono::milliseconds(15);  ///< a wide range reorders
  unsigned loss_permille = 0;
  unsigned duplicate_permille = 0;
  unsigned corrupt_permille = 0;  ///< flips bits, cuts or extends
  unsigned replay_permille = 0;   ///< a copy of some earlier datagram to the same address follows
  std::size_t mtu = 65'535;       ///< octets of UDP payload; longer ones vanish
};

/// Every UDP datagram of the simulated world. A sender's datagram is lost, copied, damaged and
/// delayed by its link's options, unless a block or a filter stops it first.
class Network {
 public:
  using Receiver = std::function<void(const Datagram&)>;
  /// Sees a datagram as its sender made it; false drops it.
  using Filter = std::function<bool(const Datagram&)>;
  /// Sees every delivery just before it is made, the replayed and damaged ones included.
  using Tap = std::function<void(const Datagram&)>;

  Network(Scheduler& scheduler, EventLog& log, Prng prng)
      : scheduler_(scheduler), log_(log), prng_(prng) {}

  void attach(const IpAddress& address, std::string name, Receiver receiver);
  void join(const IpAddress& group, const IpAddress& member) { groups_[group].insert(member); }
  void leave(const IpAddress& group, const IpAddress& member) { groups_[group].erase(member); }

  /// From an attached host; `datagram` in the sender's view (local is the source).
  void send(const Datagram& datagram);
  /// Puts a datagram in front of its receiver as it is, whatever the links do: an attacker's way.
  void inject(const Datagram& datagram, Duration delay);

  void set_default(const LinkOptions& options) { default_ = options; }
  [[nodiscard]] const LinkOptions& default_link() const { return default_; }
  void set_link(const IpAddress& from, const IpAddress& to, const LinkOptions& options) {
    links_[{from, to}] = options;
  }
  void clear_links() { links_.clear(); }

  /// One direction; a two-way partition blocks both.
  void block(const IpAddress& from, const IpAddress& to) { blocked_.insert({from, to}); }
  void unblock(const IpAddress& from, const IpAddress& to) { blocked_.erase({from, to}); }
  /// Nobody of one side hears anybody of the other.
  void partition(const std::vector<IpAddress>& one, const std::vector<IpAddress>& other);
  /// `address` hears no one, or no one hears it, or both.
  void isolate(const IpAddress& address, bool inbound, bool outbound);
  /// Removes every block and isolation; links and filters stay.
  void heal();
  [[nodiscard]] bool reachable(const IpAddress& from, const IpAddress& to) const;

  /// Filters are asked in the order of their addition.
  std::uint64_t add_filter(Filter filter);
  void remove_filter(std::uint64_t id) { filters_.erase(id); }
  void add_tap(Tap tap) { taps_.push_back(std::move(tap)); }

  struct Counters {
    std::uint64_t sent = 0, delivered = 0, lost = 0, blocked = 0, filtered = 0, duplicated = 0,
                  corrupted = 0, replayed = 0, too_long = 0, nobody = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::uint64_t sent_by(const IpAddress& address) const;
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }

 private:
  struct Port {
    std::string name;
    Receiver receiver;
    std::deque<Datagram> heard;  ///< bounded memory for replays
    std::uint64_t sent = 0;
  };

  void unicast(Datagram datagram, const IpAddress& to);
  void deliver_after(Duration delay, Datagram datagram, const IpAddress& to, const char* how);
  void deliver(const Datagram& datagram, const IpAddress& to, const char* how);
  void damage(Bytes& payload);
  [[nodiscard]] const LinkOptions& link(const IpAddress& from, const IpAddress& to) const;
  [[nodiscard]] std::string name_of(const IpAddress& address) const;

  Scheduler& scheduler_;
  EventLog& log_;
  Prng prng_;
  LinkOptions default_;
  std::map<IpAddress, Port> ports_;
  std::map<IpAddress, std::set<IpAddress>> groups_;
  std::map<std::pair<IpAddress, IpAddress>, LinkOptions> links_;
  std::set<std::pair<IpAddress, IpAddress>> blocked_;
  std::set<IpAddress> deaf_, mute_;
  std::map<std::uint64_t, Filter> filters_;
  std::uint64_t next_filter_ = 1;
  std::vector<Tap> taps_;
  Counters counters_;
  std::size_t in_flight_ = 0;
};

}  // namespace cohort::sim
