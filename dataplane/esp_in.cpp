#include "dataplane/esp_in.hpp"

#include "dataplane/classify.hpp"
#include "dataplane/counters.hpp"
#include "dataplane/headers.hpp"

namespace cohort::dataplane {
namespace {

constexpr std::uint8_t ecn_mask = 3;
constexpr std::uint8_t ecn_not_capable = 0;
constexpr std::uint8_t ecn_congestion = 3;

/// Packets of one SA that go through the cipher together.
struct Run {
  SaState* sa = nullptr;
  unsigned size = 0;
  std::array<std::uint8_t, burst_max> index;
  std::array<CryptoItem, burst_max> item;
};

DropReason drop_of(ReplayWindow::Verdict verdict) {
  return verdict == ReplayWindow::Verdict::duplicate ? DropReason::replay_duplicate
                                                     : DropReason::replay_too_old;
}

/// Lengths and replay check; on success the packet is in the run.
void check_one(Burst& burst, unsigned i, SaWorker& mine, Run& run) {
  Note& note = burst.note[i];
  const SaState& sa = *run.sa;
  const SuiteCode& code = sa.code();
  std::uint8_t* esp = octets(burst.mbuf[i]) + note.l2_length + note.transport_offset;
  const std::uint32_t length = std::uint32_t{note.ip_length} - note.transport_offset;
  const std::uint32_t around = sa.esp_header() + code.icv;
  if (length < around + code.block) [[unlikely]]
    return note.drop(DropReason::esp_truncated);
  const std::uint32_t text = length - around;
  if ((text & (code.block - 1u)) != 0) [[unlikely]]
    return note.drop(DropReason::esp_bad_length);
  if (sa.checks_replay()) {
    const auto verdict = mine.window.check(load_be32(esp + 4));
    if (verdict != ReplayWindow::Verdict::fresh) [[unlikely]] {
      bump(mine.replay_drops);
      return note.drop(drop_of(verdict));
    }
  }
  run.index[run.size] = static_cast<std::uint8_t>(i);
  run.item[run.size] = {esp, text};
  ++run.size;
}

/// RFC 4303 section 2.4: a receiver should inspect it.
bool padding_is_right(const std::uint8_t* padding, std::uint32_t length) {
  std::uint32_t difference = 0;
  for (std::uint32_t k = 0; k < length; ++k) difference |= padding[k] ^ ((k + 1) & 0xff);
  return difference == 0;
}

/// The congestion mark of the outer header moves inside (RFC 4301 section 5.1.2.1 note 6, RFC
/// 6040).
bool carry_congestion(const std::uint8_t* outer, std::uint8_t* inner, bool v6) {
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

/// What is inside: its length by the trailer. False with the note's reason if it is no IP packet of
/// the outer family.
bool read_trailer(const CryptoItem& item, const std::uint8_t* text, Note& note,
                  std::uint32_t& inner_room) {
  const std::uint32_t padding = text[item.text - 2];
  const std::uint8_t next_header = text[item.text - 1];
  if (padding + 2 > item.text || !padding_is_right(text + item.text - 2 - padding, padding)) {
    note.reason = DropReason::bad_padding;
    return false;
  }
  inner_room = item.text - 2 - padding;
  if (next_header == (note.has(note_v6) ? protocol_ipv6 : protocol_ipip)) [[likely]]
    return true;
  note.reason =
      next_header == protocol_none ? DropReason::dummy_packet : DropReason::bad_next_header;
  return false;
}

/// Strips one authentic packet to its inner packet and describes that in the note. False with the
/// note's reason if it may not go on.
bool unwrap(rte_mbuf& mbuf, Note& note, const CryptoItem& item, const SaState& sa) {
  std::uint8_t* frame = octets(&mbuf);
  const std::uint8_t* outer = frame + note.l2_length;
  std::uint8_t* inner = item.esp + sa.esp_header();
  std::uint32_t room = 0;
  if (!read_trailer(item, inner, note, room)) return false;
  const bool v6 = note.has(note_v6);
  const std::uint16_t l2_length = note.l2_length;
  note = Note{.l2_length = l2_length, .sa = note.sa};
  // Octets behind the inner packet's own length are traffic flow padding (RFC 4303 section 2.7).
  if (!parse_ip(inner, room, note) || note.has(note_v6) != v6) {
    note.reason = DropReason::inner_malformed;
    return false;
  }
  const bool same_addresses =
      v6 ? std::memcmp(outer + 8, inner + 8, 32) == 0
         : load<std::uint64_t>(outer + 12) == load<std::uint64_t>(inner + 12);
  if (!same_addresses) {
    note.reason = DropReason::inner_address_mismatch;
    return false;
  }
  if (!carry_congestion(outer, inner, v6)) {
    note.reason = DropReason::ecn_violation;
    return false;
  }
  std::memmove(inner - l2_length, frame, l2_length);
  mbuf.data_off = static_cast<std::uint16_t>(mbuf.data_off + (inner - l2_length - frame));
  set_length(&mbuf, std::uint32_t{l2_length} + note.ip_length);
  return true;
}

unsigned decrypt_run(EspContext& context, Burst& burst, Run& run, SaWorker& mine) {
  SaState& sa = *run.sa;
  std::array<bool, burst_max> ok;
  context.cipher->open(sa.code(), sa.keys(), sa.salt(), run.item.data(), run.size, ok.data());
  unsigned good = 0;
  std::uint64_t bytes = 0;
  for (unsigned k = 0; k < run.size; ++k) {
    const unsigned i = run.index[k];
    Note& note = burst.note[i];
    if (!ok[k]) [[unlikely]] {
      note.drop(DropReason::bad_icv);
      bump(mine.auth_failures);
      continue;
    }
    if (sa.checks_replay()) {
      const auto verdict = mine.window.commit(load_be32(run.item[k].esp + 4));
      if (verdict != ReplayWindow::Verdict::fresh) [[unlikely]] {
        note.drop(drop_of(verdict));
        bump(mine.replay_drops);
        continue;
      }
    }
    if (!unwrap(*burst.mbuf[i], note, run.item[k], sa)) [[unlikely]] {
      note.verdict = Verdict::drop;
      continue;
    }
    bytes += note.ip_length;
    ++good;
  }
  bump(mine.packets_in, good);
  bump(mine.bytes_in, bytes);
  return good;
}

}  // namespace

unsigned esp_in(EspContext& context, Burst& burst) {
  std::array<std::uint8_t, burst_max> pending;
  unsigned count = 0;
  for (unsigned i = 0; i < burst.size; ++i) {
    pending[count] = static_cast<std::uint8_t>(i);
    count += burst.note[i].verdict == Verdict::decrypt ? 1u : 0u;
  }
  unsigned decrypted = 0;
  Run run;
  while (count > 0) {
    run.sa = burst.note[pending[0]].sa;
    run.size = 0;
    SaWorker& mine = run.sa->worker(context.worker);
    unsigned left = 0;
    for (unsigned k = 0; k < count; ++k) {
      const std::uint8_t i = pending[k];
      if (burst.note[i].sa != run.sa) [[unlikely]] {
        pending[left++] = i;
        continue;
      }
      check_one(burst, i, mine, run);
    }
    count = left;
    decrypted += decrypt_run(context, burst, run, mine);
  }
  return decrypted;
}

}  // namespace cohort::dataplane
