/// What a worker adds to the time that packets are on their way, at several loads. One thread makes
/// packets when they are due and takes them back, the other is the worker that ships, between ports
/// that are rings; or a loop that forwards the same packets through the same ports and does nothing
/// else.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <random>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <span>
#include <thread>
#include <unistd.h>

#include "perf/histogram.hpp"
#include "perf/priority.hpp"
#include "perf/rig.hpp"
#include "perf/ring_line.hpp"

namespace {

using namespace cohort;
using namespace cohort::perf;
using namespace std::chrono_literals;

constexpr unsigned burst = 32;
/// More than this is a pause of the machine: between two looks of ours; between two of the worker's
/// beyond twice what its packets take and what it may sleep. After a while of idling it finds its
/// code and data no more in its caches, which is its own affair.
constexpr double generator_gap = 10e-6, worker_gap = 30e-6, idle_worker_gap = 100e-6;
constexpr double warm_up_seconds = 0.01;
/// So rare that a worker comes to sleep as long as it may in between.
constexpr double idle_pps = 15, idle_seconds = 0.06;
constexpr auto longest_sleep = 100us;  ///< the default
/// A round counts if the capacity before and after was within so much of what it mostly is, or
/// within a quarter of what the load leaves of it.
constexpr double steady = 0.03;

std::uint64_t cycles(double seconds) {
  return static_cast<std::uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
}
double microseconds(std::uint64_t tsc) {
  return static_cast<double>(tsc) * 1e6 / static_cast<double>(rte_get_tsc_hz());
}

struct Load {
  double pps = 0;  ///< 0: whatever the ring takes
  double seconds = 0;
};

/// What a trial saw.
struct Trial {
  Histogram late;
  std::uint64_t offered = 0, lost = 0, lost_in_pauses = 0, spoilt = 0, received = 0;
  std::uint64_t bursts = 0, packets = 0;  ///< that the worker received
  double pps = 0;                         ///< that came back
};

/// One load, offered in turn to a plain loop, a worker that never sleeps and one that may.
struct Round {
  double capacity = 0, after = 0;  ///< packets a second, before and after
  std::array<Trial, 3> trials;
};

nlohmann::json to_json(std::span<const Round* const> rounds, std::size_t way) {
  Trial sum;
  nlohmann::json each = nlohmann::json::array();
  const auto quantiles = [](const Histogram& late) -> nlohmann::json {
    return {microseconds(late.quantile(0.5)), microseconds(late.quantile(0.99)),
            microseconds(late.quantile(0.999)), microseconds(late.greatest())};
  };
  for (const Round* round : rounds) {
    const Trial& trial = round->trials[way];
    sum.late.add(trial.late);
    for (const auto member : {&Trial::offered, &Trial::lost, &Trial::lost_in_pauses, &Trial::spoilt,
                              &Trial::bursts, &Trial::packets})
      sum.*member += trial.*member;
    each.push_back(quantiles(trial.late));
  }
  const auto share = [](std::uint64_t of, std::uint64_t all) {
    return all == 0 ? 0 : static_cast<double>(of) / static_cast<double>(all);
  };
  return {{"packets", sum.late.total()},
          {"all_us", quantiles(sum.late)},
          {"rounds_us", each},
          {"burst", share(sum.packets, sum.bursts)},
          {"offered", sum.offered},
          {"lost", sum.lost},
          {"lost_in_pauses", sum.lost_in_pauses},
          {"spoilt", share(sum.spoilt, sum.offered)}};
}

class Generator {
 public:
  explicit Generator(rte_mempool& pool) : pool_(pool) {
    const rte_mbuf_dynfield field{"cohort_due", sizeof(std::uint64_t), alignof(std::uint64_t), 0};
    due_offset_ = rte_mbuf_dynfield_register(&field);
    if (due_offset_ < 0) throw std::runtime_error("no room in packet buffers for the due time");
    std::mt19937_64 random(1);
    std::exponential_distribution<double> gap(1);
    for (double& value : gaps_) value = gap(random);
  }

  /// Packets are due at random (Poisson), whether or not anybody keeps up.
  Trial run(RingLine& line, bool encrypt, const Load& load, std::span<const Bytes> frames) {
    frames_ = frames;
    to_ = &line.entrance(encrypt);
    from_ = &line.exit(encrypt);
    watch_ = &line.watch;
    trial_ = Trial();
    begin(load);
    std::uint64_t early = 0;
    for (std::uint64_t now = 0; (now = look()) < end_;) {
      if (now < begin_) early = trial_.received;
      if (const unsigned n = due_by(now, load.pps == 0); n > 0) send(n);
      take();
    }
    trial_.pps = static_cast<double>(trial_.received - early) / load.seconds;
    for (std::uint64_t last = looked_; look() - last < cycles(0.003);)
      if (take() > 0) last = looked_;
    // What the worker could not send while we were away.
    const std::uint64_t missing =
        trial_.offered - trial_.received - trial_.lost - trial_.lost_in_pauses;
    (paused_ ? trial_.lost_in_pauses : trial_.lost) += missing;
    trial_.bursts = watch_->bursts;
    trial_.packets = watch_->packets;
    return trial_;
  }

