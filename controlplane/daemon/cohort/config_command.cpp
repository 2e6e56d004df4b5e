#include "controlplane/daemon/cohort/config_command.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "config/configuration.hpp"
#include "config/schema.hpp"

namespace cohort::daemon {

int config_check(const std::string& path, bool json) {
  const config::Outcome outcome = config::read_file(path, config::DiskFiles{});
  if (json) {
    nlohmann::json list = nlohmann::json::array();
    for (const config::Problem& problem : outcome.problems) {
      const bool error = problem.kind == config::Problem::Kind::error;
      list.push_back({{"kind", error ? "error" : "warning"},
                      {"file", problem.file},
                      {"line", problem.line},
                      {"column", problem.column},
                      {"pointer", problem.pointer},
                      {"found", problem.found},
                      {"expected", problem.expected},
                      {"fix", problem.fix}});
    }
    fmt::print("{}\n", list.dump(2, ' ', true, nlohmann::json::error_handler_t::replace));
  } else {
    for (const config::Problem& problem : outcome.problems) fmt::print("{}\n", problem.text());
    if (outcome.configuration) fmt::print("{}: good\n", path);
  }
  return outcome.configuration ? 0 : 1;
}

int config_reference() {
  fmt::print("{}", config::reference_markdown());
  return 0;
}

}  // namespace cohort::daemon
