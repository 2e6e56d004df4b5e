#include "controlplane/daemon/cohort/usage.hpp"

#include <fmt/format.h>

#include "controlplane/daemon/cohort/render.hpp"

namespace cohort::daemon {

std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  std::string words = app.get_name();
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    words += " " + at->get_name();
  }
  const auto unknown = app.remaining(true);
  if (!unknown.empty()) {
    const bool option = unknown.front().starts_with('-');
    return fmt::format("{}: there is no {} \"{}\" here; `{} --help` lists what there is",
                       app.get_name(), option ? "option" : "command or argument",
                       clean(unknown.front()), words);
  }
  return fmt::format("{}: {}; see `{} --help`", app.get_name(), clean(error.what()), words);
}

}  // namespace cohort::daemon
