#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "controlplane/base/time.hpp"

namespace cohort::sim {

/// What happened in a run, in order: a running hash of all of it (two runs of one seed must agree)
/// and the last lines in full, which is what one reads after a failure.
class EventLog {
 public:
  /// `echo`: also print every line to standard output as it comes.
  explicit EventLog(std::size_t keep = 300, bool echo = false) : keep_(keep), echo_(echo) {}

  /// `detail` must be a function of the seed alone: no pointers, no real time.
  void note(TimePoint at, std::string_view who, std::string_view what, std::string_view detail);

  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] std::uint64_t lines() const { return lines_; }
  /// The kept lines, oldest first.
  [[nodiscard]] std::string tail() const;

 private:
  std::size_t keep_;
  bool echo_;
  std::uint64_t hash_ = 0;
  std::uint64_t lines_ = 0;
  std::deque<std::string> recent_;
};

}  // namespace cohort::sim
