#include "dataplane/eal.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <sched.h>

#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

std::set<unsigned> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  std::set<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.insert(cpu);
  return cpus;
}

void keep_to(const std::set<unsigned>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const unsigned cpu : cpus) CPU_SET(cpu, &set);
  (void)sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

bool is_pci_address(const std::string& device) {
  const std::string name = device.substr(0, device.find(','));
  if (name.size() < 7 || name[name.size() - 2] != '.') return false;
  for (const char c : name)
    if (c != ':' && c != '.' && std::isxdigit(static_cast<unsigned char>(c)) == 0) return false;
  return name.find(':') != std::string::npos;
}

std::vector<std::string> eal_arguments(const EalOptions& options,
                                       const std::vector<std::string>& pci_devices) {
  std::vector<std::string> arguments{"cohort",
                                     // DPDK would pin its main thread, which is our control
                                     // thread, to one CPU. It stays where the scheduler wants it.
                                     fmt::format("--lcores=0@({})", fmt::join(allowed_cpus(), ",")),
                                     fmt::format("--file-prefix={}", options.file_prefix),
                                     "--no-telemetry", "--log-level=4", "-m",
                                     std::to_string(options.memory_mb)};
  if (!options.hugepages) {
    arguments.emplace_back("--no-huge");
    arguments.emplace_back("--no-shconf");
  } else {
    // No files are left behind, and other programs can't map the packet memory.
    arguments.emplace_back("--in-memory");
  }
  if (pci_devices.empty() && !options.pci) arguments.emplace_back("--no-pci");
  for (const std::string& device : pci_devices) {
    arguments.emplace_back("-a");
    arguments.push_back(device);
  }
  arguments.insert(arguments.end(), options.extra.begin(), options.extra.end());
  return arguments;
}

std::set<unsigned> control_cpus(const std::set<unsigned>& allowed,
                                const std::set<unsigned>& worker_cpus) {
  std::set<unsigned> others;
  std::ranges::set_difference(allowed, worker_cpus, std::inserter(others, others.end()));
  return others.empty() ? allowed : others;
}

Status start_eal(const EalOptions& options, const std::vector<std::string>& pci_devices,
                 const std::set<unsigned>& worker_cpus) {
  // DPDK keeps this state itself: before its start it knows no lcore.
  if (rte_lcore_count() > 0) return {};
  if (!worker_cpus.empty()) keep_to(control_cpus(allowed_cpus(), worker_cpus));
  std::vector<std::string> arguments = eal_arguments(options, pci_devices);
  std::vector<char*> raw;
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(raw.size() - 1), raw.data()) >= 0) return {};
  return fail(eal_failed, rte_strerror(rte_errno));
}

void leave_eal() {
  if (rte_lcore_count() > 0) (void)rte_eal_cleanup();
}

}  // namespace cohort::dataplane
