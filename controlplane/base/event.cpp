#include "controlplane/base/event.hpp"

#include <fmt/format.h>

namespace cohort {

std::string Event::text() const {
  std::string out = fmt::format("%{}-{}-{}: {}", kind->facility, static_cast<int>(kind->severity),
                                kind->mnemonic, kind->sentence);
  const char* separator = " (";
  for (const auto& [key, value] : fields) {
    out += fmt::format("{}{}={}", separator, key, value);
    separator = ", ";
  }
  if (!fields.empty()) out += ")";
  return out;
}

}  // namespace cohort
