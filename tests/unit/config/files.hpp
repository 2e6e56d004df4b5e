#pragma once

#include <map>
#include <set>
#include <string>

#include "config/configuration.hpp"

namespace cohort::config {

/// Files out of memory: name → content; those in `open` are readable by others.
class MemoryFiles final : public Files {
 public:
  std::map<std::string, std::string> content;
  std::set<std::string> open;

  [[nodiscard]] Result<Bytes> read(const std::string& path, std::size_t size_max) const override {
    const auto at = content.find(path);
    if (at == content.end()) return fail(unreadable_file, "No such file or directory");
    if (at->second.size() > size_max) return fail(unreadable_file, "it is too large");
    return to_bytes(as_bytes(at->second));
  }
  [[nodiscard]] bool readable_by_others(const std::string& path) const override {
    return open.contains(path);
  }
};

}  // namespace cohort::config
