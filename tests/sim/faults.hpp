#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/group.hpp"
#include "tests/sim/oracles.hpp"

namespace cohort::sim {

enum class Fault : std::uint8_t {
  weather,         ///< the default link gets better or worse
  isolate_member,  ///< deaf, mute or both, for a while
  isolate_server,
  cut_in_two,  ///< half of the members, from everybody else
  crash_member,
  crash_server,
  crash_server_at_put,  ///< dies inside one of its next writes, torn now and then
  disk_errors,          ///< the server's writes fail for a while
  pause_member,
  pause_server,
  step_clock,  ///< a member's wall clock
  rekey,
  rekey_kek,
  change_policy,
  remove_member,
  clear_members,
  garbage,  ///< datagrams that nobody made
  // With several key servers:
  part_servers,       ///< in two, each side with some of the members
  cut_one_way,        ///< one key server does not hear another one
  flap,               ///< two of them hear each other now and then
  slow_peer,          ///< one is far away for the others
  crash_all_servers,  ///< a power cut
  wipe_server,        ///< crashes, and comes back with an empty disk
  old_image,          ///< crashes, and comes back with the disk of some time before
  kill_primary,       ///< between making a key and having brought it to all members
  step_server_clock,  ///< a key server's wall clock
  elect
};
inline constexpr std::size_t fault_count = 27;
/// Whether it means anything with one key server only.
[[nodiscard]] constexpr bool among_servers(Fault fault) {
  return fault >= Fault::part_servers;
}
[[nodiscard]] std::string_view name_of(Fault fault);

struct FaultOptions {
  std::set<Fault> enabled;
  Duration interval_mean = std::chrono::seconds(20);
  Duration outage_max = std::chrono::seconds(120);  ///< of an isolation, a crash, a pause
  unsigned loss_permille_max = 300;
  bool torn_writes = false;
  unsigned removals_max = 1;
};

/// Lets things go wrong in a group, by the seed: each in turn, with its end scheduled.
class Faults {
 public:
  Faults(Group& group, Oracles& oracles, FaultOptions options);
  void start();
  /// No further fault; everything is put right, everybody is up.
  void heal();
  [[nodiscard]] std::uint64_t injected() const { return injected_; }

 private:
  void next();
  void strike(Fault fault);
  void weather();
  void isolate(Host& host);
  void cut_in_two();
  void crash(Host& host);
  void pause(Host& host);
  void change_policy();
  void remove_or_admit();
  void garbage();
  void part_servers();
  void cut_one_way();
  void flap(const IpAddress& one, const IpAddress& other, unsigned times);
  void slow_peer();
  void crash_all_servers();
  void calm_for(std::size_t i);
  void wipe(std::size_t i);
  void old_image(std::size_t i);
  void kill_primary();
  /// Everything between two hosts, both ways.
  void cut(const IpAddress& one, const IpAddress& other, bool both_ways = true);
  void mend(const std::vector<std::pair<IpAddress, IpAddress>>& cuts);
  /// A server that refuses its state, or died, gets its operator's attention.
  void attend(Host& host);
  void later(std::function<void()> action);
  [[nodiscard]] Host& some_member();
  [[nodiscard]] Host& some_server();

  Group& group_;
  Oracles& oracles_;
  FaultOptions options_;
  Prng prng_;
  Prng power_;  ///< whether the machine went down with the program
  std::vector<Fault> enabled_;
  std::uint64_t injected_ = 0;
  bool running_ = false;
  unsigned removals_ = 0;
  unsigned variant_ = 0;
  TimePoint quiet_until_{};  ///< nothing new goes wrong until then
  std::map<std::size_t, SimStore::Image> images_;
  std::set<std::size_t> attended_;     ///< servers that are being wiped
  std::optional<std::uint64_t> trap_;  ///< the filter that waits for a primary's rekey
};

/// The same traffic, with other SAs: one over all sites, or one for each half of the senders.
[[nodiscard]] gdoi::GroupPolicy variant_of(const gdoi::GroupPolicy& policy, unsigned variant);

}  // namespace cohort::sim
