#include "gdoi/spending_limit.hpp"

#include <gtest/gtest.h>
#include <random>
#include <set>
#include <vector>

namespace cohort::gdoi {
namespace {

using std::chrono::seconds;

constexpr seconds span{600};

WallTime at(std::int64_t second) {
  return WallTime{seconds{1'780'000'000 + second}};
}

TEST(SpendingLimit, NoneWasMade) {
  const SpendingLimit limit;
  EXPECT_EQ(limit.at(at(0)), ~std::uint32_t{0});
  EXPECT_FALSE(limit.spent_by(at(0)));
  EXPECT_TRUE(limit.due(at(0)));
}

TEST(SpendingLimit, HoldsForTwoSpansAndTellsWhatMayBeSpent) {
  SpendingLimit limit;
  limit.renew(at(0), span, 100, 80, 1000);
  EXPECT_EQ(limit.at(at(0)), 140u);
  EXPECT_EQ(limit.at(at(599)), 149u);
  EXPECT_EQ(limit.at(at(1200)), 160u);
  EXPECT_EQ(limit.at(at(-1000)), 140u);
  EXPECT_GE(limit.spent_by(at(0)).value(), limit.at(at(0)));
  EXPECT_EQ(limit.spent_by(at(1190)).value(), 159u);
  EXPECT_FALSE(limit.spent_by(at(1195))) << "the clock may be behind by this";
  EXPECT_TRUE(limit.spent_by(at(-5)));
  EXPECT_FALSE(limit.spent_by(at(-6))) << "the clock has gone back";
  EXPECT_EQ(limit.kept(), 1000u);
}

TEST(SpendingLimit, RisesOnlyWhenNoOlderOneIsTrusted) {
  SpendingLimit limit;
  limit.renew(at(0), span, 0, 80, 500);
  const SpendingLimit first = limit;
  limit.renew(at(300), span, 40, 80, 500);
  EXPECT_EQ(limit, first) << "not due";
  limit.renew(at(600), span, 50, 80, 400);  // 50 were handed out
  for (int second = 600; second < 1200; second += 10)
    EXPECT_LE(limit.at(at(second)), first.at(at(second))) << second;
  EXPECT_EQ(limit.at(at(1200)), 90u + 10u);
  EXPECT_EQ(limit.kept(at(1199)), 500u) << "an older copy counts on it";
  EXPECT_EQ(limit.kept(at(1200)), 400u);
}

TEST(SpendingLimit, AnotherSpanDoesNotRaiseItEarlier) {
  SpendingLimit limit;
  limit.renew(at(0), span, 0, 80, 500);
  const SpendingLimit first = limit;
  limit.renew(at(600), seconds{10}, 5, 80, 500);
  for (int second = 600; second < 610; ++second)
    EXPECT_LE(limit.at(at(second)), first.at(at(second)));
}

TEST(SpendingLimit, SurvivesStorage) {
  SpendingLimit limit;
  limit.renew(at(0), span, 7, 100, 300);
  limit.renew(at(700), span, 9, 100, 250);
  Writer out;
  limit.write(out);
  EXPECT_EQ(out.size(), SpendingLimit::encoded_octets);
  Reader in(out.view());
  EXPECT_EQ(SpendingLimit::read(in), limit);
  EXPECT_TRUE(in.ok() && in.empty());
  Bytes bad(SpendingLimit::encoded_octets, 0xff);
  Reader broken(bad);
  (void)SpendingLimit::read(broken);
  EXPECT_FALSE(broken.ok());
}

/// A server that hands out, is restarted, and now and then comes back from any copy of its disk.
class Machine {
 public:
  explicit Machine(unsigned seed) : random_(seed) {}

  void live(int steps) {
    for (int step = 0; step < steps; ++step) {
      now_ += std::uniform_int_distribution<int>(1, 60)(random_);
      disk_.limit.renew(at(now_), span, disk_.next, std::max(1u, (end_ - disk_.next) / 4), end_);
      hand_out(std::uniform_int_distribution<std::uint32_t>(0, 30)(random_));
      const int luck = std::uniform_int_distribution<int>(0, 99)(random_);
      if (luck < 30) copies_.push_back(disk_);
      if (luck < 10) come_back(disk_);
      if (luck < 90 || copies_.empty()) continue;
      // What was copied after the moment to which it goes back is of another past.
      copies_.resize(random_() % copies_.size() + 1);
      come_back(Disk(copies_.back()));
    }
  }
  std::size_t handed_out() const { return seen_.size(); }
  int restored() const { return restored_; }

 private:
  struct Disk {
    std::uint32_t next = 0;
    SpendingLimit limit;
  };
  void hand_out(std::uint32_t wanted) {
    for (; wanted > 0 && disk_.next < std::min(disk_.limit.at(at(now_)), end_); --wanted)
      ASSERT_TRUE(seen_.insert(disk_.next++).second) << "twice: " << disk_.next - 1;
  }
  void come_back(Disk copy) {
    const auto spent = copy.limit.spent_by(at(now_));
    if (!spent) return;
    ++restored_;
    copy.next = std::max(copy.next, *spent);
    disk_ = copy;
  }

  std::mt19937 random_;
  int now_ = 0, restored_ = 0;
  std::uint32_t end_ = 1 << 20;
  Disk disk_;
  std::vector<Disk> copies_;
  std::set<std::uint32_t> seen_;
};

TEST(SpendingLimit, NoCopyOfADiskHandsOutWhatAnotherDid) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Machine machine(seed);
    machine.live(400);
    if (HasFatalFailure()) return;
    EXPECT_GT(machine.handed_out(), 100u);
    EXPECT_GT(machine.restored(), 10);
  }
}

}  // namespace
}  // namespace cohort::gdoi
