#include "dataplane/reassembly.hpp"

#include <algorithm>
#include <bit>
#include <openssl/rand.h>
#include <rte_cycles.h>

#include "dataplane/classify.hpp"
#include "dataplane/headers.hpp"
#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

constexpr std::uint16_t fragment_header = 8;
constexpr std::uint32_t octets_max = 65535;
constexpr std::uint8_t ecn_congestion = 3;

/// Where a fragment's data lie in its packet.
struct Extent {
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::uint16_t header = 0;  ///< before the data
  bool last = false;
};

Extent extent_of(const std::uint8_t* ip, const Note& note) {
  Extent out;
  if (note.has(note_v6)) {
    const std::uint16_t field = load_be16(ip + ipv6_length + 2);
    out.offset = field & 0xfff8u;
    out.last = (field & 1) == 0;
    out.header = ipv6_length + fragment_header;
  } else {
    const std::uint16_t field = load_be16(ip + 6);
    out.offset = (field & ipv4_offset_mask) * 8u;
    out.last = (field & ipv4_mf) == 0;
    out.header = static_cast<std::uint16_t>((ip[0] & 0xf) * 4);
  }
  out.length = std::uint32_t{note.ip_length} - out.header;
  return out;
}

/// RFC 791 section 3.2, RFC 8200 section 4.5: only the last one may end anywhere.
bool is_plausible(const Extent& extent) {
  return extent.length > 0 && (extent.last || extent.length % 8 == 0) &&
         extent.offset + extent.length <= octets_max;
}

std::uint8_t ecn_of(const std::uint8_t* ip, bool v6) {
  return static_cast<std::uint8_t>((v6 ? ip[1] >> 4 : ip[1]) & 3);
}

/// The header of a first fragment becomes the whole packet's, in front of `data` octets.
void finish_header(std::uint8_t* ip, bool v6, std::uint32_t data, std::uint8_t protocol,
                   bool congested) {
  if (v6) {
    store_be16(ip + 4, static_cast<std::uint16_t>(data));
    ip[6] = protocol;
    if (congested) ip[1] = static_cast<std::uint8_t>(ip[1] | ecn_congestion << 4);
    return;
  }
  const std::size_t length = (ip[0] & 0xfu) * 4;
  store_be16(ip + 2, static_cast<std::uint16_t>(length + data));
  store_be16(ip + 6, static_cast<std::uint16_t>(load_be16(ip + 6) & ipv4_df));
  if (congested) ip[1] |= ecn_congestion;
  set_ipv4_checksum(ip, length);
}

}  // namespace

// ---- the table ----

Result<std::unique_ptr<Reassembly>> Reassembly::create(std::uint32_t flows,
                                                       std::chrono::milliseconds timeout) {
  const auto cycles = static_cast<std::uint64_t>(timeout.count()) * rte_get_tsc_hz() / 1000;
  std::unique_ptr<Reassembly> out(new Reassembly(flows, cycles));
  // Unknown to others, so that nobody can choose packets that share a chain.
  std::array<std::uint64_t, 2> random{};
  if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), sizeof random) != 1)
    return fail(no_packet_memory, "no randomness for the reassembly table");
  out->seed_ = random[0];
  out->factor_ = random[1] | 1;
  return out;
}

Reassembly::Reassembly(std::uint32_t flows, std::uint64_t timeout)
    : timeout_(timeout),
      share_(std::max(1u, flows / 4)),
      buffers_max_(flows * (pieces_max / 2)),
      flows_(flows),
      chains_(std::bit_ceil(std::max(1u, flows)), none),
      sources_(chains_.size()) {
  for (std::uint32_t i = 0; i < flows; ++i) {
    flows_[i].chain = free_;
    free_ = i;
  }
}

Reassembly::~Reassembly() {
  for (List* list : {&proven_, &unproven_})
    while (list->first != none) {
      Flow& flow = flows_[list->first];
      for (unsigned i = 0; i < flow.count; ++i) rte_pktmbuf_free(flow.pieces[i].mbuf);
      release(list->first);
    }
}

std::uint64_t Reassembly::hash(const std::uint64_t* words, unsigned count) const {
  std::uint64_t out = seed_;
  for (unsigned i = 0; i < count; ++i) {
    out = (out ^ words[i]) * factor_;
    out ^= out >> 31;
  }
  return out;
}

std::uint32_t& Reassembly::chain_of(const Key& key) {
  std::array<std::uint64_t, 5> words{key.addresses[0], key.addresses[1], key.addresses[2],
                                     key.addresses[3], key.id};
  return chains_[hash(words.data(), words.size()) & (chains_.size() - 1)];
}

