#pragma once

#include <cstdint>
#include <vector>

#include "controlplane/base/bytes.hpp"

/// Sender ids (RFC 6054; RFC 6407 section 3.5): the leftmost bits of a counter-mode IV, each lent
/// to one member for the life of the keys.
namespace cohort::gdoi {

/// Inclusive.
struct SenderIdRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  bool operator==(const SenderIdRange&) const = default;
};

/// Hands out each id of its ranges once, in order. Starts with the whole space of `bits`; with
/// several key servers each is restricted to leases that do not overlap.
class SenderIdAllocator {
 public:
  SenderIdAllocator() : SenderIdAllocator(16) {}
  explicit SenderIdAllocator(std::uint8_t bits);

  /// Replaces the ranges: disjoint, ascending, within `bits`. What was allocated stays allocated.
  Status lease(std::vector<SenderIdRange> ranges);
  /// `count` fresh ids, or sender_ids_exhausted and no change.
  Result<std::vector<std::uint32_t>> allocate(std::size_t count);
  /// Starts over: only together with new keys for every counter-mode SA.
  void restart() { next_ = 0; }
  /// Skips everything below `next`: a restarted server continues behind what it had reserved.
  void resume_at(std::uint32_t next);

  [[nodiscard]] std::uint8_t bits() const { return bits_; }
  [[nodiscard]] std::uint32_t next() const { return next_; }  ///< no id from here on is in use
  [[nodiscard]] std::uint64_t left() const;
  [[nodiscard]] std::uint64_t used() const;

 private:
  std::uint8_t bits_;
  std::vector<SenderIdRange> ranges_;
  std::uint32_t next_ = 0;
};

/// A SID_VALUE as we send it: big-endian, as many octets as `bits` need.
[[nodiscard]] Bytes sender_id_to_wire(std::uint32_t value, std::uint16_t bits);
/// Accepts any length, and the little-endian form that an old implementation sends, which can't be
/// mistaken since it does not fit `bits` otherwise.
[[nodiscard]] Result<std::uint32_t> sender_id_from_wire(ByteView octets, std::uint16_t bits);

}  // namespace cohort::gdoi
