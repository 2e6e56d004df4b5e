#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "controlplane/base/address.hpp"
#include "gdoi/policy.hpp"

namespace cohort::config {

/// A value, or what the operator should do about the text.
template <typename T>
using Read = tl::expected<T, std::string>;

[[nodiscard]] Read<IpAddress> read_address(std::string_view text);
/// "10.0.0.0/24", "10.0.0.0 0.0.0.255", "2001:db8::/32", or one address.
[[nodiscard]] Read<Prefix> read_prefix(std::string_view text);
/// With `default_port` 0 the port must be there.
[[nodiscard]] Read<Endpoint> read_endpoint(std::string_view text, std::uint16_t default_port);
/// A distinguished name as certificates print it: "OU=GETVPN_GM,CN=gm1" of "ou=GETVPN_GM, CN=gm1".
[[nodiscard]] Read<std::string> read_distinguished_name(std::string_view text);
/// Of a machine: letters, digits, '-' and '_' between dots.
[[nodiscard]] Read<std::string> read_hostname(std::string_view text);
/// "443" or "1024-65535".
[[nodiscard]] Read<dataplane::PortRange> read_ports(std::string_view text);
/// "ip", "ipv6" (any protocol: 0), "tcp", "udp", "icmp", …, or a number 0..255.
[[nodiscard]] Read<std::uint8_t> read_protocol(std::string_view text);

/// One line of an access list, with its sequence number.
struct AccessLine {
  std::uint32_t number = 0;
  gdoi::AclEntry entry;
};

/// "[NUMBER] permit|deny PROTOCOL SOURCE [PORTS] DESTINATION [PORTS]", where an end is "any",
/// "host ADDRESS", "ADDRESS/LENGTH" or "ADDRESS WILDCARD", and PORTS is "eq N" or "range N M".
/// Without a number it gets `default_number`.
[[nodiscard]] Read<AccessLine> read_access_line(std::string_view text,
                                                std::uint32_t default_number);
/// An entry's ends from their texts; "any" is of the other end's family, or IPv4.
[[nodiscard]] Read<dataplane::Selector> make_selector(std::string_view protocol,
                                                      std::string_view source,
                                                      std::string_view destination);

/// "permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255", as the operator's lists print it.
[[nodiscard]] std::string access_text(const gdoi::AclEntry& entry);

}  // namespace cohort::config
