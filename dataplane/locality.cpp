#include "dataplane/locality.hpp"

#include <algorithm>

#include "dataplane/classify.hpp"
#include "dataplane/headers.hpp"

namespace cohort::dataplane {
namespace {

bool is_control_port(std::uint16_t port) {
  return port == 848 || port == 500 || port == 4500;
}

bool contains(const std::vector<IpAddress>& list, const std::uint8_t* octets, bool v6) {
  const std::size_t size = v6 ? 16 : 4;
  for (const IpAddress& address : list)
    if (address.is_v4() != v6 && std::memcmp(address.bytes().data(), octets, size) == 0)
      return true;
  return false;
}

bool is_link_local(const std::uint8_t* address) {
  return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

/// Routers never forward link-local addresses (RFC 4291 section 2.5.6), and hosts of one link share
/// a prefix of 64 bits where they have global ones. Whatever else claims to be neighbour discovery
/// would leave the site in clear, or come from another.
bool stays_on_link(const std::uint8_t* source, const std::uint8_t* destination, std::uint8_t type) {
  if (source[0] == 0xff) return false;
  const bool from_link = is_link_local(source);
  // RFC 4861 sections 6.1.2 and 8.1: routers advertise and redirect from link-local addresses.
  if ((type == 134 || type == 137) && !from_link) return false;
  if (destination[0] == 0xff) return (destination[1] & 0xf) == 2;
  return from_link || is_link_local(destination) || std::memcmp(source, destination, 8) == 0;
}

}  // namespace

std::optional<std::uint16_t> Locality::decide(const std::uint8_t* ip, const Note& note) const {
  const bool v6 = note.has(note_v6);
  const std::uint8_t* source = ip + (v6 ? 8 : 12);
  const std::uint8_t* destination = ip + (v6 ? 24 : 16);
  if (note.protocol == protocol_icmp6 && v6 && is_neighbour_discovery(note.ports) &&
      stays_on_link(source, destination, note.ports & 0xff))
    return decision_link;
  const bool to_own = contains(own_, destination, v6);
  if (note.protocol == protocol_udp && note.has(note_ports)) {
    const auto* ports = reinterpret_cast<const std::uint8_t*>(&note.ports);
    const bool from_port = is_control_port(load_be16(ports));
    const bool to_port = is_control_port(load_be16(ports + 2));
    if (to_own && (from_port || to_port)) return decision_own_control;
    if (contains(own_, source, v6) && (from_port || to_port)) return decision_from_own;
    if (from_port && to_port &&
        (contains(control_peers_, source, v6) || contains(control_peers_, destination, v6))) {
      const bool multicast = v6 ? destination[0] == 0xff : (destination[0] >> 4) == 0xe;
      return multicast ? decision_control_copy : decision_control;
    }
  }
  if (to_own) return decision_own;
  return std::nullopt;
}

bool is_isakmp(const std::uint8_t* ip, const Note& note) {
  constexpr std::uint32_t udp_header = 8;
  constexpr std::uint32_t isakmp_header = 28;
  constexpr std::uint32_t marker = 4;
  if (note.has(note_later_fragment)) return true;
  const std::uint8_t* at = ip + note.transport_offset;
  std::uint32_t here = std::uint32_t{note.ip_length} - note.transport_offset;
  if (here < udp_header || load_be16(at + 4) < udp_header) return false;
  std::uint32_t message = load_be16(at + 4) - udp_header;
  const bool encapsulates = load_be16(at) == 4500 || load_be16(at + 2) == 4500;
  at += udp_header;
  here -= udp_header;
  if (encapsulates) {
    if (message == 1 && here >= 1) return at[0] == 0xff;  // RFC 3948 section 2.3
    if (message < marker || here < marker || load<std::uint32_t>(at) != 0) return false;
    at += marker;
    here -= marker;
    message -= marker;
  }
  if (here < isakmp_header) return false;
  const unsigned version = at[17] >> 4;
  return (version == 1 || version == 2) && load_be32(at + 24) == message;
}

const IpAddress* Locality::own_address(Family family) const {
  const auto found =
      std::ranges::find_if(own_, [&](const IpAddress& a) { return a.family() == family; });
  return found == own_.end() ? nullptr : &*found;
}

}  // namespace cohort::dataplane
