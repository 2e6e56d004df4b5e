#include "gdoi/time_doubt.hpp"

#include <cstdlib>

namespace cohort::gdoi {
namespace {

constexpr std::size_t seen_max = 1024;

}  // namespace

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
  if (doubtful) return question_.plan(now, random);
  question_.quiet(now);
  return false;
}

}  // namespace cohort::gdoi
