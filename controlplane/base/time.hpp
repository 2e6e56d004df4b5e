#pragma once

#include <chrono>
#include <string>

namespace cohort {

/// Monotonic time as the World tells it: no relation to the wall clock, never steps back.
struct MonotonicClock {
  using duration = std::chrono::microseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using Duration = MonotonicClock::duration;
using TimePoint = MonotonicClock::time_point;
inline constexpr TimePoint never = TimePoint::max();

/// Seconds since 1970 UTC: certificate validity and log lines only, since it may step.
using WallTime = std::chrono::sys_seconds;

/// "2026-11-22T09:30:00Z".
[[nodiscard]] std::string to_text(WallTime time);

}  // namespace cohort
