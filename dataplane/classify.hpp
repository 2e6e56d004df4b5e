#pragma once

#include <cstdint>
#include <span>

#include "dataplane/burst.hpp"

struct rte_mbuf;
struct rte_mempool;

namespace cohort::dataplane {

/// Finds the headers of each frame of the burst and fills its note. Afterwards a packet's verdict
/// is undecided (IP), forward (ARP, with note_punt_copy if it is a broadcast) or drop. Chains of
/// buffers are joined into one (from `pool`, if their first has no room), tags that the device took
/// off are put back.
void classify(Burst& burst, rte_mempool& pool, std::uint16_t mtu);

/// The same for one frame.
void classify_frame(rte_mbuf*& mbuf, rte_mempool& pool, std::uint16_t mtu, Note& note);

/// Reads the IP packet at `ip`, of which `room` octets are there, into the note: version, length,
/// transport, ports. The rules are those of RFC 791 and RFC 8200; at most eight extension headers.
/// False if the packet is malformed; note.reason says how. Trailing octets are allowed.
///
/// note.ports for ICMPv6 holds the type in the low octet, and 1 in the next if the message is one
/// of neighbour discovery as RFC 4861 wants it: hop limit 255, code 0, its least length, no
/// fragment (RFC 6980).
bool parse_ip(const std::uint8_t* ip, std::uint32_t room, Note& note);

/// Describes a decrypted packet at `ip`, of which `room` octets are there, in the note of the
/// packet that it came in: l2_length and sa stay, the rest is new. False if it is malformed or of
/// another IP version.
bool parse_inner(std::uint8_t* ip, std::uint32_t room, Note& note);

/// Whether note.ports (of ICMPv6) says genuine neighbour discovery.
[[nodiscard]] constexpr bool is_neighbour_discovery(std::uint32_t ports) {
  return (ports >> 8) == 1;
}

}  // namespace cohort::dataplane
