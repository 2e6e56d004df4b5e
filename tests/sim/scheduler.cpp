#include "tests/sim/scheduler.hpp"

#include <algorithm>

namespace cohort::sim {

void Scheduler::at(TimePoint when, Action action) {
  heap_.push_back({std::max(when, now_), next_order_++, std::move(action)});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

bool Scheduler::step(TimePoint limit) {
  if (heap_.empty() || heap_.front().when > limit) return false;
  std::pop_heap(heap_.begin(), heap_.end(), later);
  auto entry = std::move(heap_.back());
  heap_.pop_back();
  now_ = entry.when;
  ++executed_;
  entry.action();
  return true;
}

void Scheduler::run_until(TimePoint end) {
  while (!stopped_ && step(end)) {
  }
  if (!stopped_) now_ = std::max(now_, end);
}

}  // namespace cohort::sim
