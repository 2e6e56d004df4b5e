/// Cycles per packet of the pipeline that ships, against the floor measured in the same rounds:
/// bare IPsec-MB plus bare packet I/O. See perf/README.md for what the numbers mean.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include "dataplane/eal.hpp"
#include "perf/limit.hpp"
#include "perf/priority.hpp"
#include "perf/rig.hpp"

namespace {

using namespace cohort;
using namespace cohort::perf;
using dataplane::StageClock;
using dataplane::Suite;

struct Options {
  bool no_huge = false;
  bool first = false;  ///< goes before other programs
  std::string json;
  unsigned rounds = 101;
  unsigned entries = 100;
  unsigned sas = 1;
  Ip ip = Ip::v4;
  std::uint16_t window = 64;
  std::string replay = "counter";
  std::vector<std::string> suites{"gcm128", "gcm256", "cbc128-sha1", "cbc256-sha256"};
  std::vector<std::string> directions{"enc", "dec"};
  std::vector<std::string> sizes{"64", "imix", "1420"};
};

struct Sample {
  std::vector<double> values;  ///< cycles per packet, one a round
  [[nodiscard]] double best() const { return *std::ranges::min_element(values); }
  /// What a share of the values is below.
  [[nodiscard]] double quantile(double share) const {
    std::vector<double> sorted = values;
    const auto at = sorted.begin() +
                    static_cast<std::ptrdiff_t>(share * static_cast<double>(sorted.size() - 1));
    std::ranges::nth_element(sorted, at);
    return *at;
  }
  [[nodiscard]] double median() const { return quantile(0.5); }
};

struct Row {
  std::string suite, direction, size;
  Sample ours, crypto, io;
  std::array<double, StageClock::stage_count> stages{};
  double mean_size = 0;
  [[nodiscard]] double ratio() const { return (crypto.best() + io.best()) / ours.best(); }
  [[nodiscard]] double median_ratio() const {
    return (crypto.median() + io.median()) / ours.median();
  }
};

/// Cycles per packet of `lap_once` repeated for about `cycles`.
template <typename Lap>
double timed(std::uint64_t cycles, const Lap& lap_once) {
  std::uint64_t packets = lap_once();
  packets = 0;
  const std::uint64_t start = rte_rdtsc_precise();
  std::uint64_t now = start;
  while (now - start < cycles) {
    packets += lap_once();
    now = rte_rdtsc_precise();
  }
  return static_cast<double>(now - start) / static_cast<double>(packets);
}

/// The least of the limit's ways, each for about `cycles`.
double crypto_limit(Limit& limit, std::uint64_t cycles) {
  double least = 1e9;
  for (unsigned way = 0; way < limit.ways(); ++way)
    least = std::min(least, timed(cycles, [&] { return limit.run(way), limit.packets(); }));
  return least;
}

/// Stages by the clock in the pipeline, in the best of rounds of their own: reading it costs a
/// little.
void measure_stages(Rig& rig, unsigned rounds, std::uint64_t sample, Row& row) {
  double best = 1e9;
  for (unsigned round = 0; round < rounds; ++round) {
    StageClock clock;
    rig.worker().pipeline().clock = &clock;
    std::uint64_t packets = 0;
    const double cycles = timed(sample, [&] {
      const unsigned n = rig.lap_through_worker();
      packets += n;
      return n;
    });
    rig.worker().pipeline().clock = nullptr;
    if (cycles >= best) continue;
    best = cycles;
    for (std::size_t i = 0; i < row.stages.size(); ++i)
      row.stages[i] = static_cast<double>(clock.cycles[i]) / static_cast<double>(packets);
  }
}

dataplane::ReplayKind replay_named(const std::string& name) {
  if (name == "none") return dataplane::ReplayKind::none;
  return name == "time" ? dataplane::ReplayKind::time : dataplane::ReplayKind::counter;
}

Row measure(const Options& options, const std::string& suite, const std::string& direction,
            const std::string& size, rte_mempool& pool, const std::string& directory) {
  Row row{suite, direction, size, {}, {}, {}, {}, 0};
  Rig::Options rig_options;
  rig_options.suite = suite_named(suite);
  rig_options.encrypt = direction == "enc";
  rig_options.inner_sizes = sizes_of(size, frames_for(options.sas));
  rig_options.ip = options.ip;
  rig_options.entries = options.entries;
  rig_options.sas = options.sas;
  rig_options.replay_window = options.window;
  rig_options.replay = replay_named(options.replay);
  for (const std::uint32_t s : rig_options.inner_sizes) row.mean_size += s;
  row.mean_size /= static_cast<double>(rig_options.inner_sizes.size());
  Rig rig(rig_options, pool, directory);
  Limit limit(Rig::sa_for(rig_options.suite), options.sas, rig_options.encrypt,
              rig_options.inner_sizes);
  const std::uint64_t sample = rte_get_tsc_hz() / 2500;  // 0.4 ms
  for (unsigned round = 0; round < options.rounds; ++round) {
    row.ours.values.push_back(timed(sample, [&] { return rig.lap_through_worker(); }));
    row.io.values.push_back(timed(sample, [&] { return rig.lap_through_io(); }));
    row.crypto.values.push_back(crypto_limit(limit, sample));
  }
  measure_stages(rig, options.rounds / 4 + 1, sample, row);
  for (std::size_t i = 0; i < dataplane::drop_reason_count; ++i)
    if (rig.counters().drops[i] != 0)
      throw std::runtime_error(
          fmt::format("the pipeline dropped packets: {}", dataplane::drop_reasons[i].name));
  return row;
}

void print_header(const Options& options) {
  fmt::print(
      "# TSC cycles per packet, best of {} rounds of 0.4 ms (median in brackets); floor = crypto + "
      "I/O;\n# inner IPv{} packets, {} policy entries, {} SAs, {} flows, replay {}, window {}, {} "
      "pages, "
      "{}, TSC {} MHz, IPsec-MB {}\n",
      options.rounds, options.ip == Ip::v6 ? 6 : 4, options.entries, options.sas,
      frames_for(options.sas), options.replay, options.window, options.no_huge ? "4 KiB" : "2 MiB",
      options.first ? "before other programs" : "other programs share the CPU",
      rte_get_tsc_hz() / 1'000'000, imb_get_version_str());
  fmt::print("{:14}{:4}{:>5} {:>13} {:>7} {:>5} {:>6} {:>14} {:>6} {:>7}   {}\n", "suite", "dir",
             "size", "ours", "crypto", "i/o", "floor", "floor/ours", "Mpps", "Gbit/s",
             "classify lookup judge esp settle (esp contains the crypto)");
}

void print(const Row& row) {
  const double hz = static_cast<double>(rte_get_tsc_hz());
  const double best = row.ours.best();
  fmt::print(
      "{:14}{:4}{:>5} {:6.0f} ({:4.0f}) {:7.0f} {:5.0f} {:6.0f} {:7.2f} ({:.2f}) {:6.2f} "
      "{:7.1f}   {:8.1f} {:6.1f} {:5.1f} {:5.0f} {:5.1f}\n",
      row.suite, row.direction, row.size, best, row.ours.median(), row.crypto.best(), row.io.best(),
      row.crypto.best() + row.io.best(), row.ratio(), row.median_ratio(), hz / best / 1e6,
      hz / best * row.mean_size * 8 / 1e9, row.stages[StageClock::classify],
      row.stages[StageClock::lookup], row.stages[StageClock::judge], row.stages[StageClock::esp],
      row.stages[StageClock::settle]);
  // A state of the machine that lasted for one of the three only makes the ratio void.
  if (std::abs(row.ratio() - row.median_ratio()) > 0.15)
    fmt::print("#   noise: best and median disagree by more than 0.15; take neither\n");
  std::fflush(stdout);
}

nlohmann::json to_json(const Sample& sample) {
  return {{"best", sample.best()}, {"low", sample.quantile(0.1)}, {"median", sample.median()}};
}

nlohmann::json to_json(const Row& row, const Options& options) {
  return {{"suite", row.suite},
          {"direction", row.direction},
          {"size", row.size},
          {"mean_size", row.mean_size},
          {"ip", options.ip == Ip::v6 ? 6 : 4},
          {"entries", options.entries},
          {"sas", options.sas},
          {"tsc_hz", rte_get_tsc_hz()},
          {"huge_pages", !options.no_huge},
          {"first", options.first},
          {"ours", to_json(row.ours)},
          {"crypto", to_json(row.crypto)},
          {"io", to_json(row.io)},
          {"stages",
           {{"classify", row.stages[StageClock::classify]},
            {"lookup", row.stages[StageClock::lookup]},
            {"judge", row.stages[StageClock::judge]},
            {"esp", row.stages[StageClock::esp]},
            {"settle", row.stages[StageClock::settle]}}}};
}

/// DPDK, on hugepages if the machine has some.
void start(Options& options) {
  std::ifstream meminfo("/proc/meminfo");
  std::string word;
  std::uint64_t free_pages = 0;
  while (meminfo >> word)
    if (word == "HugePages_Free:") meminfo >> free_pages;
  if (free_pages < 64) options.no_huge = true;
  dataplane::EalOptions eal;
  eal.hugepages = !options.no_huge;
  eal.memory_mb = options.no_huge ? 256 : 96;
  eal.file_prefix = fmt::format("cohort-bench-{}", getpid());
  if (const Status status = dataplane::start_eal(eal, {}); !status)
    throw std::runtime_error(status.error().text());
}

int run(Options options) {
  start(options);
  const Priority priority(static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN)) - 1);
  options.first = priority.granted();
  rte_mempool* pool = rte_pktmbuf_pool_create("bench", 8191, 256, 0, 2304, SOCKET_ID_ANY);
  if (pool == nullptr) throw std::runtime_error(rte_strerror(rte_errno));
  std::string pattern = (std::filesystem::temp_directory_path() / "cohort-bench-XXXXXX").string();
  const std::string directory = mkdtemp(pattern.data());
  print_header(options);
  nlohmann::json rows = nlohmann::json::array();
  for (const std::string& suite : options.suites)
    for (const std::string& direction : options.directions)
      for (const std::string& size : options.sizes) {
        const Row row = measure(options, suite, direction, size, *pool, directory);
        print(row);
        rows.push_back(to_json(row, options));
      }
  std::filesystem::remove_all(directory);
  if (!options.json.empty()) std::ofstream(options.json) << rows.dump(2) << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("cycles per packet of the dataplane's pipeline, against bare IPsec-MB and bare I/O");
  app.add_flag("--no-huge", options.no_huge, "ordinary pages even if there are hugepages");
  app.add_option("--json", options.json, "write the rows to a file");
  app.add_option("--rounds", options.rounds)->check(CLI::Range(3u, 100'000u));
  app.add_flag_callback(
      "--ipv6", [&] { options.ip = Ip::v6; }, "IPv6 packets");
  app.add_option("--entries", options.entries, "policy entries, the last ones match")
      ->check(CLI::Range(1u, 10'000u));
  app.add_option("--sas", options.sas, "SAs, with an entry each; packets are of each in turn")
      ->check(CLI::Range(1u, networks_max));
  app.add_option("--window", options.window, "replay window")->check(CLI::Range(1, 4096));
  app.add_option("--replay", options.replay, "anti-replay")
      ->check(CLI::IsMember({"none", "counter", "time"}));
  app.add_option("--suites", options.suites)->delimiter(',');
  app.add_option("--directions", options.directions)->delimiter(',');
  app.add_option("--sizes", options.sizes, "inner IP octets, or imix")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
