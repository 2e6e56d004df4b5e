#pragma once

#include "controlplane/base/event.hpp"

namespace cohort::ike {

inline constexpr EventKind phase1_up{"IKE", Severity::informational, "PHASE1_UP",
                                     "phase 1 with a peer is established"};
inline constexpr EventKind phase1_down{"IKE", Severity::informational, "PHASE1_DOWN",
                                       "phase 1 with a peer has ended"};
inline constexpr EventKind phase1_failed{"IKE", Severity::warning, "PHASE1_FAILED",
                                         "phase 1 with a peer could not be established"};
inline constexpr EventKind dead_peer{"IKE", Severity::warning, "PEER_DEAD",
                                     "a peer answers no dead peer detection and is taken for dead"};
inline constexpr EventKind peer_notify{"IKE", Severity::notice, "PEER_NOTIFY",
                                       "a peer sent an authenticated notification"};
inline constexpr EventKind nat_detected{
    "IKE", Severity::notice, "NAT_DETECTED",
    "a NAT is between us and a peer; control moves to UDP 4500"};

}  // namespace cohort::ike
