#pragma once

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

/// Puts the slices of one SA's peer together; keeps those of one message at a time, the newest.
class Reassembly {
 public:
  /// Takes a datagram that begins with a fragment payload; yields the whole message with its last
  /// missing slice. `message_max` bounds what is kept, in octets.
  [[nodiscard]] Result<std::optional<Bytes>> add(ByteView datagram, std::size_t message_max);
  /// Octets held at the moment.
  [[nodiscard]] std::size_t held() const { return held_; }

 private:
  void reset(std::uint16_t id);

  std::uint16_t id_ = 0;
  std::map<std::uint8_t, Bytes> slices_;  // by number, from 1
  std::uint8_t last_ = 0;                 // number of the last slice, 0 while not known
  std::size_t held_ = 0;
};

}  // namespace cohort::ike