/// An IPv4 /24 or an IPv6 /64. Two that share an index share the quarter of the table.
std::uint32_t Reassembly::source_of(const Key& key, bool v6) const {
  const std::uint64_t prefix =
      v6 ? key.addresses[0] : key.addresses[0] & rte_cpu_to_be_64(0xffffff0000000000);
  return static_cast<std::uint32_t>(hash(&prefix, 1) & (sources_.size() - 1));
}

std::uint32_t Reassembly::find(const Key& key) {
  std::uint32_t index = chain_of(key);
  while (index != none && flows_[index].key != key) index = flows_[index].chain;
  return index;
}

void Reassembly::append(List& list, Link Flow::*link, std::uint32_t index) {
  flows_[index].*link = {list.last, none};
  (list.last == none ? list.first : (flows_[list.last].*link).after) = index;
  list.last = index;
  ++list.size;
}

void Reassembly::remove(List& list, Link Flow::*link, std::uint32_t index) {
  const Link here = flows_[index].*link;
  (here.before == none ? list.first : (flows_[here.before].*link).after) = here.after;
  (here.after == none ? list.last : (flows_[here.after].*link).before) = here.before;
  --list.size;
}

/// The flow's buffers are somebody else's by now.
void Reassembly::release(std::uint32_t index) {
  Flow& flow = flows_[index];
  remove(ages(flow), &Flow::by_age, index);
  remove(sources_[flow.source], &Flow::by_source, index);
  std::uint32_t* at = &chain_of(flow.key);
  while (*at != index) at = &flows_[*at].chain;
  *at = flow.chain;
  buffers_ -= flow.count;
  flow.count = 0;
  flow.chain = free_;
  free_ = index;
}

void Reassembly::drop(std::uint32_t index, WorkerCounters& counters) {
  Flow& flow = flows_[index];
  counters.drop(DropReason::reassembly_failed, flow.count);
  for (unsigned i = 0; i < flow.count; ++i) rte_pktmbuf_free(flow.pieces[i].mbuf);
  release(index);
}

/// Whose place another takes; see the class. Not `keep`, if there is any other.
std::uint32_t Reassembly::oldest_to_go(std::uint32_t keep) const {
  const auto oldest = [&](const List& list) {
    return list.first == keep && keep != none ? flows_[keep].by_age.after : list.first;
  };
  const std::uint32_t unproven = oldest(unproven_);
  const std::uint32_t proven = oldest(proven_);
  if (proven == none || (unproven != none && unproven_.size > share_)) return unproven;
  return proven;
}

std::uint32_t Reassembly::begin(const Key& key, bool v6, bool proven, std::uint64_t now,
                                WorkerCounters& counters) {
  const std::uint32_t source = source_of(key, v6);
  if (sources_[source].size >= share_)
    drop(sources_[source].first, counters);
  else if (free_ == none)
    drop(oldest_to_go(none), counters);
  const std::uint32_t index = free_;
  Flow& flow = flows_[index];
  free_ = flow.chain;
  flow.key = key;
  flow.since = now;
  flow.source = source;
  flow.total = flow.held = 0;
  flow.codepoints = flow.count = 0;
  flow.proven = proven;
  std::uint32_t& chain = chain_of(key);
  flow.chain = chain;
  chain = index;
  append(ages(flow), &Flow::by_age, index);
  append(sources_[source], &Flow::by_source, index);
  return index;
}

/// From here on its time runs anew, once.
void Reassembly::prove(std::uint32_t index, std::uint64_t now) {
  Flow& flow = flows_[index];
  if (flow.proven) return;
  remove(unproven_, &Flow::by_age, index);
  flow.proven = true;
  flow.since = now;
  append(proven_, &Flow::by_age, index);
}

void Reassembly::expire(std::uint64_t now, WorkerCounters& counters) {
  for (List* list : {&proven_, &unproven_})
    while (list->first != none && now - flows_[list->first].since > timeout_)
      drop(list->first, counters);
}

// ---- one packet ----

/// Adds a piece, which the flow has room for, or says why not.
Reassembly::Fit Reassembly::place(Flow& flow, const Piece& piece, bool last) {
  const std::uint32_t end = piece.offset + piece.length;
  for (unsigned i = 0; i < flow.count; ++i) {
    const Piece& other = flow.pieces[i];
    if (other.offset == piece.offset && other.length == piece.length) return Fit::duplicate;
    if (piece.offset < other.offset + other.length && other.offset < end) return Fit::spoils;
    if (last && other.offset > piece.offset) return Fit::spoils;
  }
  if (flow.total != 0 && (last || end > flow.total)) return Fit::spoils;
  if (flow.count == pieces_max) return Fit::spoils;
  if (last) flow.total = end;
  flow.held += piece.length;
  flow.pieces[flow.count++] = piece;
  return Fit::fits;
}

