#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cohort::dataplane {

/// What the kernel says of CPUs, as the files of /sys/devices/system have it.
class CpuFacts {
 public:
  explicit CpuFacts(std::filesystem::path root = "/sys/devices/system") : root_(std::move(root)) {}

  /// What about the CPUs of a port pair's workers costs speed, a sentence each. `node` is the NUMA
  /// node of its ports, where they have one. A file that is not there says nothing.
  [[nodiscard]] std::vector<std::string> advice(const std::vector<std::optional<unsigned>>& workers,
                                                std::optional<unsigned> node) const;

 private:
  [[nodiscard]] std::string line(const std::filesystem::path& file) const;
  [[nodiscard]] std::optional<unsigned> node_of(unsigned cpu) const;

  std::filesystem::path root_;
};

/// The numbers of a list as the kernel writes it: "0-3,8".
[[nodiscard]] std::vector<unsigned> parse_cpu_list(const std::string& text);

}  // namespace cohort::dataplane
