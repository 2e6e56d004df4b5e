#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <nmmintrin.h>
#include <optional>
#include <vector>

#include "dataplane/headers.hpp"

namespace cohort::dataplane {

/// Remembers the policy's decision for 5-tuples lately seen, so that most packets need no rte_acl
/// walk. Bounded; a flow that is pushed out only costs the walk again. A worker's own. A change of
/// policy forgets everything by a generation number, which is part of each entry.
class FlowCache {
 public:
  FlowCache() : v4_(sets_v4), v6_(sets_v6) {}

  /// Starts over: what was put before is not found any more. Costs the same each time: a few sets
  /// are wiped, all of them before the number of a generation comes round again.
  void forget() {
    generation_ = generation_ == generations ? 1 : static_cast<std::uint8_t>(generation_ + 1);
    wipe(v4_, wiped_v4_);
    wipe(v6_, wiped_v6_);
  }

  /// The two words that identify an IPv4 flow; the low 16 bits of `rest` are free.
  struct Key4 {
    std::uint64_t addresses;
    std::uint64_t rest;
  };
  /// `nature`: the ports in its upper half, the protocol in the octet below; the rest is ignored.
  [[nodiscard]] Key4 key4(const std::uint8_t* ip, std::uint64_t nature) const {
    return {load<std::uint64_t>(ip + 12), rest_of(nature)};
  }
  struct alignas(64) Set4 {
    std::array<Key4, 4> ways{};
  };
  /// Where the flow is, if it is there.
  [[nodiscard]] const Set4* set_of(const Key4& key) const {
    return &v4_[hash(key) & (sets_v4 - 1)];
  }
  [[nodiscard]] static bool find(const Key4& key, const Set4& set, std::uint16_t& decision) {
    for (const Key4& way : set.ways)
      if (way.addresses == key.addresses && ((way.rest ^ key.rest) >> 16) == 0) {
        decision = static_cast<std::uint16_t>(way.rest);
        return true;
      }
    return false;
  }
  void put(const Key4& key, std::uint16_t decision) {
    const std::uint32_t hash = FlowCache::hash(key);
    Set4& set = v4_[hash & (sets_v4 - 1)];
    // A way of another generation is free; otherwise the hash's upper bits choose the victim.
    Key4* victim = &set.ways[(hash >> 28) & 3];
    for (Key4& way : set.ways)
      if (static_cast<std::uint8_t>(way.rest >> 16) != generation_) {
        victim = &way;
        break;
      }
    *victim = {key.addresses, key.rest | decision};
  }

  struct Key6 {
    std::array<std::uint64_t, 4> addresses;
    std::uint64_t rest;
  };
  [[nodiscard]] Key6 key6(const std::uint8_t* ip, std::uint64_t nature) const {
    Key6 key;
    std::memcpy(key.addresses.data(), ip + 8, 32);
    key.rest = rest_of(nature);
    return key;
  }
  struct alignas(64) Way6 {
    Key6 key{};
  };
  struct Set6 {
    std::array<Way6, 4> ways{};
  };
  /// Where the flow is, if it is there.
  [[nodiscard]] const Set6* set_of(const Key6& key) const {
    return &v6_[hash(key) & (sets_v6 - 1)];
  }
  [[nodiscard]] static bool find(const Key6& key, const Set6& set, std::uint16_t& decision) {
    for (const Way6& way : set.ways) {
      if (((way.key.rest ^ key.rest) >> 16) != 0) continue;
      std::uint64_t difference = 0;
      for (std::size_t i = 0; i < key.addresses.size(); ++i)
        difference |= way.key.addresses[i] ^ key.addresses[i];
      if (difference != 0) continue;
      decision = static_cast<std::uint16_t>(way.key.rest);
      return true;
    }
    return false;
  }
  void put(const Key6& key, std::uint16_t decision) {
    const std::uint32_t hash = FlowCache::hash(key);
    Set6& set = v6_[hash & (sets_v6 - 1)];
    Way6* victim = &set.ways[(hash >> 28) & 3];
    for (Way6& way : set.ways)
      if (static_cast<std::uint8_t>(way.key.rest >> 16) != generation_) {
        victim = &way;
        break;
      }
    victim->key = key;
    victim->key.rest |= decision;
  }

 private:
  static constexpr std::size_t sets_v4 = 4096;  ///< of four flows: a cache line, 256 KiB in all
  static constexpr std::size_t sets_v6 = 1024;  ///< of four flows with a line each, 256 KiB

  [[nodiscard]] static std::uint32_t hash(const Key4& key) {
    return static_cast<std::uint32_t>(_mm_crc32_u64(_mm_crc32_u64(0, key.addresses), key.rest));
  }
  [[nodiscard]] std::uint64_t rest_of(std::uint64_t nature) const {
    return (nature & ~std::uint64_t{0xffffff}) | std::uint64_t{generation_} << 16;
  }
  [[nodiscard]] static std::uint32_t hash(const Key6& key) {
    std::uint64_t value = 0;
    for (const std::uint64_t word : key.addresses) value = _mm_crc32_u64(value, word);
    return static_cast<std::uint32_t>(_mm_crc32_u64(value, key.rest));
  }

  static constexpr unsigned generations = 255;
  template <typename Set>
  static void wipe(std::vector<Set>& sets, std::size_t& next) {
    for (std::size_t n = 0; n <= sets.size() / generations; ++n)
      sets[next++ & (sets.size() - 1)] = {};
  }

  std::uint8_t generation_ = 1;  ///< never 0, which is what empty entries have
  std::size_t wiped_v4_ = 0, wiped_v6_ = 0;
  std::vector<Set4> v4_;
  std::vector<Set6> v6_;
};

}  // namespace cohort::dataplane
