#include <CLI/CLI.hpp>
#include <string>

#include "controlplane/daemon/cohort/config_command.hpp"

int main(int argc, char** argv) {
  using namespace cohort::daemon;
  CLI::App app{"cohort: look at and operate a cohortd", "cohort"};
  app.require_subcommand(1);
  bool json = false;
  app.add_flag("--json", json, "Print JSON");
  int status = 0;

  CLI::App* config = app.add_subcommand("config", "Configuration files");
  config->require_subcommand(1);
  CLI::App* check = config->add_subcommand("check", "Report every problem of a file");
  std::string path;
  check->add_option("FILE", path, "The configuration file")->required();
  check->add_flag("--json", json, "Print JSON");
  check->callback([&] { status = config_check(path, json); });
  config->add_subcommand("reference", "Print the reference of all keys")->callback([&] {
    status = config_reference();
  });

  CLI11_PARSE(app, argc, argv);
  return status;
}
