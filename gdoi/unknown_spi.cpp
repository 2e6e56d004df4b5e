#include "gdoi/unknown_spi.hpp"

#include <algorithm>

namespace cohort::gdoi {
namespace {

constexpr std::size_t retired_max = 1024;

Duration up_to(Random& random, Duration limit) {
  return Duration(
      static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(limit.count()) + 1)));
}

}  // namespace

UnknownSpiWatch::UnknownSpiWatch(Duration wait, Duration wait_max)
    : wait_(wait), wait_max_(std::max(wait, wait_max)), pause_(wait) {}

bool UnknownSpiWatch::was_ours(std::uint32_t spi) const {
  return spis_.contains(spi) || std::find(retired_.begin(), retired_.end(), spi) != retired_.end();
}

void UnknownSpiWatch::follow(std::set<std::uint32_t> spis) {
  for (const std::uint32_t spi : spis_) {
    if (spis.contains(spi)) continue;
    retired_.push_back(spi);
    if (retired_.size() > retired_max) retired_.pop_front();
  }
  spis_ = std::move(spis);
}

bool UnknownSpiWatch::look(TimePoint now, Random& random, std::uint32_t last, std::uint64_t count) {
  const bool fresh = last != 0 && (last != last_ || count > count_);
  last_ = last;
  count_ = count;
  if (wait_ == Duration{0}) return false;
  if (!fresh) {
    if (due_ == never && not_before_ < now - pause_) pause_ = wait_;  // it has been quiet
    return false;
  }
  if (due_ != never || now < not_before_ || was_ours(last)) return false;
  wanted_ = last;
  due_ = now + up_to(random, wait_);
  pause_ = std::min(pause_ * 2, wait_max_);
  not_before_ = due_ + pause_ / 2 + up_to(random, pause_ / 2);
  return true;
}

bool UnknownSpiWatch::still_unknown() {
  due_ = never;
  return !was_ours(wanted_);
}

void UnknownSpiWatch::registered() {
  if (wanted_ != 0 && due_ == never && spis_.contains(wanted_)) {
    pause_ = wait_;
    not_before_ = TimePoint::min();
  }
  if (due_ == never) wanted_ = 0;
}

}  // namespace cohort::gdoi
