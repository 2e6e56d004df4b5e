#pragma once

#include <cstdint>

#include "dataplane/burst.hpp"

namespace cohort::dataplane {

/// Lowers the MSS option of a TCP SYN (the packet at `ip`, note_syn set) so that segments fit into
/// `inner_mtu` octets, and mends the checksum. True if it was changed.
bool clamp_mss(std::uint8_t* ip, const Note& note, std::uint32_t inner_mtu);

enum class ChecksumState : std::uint8_t {
  right,      ///< or not to be known: a fragment, another protocol, UDP without one
  completed,  ///< the sender had left it to an offload (the pseudo header's sum was there); now
              ///< right
  bad_ip,
  bad_transport
};
/// Verifies the IPv4 header checksum and that of TCP, UDP, ICMP and ICMPv6.
[[nodiscard]] ChecksumState verify_checksums(std::uint8_t* ip, const Note& note);

}  // namespace cohort::dataplane
