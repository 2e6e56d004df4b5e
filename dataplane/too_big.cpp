#include "dataplane/too_big.hpp"

#include <algorithm>

#include "dataplane/headers.hpp"

namespace cohort::dataplane {
namespace {

constexpr std::uint32_t icmp_header = 8;
constexpr std::uint32_t report_max_v4 = 576;   // RFC 1812 section 4.3.2.3
constexpr std::uint32_t report_max_v6 = 1280;  // RFC 4443 section 2.4 c

bool is_icmp_error(const std::uint8_t* ip, const Note& note) {
  if (note.has(note_v6)) return note.protocol == protocol_icmp6 && (note.ports & 0x80) == 0;
  if (note.protocol != protocol_icmp) return false;
  if (note.transport_offset >= note.ip_length) return true;
  const std::uint8_t type = ip[note.transport_offset];
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

std::uint16_t sum_of(const std::uint8_t* data, std::size_t length) {
  return rte_raw_cksum(data, length);
}

void write_v4(std::uint8_t* ip, const std::uint8_t* cause, std::uint32_t quoted, std::uint32_t mtu,
              const IpAddress* own) {
  const std::uint32_t length = ipv4_length + icmp_header + quoted;
  std::memset(ip, 0, ipv4_length + icmp_header);
  ip[0] = 0x45;
  ip[1] = 0xc0;  // RFC 1812 section 4.3.2.5: internetwork control
  store_be16(ip + 2, static_cast<std::uint16_t>(length));
  ip[8] = 64;
  ip[9] = protocol_icmp;
  std::memcpy(ip + 12, own != nullptr ? own->bytes().data() : cause + 16, 4);
  std::memcpy(ip + 16, cause + 12, 4);
  set_ipv4_checksum(ip, ipv4_length);
  std::uint8_t* icmp = ip + ipv4_length;
  icmp[0] = 3;
  icmp[1] = 4;
  store_be16(icmp + 6, static_cast<std::uint16_t>(mtu));
  std::memcpy(icmp + icmp_header, cause, quoted);
  store(icmp + 2, static_cast<std::uint16_t>(~sum_of(icmp, icmp_header + quoted)));
}

void write_v6(std::uint8_t* ip, const std::uint8_t* cause, std::uint32_t quoted, std::uint32_t mtu,
              const IpAddress* own) {
  std::memset(ip, 0, ipv6_length + icmp_header);
  ip[0] = 0x60;
  store_be16(ip + 4, static_cast<std::uint16_t>(icmp_header + quoted));
  ip[6] = protocol_icmp6;
  ip[7] = 255;
  std::memcpy(ip + 8, own != nullptr ? own->bytes().data() : cause + 24, 16);
  std::memcpy(ip + 24, cause + 8, 16);
  std::uint8_t* icmp = ip + ipv6_length;
  icmp[0] = 2;
  store_be32(icmp + 4, mtu);
  std::memcpy(icmp + icmp_header, cause, quoted);
  rte_ipv6_hdr header;
  std::memcpy(&header, ip, sizeof header);
  const std::uint32_t sum =
      sum_of(icmp, icmp_header + quoted) + std::uint32_t{rte_ipv6_phdr_cksum(&header, 0)};
  store(icmp + 2, static_cast<std::uint16_t>(~fold(sum)));
}

}  // namespace

bool may_report(const std::uint8_t* ip, const Note& note) {
  if (note.has(note_later_fragment) || is_icmp_error(ip, note)) return false;
  if (note.has(note_v6)) {
    constexpr std::array<std::uint8_t, 16> unspecified{};
    return ip[8] != 0xff && std::memcmp(ip + 8, unspecified.data(), 16) != 0;
  }
  const std::uint8_t source = ip[12];
  const std::uint8_t destination = ip[16];
  return source != 0 && source != 127 && source < 0xe0 && destination < 0xe0;
}

rte_mbuf* make_too_big(rte_mbuf& mbuf, const Note& note, std::uint32_t mtu,
                       const Locality& locality, rte_mempool& pool) {
  const bool v6 = note.has(note_v6);
  const std::uint8_t* frame = octets(&mbuf);
  const std::uint8_t* cause = frame + note.l2_length;
  const IpAddress* own = locality.own_address(v6 ? Family::v6 : Family::v4);
  // Without an address of our own we answer as the destination, which a group can't.
  if (own == nullptr && v6 && cause[24] == 0xff) return nullptr;
  rte_mbuf* report = rte_pktmbuf_alloc(&pool);
  if (report == nullptr) return nullptr;
  const std::uint32_t around = (v6 ? ipv6_length : ipv4_length) + icmp_header;
  const std::uint32_t quoted =
      std::min<std::uint32_t>(note.ip_length, (v6 ? report_max_v6 : report_max_v4) - around);
  std::uint8_t* out = octets(report);
  set_length(report, note.l2_length + around + quoted);
  // Back to where it came from, under the same tags.
  std::memcpy(out, frame, note.l2_length);
  std::memcpy(out, frame + 6, 6);
  std::memcpy(out + 6, frame, 6);
  // A group address is no source: a locally administered one stands for us.
  if ((out[6] & 1) != 0) {
    constexpr std::array<std::uint8_t, 6> ours{0x02, 0, 0, 0, 0, 0x01};
    std::memcpy(out + 6, ours.data(), ours.size());
  }
  if (v6)
    write_v6(out + note.l2_length, cause, quoted, mtu, own);
  else
    write_v4(out + note.l2_length, cause, quoted, mtu, own);
  return report;
}

}  // namespace cohort::dataplane
