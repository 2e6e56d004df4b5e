/// A tester for a line of devices: sends timestamped packets into one port, takes them from
/// another, and says how many arrived, how late, and how fast the line can be without loss (RFC
/// 2544 section 26.1). perf/testpmd.py puts members between the two ports.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/ports.hpp"
#include "perf/histogram.hpp"
#include "perf/loop.hpp"
#include "perf/priority.hpp"
#include "perf/traffic.hpp"

namespace {

using namespace cohort;
using namespace cohort::perf;

constexpr unsigned burst = 32;
/// More that is due at once than this is no load that was asked for: somebody took our CPU.
constexpr std::uint64_t behind_max = 512;
constexpr unsigned stamp_offset = 14 + 20 + 8;

struct Options {
  std::string send, receive, echo;
  std::vector<std::string> sizes{"64", "imix", "1420"};
  unsigned cpu = 0;
  double seconds = 1;
  double tolerated = 0.001;
  double precision = 0.03;
  double warm_up_seconds = 20;
};

/// What a packet carries behind its UDP header.
struct Stamp {
  std::uint32_t trial = 0;
  std::uint32_t sequence = 0;
  std::uint64_t sent = 0;  ///< TSC
};

struct Trial {
  double rate = 0;  ///< packets a second that were offered
  std::uint64_t offered = 0, refused = 0, received = 0, reordered = 0, bits = 0;
  double receive_seconds = 0;
  std::uint64_t pause = 0;  ///< the longest between two looks, TSC
  Histogram latency;

  [[nodiscard]] std::uint64_t lost() const { return offered - std::min(offered, received); }
  [[nodiscard]] double loss() const {
    return offered == 0 ? 1 : static_cast<double>(lost()) / static_cast<double>(offered);
  }
};

double microseconds(std::uint64_t cycles) {
  return static_cast<double>(cycles) * 1e6 / static_cast<double>(rte_get_tsc_hz());
}

nlohmann::json to_json(const Trial& trial) {
  const Histogram& late = trial.latency;
  return {{"offered_pps", trial.rate},
          {"received_pps", static_cast<double>(trial.received) / trial.receive_seconds},
          {"received_gbps", static_cast<double>(trial.bits) / trial.receive_seconds / 1e9},
          {"offered", trial.offered},
          {"refused", trial.refused},
          {"received", trial.received},
          {"loss", trial.loss()},
          {"reordered", trial.reordered},
          {"pause_us", microseconds(trial.pause)},
          {"latency_us",
           {{"p50", microseconds(late.quantile(0.5))},
            {"p99", microseconds(late.quantile(0.99))},
            {"p99.9", microseconds(late.quantile(0.999))},
            {"max", microseconds(late.greatest())}}}};
}

class Tester {
 public:
  Tester(const Options& options, rte_mempool& pool)
      : pool_(pool),
        send_(open(options.send, "sender", pool)),
        receive_(options.receive == options.send ? nullptr
                                                 : open(options.receive, "receiver", pool)),
        from_(receive_ ? receive_->id() : send_->id()) {
    if (!options.echo.empty()) echo_ = open(options.echo, "echo", pool);
  }

