#pragma once

#include <vector>

#include "controlplane/ike/message.hpp"
#include "controlplane/ike/options.hpp"

namespace cohort::ike {

/// What a peer has said that it understands, by its vendor ids.
struct PeerCapabilities {
  bool dpd = false;            ///< RFC 3706
  bool fragmentation = false;  ///< payload 132
  bool nat_traversal = false;  ///< RFC 3947
  bool cohort = false;         ///< our own private attributes

  void note(ByteView vendor_id);
};

/// The bodies that we send in messages 1 and 2.
[[nodiscard]] std::vector<ByteView> own_vendor_ids(const IsakmpOptions& options);
/// As responder: of them, those that the peer has too. Nobody has shown yet that the address which
/// asked is his, and he shall not get much more than he sent.
[[nodiscard]] std::vector<ByteView> answering_vendor_ids(const IsakmpOptions& options,
                                                         const PeerCapabilities& peer);

}  // namespace cohort::ike
