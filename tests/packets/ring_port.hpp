#pragma once

#include <cstring>
#include <fmt/format.h>
#include <optional>
#include <rte_eth_ring.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/packets/lab.hpp"

/// Ports of DPDK's ring driver, which live in this process.
namespace cohort::test {

/// One way of a cable.
inline rte_ring* make_wire(const std::string& name) {
  rte_ring* ring =
      rte_ring_create(name.c_str(), 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (ring == nullptr) throw std::runtime_error("no ring");
  return ring;
}

/// A port that sends into one wire and receives from another; returns its device.
inline std::string make_ring_device(const std::string& name, rte_ring* receive, rte_ring* send) {
  if (rte_eth_from_rings(name.c_str(), &receive, 1, &send, 1, 0) < 0)
    throw std::runtime_error("no ring port");
  return "net_ring_" + name;
}

/// A port whose other end is in our hands: frames as values, both ways.
class RingPort {
 public:
  RingPort(const std::string& name, rte_mempool& pool, unsigned queues) : pool_(pool) {
    for (unsigned q = 0; q < queues; ++q) {
      in_.push_back(make_ring(name, "in", q));
      out_.push_back(make_ring(name, "out", q));
    }
    if (rte_eth_from_rings(name.c_str(), in_.data(), queues, out_.data(), queues, 0) < 0)
      throw std::runtime_error("no ring port");
    device_ = "net_ring_" + name;
  }
  [[nodiscard]] const std::string& device() const { return device_; }
  void send(const Bytes& frame, unsigned queue = 0) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(&pool_);
    std::memcpy(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size())), frame.data(),
                frame.size());
    if (rte_ring_enqueue(in_[queue], mbuf) != 0) throw std::runtime_error("ring full");
  }
  /// The next frame that leaves, waiting for it as long as a broken worker deserves.
  std::optional<Bytes> receive(unsigned queue = 0) {
    for (int i = 0; i < 20'000'000; ++i) {
      if (auto frame = poll(queue)) return frame;
      std::this_thread::yield();
    }
    return std::nullopt;
  }
  /// The next frame, if one has left already.
  std::optional<Bytes> poll(unsigned queue = 0) {
    void* object = nullptr;
    if (rte_ring_dequeue(out_[queue], &object) != 0) return std::nullopt;
    auto* mbuf = static_cast<rte_mbuf*>(object);
    const auto* data = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
    Bytes frame(data, data + mbuf->data_len);
    rte_pktmbuf_free(mbuf);
    return frame;
  }

 private:
  static rte_ring* make_ring(const std::string& name, const char* way, unsigned queue) {
    return make_wire(fmt::format("{}-{}{}", name, way, queue));
  }

  rte_mempool& pool_;
  std::vector<rte_ring*> in_;
  std::vector<rte_ring*> out_;
  std::string device_;
};

}  // namespace cohort::test