/// The whole packet in a buffer of its own. Null with the note dropped if that can't be; the pieces
/// are left alone.
rte_mbuf* Reassembly::join(const Flow& flow, rte_mempool& pool, Note& note) {
  const bool v6 = note.has(note_v6);
  const bool congested = (flow.codepoints & 1u << ecn_congestion) != 0;
  if (congested && (flow.codepoints & 1u) != 0) {
    note.drop(DropReason::ecn_violation);
    return nullptr;
  }
  const Piece& first = *std::find_if(flow.pieces.begin(), flow.pieces.begin() + flow.count,
                                     [](const Piece& piece) { return piece.offset == 0; });
  const std::uint32_t headers =
      first.l2_length + std::uint32_t{first.header} - (v6 ? fragment_header : 0u);
  if (headers + flow.total + RTE_PKTMBUF_HEADROOM > rte_pktmbuf_data_room_size(&pool)) {
    note.drop(DropReason::reassembly_too_long);
    return nullptr;
  }
  rte_mbuf* whole = rte_pktmbuf_alloc(&pool);
  if (whole == nullptr) {
    note.drop(DropReason::no_buffer);
    return nullptr;
  }
  std::uint8_t* to = octets(whole);
  std::memcpy(to, octets(first.mbuf), headers);
  for (unsigned i = 0; i < flow.count; ++i) {
    const Piece& piece = flow.pieces[i];
    std::memcpy(to + headers + piece.offset, octets(piece.mbuf) + piece.l2_length + piece.header,
                piece.length);
  }
  set_length(whole, headers + flow.total);
  finish_header(to + first.l2_length, v6, flow.total, note.protocol, congested);
  return whole;
}

/// All of it is there. `mbuf` is its last piece, and becomes the packet.
void Reassembly::finish(std::uint32_t index, rte_mbuf*& mbuf, Note& note, rte_mempool& pool,
                        WorkerCounters& counters) {
  Flow& flow = flows_[index];
  rte_mbuf* whole = join(flow, pool, note);
  if (whole == nullptr) counters.drop(note.reason, flow.count - 1u);
  for (unsigned i = 0; i < flow.count; ++i)
    if (whole != nullptr || flow.pieces[i].mbuf != mbuf) rte_pktmbuf_free(flow.pieces[i].mbuf);
  release(index);
  if (whole == nullptr) return;
  mbuf = whole;
  classify_frame(mbuf, pool, octets_max, note);
  if (note.verdict != Verdict::undecided) return;
  note.flags |= note_reassembled;
  counters.count(Forward::reassembled);
}

void Reassembly::add(rte_mbuf*& mbuf, Note& note, bool proven, std::uint64_t now, rte_mempool& pool,
                     WorkerCounters& counters) {
  const bool v6 = note.has(note_v6);
  const std::uint8_t* ip = octets(mbuf) + note.l2_length;
  // Extension headers before the fragment header: nobody sends ESP so.
  if (v6 && ip[6] != protocol_fragment) return note.drop(DropReason::bad_extension_headers);
  const Extent extent = extent_of(ip, note);
  if (flows_.empty() || !is_plausible(extent)) return note.drop(DropReason::reassembly_failed);
  Key key;
  std::memcpy(key.addresses.data(), ip + (v6 ? 8 : 12), v6 ? 32 : 8);
  key.id = v6 ? load<std::uint32_t>(ip + ipv6_length + 4) | std::uint64_t{6} << 32
              : load<std::uint16_t>(ip + 4) | std::uint64_t{4} << 32;
  std::uint32_t index = find(key);
  if (index != none && now - flows_[index].since > timeout_) {
    drop(index, counters);
    index = none;
  }
  if (index == none)
    index = begin(key, v6, proven, now, counters);
  else if (proven)
    prove(index, now);
  Flow& flow = flows_[index];
  const Piece piece{mbuf, extent.offset, extent.length, note.l2_length, extent.header};
  switch (place(flow, piece, extent.last)) {
    case Fit::fits:
      break;
    case Fit::duplicate:
      return note.drop(DropReason::reassembly_failed);
    case Fit::spoils:
      drop(index, counters);
      return note.drop(DropReason::reassembly_failed);
  }
  ++buffers_;
  flow.codepoints = static_cast<std::uint8_t>(flow.codepoints | 1u << ecn_of(ip, v6));
  if (flow.total != 0 && flow.held == flow.total) return finish(index, mbuf, note, pool, counters);
  note.verdict = Verdict::gone;
  if (buffers_ <= buffers_max_) return;
  const std::uint32_t oldest = oldest_to_go(index);
  drop(oldest == none ? index : oldest, counters);
}

}  // namespace cohort::dataplane
