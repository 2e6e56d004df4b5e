#include "dataplane/esp_out.hpp"

#include <emmintrin.h>
#include <optional>
#include <span>

#include "dataplane/counters.hpp"
#include "dataplane/headers.hpp"

namespace cohort::dataplane {
namespace {

/// Padding, pad length, next header and ICV of any suite, and the slack of a 16-octet store.
constexpr std::uint32_t trailer_room = 64;

/// The packets to be encrypted, as places in the burst.
struct Lot {
  unsigned size = 0;
  bool mixed = false;  ///< of several SAs
  bool cbc = false;    ///< some need IVs of 16 octets
  std::array<std::uint8_t, burst_max> index;
};

void gather(const Burst& burst, Lot& lot) {
  const SaState* first = nullptr;
  for (unsigned i = 0; i < burst.size; ++i) {
    if (burst.note[i].verdict != Verdict::protect) continue;
    lot.index[lot.size++] = static_cast<std::uint8_t>(i);
    if (burst.note[i].sa == first) continue;
    lot.mixed = first != nullptr;
    first = burst.note[i].sa;
    lot.cbc |= !first->code().aead;
  }
}

/// Numbers for `n` packets, or why there are none.
std::optional<DropReason> draw_numbers(SaState& sa, SaWorker& mine, std::uint32_t n,
                                       Numbers& numbers) {
  if (sa.code().aead) {
    SenderIds* sender = mine.sender.load(std::memory_order_acquire);
    if (sender == nullptr) return DropReason::no_sender_id;
    const std::uint64_t counter = SaState::draw_ivs(*sender, n);
    if (counter == 0) return DropReason::iv_exhausted;
    numbers.iv = sender->prefix | counter;
  }
  const auto sequence = sa.draw_sequence(n);
  if (!sequence) return DropReason::sequence_exhausted;
  numbers.sequence = *sequence;
  return std::nullopt;
}

/// What the packets of one SA have in common, read once for a run of them.
struct Form {
  Form(const SaState& sa, DfBit df_bit, std::uint32_t now)
      : keys(&sa.keys()), spi(rte_cpu_to_be_32(sa.spi())), icv(sa.code().icv) {
    constexpr std::uint64_t df = std::uint64_t{be16_constant(ipv4_df)} << 48;
    if (df_bit == DfBit::copy) v4_keep |= df;
    if (df_bit == DfBit::set) v4_set |= df;
    if (!sa.by_time()) return;
    counted = 0;
    tick = now;
  }
  const SaKeys* keys;
  std::uint32_t spi;  ///< as in the packet
  std::uint32_t icv;
  /// The ESP sequence number is the packet's own, masked by this, or the group's time.
  std::uint32_t counted = 0xffffffff;
  std::uint32_t tick = 0;
  /// Of the first eight octets of an IPv4 header, as in memory: what is copied from the inner one
  /// (DSCP, ECN, and DF by configuration), and what is always there.
  std::uint64_t v4_keep = 0xff00;
  std::uint64_t v4_set = 0x45;
};

/// Adds with the carry brought round, as for a checksum.
inline std::uint64_t add_around(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  const bool carry = __builtin_add_overflow(a, b, &sum);
  return sum + (carry ? 1 : 0);
}

/// RFC 4301 section 5.1.2.1: DSCP and ECN from the inner header, DF by configuration, options never
/// copied; the TTL is the inner one, since a bump in the wire is no hop. The identification follows
/// the sequence number: two ESP packets in flight must not share it, as two inner fragments do.
inline void write_outer_v4(std::uint8_t* outer, const std::uint8_t* inner, std::uint32_t length,
                           std::uint32_t sequence, const Form& form) {
  constexpr std::uint64_t ttl_and_source = 0xffffffff000000ff;
  const std::uint64_t length_field = rte_cpu_to_be_16(static_cast<std::uint16_t>(length));
  const std::uint64_t first = (load<std::uint64_t>(inner) & form.v4_keep) | form.v4_set |
                              length_field << 16 | std::uint64_t{sequence & 0xffff} << 32;
  const std::uint64_t second =
      (load<std::uint64_t>(inner + 8) & ttl_and_source) | std::uint64_t{protocol_esp} << 8;
  const auto destination = load<std::uint32_t>(inner + 16);
  const std::uint64_t sum = add_around(add_around(first, second), destination);
  const std::uint64_t checksum = static_cast<std::uint16_t>(~fold(sum));
  store(outer, first);
  store(outer + 8, second | checksum << 16);
  store(outer + 16, destination);
}

/// RFC 4301 section 5.1.2.2: traffic class (and flow label, so that paths stay what they were) and
/// hop limit from the inner header.
inline void write_outer_v6(std::uint8_t* outer, const std::uint8_t* inner, std::uint32_t length) {
  const std::uint64_t payload = rte_cpu_to_be_16(static_cast<std::uint16_t>(length - ipv6_length));
  store(outer, load<std::uint32_t>(inner) | payload << 32 | std::uint64_t{protocol_esp} << 48 |
                   std::uint64_t{inner[7]} << 56);
  std::memcpy(outer + 8, inner + 8, 32);
}

/// RFC 4303 section 2.4: 1, 2, 3, …, then its length and what is inside. At most 15 octets of it.
inline void write_trailer(std::uint8_t* at, std::uint32_t padding, std::uint8_t next_header) {
  const __m128i counting = _mm_setr_epi8(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(at), counting);
  store(at + padding, static_cast<std::uint16_t>(padding | next_header << 8));
}
/// The same for at most three octets of padding, in one store of eight.
inline void write_short_trailer(std::uint8_t* at, std::uint32_t padding, std::uint8_t next_header) {
  const auto trailer = [](std::uint64_t next, unsigned n) {
    return (std::uint64_t{0x030201} & ((std::uint64_t{1} << 8 * n) - 1)) | (n | next << 8) << 8 * n;
  };
  static constexpr std::array<std::uint64_t, 4> v4{
      trailer(protocol_ipip, 0), trailer(protocol_ipip, 1), trailer(protocol_ipip, 2),
      trailer(protocol_ipip, 3)};
  static constexpr std::array<std::uint64_t, 4> v6{
      trailer(protocol_ipv6, 0), trailer(protocol_ipv6, 1), trailer(protocol_ipv6, 2),
      trailer(protocol_ipv6, 3)};
  store(at, (next_header == protocol_ipv6 ? v6 : v4)[padding]);
}

/// Lays out one ESP packet around its inner packet, all but encryption and IV:
///  1. the frame grows by outer header, ESP header and IV in front, trailer and ICV behind;
///  2. Ethernet header and tags move to the front;
///  3. outer header, SPI, sequence number; 4. trailer.
/// False if the buffer has no room.
template <bool aead, bool v6>
inline bool lay_out(rte_mbuf& mbuf, const Note& note, const Form& form, std::uint32_t sequence,
                    CryptoItem& item) {
  constexpr std::uint32_t outer_length = v6 ? ipv6_length : ipv4_length;
  constexpr std::uint32_t header = 8 + (aead ? 8 : 16);
  constexpr std::uint32_t grow = outer_length + header;
  constexpr std::uint32_t block_mask = (aead ? 4 : 16) - 1;
  const std::uint32_t icv = aead ? 16 : form.icv;
  const std::uint32_t ip_length = note.ip_length;
  const std::uint32_t l2_length = note.l2_length;
  const std::uint32_t text = (ip_length + 2 + block_mask) & ~block_mask;
  const std::uint32_t total = grow + text + icv;
  const std::uint32_t start = mbuf.data_off;
  if (start < grow || start + l2_length + ip_length + trailer_room > mbuf.buf_len) [[unlikely]]
    return false;
  mbuf.data_off = static_cast<std::uint16_t>(start - grow);
  set_length(&mbuf, l2_length + total);
  std::uint8_t* inner = note.ip;
  move_ethernet(inner - grow - l2_length, inner - l2_length, l2_length);
  if constexpr (v6)
    write_outer_v6(inner - grow, inner, total);
  else
    write_outer_v4(inner - grow, inner, total, sequence, form);
  constexpr std::uint8_t next_header = v6 ? protocol_ipv6 : protocol_ipip;
  if constexpr (aead)
    write_short_trailer(inner + ip_length, ~(ip_length + 1) & 3, next_header);
  else
    write_trailer(inner + ip_length, text - 2 - ip_length, next_header);
  std::uint8_t* esp = inner - header;
  const std::uint32_t number = (sequence & form.counted) | form.tick;
  store(esp, std::uint64_t{form.spi} | std::uint64_t{rte_cpu_to_be_32(number)} << 32);
  item.esp = esp;
  item.keys = form.keys;
  item.text = text;
  return true;
}

/// What comes of laying out: the packets for the cipher.
struct Sealing {
  unsigned size = 0;
  std::array<CryptoItem, burst_max> items;
  alignas(16) std::array<std::uint8_t, burst_max * 16> ivs;  ///< for CBC
};

/// Part of a lot: the packets from place `from` to before `to`. Without a lot: of the burst.
struct Part {
  const Lot* lot;
  unsigned from;
  unsigned to;
};

template <bool aead, bool whole_burst>
unsigned lay_out_packets(Burst& burst, const Form& form, const Part& part, Numbers numbers,
                         Sealing& out, std::uint64_t& octets_laid_out) {
  CryptoItem* item = &out.items[out.size];
  const CryptoItem* const before = item;
  std::uint64_t bytes = 0;
  for (unsigned k = part.from; k < part.to; ++k, ++numbers.sequence, ++numbers.iv) {
    const unsigned i = whole_burst ? k : part.lot->index[k];
    Note& note = burst.note[i];
    rte_mbuf& mbuf = *burst.mbuf[i];
    const bool done = note.has(note_v6)
                          ? lay_out<aead, true>(mbuf, note, form, numbers.sequence, *item)
                          : lay_out<aead, false>(mbuf, note, form, numbers.sequence, *item);
    if (!done) [[unlikely]] {
      note.drop(DropReason::no_room);
      continue;
    }
    if constexpr (aead)
      store(item->esp + 8, rte_cpu_to_be_64(numbers.iv));
    else
      std::memcpy(item->esp + 8, &out.ivs[k * std::size_t{16}], 16);
    bytes += note.ip_length;
    note.verdict = Verdict::forward;
    ++item;
  }
  octets_laid_out = bytes;
  return static_cast<unsigned>(item - before);
}

/// Lays out packets of one SA.
void lay_out_part(EspContext& context, Burst& burst, SaState& sa, const Part& part,
                  const Numbers& numbers, Sealing& out) {
  const Form form(sa, context.df_bit, context.tick);
  const bool aead = sa.code().aead;
  std::uint64_t bytes = 0;
  unsigned n = 0;
  if (part.lot == nullptr) [[likely]]
    n = aead ? lay_out_packets<true, true>(burst, form, part, numbers, out, bytes)
             : lay_out_packets<false, true>(burst, form, part, numbers, out, bytes);
  else
    n = aead ? lay_out_packets<true, false>(burst, form, part, numbers, out, bytes)
             : lay_out_packets<false, false>(burst, form, part, numbers, out, bytes);
  out.size += n;
  SaWorker& mine = sa.worker(context.worker);
  bump(mine.packets_out, n);
  bump(mine.bytes_out, bytes);
}

void lay_out_one_sa(EspContext& context, Burst& burst, SaState& sa, const Part& part,
                    Sealing& out) {
  Numbers numbers;
  const auto refused = draw_numbers(sa, sa.worker(context.worker), part.to, numbers);
  if (!refused) [[likely]]
    return lay_out_part(context, burst, sa, part, numbers, out);
  for (unsigned k = 0; k < part.to; ++k)
    burst.note[part.lot == nullptr ? k : part.lot->index[k]].drop(*refused);
}

/// Packets of several SAs in any order: each SA's are counted, its numbers drawn at once, and dealt
/// out in the packets' order.
[[gnu::noinline]] void lay_out_mixed(EspContext& context, Burst& burst, const Lot& lot,
                                     Sealing& out) {
  const std::uint64_t stamp = ++context.mixed_bursts;
  std::array<SaState*, burst_max> sas;
  unsigned sa_count = 0;
  for (unsigned k = 0; k < lot.size; ++k) {
    SaState* sa = burst.note[lot.index[k]].sa;
    SaWorker::Share& share = sa->worker(context.worker).share;
    if (share.burst != stamp) {
      share = {.burst = stamp};
      sas[sa_count++] = sa;
    }
    ++share.count;
  }
  for (unsigned s = 0; s < sa_count; ++s) {
    SaWorker& mine = sas[s]->worker(context.worker);
    mine.share.refused = draw_numbers(*sas[s], mine, mine.share.count, mine.share.numbers);
  }
  for (unsigned from = 0, to = 0; from < lot.size; from = to) {
    SaState* sa = burst.note[lot.index[from]].sa;
    for (to = from + 1; to < lot.size && burst.note[lot.index[to]].sa == sa; ++to) {
    }
    SaWorker::Share& share = sa->worker(context.worker).share;
    if (share.refused) {
      for (unsigned k = from; k < to; ++k) burst.note[lot.index[k]].drop(*share.refused);
      continue;
    }
    lay_out_part(context, burst, *sa, {&lot, from, to}, share.numbers, out);
    share.numbers.sequence += to - from;
    share.numbers.iv += to - from;
  }
}

}  // namespace

unsigned esp_out(EspContext& context, Burst& burst, SaState* sa_of_all) {
  Sealing sealing;
  if (sa_of_all != nullptr) [[likely]] {
    if (!sa_of_all->code().aead) context.cipher->make_cbc_ivs(sealing.ivs.data(), burst.size);
    lay_out_one_sa(context, burst, *sa_of_all, {nullptr, 0, burst.size}, sealing);
  } else {
    Lot lot;
    gather(burst, lot);
    if (lot.size == 0) return 0;
    if (lot.cbc) context.cipher->make_cbc_ivs(sealing.ivs.data(), lot.size);
    if (lot.mixed)
      lay_out_mixed(context, burst, lot, sealing);
    else
      lay_out_one_sa(context, burst, *burst.note[lot.index[0]].sa, {&lot, 0, lot.size}, sealing);
  }
  context.cipher->seal(sealing.items.data(), sealing.size);
  return sealing.size;
}

}  // namespace cohort::dataplane
