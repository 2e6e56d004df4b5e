#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "controlplane/base/result.hpp"
#include "dataplane/manager.hpp"
#include "dataplane/ports.hpp"
#include "dataplane/worker.hpp"

struct rte_mempool;

namespace cohort::dataplane {

/// One port pair from the control thread's side: its ports, packet memory, workers with their
/// rings, the SAs as they live, and the policies that workers may still hold.
class PortPair {
 public:
  static Result<std::unique_ptr<PortPair>> create(const PortPairOptions& options,
                                                  const DataplaneOptions& dataplane,
                                                  IMB_MGR& manager, unsigned number);
  ~PortPair();
  PortPair(const PortPair&) = delete;
  PortPair& operator=(const PortPair&) = delete;

  [[nodiscard]] const std::string& name() const { return options_.name; }
  /// Starts the worker threads, once.
  void start();
  Status apply(const Snapshot& snapshot);
  [[nodiscard]] Usage usage() const;
  void reclaim();
  [[nodiscard]] std::size_t retired() const { return retired_.size(); }
  [[nodiscard]] std::vector<PortStatus> ports() const;
  /// For whoever polls in threads of their own instead of start() (perf).
  [[nodiscard]] Worker& worker(unsigned index) { return *seats_[index]->worker; }
  [[nodiscard]] std::vector<std::string> advice() const;

 private:
  PortPair(const PortPairOptions& options, IMB_MGR& manager, unsigned number)
      : options_(options), manager_(manager), number_(number) {}

  struct FreeRing {
    void operator()(rte_ring* ring) const { rte_ring_free(ring); }
  };
  struct FreePool {
    void operator()(rte_mempool* pool) const;
  };
  struct FreeAligned {
    void operator()(void* memory) const { std::free(memory); }
  };
  /// A worker thread and what it shares with us.
  struct Seat {
    WorkerCounters counters;
    std::unique_ptr<rte_ring, FreeRing> policies;
    std::unique_ptr<Worker> worker;
    std::thread thread;
  };
  /// A policy that workers may still hold, until all have reported after `token`.
  struct Retired {
    std::uint64_t token;
    std::unique_ptr<CompiledPolicy> policy;
  };

  Status open_ports(const DataplaneOptions& dataplane);
  Status make_pool(const DataplaneOptions& dataplane);
  Status make_seats(const DataplaneOptions& dataplane);
  void push(std::unique_ptr<CompiledPolicy> policy);
  Result<std::vector<std::shared_ptr<SaState>>> states_for(const Snapshot& snapshot);
  /// Of one snapshot, in which no SPI is there twice.
  using StatesBySpi = std::unordered_map<std::uint32_t, std::shared_ptr<SaState>>;
  std::shared_ptr<SaState> find_state(const Sa& sa, const StatesBySpi& current);

  PortPairOptions options_;
  IMB_MGR& manager_;
  unsigned number_;
  std::unique_ptr<rte_mempool, FreePool> pool_;
  std::unique_ptr<Port> inside_;
  std::unique_ptr<Port> outside_;
  std::unique_ptr<Port> punt_;
  std::unique_ptr<rte_rcu_qsbr, FreeAligned> readers_;
  std::vector<std::unique_ptr<Seat>> seats_;
  std::atomic<bool> stop_{false};

  unsigned policies_made_ = 0;
  std::unique_ptr<CompiledPolicy> current_;
  std::deque<Retired> retired_;
  /// SAs of the current snapshot.
  std::vector<std::shared_ptr<SaState>> sas_;
  /// SAs that were removed, without their keys: if one comes back, its counters go on. Bounded.
  std::deque<std::shared_ptr<SaState>> buried_;
};

}  // namespace cohort::dataplane
