#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/result.hpp"
#include "dataplane/api/snapshot.hpp"
#include "dataplane/options.hpp"

namespace cohort::dataplane {

/// A port as the operator sees it.
struct PortStatus {
  std::string name;    ///< DPDK's
  std::string role;    ///< "inside", "outside", "punt"
  std::string driver;  ///< "net_af_packet"
  bool link_up = false;
  std::uint16_t mtu = 0;
  std::uint64_t packets_in = 0, packets_out = 0;
  std::uint64_t bytes_in = 0, bytes_out = 0;
  std::uint64_t missed = 0, errors = 0;
};

/// The control-thread side of the dataplane: starts EAL, ports and workers, turns snapshots into
/// what the workers read, and frees what they no longer do. All methods come from one thread (the
/// control plane's), none blocks for longer than a policy takes to compile.
class Manager {
 public:
  /// Starts EAL (once in a process), sets up the ports and starts one thread per worker. Fails with
  /// a reason that names the device.
  static Result<std::unique_ptr<Manager>> create(DataplaneOptions options);
  /// Stops the workers, closes the ports and zeroizes all keys. EAL stays.
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// Starts the workers if DataplaneOptions::start_workers was off.
  void start();
  /// Replaces policy and SAs of a port pair as a whole. The old ones serve until each worker has
  /// taken the new; an SA in both (same SPI and key) keeps sequence, replay window and counters.
  /// On an error nothing changes.
  Status apply(std::string_view port_pair, Snapshot snapshot);
  /// Counters of a port pair's SAs, drops and forwards; all zero for an unknown pair.
  [[nodiscard]] Usage usage(std::string_view port_pair) const;

  /// Frees what every worker has let go. Called by apply() too; call it about once a second.
  void reclaim();
  /// Policies that are still waiting for a worker to pass by; 0 once all have.
  [[nodiscard]] std::size_t retired() const;
  [[nodiscard]] std::vector<PortStatus> ports(std::string_view port_pair) const;
  /// What in this machine or set-up costs speed or is likely wrong, a sentence each.
  [[nodiscard]] std::vector<std::string> advice() const;

 private:
  struct Parts;
  explicit Manager(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace cohort::dataplane
