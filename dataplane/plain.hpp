#pragma once

#include <cstdint>

#include "dataplane/burst.hpp"
#include "dataplane/headers.hpp"

/// Nearly every packet: IPv4 without options, or IPv6 without extension headers, no fragment, of
/// TCP, UDP or ESP, with its whole transport header there. parse_plain_* describe one in few
/// instructions, or say false and leave the note alone; then parse_ip, which knows all packets, is
/// to be asked. They never say anything that it would not.
namespace cohort::dataplane {

/// What the transport header says, as Note::nature has it; `more` are further flags.
inline bool plain_transport(const std::uint8_t* at, std::uint32_t protocol, std::uint32_t length,
                            std::uint8_t more, std::uint64_t& nature) {
  const auto ports = [&] { return load<std::uint32_t>(at); };
  const auto flags = [&](unsigned own) { return static_cast<std::uint8_t>(own | more); };
  if (protocol == protocol_tcp) {
    if (length < 20) return false;
    const unsigned syn = (at[13] & RTE_TCP_SYN_FLAG) != 0 ? note_syn : 0;
    nature = Note::nature_of(flags(note_ip | note_ports | syn), protocol_tcp, ports());
    return true;
  }
  if (length < 8) return false;
  if (protocol == protocol_udp) {
    nature = Note::nature_of(flags(note_ip | note_ports), protocol_udp, ports());
    return true;
  }
  nature = Note::nature_of(flags(note_ip), protocol_esp, 0);
  return protocol == protocol_esp;
}

inline bool parse_plain_ipv4(std::uint8_t* ip, std::uint32_t room, std::uint16_t l2_length,
                             SaState* sa, Note& note) {
  constexpr std::uint16_t fragment = be16_constant(ipv4_mf | ipv4_offset_mask);
  if (room < ipv4_length) return false;
  const std::uint16_t length = load_be16(ip + 2);
  if (ip[0] != 0x45 || length > room || length < ipv4_length ||
      (load<std::uint16_t>(ip + 6) & fragment) != 0)
    return false;
  std::uint64_t nature = 0;
  if (!plain_transport(ip + ipv4_length, ip[9], std::uint32_t{length} - ipv4_length, 0, nature))
    return false;
  note.describe(l2_length, ipv4_length, length, nature, sa, ip);
  return true;
}

inline bool parse_plain_ipv6(std::uint8_t* ip, std::uint32_t room, std::uint16_t l2_length,
                             SaState* sa, Note& note) {
  if (room < ipv6_length) return false;
  const std::uint32_t length = load_be16(ip + 4) + std::uint32_t{ipv6_length};
  if ((ip[0] >> 4) != 6 || length > room) return false;
  std::uint64_t nature = 0;
  if (!plain_transport(ip + ipv6_length, ip[6], length - ipv6_length, note_v6, nature))
    return false;
  note.describe(l2_length, ipv6_length, static_cast<std::uint16_t>(length), nature, sa, ip);
  return true;
}

}  // namespace cohort::dataplane
