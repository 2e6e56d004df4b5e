#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <string>
#include <vector>

#include "dataplane/port_pair.hpp"
#include "perf/loop.hpp"

namespace cohort::perf {

/// What a worker's calls to receive show of it, whoever makes them.
struct alignas(64) Watch {
  /// A trial begins: more than `gap_max` cycles between two calls, and `per_packet` for each that
  /// came, is a pause of the machine.
  void begin(std::uint64_t gap_max, std::uint64_t per_packet);
  void call(unsigned packets);

  std::uint64_t bursts = 0, packets = 0;  ///< calls that brought something, and how much
  /// Packets that were due before this suffered from a pause. For another thread.
  alignas(64) std::atomic<std::uint64_t> spoilt_until{0};
  /// After a pause, a worker at 95 % of its capacity is behind for 19 times as long.
  static constexpr std::uint64_t recovery = 20;

 private:
  std::uint64_t gap_max_ = 0, per_packet_ = 0, last_ = 0, work_ = 0;
};

/// A port pair as it ships, whose two ports are rings with their other ends here. Its one worker
/// has no thread of its own.
class RingLine {
 public:
  RingLine(const Loop::Options& options, std::chrono::microseconds idle_sleep_max,
           rte_mempool& pool);

  /// Where packets go in to be encrypted or decrypted, and where they come out.
  [[nodiscard]] rte_ring& entrance(bool encrypt) { return *(encrypt ? inside_ : outside_).in; }
  [[nodiscard]] rte_ring& exit(bool encrypt) { return *(encrypt ? outside_ : inside_).out; }
  /// Frames to put in. Those to decrypt are good for a minute: the worker encrypts them now.
  std::vector<Bytes> frames(bool encrypt);

  /// In the calling thread: the worker, or a loop that moves packets the same way between the same
  /// ports and does nothing else.
  void run(const std::atomic<bool>& stop) { pair_->worker(0).run(stop); }
  void forward(bool encrypt, const std::atomic<bool>& stop);

  Watch watch;

 private:
  struct Side {
    explicit Side(const std::string& name);
    std::string device;
    rte_ring* in;
    rte_ring* out;
    std::uint16_t port;
  };
  Side inside_, outside_;
  rte_mempool& pool_;
  std::vector<Bytes> clear_;
  std::unique_ptr<dataplane::Cipher> keys_;
  std::unique_ptr<dataplane::PortPair> pair_;
};

}  // namespace cohort::perf
