#pragma once

#include <cstdint>

#include "dataplane/burst.hpp"
#include "dataplane/headers.hpp"

/// Nearly every packet: IPv4 without options, or IPv6 without extension headers, no fragment, of
/// TCP, UDP or ESP, with its whole transport header there. parse_plain_* describe one in few
/// instructions, or say false and leave the note alone; then parse_ip, which knows all packets, is
/// to be asked. They never say anything that it would not.
namespace cohort::dataplane {

/// What is known by the transport header.
struct PlainTransport {
  std::uint32_t ports;
  std::uint8_t flags;
};

inline bool plain_transport(const std::uint8_t* at, std::uint32_t protocol, std::uint32_t length,
                            PlainTransport& out) {
  if (protocol == protocol_tcp) {
    if (length < 20) return false;
    out.flags =
        (at[13] & RTE_TCP_SYN_FLAG) != 0 ? note_ip | note_ports | note_syn : note_ip | note_ports;
    out.ports = load<std::uint32_t>(at);
    return true;
  }
  if (length < 8) return false;
  if (protocol == protocol_udp) {
    out.flags = note_ip | note_ports;
    out.ports = load<std::uint32_t>(at);
    return true;
  }
  out.flags = note_ip;
  out.ports = 0;
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
  const std::uint8_t protocol = ip[9];
  PlainTransport transport;
  if (!plain_transport(ip + ipv4_length, protocol, std::uint32_t{length} - ipv4_length, transport))
    return false;
  note = Note{.l2_length = l2_length,
              .transport_offset = ipv4_length,
              .ip_length = length,
              .protocol = protocol,
              .flags = transport.flags,
              .ports = transport.ports,
              .sa = sa,
              .ip = ip};
  return true;
}

inline bool parse_plain_ipv6(std::uint8_t* ip, std::uint32_t room, std::uint16_t l2_length,
                             SaState* sa, Note& note) {
  if (room < ipv6_length) return false;
  const std::uint32_t length = load_be16(ip + 4) + std::uint32_t{ipv6_length};
  if ((ip[0] >> 4) != 6 || length > room) return false;
  const std::uint8_t protocol = ip[6];
  PlainTransport transport;
  if (!plain_transport(ip + ipv6_length, protocol, length - ipv6_length, transport)) return false;
  note = Note{.l2_length = l2_length,
              .transport_offset = ipv6_length,
              .ip_length = static_cast<std::uint16_t>(length),
              .protocol = protocol,
              .flags = static_cast<std::uint8_t>(transport.flags | note_v6),
              .ports = transport.ports,
              .sa = sa,
              .ip = ip};
  return true;
}

}  // namespace cohort::dataplane
