#pragma once

#include "controlplane/base/bytes.hpp"
#include "controlplane/world/world.hpp"

/// What a member says of itself in message 1 of a GROUPKEY-PULL, without a payload or an attribute
/// that another implementation would have to refuse: the last 8 octets of its 32-octet nonce are a
/// digest of the first 24. HASH(1) covers the nonce, so only the holder of the phase 1 keys can say
/// it, and nobody on the path can change or take away what was said; a vendor id of main mode is
/// authenticated by nothing. Whoever does not know of it sees a nonce. By chance a foreign nonce
/// claims something once in 2^63.
namespace cohort::gdoi {

struct MemberClaim {
  bool cohort = false;  ///< one of ours: understands our private use numbers
  /// Has no traffic key of the group: it would send with sequence numbers from 1 again.
  bool starts_anew = false;
  bool operator==(const MemberClaim&) const = default;
};

/// Ni_b of one of our members: 24 fresh random octets and their mark.
[[nodiscard]] Bytes make_member_nonce(Random& random, bool starts_anew);
/// What an authenticated Ni_b claims; a member that says nothing may well start anew.
[[nodiscard]] MemberClaim read_member_nonce(ByteView nonce);

}  // namespace cohort::gdoi
