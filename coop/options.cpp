#include "coop/options.hpp"

#include <fmt/format.h>
#include <set>

#include "coop/reasons.hpp"

namespace cohort::coop {

namespace {

Status check_timers(const Timers& timers) {
  if (timers.announce.count() < 100 || timers.announce.count() > 3'600'000)
    return fail(coop_bad_options, fmt::format("announce is {} ms; it may be 100 to 3600000",
                                              timers.announce.count()));
  if (timers.silent < timers.announce + timers.announce / 4)
    return fail(coop_bad_options,
                fmt::format("silent ({} ms) must be at least 1.25 times announce ({} ms), or one "
                            "late announcement counts as silence",
                            timers.silent.count(), timers.announce.count()));
  if (timers.dead < timers.silent + timers.silent / 2)
    return fail(coop_bad_options,
                fmt::format("dead ({} ms) must be at least 1.5 times silent ({} ms), or there is "
                            "no time to ask before an election",
                            timers.dead.count(), timers.silent.count()));
  if (timers.dead > std::chrono::hours(4))
    return fail(coop_bad_options,
                fmt::format("dead is {} ms; it may be 14400000 at most", timers.dead.count()));
  return {};
}

}  // namespace

Status check(const Options& options) {
  COHORT_CHECK(check_timers(options.timers));
  if (options.group_name.empty()) return fail(coop_bad_options, "the group has no name");
  if (options.local.address.is_unspecified())
    return fail(coop_bad_options, "the local address must be the one that the peers know");
  if (options.peers.size() >= servers_max)
    return fail(coop_bad_options, fmt::format("{} peers; a group has at most {} key servers",
                                              options.peers.size(), servers_max));
  std::set<IpAddress> seen{options.local.address};
  for (const Endpoint& peer : options.peers) {
    if (peer.address.is_unspecified() || peer.address.is_multicast())
      return fail(coop_bad_options, "a peer needs a unicast address: " + peer.text());
    if (!seen.insert(peer.address).second)
      return fail(coop_bad_options, "the same key server twice: " + peer.address.text());
  }
  if (options.refresh_after.count() < 0 || options.state_trust.count() < 0)
    return fail(coop_bad_options, "refresh_after and state_trust can't be negative");
  if (options.pseudotime_tolerance.count() <= 0)
    return fail(coop_bad_options, "pseudotime_tolerance must be above 0");
  if (!options.state_key.empty() && options.state_key.size() < 32)
    return fail(coop_bad_options, "the state key must have 32 octets at least");
  return {};
}

}  // namespace cohort::coop
