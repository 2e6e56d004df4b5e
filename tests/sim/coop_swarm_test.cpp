#include <gtest/gtest.h>

#include "tests/sim/run.hpp"

namespace cohort::sim {
namespace {

/// Two to eight key servers under faults drawn from the seed; `./run sim` runs any others.
class CoopSwarm : public testing::TestWithParam<std::uint64_t> {};

TEST_P(CoopSwarm, IsSafeUnderFaultsAndLiveAfterThem) {
  const auto options = RunOptions::draw_coop(GetParam());
  const auto outcome = run(options);
  EXPECT_TRUE(outcome.ok) << options.text() << "\nseed " << GetParam() << "\n" << outcome.text;
}

INSTANTIATE_TEST_SUITE_P(Sim, CoopSwarm, testing::Range<std::uint64_t>(1, 41));

TEST(CoopRepeatable, TheSameSeedGivesTheSameLog) {
  const auto outcome = run_twice(RunOptions::draw_coop(1001));
  EXPECT_GT(outcome.lines, 100u);
  EXPECT_TRUE(outcome.ok) << outcome.text;
}

}  // namespace
}  // namespace cohort::sim
