#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include "tests/sim/run.hpp"

namespace {

using cohort::sim::Outcome;
using cohort::sim::RunOptions;

struct Arguments {
  std::uint64_t seeds = 20;
  std::uint64_t from = 1;
  std::optional<unsigned> members;
  bool twice = false;
  bool echo = false;
  bool verbose = false;
};

int run_all(const Arguments& arguments) {
  std::uint64_t failed = 0;
  for (auto seed = arguments.from; seed < arguments.from + arguments.seeds; ++seed) {
    auto options = RunOptions::draw(seed, arguments.members);
    options.group.echo = arguments.echo;
    if (arguments.verbose) fmt::print("{}\n", options.text());
    const auto outcome =
        arguments.twice ? cohort::sim::run_twice(options) : cohort::sim::run(options);
    if (arguments.verbose)
      fmt::print("  {} {:016x} {}\n", outcome.ok ? "ok" : "FAILED", outcome.hash, outcome.summary);
    std::fflush(stdout);
    if (outcome.ok) continue;
    ++failed;
    fmt::print("FAILED {}\n{}\n{}\n", options.text(), outcome.summary, outcome.text);
    fmt::print("replay: tests/sim/sim --seeds 1 --from {}{} --echo\n\n", seed,
               arguments.members ? fmt::format(" --members {}", *arguments.members) : "");
    std::fflush(stdout);
  }
  fmt::print("{} seeds from {}: {} failed\n", arguments.seeds, arguments.from, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Runs whole groups in virtual time, each from a seed, and checks that nothing wrong "
      "happens under faults and that all is well soon after them.");
  Arguments arguments;
  app.add_option("--seeds", arguments.seeds, "how many seeds")->capture_default_str();
  app.add_option("--from", arguments.from, "the first seed")->capture_default_str();
  app.add_option("--members", arguments.members, "members of the group, instead of a drawn number")
      ->check(CLI::Range(2u, 1000u));
  app.add_flag("--twice", arguments.twice, "run each seed twice and compare the event logs");
  app.add_flag("--echo", arguments.echo, "print every event");
  app.add_flag("--verbose", arguments.verbose, "print a line for each seed");
  CLI11_PARSE(app, argc, argv);
  return run_all(arguments);
}
