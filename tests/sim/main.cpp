#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/run.hpp"
#include "tests/sim/script.hpp"

namespace {

using cohort::sim::Outcome;
using cohort::sim::RunOptions;

struct Arguments {
  std::uint64_t seeds = 20;
  std::uint64_t from = 1;
  unsigned jobs = 1;
  std::optional<unsigned> servers, members;
  std::string scenario;  ///< a file; its text once it is read
  bool twice = false;
  bool echo = false;
  bool verbose = false;
};

/// What the processes of one call share: each takes the next seed when it has done one.
struct Shared {
  std::atomic<std::uint64_t> next{0}, failed{0};
};

void say(const std::string& text) {
  // One write, so that lines of several processes don't mix.
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) std::exit(2);
}

std::string replay(const Arguments& arguments, std::uint64_t seed) {
  std::string text = fmt::format("replay: tests/sim/sim --seeds 1 --from {}", seed);
  if (arguments.servers) text += fmt::format(" --servers {}", *arguments.servers);
  if (arguments.members) text += fmt::format(" --members {}", *arguments.members);
  return text + " --echo\n";
}

/// One case of tests/sim/scenarios, varied by the seed.
void play_seed(const Arguments& arguments, Shared& shared, std::uint64_t seed) {
  const auto verdict = cohort::sim::Script::play(arguments.scenario, seed, arguments.echo);
  if (verdict.text.empty()) {
    if (arguments.verbose) say(fmt::format("seed {} ok {:016x}\n", seed, verdict.hash));
    return;
  }
  ++shared.failed;
  say(fmt::format("FAILED seed {}: {}\n--- log\n{}\n", seed, verdict.text, verdict.tail));
}

void run_seed(const Arguments& arguments, Shared& shared, std::uint64_t seed) {
  if (!arguments.scenario.empty()) return play_seed(arguments, shared, seed);
  auto options = RunOptions::draw_any(seed, arguments.servers, arguments.members);
  options.group.echo = arguments.echo;
  // Every hundredth is run again, and must give the same log.
  const bool twice = arguments.twice || (!arguments.echo && seed % 100 == 0);
  const auto begun = std::chrono::steady_clock::now();
  const auto outcome = twice ? cohort::sim::run_twice(options) : cohort::sim::run(options);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  std::string text;
  if (arguments.verbose || !outcome.ok) text += options.text() + "\n";
  if (arguments.verbose)
    text += fmt::format("  {} {:.2f} s {:016x} {}\n", outcome.ok ? "ok" : "FAILED", took.count(),
                        outcome.hash, outcome.summary);
  if (!outcome.ok) {
    ++shared.failed;
    text += fmt::format("FAILED seed {}\n{}\n{}{}\n", seed, outcome.summary, outcome.text,
                        replay(arguments, seed));
  }
  say(text);
}

void work(const Arguments& arguments, Shared& shared) {
  for (;;) {
    const auto turn = shared.next++;
    if (turn >= arguments.seeds) return;
    run_seed(arguments, shared, arguments.from + turn);
  }
}

int run_all(const Arguments& arguments) {
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  auto& shared = *new (memory) Shared;
  bool died = false;
  if (arguments.jobs <= 1) {
    work(arguments, shared);
  } else {
    for (unsigned job = 0; job < arguments.jobs; ++job) {
      if (::fork() != 0) continue;
      work(arguments, shared);
      std::_Exit(0);
    }
    for (int status = 0; ::wait(&status) > 0;) died |= status != 0;
  }
  say(fmt::format("{} seeds from {}: {} failed{}\n", arguments.seeds, arguments.from,
                  shared.failed.load(), died ? ", and a process died" : ""));
  return shared.failed == 0 && !died ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Runs whole groups in virtual time, each from a seed, and checks that nothing wrong "
      "happens under faults and that all is well soon after them.");
  Arguments arguments;
  app.add_option("--seeds", arguments.seeds, "how many seeds")->capture_default_str();
  app.add_option("--from", arguments.from, "the first seed")->capture_default_str();
  app.add_option("--jobs", arguments.jobs, "processes that share the seeds")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  app.add_option("--servers", arguments.servers, "key servers, instead of a drawn number")
      ->check(CLI::Range(1u, 8u));
  app.add_option("--members", arguments.members, "members of the group, instead of a drawn number")
      ->check(CLI::Range(2u, 1000u));
  app.add_option("--scenario", arguments.scenario,
                 "play this file of tests/sim/scenarios instead of what the seed would draw");
  app.add_flag("--twice", arguments.twice, "run each seed twice and compare the event logs");
  app.add_flag("--echo", arguments.echo, "print every event");
  app.add_flag("--verbose", arguments.verbose, "print a line for each seed");
  CLI11_PARSE(app, argc, argv);
  if (!arguments.scenario.empty()) {
    try {
      arguments.scenario = cohort::sim::Script::read(arguments.scenario);
    } catch (const std::exception& error) {
      fmt::print(stderr, "sim: {}\n", error.what());
      return 2;
    }
  }
  return run_all(arguments);
}
