#pragma once

#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "controlplane/ike/message.hpp"

/// IKE fragmentation (payload 132): a whole ISAKMP message in slices, each in a datagram of its own
/// with an ISAKMP header. Not encrypted by itself and not authenticated: what comes out is as
/// hostile as any datagram.
namespace cohort::ike {

/// Slices of `message`, each a datagram of at most `datagram_max` octets (at least 64). `id` tells
/// the messages of an SA apart.
[[nodiscard]] std::vector<Bytes> split(ByteView message, std::size_t datagram_max,
                                       std::uint16_t id);

/// Puts the slices of one SA's peer together. Slices of several messages may arrive mixed; of more
/// messages or octets than the bounds allow, the message that was begun first gives way.
class Reassembly {
 public:
  static constexpr std::size_t messages_max = 16;  ///< begun and not yet whole
  static constexpr std::size_t slice_cost = 96;    ///< of memory in octets, besides its own

  /// Takes a datagram that begins with a fragment payload; yields the whole message with its last
  /// missing slice. `message_max` bounds what is kept of all messages together, in octets; a slice
  /// counts for what it costs, so that many small ones can't cost more.
  [[nodiscard]] Result<std::optional<Bytes>> add(ByteView datagram, std::size_t message_max);
  /// Forgets every unfinished message.
  void clear() { partial_.clear(); }
  /// Octets held at the moment, with what the slices cost.
  [[nodiscard]] std::size_t held() const;

 private:
  struct Partial {
    std::uint16_t id = 0;
    std::map<std::uint8_t, Bytes> slices;  // by number, from 1
    std::uint8_t last = 0;                 // number of the last slice, 0 while not known
    std::size_t held = 0;
  };
  std::deque<Partial> partial_;  // the one that was begun first in front
};

}  // namespace cohort::ike
