#pragma once

#include <gtest/gtest.h>

#include "tests/sim/group.hpp"
#include "tests/sim/oracles.hpp"
#include "tests/sim/run.hpp"

namespace cohort::sim {

/// A hand-written case over the simulator: a group with all oracles, and words for what one does to
/// it. The test's body reads as the story.
class Scenario {
 public:
  explicit Scenario(GroupOptions options) : group(std::move(options)), oracles(group) {}
  ~Scenario() { EXPECT_EQ(group.judge().text(), "") << group.outside().log.tail(); }

  /// Boots everybody and waits until all have keys; traffic flows from then on.
  void settle(Duration limit = std::chrono::minutes(3)) {
    group.boot();
    ASSERT_TRUE(group.run_until([&] { return group.converged(); }, limit))
        << group.describe() << '\n'
        << group.outside().log.tail();
    group.traffic().start();
    group.run_for(std::chrono::seconds(1));
    group.traffic().forget();
  }
  /// From here on a lost packet is an objection.
  void lose_nothing() { oracles.traffic.strict(true); }
  void expect_converged(Duration limit) {
    EXPECT_TRUE(group.run_until([&] { return group.converged(); }, limit))
        << group.describe() << '\n'
        << group.outside().log.tail();
  }
  /// How often all members together have registered.
  [[nodiscard]] std::uint64_t registrations() {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < group.members(); ++i) {
      if (const auto status = group.member_status(i)) sum += status->registrations_succeeded;
    }
    return sum;
  }
  [[nodiscard]] static bool is(const Datagram& datagram, ike::ExchangeType type) {
    return datagram.payload.size() > 18 && datagram.payload[18] == static_cast<std::uint8_t>(type);
  }

  Group group;
  Oracles oracles;
};

/// `members` sites that send a packet every `interval`, with a short-lived policy.
[[nodiscard]] inline GroupOptions scenario_options(
    unsigned members, Duration interval = std::chrono::milliseconds(100)) {
  GroupOptions options;
  options.seed = 1;
  options.members = members;
  options.policy = small_policy(members);
  options.traffic.interval = interval;
  return options;
}

}  // namespace cohort::sim
