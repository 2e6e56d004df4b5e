#include "dataplane/replay.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <set>

namespace cohort::dataplane {
namespace {

using Verdict = ReplayWindow::Verdict;

TEST(ReplayWindow, NeverAcceptsZero) {
  ReplayWindow window(64);
  EXPECT_EQ(window.check(0), Verdict::too_old);
  EXPECT_EQ(window.commit(0), Verdict::too_old);
  EXPECT_EQ(window.commit(1), Verdict::fresh);
  EXPECT_EQ(window.check(0), Verdict::too_old);
}

TEST(ReplayWindow, CheckChangesNothing) {
  ReplayWindow window(64);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(window.check(7), Verdict::fresh);
  EXPECT_EQ(window.commit(7), Verdict::fresh);
  EXPECT_EQ(window.commit(7), Verdict::duplicate);
}

TEST(ReplayWindow, TheLeftEdgeIsExact) {
  for (const std::uint32_t size :
       {1u, 2u, 31u, 32u, 63u, 64u, 65u, 127u, 128u, 129u, 1024u, 4096u}) {
    for (const std::uint32_t top : {5000u, 5055u, 5056u, 5057u, 8191u, 8192u}) {
      ReplayWindow window(size);
      ASSERT_EQ(window.commit(top), Verdict::fresh);
      EXPECT_EQ(window.check(top - size), Verdict::too_old) << size << " " << top;
      EXPECT_EQ(window.check(top - size + 1), size == 1 ? Verdict::duplicate : Verdict::fresh)
          << size << " " << top;
    }
  }
}

TEST(ReplayWindow, ALeapForgetsWhatItLeavesBehindAndOnlyThat) {
  ReplayWindow window(64);
  for (std::uint32_t s = 1; s <= 100; ++s) ASSERT_EQ(window.commit(s), Verdict::fresh);
  ASSERT_EQ(window.commit(130), Verdict::fresh);
  EXPECT_EQ(window.check(66), Verdict::too_old);
  for (std::uint32_t s = 67; s <= 100; ++s) EXPECT_EQ(window.check(s), Verdict::duplicate) << s;
  for (std::uint32_t s = 101; s < 130; ++s) EXPECT_EQ(window.check(s), Verdict::fresh) << s;
  ASSERT_EQ(window.commit(4'000'000'000u), Verdict::fresh);
  for (std::uint32_t k = 1; k < 64; ++k)
    EXPECT_EQ(window.check(4'000'000'000u - k), Verdict::fresh);
}

TEST(ReplayWindow, TheLastNumbersWork) {
  ReplayWindow window(64);
  EXPECT_EQ(window.commit(0xfffffffe), Verdict::fresh);
  EXPECT_EQ(window.commit(0xffffffff), Verdict::fresh);
  EXPECT_EQ(window.commit(0xffffffff), Verdict::duplicate);
  EXPECT_EQ(window.check(1), Verdict::too_old);
}

/// Against a set of all numbers seen.
TEST(ReplayWindow, AgreesWithASetOnRandomArrivals) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    const auto size = static_cast<std::uint32_t>(1 + random() % 4096);
    ReplayWindow window(size);
    std::set<std::uint32_t> seen;
    std::uint32_t top = 0;
    std::uint32_t base = 1;
    for (int i = 0; i < 5000; ++i) {
      const std::uint32_t kind = static_cast<std::uint32_t>(random() % 100);
      if (kind < 60) base += 1;
      if (kind == 60) base += static_cast<std::uint32_t>(random() % 10000);
      const auto back = static_cast<std::uint32_t>(random() % (size + 100));
      const std::uint32_t sequence = kind < 60 || back > base ? base : base - back;
      Verdict expected = Verdict::fresh;
      if (sequence == 0 || std::uint64_t{sequence} + size <= top)
        expected = Verdict::too_old;
      else if (seen.contains(sequence))
        expected = Verdict::duplicate;
      ASSERT_EQ(window.check(sequence), expected) << "seed " << seed << " sequence " << sequence;
      if (random() % 3 == 0) continue;
      ASSERT_EQ(window.commit(sequence), expected);
      if (expected != Verdict::fresh) continue;
      seen.insert(sequence);
      top = std::max(top, sequence);
    }
  }
}

}  // namespace
}  // namespace cohort::dataplane
