#include "tests/sim/host.hpp"

#include <gtest/gtest.h>

#include "tests/sim/toy.hpp"

namespace cohort::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Host, DrivesTimersAndDatagrams) {
  ToyPair pair(1);
  pair.boot();
  pair.outside.scheduler.run_for(seconds(10));
  EXPECT_NEAR(pair.node(0).timers, 100, 1);
  EXPECT_NEAR(static_cast<double>(pair.node(1).heard.size()), 100, 2);
  EXPECT_EQ(pair.node(1).heard.begin()->first, 1u);
}

TEST(Host, RunsAreRepeatable) {
  const auto run = [](std::uint64_t seed) {
    ToyPair pair(seed, milliseconds(50), 300);
    LinkOptions bad;
    bad.loss_permille = 200;
    bad.duplicate_permille = 100;
    pair.outside.network.set_default(bad);
    pair.boot();
    pair.outside.scheduler.run_for(seconds(5));
    pair.a().crash();
    pair.outside.scheduler.run_for(seconds(2));
    pair.a().boot();
    pair.outside.scheduler.run_for(seconds(5));
    return std::pair(pair.outside.log.hash(), pair.node(0).keys);
  };
  EXPECT_EQ(run(9), run(9)) << "key pairs come from the seed, too";
  EXPECT_NE(run(9).first, run(10).first);
  EXPECT_FALSE(run(9).second.empty());
}

TEST(Host, CrashForgetsMemoryAndKeepsTheDisk) {
  ToyPair pair(2);
  pair.boot();
  pair.outside.scheduler.run_for(seconds(2));
  pair.a().crash();
  EXPECT_FALSE(pair.a().up());
  EXPECT_EQ(pair.a().program(), nullptr);
  const auto before = pair.node(1).heard.size();
  pair.outside.scheduler.run_for(seconds(2));
  EXPECT_LE(pair.node(1).heard.size(), before + 1) << "only what was in flight arrives";
  pair.a().boot();
  pair.outside.scheduler.run_for(seconds(2));
  EXPECT_LE(pair.node(0).heard.size(), 21u) << "b's numbers from before are forgotten";
  for (const auto& [number, times] : pair.node(1).heard) EXPECT_EQ(times, 1u) << number;
  EXPECT_GT(pair.node(1).heard.rbegin()->first, before) << "a counted on from its disk";
}

TEST(Host, DeathInsideAPutTakesNoFurtherEffect) {
  ToyPair pair(3);
  pair.boot();
  pair.outside.scheduler.run_for(seconds(1));
  const auto sent = pair.outside.network.sent_by(pair.a().address());
  pair.a().store.set_faults({.crash_at_put_permille = 1000});
  pair.outside.scheduler.run_for(seconds(1));
  EXPECT_FALSE(pair.a().up());
  EXPECT_EQ(pair.outside.network.sent_by(pair.a().address()), sent);
  pair.a().store.set_faults({});
  pair.a().boot();
  pair.outside.scheduler.run_for(seconds(1));
  EXPECT_GT(pair.outside.network.sent_by(pair.a().address()), sent);
}

TEST(Host, PausedHostHandlesLaterWhatCameMeanwhile) {
  ToyPair pair(4);
  pair.boot();
  pair.outside.scheduler.run_for(seconds(1));
  pair.a().pause();
  const auto timers = pair.node(0).timers;
  const auto heard = pair.node(0).heard.size();
  pair.outside.scheduler.run_for(seconds(5));
  EXPECT_EQ(pair.node(0).timers, timers);
  EXPECT_EQ(pair.node(0).heard.size(), heard);
  pair.a().resume();
  pair.outside.scheduler.run_for(milliseconds(1));
  EXPECT_GE(pair.node(0).heard.size(), heard + 48);
  EXPECT_EQ(pair.node(0).timers, timers + 1);
}

TEST(Host, MonotonicClocksDriftAndBeginAgainWithTheMachineOnly) {
  ToyPair pair(5, milliseconds(100), 50'000);  // five per cent fast
  pair.boot();
  pair.outside.scheduler.run_for(seconds(100));
  EXPECT_NEAR(pair.node(0).timers, 1050, 8);
  const auto& clock = pair.a().clock;
  for (int i = 0; i < 1000; ++i) {
    const auto local = clock.now() + Duration(i * 977);
    EXPECT_GE(clock.local(clock.global(local)), local);
    EXPECT_LT(clock.local(clock.global(local) - Duration(1)), local);
  }
  ASSERT_TRUE(pair.a().store.put("state", as_bytes("of a program that lived")));
  const auto before = clock.now();
  ASSERT_GT(before, TimePoint(seconds(60)));
  pair.a().crash();
  pair.a().boot();
  EXPECT_EQ(clock.now(), before) << "only the program was down";
  pair.a().crash();
  pair.a().store.lose_witness();
  pair.a().boot();
  EXPECT_EQ(clock.now(), TimePoint{}) << "the machine was, for no time";
  for (const int down : {7, 100}) {
    pair.a().crash();
    pair.a().store.lose_witness();
    pair.outside.scheduler.run_for(seconds(down));
    pair.a().boot();
    EXPECT_LE(clock.now(), TimePoint(std::min(seconds(down), seconds(60))));
  }
}

TEST(Host, WallClockStepsLeaveTheMonotonicOneAlone) {
  ToyPair pair(6);
  pair.boot();
  const auto monotonic = pair.a().clock.now();
  const auto wall = pair.a().clock.wall();
  pair.a().clock.step_wall(std::chrono::hours(-5));
  EXPECT_EQ(pair.a().clock.now(), monotonic);
  EXPECT_EQ(pair.a().clock.wall(), wall - std::chrono::hours(5));
}

TEST(Host, AccusesANodeThatIsAlwaysDue) {
  struct Spinner final : Node {
    void on_datagram(TimePoint, const Datagram&) override {}
    void on_timer(TimePoint) override {}
    [[nodiscard]] TimePoint next_deadline() const override { return TimePoint{}; }
    void on_job_done(TimePoint, JobId, JobResult) override {}
  };
  struct SpinProgram final : Program {
    Spinner node;
  };
  Outside outside(1, false);
  Authority authority(1);
  HostOptions options;
  options.name = "spinner";
  options.address = IpAddress::v4(1);
  Host host(
      outside, options,
      [](Host& self) {
        auto program = std::make_unique<SpinProgram>();
        self.open_port().node = &program->node;
        return program;
      },
      std::make_unique<SimCredentials>(authority, options.address, [] { return WallTime{}; }));
  host.boot();
  outside.scheduler.run_for(seconds(1));
  ASSERT_EQ(outside.judge.violations().size(), 1u);
  EXPECT_EQ(outside.judge.violations()[0].oracle, "timer_spin");
}

}  // namespace
}  // namespace cohort::sim
