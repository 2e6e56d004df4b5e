#include "dataplane/environment.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <fstream>

namespace cohort::dataplane {

std::vector<unsigned> parse_cpu_list(const std::string& text) {
  constexpr unsigned cpus_max = 8192;
  std::vector<unsigned> out;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at < end) {
    unsigned first = 0;
    auto [after, error] = std::from_chars(at, end, first);
    if (error != std::errc() || first > cpus_max) break;
    unsigned last = first;
    if (after < end && *after == '-') after = std::from_chars(after + 1, end, last).ptr;
    last = std::min(last, cpus_max);
    for (unsigned cpu = first; cpu <= last; ++cpu) out.push_back(cpu);
    at = after + 1;
  }
  return out;
}

std::string CpuFacts::line(const std::filesystem::path& file) const {
  std::ifstream in(root_ / file);
  std::string text;
  std::getline(in, text);
  return text;
}

std::optional<unsigned> CpuFacts::node_of(unsigned cpu) const {
  for (const unsigned node : parse_cpu_list(line("node/online")))
    if (std::ranges::count(parse_cpu_list(line(fmt::format("node/node{}/cpulist", node))), cpu) > 0)
      return node;
  return std::nullopt;
}

std::vector<std::string> CpuFacts::advice(const std::vector<std::optional<unsigned>>& workers,
                                          std::optional<unsigned> node) const {
  std::vector<std::string> out;
  std::vector<unsigned> cpus;
  for (const auto& worker : workers)
    if (worker) cpus.push_back(*worker);
  if (cpus.size() < workers.size()) out.emplace_back("a worker is not pinned to a CPU");
  const std::vector<unsigned> isolated = parse_cpu_list(line("cpu/isolated"));
  for (auto cpu = cpus.begin(); cpu != cpus.end(); ++cpu) {
    if (std::ranges::count(isolated, *cpu) == 0)
      out.push_back(fmt::format(
          "CPU {} of a worker is not isolated: other programs take it for milliseconds, in which "
          "packets are lost; boot with isolcpus and nohz_full",
          *cpu));
    if (std::count(cpus.begin(), cpu, *cpu) > 0)
      out.push_back(fmt::format("two workers share CPU {}", *cpu));
    const std::string folder = fmt::format("cpu/cpu{}/", *cpu);
    for (const unsigned sibling : parse_cpu_list(line(folder + "topology/thread_siblings_list")))
      if (sibling != *cpu && std::count(cpus.begin(), cpu, sibling) > 0)
        out.push_back(
            fmt::format("workers on CPU {} and {} are threads of one core", sibling, *cpu));
    if (line(folder + "cpufreq/scaling_governor") == "powersave")
      out.push_back(fmt::format("CPU {} of a worker has the governor powersave", *cpu));
    if (const auto own = node_of(*cpu); node && own && *own != *node)
      out.push_back(fmt::format(
          "CPU {} of a worker is on NUMA node {}, its ports are on node {}: take a CPU there", *cpu,
          *own, *node));
  }
  return out;
}

}  // namespace cohort::dataplane
