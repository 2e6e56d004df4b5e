#include "tests/sim/event_log.hpp"

#include <cstdio>
#include <fmt/core.h>

#include "tests/sim/prng.hpp"

namespace cohort::sim {

void EventLog::note(TimePoint at, std::string_view who, std::string_view what,
                    std::string_view detail) {
  auto line =
      fmt::format("{:>14.6f} {:<8} {:<12} {}",
                  static_cast<double>(at.time_since_epoch().count()) / 1e6, who, what, detail);
  hash_ = hash64(line, hash_);
  ++lines_;
  if (echo_) {
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fputc('\n', stdout);
  }
  if (keep_ == 0) return;
  if (recent_.size() >= keep_) recent_.pop_front();
  recent_.push_back(std::move(line));
}

std::string EventLog::tail() const {
  std::string text;
  for (const auto& line : recent_) text += line + '\n';
  return text;
}

}  // namespace cohort::sim
