#pragma once

#include <rte_mempool.h>
#include <string>
#include <vector>

#include "dataplane/multi_buffer.hpp"
#include "dataplane/port_pair.hpp"
#include "perf/traffic.hpp"

namespace cohort::perf {

/// A port pair as it ships, whose outside port is a ring that ends where it begins: each packet of
/// a capture that repeats without end (net_pcap, infinite_rx) is encrypted, comes back, is
/// decrypted, and dropped by the inside port. Nothing is lost unless the pair loses it. Its workers
/// have no threads of their own: the caller polls them.
class Loop {
 public:
  struct Options {
    dataplane::Suite suite{};
    std::string size = "imix";
    unsigned entries = 100;  ///< of the policy; the last ones match, one for each SA
    unsigned sas = 1;
    unsigned workers = 1;
  };
  Loop(const Options& options, const std::string& directory);

  /// The policy with the keys of that generation, those of the one before for reception only.
  [[nodiscard]] dataplane::Snapshot snapshot(unsigned generation) const {
    return snapshot_for(options_, generation);
  }
  static dataplane::Snapshot snapshot_for(const Options& options, unsigned generation);
  [[nodiscard]] dataplane::PortPair& pair() { return *pair_; }
  [[nodiscard]] const dataplane::PortPair& pair() const { return *pair_; }
  /// Packets that were received in clear and neither came back in clear nor are in the ring.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  Options options_;
  dataplane::MultiBuffer::Manager keys_ = dataplane::MultiBuffer::linked().best();
  std::string ring_device_;
  std::unique_ptr<dataplane::PortPair> pair_;
};

/// The sum of a port pair's drops.
[[nodiscard]] std::uint64_t drops_of(const dataplane::Usage& usage);

/// DPDK, on hugepages if there are some; whether there were.
bool start_perf_eal(const std::string& name, unsigned memory_mb);

}  // namespace cohort::perf
