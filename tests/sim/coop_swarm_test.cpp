#include <gtest/gtest.h>

#include "tests/sim/run.hpp"

namespace cohort::sim {
namespace {

/// Two to four key servers under faults drawn from the seed, then healed. An operator's commands
/// are left out: they go to the primary, whoever that is.
RunOptions draw(std::uint64_t seed) {
  RunOptions options = RunOptions::draw(seed, 3 + static_cast<unsigned>(seed % 4));
  options.group.key_servers = 2 + static_cast<unsigned>(seed % 3);
  options.group.coop.timers = {std::chrono::milliseconds(2000), std::chrono::milliseconds(4000),
                               std::chrono::milliseconds(8000)};
  for (const Fault fault : {Fault::change_policy, Fault::remove_member, Fault::clear_members,
                            Fault::rekey, Fault::rekey_kek})
    options.faults.enabled.erase(fault);
  options.faults.torn_writes = false;
  return options;
}

class CoopSwarm : public testing::TestWithParam<std::uint64_t> {};

TEST_P(CoopSwarm, IsSafeUnderFaultsAndLiveAfterThem) {
  const auto options = draw(GetParam());
  const auto outcome = run(options);
  EXPECT_TRUE(outcome.ok) << options.text() << "\nseed " << GetParam() << "\n" << outcome.text;
}

INSTANTIATE_TEST_SUITE_P(Sim, CoopSwarm, testing::Range<std::uint64_t>(1, 13));

TEST(CoopRepeatable, TheSameSeedGivesTheSameLog) {
  const auto outcome = run_twice(draw(1001));
  EXPECT_GT(outcome.lines, 100u);
  EXPECT_TRUE(outcome.ok) << outcome.text;
}

}  // namespace
}  // namespace cohort::sim
