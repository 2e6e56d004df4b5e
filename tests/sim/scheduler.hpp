#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "controlplane/base/time.hpp"

namespace cohort::sim {

/// Virtual time and what is to happen in it. Actions at the same instant run in the order in which
/// they were scheduled.
class Scheduler {
 public:
  using Action = std::function<void()>;

  [[nodiscard]] TimePoint now() const { return now_; }
  /// An instant in the past means now.
  void at(TimePoint when, Action action);
  void after(Duration delay, Action action) { at(now_ + delay, std::move(action)); }

  /// Runs the next action, if there is one at or before `limit`; time moves to it.
  bool step(TimePoint limit);
  /// Runs everything up to `end` and leaves the time there, unless stop() is called.
  void run_until(TimePoint end);
  void run_for(Duration span) { run_until(now_ + span); }
  /// Ends run_until after the current action; stays in force.
  void stop() { stopped_ = true; }
  [[nodiscard]] bool stopped() const { return stopped_; }

  [[nodiscard]] std::size_t pending() const { return heap_.size(); }
  [[nodiscard]] std::uint64_t executed() const { return executed_; }

 private:
  struct Entry {
    TimePoint when;
    std::uint64_t order;
    Action action;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.when != b.when ? a.when > b.when : a.order > b.order;
  }

  TimePoint now_{};
  std::vector<Entry> heap_;
  std::uint64_t next_order_ = 0;
  std::uint64_t executed_ = 0;
  bool stopped_ = false;
};

}  // namespace cohort::sim
