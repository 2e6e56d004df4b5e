#pragma once

#include "controlplane/world/world.hpp"

namespace cohort::gdoi {

/// A question to the key server that anybody may provoke, and many members at once: it waits a
/// random time, and after it there is a pause that doubles as long as asking does not help.
class PacedQuestion {
 public:
  /// `wait`: the first pause, and what the random time is drawn from; 0: never asked.
  PacedQuestion(Duration wait, Duration wait_max);

  [[nodiscard]] bool is_off() const { return wait_ == Duration{0}; }
  /// There is a reason. True if the question is planned for it now, at due(); false if it is
  /// already, in a pause, or never.
  bool plan(TimePoint now, Random& random);
  /// There is no reason. When that has been so for a whole pause, the next one is short again.
  void quiet(TimePoint now);
  [[nodiscard]] TimePoint due() const { return due_; }
  void asked() { due_ = never; }
  /// The answer brought what was asked for: no pause, and the next one is short again.
  void helped();

 private:
  Duration wait_, wait_max_, pause_;
  TimePoint due_ = never;
  TimePoint not_before_ = TimePoint::min();
};

}  // namespace cohort::gdoi