  void use(const std::string& size) {
    frames_ = clear_frames(sizes_of(size), Ip::v4, 1);
    for (Bytes& frame : frames_) write_checksum(frame);
  }
  /// Until packets come through: links rise, members register.
  bool warm_up(double seconds) {
    const std::uint64_t end = rte_rdtsc() + cycles(seconds);
    while (rte_rdtsc() < end)
      if (run(20'000, 0.05).received > 500) return true;
    return false;
  }
  /// Offers `rate` packets a second for so long, and then waits for the rest.
  Trial run(double rate, double seconds) {
    Trial trial;
    ++number_;
    expected_ = 0;
    const std::uint64_t hz = rte_get_tsc_hz();
    std::uint64_t start = rte_rdtsc();
    const std::uint64_t begin = start;
    const std::uint64_t end = start + cycles(seconds);
    std::uint64_t now = start;
    std::uint64_t sent = 0;  // since `start`
    for (std::uint64_t last = start; (now = rte_rdtsc()) < end; last = now) {
      trial.pause = std::max(trial.pause, now - last);
      const auto target = static_cast<std::uint64_t>(static_cast<double>(now - start) * rate /
                                                     static_cast<double>(hz));
      if (target > sent + behind_max) {
        start = now;
        sent = 0;
      } else if (target > sent) {
        const auto n = static_cast<unsigned>(std::min<std::uint64_t>(target - sent, burst));
        send(n, trial);
        sent += n;
      }
      take(trial);
    }
    trial.rate = static_cast<double>(trial.offered) * static_cast<double>(hz) /
                 static_cast<double>(now - begin);
    trial.receive_seconds = static_cast<double>(now - begin) / static_cast<double>(hz);
    // RFC 2544 section 23: two seconds for the rest; we are done when a fifth brings nothing.
    std::uint64_t quiet_since = rte_rdtsc();
    while (trial.received < trial.offered && rte_rdtsc() - quiet_since < hz / 5)
      if (take(trial) > 0) quiet_since = rte_rdtsc();
    return trial;
  }

 private:
  static std::uint64_t cycles(double seconds) {
    return static_cast<std::uint64_t>(seconds * static_cast<double>(rte_get_tsc_hz()));
  }
  static std::unique_ptr<dataplane::Port> open(const std::string& device, const char* role,
                                               rte_mempool& pool) {
    dataplane::Port::Setup setup;
    setup.device = device;
    setup.role = role;
    setup.mtu = 1500;
    setup.promiscuous = false;
    auto port = dataplane::Port::open(setup, pool);
    if (!port) throw std::runtime_error(port.error().text());
    return std::move(*port);
  }
  static void write_checksum(Bytes& frame) {
    std::uint32_t sum = 0;
    for (unsigned i = 14; i < 34; i += 2)
      sum += static_cast<std::uint32_t>(frame[i] << 8 | frame[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~(sum + (sum >> 16)) & 0xffff;
    frame[24] = static_cast<std::uint8_t>(sum >> 8);
    frame[25] = static_cast<std::uint8_t>(sum);
  }
  void send(unsigned n, Trial& trial) {
    std::array<rte_mbuf*, burst> mbufs;
    trial.offered += n;
    if (rte_pktmbuf_alloc_bulk(&pool_, mbufs.data(), n) != 0) {
      trial.refused += n;
      return;
    }
    Stamp stamp{number_, next_, rte_rdtsc()};
    for (unsigned i = 0; i < n; ++i, stamp.sequence = ++next_) {
      const Bytes& frame = frames_[next_ % frames_.size()];
      mbufs[i]->data_len = static_cast<std::uint16_t>(frame.size());
      mbufs[i]->pkt_len = static_cast<std::uint32_t>(frame.size());
      auto* data = rte_pktmbuf_mtod(mbufs[i], std::uint8_t*);
      std::memcpy(data, frame.data(), frame.size());
      std::memcpy(data + stamp_offset, &stamp, sizeof stamp);
    }
    const std::uint16_t taken =
        rte_eth_tx_burst(send_->id(), 0, mbufs.data(), static_cast<std::uint16_t>(n));
    if (taken == n) return;
    trial.refused += n - taken;
    rte_pktmbuf_free_bulk(mbufs.data() + taken, n - taken);
  }
  unsigned take(Trial& trial) {
    std::array<rte_mbuf*, 64> mbufs;
    if (echo_) {
      const std::uint16_t n = rte_eth_rx_burst(echo_->id(), 0, mbufs.data(), 64);
      const std::uint16_t taken = rte_eth_tx_burst(echo_->id(), 0, mbufs.data(), n);
      if (taken < n) rte_pktmbuf_free_bulk(mbufs.data() + taken, static_cast<unsigned>(n - taken));
    }
    const std::uint16_t n = rte_eth_rx_burst(from_, 0, mbufs.data(), 64);
    if (n == 0) return 0;
    const std::uint64_t now = rte_rdtsc();
    for (unsigned i = 0; i < n; ++i) {
      Stamp stamp;
      if (mbufs[i]->data_len < stamp_offset + sizeof stamp) continue;
      std::memcpy(&stamp, rte_pktmbuf_mtod_offset(mbufs[i], const std::uint8_t*, stamp_offset),
                  sizeof stamp);
      if (stamp.trial != number_) continue;  // a straggler of the last one
      ++trial.received;
      trial.bits += (mbufs[i]->data_len - 14u) * 8u;
      if (stamp.sequence < expected_) ++trial.reordered;
      expected_ = std::max(expected_, stamp.sequence + 1);
      trial.latency.add(now - stamp.sent);
    }
    rte_pktmbuf_free_bulk(mbufs.data(), n);
    return n;
  }

  rte_mempool& pool_;
  std::unique_ptr<dataplane::Port> send_, receive_, echo_;
  std::uint16_t from_;
  std::vector<Bytes> frames_;
  std::uint32_t number_ = 0;
  std::uint32_t next_ = 0;
  std::uint32_t expected_ = 0;
};

/// The fastest rate at which at most the share `tolerated` is lost: halves the range until it is
/// narrow. `best` is the trial at that rate.
double search(Tester& tester, const Options& options, double top, double tolerated, Trial& best) {
  double low = 0;
  double high = top;
  while (high - low > options.precision * high) {
    const double middle = (low + high) / 2;
    // Whoever else runs here takes the CPU now and then: a rate fails if it fails twice.
    Trial trial = tester.run(middle, options.seconds);
    if (trial.loss() > tolerated) trial = tester.run(middle, options.seconds);
    if (trial.loss() > tolerated) {
      high = middle;
    } else {
      low = trial.rate;
      high = std::max(high, low);
      if (trial.rate < middle * 0.95) high = middle;  // it is the tester that can't do more
      best = trial;
    }
    if (high < 1000) break;
  }
  return low;
}

nlohmann::json measure(Tester& tester, const Options& options, const std::string& size) {
  tester.use(size);
  if (!tester.warm_up(options.warm_up_seconds))
    throw std::runtime_error("nothing comes through the line");
  nlohmann::json out{{"size", size}};
  // More than any line takes: how much passes then, and how much is lost.
  const Trial flood = tester.run(50e6, options.seconds);
  out["flood"] = to_json(flood);
  // A flood can be more than a line takes well: it may do better with less.
  const double top =
      std::max(4e6, 1.2 * static_cast<double>(flood.received) / flood.receive_seconds);
  Trial at_rate;
  const double few_lost = search(tester, options, top, options.tolerated, at_rate);
  out["few_lost"] = to_json(at_rate);
  out["few_lost"]["rate_pps"] = few_lost;
  Trial none_lost_trial;
  const double none_lost = search(tester, options, few_lost * 1.1, 0, none_lost_trial);
  out["none_lost"] = to_json(none_lost_trial);
  out["none_lost"]["rate_pps"] = none_lost;
  out["pause_us"] = microseconds(tester.run(1000, options.seconds).pause);
  out["calm"] = to_json(tester.run(few_lost / 10, options.seconds));
  out["half"] = to_json(tester.run(few_lost / 2, options.seconds));
  return out;
}

int run(const Options& options) {
  (void)start_perf_eal("probe", 64);
  pin_to(options.cpu);
  rte_mempool* pool = rte_pktmbuf_pool_create("probe", 16383, 256, 0, 2304, SOCKET_ID_ANY);
  if (pool == nullptr) throw std::runtime_error("no packet memory");
  Tester tester(options, *pool);
  for (const std::string& size : options.sizes) {
    fmt::print("{}\n", measure(tester, options, size).dump());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("throughput, loss, latency and no-drop rate of what is between two ports");
  app.add_option("--send", options.send, "device that packets go into")->required();
  app.add_option("--receive", options.receive, "device that they come back by")->required();
  app.add_option("--echo", options.echo, "device that sends back whatever it receives");
  app.add_option("--sizes", options.sizes, "inner IP octets, or imix")->delimiter(',');
  app.add_option("--cpu", options.cpu, "to run on");
  app.add_option("--seconds", options.seconds, "of a trial");
  app.add_option("--tolerated", options.tolerated, "share that few_lost may lose");
  app.add_option("--warm-up", options.warm_up_seconds, "wait so long for the first packets");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
