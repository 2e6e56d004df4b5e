#include "gdoi/group_clock.hpp"

#include <gtest/gtest.h>

#include "gdoi/time_doubt.hpp"

/// A member's clock of the group's time: what moves it, and what only makes it ask.
namespace cohort::gdoi {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

constexpr TimePoint start{std::chrono::hours{1}};

TEST(GroupClock, ARegistrationIsBelievedToHalfItsTime) {
  GroupClock clock;
  EXPECT_FALSE(clock.known());
  clock.registration_said(start, start + 300ms, 9'000'000);
  EXPECT_TRUE(clock.known());
  EXPECT_EQ(clock.offset_ms(), 9'000'000 - 3'600'000 - 150);
}

struct Word {
  const char* name;
  std::int64_t said;  ///< against what our clock shows when it comes, in ms
  Duration later;     ///< after the last word
  Duration trip;      ///< of a registration; a rekey has none
  std::int64_t moved;
};

// A word can't have been said after it came. A rekey's may be of any age.
TEST(GroupClock, AWordMovesItAsFarAsItProves) {
  constexpr Duration none{-1};
  const Word words[] = {
      {"a rekey that took 20 ms", -20, 1s, none, -20},
      {"a rekey said later than we think", 70, 1s, none, 70},
      {"a pause of hours that our clock did not count", 7'200'000, 1s, none, 7'200'000},
      {"a rekey that was held back", -30'000, 1s, none, -100},
      {"drift of an hour", -400, 3600s, none, -400},
      {"a rekey that was held back for an hour's drift and more", -60'000, 3600s, none, -1900},
      {"a registration that contains us", -20, 1s, 40ms, 0},
      {"one that we are ahead of", -200, 1s, 40ms, -160},
      {"one that we are behind of", 200, 1s, 40ms, 200},
      {"one that says that the time went back", -5'000'000, 1s, 40ms, -4'999'960},
  };
  for (const Word& word : words) {
    SCOPED_TRACE(word.name);
    GroupClock clock;
    clock.registration_said(start, start, 9'000'000);
    const std::int64_t before = clock.offset_ms();
    const TimePoint now = start + word.later;
    const auto said = static_cast<std::uint64_t>(ms_of(now) + before + word.said);
    if (word.trip < Duration{0})
      clock.rekey_said(now, said);
    else
      clock.registration_said(now - word.trip, now, said);
    EXPECT_EQ(clock.offset_ms() - before, word.moved);
    EXPECT_EQ(clock.correction_ms(), word.moved);
    EXPECT_EQ(clock.told(), now);
  }
}

TEST(GroupClock, RekeysHeldBackOneAfterTheOtherBringItNoFurtherBackThanTheyAre) {
  GroupClock clock;
  clock.registration_said(start, start, 9'000'000);
  const std::int64_t right = clock.offset_ms();
  for (int i = 1; i <= 100; ++i) {
    const TimePoint now = start + 10s * i;
    clock.rekey_said(now, static_cast<std::uint64_t>(ms_of(now) + right - 2000));
  }
  EXPECT_EQ(clock.offset_ms(), right - 2000);
}

// ---- doubt --------------------------------------------------------------------------------------

class Lowest final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override { std::fill(out.begin(), out.end(), 0); }
};

dataplane::SaUsage usage(std::uint64_t packets_in, std::uint64_t replay_drops,
                         std::optional<std::int32_t> skew = {}) {
  dataplane::SaUsage out;
  out.spi = 0x1000;
  out.packets_in = packets_in;
  out.replay_drops = replay_drops;
  out.time_skew_ms = skew;
  return out;
}

TEST(TimeDoubt, ComesOfWhatIsRefusedOrFarAway) {
  constexpr std::uint16_t window = 4000;
  TimeDoubt doubt(10s, 3600s);
  EXPECT_FALSE(doubt.look(usage(0, 0), window));
  EXPECT_TRUE(doubt.look(usage(0, 1), window)) << "nothing but refused ones";
  EXPECT_FALSE(doubt.look(usage(0, 1), window)) << "nothing new";
  EXPECT_FALSE(doubt.look(usage(1000, 1001), window)) << "every packet is played to us again";
  EXPECT_TRUE(doubt.look(usage(1010, 1012), window)) << "most are out of the window";
  EXPECT_FALSE(doubt.look(usage(2000, 1012, -2000), window));
  EXPECT_TRUE(doubt.look(usage(3000, 1012, -2001), window)) << "more than half the window";
  EXPECT_TRUE(doubt.look(usage(4000, 1012, 2001), window));
  EXPECT_FALSE(doubt.look(usage(4000, 1012, 2001), window)) << "an old measurement";
  EXPECT_TRUE(doubt.look(usage(0, 4), window)) << "the dataplane started anew";
}

TEST(TimeDoubt, AsksLessAndLessWhileThatDoesNotHelp) {
  Lowest random;
  TimeDoubt doubt(10s, 3600s);
  unsigned asked = 0;
  for (TimePoint now = start; now < start + std::chrono::hours{24}; now += 5s) {
    if (doubt.plan(now, random, true)) ++asked;
    if (doubt.due() <= now) doubt.asked();
  }
  EXPECT_GE(asked, 24u);
  EXPECT_LE(asked, 60u);
  EXPECT_FALSE(TimeDoubt(0s, 0s).plan(start, random, true)) << "turned off";
}

}  // namespace
}  // namespace cohort::gdoi
