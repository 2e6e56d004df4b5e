#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/burst.hpp"

namespace cohort::dataplane {

/// What was decided for the first fragment of a packet, for the later ones, which show no ports
/// (RFC 4301 section 7.4: stateful fragment checking). Bounded: a newer packet overwrites an older
/// one, and a later fragment that finds nothing is dropped where the policy looks at ports. A
/// worker's own: devices spread fragments by address alone.
class FragmentMemory {
 public:
  FragmentMemory() : slots_(slot_count) {}

  void remember(const std::uint8_t* ip, const Note& note);
  /// decision_none - 0xff if nothing is known; see `unknown`.
  [[nodiscard]] std::uint16_t recall(const std::uint8_t* ip, const Note& note) const;
  /// The policy has changed.
  void forget() { slots_.assign(slot_count, {}); }

  static constexpr std::uint16_t unknown = 0xff00;

 private:
  static constexpr std::size_t slot_count = 512;
  struct Key {
    std::array<std::uint8_t, 32> addresses{};
    std::uint32_t id = 0;
    std::uint8_t protocol = 0;
    std::uint8_t version = 0;  ///< 0: an empty slot
    bool operator==(const Key&) const = default;
  };
  struct Slot {
    Key key;
    std::uint16_t decision = unknown;
  };
  static Key key_of(const std::uint8_t* ip, const Note& note);
  static std::size_t slot_of(const Key& key);

  std::vector<Slot> slots_;
};

}  // namespace cohort::dataplane
