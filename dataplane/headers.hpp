#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

/// Octets of headers: unaligned loads and stores, checksums, field values.
namespace cohort::dataplane {

template <typename T>
[[nodiscard]] inline T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
inline void store(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}
[[nodiscard]] inline std::uint16_t load_be16(const void* from) {
  return rte_be_to_cpu_16(load<std::uint16_t>(from));
}
[[nodiscard]] inline std::uint32_t load_be32(const void* from) {
  return rte_be_to_cpu_32(load<std::uint32_t>(from));
}
/// A 16-bit value as it lies in a packet, for constants.
[[nodiscard]] constexpr std::uint16_t be16_constant(unsigned value) {
  return static_cast<std::uint16_t>((value & 0xff) << 8 | (value >> 8 & 0xff));
}
inline void store_be16(void* to, std::uint16_t value) {
  store(to, rte_cpu_to_be_16(value));
}
inline void store_be32(void* to, std::uint32_t value) {
  store(to, rte_cpu_to_be_32(value));
}

[[nodiscard]] inline std::uint8_t* octets(rte_mbuf* mbuf) {
  return rte_pktmbuf_mtod(mbuf, std::uint8_t*);
}
/// Sets the length of a packet in one buffer.
inline void set_length(rte_mbuf* mbuf, std::uint32_t length) {
  mbuf->data_len = static_cast<std::uint16_t>(length);
  mbuf->pkt_len = length;
}

inline constexpr std::uint8_t protocol_icmp = 1;
inline constexpr std::uint8_t protocol_igmp = 2;
inline constexpr std::uint8_t protocol_ipip = 4;
inline constexpr std::uint8_t protocol_tcp = 6;
inline constexpr std::uint8_t protocol_udp = 17;
inline constexpr std::uint8_t protocol_ipv6 = 41;
inline constexpr std::uint8_t protocol_fragment = 44;
inline constexpr std::uint8_t protocol_esp = 50;
inline constexpr std::uint8_t protocol_icmp6 = 58;
inline constexpr std::uint8_t protocol_none = 59;
inline constexpr std::uint8_t protocol_sctp = 132;

inline constexpr std::uint16_t ipv4_length = 20;
inline constexpr std::uint16_t ipv6_length = 40;
inline constexpr std::uint16_t ipv6_mtu_min = 1280;  ///< RFC 8200 section 5
inline constexpr std::uint16_t ipv4_df = 0x4000;
inline constexpr std::uint16_t ipv4_mf = 0x2000;
inline constexpr std::uint16_t ipv4_offset_mask = 0x1fff;

[[nodiscard]] inline bool has_ports(std::uint8_t protocol) {
  return protocol == protocol_tcp || protocol == protocol_udp || protocol == protocol_sctp;
}

/// Folds a sum of 16-bit words to 16 bits. A half added to the other, both ways round, leaves in
/// the upper one their sum with the carry brought round.
[[nodiscard]] inline std::uint16_t fold(std::uint64_t sum) {
  sum += std::rotr(sum, 32);
  auto half = static_cast<std::uint32_t>(sum >> 32);
  half += std::rotr(half, 16);
  return static_cast<std::uint16_t>(half >> 16);
}
/// The checksum after one 16-bit word has changed (RFC 1624, equation 3); all in packet order.
[[nodiscard]] inline std::uint16_t adjust_checksum(std::uint16_t checksum, std::uint16_t before,
                                                   std::uint16_t after) {
  const std::uint32_t sum = static_cast<std::uint16_t>(~checksum) +
                            std::uint32_t{static_cast<std::uint16_t>(~before)} + after;
  return static_cast<std::uint16_t>(~fold(sum));
}
/// Computes and stores the checksum of an IPv4 header.
inline void set_ipv4_checksum(std::uint8_t* header, std::size_t length) {
  store<std::uint16_t>(header + 10, 0);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < length; i += 4) sum += load<std::uint32_t>(header + i);
  store(header + 10, static_cast<std::uint16_t>(~fold(sum)));
}

/// Ethernet header and tags to another place, which may overlap the old one.
inline void move_ethernet(std::uint8_t* to, const std::uint8_t* from, std::uint32_t length) {
  if (length == RTE_ETHER_HDR_LEN) [[likely]] {
    const auto first = load<std::uint64_t>(from);
    const auto rest = load<std::uint64_t>(from + RTE_ETHER_HDR_LEN - 8);
    store(to, first);
    store(to + RTE_ETHER_HDR_LEN - 8, rest);
  } else {
    std::memmove(to, from, length);
  }
}

}  // namespace cohort::dataplane
