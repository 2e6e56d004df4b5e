#include "gdoi/group_clock.hpp"

#include <algorithm>

namespace cohort::gdoi {
namespace {

/// What two clocks may drift apart, and what a datagram may take: 500 ppm, and 100 ms.
constexpr std::int64_t drift_share = 2000;
constexpr std::int64_t delay_ms = 100;

}  // namespace

void GroupClock::move(TimePoint now, std::int64_t offset_ms) {
  correction_ms_ = known_ ? offset_ms - offset_ms_ : 0;
  offset_ms_ = offset_ms;
  told_ = now;
  known_ = true;
}

void GroupClock::registration_said(TimePoint asked, TimePoint answered, std::uint64_t ms) {
  const auto said = static_cast<std::int64_t>(ms);
  const std::int64_t low = said - ms_of(answered), high = said - ms_of(std::min(asked, answered));
  move(answered, known_ ? std::clamp(offset_ms_, low, high) : low + (high - low) / 2);
}

void GroupClock::rekey_said(TimePoint now, std::uint64_t ms) {
  const std::int64_t low = static_cast<std::int64_t>(ms) - ms_of(now);
  if (!known_) return move(now, low);
  const std::int64_t drift = delay_ms + (ms_of(now) - ms_of(told_)) / drift_share;
  move(now, std::max(low, offset_ms_ - drift));
}

}  // namespace cohort::gdoi
