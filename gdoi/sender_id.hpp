#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/time.hpp"

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

/// How many sender ids one identity may be lent while a traffic key lives. Each registration takes
/// new ones (RFC 6407 section 3.5: nobody can tell which IVs were used under the old ones), and
/// what is spent comes back only when all keys of the group are deleted; so an identity that
/// registers again and again would bring that upon everybody.
class SenderIdShares {
 public:
  /// Counts `count` ids of a space of `bits` for `identity`, or sender_id_share_spent and no
  /// change. What was counted is forgotten `period` after the first of it, the life of a traffic
  /// key.
  Status take(TimePoint now, const std::string& identity, std::size_t count, std::uint8_t bits,
              Duration period);
  /// They were not lent after all.
  void give_back(const std::string& identity, std::size_t count);
  /// True once for each time that an identity has come to its limit: worth telling.
  [[nodiscard]] bool first_refusal(const std::string& identity);
  /// With new keys for every SA all ids are there again.
  void clear() { shares_.clear(); }
  [[nodiscard]] std::size_t size() const { return shares_.size(); }
  /// A 256th of the ids, and what one registration may ask for at least.
  [[nodiscard]] static std::size_t share_of(std::uint8_t bits);

 private:
  struct Share {
    TimePoint since;
    std::size_t spent = 0;
    bool told = false;
  };
  void make_room(TimePoint now, Duration period);
  std::map<std::string, Share> shares_;  ///< bounded; the oldest gives way
};

/// A SID_VALUE as we send it: big-endian, as many octets as `bits` need.
[[nodiscard]] Bytes sender_id_to_wire(std::uint32_t value, std::uint16_t bits);
/// Accepts any length, and the little-endian form that an old implementation sends, which can't be
/// mistaken since it does not fit `bits` otherwise.
[[nodiscard]] Result<std::uint32_t> sender_id_from_wire(ByteView octets, std::uint16_t bits);

}  // namespace cohort::gdoi
