#pragma once

#include <cstdint>
#include <ctime>

/// The clocks that workers and their port pair read, for the group's time.
namespace cohort::dataplane {

[[nodiscard]] inline std::int64_t clock_ms(clockid_t clock) {
  timespec time{};
  (void)clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
}

/// CLOCK_MONOTONIC as of the kernel's last timer tick, by vDSO whatever the clock source is: no
/// system call. It is up to 10 ms old, which is a tick of the group's time.
[[nodiscard]] inline std::int64_t coarse_monotonic_ms() {
  return clock_ms(CLOCK_MONOTONIC_COARSE);
}

/// What CLOCK_BOOTTIME, which the control plane goes by, has counted and CLOCK_MONOTONIC has not.
[[nodiscard]] inline std::int64_t suspended_ms() {
  const std::int64_t monotonic = clock_ms(CLOCK_MONOTONIC);
  return clock_ms(CLOCK_BOOTTIME) - monotonic;
}

}  // namespace cohort::dataplane
