#include "dataplane/esp_out.hpp"

#include <emmintrin.h>

#include "dataplane/counters.hpp"
#include "dataplane/headers.hpp"

namespace cohort::dataplane {
namespace {

/// Padding, pad length, next header and ICV of any suite, and the slack of a 16-octet store.
constexpr std::uint32_t trailer_room = 64;

/// Packets of one SA, as places in the burst.
struct Run {
  SaState* sa = nullptr;
  unsigned size = 0;
  std::array<std::uint8_t, burst_max> index;
};

/// Numbers for a run.
struct Numbers {
  std::uint32_t sequence = 0;  ///< of the first packet
  std::uint64_t iv = 0;        ///< GCM: of the first packet, the sender id in its place
};

/// Takes the packets of the first pending one's SA out of `pending`.
Run take_run(const Burst& burst, std::array<std::uint8_t, burst_max>& pending, unsigned& count) {
  Run run;
  run.sa = burst.note[pending[0]].sa;
  unsigned left = 0;
  for (unsigned k = 0; k < count; ++k) {
    const std::uint8_t i = pending[k];
    if (burst.note[i].sa == run.sa) [[likely]]
      run.index[run.size++] = i;
    else
      pending[left++] = i;
  }
  count = left;
  return run;
}

void drop_run(Burst& burst, const Run& run, DropReason reason) {
  for (unsigned k = 0; k < run.size; ++k) burst.note[run.index[k]].drop(reason);
}

bool draw_numbers(Burst& burst, const Run& run, SaWorker& mine, Numbers& numbers) {
  if (run.sa->code().aead) {
    SenderIds* sender = mine.sender.load(std::memory_order_acquire);
    if (sender == nullptr) {
      drop_run(burst, run, DropReason::no_sender_id);
      return false;
    }
    const std::uint64_t counter = SaState::draw_ivs(*sender, run.size);
    if (counter == 0) {
      drop_run(burst, run, DropReason::iv_exhausted);
      return false;
    }
    numbers.iv = sender->prefix | counter;
  }
  numbers.sequence = run.sa->draw_sequence(run.size);
  if (numbers.sequence == 0) drop_run(burst, run, DropReason::sequence_exhausted);
  return numbers.sequence != 0;
}

std::uint16_t outer_fragment_field(const std::uint8_t* inner, DfBit df_bit) {
  switch (df_bit) {
    case DfBit::copy:
      return static_cast<std::uint16_t>(load<std::uint16_t>(inner + 6) & rte_cpu_to_be_16(ipv4_df));
    case DfBit::set:
      return rte_cpu_to_be_16(ipv4_df);
    case DfBit::clear:
      break;
  }
  return 0;
}

/// RFC 4301 section 5.1.2.1: DSCP and ECN from the inner header, DF by configuration, options never
/// copied; the TTL is the inner one, since a bump in the wire is no hop. The identification follows
/// the sequence number: two ESP packets in flight must not share it, as two inner fragments do.
void write_outer_v4(std::uint8_t* outer, const std::uint8_t* inner, std::uint32_t length,
                    std::uint32_t sequence, DfBit df_bit) {
  const std::uint32_t first = 0x45u | std::uint32_t{inner[1]} << 8 |
                              std::uint32_t{rte_cpu_to_be_16(static_cast<std::uint16_t>(length))}
                                  << 16;
  const std::uint32_t second =
      (sequence & 0xffff) | std::uint32_t{outer_fragment_field(inner, df_bit)} << 16;
  const std::uint32_t third = inner[8] | std::uint32_t{protocol_esp} << 8;
  const auto source = load<std::uint32_t>(inner + 12);
  const auto destination = load<std::uint32_t>(inner + 16);
  const std::uint64_t sum =
      std::uint64_t{first} + second + third + source + std::uint64_t{destination};
  const auto checksum = static_cast<std::uint16_t>(~fold(sum));
  store(outer, std::uint64_t{first} | std::uint64_t{second} << 32);
  store(outer + 8, third | std::uint64_t{checksum} << 16 | std::uint64_t{source} << 32);
  store(outer + 16, destination);
}

/// RFC 4301 section 5.1.2.2: traffic class (and flow label, so that paths stay what they were) and
/// hop limit from the inner header.
void write_outer_v6(std::uint8_t* outer, const std::uint8_t* inner, std::uint32_t length) {
  store(outer, load<std::uint32_t>(inner));
  store_be16(outer + 4, static_cast<std::uint16_t>(length - ipv6_length));
  outer[6] = protocol_esp;
  outer[7] = inner[7];
  std::memcpy(outer + 8, inner + 8, 32);
}

/// RFC 4303 section 2.4: 1, 2, 3, …, then its length and what is inside. At most 15 octets of it.
void write_trailer(std::uint8_t* at, std::uint32_t padding, std::uint8_t next_header) {
  const __m128i counting = _mm_setr_epi8(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(at), counting);
  at[padding] = static_cast<std::uint8_t>(padding);
  at[padding + 1] = next_header;
}

void move_ethernet(std::uint8_t* to, const std::uint8_t* from, std::uint32_t length) {
  if (length == RTE_ETHER_HDR_LEN) [[likely]]
    std::memcpy(to, from, RTE_ETHER_HDR_LEN);
  else
    std::memmove(to, from, length);
}

/// Lays out one ESP packet around its inner packet, all but encryption:
///  1. the frame grows by outer header, ESP header and IV in front, trailer and ICV behind;
///  2. Ethernet header and tags move to the front;
///  3. outer header, SPI, sequence number; 4. trailer. The IV is the caller's.
/// False if the buffer has no room.
bool lay_out(rte_mbuf& mbuf, const Note& note, const SaState& sa, std::uint32_t sequence,
             DfBit df_bit, CryptoItem& item) {
  const bool v6 = note.has(note_v6);
  const std::uint32_t outer_length = v6 ? ipv6_length : ipv4_length;
  const std::uint32_t grow = outer_length + sa.esp_header();
  const std::uint32_t text = sa.text_length(note.ip_length);
  const std::uint32_t total = grow + text + sa.code().icv;
  std::uint8_t* frame = octets(&mbuf);
  std::uint8_t* inner = frame + note.l2_length;
  const std::uint32_t end = mbuf.data_off + std::uint32_t{note.l2_length} + note.ip_length;
  if (mbuf.data_off < grow || end + trailer_room > mbuf.buf_len) [[unlikely]]
    return false;
  mbuf.data_off = static_cast<std::uint16_t>(mbuf.data_off - grow);
  set_length(&mbuf, note.l2_length + total);
  move_ethernet(frame - grow, frame, note.l2_length);
  std::uint8_t* outer = inner - grow;
  if (v6)
    write_outer_v6(outer, inner, total);
  else
    write_outer_v4(outer, inner, total, sequence, df_bit);
  item.esp = outer + outer_length;
  item.text = text;
  store(item.esp, std::uint64_t{rte_cpu_to_be_32(sa.spi())} |
                      std::uint64_t{rte_cpu_to_be_32(sequence)} << 32);
  write_trailer(inner + note.ip_length, text - 2 - note.ip_length,
                v6 ? protocol_ipv6 : protocol_ipip);
  return true;
}

unsigned encrypt_run(EspContext& context, Burst& burst, const Run& run) {
  SaState& sa = *run.sa;
  SaWorker& mine = sa.worker(context.worker);
  Numbers numbers;
  if (!draw_numbers(burst, run, mine, numbers)) return 0;
  std::array<CryptoItem, burst_max> items;
  unsigned n = 0;
  std::uint64_t bytes = 0;
  const bool aead = sa.code().aead;
  for (unsigned k = 0; k < run.size; ++k) {
    const unsigned i = run.index[k];
    Note& note = burst.note[i];
    CryptoItem& item = items[n];
    if (!lay_out(*burst.mbuf[i], note, sa, numbers.sequence + k, context.df_bit, item))
        [[unlikely]] {
      note.drop(DropReason::no_room);
      continue;
    }
    if (aead)
      store(item.esp + 8, rte_cpu_to_be_64(numbers.iv + k));
    else
      context.cipher->make_cbc_iv(item.esp + 8);
    bytes += note.ip_length;
    note.verdict = Verdict::forward;
    ++n;
  }
  context.cipher->seal(sa.code(), sa.keys(), sa.salt(), items.data(), n);
  bump(mine.packets_out, n);
  bump(mine.bytes_out, bytes);
  return n;
}

}  // namespace

unsigned esp_out(EspContext& context, Burst& burst) {
  std::array<std::uint8_t, burst_max> pending;
  unsigned count = 0;
  for (unsigned i = 0; i < burst.size; ++i) {
    pending[count] = static_cast<std::uint8_t>(i);
    count += burst.note[i].verdict == Verdict::protect ? 1u : 0u;
  }
  unsigned encrypted = 0;
  while (count > 0) {
    const Run run = take_run(burst, pending, count);
    encrypted += encrypt_run(context, burst, run);
  }
  return encrypted;
}

}  // namespace cohort::dataplane
