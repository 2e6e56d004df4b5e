#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"

/// Frames for tests, built so that a test reads like the packet. Correct lengths and checksums
/// unless a test spoils them.
namespace cohort::test {

struct Ipv4 {
  std::string source = "10.0.0.1";
  std::string destination = "172.16.0.1";
  std::uint8_t tos = 0;
  std::uint16_t id = 0x1234;
  bool df = false;
  bool mf = false;
  std::uint16_t offset = 0;  ///< octets
  std::uint8_t ttl = 64;
  Bytes options;  ///< a multiple of 4
};

struct Ipv6 {
  std::string source = "2001:db8:a::1";
  std::string destination = "2001:db8:b::1";
  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0x12345;
  std::uint8_t hop_limit = 64;
  Bytes extensions;             ///< whole headers; the last one's next header is the transport
  std::uint8_t first_next = 0;  ///< of the fixed header, when there are extensions
};

/// Transport headers with payload. Checksums are filled in by ip().
struct Transport {
  std::uint8_t protocol = 17;
  Bytes octets;
};
Transport udp(std::uint16_t source, std::uint16_t destination, std::size_t payload);
/// UDP with an ISAKMP message of a header and `payload` octets; behind the marker of RFC 3948 if a
/// port is 4500.
Transport isakmp(std::uint16_t source, std::uint16_t destination, std::size_t payload);
Transport tcp(std::uint16_t source, std::uint16_t destination, std::uint8_t flags,
              const Bytes& options = {}, std::size_t payload = 0);
Transport icmp_echo(std::size_t payload);
Transport icmp6(std::uint8_t type, std::size_t payload);
Transport raw(std::uint8_t protocol, Bytes octets);

Bytes ip(const Ipv4& header, const Transport& transport);
Bytes ip(const Ipv6& header, const Transport& transport);

/// An Ethernet frame around an IP packet (its version makes the type), with tags.
Bytes frame(const Bytes& packet, const std::vector<std::uint16_t>& tags = {});
Bytes arp_request(std::string_view target);

/// An UDP packet of exactly `size` octets (IP length), payload from the seed.
Bytes sized_v4(std::size_t size, std::uint32_t seed = 1, const Ipv4& header = {});
Bytes sized_v6(std::size_t size, std::uint32_t seed = 1, const Ipv6& header = {});

/// The IP packet of a frame, without Ethernet and tags.
Bytes packet_of(const Bytes& frame);
std::uint16_t internet_checksum(ByteView data, std::uint32_t start = 0);
/// Whether IPv4 header and TCP/UDP/ICMP checksums of an IP packet are right.
bool checksums_right(const Bytes& packet);

}  // namespace cohort::test
