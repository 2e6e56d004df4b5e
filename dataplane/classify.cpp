#include "dataplane/classify.hpp"

#include <algorithm>
#include <array>

#include "dataplane/headers.hpp"
#include "dataplane/plain.hpp"

namespace cohort::dataplane {
namespace {

constexpr unsigned prefetch_ahead = 4;
constexpr unsigned extension_headers_max = 8;
constexpr std::uint16_t ethertype_qinq_old = 0x9100;

bool is_tag(std::uint16_t type) {
  return type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ || type == ethertype_qinq_old;
}

/// RFC 4861 sections 6.1, 7.1 and 8.1: what must be silently discarded is nobody's to forward.
bool is_valid_discovery(const std::uint8_t* icmp, std::uint32_t length, std::uint8_t hop_limit,
                        const Note& note) {
  constexpr std::array<std::uint8_t, 5> least{8, 16, 24, 24, 40};  // of types 133 to 137
  if (!note.has(note_v6) || note.has(note_first_fragment)) return false;
  return icmp[0] >= 133 && icmp[0] <= 137 && icmp[1] == 0 && hop_limit == 255 &&
         length >= least[icmp[0] - 133u];
}

/// The transport header's first words; the note's offset and protocol are set.
bool parse_transport(const std::uint8_t* ip, Note& note, std::uint8_t hop_limit) {
  const std::uint32_t left = std::uint32_t{note.ip_length} - note.transport_offset;
  const std::uint8_t* at = ip + note.transport_offset;
  if (has_ports(note.protocol)) {
    if (left < 4) {
      note.reason = DropReason::transport_truncated;
      return false;
    }
    note.ports = load<std::uint32_t>(at);
    note.flags |= note_ports;
    if (note.protocol == protocol_tcp && left >= 20 && (at[13] & RTE_TCP_SYN_FLAG) != 0)
      note.flags |= note_syn;
  } else if (note.protocol == protocol_icmp6) {
    if (left < 4) {
      note.reason = DropReason::transport_truncated;
      return false;
    }
    note.ports = at[0] | (is_valid_discovery(at, left, hop_limit, note) ? 0x100u : 0u);
    // Multicast listener discovery: the member's kernel takes part in it.
    if (at[0] >= 130 && at[0] <= 132) note.flags |= note_punt_copy;
  } else if (note.protocol == protocol_igmp) {
    note.flags |= note_punt_copy;
  }
  return true;
}

bool parse_ipv4(const std::uint8_t* ip, std::uint32_t room, Note& note) {
  if (room < ipv4_length) {
    note.reason = DropReason::truncated_frame;
    return false;
  }
  const std::uint16_t header = static_cast<std::uint16_t>((ip[0] & 0xf) * 4);
  const std::uint16_t length = load_be16(ip + 2);
  if (header < ipv4_length || length < header) {
    note.reason = DropReason::bad_ip_header;
    return false;
  }
  if (length > room) {
    note.reason = DropReason::truncated_frame;
    return false;
  }
  note.ip_length = length;
  note.transport_offset = header;
  note.protocol = ip[9];
  const std::uint16_t fragment = load_be16(ip + 6);
  if ((fragment & (ipv4_mf | ipv4_offset_mask)) != 0) [[unlikely]] {
    if ((fragment & ipv4_offset_mask) != 0) {
      // The end of a fragment never lies behind the longest packet (the "ping of death").
      if ((fragment & ipv4_offset_mask) * 8u + length - header > 65535u - header) {
        note.reason = DropReason::bad_ip_header;
        return false;
      }
      note.flags |= note_later_fragment;
      return true;
    }
    note.flags |= note_first_fragment;
  }
  return parse_transport(ip, note, ip[8]);
}

/// Steps over extension headers; false for a malformed chain. Sets protocol, offset and flags.
bool walk_extensions(const std::uint8_t* ip, Note& note) {
  std::uint8_t next = ip[6];
  std::uint32_t at = ipv6_length;
  for (unsigned count = 0;; ++count) {
    switch (next) {
      case IPPROTO_HOPOPTS:
      case IPPROTO_ROUTING:
      case IPPROTO_DSTOPTS:
      case 135: {  // mobility
        if (count == extension_headers_max || at + 8 > note.ip_length) return false;
        const std::uint32_t length = (ip[at + 1] + 1u) * 8;
        if (at + length > note.ip_length) return false;
        next = ip[at];
        at += length;
        break;
      }
      case protocol_fragment: {
        if (count == extension_headers_max || at + 8 > note.ip_length) return false;
        if (note.has(note_first_fragment | note_later_fragment)) return false;
        const std::uint16_t offset = load_be16(ip + at + 2);
        next = ip[at];
        at += 8;
        if ((offset & 0xfff8) != 0) {
          if ((offset & 0xfff8u) + note.ip_length - at > 65535u) return false;
          note.flags |= note_later_fragment;
        } else if ((offset & 1) != 0) {
          note.flags |= note_first_fragment;
        }
        // What follows in a later fragment is data.
        if (note.has(note_later_fragment)) {
          note.protocol = next;
          note.transport_offset = static_cast<std::uint16_t>(at);
          return true;
        }
        break;
      }
      default:
        note.protocol = next;
        note.transport_offset = static_cast<std::uint16_t>(at);
        return true;
    }
  }
}

bool parse_ipv6(const std::uint8_t* ip, std::uint32_t room, Note& note) {
  if (room < ipv6_length) {
    note.reason = DropReason::truncated_frame;
    return false;
  }
  const std::uint32_t length = load_be16(ip + 4) + std::uint32_t{ipv6_length};
  if (length > room) {
    note.reason = DropReason::truncated_frame;
    return false;
  }
  note.flags |= note_v6;
  note.ip_length = static_cast<std::uint16_t>(length);
  if (length > 65535 || !walk_extensions(ip, note)) {
    note.reason = DropReason::bad_extension_headers;
    return false;
  }
  return note.has(note_later_fragment) || parse_transport(ip, note, ip[7]);
}

/// Makes one buffer of a chain. False if that can't be done; the reason is in the note then.
bool join(rte_mbuf*& mbuf, rte_mempool& pool, Note& note) {
  if (rte_pktmbuf_linearize(mbuf) == 0) return true;
  if (mbuf->pkt_len + RTE_PKTMBUF_HEADROOM > rte_pktmbuf_data_room_size(&pool)) {
    note.reason = DropReason::segments_too_long;
    return false;
  }
  rte_mbuf* whole = rte_pktmbuf_alloc(&pool);
  if (whole == nullptr) {
    note.reason = DropReason::no_buffer;
    return false;
  }
  const std::uint32_t length = mbuf->pkt_len;
  std::uint8_t* to = octets(whole);
  for (const rte_mbuf* part = mbuf; part != nullptr; part = part->next) {
    std::memcpy(to, rte_pktmbuf_mtod(part, const std::uint8_t*), part->data_len);
    to += part->data_len;
  }
  set_length(whole, length);
  rte_pktmbuf_free(mbuf);
  mbuf = whole;
  return true;
}

/// Whatever is not a plain single buffer with its tags in the data.
bool normalize(rte_mbuf*& mbuf, rte_mempool& pool, Note& note) {
  if (mbuf->nb_segs > 1 && !join(mbuf, pool, note)) return false;
  if ((mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) {
    if (rte_vlan_insert(&mbuf) != 0) {
      note.reason = DropReason::no_room;
      return false;
    }
    mbuf->ol_flags &= ~(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_TX_VLAN);
  }
  return true;
}

void classify_other(std::uint16_t type, Note& note) {
  if (type == RTE_ETHER_TYPE_ARP) {
    note.verdict = Verdict::forward;
    // Requests are for everyone; replies may be for the member's own kernel.
    note.flags |= note_punt_copy;
    return;
  }
  note.drop(DropReason::not_ip);
}

}  // namespace

bool parse_ip(const std::uint8_t* ip, std::uint32_t room, Note& note) {
  note.flags |= note_ip;
  if (room == 0) {
    note.reason = DropReason::truncated_frame;
    return false;
  }
  switch (ip[0] >> 4) {
    case 4:
      return parse_ipv4(ip, room, note);
    case 6:
      return parse_ipv6(ip, room, note);
  }
  note.reason = DropReason::bad_ip_header;
  return false;
}

bool parse_inner(std::uint8_t* ip, std::uint32_t room, Note& note) {
  const bool v6 = note.has(note_v6);
  note = Note{.l2_length = note.l2_length, .sa = note.sa, .ip = ip};
  return parse_ip(ip, room, note) && note.has(note_v6) == v6;
}

/// All frames that are not plain.
void classify_frame(rte_mbuf*& mbuf, rte_mempool& pool, std::uint16_t mtu, Note& note) {
  note = Note{};
  if ((mbuf->nb_segs > 1 || (mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) &&
      !normalize(mbuf, pool, note)) {
    note.verdict = Verdict::drop;
    return;
  }
  std::uint8_t* frame = octets(mbuf);
  const std::uint32_t length = mbuf->data_len;
  if (length < RTE_ETHER_HDR_LEN) return note.drop(DropReason::truncated_frame);
  std::uint32_t l2 = RTE_ETHER_HDR_LEN;
  std::uint16_t type = load_be16(frame + 12);
  while (is_tag(type)) {
    if (l2 == RTE_ETHER_HDR_LEN + 8) return note.drop(DropReason::too_many_tags);
    if (length < l2 + 4) return note.drop(DropReason::truncated_frame);
    type = load_be16(frame + l2 + 2);
    l2 += 4;
  }
  note.l2_length = static_cast<std::uint16_t>(l2);
  note.ip = frame + l2;
  if (type != RTE_ETHER_TYPE_IPV4 && type != RTE_ETHER_TYPE_IPV6) return classify_other(type, note);
  if (length == l2) return note.drop(DropReason::truncated_frame);
  const unsigned version = type == RTE_ETHER_TYPE_IPV4 ? 4 : 6;
  if ((frame[l2] >> 4) != version) return note.drop(DropReason::bad_ip_header);
  if (!parse_ip(frame + l2, length - l2, note)) {
    note.verdict = Verdict::drop;
    return;
  }
  if (note.ip_length > mtu) return note.drop(DropReason::frame_over_mtu);
}

namespace {

/// A frame in one buffer, without tags, that holds a plain packet.
inline bool classify_plain(rte_mbuf& mbuf, std::uint16_t mtu, Note& note) {
  if (mbuf.nb_segs != 1 || (mbuf.ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) return false;
  std::uint8_t* frame = octets(&mbuf);
  // Longer than the MTU is not plain: the rules drop it by its name.
  const std::uint32_t room = std::min<std::uint32_t>(mbuf.data_len, mtu + RTE_ETHER_HDR_LEN);
  if (room < RTE_ETHER_HDR_LEN + ipv4_length) return false;
  switch (load<std::uint16_t>(frame + 12)) {
    case be16_constant(RTE_ETHER_TYPE_IPV4):
      return parse_plain_ipv4(frame + RTE_ETHER_HDR_LEN, room - RTE_ETHER_HDR_LEN,
                              RTE_ETHER_HDR_LEN, nullptr, note);
    case be16_constant(RTE_ETHER_TYPE_IPV6):
      return parse_plain_ipv6(frame + RTE_ETHER_HDR_LEN, room - RTE_ETHER_HDR_LEN,
                              RTE_ETHER_HDR_LEN, nullptr, note);
  }
  return false;
}

}  // namespace

void classify(Burst& burst, rte_mempool& pool, std::uint16_t mtu) {
  const unsigned size = burst.size;
  const unsigned ahead = std::min(size, prefetch_ahead);
  for (unsigned i = 0; i < ahead; ++i) rte_prefetch0(octets(burst.mbuf[i]));
  KindOf kind;
  Note* note = burst.note.data();
  for (rte_mbuf **mbuf = burst.mbuf.data(), **end = mbuf + size; mbuf < end; ++mbuf, ++note) {
    if (mbuf + prefetch_ahead < end) rte_prefetch0(octets(mbuf[prefetch_ahead]));
    if (classify_plain(**mbuf, mtu, *note)) [[likely]] {
      kind.add(*note);
      continue;
    }
    kind.spoil();
    classify_frame(*mbuf, pool, mtu, *note);
  }
  burst.kind = kind.result();
  burst.protocol = kind.protocol();
}

}  // namespace cohort::dataplane
