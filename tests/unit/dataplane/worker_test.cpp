#include "dataplane/worker.hpp"

#include <gtest/gtest.h>

namespace cohort::dataplane {
namespace {

using namespace std::chrono_literals;

TEST(WorkerTest, ShortPausesAreNotSleptThrough) {
  EXPECT_EQ(rest_after(0us, 100us), 0ns);
  EXPECT_EQ(rest_after(49us, 100us), 0ns);
  EXPECT_EQ(rest_after(50us, 100us), 1us);
}

TEST(WorkerTest, SleepsGrowWithThePauseUpToTheLongest) {
  EXPECT_EQ(rest_after(2560us, 100us), 10us);
  EXPECT_EQ(rest_after(25'600us, 100us), 100us);
  EXPECT_EQ(rest_after(std::chrono::hours(24 * 365), 100us), 100us);
  // nanosleep() is given no whole second.
  EXPECT_EQ(rest_after(std::chrono::hours(24 * 365), 10s), 100ms);
}

TEST(WorkerTest, WhoMayNotSleepDoesNot) {
  EXPECT_EQ(rest_after(std::chrono::hours(1), 0us), 0ns);
}

}  // namespace
}  // namespace cohort::dataplane
