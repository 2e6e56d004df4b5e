#pragma once

namespace cohort::perf {

/// Pins the calling thread.
void pin_to(unsigned cpu);

/// For its life, the calling thread is on one CPU and goes before all ordinary programs there
/// (SCHED_FIFO), where the machine permits. Only after DPDK's start: threads that it makes would
/// inherit this, and it would wait for them for ever. The kernel still gives others a twentieth of
/// each second, in one piece.
class Priority {
 public:
  explicit Priority(unsigned cpu);
  ~Priority();
  Priority(const Priority&) = delete;
  Priority& operator=(const Priority&) = delete;
  [[nodiscard]] bool granted() const { return granted_; }

 private:
  bool granted_;
};

}  // namespace cohort::perf
