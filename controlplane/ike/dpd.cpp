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
  const bool known = sequence <= sequence_ && sequence_ - sequence < asked_;
  if (known && unanswered_ > 0) heard(now);
  return known;
}

Dpd::Action Dpd::on_timer(TimePoint now) {
  if (now < deadline_) return Action::none;
  if (unanswered_ == options_.retries) {
    deadline_ = never;
    return Action::dead;
  }
  if (unanswered_ == 0) asked_ = 0;
  ++unanswered_;
  ++asked_;
  ++sequence_;
  deadline_ = now + options_.retry;
  return Action::ask;
}

}  // namespace cohort::ike
