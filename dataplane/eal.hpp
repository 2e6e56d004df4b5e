#pragma once

#include <set>
#include <string>
#include <vector>

#include "controlplane/base/result.hpp"
#include "dataplane/options.hpp"

namespace cohort::dataplane {

/// Starts DPDK's environment unless this process has done so before. DPDK allows it once: options
/// of later calls have no effect. The calling thread, and with it DPDK's own, keeps off the CPUs
/// that workers are to have: a driver's interrupt thread that takes a worker's CPU takes it amid a
/// burst, which with memif can be the end of the process (docs/performance.md).
Status start_eal(const EalOptions& options, const std::vector<std::string>& pci_devices,
                 const std::set<unsigned>& worker_cpus = {});

/// Where threads that are not workers may run: where no worker is, or, if that is nowhere, as
/// before.
[[nodiscard]] std::set<unsigned> control_cpus(const std::set<unsigned>& allowed,
                                              const std::set<unsigned>& worker_cpus);

/// Ends DPDK's environment at the end of the process, after every Manager; fine if it never began.
void leave_eal();

/// The argument list for start_eal, for messages and tests.
[[nodiscard]] std::vector<std::string> eal_arguments(const EalOptions& options,
                                                     const std::vector<std::string>& pci_devices);

/// Whether a device string begins with a PCI address ("0000:03:00.0" or "03:00.0").
[[nodiscard]] bool is_pci_address(const std::string& device);

}  // namespace cohort::dataplane
