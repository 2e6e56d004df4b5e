#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "controlplane/base/result.hpp"
#include "dataplane/burst.hpp"
#include "dataplane/counters.hpp"

struct rte_mempool;
struct rte_ip_frag_tbl;
struct rte_ip_frag_death_row;

namespace cohort::dataplane {

/// Puts fragmented ESP packets together before decryption (RFC 4303 section 3.4.1), over
/// rte_ip_frag: at most `flows` packets at once, at most eight fragments each, each for at most
/// `timeout`. While all are taken, others are dropped; with 0 flows, all are. A worker's own:
/// devices spread fragments by address alone.
class Reassembly {
 public:
  static Result<std::unique_ptr<Reassembly>> create(std::uint32_t flows,
                                                    std::chrono::milliseconds timeout);
  ~Reassembly();
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

  /// Takes the fragment over. Afterwards note.verdict is gone while the packet is incomplete; or
  /// undecided, with `mbuf` the whole packet (note_reassembled) in one buffer; or drop.
  void add(rte_mbuf*& mbuf, Note& note, std::uint64_t now, rte_mempool& pool,
           WorkerCounters& counters);
  /// Lets go of what has timed out.
  void expire(std::uint64_t now, WorkerCounters& counters);

 private:
  Reassembly() = default;
  void bury(WorkerCounters& counters);

  rte_ip_frag_tbl* table_ = nullptr;
  std::unique_ptr<rte_ip_frag_death_row> dead_;
};

}  // namespace cohort::dataplane
