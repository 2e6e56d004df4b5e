#include "gdoi/unknown_spi.hpp"

#include <algorithm>

namespace cohort::gdoi {
namespace {

constexpr std::size_t retired_max = 1024;

}  // namespace

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
  if (!fresh) {
    question_.quiet(now);
    return false;
  }
  if (question_.is_off() || was_ours(last) || due() != never) return false;
  if (!question_.plan(now, random)) {
    ++postponed_;
    return false;
  }
  wanted_ = last;
  return true;
}

bool UnknownSpiWatch::still_unknown() {
  question_.asked();
  return !was_ours(wanted_);
}

void UnknownSpiWatch::registered() {
  if (due() != never) return;
  if (wanted_ != 0 && spis_.contains(wanted_)) question_.helped();
  wanted_ = 0;
}

}  // namespace cohort::gdoi
