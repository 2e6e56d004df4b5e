#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>

#include "dataplane/api/drop_reason.hpp"
#include "dataplane/api/snapshot.hpp"

namespace cohort::dataplane {

/// The group's time as ESP sequence numbers carry it. It wraps after 497 days; differences do not.
[[nodiscard]] constexpr std::uint32_t tick_of(std::int64_t group_time_ms) {
  return static_cast<std::uint32_t>(group_time_ms / replay_tick_ms);
}

/// Time-based anti-replay: what a packet may carry at a moment. Nothing is remembered, so workers
/// share nothing, and what is right before authentication is right after it.
class TimeWindow {
 public:
  /// Lets everything pass.
  TimeWindow() = default;
  TimeWindow(std::uint32_t tick, std::uint16_t window_ms)
      : first_(tick - window_ms / std::uint32_t{replay_tick_ms}),
        length_(2 * (window_ms / std::uint32_t{replay_tick_ms})) {}

  [[nodiscard]] bool holds(std::uint32_t sequence) const { return sequence - first_ <= length_; }
  /// Why one that it does not hold is dropped.
  [[nodiscard]] DropReason side_of(std::uint32_t sequence) const {
    const auto from_middle = static_cast<std::int32_t>(sequence - (first_ + length_ / 2));
    return from_middle > 0 ? DropReason::replay_in_future : DropReason::replay_too_old;
  }

 private:
  std::uint32_t first_ = 0;
  std::uint32_t length_ = 0xffffffff;
};

/// How far the time in authentic packets is from ours, smoothed. One thread adds, any reads. The
/// window bounds what a single packet can do to it, and nothing follows from it but a question to
/// the key server.
class SkewMeter {
 public:
  void add(std::int32_t ticks) {
    const std::int64_t sample = std::int64_t{ticks} * scale;
    const std::uint64_t before = value_;
    const std::int64_t old = static_cast<std::int64_t>(before) - middle;
    const std::int64_t next = before == 0 ? sample : old + (sample - old) / weight;
    std::atomic_ref<std::uint64_t>(value_).store(static_cast<std::uint64_t>(next + middle),
                                                 std::memory_order_relaxed);
  }
  [[nodiscard]] std::optional<std::int32_t> ms() const {
    const std::uint64_t value = std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(value_))
                                    .load(std::memory_order_relaxed);
    if (value == 0) return std::nullopt;
    return static_cast<std::int32_t>((static_cast<std::int64_t>(value) - middle) * replay_tick_ms /
                                     scale);
  }

 private:
  static constexpr std::int64_t scale = 256, weight = 16, middle = std::int64_t{1} << 48;
  std::uint64_t value_ = 0;  ///< the mean in 1/256 ticks plus `middle`; 0 before the first
};

}  // namespace cohort::dataplane
