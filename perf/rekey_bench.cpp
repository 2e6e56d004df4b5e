/// What a change of keys or policy costs the workers, and what is lost by it. One thread polls a
/// worker that ships, at saturation; the other is the control plane and calls PortPair::apply.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fmt/format.h>
#include <malloc.h>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <rte_cycles.h>
#include <rte_malloc.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

#include "perf/histogram.hpp"
#include "perf/limit.hpp"
#include "perf/loop.hpp"
#include "perf/priority.hpp"
#include "perf/rig.hpp"

namespace {

using namespace cohort;
using namespace cohort::perf;
using namespace std::chrono_literals;

constexpr double sample_seconds = 0.05;   ///< of the worker's CPU time
constexpr unsigned polls_per_change = 8;  ///< those that may meet what is cold after a change

struct Options {
  std::string suite = "gcm128";
  std::string size = "imix";
  double seconds = 10;  ///< with rekeys; as long without, in turn
  double period = 1;
  unsigned entries = 100;
  unsigned sas = 1;
};

rusage thread_usage() {
  rusage usage{};
  (void)getrusage(RUSAGE_THREAD, &usage);
  return usage;
}
double seconds_of(const rusage& usage) {
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

/// How fast the worker was for a while, and how fast the machine.
struct Sample {
  double rate = 0;            ///< packets a second of the worker's own CPU time
  double pace = 0;            ///< cycles that bare IPsec-MB took in between
  std::uint64_t longest = 0;  ///< gap between two polls
};

double median_of(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// The samples of quiet phases and of those with changes.
class Samples {
 public:
  void add(bool rekeyed, const Sample& sample) { (rekeyed ? rekeyed_ : quiet_).push_back(sample); }
  [[nodiscard]] nlohmann::json to_json(bool rekeyed) const {
    const std::vector<double> rates = kept(rekeyed);
    const double median = median_of(rates);
    const auto below = std::ranges::count_if(rates, [&](double r) { return r < 0.97 * median; });
    return {{"samples", rates.size()},
            {"left_out", (rekeyed ? rekeyed_ : quiet_).size() - rates.size()},
            {"median_pps", median},
            {"least", rates.empty() ? 0 : *std::ranges::min_element(rates) / median},
            {"below_0.97", below}};
  }

 private:
  /// Others of the host share the core's resources or take the CPU unseen. Where bare crypto went
  /// at another pace than usual, or a poll took longer than any change does, the sample is not
  /// ours.
  [[nodiscard]] std::vector<double> kept(bool rekeyed) const {
    const std::vector<Sample>& samples = rekeyed ? rekeyed_ : quiet_;
    std::vector<double> paces;
    for (const Sample& sample : samples) paces.push_back(sample.pace);
    const double usual = median_of(paces);
    const std::uint64_t interrupted = rte_get_tsc_hz() / 2000;
    std::vector<double> rates;
    for (const Sample& sample : samples)
      if (std::abs(sample.pace / usual - 1) < 0.01 && sample.longest < interrupted)
        rates.push_back(sample.rate);
    return rates;
  }
  std::vector<Sample> quiet_, rekeyed_;
};

/// The thread that polls, and what it saw.
class Poller {
 public:
  Poller(dataplane::Worker& worker, Limit& crypto) : worker_(worker), crypto_(crypto) {}

  void run(unsigned cpu) {
    const Priority priority(cpu);
    (void)rte_thread_register();
    while (!stop_.load(std::memory_order_relaxed)) {
      const bool rekeyed = rekeys.load();
      if (const auto sample = take_sample(); sample && rekeys.load() == rekeyed)
        samples.add(rekeyed, *sample);
    }
    rte_thread_unregister();
  }
  void stop() { stop_.store(true); }

  /// Set by the control thread: keys are being changed in this phase; a change is about to come.
  std::atomic<bool> rekeys{false};
  std::atomic<bool> coming{false};
  Samples samples;
  Histogram ordinary;  ///< gaps: from the end of a poll to the end of the next
  Histogram change;    ///< the longest of those that took up a change
  Histogram still;     ///< the longest of as many without one

 private:
  std::optional<Sample> take_sample() {
    Sample sample;
    std::uint64_t packets = 0;
    std::uint64_t crypto = 0;
    std::uint64_t turns = 0;
    double seconds = 0;
    longest_of_sample_ = 0;
    while (seconds < sample_seconds) {
      if (stop_.load(std::memory_order_relaxed)) return std::nullopt;
      const double start = seconds_of(thread_usage());
      for (unsigned n = 0; n < 64; ++n) packets += poll();
      seconds += seconds_of(thread_usage()) - start;
      const std::uint64_t before = rte_rdtsc();
      crypto_.run(0);
      crypto += rte_rdtsc() - before;
      ++turns;
    }
    sample.rate = static_cast<double>(packets) / seconds;
    sample.pace = static_cast<double>(crypto) / static_cast<double>(turns);
    sample.longest = longest_of_sample_;
    return sample;
  }
  unsigned poll() {
    if (!rekeys.load(std::memory_order_relaxed) && ++polls_ % 1000 == 0) watch(false);
    if (coming.load(std::memory_order_relaxed) || after_ > 0) [[unlikely]]
      return poll_and_watch();
    const std::uint64_t start = rte_rdtsc();
    const unsigned packets = worker_.poll();
    const std::uint64_t gap = rte_rdtsc() - start;
    ordinary.add(gap);
    longest_of_sample_ = std::max(longest_of_sample_, gap);
    return packets;
  }
  unsigned poll_and_watch() {
    const auto* policy = worker_.pipeline().policy();
    const long switches = thread_usage().ru_nivcsw;
    const std::uint64_t start = rte_rdtsc();
    const unsigned packets = worker_.poll();
    const std::uint64_t gap = rte_rdtsc() - start;
    if (worker_.pipeline().policy() != policy) watch(true);
    if (after_ == 0) return packets;
    longest_ = std::max(longest_, gap);
    longest_of_sample_ = std::max(longest_of_sample_, gap);
    preempted_ = preempted_ || thread_usage().ru_nivcsw != switches;
    if (--after_ > 0) return packets;
    if (!preempted_) (changed_ ? change : still).add(longest_);
    return packets;
  }
  void watch(bool changed) {
    changed_ = changed;
    after_ = polls_per_change;
    longest_ = 0;
    preempted_ = false;
  }

  dataplane::Worker& worker_;
  Limit& crypto_;
  std::atomic<bool> stop_{false};
  std::uint64_t longest_of_sample_ = 0;
  unsigned after_ = 0;
  std::uint64_t longest_ = 0;
  bool preempted_ = false;
  bool changed_ = false;
  std::uint64_t polls_ = 0;
};

std::size_t memory_in_use() {
  rte_malloc_socket_stats stats{};
  (void)rte_malloc_get_socket_stats(0, &stats);
  return mallinfo2().uordblks + stats.heap_allocsz_bytes;
}

double microseconds(std::uint64_t cycles) {
  return static_cast<double>(cycles) * 1e6 / static_cast<double>(rte_get_tsc_hz());
}

struct Control {
  unsigned generation = 0;
  std::vector<double> milliseconds;  ///< of each apply

  void change(Loop& loop, Poller& poller) {
    const dataplane::Snapshot next = loop.snapshot(++generation);
    poller.coming.store(true);
    const auto start = std::chrono::steady_clock::now();
    if (const Status status = loop.pair().apply(next); !status)
      throw std::runtime_error(status.error().text());
    milliseconds.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
    // The worker takes it within a poll; the old one goes when it has.
    while (loop.pair().retired() > 0) {
      loop.pair().reclaim();
      std::this_thread::yield();
    }
    poller.coming.store(false);
  }
};

void wait_until(std::chrono::steady_clock::time_point when) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  never.wait_until(lock, when, [] { return false; });
}

/// Phases with changes and without take turns, so that the machine's slow times hit both.
void drive(const Options& options, Loop& loop, Poller& poller, Control& control) {
  const auto period = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(options.period));
  const double phase = std::min(options.seconds, std::max(5.0, options.period));
  for (double done = 0; done < options.seconds; done += phase) {
    auto when = std::chrono::steady_clock::now();
    const auto length = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(std::min(phase, options.seconds - done)));
    poller.rekeys.store(false);
    wait_until(when + length);
    poller.rekeys.store(true);
    when = std::chrono::steady_clock::now();
    const auto end = when + length;
    while ((when += period) <= end) {
      control.change(loop, poller);
      wait_until(when);
    }
  }
}

