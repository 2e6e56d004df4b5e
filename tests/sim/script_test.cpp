#include "tests/sim/script.hpp"

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>

namespace cohort::sim {
namespace {

/// Every case of tests/sim/scenarios, once.
class Stories : public testing::TestWithParam<std::string> {};

std::vector<std::string> stories() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(SIM_SCENARIOS))
    if (file.path().extension() == ".scn") names.push_back(file.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST_P(Stories, GoesAsTold) {
  const auto path = std::string(SIM_SCENARIOS) + "/" + GetParam() + ".scn";
  const auto verdict = Script::play(Script::read(path), 1);
  EXPECT_EQ(verdict.text, "") << path << '\n' << verdict.tail;
}

INSTANTIATE_TEST_SUITE_P(Sim, Stories, testing::ValuesIn(stories()), [](const auto& story) {
  auto name = story.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

/// Variations of delays that once ended otherwise.
TEST(OtherDelays, ManyEpochsInAPartitionOtherwise) {
  const auto text = Script::read(std::string(SIM_SCENARIOS) + "/many-epochs-in-a-partition.scn");
  for (const std::uint64_t seed : {2, 4, 7, 8})
    EXPECT_EQ(Script::play(text, seed).text, "") << seed;
}

TEST(StoryLanguage, NamesTheLineThatMakesNoSense) {
  EXPECT_EQ(Script::play("servers 2\nfly ks1\n", 1).text,
            "line 2: 'fly' is no setting, and nothing is settled yet");
  EXPECT_EQ(Script::play("servers 1\nmembers 2\nsettle\nrun 5x\n", 1).text,
            "line 4: not a time: 5x");
  EXPECT_EQ(Script::play("repeat 3\n", 1).text, "line 0: a repeat without its end");
  EXPECT_EQ(Script::play("servers 1\nmembers 2\nsettle\nexpect primary\n", 1).text,
            "line 4: something is missing after 'primary'");
}

TEST(StoryLanguage, AnExpectationThatIsNotMetFails) {
  const auto verdict = Script::play("members 2\nsettle\nexpect primaries 2 within 30s\n", 1);
  EXPECT_EQ(verdict.text, "line 3: not as expected: 1 primaries");
}

}  // namespace
}  // namespace cohort::sim
