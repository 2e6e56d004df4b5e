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

}  // namespace

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
    rte_mbuf* piece = count < out.size() ? rte_pktmbuf_alloc(&pool) : nullptr;
    if (piece == nullptr) {
      for (unsigned k = 0; k < count; ++k) rte_pktmbuf_free(out[k]);
      return 0;
    }
    out[count++] = piece;
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
