#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/api/drop_reason.hpp"

struct rte_mbuf;

namespace cohort::dataplane {

class SaState;

/// Packets handled together. Two receive bursts of 64, which fills IPsec-MB's lanes for CBC.
inline constexpr unsigned burst_max = 128;
inline constexpr unsigned receive_burst = 64;

/// What is to happen to a packet; each stage takes those that are its own and moves them on.
enum class Verdict : std::uint8_t {
  undecided,  ///< IP, to be looked up
  forward,    ///< leaves by the other port as it is
  protect,    ///< to be encrypted with note.sa
  decrypt,    ///< ESP of note.sa
  punt,       ///< to the member's kernel
  drop,       ///< note.reason says why
  gone        ///< another owner has the buffer (reassembly)
};

/// What an IP packet is, beside its 5-tuple.
enum NoteFlag : std::uint8_t {
  note_v6 = 1,
  note_first_fragment = 2,  ///< a fragment that holds the transport header
  note_later_fragment = 4,  ///< one that does not: no ports
  note_syn = 8,             ///< TCP with SYN
  note_ip = 16,
  note_punt_copy = 32,  ///< the kernel gets a copy
  note_ports = 64,      ///< ports are known
  note_reassembled = 128
};

/// What is known of a packet of a burst. Its first two words of eight octets are mostly written and
/// read as such.
struct alignas(32) Note {
  std::uint16_t l2_length = 0;         ///< Ethernet header and tags
  std::uint16_t transport_offset = 0;  ///< from the IP header
  std::uint16_t decision = 0;          ///< a policy entry, or one of decision_*
  Verdict verdict = Verdict::undecided;
  DropReason reason{};

  std::uint16_t ip_length = 0;  ///< the IP packet, without Ethernet's padding
  std::uint8_t flags = 0;
  std::uint8_t protocol = 0;  ///< of the transport, after any extension headers
  /// Source and destination port as in the packet, the source first in memory. ICMPv6: see
  /// classify.hpp. Zero otherwise.
  std::uint32_t ports = 0;

  SaState* sa = nullptr;
  /// The IP header, while the packet is where it was parsed: until esp_out.
  std::uint8_t* ip = nullptr;

  void drop(DropReason why) {
    verdict = Verdict::drop;
    reason = why;
  }
  [[nodiscard]] bool has(std::uint8_t flag) const { return (flags & flag) != 0; }

  /// Flags, protocol and ports as they stand in the second word.
  [[nodiscard]] static constexpr std::uint64_t nature_of(std::uint8_t flags, std::uint8_t protocol,
                                                         std::uint32_t ports) {
    return std::uint64_t{ports} << 32 | std::uint64_t{protocol} << 24 | std::uint64_t{flags} << 16;
  }
  /// The second word: nature and, in its lowest 16 bits, the length.
  [[nodiscard]] std::uint64_t nature() const {
    std::uint64_t word = 0;
    std::memcpy(&word, &ip_length, sizeof word);
    return word;
  }
  /// Another packet, of which nothing is decided.
  void describe(std::uint16_t l2, std::uint16_t transport, std::uint16_t length,
                std::uint64_t nature, SaState* state, std::uint8_t* header) {
    const std::uint64_t first = l2 | std::uint64_t{transport} << 16;
    const std::uint64_t second = length | nature;
    std::memcpy(&l2_length, &first, sizeof first);
    std::memcpy(&ip_length, &second, sizeof second);
    sa = state;
    ip = header;
  }
};
static_assert(sizeof(Note) == 32, "two in a cache line");
static_assert(offsetof(Note, ip_length) == 8 && offsetof(Note, flags) == 10 &&
                  offsetof(Note, protocol) == 11 && offsetof(Note, ports) == 12 &&
                  offsetof(Note, transport_offset) == 2 && Verdict{} == Verdict::undecided,
              "describe() writes them as words");

/// What all packets of a burst are found to be, so that later stages need not ask each.
enum class Kind : std::uint8_t {
  mixed,
  plain_v4,  ///< undecided, IPv4, no fragments
  plain_v6   ///< undecided, IPv6, no fragments
};

/// Finds the kind of a burst from the notes of its undecided packets.
class KindOf {
 public:
  void add(const Note& note) {
    some_ |= note.nature();
    all_ &= note.nature();
  }
  void spoil() { plain_ = false; }  ///< there is another packet, decided or not IP
  [[nodiscard]] Kind result() const {
    if (!plain_ || has(some_, note_first_fragment | note_later_fragment)) return Kind::mixed;
    if (!has(some_, note_v6)) return Kind::plain_v4;
    return has(all_, note_v6) ? Kind::plain_v6 : Kind::mixed;
  }
  /// The protocol of all packets; 0: they differ.
  [[nodiscard]] std::uint8_t protocol() const {
    return plain_ && (some_ >> 24 & 0xff) == (all_ >> 24 & 0xff)
               ? static_cast<std::uint8_t>(all_ >> 24)
               : std::uint8_t{0};
  }

 private:
  static bool has(std::uint64_t natures, std::uint8_t flags) {
    return (natures & Note::nature_of(flags, 0, 0)) != 0;
  }
  std::uint64_t some_ = 0;
  std::uint64_t all_ = ~std::uint64_t{0};
  bool plain_ = true;
};

struct Burst {
  unsigned size = 0;
  Kind kind = Kind::mixed;    ///< set by classify, and by esp_in for what was inside
  std::uint8_t protocol = 0;  ///< of all packets, unless they are mixed; set by classify
  std::array<rte_mbuf*, burst_max> mbuf;
  std::array<Note, burst_max> note;
};

/// Decisions that are not a policy entry.
inline constexpr std::uint16_t decision_none = 0xffff;     ///< no entry matches
inline constexpr std::uint16_t decision_control = 0xfffe;  ///< key server traffic: passes in clear
inline constexpr std::uint16_t decision_own = 0xfffd;      ///< for the member itself
inline constexpr std::uint16_t decision_link = 0xfffc;     ///< neighbour discovery
inline constexpr std::uint16_t decision_own_control = 0xfffb;   ///< control traffic to the member
inline constexpr std::uint16_t decision_control_copy = 0xfffa;  ///< the same to a multicast group
/// Control traffic from an address of the member: only its own kernel may send it so.
inline constexpr std::uint16_t decision_from_own = 0xfff9;
inline constexpr std::uint16_t decision_unset = 0xfff8;  ///< nobody decides so
/// A later fragment whose first possible entry looks at ports: the low bits are the entry's.
inline constexpr std::uint16_t decision_maybe = 0x8000;
inline constexpr std::uint16_t entries_max = 0x4000;

[[nodiscard]] constexpr bool is_entry(std::uint16_t decision) {
  return decision < entries_max;
}
[[nodiscard]] constexpr bool is_maybe(std::uint16_t decision) {
  return decision >= decision_maybe && decision < decision_maybe + entries_max;
}

}  // namespace cohort::dataplane
