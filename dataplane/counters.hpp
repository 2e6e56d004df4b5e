#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/api/drop_reason.hpp"

namespace cohort::dataplane {

/// Adds to a counter that one thread writes and others read.
inline void bump(std::uint64_t& counter, std::uint64_t by = 1) {
  std::atomic_ref<std::uint64_t> shared(counter);
  shared.store(shared.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}
/// Reads such a counter from another thread.
[[nodiscard]] inline std::uint64_t peek(const std::uint64_t& counter) {
  // atomic_ref<const T> is C++26; the object is never const where it is written.
  return std::atomic_ref<std::uint64_t>(const_cast<std::uint64_t&>(counter))
      .load(std::memory_order_relaxed);
}

/// What became of packets that were not dropped, and side effects worth a count.
enum class Forward : std::uint8_t {
  encrypted,
  decrypted,
  bypassed,
  punted,
  from_punt,
  fragmented,
  reassembled,
  too_big_sent,
  mss_clamped,
  checksum_completed
};
inline constexpr std::array<std::string_view, 10> forward_names{
    "encrypted",  "decrypted",   "bypassed",     "punted",      "from_punt",
    "fragmented", "reassembled", "too_big_sent", "mss_clamped", "checksum_completed"};

/// One worker's counters: it alone writes them.
struct alignas(64) WorkerCounters {
  std::array<std::uint64_t, drop_reason_count> drops{};
  std::array<std::uint64_t, forward_names.size()> forwards{};
  std::uint64_t last_unknown_spi = 0;

  void drop(DropReason reason, std::uint64_t n = 1) {
    bump(drops[static_cast<std::size_t>(reason)], n);
  }
  void unknown_spi(std::uint32_t spi) {
    std::atomic_ref<std::uint64_t>(last_unknown_spi).store(spi, std::memory_order_relaxed);
  }
  void count(Forward what, std::uint64_t n = 1) {
    bump(forwards[static_cast<std::size_t>(what)], n);
  }
};

}  // namespace cohort::dataplane
