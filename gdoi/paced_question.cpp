#include "gdoi/paced_question.hpp"

#include <algorithm>

namespace cohort::gdoi {
namespace {

Duration up_to(Random& random, Duration limit) {
  return Duration(
      static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(limit.count()) + 1)));
}

}  // namespace

PacedQuestion::PacedQuestion(Duration wait, Duration wait_max)
    : wait_(wait), wait_max_(std::max(wait, wait_max)), pause_(wait) {}

bool PacedQuestion::plan(TimePoint now, Random& random) {
  if (is_off() || due_ != never || now < not_before_) return false;
  due_ = now + up_to(random, wait_);
  pause_ = std::min(pause_ * 2, wait_max_);
  not_before_ = due_ + pause_ / 2 + up_to(random, pause_ / 2);
  return true;
}

void PacedQuestion::quiet(TimePoint now) {
  if (due_ == never && not_before_ < now - pause_) pause_ = wait_;
}

void PacedQuestion::helped() {
  pause_ = wait_;
  not_before_ = TimePoint::min();
}

}  // namespace cohort::gdoi
