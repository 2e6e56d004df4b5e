#include "coop/pseudotime.hpp"

#include <algorithm>

namespace cohort::coop {

namespace {
// Beyond this, a time is not one that any clock of ours can show; keeps the arithmetic in range.
constexpr std::uint64_t sane_ms = std::uint64_t{1} << 48;
}  // namespace

std::uint64_t Pseudotime::estimate(std::uint64_t stored_ms, WallTime stored_at, WallTime now) {
  const auto passed = std::max<std::int64_t>(0, (now - stored_at).count());
  return stored_ms + static_cast<std::uint64_t>(passed) * 1000;
}

std::uint64_t Pseudotime::now_ms(TimePoint now) const {
  // Instants before the base count too: when a key was made may be before this server's start.
  const auto passed = std::chrono::floor<std::chrono::milliseconds>(now - base_).count();
  const auto ms = static_cast<std::int64_t>(base_ms_) + passed;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, ms));
}

TimePoint Pseudotime::at(std::uint64_t ms) const {
  if (ms >= sane_ms) return never;
  const auto ahead = static_cast<std::int64_t>(ms) - static_cast<std::int64_t>(base_ms_);
  return base_ + std::chrono::milliseconds(ahead);
}

void Pseudotime::advance(TimePoint now, std::uint64_t heard_ms) {
  if (heard_ms >= sane_ms || heard_ms <= now_ms(now)) return;
  base_ = now;
  base_ms_ = heard_ms;
}

void Pseudotime::adopt(TimePoint now, std::uint64_t heard_ms) {
  if (heard_ms >= sane_ms) return;
  if (estimate_ || heard_ms > now_ms(now)) {
    base_ = now;
    base_ms_ = heard_ms;
  }
  estimate_ = false;
}

}  // namespace cohort::coop
