#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <iterator>
#include <nlohmann/json.hpp>

#include "controlplane/daemon/event_log.hpp"
#include "controlplane/daemon/metrics.hpp"

namespace cohort::daemon {
namespace {

using nlohmann::json;

class FixedClock final : public Clock {
 public:
  TimePoint now_{std::chrono::seconds(1000)};
  [[nodiscard]] TimePoint now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override {
    return WallTime(std::chrono::seconds(1789000000));
  }
};

constexpr EventKind loud{"GDOI", Severity::notice, "KS_LOUD", "something happened"};
constexpr EventKind quiet{"GDOI", Severity::informational, "KS_QUIET", "something small happened"};
constexpr Reason reason{"a_reason", "it was refused"};

class Log : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "cohort-log-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    options_.standard_error = false;
    options_.event_log = directory_ + "/events.json";
    ASSERT_TRUE(log_.configure(options_, "node"));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::vector<json> lines() const {
    std::ifstream in(options_.event_log);
    std::vector<json> out;
    for (std::string line; std::getline(in, line);) out.push_back(json::parse(line));
    return out;
  }

  FixedClock clock_;
  EventLog log_{clock_};
  config::LoggingOptions options_;
  std::string directory_;
};

TEST_F(Log, EventsAreJsonWithTheirFields) {
  log_.write(Event{&loud, {{"group", "GETVPN"}, {"peer", "a\nb"}}});
  const auto out = lines();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0]["facility"], "GDOI");
  EXPECT_EQ(out[0]["severity"], 5);
  EXPECT_EQ(out[0]["mnemonic"], "KS_LOUD");
  EXPECT_EQ(out[0]["fields"]["group"], "GETVPN");
  EXPECT_EQ(out[0]["time"], "2026-09-10T00:26:40Z");
}

TEST_F(Log, TheLevelHidesAndADebugCategoryShows) {
  log_.write(Event{&quiet, {}});
  EXPECT_EQ(lines().size(), 0u);
  EXPECT_TRUE(log_.set_debug("crypto gdoi ks", true));
  log_.write(Event{&quiet, {}});
  EXPECT_EQ(lines().size(), 1u);
  EXPECT_TRUE(log_.set_debug("crypto gdoi ks", false));
  log_.write(Event{&quiet, {}});
  EXPECT_EQ(lines().size(), 1u);
  EXPECT_FALSE(log_.set_debug("crypto gdoi nonsense", true));
}

TEST_F(Log, DebugTextIsMadeOnlyWhenItIsWanted) {
  unsigned made = 0;
  const auto text = [&] {
    ++made;
    return std::string("x");
  };
  log_.debug("dataplane", text);
  EXPECT_EQ(made, 0u);
  ASSERT_TRUE(log_.set_debug("all", true));
  log_.debug("dataplane", text);
  EXPECT_EQ(made, 1u);
  EXPECT_EQ(lines().back()["fields"]["category"], "dataplane");
}

TEST_F(Log, AFloodOfRefusalsIsAFewLinesAndASum) {
  for (int i = 0; i < 1000; ++i) log_.write(Refusal{Error(reason), "isakmp", "192.0.2.1"});
  EXPECT_EQ(lines().size(), 5u);
  clock_.now_ += std::chrono::seconds(10);
  log_.write(Refusal{Error(reason), "isakmp", "192.0.2.1"});
  const auto out = lines();
  ASSERT_EQ(out.size(), 7u);
  EXPECT_EQ(out[5]["mnemonic"], "SUPPRESSED");
  EXPECT_EQ(out[5]["fields"]["count"], "995");
  EXPECT_EQ(out[6]["mnemonic"], "a_reason");
}

TEST_F(Log, WhatAStrangerIsCalledIsCutAndCommandsNoTerminal) {
  const std::string name = "\x1b[2J\xc2\x9b" + std::string(100'000, 'x');
  log_.write(Refusal{Error(reason, name), "isakmp", name});
  log_.write(Event{&loud, {{"peer", name}}});
  std::ifstream in(options_.event_log, std::ios::binary);
  const std::string raw((std::istreambuf_iterator<char>(in)), {});
  EXPECT_LT(raw.size(), 10'000u);
  EXPECT_TRUE(std::all_of(raw.begin(), raw.end(),
                          [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }));
}

TEST_F(Log, AFileThatCannotBeOpenedChangesNothing) {
  config::LoggingOptions other = options_;
  other.event_log = directory_ + "/no/such/directory/x";
  EXPECT_FALSE(log_.configure(other, "node"));
  log_.write(Event{&loud, {}});
  EXPECT_EQ(lines().size(), 1u);
}

TEST(MetricsText, CountsByConstantNamesOnly) {
  Metrics metrics;
  metrics.count(Event{&loud, {{"peer", "anything"}}});
  metrics.count(Refusal{Error(reason, "hostile detail"), "isakmp", "hostile peer"});
  metrics.count(Refusal{Error(reason), "isakmp", "another"});
  metrics.add([](std::vector<Sample>& out) {
    out.push_back({"members", "Members", {{"group", "G"}}, 3, false});
  });
  const std::string text = metrics.text();
  EXPECT_THAT(
      text, testing::HasSubstr("cohort_events_total{facility=\"GDOI\",mnemonic=\"KS_LOUD\"} 1\n"));
  EXPECT_THAT(text,
              testing::HasSubstr("cohort_refusals_total{reason=\"a_reason\",where=\"isakmp\"} "
                                 "2\n"));
  EXPECT_THAT(text, testing::HasSubstr("cohort_members{group=\"G\"} 3\n"));
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("hostile")));
}

}  // namespace
}  // namespace cohort::daemon
