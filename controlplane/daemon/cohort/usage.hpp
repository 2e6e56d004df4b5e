#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace cohort::daemon {

/// What was wrong with the arguments that `app` could not take, and whose --help goes on from
/// there.
[[nodiscard]] std::string usage_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace cohort::daemon
