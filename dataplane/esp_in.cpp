#include "dataplane/esp_in.hpp"

#include <emmintrin.h>

#include "dataplane/classify.hpp"
#include "dataplane/counters.hpp"
#include "dataplane/headers.hpp"
#include "dataplane/plain.hpp"

namespace cohort::dataplane {
namespace {

constexpr std::uint8_t ecn_mask = 3;
constexpr std::uint8_t ecn_not_capable = 0;
constexpr std::uint8_t ecn_congestion = 3;

/// The packets that go through the cipher together.
struct Opening {
  unsigned size = 0;
  std::array<CryptoItem, burst_max> items;
  std::array<bool, burst_max> ok;
};

/// What the packets of one SA have in common, read once for a run of them.
struct Form {
  Form(SaState& state, const EspContext& context)
      : sa(&state),
        mine(&state.worker(context.worker)),
        keys(&state.keys()),
        icv(state.code().icv),
        tick(context.tick) {
    const ReplayKind checks = state.checks();
    counts = checks == ReplayKind::counter;
    if (checks == ReplayKind::time) time = state.window_at(tick);
  }
  SaState* sa;
  SaWorker* mine;
  const SaKeys* keys;
  std::uint32_t icv;
  std::uint32_t tick;
  TimeWindow time;  ///< without a check by time: everything
  bool counts;      ///< there is a counter window
};

/// ESP header and IV.
template <bool aead>
inline constexpr std::uint32_t header_of = 8 + (aead ? 8 : 16);

DropReason drop_of(ReplayWindow::Verdict verdict) {
  return verdict == ReplayWindow::Verdict::duplicate ? DropReason::replay_duplicate
                                                     : DropReason::replay_too_old;
}

/// Lengths and replay check; false if the packet is dropped.
template <bool aead>
[[gnu::always_inline]] inline bool check_one(Note& note, unsigned place, const Form& form,
                                             CryptoItem& item) {
  constexpr std::uint32_t block = aead ? 4 : 16;
  const std::uint32_t around = header_of<aead> + (aead ? 16 : form.icv);
  std::uint8_t* esp = note.ip + note.transport_offset;
  const std::uint32_t length = std::uint32_t{note.ip_length} - note.transport_offset;
  if (length < around + block) [[unlikely]] {
    note.drop(DropReason::esp_truncated);
    return false;
  }
  const std::uint32_t text = length - around;
  if ((text & (block - 1)) != 0) [[unlikely]] {
    note.drop(DropReason::esp_bad_length);
    return false;
  }
  const std::uint32_t sequence = load_be32(esp + 4);
  if (form.counts) {
    const auto verdict = form.mine->window.check(sequence);
    if (verdict != ReplayWindow::Verdict::fresh) [[unlikely]] {
      bump(form.mine->replay_drops);
      note.drop(drop_of(verdict));
      return false;
    }
  } else if (!form.time.holds(sequence)) [[unlikely]] {
    bump(form.mine->replay_drops);
    note.drop(form.time.side_of(sequence));
    return false;
  }
  item = {esp, form.keys, text, place};
  return true;
}

/// Packets of one SA, as many as follow the one at `from`; returns the place behind them. `all`: to
/// the end of the burst.
template <bool aead, bool all>
unsigned check_run(Burst& burst, unsigned from, const Form& form, Opening& out) {
  const unsigned size = burst.size;
  CryptoItem* item = &out.items[out.size];
  unsigned i = from;
  do {
    if (check_one<aead>(burst.note[i], i, form, *item)) [[likely]]
      ++item;
  } while (++i < size &&
           (all || (burst.note[i].verdict == Verdict::decrypt && burst.note[i].sa == form.sa)));
  out.size = static_cast<unsigned>(item - out.items.data());
  return i;
}

void check(EspContext& context, Burst& burst, Opening& out) {
  for (unsigned i = 0; i < burst.size;) {
    const Note& note = burst.note[i];
    if (note.verdict != Verdict::decrypt) {
      ++i;
      continue;
    }
    const Form form(*note.sa, context);
    i = form.sa->code().aead ? check_run<true, false>(burst, i, form, out)
                             : check_run<false, false>(burst, i, form, out);
  }
}

/// RFC 4303 section 2.4: a receiver should inspect it. `end` is behind it; at least 16 octets of
/// the packet are before `end`, of ESP header, IV and text.
inline bool padding_is_right(const std::uint8_t* end, std::uint32_t length) {
  if (length > 16) {
    std::uint32_t difference = 0;
    const std::uint8_t* padding = end - length;
    for (std::uint32_t k = 0; k < length; ++k) difference |= padding[k] ^ ((k + 1) & 0xff);
    return difference == 0;
  }
  // The 16 octets before the end, of which the last `length` must be those of a sequence that ends
  // so; no branch depends on the length.
  alignas(16) static constexpr std::array<std::uint8_t, 32> sequence{
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  0,  0,  0,  0,  0,  0,
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  const __m128i wanted =
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(sequence.data() + length));
  const __m128i got = _mm_loadu_si128(reinterpret_cast<const __m128i*>(end - 16));
  const auto same = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(wanted, got)));
  return (same | ((1u << (16 - length)) - 1)) == 0xffff;
}

