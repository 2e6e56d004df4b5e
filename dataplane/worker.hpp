#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>

#include "dataplane/pipeline.hpp"

namespace cohort::dataplane {

/// What a worker moves packets between. Ports are told by their DPDK number.
struct WorkerSetup {
  unsigned index = 0;  ///< among the pair's workers; its queue number
  std::uint16_t inside = 0;
  std::uint16_t outside = 0;
  std::optional<std::uint16_t> punt;
  std::chrono::microseconds idle_sleep_max{0};
  rte_ring* policies = nullptr;     ///< of CompiledPolicy*, one producer, one consumer
  rte_rcu_qsbr* readers = nullptr;  ///< where it reports quiescence, as thread `reader`
  unsigned reader = 0;
};

/// How long a worker sleeps to whom nothing has come for so long: not at all at first, then about a
/// 256th of it, `most` at most. So nobody waits long after a short pause, and an idle member leaves
/// its CPU to others.
[[nodiscard]] std::chrono::nanoseconds rest_after(std::chrono::microseconds idle,
                                                  std::chrono::microseconds most);

/// One poll-mode worker of a port pair: takes a policy from its ring, moves a burst each way,
/// reports that it holds no older policy, and again. Nothing here allocates from the heap, locks,
/// logs or makes a system call of its own (kernel devices make theirs), but for the sleep when
/// idle. Lines that it writes are its own, here and in what it owns.
class alignas(64) Worker {
 public:
  Worker(const WorkerSetup& setup, std::unique_ptr<Pipeline> pipeline, WorkerCounters& counters);

  /// One round; returns the number of packets received. For run(), and for tests without a thread.
  unsigned poll();
  /// Rounds until `stop`, in the calling thread.
  void run(const std::atomic<bool>& stop);

  [[nodiscard]] Pipeline& pipeline() { return *pipeline_; }

 private:
  void take_policy();
  unsigned receive(std::uint16_t port, bool gather, Burst& burst);
  void tell_time();
  void transmit(std::uint16_t port, Outgoing& outgoing, DropReason otherwise);
  unsigned poll_inside();
  unsigned poll_outside();
  unsigned poll_punt();
  void flush();

  WorkerSetup setup_;
  std::unique_ptr<Pipeline> pipeline_;
  WorkerCounters& counters_;
  std::uint64_t rounds_ = 0;
  Burst burst_;
};

}  // namespace cohort::dataplane
