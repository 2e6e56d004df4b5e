#include "perf/priority.hpp"

#include <sched.h>

namespace cohort::perf {

void pin_to(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  (void)sched_setaffinity(0, sizeof set, &set);
}

Priority::Priority(unsigned cpu) {
  pin_to(cpu);
  sched_param first{};
  first.sched_priority = sched_get_priority_min(SCHED_FIFO);
  granted_ = sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) == 0;
}

Priority::~Priority() {
  const sched_param ordinary{};
  if (granted_) (void)sched_setscheduler(0, SCHED_OTHER, &ordinary);
}

}  // namespace cohort::perf
