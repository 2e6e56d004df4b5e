#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "controlplane/ike/isakmp.hpp"
#include "coop/messages.hpp"
#include "coop/replay_window.hpp"

/// COOP messages under their phase 1: docs/coop-protocol.md sections 2 and 2.1.
namespace cohort::coop {

/// What one established phase 1 with a peer needs.
struct Session {
  ike::Phase1Id id;
  Endpoint remote;
  bool initiator = false;
  PeerIdentity peer;
  std::uint32_t sent = 0;  ///< last sequence number used
  ReplayWindow window;
  TimePoint established, last_heard;
  bool reported = false;  ///< that its peer is no key server
};

/// The message id of a sequence number: the direction bit in front.
[[nodiscard]] constexpr std::uint32_t message_id(std::uint32_t sequence, bool by_responder) {
  return sequence | (by_responder ? 0x8000'0000u : 0u);
}
inline constexpr std::uint32_t sequence_max = 0x7fff'ffff;

/// Protects a message and sends it. What was sent, in octets; 0 if the phase 1 is gone or its
/// numbers are used up. The message's sequence number is set here.
[[nodiscard]] std::size_t seal_and_send(ike::Isakmp& isakmp, Session& session, Message& message);

/// Checks, decrypts, authenticates and only then marks a datagram as received. An empty optional:
/// authentic, but of a type that we don't know.
[[nodiscard]] Result<std::optional<Message>> open(const ike::Isakmp& isakmp, Session& session,
                                                  const ike::Header& header, ByteView datagram);

}  // namespace cohort::coop
