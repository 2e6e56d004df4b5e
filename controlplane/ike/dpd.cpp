#include "controlplane/ike/dpd.hpp"

#include <algorithm>

namespace cohort::ike {

Dpd::Dpd(TimePoint now, const DpdOptions& options, std::uint32_t sequence)
    : options_(options), sequence_(sequence & 0x7fffffff) {
  heard(now);
}

void Dpd::heard(TimePoint now) {
  last_heard_ = now;
  unanswered_ = 0;
  deadline_ = options_.mode == DpdOptions::Mode::periodic ? now + options_.interval : never;
}

void Dpd::await(TimePoint now) {
  if (options_.mode != DpdOptions::Mode::on_demand || deadline_ != never) return;
  deadline_ = std::max(now, last_heard_ + options_.interval);
}

bool Dpd::acknowledge(TimePoint now, std::uint32_t sequence) {
  // Each repetition has a sequence of its own (section 6.2); an answer to any of them counts.
  const bool awaited =
      unanswered_ > 0 && sequence <= sequence_ && sequence_ - sequence < unanswered_;
  if (awaited) heard(now);
  return awaited;
}

Dpd::Action Dpd::on_timer(TimePoint now) {
  if (now < deadline_) return Action::none;
  if (unanswered_ == options_.retries) {
    deadline_ = never;
    return Action::dead;
  }
  ++unanswered_;
  ++sequence_;
  deadline_ = now + options_.retry;
  return Action::ask;
}

}  // namespace cohort::ike
