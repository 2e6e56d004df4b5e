#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "controlplane/base/result.hpp"
#include "dataplane/api/snapshot.hpp"
#include "dataplane/cipher.hpp"
#include "dataplane/replay.hpp"
#include "dataplane/time_window.hpp"

namespace cohort::dataplane {

/// The IVs of one sender id (RFC 6054): the id leftmost, then a counter. A worker owns it for the
/// life of the key, so that (key, id, counter) can't repeat.
struct alignas(64) SenderIds {
  std::uint32_t id = 0;
  std::optional<unsigned> owner;  ///< the worker that it was given to, once
  std::uint64_t prefix = 0;       ///< the id, shifted to its place
  std::uint64_t next = 1;         ///< written by the owner
  std::uint64_t last = 0;         ///< the greatest counter
};

/// What tells packets of one SA apart: the next one's sequence number, and for GCM its IV (the
/// sender id in its place, and a counter).
struct Numbers {
  std::uint32_t sequence = 0;
  std::uint64_t iv = 0;
};

/// What one worker writes of an SA: no line of it is written by another.
struct alignas(64) SaWorker {
  ReplayWindow window;
  std::uint64_t packets_out = 0, bytes_out = 0;
  std::uint64_t packets_in = 0, bytes_in = 0;
  std::uint64_t replay_drops = 0, auth_failures = 0;
  SkewMeter skew;  ///< of SAs that go by time
  /// This burst's packets of the SA, while several SAs share the burst.
  struct Share {
    std::uint64_t burst = 0;  ///< which burst
    std::uint32_t count = 0;
    Numbers numbers;
    std::optional<DropReason> refused;  ///< there are no numbers
  } share;
  /// Set by control before the worker sees a policy that uses it; null: can't send.
  std::atomic<SenderIds*> sender{nullptr};
};

/// An SA as it lives, across the snapshots that have it (same SPI, same key). Keys and shape never
/// change; `sequence` is shared by the workers that send, everything else is a worker's own.
///
/// The sequence number space is one per member and SA, since a receiver has one window for us: a
/// worker draws the numbers of a whole run of packets by one atomic addition. Packets of two
/// workers then meet the receiver out of order by at most a few bursts, which a window of 64 may be
/// too small for: with W workers choose a window of at least 128 * W.
///
/// Receiving, each worker has a window of its own. That is right since the same packet always meets
/// the same worker: devices spread by the outer addresses alone, and a packet whose inner addresses
/// differ from its outer ones is refused after decryption. So a replay with another outer address
/// reaches another window, but no host.
class SaState {
 public:
  /// `mtu` of the port pair: what an ESP packet may have.
  SaState(IMB_MGR& manager, const Sa& sa, unsigned workers, std::uint32_t mtu);

