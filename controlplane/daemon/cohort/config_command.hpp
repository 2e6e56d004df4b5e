#pragma once

#include <string>

/// `cohort config …`: works on files, without a daemon.
namespace cohort::daemon {

/// Prints every problem of the file; 0 when it has no error, 1 otherwise. `json`: as a JSON list.
int config_check(const std::string& path, bool json);
int config_reference();

}  // namespace cohort::daemon