 private:
  void begin(const Load& load) {
    const bool idle = load.pps == idle_pps;
    const auto hz = static_cast<double>(rte_get_tsc_hz());
    least_ = idle ? idle_seconds * hz : 0;
    mean_ = load.pps > 0 ? hz / load.pps - least_ : 0;
    const std::uint64_t start = looked_ = rte_rdtsc();
    begin_ = start + (idle ? 0 : cycles(warm_up_seconds));
    end_ = begin_ + cycles(load.seconds);
    next_due_ = static_cast<double>(start) + least_;
    spoilt_until_ = begin_;
    paused_ = false;
  }
  std::uint64_t look() {
    const std::uint64_t now = rte_rdtsc();
    if (now - looked_ > gap_max_) pause(now, now - looked_);
    return looked_ = now;
  }
  void pause(std::uint64_t now, std::uint64_t length) {
    paused_ = true;
    spoilt_until_ = std::max(spoilt_until_, now + Watch::recovery * length);
  }
  [[nodiscard]] std::uint64_t spoilt_until() const {
    return std::max(spoilt_until_, watch_->spoilt_until.load(std::memory_order_relaxed));
  }
  unsigned due_by(std::uint64_t now, bool flood) {
    if (flood) {
      const unsigned n = std::min(burst, rte_ring_free_count(to_));
      std::fill_n(dues_.begin(), n, now);
      return n;
    }
    unsigned n = 0;
    for (; n < burst && next_due_ <= static_cast<double>(now); ++n) {
      dues_[n] = static_cast<std::uint64_t>(next_due_);
      next_due_ += least_ + mean_ * gaps_[gap_++ % gaps_.size()];
    }
    const double behind = static_cast<double>(now) - next_due_;
    if (behind > static_cast<double>(gap_max_)) pause(now, static_cast<std::uint64_t>(behind));
    return n;
  }
  std::uint64_t& due_of(rte_mbuf* mbuf) const {
    return *RTE_MBUF_DYNFIELD(mbuf, due_offset_, std::uint64_t*);
  }
  void send(unsigned n) {
    std::array<rte_mbuf*, burst> mbufs;
    if (rte_pktmbuf_alloc_bulk(&pool_, mbufs.data(), n) != 0)
      throw std::runtime_error("no packet buffers: the worker keeps them");
    for (unsigned i = 0; i < n; ++i) {
      const Bytes& frame = frames_[next_++ % frames_.size()];
      mbufs[i]->data_len = static_cast<std::uint16_t>(frame.size());
      mbufs[i]->pkt_len = static_cast<std::uint32_t>(frame.size());
      std::memcpy(rte_pktmbuf_mtod(mbufs[i], std::uint8_t*), frame.data(), frame.size());
      due_of(mbufs[i]) = dues_[i];
    }
    const unsigned sent =
        rte_ring_enqueue_burst(to_, reinterpret_cast<void**>(mbufs.data()), n, nullptr);
    trial_.offered += n;
    if (sent == n) return;
    const bool spoilt = dues_[sent] < spoilt_until();
    (spoilt ? trial_.lost_in_pauses : trial_.lost) += n - sent;
    rte_pktmbuf_free_bulk(mbufs.data() + sent, n - sent);
  }
  unsigned take() {
    std::array<rte_mbuf*, 2 * burst> mbufs;
    const unsigned n =
        rte_ring_dequeue_burst(from_, reinterpret_cast<void**>(mbufs.data()), 2 * burst, nullptr);
    if (n == 0) return 0;
    const std::uint64_t now = look(), until = spoilt_until();
    for (unsigned i = 0; i < n; ++i) {
      const std::uint64_t due = due_of(mbufs[i]);
      if (due < until)
        ++trial_.spoilt;
      else
        trial_.late.add(now - due);
    }
    trial_.received += n;
    rte_pktmbuf_free_bulk(mbufs.data(), n);
    return n;
  }

  rte_mempool& pool_;
  int due_offset_;
  std::array<double, 4096> gaps_;
  std::size_t gap_ = 0, next_ = 0;
  const std::uint64_t gap_max_ = cycles(generator_gap);
  std::span<const Bytes> frames_;
  rte_ring* to_ = nullptr;
  rte_ring* from_ = nullptr;
  Watch* watch_ = nullptr;
  Trial trial_;
  double least_ = 0, mean_ = 0, next_due_ = 0;  ///< between packets; of the next
  std::uint64_t begin_ = 0, end_ = 0, looked_ = 0, spoilt_until_ = 0;
  bool paused_ = false;
  std::array<std::uint64_t, burst> dues_;
};

/// The rounds in which the machine was as fast as it mostly is, and how fast that is.
std::pair<std::vector<const Round*>, double> steady_ones(std::span<const Round> rounds,
                                                         double load) {
  std::vector<double> capacities;
  for (const Round& round : rounds) capacities.push_back(round.capacity);
  const auto middle = capacities.begin() + static_cast<std::ptrdiff_t>(capacities.size() / 2);
  std::ranges::nth_element(capacities, middle);
  std::vector<const Round*> kept;
  const double change_max = std::max(steady, (1 - load) / 4) * *middle;
  for (const Round& round : rounds)
    if (std::max(std::abs(round.capacity - *middle), std::abs(round.after - *middle)) < change_max)
      kept.push_back(&round);
  return {kept, *middle};
}

enum Way : std::size_t { plain, busy, resting };

class Bench {
 public:
  Bench(const Loop::Options& options, rte_mempool& pool)
      : generator_(pool), busy_(options, 0us, pool), resting_(options, longest_sleep, pool) {}

