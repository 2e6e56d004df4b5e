#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <rte_cycles.h>

#include "dataplane/burst.hpp"
#include "dataplane/cipher.hpp"
#include "dataplane/counters.hpp"
#include "dataplane/esp_in.hpp"
#include "dataplane/esp_out.hpp"
#include "dataplane/locality.hpp"
#include "dataplane/lookup.hpp"
#include "dataplane/options.hpp"
#include "dataplane/reassembly.hpp"
#include "dataplane/too_big.hpp"

namespace cohort::dataplane {

/// Where time goes, for perf: cycles per stage. A null pointer in the pipeline costs a branch a
/// burst.
struct StageClock {
  enum Stage : std::uint8_t { classify, lookup, judge, esp, crypto, settle, stage_count };
  std::array<std::uint64_t, stage_count> cycles{};
};

/// Frames that are to leave by one port. The owner sends them and empties it after each burst.
struct Outgoing {
  /// A burst, each packet of it in two fragments, and a report for each.
  static constexpr unsigned capacity = 4 * burst_max;
  unsigned size = 0;
  std::array<rte_mbuf*, capacity> mbuf;
  void push(rte_mbuf* frame) { mbuf[size++] = frame; }
  void push_all(const Burst& burst) {
    std::memcpy(&mbuf[size], burst.mbuf.data(), burst.size * sizeof(rte_mbuf*));
    size += burst.size;
  }
};

/// What a pair's pipelines need to know. Addresses, limits, switches; no devices.
struct PipelineOptions {
  std::uint16_t mtu = 1500;
  bool has_punt = false;
  bool check_checksums = false;
  /// The outside port is a kernel device: what it brings for the member may have checksums that
  /// were left to an offload, which no kernel accepts from a tap.
  bool finish_punted_checksums = false;
  bool clamp_mss = true;
  DfBit df_bit = DfBit::copy;
  Locality locality;
  std::uint32_t icmp_errors_per_second = 100;
  std::uint32_t punts_per_second = 50'000;
  std::uint32_t reassembly_flows = 256;
  std::chrono::milliseconds reassembly_timeout{2000};
};

/// A worker's way of packets between the two ports of a pair: plain stages over a burst, in the
/// order in which they stand in from_inside() and from_outside(). Takes every buffer that it is
/// given: to an Outgoing, to reassembly, or back to its pool with a counted reason. Not shared
/// between threads.
class alignas(64) Pipeline {
 public:
  static Result<std::unique_ptr<Pipeline>> create(const PipelineOptions& options, unsigned worker,
                                                  rte_mempool& pool, WorkerCounters& counters);

  /// The policy from now on; the caller keeps it alive. Nothing passes before the first.
  void use(const CompiledPolicy* policy);
  [[nodiscard]] const CompiledPolicy* policy() const { return lookup_.policy; }
  /// Whether full receive bursts are worth doubling: they fill IPsec-MB's lanes.
  [[nodiscard]] bool gathers_inside() const { return gathers_inside_; }
  [[nodiscard]] bool gathers_outside() const { return gathers_outside_; }

  /// The clock of the bursts that follow, where policy()->by_time wants one: CLOCK_MONOTONIC.
  void set_time(std::int64_t monotonic_ms) {
    esp_.tick = tick_of(monotonic_ms + lookup_.policy->group_time_offset_ms);
  }
  void from_inside(Burst& burst);   ///< clear side
  void from_outside(Burst& burst);  ///< encrypted side
  void from_punt(Burst& burst);     ///< the member's own kernel
  /// Now and then: lets go of what has timed out.
  void tidy();

  Outgoing to_inside;
  Outgoing to_outside;
  Outgoing to_punt;
  StageClock* clock = nullptr;

 private:
  Pipeline(const PipelineOptions& options, unsigned worker, rte_mempool& pool,
           WorkerCounters& counters);

  enum class From : std::uint8_t { inside, punt };
  void outbound(Burst& burst, From from);
  /// What is said of all packets of a burst that wants out.
  struct Judgement {
    bool all_fit;        ///< those to be encrypted, when they are
    SaState* sa_of_all;  ///< all are to be encrypted with it; null: not so
  };
  Judgement judge_outbound(Burst& burst, From from);
  void judge_one_outbound(Note& note, From from);
  void judge_entry_outbound(Note& note) const;
  void check_burst(Burst& burst);
  void encrypt_oversized(Burst& burst, Outgoing& back);
  void append_oversized(rte_mbuf& mbuf, Note& note, Outgoing& back);
  void flush_expanded();
  void cut_encrypted(Burst& burst);
  void reconsider(Note& note) const;

  class SaFinder;
  [[nodiscard]] SaState* find_sa_of_all(const Burst& burst) const;
  void find_sas(Burst& burst);
  bool is_whole_esp(rte_mbuf*& mbuf, Note& note);
  bool judge_inbound(Burst& burst);
  void judge_one_inbound(Note& note);
  void judge_decrypted(Note& note);
  void judge_clear(Note& note);
  void judge_clear_own(const std::uint8_t* ip, Note& note);
  [[nodiscard]] bool passes_in_clear(std::uint16_t decision) const;

  void settle(Burst& burst, Outgoing& forward);
  void settle_copy(rte_mbuf& mbuf);
  void punt(rte_mbuf* mbuf);
  void lap(StageClock::Stage stage, std::uint64_t& since) {
    if (clock == nullptr) [[likely]]
      return;
    const std::uint64_t now = rte_rdtsc();
    clock->cycles[stage] += now - since;
    since = now;
  }

  PipelineOptions options_;
  rte_mempool& pool_;
  WorkerCounters& counters_;
  LookupContext lookup_;
  std::uint64_t selectors_number_ = 0;  ///< of the policy; what lookup_ remembers is by it
  bool gathers_inside_ = false;
  bool gathers_outside_ = false;
  EspContext esp_;
  std::unique_ptr<Cipher> cipher_;
  std::unique_ptr<Reassembly> reassembly_;
  RateLimit report_limit_;
  RateLimit punt_limit_;
  Burst expanded_;
  std::uint32_t fragment_id_;  ///< of the last ESP packet that was cut, any at first
};

}  // namespace cohort::dataplane