  [[nodiscard]] std::uint32_t spi() const { return spi_; }
  [[nodiscard]] const SuiteCode& code() const { return code_; }
  [[nodiscard]] const SaKeys& keys() const { return *keys_; }
  /// What a receiver does; a sender's numbers are what they were at first: by_time().
  [[nodiscard]] ReplayKind checks() const { return checks_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool by_time() const { return by_time_; }
  /// Time-based: around this tick.
  [[nodiscard]] TimeWindow window_at(std::uint32_t tick) const { return {tick, time_window_ms_}; }
  [[nodiscard]] SaWorker& worker(unsigned index) { return workers_[index]; }

  /// Octets that encryption adds before the inner packet, without the outer IP header.
  [[nodiscard]] std::uint32_t esp_header() const { return 8u + code_.iv; }
  /// Length of the text that an inner packet becomes: with padding, pad length and next header.
  [[nodiscard]] std::uint32_t text_length(std::uint32_t inner) const {
    return (inner + 2 + code_.block - 1) & ~(std::uint32_t{code_.block} - 1);
  }
  /// The longest inner packet whose ESP packet fits the port pair's MTU.
  [[nodiscard]] std::uint32_t inner_mtu(bool v6) const { return inner_mtu_[v6 ? 1 : 0]; }

  /// Draws `n` consecutive sequence numbers and returns the first; none if there are not so many.
  /// In an SA that goes by time they are not sent, but still tell its packets apart.
  /// Where nobody checks them they go on at 0 after 2^32 - 1 (RFC 4303 section 3.3.3).
  [[nodiscard]] std::optional<std::uint32_t> draw_sequence(std::uint32_t n) {
    const std::uint64_t first = sequence_.fetch_add(n, std::memory_order_relaxed);
    if (first + n - 1 > last_sequence()) return std::nullopt;
    return static_cast<std::uint32_t>(first);
  }
  /// How many packets the sequence may count. With a window: as many as it has numbers. Without one
  /// the numbers wrap, which repeats no IV: GCM's come from the 64 bits of draw_ivs(), and end with
  /// them; CBC's are unpredictable and have no number, so its end is what one key may encrypt: with
  /// 2^40 jumbo packets (2^49 blocks) two blocks are equal with a chance of 2^-31.
  [[nodiscard]] std::uint64_t last_sequence() const {
    if (checks() == ReplayKind::counter) return 0xffffffff;
    return code_.aead ? ~std::uint64_t{0} : std::uint64_t{1} << 40;
  }
  /// Like draw_sequence for the IV counter of a worker's sender id; 0 if there are not so many
  /// left, from then on for good.
  [[nodiscard]] static std::uint64_t draw_ivs(SenderIds& sender, std::uint32_t n) {
    std::atomic_ref<std::uint64_t> next(sender.next);
    const std::uint64_t first = next.load(std::memory_order_relaxed);
    const bool enough = first + n - 1 <= sender.last;
    next.store(enough ? first + n : sender.last + 1, std::memory_order_relaxed);
    return enough ? first : 0;
  }

  /// Control thread: takes up what may change in the life of an SA: its sender ids, and the end of
  /// anti-replay, when others come to send on it too. There is no way back: what was not checked
  /// can't be known later.
  void follow(const Sa& sa);
  /// Control thread: gives the workers sender ids out of `sa`. An id that was ever given to one
  /// worker is never given to another, and its counter goes on where it was. The width of the ids
  /// is fixed by the first; with another width nobody sends.
  void assign_senders(const Sa& sa);
  /// Control thread: whether `sa` has the same key material and suite.
  [[nodiscard]] bool same_key(const Sa& sa) const;
  /// Control thread: drops the keys, keeps the counters. No worker may see the SA any more.
  void wipe();
  [[nodiscard]] bool has_keys() const { return keys_ != nullptr; }
  /// Control thread: the keys again, after wipe().
  void revive(IMB_MGR& manager, const Sa& sa);
  [[nodiscard]] SaUsage usage() const;
  /// For tests and for state that comes from elsewhere: the next number to be sent.
  void set_next_sequence(std::uint64_t next) { sequence_.store(next); }

 private:
  using Digest = std::array<std::uint8_t, 32>;
  static Digest digest_of(const Sa& sa);
  [[nodiscard]] std::uint32_t inner_mtu_for(std::uint32_t mtu, std::uint32_t outer_header) const;

  std::uint32_t spi_;
  SuiteCode code_;
  std::atomic<ReplayKind> checks_;
  bool by_time_;
  std::uint16_t time_window_ms_;
  std::array<std::uint32_t, 2> inner_mtu_{};  ///< IPv4, IPv6
  std::unique_ptr<SaKeys> keys_;
  std::vector<SaWorker> workers_;
  Digest digest_;
  std::vector<std::unique_ptr<SenderIds>> senders_;
  unsigned sid_bits_ = 0;  ///< of all of them
  alignas(64) std::atomic<std::uint64_t> sequence_{1};
};

/// Checks that an SA's parts fit its suite.
[[nodiscard]] Status check_sa(const Sa& sa);

}  // namespace cohort::dataplane
