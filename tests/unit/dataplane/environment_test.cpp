#include "dataplane/environment.hpp"

#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "dataplane/eal.hpp"

namespace cohort::dataplane {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A /sys/devices/system of our own: CPUs 0 to 3 on node 0, 4 to 7 on node 1, pairs are one core.
class Environment : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "cohort-sys-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    put("node/online", "0-1");
    put("node/node0/cpulist", "0-3");
    put("node/node1/cpulist", "4-7");
    put("cpu/isolated", "2-3,6");
    for (unsigned cpu = 0; cpu < 8; ++cpu) {
      put(fmt::format("cpu/cpu{}/topology/thread_siblings_list", cpu),
          fmt::format("{}-{}", cpu & ~1u, cpu | 1u));
      put(fmt::format("cpu/cpu{}/cpufreq/scaling_governor", cpu),
          cpu == 6 ? "powersave" : "performance");
    }
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void put(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text << "\n";
  }
  [[nodiscard]] std::vector<std::string> advice(const std::vector<std::optional<unsigned>>& workers,
                                                std::optional<unsigned> node = 0) const {
    return CpuFacts(root_).advice(workers, node);
  }

  std::filesystem::path root_;
};

TEST_F(Environment, HasNothingToSayOfAGoodOne) {
  EXPECT_THAT(advice({2}), IsEmpty());
  EXPECT_THAT(advice({2}, std::nullopt), IsEmpty());
}

TEST_F(Environment, NamesWhatCostsSpeed) {
  EXPECT_THAT(advice({2, std::nullopt}), ElementsAre(HasSubstr("not pinned")));
  EXPECT_THAT(advice({1}), ElementsAre(HasSubstr("CPU 1 of a worker is not isolated")));
  EXPECT_THAT(advice({2, 2}), ElementsAre(HasSubstr("two workers share CPU 2")));
  EXPECT_THAT(advice({2, 3}), ElementsAre(HasSubstr("CPU 2 and 3 are threads of one core")));
  EXPECT_THAT(advice({6}, 1), ElementsAre(HasSubstr("governor powersave")));
  EXPECT_THAT(advice({6}, 0), Contains(HasSubstr("on NUMA node 1, its ports are on node 0")));
}

TEST_F(Environment, WhatTheKernelDoesNotSayIsNoFault) {
  const CpuFacts nothing(root_ / "nowhere");
  EXPECT_THAT(nothing.advice({5}, 0), ElementsAre(HasSubstr("not isolated")));
}

TEST(CpuList, IsReadAsTheKernelWritesIt) {
  EXPECT_THAT(parse_cpu_list("0-2,7"), ElementsAre(0, 1, 2, 7));
  EXPECT_THAT(parse_cpu_list("3"), ElementsAre(3));
  EXPECT_THAT(parse_cpu_list(""), IsEmpty());
  EXPECT_THAT(parse_cpu_list("x"), IsEmpty());
  EXPECT_THAT(parse_cpu_list("4-"), ElementsAre(4));
}

using Cpus = std::set<unsigned>;

TEST(ControlCpus, AreThoseWithoutAWorker) {
  EXPECT_EQ(control_cpus({0, 1, 2, 3}, {2, 3}), (Cpus{0, 1}));
  EXPECT_EQ(control_cpus({0, 1}, {1, 7}), Cpus{0});
  EXPECT_EQ(control_cpus({0, 1}, {}), (Cpus{0, 1}));
}

TEST(ControlCpus, AreAllWhereNoneIsLeft) {
  EXPECT_EQ(control_cpus({0, 1}, {0, 1}), (Cpus{0, 1}));
  EXPECT_EQ(control_cpus({5}, {5}), Cpus{5});
}

}  // namespace
}  // namespace cohort::dataplane