/// The congestion mark of the outer header moves inside (RFC 4301 section 5.1.2.1 note 6, RFC
/// 6040).
inline bool carry_congestion(const std::uint8_t* outer, std::uint8_t* inner, bool v6) {
  const auto field = [v6](const std::uint8_t* ip) {
    return static_cast<std::uint8_t>((v6 ? ip[1] >> 4 : ip[1]) & ecn_mask);
  };
  if (field(outer) != ecn_congestion || field(inner) == ecn_congestion) [[likely]]
    return true;
  if (field(inner) == ecn_not_capable) return false;
  if (v6) {
    inner[1] = static_cast<std::uint8_t>(inner[1] | ecn_congestion << 4);
  } else {
    const auto before = load<std::uint16_t>(inner);
    inner[1] |= ecn_congestion;
    store(inner + 10,
          adjust_checksum(load<std::uint16_t>(inner + 10), before, load<std::uint16_t>(inner)));
  }
  return true;
}

/// The last eight octets of a text with `padding` octets of it, at most three: what they are, and
/// which of them are the trailer's.
struct ShortTrailer {
  std::uint64_t mask;
  std::uint64_t octets;
};
constexpr ShortTrailer short_trailer(unsigned padding, std::uint64_t next_header) {
  ShortTrailer trailer{std::uint64_t{0xffff} << 48,
                       next_header << 56 | std::uint64_t{padding} << 48};
  for (unsigned k = 1; k <= padding; ++k) {
    trailer.mask |= std::uint64_t{0xff} << (48 - 8 * (padding + 1 - k));
    trailer.octets |= std::uint64_t{k} << (48 - 8 * (padding + 1 - k));
  }
  return trailer;
}
template <bool v6>
inline constexpr std::array<ShortTrailer, 4> short_trailers{
    short_trailer(0, v6 ? protocol_ipv6 : protocol_ipip),
    short_trailer(1, v6 ? protocol_ipv6 : protocol_ipip),
    short_trailer(2, v6 ? protocol_ipv6 : protocol_ipip),
    short_trailer(3, v6 ? protocol_ipv6 : protocol_ipip)};

/// What is inside: its length by the trailer. False with the note's reason if it is no IP packet of
/// the outer family.
template <bool aead, bool v6>
inline bool read_trailer(const CryptoItem& item, const std::uint8_t* text, Note& note,
                         std::uint32_t& inner_room) {
  if constexpr (aead) {
    const auto last = load<std::uint64_t>(text + item.text - 8);
    const auto padding = static_cast<std::uint8_t>(last >> 48);
    if (padding < 4) [[likely]] {
      const ShortTrailer& expected = short_trailers<v6>[padding];
      inner_room = item.text - 2 - padding;
      if ((last & expected.mask) == expected.octets && inner_room < item.text) [[likely]]
        return true;
    }
  }
  const std::uint32_t padding = text[item.text - 2];
  const std::uint8_t next_header = text[item.text - 1];
  if (padding + 2 > item.text || !padding_is_right(text + item.text - 2, padding)) [[unlikely]] {
    note.reason = DropReason::bad_padding;
    return false;
  }
  inner_room = item.text - 2 - padding;
  if (next_header == (v6 ? protocol_ipv6 : protocol_ipip)) [[likely]]
    return true;
  note.reason =
      next_header == protocol_none ? DropReason::dummy_packet : DropReason::bad_next_header;
  return false;
}

/// Describes the inner packet in the note of its outer one.
template <bool v6>
inline bool parse(std::uint8_t* inner, std::uint32_t room, SaState* sa, Note& note) {
  const bool plain = v6 ? parse_plain_ipv6(inner, room, note.l2_length, sa, note)
                        : parse_plain_ipv4(inner, room, note.l2_length, sa, note);
  if (plain) [[likely]]
    return true;
  note.sa = sa;
  return parse_inner(inner, room, note);
}

/// Strips one authentic packet to its inner packet and describes that in the note. False with the
/// note's reason if it may not go on.
template <bool aead, bool v6>
[[gnu::always_inline]] inline bool unwrap(rte_mbuf& mbuf, Note& note, const CryptoItem& item,
                                          SaState* sa) {
  const std::uint8_t* outer = note.ip;
  std::uint8_t* inner = item.esp + header_of<aead>;
  std::uint32_t room = 0;
  if (!read_trailer<aead, v6>(item, inner, note, room)) [[unlikely]]
    return false;
  // Octets behind the inner packet's own length are traffic flow padding (RFC 4303 section 2.7).
  if (!parse<v6>(inner, room, sa, note)) [[unlikely]] {
    note.reason = DropReason::inner_malformed;
    return false;
  }
  const bool same_addresses =
      v6 ? std::memcmp(outer + 8, inner + 8, 32) == 0
         : load<std::uint64_t>(outer + 12) == load<std::uint64_t>(inner + 12);
  if (!same_addresses) [[unlikely]] {
    note.reason = DropReason::inner_address_mismatch;
    return false;
  }
  if (!carry_congestion(outer, inner, v6)) [[unlikely]] {
    note.reason = DropReason::ecn_violation;
    return false;
  }
  const std::uint32_t l2_length = note.l2_length;
  move_ethernet(inner - l2_length, outer - l2_length, l2_length);
  mbuf.data_off = static_cast<std::uint16_t>(mbuf.data_off + (inner - outer));
  set_length(&mbuf, l2_length + note.ip_length);
  return true;
}

