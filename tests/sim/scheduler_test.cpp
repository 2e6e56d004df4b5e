#include "tests/sim/scheduler.hpp"

#include <gtest/gtest.h>

namespace cohort::sim {
namespace {

using std::chrono::seconds;

TEST(Scheduler, RunsInOrderOfTimeThenOfScheduling) {
  Scheduler scheduler;
  std::string order;
  scheduler.after(seconds(2), [&] { order += 'c'; });
  scheduler.after(seconds(1), [&] { order += 'a'; });
  scheduler.after(seconds(1), [&] { order += 'b'; });
  scheduler.run_for(seconds(3));
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(scheduler.now(), TimePoint(seconds(3)));
}

TEST(Scheduler, LeavesWhatIsLater) {
  Scheduler scheduler;
  bool ran = false;
  scheduler.after(seconds(5), [&] { ran = true; });
  scheduler.run_for(seconds(4));
  EXPECT_FALSE(ran);
  EXPECT_EQ(scheduler.pending(), 1u);
  scheduler.run_for(seconds(1));
  EXPECT_TRUE(ran);
}

TEST(Scheduler, TreatsThePastAsNow) {
  Scheduler scheduler;
  scheduler.run_for(seconds(10));
  TimePoint at{};
  scheduler.at(TimePoint(seconds(1)), [&] { at = scheduler.now(); });
  scheduler.run_for(seconds(1));
  EXPECT_EQ(at, TimePoint(seconds(10)));
}

TEST(Scheduler, StopsAtOnce) {
  Scheduler scheduler;
  int count = 0;
  for (int i = 0; i < 10; ++i) {
    scheduler.after(seconds(i), [&] {
      if (++count == 3) scheduler.stop();
    });
  }
  scheduler.run_for(seconds(100));
  EXPECT_EQ(count, 3);
  EXPECT_EQ(scheduler.now(), TimePoint(seconds(2)));
}

}  // namespace
}  // namespace cohort::sim
