// cohortd: wiring only.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <string>
#include <sys/resource.h>

#include "config/configuration.hpp"
#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/version.hpp"

namespace {

int run(const std::string& path) {
  cohort::config::Outcome outcome = cohort::config::read_file(path, cohort::config::DiskFiles{});
  for (const auto& problem : outcome.problems) fmt::print(stderr, "{}\n", problem.text());
  if (!outcome.configuration) {
    fmt::print(stderr, "cohortd: not started; correct {} (`cohort config check {}`)\n", path, path);
    return 1;
  }
  // Keys must not end in a core file.
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
  auto daemon = cohort::daemon::Daemon::start(std::move(*outcome.configuration));
  if (!daemon) {
    fmt::print(stderr, "cohortd: not started: {}\n", daemon.error().text());
    return 1;
  }
  (*daemon)->run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"cohortd: certificate authority, key server and group member of group encryption",
               "cohortd"};
  std::string path;
  app.add_option("FILE,--config", path, "The configuration file")->required();
  app.set_version_flag("--version", std::string(cohort::daemon::version_text));
  CLI11_PARSE(app, argc, argv);
  try {
    return run(path);
  } catch (const std::exception& error) {
    // Only what start-up may throw: no memory, no event loop.
    fmt::print(stderr, "cohortd: {}\n", error.what());
    return 1;
  }
}
