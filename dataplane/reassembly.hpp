#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "controlplane/base/result.hpp"
#include "dataplane/burst.hpp"
#include "dataplane/counters.hpp"

struct rte_mempool;

namespace cohort::dataplane {

/// Puts fragmented ESP packets together before decryption (RFC 4303 section 3.4.1): `flows` of them
/// at once, at most eight fragments each and four on average, each for at most `timeout`. With 0
/// flows, fragments are dropped. A worker's own: devices spread fragments by address alone.
///
/// Anybody can send fragments that nothing follows. Honest ones are whole within milliseconds, so
/// where there is no room it is the oldest that goes, not the newest that is refused:
///  - a source (an IPv4 /24 or IPv6 /64) that has a quarter of the table already: its own oldest;
///  - else, of those whose SPI nobody has shown to be ours yet, the oldest, while they have more
///    than a quarter of the table; who can't read our packets can't displace those that are proven;
///  - else the oldest of the proven.
/// To disturb a packet one must thus read an SPI and fill three quarters of the table between its
/// first fragment and its last.
class Reassembly {
 public:
  static Result<std::unique_ptr<Reassembly>> create(std::uint32_t flows,
                                                    std::chrono::milliseconds timeout);
  ~Reassembly();
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

  /// Takes the fragment over. `proven`: it is a first one, with the SPI of an SA. Afterwards
  /// note.verdict is gone while the packet is incomplete; or undecided, with `mbuf` the whole
  /// packet (note_reassembled) in one buffer; or drop. Overlaps drop the packet (RFC 5722), a
  /// duplicate only itself. Congestion on one fragment is congestion of the packet (RFC 3168
  /// section 5.3).
  void add(rte_mbuf*& mbuf, Note& note, bool proven, std::uint64_t now, rte_mempool& pool,
           WorkerCounters& counters);
  /// Lets go of what has timed out.
  void expire(std::uint64_t now, WorkerCounters& counters);

 private:
  static constexpr unsigned pieces_max = 8;
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  struct Key {
    std::array<std::uint64_t, 4> addresses{};
    std::uint64_t id = 0;  ///< with the family in its high half
    bool operator==(const Key&) const = default;
  };
  struct Piece {
    rte_mbuf* mbuf = nullptr;
    std::uint32_t offset = 0;  ///< of its data in the packet's
    std::uint32_t length = 0;
    std::uint16_t l2_length = 0;
    std::uint16_t header = 0;  ///< of IP, with a fragment header
  };
  struct Link {
    std::uint32_t before = none;
    std::uint32_t after = none;
  };
  struct Flow {
    Key key;
    std::uint64_t since = 0;
    std::uint32_t chain = none;   ///< the next of its hash, or of the free ones
    std::uint32_t source = 0;     ///< index of its source
    Link by_age;                  ///< among the proven or the unproven
    Link by_source;               ///< among those of its source
    std::uint32_t total = 0;      ///< octets of data; 0: the last fragment is not there
    std::uint32_t held = 0;       ///< octets of data that are there
    std::uint8_t codepoints = 0;  ///< bit n: a fragment with ECN field n
    std::uint8_t count = 0;
    bool proven = false;
    std::array<Piece, pieces_max> pieces;
  };
  /// Flows in the order of their coming.
  struct List {
    std::uint32_t first = none;
    std::uint32_t last = none;
    std::uint32_t size = 0;
  };
  enum class Fit : std::uint8_t { fits, duplicate, spoils };

  Reassembly(std::uint32_t flows, std::uint64_t timeout);
  [[nodiscard]] std::uint64_t hash(const std::uint64_t* words, unsigned count) const;
  [[nodiscard]] std::uint32_t& chain_of(const Key& key);
  [[nodiscard]] std::uint32_t source_of(const Key& key, bool v6) const;
  [[nodiscard]] std::uint32_t find(const Key& key);
  [[nodiscard]] std::uint32_t begin(const Key& key, bool v6, bool proven, std::uint64_t now,
                                    WorkerCounters& counters);
  void prove(std::uint32_t index, std::uint64_t now);
  [[nodiscard]] std::uint32_t oldest_to_go(std::uint32_t keep) const;
  /// Frees the flow, its buffers counted as dropped (reassembly_failed).
  void drop(std::uint32_t index, WorkerCounters& counters);
  void release(std::uint32_t index);
  void append(List& list, Link Flow::*link, std::uint32_t index);
  void remove(List& list, Link Flow::*link, std::uint32_t index);
  [[nodiscard]] List& ages(const Flow& flow) { return flow.proven ? proven_ : unproven_; }
  static Fit place(Flow& flow, const Piece& piece, bool last);
  static rte_mbuf* join(const Flow& flow, rte_mempool& pool, Note& note);
  void finish(std::uint32_t index, rte_mbuf*& mbuf, Note& note, rte_mempool& pool,
              WorkerCounters& counters);

  std::uint64_t timeout_;  ///< cycles
  std::uint32_t share_;    ///< a quarter of the flows
  std::uint32_t buffers_max_;
  std::uint32_t buffers_ = 0;
  std::uint64_t seed_ = 0;
  std::uint64_t factor_ = 1;
  std::vector<Flow> flows_;
  std::vector<std::uint32_t> chains_;
  std::vector<List> sources_;
  std::uint32_t free_ = none;
  List proven_;
  List unproven_;
};

}  // namespace cohort::dataplane
