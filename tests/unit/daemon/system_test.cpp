#include "controlplane/daemon/system.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

namespace cohort::daemon {
namespace {

/// Of this process, in KiB, as the kernel counts.
unsigned long locked_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    unsigned long size = 0;
    if (word == "VmLck:" && status >> size) return size;
  }
  return 0;
}

TEST(Memory, IsLockedWhereTheLimitAllowsIt) {
  const bool kept = keep_out_of_swap();
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &limit), 0);
  const bool may = limit.rlim_cur == RLIM_INFINITY;
  EXPECT_EQ(locked_memory() > 0, may) << "under a limit later allocations would fail";
  struct sysinfo machine {};
  ASSERT_EQ(::sysinfo(&machine), 0);
  EXPECT_EQ(kept, may || machine.totalswap == 0);
  ::munlockall();
}

}  // namespace
}  // namespace cohort::daemon
