#pragma once

#include <vector>

#include "controlplane/daemon/metrics.hpp"
#include "coop/status.hpp"

namespace cohort::daemon {

/// What Prometheus is told of the groups with other key servers.
void add_coop_samples(const std::vector<coop::GroupStatus>& groups, std::vector<Sample>& out);

}  // namespace cohort::daemon
