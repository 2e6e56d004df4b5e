/// Two workers of one port pair against one: they share the policy, the SA and the sequence
/// numbers, and nothing else. Alone and together take turns in samples of a millisecond.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <rte_cycles.h>
#include <thread>
#include <unistd.h>

#include "perf/limit.hpp"
#include "perf/loop.hpp"
#include "perf/priority.hpp"
#include "perf/rig.hpp"

namespace {

using namespace cohort;
using namespace cohort::perf;

enum Turn : unsigned { first = 1, second = 2, both = 3 };

/// Two threads that work in turns that they agree on. A turn is counted only where both were there
/// from its beginning.
class Turns {
 public:
  template <typename Work>
  void run(unsigned me, unsigned rounds, const Work& work) {
    for (unsigned round = 0; round < rounds; ++round)
      for (const Turn turn : {first, second, both}) {
        const std::uint64_t start = agree(me);
        double rate = 0;
        if ((turn >> me & 1) != 0) rate = work(start);
        done_[me].rates[turn].push_back(rate);
      }
  }
  [[nodiscard]] const std::vector<double>& rates(unsigned me, Turn turn) const {
    return done_[me].rates[turn];
  }

 private:
  /// Both come to know a time a little ahead.
  std::uint64_t agree(unsigned me) {
    const unsigned round = ++done_[me].round;
    if (me == 0) {
      while (arrived_.load() != round) rte_pause();
      start_.store(rte_rdtsc() + 20'000);
      agreed_.store(round);
    } else {
      arrived_.store(round);
      while (agreed_.load() != round) rte_pause();
    }
    return start_.load();
  }
  struct alignas(64) Done {
    unsigned round = 0;
    std::array<std::vector<double>, 4> rates;
  };
  std::array<Done, 2> done_;
  alignas(64) std::atomic<unsigned> arrived_{0};
  alignas(64) std::atomic<unsigned> agreed_{0};
  std::atomic<std::uint64_t> start_{0};
};

/// What `step` counts, per TSC cycle, in the millisecond from `start`.
template <typename Step>
double rate_from(std::uint64_t start, const Step& step) {
  const std::uint64_t end = start + rte_get_tsc_hz() / 1000;
  std::uint64_t now = 0;
  while ((now = rte_rdtsc()) < start) rte_pause();
  std::uint64_t count = 0;
  for (; now < end; now = rte_rdtsc()) count += step();
  return static_cast<double>(count) / static_cast<double>(now - start);
}

/// Runs `work(me, start)` in two pinned threads; returns cycles alone (the mean of the two CPUs)
/// and the speed-up, from the best samples of each kind.
template <typename Work>
std::pair<double, double> race(unsigned rounds, const Work& work) {
  Turns turns;
  const auto cpus = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
  const auto thread = [&](unsigned me) {
    const Priority priority(cpus - 2 + me);
    (void)rte_thread_register();
    turns.run(me, rounds, [&](std::uint64_t start) { return work(me, start); });
    rte_thread_unregister();
  };
  std::thread other([&] { thread(1); });
  thread(0);
  other.join();
  const auto best = [&](unsigned me, Turn turn) {
    return *std::ranges::max_element(turns.rates(me, turn));
  };
  double together = 0;  // in one and the same sample
  for (unsigned i = 0; i < rounds; ++i)
    together = std::max(together, turns.rates(0, both)[i] + turns.rates(1, both)[i]);
  const double alone = (best(0, first) + best(1, second)) / 2;
  return {1 / alone, together / alone};
}

/// The same for bare IPsec-MB, of which each thread has a copy of its own, or both the same: what
/// the two CPUs are worth together, and what the library's variable for errors takes of it.
double bare_speed_up(dataplane::Suite suite, const std::string& size, unsigned rounds,
                     bool one_copy) {
  const std::vector<std::uint32_t> sizes = sizes_of(size, 64);
  std::array<std::unique_ptr<Limit>, 2> crypto;
  auto copy = dataplane::MultiBuffer::lease();
  for (auto& limit : crypto) {
    limit = std::make_unique<Limit>(Rig::sa_for(suite), 1, true, sizes, copy);
    if (!one_copy) copy = dataplane::MultiBuffer::lease();
  }
  return race(rounds,
              [&](unsigned me, std::uint64_t start) {
                return rate_from(start, [&] { return crypto[me]->run(0), crypto[me]->packets(); });
              })
      .second;
}

/// DPDK's pcap and ring drivers keep the counters of neighbouring queues on one cache line, which
/// NICs' drivers don't: the two workers have the first and the last of so many queues.
constexpr unsigned queues = 8;

nlohmann::json measure(const std::string& suite, const std::string& size, unsigned rounds,
                       const std::string& directory) {
  Loop::Options options;
  options.suite = suite_named(suite);
  options.size = size;
  options.workers = queues;
  Loop loop(options, directory);
  if (const Status status = loop.pair().apply(loop.snapshot(0)); !status)
    throw std::runtime_error(status.error().text());
  const auto [alone, speed_up] = race(rounds, [&](unsigned me, std::uint64_t start) {
    dataplane::Worker& worker = loop.pair().worker(me * (queues - 1));
    return rate_from(start, [&] { return worker.poll(); });
  });
  if (loop.lost() != 0 || drops_of(loop.pair().usage()) != 0)
    throw std::runtime_error("packets were lost");
  // A poll receives each packet twice: in clear, and encrypted.
  return {{"suite", suite},
          {"size", size},
          {"alone_tsc", 2 * alone},
          {"speed_up", speed_up},
          {"bare_speed_up", bare_speed_up(options.suite, size, rounds, false)},
          {"one_copy_speed_up", bare_speed_up(options.suite, size, rounds, true)}};
}

/// How long a line takes from the CPU that wrote it last to the one that writes it next: what each
/// burst pays, at most, for the sequence number that all workers share.
double line_move(unsigned rounds) {
  alignas(64) static std::atomic<std::uint64_t> ball{0};
  Turns turns;
  const auto cpus = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
  const auto thread = [&](unsigned me) {
    const Priority priority(cpus - 2 + me);
    turns.run(me, rounds, [&](std::uint64_t start) {
      return rate_from(start, [&] {
        const std::uint64_t value = ball.load(std::memory_order_relaxed);
        if (value % 2 != me) return 0;
        ball.store(value + 1, std::memory_order_relaxed);
        return 1;
      });
    });
  };
  std::thread other([&] { thread(1); });
  thread(0);
  other.join();
  // Alone, there is nobody to play with: only what is done together counts.
  return 0.5 / std::ranges::max(turns.rates(0, both));
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> suites{"gcm128", "gcm256", "cbc128-sha1", "cbc256-sha256"};
  std::vector<std::string> sizes{"64", "imix", "1420"};
  unsigned rounds = 300;
  CLI::App app("how two workers of a port pair scale");
  app.add_option("--suites", suites)->delimiter(',');
  app.add_option("--sizes", sizes)->delimiter(',');
  app.add_option("--rounds", rounds, "samples of a millisecond alone, alone and together");
  CLI11_PARSE(app, argc, argv);
  try {
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) throw std::runtime_error("two CPUs are needed");
    const bool huge = start_perf_eal("cores", 160);
    std::string pattern = (std::filesystem::temp_directory_path() / "cohort-cores-XXXXXX").string();
    const std::string directory = mkdtemp(pattern.data());
    nlohmann::json rows = nlohmann::json::array();
    for (const std::string& suite : suites)
      for (const std::string& size : sizes) rows.push_back(measure(suite, size, rounds, directory));
    std::filesystem::remove_all(directory);
    const nlohmann::json out{
        {"huge_pages", huge}, {"line_move_tsc", line_move(rounds)}, {"rows", rows}};
    fmt::print("{}\n", out.dump());
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