/// Replay commit, then the inner packet. False if it is dropped.
template <bool aead>
[[gnu::always_inline]] inline bool accept(rte_mbuf& mbuf, Note& note, const CryptoItem& item,
                                          const Form& form) {
  if (form.counts) {
    const auto verdict = form.mine->window.commit(load_be32(item.esp + 4));
    if (verdict != ReplayWindow::Verdict::fresh) [[unlikely]] {
      note.drop(drop_of(verdict));
      bump(form.mine->replay_drops);
      return false;
    }
  }
  const bool whole = note.has(note_v6) ? unwrap<aead, true>(mbuf, note, item, form.sa)
                                       : unwrap<aead, false>(mbuf, note, item, form.sa);
  if (!whole) [[unlikely]]
    note.verdict = Verdict::drop;
  return whole;
}

/// What came of a burst.
struct Accepted {
  unsigned packets = 0;
  KindOf kind;
};

/// One packet of a run says what its sender's clock shows: an authentic one, and before its header
/// is overwritten.
inline void measure_skew(const Opening& opening, unsigned at, const Form& form) {
  if (form.sa->checks() != ReplayKind::time || !opening.ok[at]) return;
  const std::uint32_t sequence = load_be32(opening.items[at].esp + 4);
  form.mine->skew.add(static_cast<std::int32_t>(sequence - form.tick));
}

/// Packets of one SA, as many as follow item `from`; returns the place behind them. `all`: item and
/// note have the same place in the whole burst.
template <bool aead, bool all>
unsigned accept_run(Burst& burst, const Opening& opening, unsigned from, const Form& form,
                    Accepted& accepted) {
  const unsigned size = opening.size;
  KindOf kind = accepted.kind;
  unsigned good = 0;
  std::uint64_t bytes = 0;
  unsigned k = from;
  measure_skew(opening, from, form);
  do {
    const CryptoItem& item = opening.items[k];
    const unsigned place = all ? k : item.place;
    Note& note = burst.note[place];
    if (!opening.ok[k]) [[unlikely]] {
      note.drop(DropReason::bad_icv);
      bump(form.mine->auth_failures);
      continue;
    }
    if (!accept<aead>(*burst.mbuf[place], note, item, form)) [[unlikely]]
      continue;
    kind.add(note);
    bytes += note.ip_length;
    ++good;
  } while (++k < size && (all || opening.items[k].keys == form.keys));
  accepted.kind = kind;
  accepted.packets += good;
  bump(form.mine->packets_in, good);
  bump(form.mine->bytes_in, bytes);
  return k;
}

template <bool aead>
void open_all(EspContext& context, Burst& burst, const Form& form, Opening& opening,
              Accepted& accepted) {
  check_run<aead, true>(burst, 0, form, opening);
  if (opening.size == 0) return;
  context.cipher->open(opening.items.data(), opening.size, opening.ok.data());
  if (opening.size == burst.size) [[likely]]
    accept_run<aead, true>(burst, opening, 0, form, accepted);
  else
    accept_run<aead, false>(burst, opening, 0, form, accepted);
}

/// Packets of several SAs, and others.
[[gnu::noinline]] void open_mixed(EspContext& context, Burst& burst, Opening& opening,
                                  Accepted& accepted) {
  check(context, burst, opening);
  if (opening.size == 0) return;
  context.cipher->open(opening.items.data(), opening.size, opening.ok.data());
  for (unsigned k = 0; k < opening.size;) {
    const Form form(*burst.note[opening.items[k].place].sa, context);
    k = form.sa->code().aead ? accept_run<true, false>(burst, opening, k, form, accepted)
                             : accept_run<false, false>(burst, opening, k, form, accepted);
  }
}

}  // namespace

unsigned esp_in(EspContext& context, Burst& burst, SaState* sa_of_all) {
  Opening opening;
  Accepted accepted;
  if (sa_of_all != nullptr) [[likely]] {
    const Form form(*sa_of_all, context);
    if (sa_of_all->code().aead)
      open_all<true>(context, burst, form, opening, accepted);
    else
      open_all<false>(context, burst, form, opening, accepted);
  } else {
    open_mixed(context, burst, opening, accepted);
  }
  burst.kind = accepted.packets == burst.size ? accepted.kind.result() : Kind::mixed;
  return accepted.packets;
}

}  // namespace cohort::dataplane