nlohmann::json to_json(const Histogram& gaps) {
  return {{"count", gaps.total()},
          {"p50_us", microseconds(gaps.quantile(0.5))},
          {"p99_us", microseconds(gaps.quantile(0.99))},
          {"p99.9_us", microseconds(gaps.quantile(0.999))},
          {"max_us", microseconds(gaps.greatest())}};
}

nlohmann::json measure(const Options& options, const std::string& directory) {
  Loop::Options loop_options;
  loop_options.suite = suite_named(options.suite);
  loop_options.size = options.size;
  loop_options.entries = options.entries;
  loop_options.sas = options.sas;
  Loop loop(loop_options, directory);
  const std::vector<std::uint32_t> sizes = sizes_of(options.size, 64);
  // AES-GCM whatever the suite: it feels a busy neighbour on the core, CBC's lanes do not.
  Limit crypto(Rig::sa_for(dataplane::Suite::aes_128_gcm_16), 1, true, sizes);
  Poller poller(loop.pair().worker(0), crypto);
  Control control;
  const std::size_t before = memory_in_use();
  if (const Status status = loop.pair().apply(loop.snapshot(0)); !status)
    throw std::runtime_error(status.error().text());
  const std::size_t memory = memory_in_use() - before;
  const auto cpus = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
  pin_to(0);
  std::thread thread([&] { poller.run(cpus - 1); });
  std::string failure;
  try {
    drive(options, loop, poller, control);
  } catch (const std::exception& error) {
    failure = error.what();
  }
  poller.stop();
  thread.join();
  if (!failure.empty()) throw std::runtime_error(failure);
  std::ranges::sort(control.milliseconds);
  return {{"suite", options.suite},
          {"size", options.size},
          {"entries", options.entries},
          {"sas", options.sas},
          {"period_s", options.period},
          {"changes", control.generation},
          {"lost", loop.lost()},
          {"dropped", drops_of(loop.pair().usage())},
          {"memory", memory},
          {"apply_ms_p50", control.milliseconds[control.milliseconds.size() / 2]},
          {"apply_ms_max", control.milliseconds.back()},
          {"quiet", poller.samples.to_json(false)},
          {"rekeyed", poller.samples.to_json(true)},
          {"gap", to_json(poller.ordinary)},
          {"still_gap", to_json(poller.still)},
          {"change_gap", to_json(poller.change)}};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("loss, throughput and pauses while keys and policies change");
  app.add_option("--suite", options.suite);
  app.add_option("--size", options.size, "inner IP octets, or imix");
  app.add_option("--seconds", options.seconds, "with changes, and as long without");
  app.add_option("--period", options.period, "seconds between changes");
  app.add_option("--entries", options.entries, "policy entries");
  app.add_option("--sas", options.sas, "all of which are replaced at once")
      ->check(CLI::Range(1u, 2000u));
  CLI11_PARSE(app, argc, argv);
  try {
    const bool huge = start_perf_eal("rekey", 128);
    std::string pattern = (std::filesystem::temp_directory_path() / "cohort-rekey-XXXXXX").string();
    const std::string directory = mkdtemp(pattern.data());
    nlohmann::json row = measure(options, directory);
    row["huge_pages"] = huge;
    std::filesystem::remove_all(directory);
    fmt::print("{}\n", row.dump());
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
