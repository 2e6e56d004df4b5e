#pragma once

#include <memory>
#include <rte_mempool.h>
#include <string>
#include <vector>

#include "dataplane/multi_buffer.hpp"
#include "dataplane/ports.hpp"
#include "dataplane/worker.hpp"
#include "perf/traffic.hpp"

namespace cohort::perf {

/// "gcm128", "gcm256", "cbc128-sha1" or "cbc256-sha256".
dataplane::Suite suite_named(const std::string& name);

/// A worker as it ships, between a capture file that repeats without end (net_pcap, infinite_rx)
/// and a port that takes everything (net_null). Polled by the caller's thread.
class Rig {
 public:
  struct Options {
    dataplane::Suite suite{};
    bool encrypt = true;
    std::vector<std::uint32_t> inner_sizes;  ///< of a lap's frames
    Ip ip = Ip::v4;
    unsigned entries = 100;  ///< of the policy; the last ones match, one for each SA
    unsigned sas = 1;        ///< packets are of each in turn
    dataplane::ReplayKind replay = dataplane::ReplayKind::counter;
    std::uint16_t replay_window = 64;  ///< packets; by time it is as long as it may be
  };
  Rig(const Options& options, rte_mempool& pool, const std::string& directory);
  ~Rig();
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  /// One lap of the source through the whole worker; returns the packets received.
  unsigned lap_through_worker();
  /// The same laps from the same port to the same sink, without a pipeline.
  unsigned lap_through_io();
  [[nodiscard]] dataplane::Worker& worker() { return *worker_; }
  [[nodiscard]] const dataplane::WorkerCounters& counters() const { return counters_; }
  /// An SA as the rig uses it, with keys that are no secret.
  static dataplane::Sa sa_for(dataplane::Suite suite, std::uint32_t spi = 0x1000);

 private:
  void make_policy(const Options& options);
  std::vector<Bytes> sealed(const std::vector<Bytes>& clear, rte_mempool& pool);

  dataplane::WorkerCounters counters_;
  dataplane::MultiBuffer::Manager keys_ = dataplane::MultiBuffer::linked().best();
  std::vector<std::shared_ptr<dataplane::SaState>> sas_;
  std::unique_ptr<dataplane::CompiledPolicy> policy_;
  std::unique_ptr<dataplane::Port> source_;
  std::unique_ptr<dataplane::Port> sink_;
  rte_ring* ring_ = nullptr;
  std::unique_ptr<char[]> readers_memory_;
  rte_rcu_qsbr* readers_ = nullptr;
  std::unique_ptr<dataplane::Worker> worker_;
  unsigned lap_;
};

}  // namespace cohort::perf
