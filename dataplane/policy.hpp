#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "controlplane/base/result.hpp"
#include "dataplane/api/snapshot.hpp"
#include "dataplane/sa_state.hpp"
#include "dataplane/selector.hpp"

namespace cohort::dataplane {

/// SAs by SPI: open addressing, at most half full.
class SaTable {
 public:
  SaTable() : slots_(2) {}
  explicit SaTable(std::span<const std::shared_ptr<SaState>> sas);
  [[nodiscard]] SaState* find(std::uint32_t spi) const {
    for (std::size_t at = home(spi);; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.sa == nullptr || slot.spi == spi) return slot.sa;
    }
  }

 private:
  struct Slot {
    std::uint32_t spi = 0;
    SaState* sa = nullptr;
  };
  [[nodiscard]] std::size_t home(std::uint32_t spi) const {
    return (spi * 0x9e3779b1u >> 16) & mask_;
  }
  std::size_t mask_ = 1;
  std::vector<Slot> slots_;
};

/// A policy entry as the workers read it.
struct alignas(64) CompiledEntry {
  static constexpr unsigned inline_spis = 10;
  Action action = Action::drop;
  std::uint16_t spi_count = 0;
  SaState* send = nullptr;  ///< null: protect, but there is no SA yet
  std::array<std::uint32_t, inline_spis> spis{};
  std::vector<std::uint32_t> more_spis;

  [[nodiscard]] bool accepts(std::uint32_t spi) const {
    if (action != Action::protect) return false;
    for (unsigned i = 0; i < spi_count; ++i)
      if (spis[i] == spi) return true;
    for (const std::uint32_t other : more_spis)
      if (other == spi) return true;
    return false;
  }
};

/// A snapshot as the workers read it: immutable while any of them may.
struct CompiledPolicy {
  /// Shared with the policy before where only keys, actions or SAs are others: they are dear to
  /// build, and what they say is which entry, not what is done.
  std::shared_ptr<const SelectorTable> selectors;
  /// Policies of one chain (each compiled with the one before) that have the same number say the
  /// same entry for every packet. 0, the first of a chain, is the same as nothing.
  std::uint64_t selectors_number = 0;
  std::vector<PolicyEntry> entries_as_given;  ///< for the rare walk over fragments' candidates
  std::vector<CompiledEntry> entries;
  std::vector<std::shared_ptr<SaState>> sas;
  SaTable by_spi;
  Action otherwise = Action::bypass;
  /// The suites of the SAs, a bit for each by its number.
  std::uint32_t suites = 0;
  /// Some SA goes by time: bursts need the tick, from CLOCK_MONOTONIC plus this.
  bool by_time = false;
  std::int64_t group_time_offset_ms = 0;
};

/// Compiles a snapshot over SA states that the caller has looked up or made (in the order of
/// snapshot.sas). `name` is unique among the policies that exist, at most 24 octets. `before`, if
/// there is one, lends its selectors where they are the same.
[[nodiscard]] Result<std::unique_ptr<CompiledPolicy>> compile_policy(
    const Snapshot& snapshot, std::vector<std::shared_ptr<SaState>> sas, std::string_view name,
    const CompiledPolicy* before = nullptr);

}  // namespace cohort::dataplane
