#include "perf/loop.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <rte_ring.h>
#include <stdexcept>
#include <unistd.h>

#include "dataplane/eal.hpp"
#include "perf/rig.hpp"

namespace cohort::perf {

using namespace dataplane;

namespace {

PolicyEntry entry(const std::string& source, const std::string& destination) {
  PolicyEntry out;
  out.selector.source = Prefix::parse(source).value();
  out.selector.destination = Prefix::parse(destination).value();
  out.action = Action::bypass;
  return out;
}

std::uint64_t value_of(const std::vector<NamedCounter>& counters, std::string_view name) {
  for (const NamedCounter& counter : counters)
    if (counter.name == name) return counter.value;
  return 0;
}

}  // namespace

Loop::Loop(const Options& options, const std::string& directory) : options_(options) {
  static unsigned number = 0;
  const std::string path = fmt::format("{}/loop{}.pcap", directory, number);
  write_pcap(path,
             clear_frames(sizes_of(options.size, frames_for(options.sas)), Ip::v4, options.sas));
  PortPairOptions pair;
  pair.name = "loop";
  pair.inside = fmt::format("net_pcap_l{}", number);
  for (unsigned i = 0; i < options.workers; ++i) pair.inside += ",rx_pcap=" + path;
  pair.inside += ",infinite_rx=1";
  ring_device_ = fmt::format("net_ring_l{}", number);
  pair.outside = ring_device_;
  pair.workers.assign(options.workers, std::nullopt);
  DataplaneOptions dataplane;
  dataplane.mbufs_per_pair = 8191 * std::min(options.workers, 2u);
  dataplane.start_workers = false;
  auto made = PortPair::create(pair, dataplane, *keys_, number++);
  if (!made) throw std::runtime_error(made.error().text());
  pair_ = std::move(*made);
}

Snapshot Loop::snapshot_for(const Options& options, unsigned generation) {
  Snapshot out;
  const unsigned others = options.entries > options.sas ? options.entries - options.sas : 0;
  for (unsigned i = 0; i < others; ++i)
    out.policy.push_back(
        entry("10.0.0.0/8", fmt::format("192.{}.{}.0/24", 100 + i / 250, i % 250)));
  for (unsigned i = 0; i < options.sas; ++i) {
    PolicyEntry protect =
        entry(sources(Ip::v4), options.sas == 1 ? all_networks(Ip::v4) : network(Ip::v4, i));
    protect.action = Action::protect;
    for (unsigned back = 0; back < 2 && back <= generation; ++back) {
      Sa sa = Rig::sa_for(options.suite, 0x1000 + (generation - back) * options.sas + i);
      sa.replay_window = 64;
      if (!sa.sender_ids.empty())
        for (unsigned w = 1; w < options.workers; ++w) sa.sender_ids.push_back(1 + w);
      protect.receive_spis.push_back(sa.spi);
      if (back == 0) protect.send_spi = sa.spi;
      out.sas.push_back(std::move(sa));
    }
    out.policy.push_back(std::move(protect));
  }
  return out;
}

std::uint64_t Loop::lost() const {
  const Usage usage = pair_->usage();
  std::uint64_t received = 0;
  for (const PortStatus& port : pair_->ports())
    if (port.role == "inside") received = port.packets_in;
  std::uint64_t in_ring = 0;
  for (unsigned i = 0; i < options_.workers; ++i)
    if (const rte_ring* ring =
            rte_ring_lookup(fmt::format("ETH_RXTX{}_{}", i, ring_device_).c_str()))
      in_ring += rte_ring_count(ring);
  return received - value_of(usage.forwards, "decrypted") - in_ring;
}

std::uint64_t drops_of(const Usage& usage) {
  std::uint64_t sum = 0;
  for (const NamedCounter& drop : usage.drops) sum += drop.value;
  return sum;
}

bool start_perf_eal(const std::string& name, unsigned memory_mb) {
  std::ifstream meminfo("/proc/meminfo");
  std::string word;
  std::uint64_t free_pages = 0;
  while (meminfo >> word)
    if (word == "HugePages_Free:") meminfo >> free_pages;
  EalOptions eal;
  eal.hugepages = free_pages >= memory_mb / 2;
  eal.memory_mb = eal.hugepages ? memory_mb : std::max(memory_mb, 512u);
  eal.file_prefix = fmt::format("cohort-{}-{}", name, getpid());
  if (const Status status = start_eal(eal, {}); !status)
    throw std::runtime_error(status.error().text());
  return eal.hugepages;
}

}  // namespace cohort::perf
