#pragma once

#include <string>
#include <vector>

#include "controlplane/base/result.hpp"
#include "dataplane/options.hpp"

namespace cohort::dataplane {

/// Starts DPDK's environment unless this process has done so before. DPDK allows it once: options
/// of later calls have no effect.
Status start_eal(const EalOptions& options, const std::vector<std::string>& pci_devices);

/// Ends DPDK's environment at the end of the process, after every Manager; fine if it never began.
void leave_eal();

/// The argument list for start_eal, for messages and tests.
[[nodiscard]] std::vector<std::string> eal_arguments(const EalOptions& options,
                                                     const std::vector<std::string>& pci_devices);

/// Whether a device string begins with a PCI address ("0000:03:00.0" or "03:00.0").
[[nodiscard]] bool is_pci_address(const std::string& device);

}  // namespace cohort::dataplane
