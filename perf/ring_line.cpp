#include "perf/ring_line.hpp"

#include <array>
#include <cstring>
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdexcept>

#include "perf/traffic.hpp"

namespace cohort::perf {

using namespace dataplane;

namespace {

constexpr unsigned ring_size = 1024;

template <typename T>
T need(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().text());
  return std::move(*result);
}

std::uint16_t watch_receive(std::uint16_t /*port*/, std::uint16_t /*queue*/, rte_mbuf** /*mbufs*/,
                            std::uint16_t n, std::uint16_t /*max*/, void* watch) {
  static_cast<Watch*>(watch)->call(n);
  return n;
}

}  // namespace

void Watch::begin(std::uint64_t gap_max, std::uint64_t per_packet) {
  gap_max_ = gap_max;
  per_packet_ = per_packet;
  last_ = work_ = bursts = packets = 0;
  spoilt_until.store(0);
}

void Watch::call(unsigned n) {
  const std::uint64_t now = rte_rdtsc();
  const std::uint64_t gap = now - last_;
  if (last_ != 0 && gap > gap_max_ + work_)
    spoilt_until.store(now + recovery * gap, std::memory_order_relaxed);
  last_ = now;
  // Where two bursts are gathered, the work for both follows the second call.
  work_ = n * per_packet_ + (gap < work_ / 4 ? work_ : 0);
  packets += n;
  bursts += n > 0 ? 1 : 0;
}

RingLine::Side::Side(const std::string& name) : device("net_ring_" + name) {
  const auto ring = [&](const char* end) {
    rte_ring* made = rte_ring_create((name + end).c_str(), ring_size, SOCKET_ID_ANY,
                                     RING_F_SP_ENQ | RING_F_SC_DEQ);
    if (made == nullptr) throw std::runtime_error("no memory for rings");
    return made;
  };
  in = ring("-in");
  out = ring("-out");
  const int made = rte_eth_from_rings(name.c_str(), &in, 1, &out, 1, rte_socket_id());
  if (made < 0) throw std::runtime_error("no port of rings");
  port = static_cast<std::uint16_t>(made);
}

RingLine::RingLine(const Loop::Options& options, std::chrono::microseconds idle_sleep_max,
                   rte_mempool& pool)
    : inside_(fmt::format("inside{}", idle_sleep_max.count())),
      outside_(fmt::format("outside{}", idle_sleep_max.count())),
      pool_(pool),
      clear_(clear_frames(sizes_of(options.size), Ip::v4, 1)),
      keys_(need(Cipher::create())) {
  PortPairOptions pair;
  pair.name = "line";
  pair.inside = inside_.device;
  pair.outside = outside_.device;
  DataplaneOptions dataplane;
  dataplane.mbufs_per_pair = 1023;
  dataplane.idle_sleep_max = idle_sleep_max;
  dataplane.start_workers = false;
  pair_ = need(PortPair::create(pair, dataplane, keys_->manager(), inside_.port));
  Snapshot snapshot = Loop::snapshot_for(options, 0);
  for (Sa& sa : snapshot.sas) {  // packets to decrypt are repeated
    sa.replay = ReplayKind::time;
    sa.replay_window = 60'000;
  }
  if (const Status status = pair_->apply(snapshot); !status)
    throw std::runtime_error(status.error().text());
  for (const Side* side : {&inside_, &outside_})
    if (rte_eth_add_rx_callback(side->port, 0, watch_receive, &watch) == nullptr)
      throw std::runtime_error("calls to receive can't be watched");
}

std::vector<Bytes> RingLine::frames(bool encrypt) {
  if (encrypt) return clear_;
  std::vector<Bytes> sealed;
  for (const Bytes& frame : clear_) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(&pool_);
    if (mbuf == nullptr) throw std::runtime_error("no packet buffers");
    std::memcpy(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size())), frame.data(),
                frame.size());
    rte_ring_enqueue(inside_.in, mbuf);
    pair_->worker(0).poll();
    void* out = nullptr;
    if (rte_ring_dequeue(outside_.out, &out) != 0)
      throw std::runtime_error("a frame was not encrypted");
    mbuf = static_cast<rte_mbuf*>(out);
    const auto* data = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
    sealed.emplace_back(data, data + mbuf->data_len);
    rte_pktmbuf_free(mbuf);
  }
  return sealed;
}

void RingLine::forward(bool encrypt, const std::atomic<bool>& stop) {
  const std::uint16_t from = (encrypt ? inside_ : outside_).port;
  const std::uint16_t to = (encrypt ? outside_ : inside_).port;
  std::array<rte_mbuf*, receive_burst> mbufs;
  while (!stop.load(std::memory_order_relaxed)) {
    const std::uint16_t n = rte_eth_rx_burst(from, 0, mbufs.data(), receive_burst);
    if (n == 0) {
      rte_pause();
      continue;
    }
    const std::uint16_t sent = rte_eth_tx_burst(to, 0, mbufs.data(), n);
    if (sent < n) rte_pktmbuf_free_bulk(mbufs.data() + sent, static_cast<unsigned>(n - sent));
  }
}

}  // namespace cohort::perf
