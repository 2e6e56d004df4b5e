#include "gdoi/time_doubt.hpp"

#include <algorithm>
#include <cstdlib>

namespace cohort::gdoi {
namespace {

constexpr std::size_t seen_max = 1024;

Duration up_to(Random& random, Duration limit) {
  return Duration(
      static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(limit.count()) + 1)));
}

}  // namespace

TimeDoubt::TimeDoubt(Duration wait, Duration wait_max)
    : wait_(wait), wait_max_(std::max(wait, wait_max)), pause_(wait) {}

bool TimeDoubt::look(const dataplane::SaUsage& usage, std::uint16_t window_ms) {
  if (seen_.size() == seen_max && !seen_.contains(usage.spi)) seen_.erase(seen_.begin());
  Seen& seen = seen_[usage.spi];
  if (usage.packets_in < seen.packets_in || usage.replay_drops < seen.replay_drops) seen = {};
  const std::uint64_t accepted = usage.packets_in - seen.packets_in;
  const std::uint64_t refused = usage.replay_drops - seen.replay_drops;
  seen = {usage.packets_in, usage.replay_drops};
  if (refused > accepted) return true;
  return accepted > 0 && usage.time_skew_ms && std::abs(*usage.time_skew_ms) > window_ms / 2;
}

bool TimeDoubt::plan(TimePoint now, Random& random, bool doubtful) {
  if (wait_ == Duration{0}) return false;
  if (!doubtful) {
    if (due_ == never && not_before_ < now - pause_) pause_ = wait_;  // it has been quiet
    return false;
  }
  if (due_ != never || now < not_before_) return false;
  due_ = now + up_to(random, wait_);
  pause_ = std::min(pause_ * 2, wait_max_);
  not_before_ = due_ + pause_ / 2 + up_to(random, pause_ / 2);
  return true;
}

}  // namespace cohort::gdoi
