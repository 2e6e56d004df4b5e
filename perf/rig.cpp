#include "perf/rig.hpp"

#include <cstring>
#include <fmt/format.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdexcept>

#include "dataplane/clock.hpp"
#include "dataplane/policy.hpp"

namespace cohort::perf {

using namespace dataplane;

namespace {

template <typename T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text());
  return std::move(*result);
}

PolicyEntry entry(const std::string& source, const std::string& destination) {
  PolicyEntry out;
  out.selector.source = need(Prefix::parse(source));
  out.selector.destination = need(Prefix::parse(destination));
  out.action = Action::bypass;
  return out;
}

unsigned next_number() {
  static unsigned number = 0;
  return number++;
}

}  // namespace

Suite suite_named(const std::string& name) {
  if (name == "gcm128") return Suite::aes_128_gcm_16;
  if (name == "gcm256") return Suite::aes_256_gcm_16;
  if (name == "cbc128-sha1") return Suite::aes_128_cbc_sha1_96;
  if (name == "cbc256-sha256") return Suite::aes_256_cbc_sha256_128;
  throw std::runtime_error("no such suite: " + name);
}

Sa Rig::sa_for(Suite suite, std::uint32_t spi) {
  const SuiteShape& shape = shape_of(suite);
  const auto octets = [](std::size_t n) { return Secret(Bytes(n, 0x42)); };
  Sa sa;
  sa.spi = spi;
  sa.suite = suite;
  sa.cipher_key = octets(shape.cipher_key);
  sa.integrity_key = octets(shape.integrity_key);
  sa.salt = octets(shape.salt);
  sa.sender_ids = {1};
  sa.sid_bits = shape.aead ? 16 : 0;
  return sa;
}

void Rig::make_policy(const Options& options) {
  Snapshot snapshot;
  // Entries that look like the ones that match, but for networks that no packet comes from.
  const unsigned others = options.entries > options.sas ? options.entries - options.sas : 0;
  for (unsigned i = 0; i < others; ++i)
    snapshot.policy.push_back(
        options.ip == Ip::v6
            ? entry("fd00:1::/32", fmt::format("fd00:9:{:x}::/48", i))
            : entry("10.0.0.0/8", fmt::format("192.{}.{}.0/24", 100 + i / 250, i % 250)));
  for (unsigned i = 0; i < options.sas; ++i) {
    const std::uint32_t spi = 0x1000 + i;
    PolicyEntry protect = entry(
        sources(options.ip), options.sas == 1 ? all_networks(options.ip) : network(options.ip, i));
    protect.action = Action::protect;
    protect.send_spi = spi;
    protect.receive_spis = {spi};
    snapshot.policy.push_back(std::move(protect));
    snapshot.sas.push_back(sa_for(options.suite, spi));
    Sa& sa = snapshot.sas.back();
    sa.replay = options.replay;
    // The source repeats what it has for as long as a measurement takes.
    sa.replay_window = options.replay == ReplayKind::time ? 60'000 : options.replay_window;
    sas_.push_back(std::make_shared<SaState>(*keys_, sa, 1, 1600));
    sas_.back()->assign_senders(sa);
  }
  policy_ = need(compile_policy(snapshot, sas_, fmt::format("bench{}-", next_number())));
}

/// The frames as the pipeline itself encrypts them.
std::vector<Bytes> Rig::sealed(const std::vector<Bytes>& clear, rte_mempool& pool) {
  WorkerCounters unused;
  PipelineOptions options;
  options.mtu = 1600;
  auto pipeline = need(Pipeline::create(options, 0, pool, unused));
  pipeline->use(policy_.get());
  pipeline->set_time(coarse_monotonic_ms());
  std::vector<Bytes> out;
  auto burst = std::make_unique<Burst>();
  for (const Bytes& frame : clear) {
    burst->size = 1;
    burst->mbuf[0] = rte_pktmbuf_alloc(&pool);
    std::memcpy(rte_pktmbuf_append(burst->mbuf[0], static_cast<std::uint16_t>(frame.size())),
                frame.data(), frame.size());
    pipeline->from_inside(*burst);
    if (pipeline->to_outside.size != 1) throw std::runtime_error("a frame was not encrypted");
    const rte_mbuf* mbuf = pipeline->to_outside.mbuf[0];
    const auto* data = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
    out.emplace_back(data, data + mbuf->data_len);
    rte_pktmbuf_free(pipeline->to_outside.mbuf[0]);
    pipeline->to_outside.size = 0;
  }
  return out;
}

Rig::Rig(const Options& options, rte_mempool& pool, const std::string& directory)
    : lap_(static_cast<unsigned>(options.inner_sizes.size())) {
  make_policy(options);
  std::vector<Bytes> frames = clear_frames(options.inner_sizes, options.ip, options.sas);
  if (!options.encrypt) frames = sealed(frames, pool);
  const unsigned number = next_number();
  const std::string path = fmt::format("{}/bench{}.pcap", directory, number);
  write_pcap(path, frames);
  Port::Setup setup;
  setup.mtu = 1600;
  setup.promiscuous = false;
  setup.role = "source";
  setup.device = fmt::format("net_pcap{},rx_pcap={},infinite_rx=1", number, path);
  source_ = need(Port::open(setup, pool));
  setup.role = "sink";
  setup.device = fmt::format("net_null{},no-rx=1", number);
  sink_ = need(Port::open(setup, pool));
  ring_ = rte_ring_create(fmt::format("bench{}", number).c_str(), 4, SOCKET_ID_ANY, 0);
  const std::size_t size = rte_rcu_qsbr_get_memsize(1);
  readers_memory_ = std::make_unique<char[]>(size + 64);
  readers_ = reinterpret_cast<rte_rcu_qsbr*>(
      (reinterpret_cast<std::uintptr_t>(readers_memory_.get()) + 63) & ~std::uintptr_t{63});
  rte_rcu_qsbr_init(readers_, 1);
  rte_rcu_qsbr_thread_register(readers_, 0);
  rte_rcu_qsbr_thread_online(readers_, 0);
  PipelineOptions pipeline;
  pipeline.mtu = 1600;
  WorkerSetup worker;
  worker.inside = options.encrypt ? source_->id() : sink_->id();
  worker.outside = options.encrypt ? sink_->id() : source_->id();
  worker.policies = ring_;
  worker.readers = readers_;
  worker_ = std::make_unique<Worker>(worker, need(Pipeline::create(pipeline, 0, pool, counters_)),
                                     counters_);
  rte_ring_enqueue(ring_, policy_.get());
}

Rig::~Rig() {
  worker_.reset();
  source_.reset();
  sink_.reset();
  rte_ring_free(ring_);
}

unsigned Rig::lap_through_worker() {
  unsigned n = 0;
  while (n < lap_) n += worker_->poll();
  // The source repeats its sequence numbers, which an honest window would refuse. A new one each
  // lap costs less than a cycle a packet; checking and committing stay in.
  for (const auto& sa : sas_) sa->worker(0).window.forget();
  return n;
}

unsigned Rig::lap_through_io() {
  std::array<rte_mbuf*, receive_burst> mbufs;
  unsigned n = 0;
  while (n < lap_) {
    const std::uint16_t got = rte_eth_rx_burst(source_->id(), 0, mbufs.data(), receive_burst);
    const std::uint16_t sent = rte_eth_tx_burst(sink_->id(), 0, mbufs.data(), got);
    if (sent < got) rte_pktmbuf_free_bulk(mbufs.data() + sent, static_cast<unsigned>(got - sent));
    n += got;
  }
  return n;
}

}  // namespace cohort::perf
