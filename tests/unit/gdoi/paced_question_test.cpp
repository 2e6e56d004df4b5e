#include "gdoi/paced_question.hpp"

#include <gtest/gtest.h>

namespace cohort::gdoi {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{Duration{1000s}};

/// Draws the least there is, or the most.
class Fixed final : public Random {
 public:
  explicit Fixed(std::uint8_t octet) : octet_(octet) {}
  void fill(std::span<std::uint8_t> out) override { std::fill(out.begin(), out.end(), octet_); }

 private:
  std::uint8_t octet_;
};

/// Asks whenever it may for a while; returns the pauses between the questions.
std::vector<Duration> pauses(PacedQuestion& question, Random& random, Duration span) {
  std::vector<Duration> out;
  TimePoint last = never;
  for (TimePoint now = start; now < start + span; now += 1s) {
    (void)question.plan(now, random);
    if (question.due() > now) continue;
    question.asked();
    if (last != never) out.push_back(now - last);
    last = now;
  }
  return out;
}

TEST(PacedQuestion, WaitsARandomTimeOnce) {
  Fixed least(0);
  PacedQuestion question(10s, 100s);
  EXPECT_EQ(question.due(), never);
  EXPECT_TRUE(question.plan(start, least));
  const TimePoint due = question.due();
  EXPECT_GE(due, start);
  EXPECT_LE(due, start + 10s);
  EXPECT_FALSE(question.plan(start, least)) << "it is planned";
  EXPECT_EQ(question.due(), due);
}

TEST(PacedQuestion, PausesDoubleUpToTheLongest) {
  Fixed least(0);
  PacedQuestion question(10s, 80s);
  const auto waited = pauses(question, least, 1000s);
  ASSERT_GE(waited.size(), 5u);
  EXPECT_EQ(waited[0], 10s) << "half of twice the first pause, and nothing by chance";
  EXPECT_EQ(waited[1], 20s);
  for (std::size_t i = 2; i < waited.size(); ++i) EXPECT_EQ(waited[i], 40s) << i;
}

TEST(PacedQuestion, QuietOrAnAnswerThatHelpedBeginsAnew) {
  Fixed least(0);
  PacedQuestion question(10s, 80s);
  (void)pauses(question, least, 500s);
  const TimePoint now = start + 500s;
  EXPECT_FALSE(question.plan(now - 40s, least)) << "a pause";
  question.helped();
  EXPECT_TRUE(question.plan(now, least));
  question.asked();
  EXPECT_FALSE(question.plan(now + 9s, least)) << "a short one";
  EXPECT_TRUE(question.plan(now + 10s, least));
  question.asked();
  question.quiet(now + 31s);  // within the pause: still the longer one
  EXPECT_TRUE(question.plan(now + 31s, least));
  question.asked();
  question.quiet(now + 500s);
  EXPECT_TRUE(question.plan(now + 500s, least));
  question.asked();
  EXPECT_TRUE(question.plan(now + 510s, least)) << "after quiet the pause is short again";
}

TEST(PacedQuestion, ZeroTurnsItOff) {
  Fixed least(0);
  PacedQuestion question(0s, 80s);
  EXPECT_FALSE(question.plan(start, least));
  question.quiet(start);
  question.helped();
  EXPECT_FALSE(question.plan(start + 1000s, least));
  EXPECT_EQ(question.due(), never);
}

}  // namespace
}  // namespace cohort::gdoi