  /// Until so many rounds count, or twice as many are done.
  nlohmann::json measure(bool encrypt, double share, unsigned wanted) {
    std::vector<Round> rounds;
    std::vector<const Round*> kept;
    double usual = 0;
    for (double capacity = flood(encrypt); kept.size() < wanted && rounds.size() < 2 * wanted;) {
      Round& round = rounds.emplace_back(Round{capacity, 0, {}});
      const Load load = share > 0 ? Load{share * capacity, 0.1} : Load{idle_pps, 0.8};
      for (const Way way : {plain, busy, resting})
        round.trials[way] = run(way, encrypt, load, hz_ / capacity);
      round.after = capacity = flood(encrypt);
      std::tie(kept, usual) = steady_ones(rounds, share);
    }
    return {{"load", share},
            {"rounds", rounds.size()},
            {"kept", kept.size()},
            {"wanted", wanted},
            {"pps", share > 0 ? share * usual : idle_pps},
            {"capacity_pps", usual},
            {"plain", to_json(kept, plain)},
            {"busy", to_json(kept, busy)},
            {"resting", to_json(kept, resting)}};
  }
  [[nodiscard]] bool first() const { return first_; }  ///< before other programs

 private:
  double flood(bool encrypt) { return run(busy, encrypt, {0, 0.04}, 1000).pps; }

  Trial run(Way way, bool encrypt, const Load& load, double per_packet) {
    RingLine& line = way == resting ? resting_ : busy_;
    const std::vector<Bytes> frames = line.frames(encrypt);
    const double sleep = way == resting ? std::chrono::duration<double>(longest_sleep).count() : 0;
    const double gap = load.pps == idle_pps ? idle_worker_gap : worker_gap;
    line.watch.begin(cycles(gap + 1.2 * sleep), static_cast<std::uint64_t>(2 * per_packet));
    std::atomic<bool> ready{false}, stop{false};
    const auto cpus = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
    std::thread worker([&] {
      const Priority priority(cpus - 1);
      first_ = first_ && priority.granted();
      (void)rte_thread_register();
      ready.store(true);
      if (way == plain)
        line.forward(encrypt, stop);
      else
        line.run(stop);
      rte_thread_unregister();
    });
    while (!ready.load()) std::this_thread::yield();
    Trial trial;
    {
      const Priority priority(cpus - 2);
      trial = generator_.run(line, encrypt, load, frames);
    }
    stop.store(true);
    worker.join();
    // The kernel takes a CPU from who never leaves it: better between trials than in them.
    (void)poll(nullptr, 0, 10 + static_cast<int>(load.seconds * 100));
    return trial;
  }

  Generator generator_;
  RingLine busy_, resting_;
  bool first_ = true;
  const double hz_ = static_cast<double>(rte_get_tsc_hz());
};

}  // namespace

int main(int argc, char** argv) {
  std::string suite = "gcm128";
  Loop::Options options;
  std::vector<double> loads{0, 0.1, 0.5, 0.8, 0.9, 0.95};
  std::vector<std::string> directions{"enc", "dec"};
  unsigned rounds = 8;
  CLI::App app("the latency that a worker adds at several loads");
  app.add_option("--suite", suite);
  app.add_option("--size", options.size, "inner IP octets, or imix");
  app.add_option("--directions", directions)->delimiter(',');
  app.add_option("--loads", loads, "shares of the capacity; 0: a packet now and then")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--rounds", rounds, "of each load")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  try {
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) throw std::runtime_error("two CPUs are needed");
    options.suite = suite_named(suite);
    const bool huge = start_perf_eal("latency", 128);
    rte_mempool* pool = rte_pktmbuf_pool_create("latency", 8191, 256, 0, 2304, SOCKET_ID_ANY);
    if (pool == nullptr) throw std::runtime_error("no packet memory");
    Bench bench(options, *pool);
    nlohmann::json rows = nlohmann::json::array();
    for (const std::string& direction : directions)
      for (const double load : loads) {
        nlohmann::json row = bench.measure(direction == "enc", load, rounds);
        row.update({{"suite", suite}, {"size", options.size}, {"direction", direction}});
        row.update({{"huge_pages", huge}, {"first", bench.first()}});
        rows.push_back(std::move(row));
      }
    fmt::print("{}\n", rows.dump());
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
