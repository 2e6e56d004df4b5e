#include "dataplane/transport.hpp"

#include <algorithm>

#include "dataplane/headers.hpp"

namespace cohort::dataplane {
namespace {

constexpr std::uint8_t option_end = 0;
constexpr std::uint8_t option_nothing = 1;
constexpr std::uint8_t option_mss = 2;

/// Where the transport's checksum is, from its header; 0: it has none that we know.
std::uint32_t checksum_offset(const Note& note) {
  switch (note.protocol) {
    case protocol_tcp:
      return 16;
    case protocol_udp:
      return 6;
    case protocol_icmp:
    case protocol_icmp6:
      return 2;
  }
  return 0;
}

/// The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1), not complemented.
std::uint32_t pseudo_header(const std::uint8_t* ip, const Note& note, std::uint32_t length) {
  if (note.protocol == protocol_icmp) return 0;
  const std::uint32_t addresses = note.has(note_v6) ? 32 : 8;
  const std::uint8_t* from = ip + (note.has(note_v6) ? 8 : 12);
  return std::uint32_t{rte_raw_cksum(from, addresses)} +
         rte_cpu_to_be_16(static_cast<std::uint16_t>(length)) +
         rte_cpu_to_be_16(std::uint16_t{note.protocol});
}

}  // namespace

bool clamp_mss(std::uint8_t* ip, const Note& note, std::uint32_t inner_mtu) {
  const std::uint32_t headers = (note.has(note_v6) ? ipv6_length : ipv4_length) + 20u;
  if (inner_mtu <= headers) return false;
  const auto limit = static_cast<std::uint16_t>(std::min(inner_mtu - headers, 65535u));
  std::uint8_t* tcp = ip + note.transport_offset;
  const std::uint32_t left = std::uint32_t{note.ip_length} - note.transport_offset;
  const std::uint32_t header = (tcp[12] >> 4) * 4u;
  if (header < 20 || header > left) return false;
  for (std::uint32_t at = 20; at + 1 < header;) {
    if (tcp[at] == option_end) return false;
    if (tcp[at] == option_nothing) {
      ++at;
      continue;
    }
    const std::uint32_t size = tcp[at + 1];
    if (size < 2 || at + size > header) return false;
    if (tcp[at] != option_mss || size != 4) {
      at += size;
      continue;
    }
    if (load_be16(tcp + at + 2) <= limit) return false;
    // At an odd offset the value spans two checksum words with its octets exchanged.
    const bool odd = (at & 1) != 0;
    const auto before = load<std::uint16_t>(tcp + at + 2);
    const std::uint16_t after = rte_cpu_to_be_16(limit);
    store(tcp + at + 2, after);
    const auto as_word = [odd](std::uint16_t v) { return odd ? rte_bswap16(v) : v; };
    store(tcp + 16,
          adjust_checksum(load<std::uint16_t>(tcp + 16), as_word(before), as_word(after)));
    return true;
  }
  return false;
}

ChecksumState verify_checksums(std::uint8_t* ip, const Note& note) {
  if (!note.has(note_v6)) {
    const std::size_t header = (ip[0] & 0xfu) * 4;
    if (rte_raw_cksum(ip, header) != 0xffff) return ChecksumState::bad_ip;
  }
  if (note.has(note_first_fragment | note_later_fragment)) return ChecksumState::right;
  // With extension headers the pseudo header may need the final destination of a routing header.
  if (note.has(note_v6) && ip[6] != note.protocol) return ChecksumState::right;
  const std::uint32_t offset = checksum_offset(note);
  const std::uint32_t length = std::uint32_t{note.ip_length} - note.transport_offset;
  if (offset == 0 || length < offset + 2) return ChecksumState::right;
  std::uint8_t* transport = ip + note.transport_offset;
  const auto field = load<std::uint16_t>(transport + offset);
  if (note.protocol == protocol_udp && field == 0 && !note.has(note_v6))
    return ChecksumState::right;
  const std::uint32_t pseudo = pseudo_header(ip, note, length);
  const std::uint16_t sum = fold(std::uint64_t{rte_raw_cksum(transport, length)} + pseudo);
  if (sum == 0xffff) return ChecksumState::right;
  // CHECKSUM_PARTIAL: the field holds the folded sum of the pseudo header, for a device to go on.
  if (note.protocol == protocol_icmp || field != fold(pseudo)) return ChecksumState::bad_transport;
  const auto complete = static_cast<std::uint16_t>(~fold(rte_raw_cksum(transport, length)));
  const bool never_zero = note.protocol == protocol_udp && complete == 0;
  store(transport + offset, never_zero ? std::uint16_t{0xffff} : complete);
  return ChecksumState::completed;
}

}  // namespace cohort::dataplane
