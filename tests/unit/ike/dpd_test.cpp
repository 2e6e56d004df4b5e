#include "controlplane/ike/dpd.hpp"

#include <gtest/gtest.h>

namespace cohort::ike {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{1'000s};

Dpd periodic() {
  DpdOptions options;
  options.mode = DpdOptions::Mode::periodic;
  options.interval = 15s;
  options.retry = 3s;
  options.retries = 2;
  return Dpd(start, options, 100);
}

// `keepalive 15 periodic`.
TEST(Dpd, AsksAfterSilenceAndGivesUp) {
  Dpd dpd = periodic();
  EXPECT_EQ(dpd.on_timer(start + 14s), Dpd::Action::none);
  EXPECT_EQ(dpd.on_timer(start + 15s), Dpd::Action::ask);
  EXPECT_EQ(dpd.on_timer(start + 18s), Dpd::Action::ask);
  EXPECT_EQ(dpd.on_timer(start + 21s), Dpd::Action::dead);
}

TEST(Dpd, AnAnswerToAnyRepetitionCounts) {
  Dpd dpd = periodic();
  (void)dpd.on_timer(start + 15s);
  const std::uint32_t first = dpd.sequence();
  (void)dpd.on_timer(start + 18s);
  EXPECT_TRUE(dpd.acknowledge(start + 19s, first));
  EXPECT_EQ(dpd.deadline(), start + 34s);
}

// Two ends with the same interval ask at the same moment: each hears the other's question before
// the answer to its own.
TEST(Dpd, AnAnswerAfterTheOthersQuestionIsNoFault) {
  Dpd dpd = periodic();
  (void)dpd.on_timer(start + 15s);
  dpd.heard(start + 16s);
  EXPECT_TRUE(dpd.acknowledge(start + 17s, dpd.sequence()));
  EXPECT_EQ(dpd.deadline(), start + 31s) << "it says nothing that was not known";
}

TEST(Dpd, WhatWasNotAskedIsNotAwaited) {
  Dpd dpd = periodic();
  EXPECT_FALSE(dpd.acknowledge(start + 1s, dpd.sequence()));
  (void)dpd.on_timer(start + 15s);
  const std::uint32_t old = dpd.sequence();
  EXPECT_FALSE(dpd.acknowledge(start + 16s, old + 1));
  EXPECT_FALSE(dpd.acknowledge(start + 16s, old - 1));
  dpd.heard(start + 16s);
  (void)dpd.on_timer(start + 31s);
  EXPECT_FALSE(dpd.acknowledge(start + 32s, old)) << "of an earlier silence";
}

}  // namespace
}  // namespace cohort::ike
