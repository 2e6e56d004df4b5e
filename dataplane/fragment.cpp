#include "dataplane/fragment.hpp"

#include <algorithm>

#include "dataplane/headers.hpp"

namespace cohort::dataplane {
namespace {

/// RFC 791 section 3.1: an option without the copied flag is in the first fragment only.
void blank_options(std::uint8_t* header, std::size_t length) {
  std::size_t at = ipv4_length;
  while (at < length) {
    const std::uint8_t type = header[at];
    if (type == 0) return;  // end of options
    std::size_t size = 1;
    if (type != 1) {
      size = at + 1 < length ? header[at + 1] : 0;
      // A malformed option: blank the rest.
      if (size < 2 || at + size > length) size = length - at;
    }
    if ((type & 0x80) == 0) std::memset(header + at, 1, size);
    at += size;
  }
}

/// A buffer for the next piece. Null if there is none, or no room in `out`: all are freed then.
rte_mbuf* next_piece(rte_mempool& pool, std::span<rte_mbuf*> out, unsigned& count) {
  rte_mbuf* piece = count < out.size() ? rte_pktmbuf_alloc(&pool) : nullptr;
  if (piece == nullptr) {
    for (unsigned k = 0; k < count; ++k) rte_pktmbuf_free(out[k]);
    count = 0;
    return nullptr;
  }
  out[count++] = piece;
  return piece;
}

}  // namespace

unsigned fragment_ipv6(const rte_mbuf& mbuf, std::uint32_t l2_length, std::uint32_t mtu,
                       std::uint32_t id, rte_mempool& pool, std::span<rte_mbuf*> out) {
  constexpr std::uint32_t fragment_header = 8;
  const std::uint8_t* frame = rte_pktmbuf_mtod(&mbuf, const std::uint8_t*);
  const std::uint8_t* data = frame + l2_length + ipv6_length;
  const std::uint32_t data_length = mbuf.data_len - l2_length - ipv6_length;
  if (mtu < ipv6_length + fragment_header + 8) return 0;
  const std::uint32_t piece_max = (mtu - ipv6_length - fragment_header) & ~7u;
  unsigned count = 0;
  for (std::uint32_t from = 0; from < data_length; from += piece_max) {
    rte_mbuf* piece = next_piece(pool, out, count);
    if (piece == nullptr) return 0;
    const std::uint32_t length = std::min(piece_max, data_length - from);
    const std::uint32_t more = from + length < data_length ? 1 : 0;
    std::uint8_t* to = octets(piece);
    std::memcpy(to, frame, l2_length + ipv6_length);
    std::uint8_t* ip = to + l2_length;
    std::uint8_t* fragment = ip + ipv6_length;
    fragment[0] = ip[6];
    fragment[1] = 0;
    store_be16(fragment + 2, static_cast<std::uint16_t>(from | more));
    store_be32(fragment + 4, id);
    std::memcpy(fragment + fragment_header, data + from, length);
    store_be16(ip + 4, static_cast<std::uint16_t>(fragment_header + length));
    ip[6] = protocol_fragment;
    set_length(piece, l2_length + ipv6_length + fragment_header + length);
  }
  return count;
}

unsigned fragment_ipv4(rte_mbuf& mbuf, const Note& note, std::uint32_t mtu, rte_mempool& pool,
                       std::span<rte_mbuf*> out) {
  const std::uint8_t* frame = octets(&mbuf);
  const std::uint8_t* ip = frame + note.l2_length;
  const std::uint32_t header = (ip[0] & 0xfu) * 4;
  if (mtu < header + 8) return 0;
  const std::uint32_t data_length = note.ip_length - header;
  const std::uint32_t piece_max = (mtu - header) & ~7u;
  const std::uint16_t field = load_be16(ip + 6);
  unsigned count = 0;
  for (std::uint32_t from = 0; from < data_length; from += piece_max) {
    rte_mbuf* piece = next_piece(pool, out, count);
    if (piece == nullptr) return 0;
    const std::uint32_t length = std::min(piece_max, data_length - from);
    std::uint8_t* to = octets(piece);
    std::memcpy(to, frame, note.l2_length + header);
    std::uint8_t* to_ip = to + note.l2_length;
    std::memcpy(to_ip + header, ip + header + from, length);
    const bool more = from + length < data_length || (field & ipv4_mf) != 0;
    store_be16(to_ip + 2, static_cast<std::uint16_t>(header + length));
    store_be16(to_ip + 6, static_cast<std::uint16_t>((field & ipv4_offset_mask) + from / 8 +
                                                     (more ? ipv4_mf : 0u)));
    if (from > 0) blank_options(to_ip, header);
    set_ipv4_checksum(to_ip, header);
    set_length(piece, note.l2_length + header + length);
  }
  return count;
}

}  // namespace cohort::dataplane
