#include "dataplane/reassembly.hpp"

#include <bit>
#include <rte_cycles.h>
#include <rte_ip_frag.h>

#include "dataplane/classify.hpp"
#include "dataplane/headers.hpp"
#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

constexpr std::uint32_t bucket_entries = 16;
constexpr std::uint16_t fragment_header = 8;

rte_mbuf* add_v4(rte_ip_frag_tbl* table, rte_ip_frag_death_row* dead, rte_mbuf* mbuf,
                 const Note& note, std::uint64_t now) {
  auto* ip = rte_pktmbuf_mtod_offset(mbuf, rte_ipv4_hdr*, note.l2_length);
  mbuf->l3_len = static_cast<std::uint64_t>((ip->version_ihl & 0xf) * 4) & 0x1ff;
  return rte_ipv4_frag_reassemble_packet(table, dead, mbuf, now, ip);
}

rte_mbuf* add_v6(rte_ip_frag_tbl* table, rte_ip_frag_death_row* dead, rte_mbuf* mbuf,
                 const Note& note, std::uint64_t now) {
  auto* ip = rte_pktmbuf_mtod_offset(mbuf, rte_ipv6_hdr*, note.l2_length);
  auto* fragment = reinterpret_cast<rte_ipv6_fragment_ext*>(ip + 1);
  mbuf->l3_len = ipv6_length + fragment_header;
  return rte_ipv6_frag_reassemble_packet(table, dead, mbuf, now, ip, fragment);
}

}  // namespace

Result<std::unique_ptr<Reassembly>> Reassembly::create(std::uint32_t flows,
                                                       std::chrono::milliseconds timeout) {
  std::unique_ptr<Reassembly> reassembly(new Reassembly);
  reassembly->dead_ = std::make_unique<rte_ip_frag_death_row>();
  // A table for none is one that rte_ip_frag falls over at the first fragment.
  if (flows == 0) return reassembly;
  const auto cycles = static_cast<std::uint64_t>(timeout.count()) * rte_get_tsc_hz() / 1000;
  const std::uint32_t buckets = std::bit_ceil(flows / bucket_entries + 1);
  reassembly->table_ =
      rte_ip_frag_table_create(buckets, bucket_entries, flows, cycles, SOCKET_ID_ANY);
  if (reassembly->table_ == nullptr) return fail(no_packet_memory, "reassembly table");
  return reassembly;
}

Reassembly::~Reassembly() {
  if (table_ == nullptr) return;
  // Everything that is still there goes through the death row, which holds a few packets at a time.
  WorkerCounters unused;
  for (int i = 0; i < 1024; ++i) {
    rte_ip_frag_table_del_expired_entries(table_, dead_.get(), ~std::uint64_t{0} >> 1);
    if (dead_->cnt == 0) break;
    bury(unused);
  }
  rte_ip_frag_table_destroy(table_);
}

void Reassembly::bury(WorkerCounters& counters) {
  if (dead_->cnt == 0) return;
  counters.drop(DropReason::reassembly_failed, dead_->cnt);
  rte_ip_frag_free_death_row(dead_.get(), 0);
}

void Reassembly::add(rte_mbuf*& mbuf, Note& note, std::uint64_t now, rte_mempool& pool,
                     WorkerCounters& counters) {
  const bool v6 = note.has(note_v6);
  const std::uint8_t* ip = octets(mbuf) + note.l2_length;
  // Extension headers before the fragment header: nobody sends ESP so.
  if (v6 && ip[6] != protocol_fragment) return note.drop(DropReason::bad_extension_headers);
  if (table_ == nullptr) return note.drop(DropReason::reassembly_failed);
  set_length(mbuf, std::uint32_t{note.l2_length} + note.ip_length);
  mbuf->tx_offload = 0;  // receiving need not clear it, and rte_ip_frag adds up all of its lengths
  mbuf->l2_len = note.l2_length & 0x7f;
  rte_mbuf* whole = v6 ? add_v6(table_, dead_.get(), mbuf, note, now)
                       : add_v4(table_, dead_.get(), mbuf, note, now);
  bury(counters);
  if (whole == nullptr) {
    note.verdict = Verdict::gone;
    return;
  }
  mbuf = whole;
  classify_frame(mbuf, pool, 65535, note);
  if (note.verdict != Verdict::undecided) {
    if (note.reason == DropReason::segments_too_long) note.reason = DropReason::reassembly_too_long;
    return;
  }
  note.flags |= note_reassembled;
  counters.count(Forward::reassembled);
}

void Reassembly::expire(std::uint64_t now, WorkerCounters& counters) {
  if (table_ == nullptr) return;
  rte_ip_frag_table_del_expired_entries(table_, dead_.get(), now);
  bury(counters);
}

}  // namespace cohort::dataplane
