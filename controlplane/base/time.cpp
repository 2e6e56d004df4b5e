#include "controlplane/base/time.hpp"

#include <fmt/chrono.h>

namespace cohort {

std::string to_text(WallTime time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(static_cast<std::time_t>(time.time_since_epoch().count())));
}

}  // namespace cohort
