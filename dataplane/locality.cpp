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

}  // namespace

std::optional<std::uint16_t> Locality::decide(const std::uint8_t* ip, const Note& note) const {
  const bool v6 = note.has(note_v6);
  const std::uint8_t* source = ip + (v6 ? 8 : 12);
  const std::uint8_t* destination = ip + (v6 ? 24 : 16);
  if (note.protocol == protocol_icmp6 && v6 && is_neighbour_discovery(note.ports))
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

const IpAddress* Locality::own_address(Family family) const {
  const auto found =
      std::ranges::find_if(own_, [&](const IpAddress& a) { return a.family() == family; });
  return found == own_.end() ? nullptr : &*found;
}

}  // namespace cohort::dataplane
