#include "controlplane/daemon/system.hpp"

#include <algorithm>
#include <cap-ng.h>
#include <chrono>
#include <cstdlib>
#include <openssl/rand.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>

namespace cohort::daemon {

TimePoint SystemClock::now() const {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return TimePoint(std::chrono::duration_cast<Duration>(std::chrono::seconds(time.tv_sec) +
                                                        std::chrono::nanoseconds(time.tv_nsec)));
}

WallTime SystemClock::wall() const {
  return std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
}

void SystemRandom::fill(std::span<std::uint8_t> out) {
  constexpr std::size_t chunk = 1 << 20;
  while (!out.empty()) {
    const std::size_t count = std::min(out.size(), chunk);
    if (RAND_priv_bytes(out.data(), static_cast<int>(count)) != 1) std::abort();
    out = out.subspan(count);
  }
}

bool keep_out_of_swap() {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) (void)::getrlimit(RLIMIT_MEMLOCK, &limit);
  // Under a limit later allocations would fail, of a process whose memory is locked.
  if (limit.rlim_cur == RLIM_INFINITY && ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
    return true;
  struct sysinfo machine {};
  return ::sysinfo(&machine) == 0 && machine.totalswap == 0;
}

void drop_capabilities() {
  capng_clear(CAPNG_SELECT_CAPS);
  (void)capng_apply(CAPNG_SELECT_CAPS);
}

}  // namespace cohort::daemon
