#pragma once

#include <cstdint>

#include "controlplane/base/time.hpp"

namespace cohort::gdoi {

/// The group's time at a member, for anti-replay: our monotonic clock plus an offset, which nothing
/// but authenticated words of the key server moves. Packets are never followed, since any member
/// can pose as another.
///
/// Of a word in a registration we know that it was said between our question and its answer; of one
/// in a rekey only that it was said before it came: somebody on the way may have held it back. So a
/// rekey moves us forward by any amount, but back by no more than clocks drift meanwhile.
class GroupClock {
 public:
  void registration_said(TimePoint asked, TimePoint answered, std::uint64_t ms);
  void rekey_said(TimePoint now, std::uint64_t ms);

  [[nodiscard]] bool known() const { return known_; }
  /// What to add to the monotonic clock.
  [[nodiscard]] std::int64_t offset_ms() const { return offset_ms_; }
  /// By how much the last word moved us; what our clock had drifted, mostly.
  [[nodiscard]] std::int64_t correction_ms() const { return correction_ms_; }
  [[nodiscard]] TimePoint told() const { return told_; }

 private:
  void move(TimePoint now, std::int64_t offset_ms);

  bool known_ = false;
  std::int64_t offset_ms_ = 0;
  std::int64_t correction_ms_ = 0;
  TimePoint told_{};
};

/// Whole milliseconds of a clock.
[[nodiscard]] inline std::int64_t ms_of(TimePoint when) {
  return std::chrono::floor<std::chrono::milliseconds>(when.time_since_epoch()).count();
}
/// Beyond this no group's time comes.
inline constexpr std::uint64_t group_time_max_ms = std::uint64_t{1} << 48;

}  // namespace cohort::gdoi
