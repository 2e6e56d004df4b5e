#include "dataplane/worker.hpp"

#include <algorithm>
#include <ctime>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <sys/prctl.h>

#include "dataplane/clock.hpp"

namespace cohort::dataplane {
namespace {

constexpr std::uint64_t rounds_per_punt = 8;
constexpr std::uint64_t rounds_per_tidy = 4096;
/// A full transmit ring is asked again this often: under load it drains while we ask.
constexpr unsigned transmit_attempts = 8;

}  // namespace

std::chrono::nanoseconds rest_after(std::chrono::microseconds idle,
                                    std::chrono::microseconds most) {
  using namespace std::chrono_literals;
  // The shortest sleep takes some ten microseconds. Where packets come more often, that is long.
  if (idle < 50us || most < 1us) return 0ns;
  return std::clamp<std::chrono::nanoseconds>(std::chrono::nanoseconds(idle) / 256, 1us,
                                              std::min<std::chrono::nanoseconds>(most, 100ms));
}

Worker::Worker(const WorkerSetup& setup, std::unique_ptr<Pipeline> pipeline,
               WorkerCounters& counters)
    : setup_(setup), pipeline_(std::move(pipeline)), counters_(counters) {}

void Worker::take_policy() {
  void* policy = nullptr;
  while (rte_ring_sc_dequeue(setup_.policies, &policy) == 0) {
  }
  // Only the last: those before it may be freed by now, retired by the report of our last poll.
  if (policy != nullptr) [[unlikely]]
    pipeline_->use(static_cast<const CompiledPolicy*>(policy));
}

void Worker::tell_time() {
  if (pipeline_->policy()->by_time) pipeline_->set_time(coarse_monotonic_ms());
}

unsigned Worker::receive(std::uint16_t port, bool gather, Burst& burst) {
  const auto queue = static_cast<std::uint16_t>(setup_.index);
  unsigned n = rte_eth_rx_burst(port, queue, burst.mbuf.data(), receive_burst);
  // Under load, twice as many fill the lanes of the CBC and HMAC code; idle, nobody waits for them.
  if (n == receive_burst && gather)
    n += rte_eth_rx_burst(port, queue, burst.mbuf.data() + n, receive_burst);
  burst.size = n;
  if (n > 0) tell_time();
  return n;
}

void Worker::transmit(std::uint16_t port, Outgoing& outgoing, DropReason otherwise) {
  if (outgoing.size == 0) return;
  const auto queue = static_cast<std::uint16_t>(setup_.index);
  unsigned sent = 0;
  for (unsigned attempt = 0; attempt < transmit_attempts && sent < outgoing.size; ++attempt)
    sent += rte_eth_tx_burst(port, queue, outgoing.mbuf.data() + sent,
                             static_cast<std::uint16_t>(outgoing.size - sent));
  if (sent < outgoing.size) [[unlikely]] {
    counters_.drop(otherwise, outgoing.size - sent);
    rte_pktmbuf_free_bulk(outgoing.mbuf.data() + sent, outgoing.size - sent);
  }
  outgoing.size = 0;
}

void Worker::flush() {
  transmit(setup_.outside, pipeline_->to_outside, DropReason::tx_full);
  transmit(setup_.inside, pipeline_->to_inside, DropReason::tx_full);
  if (setup_.punt) transmit(*setup_.punt, pipeline_->to_punt, DropReason::punt_full);
}

unsigned Worker::poll_punt() {
  burst_.size = rte_eth_rx_burst(*setup_.punt, static_cast<std::uint16_t>(setup_.index),
                                 burst_.mbuf.data(), receive_burst);
  if (burst_.size > 0) {
    tell_time();
    pipeline_->from_punt(burst_);
    flush();
  }
  return burst_.size;
}

unsigned Worker::poll_inside() {
  const unsigned n = receive(setup_.inside, pipeline_->gathers_inside(), burst_);
  if (n == 0) return 0;
  pipeline_->from_inside(burst_);
  flush();
  return n;
}

unsigned Worker::poll_outside() {
  const unsigned n = receive(setup_.outside, pipeline_->gathers_outside(), burst_);
  if (n == 0) return 0;
  pipeline_->from_outside(burst_);
  flush();
  return n;
}

unsigned Worker::poll() {
  take_policy();
  unsigned packets = 0;
  if (pipeline_->policy() != nullptr) [[likely]] {
    packets += poll_inside();
    const unsigned n = poll_outside();
    packets += n;
    // As much of each side: what comes twice as much at once here comes twice there.
    if (n == receive_burst && pipeline_->gathers_inside() && !pipeline_->gathers_outside())
      packets += poll_outside();
    if (setup_.punt && (packets == 0 || rounds_ % rounds_per_punt == 0)) packets += poll_punt();
    if (++rounds_ % rounds_per_tidy == 0) [[unlikely]]
      pipeline_->tidy();
  }
  rte_rcu_qsbr_quiescent(setup_.readers, setup_.reader);
  return packets;
}

void Worker::run(const std::atomic<bool>& stop) {
  // The default slack of 50 microseconds would be longer than most of our sleeps.
  (void)prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0);
  const std::uint64_t tsc_per_us = std::max<std::uint64_t>(rte_get_tsc_hz() / 1'000'000, 1);
  std::uint64_t idle_since = 0;  // TSC; 0: it is not idle
  while (!stop.load(std::memory_order_relaxed)) {
    if (poll() > 0) {
      idle_since = 0;
      continue;
    }
    if (setup_.idle_sleep_max.count() == 0) {
      rte_pause();
      continue;
    }
    const std::uint64_t now = rte_rdtsc();
    if (idle_since == 0) idle_since = now;
    const std::chrono::microseconds idle((now - idle_since) / tsc_per_us);
    if (const auto rest = rest_after(idle, setup_.idle_sleep_max); rest.count() > 0) {
      const timespec pause{0, rest.count()};
      (void)nanosleep(&pause, nullptr);
    }
  }
}

}  // namespace cohort::dataplane
