#include "dataplane/pipeline.hpp"

#include <algorithm>
#include <rte_random.h>
#include <span>

#include "dataplane/classify.hpp"
#include "dataplane/fragment.hpp"
#include "dataplane/headers.hpp"
#include "dataplane/transport.hpp"

namespace cohort::dataplane {

Pipeline::Pipeline(const PipelineOptions& options, unsigned worker, rte_mempool& pool,
                   WorkerCounters& counters)
    : options_(options),
      pool_(pool),
      counters_(counters),
      report_limit_(options.icmp_errors_per_second, rte_get_tsc_hz()),
      punt_limit_(options.punts_per_second, rte_get_tsc_hz()),
      fragment_id_(static_cast<std::uint32_t>(rte_rand())) {
  lookup_.locality = &options_.locality;
  esp_.worker = worker;
  esp_.df_bit = options.df_bit;
}

Result<std::unique_ptr<Pipeline>> Pipeline::create(const PipelineOptions& options, unsigned worker,
                                                   rte_mempool& pool, WorkerCounters& counters) {
  std::unique_ptr<Pipeline> pipeline(new Pipeline(options, worker, pool, counters));
  COHORT_TRY(pipeline->cipher_, Cipher::create());
  COHORT_TRY(pipeline->reassembly_,
             Reassembly::create(options.reassembly_flows, options.reassembly_timeout));
  pipeline->esp_.cipher = pipeline->cipher_.get();
  return pipeline;
}

void Pipeline::use(const CompiledPolicy* policy) {
  // The one before may be gone already: we reported quiescence after it was retired. So a number
  // says whether what is remembered of flows is still right.
  lookup_.policy = policy;
  if (policy->selectors_number == 0 || policy->selectors_number != selectors_number_)
    lookup_.forget();
  selectors_number_ = policy->selectors_number;
  gathers_inside_ = cipher_->gathers(policy->suites, Cipher::Direction::encrypt);
  gathers_outside_ = cipher_->gathers(policy->suites, Cipher::Direction::decrypt);
}

void Pipeline::tidy() {
  reassembly_->expire(rte_rdtsc(), counters_);
}

// ---- from the clear side ----

void Pipeline::from_inside(Burst& burst) {
  outbound(burst, From::inside);
}
void Pipeline::from_punt(Burst& burst) {
  counters_.count(Forward::from_punt, burst.size);
  outbound(burst, From::punt);
}

void Pipeline::outbound(Burst& burst, From from) {
  std::uint64_t since = clock != nullptr ? rte_rdtsc() : 0;
  classify(burst, pool_, options_.mtu);
  if (options_.check_checksums) check_burst(burst);
  lap(StageClock::classify, since);
  look_up(lookup_, burst);
  lap(StageClock::lookup, since);
  const Judgement judgement = judge_outbound(burst, from);
  lap(StageClock::judge, since);
  unsigned encrypted = 0;
  if (judgement.all_fit) [[likely]] {
    encrypted = esp_out(esp_, burst, judgement.sa_of_all);
    if (encrypted > 0) counters_.count(Forward::encrypted, encrypted);
  } else {
    encrypt_oversized(burst, from == From::inside ? to_inside : to_punt);
  }
  lap(StageClock::esp, since);
  if (judgement.sa_of_all != nullptr && encrypted == burst.size) [[likely]]
    to_outside.push_all(burst);
  else
    settle(burst, to_outside);
  lap(StageClock::settle, since);
}

/// Every packet's checksums, where the port can't be trusted to have finished them.
void Pipeline::check_burst(Burst& burst) {
  burst.kind = Kind::mixed;  // some may be dropped
  for (unsigned i = 0; i < burst.size; ++i) {
    Note& note = burst.note[i];
    if (note.verdict != Verdict::undecided) continue;
    switch (verify_checksums(octets(burst.mbuf[i]) + note.l2_length, note)) {
      case ChecksumState::right:
        break;
      case ChecksumState::completed:
        counters_.count(Forward::checksum_completed);
        break;
      case ChecksumState::bad_ip:
        note.drop(DropReason::bad_ip_checksum);
        break;
      case ChecksumState::bad_transport:
        note.drop(DropReason::bad_transport_checksum);
        break;
    }
  }
}

void Pipeline::judge_entry_outbound(Note& note) const {
  const CompiledEntry& entry = lookup_.policy->entries[note.decision];
  switch (entry.action) {
    case Action::protect:
      if (entry.send == nullptr) return note.drop(DropReason::no_outbound_sa);
      note.sa = entry.send;
      note.verdict = Verdict::protect;
      note.flags &= static_cast<std::uint8_t>(~note_punt_copy);
      return;
    case Action::bypass:
      note.verdict = Verdict::forward;
      return;
    case Action::drop:
      note.drop(DropReason::policy_drop);
      return;
  }
}

/// What the decision means for packets that want out. Decisions come in runs: what was found for
/// one packet is kept for the next.
Pipeline::Judgement Pipeline::judge_outbound(Burst& burst, From from) {
  bool all_fit = true;
  bool same = true;
  std::uint16_t known = decision_unset;  // an entry that encrypts, and so of one IP version
  SaState* sa = nullptr;
  std::uint32_t inner_mtu = 0;
  for (Note& note : std::span(burst.note.data(), burst.size)) {
    if (note.decision == known && note.verdict == Verdict::undecided &&
        !note.has(note_syn | note_punt_copy) && note.ip_length <= inner_mtu) [[likely]] {
      note.sa = sa;
      note.verdict = Verdict::protect;
      continue;
    }
    judge_one_outbound(note, from);
    if (note.verdict != Verdict::protect) {
      same = false;
      continue;
    }
    same &= sa == nullptr || sa == note.sa;
    sa = note.sa;
    inner_mtu = sa->inner_mtu(note.has(note_v6));
    all_fit &= note.ip_length <= inner_mtu;
    known = from == From::inside ? note.decision : decision_unset;
  }
  return {all_fit, same ? sa : nullptr};
}

/// What comes by a port has no right of way for addresses and ports alone, which anybody can lend
/// himself: the member's own address is the punt port's, and key servers and their peers speak
/// ISAKMP. The rest is the policy's.
void Pipeline::reconsider(Note& note) const {
  const bool control = note.decision == decision_control || note.decision == decision_control_copy;
  if (note.decision == decision_from_own || (control && !is_isakmp(note.ip, note)))
    note.decision = policy_decision(lookup_, note.ip, note);
}

/// The member's own traffic needs no permission where the policy is silent: before registration it
/// is what gets us registered.
void Pipeline::judge_one_outbound(Note& note, From from) {
  if (from == From::punt) note.flags &= static_cast<std::uint8_t>(~note_punt_copy);
  if (note.verdict != Verdict::undecided) return;
  if (from == From::inside) reconsider(note);
  if (is_entry(note.decision)) {
    judge_entry_outbound(note);
    if (note.verdict == Verdict::protect && note.has(note_syn) && options_.clamp_mss &&
        clamp_mss(note.ip, note, note.sa->inner_mtu(note.has(note_v6))))
      counters_.count(Forward::mss_clamped);
    return;
  }
  switch (note.decision) {
    case decision_none:
      if (from == From::punt || lookup_.policy->otherwise == Action::bypass)
        note.verdict = Verdict::forward;
      else
        note.drop(DropReason::no_policy_match);
      break;
    case decision_link:
    case decision_control_copy:
      if (from == From::inside) note.flags |= note_punt_copy;
      note.verdict = Verdict::forward;
      break;
    case decision_control:
    case decision_from_own:
      note.verdict = Verdict::forward;
      break;
    case decision_own:
    case decision_own_control:
      note.verdict = from == From::inside ? Verdict::punt : Verdict::forward;
      break;
    default:
      note.drop(DropReason::fragment_undecided);
  }
}

/// RFC 2473 section 7.1 b: IPv6 packets of 1280 octets at most, which have outgrown the port's MTU
/// by their encryption, leave in fragments.
void Pipeline::cut_encrypted(Burst& burst) {
  for (unsigned i = 0; i < burst.size; ++i) {
    Note& note = burst.note[i];
    if (note.verdict != Verdict::forward || note.sa == nullptr || !note.has(note_v6)) continue;
    if (burst.mbuf[i]->data_len <= std::uint32_t{note.l2_length} + options_.mtu) continue;
    std::array<rte_mbuf*, 4> pieces;
    const unsigned count =
        fragment_ipv6(*burst.mbuf[i], note.l2_length, options_.mtu, ++fragment_id_, pool_, pieces);
    if (count == 0) {
      note.drop(DropReason::no_buffer);
      continue;
    }
    for (unsigned k = 0; k < count; ++k) to_outside.push(pieces[k]);
    counters_.count(Forward::fragmented);
    rte_pktmbuf_free(burst.mbuf[i]);
    note.verdict = Verdict::gone;
  }
}

void Pipeline::flush_expanded() {
  const unsigned encrypted = esp_out(esp_, expanded_, nullptr);
  counters_.count(Forward::encrypted, encrypted);
  cut_encrypted(expanded_);
  settle(expanded_, to_outside);
  expanded_.size = 0;
}

/// The packets of a burst of which some do not fit, in their order: whole, in fragments, or not at
/// all and their sender told (RFC 4301 section 8).
void Pipeline::encrypt_oversized(Burst& burst, Outgoing& back) {
  expanded_.size = 0;
  for (unsigned i = 0; i < burst.size; ++i) {
    Note& note = burst.note[i];
    if (note.verdict == Verdict::protect &&
        note.ip_length > note.sa->inner_mtu(note.has(note_v6))) {
      append_oversized(*burst.mbuf[i], note, back);
      continue;
    }
    if (expanded_.size == burst_max) flush_expanded();
    expanded_.mbuf[expanded_.size] = burst.mbuf[i];
    expanded_.note[expanded_.size++] = note;
    note.verdict = Verdict::gone;
  }
  flush_expanded();
}

void Pipeline::append_oversized(rte_mbuf& mbuf, Note& note, Outgoing& back) {
  const bool v6 = note.has(note_v6);
  const std::uint32_t inner_mtu = note.sa->inner_mtu(v6);
  const std::uint8_t* ip = octets(&mbuf) + note.l2_length;
  if (v6 && note.ip_length <= ipv6_mtu_min) {
    // Nobody need send less (RFC 8200 section 5): it is the ESP packet that is cut, once it is one.
    if (expanded_.size == burst_max) flush_expanded();
    expanded_.mbuf[expanded_.size] = &mbuf;
    expanded_.note[expanded_.size++] = note;
    note.verdict = Verdict::gone;
    return;
  }
  if (v6 || (load_be16(ip + 6) & ipv4_df) != 0) {
    const std::uint32_t mtu = v6 ? std::max<std::uint32_t>(inner_mtu, ipv6_mtu_min) : inner_mtu;
    rte_mbuf* report = may_report(ip, note) && report_limit_.allow(rte_rdtsc())
                           ? make_too_big(mbuf, note, mtu, options_.locality, pool_)
                           : nullptr;
    if (report == nullptr) return note.drop(DropReason::too_big_silent);
    back.push(report);
    counters_.count(Forward::too_big_sent);
    return note.drop(DropReason::too_big_reported);
  }
  std::array<rte_mbuf*, 4> pieces;
  const unsigned count = fragment_ipv4(mbuf, note, inner_mtu, pool_, pieces);
  if (count == 0) return note.drop(DropReason::no_buffer);
  if (expanded_.size + count > burst_max) flush_expanded();
  for (unsigned k = 0; k < count; ++k) {
    Note& piece = expanded_.note[expanded_.size];
    piece = note;
    piece.ip_length = static_cast<std::uint16_t>(pieces[k]->data_len - note.l2_length);
    piece.ip = octets(pieces[k]) + note.l2_length;
    expanded_.mbuf[expanded_.size++] = pieces[k];
  }
  counters_.count(Forward::fragmented);
  rte_pktmbuf_free(&mbuf);
  note.verdict = Verdict::gone;
}

// ---- from the encrypted side ----

void Pipeline::from_outside(Burst& burst) {
  std::uint64_t since = clock != nullptr ? rte_rdtsc() : 0;
  classify(burst, pool_, options_.mtu);
  lap(StageClock::classify, since);
  SaState* sa_of_all = find_sa_of_all(burst);
  if (sa_of_all == nullptr) find_sas(burst);
  const unsigned decrypted = esp_in(esp_, burst, sa_of_all);
  if (decrypted > 0) counters_.count(Forward::decrypted, decrypted);
  lap(StageClock::esp, since);
  look_up(lookup_, burst);
  lap(StageClock::lookup, since);
  const bool all_forward = judge_inbound(burst);
  lap(StageClock::judge, since);
  if (all_forward) [[likely]]
    to_inside.push_all(burst);
  else
    settle(burst, to_inside);
  lap(StageClock::settle, since);
}

/// The SA of each ESP packet. SPIs come in runs: what was found for one packet is kept for the
/// next.
class Pipeline::SaFinder {
 public:
  explicit SaFinder(const SaTable& table) : table_(table) {}
  void find(Note& note) {
    const auto spi = load<std::uint32_t>(note.ip + note.transport_offset);
    if (spi != spi_) [[unlikely]] {
      spi_ = spi;
      sa_ = table_.find(rte_be_to_cpu_32(spi));
    }
    note.sa = sa_;
    if (sa_ != nullptr) [[likely]]
      note.verdict = Verdict::decrypt;
  }

 private:
  const SaTable& table_;
  std::uint32_t spi_ = 0;  ///< as in the packet; no SA has an SPI under 256
  SaState* sa_ = nullptr;
};

/// The SA of a burst that is all its ESP packets, the most frequent case; null if it is not.
SaState* Pipeline::find_sa_of_all(const Burst& burst) const {
  if (burst.kind == Kind::mixed || burst.protocol != protocol_esp) return nullptr;
  const std::uint32_t transport_offset = burst.note[0].transport_offset;
  const auto spi = load<std::uint32_t>(burst.note[0].ip + transport_offset);
  std::uint32_t difference = 0;
  for (unsigned i = 1; i < burst.size; ++i)
    difference |= load<std::uint32_t>(burst.note[i].ip + transport_offset) ^ spi;
  return difference == 0 ? lookup_.policy->by_spi.find(rte_be_to_cpu_32(spi)) : nullptr;
}

void Pipeline::find_sas(Burst& burst) {
  SaFinder finder(lookup_.policy->by_spi);
  for (unsigned i = 0; i < burst.size; ++i) {
    Note& note = burst.note[i];
    if (note.protocol == protocol_esp && is_whole_esp(burst.mbuf[i], note)) finder.find(note);
  }
}

/// Whether a packet with this decision may go on as it is, when it arrives outside.
bool Pipeline::passes_in_clear(std::uint16_t decision) const {
  if (is_entry(decision)) return lookup_.policy->entries[decision].action == Action::bypass;
  return decision == decision_none && lookup_.policy->otherwise == Action::bypass;
}

/// Whether it is an ESP packet with its header: of fragments, whether there is a whole packet now.
bool Pipeline::is_whole_esp(rte_mbuf*& mbuf, Note& note) {
  if (note.verdict != Verdict::undecided) return false;
  if (note.has(note_first_fragment | note_later_fragment)) {
    // ESP of others, which the policy lets through, stays in its fragments.
    if (passes_in_clear(policy_decision(lookup_, note.ip, note))) return false;
    bool proven = false;
    if (note.has(note_first_fragment)) {
      if (std::uint32_t{note.ip_length} - note.transport_offset < 8) {
        note.drop(DropReason::esp_truncated);
        return false;
      }
      const std::uint32_t spi = load_be32(note.ip + note.transport_offset);
      proven = lookup_.policy->by_spi.find(spi) != nullptr;
      // Nothing that can follow makes an SPI known; only the member's own kernel may have the SA.
      if (!proven && !options_.locality.decide(note.ip, note)) return false;
    }
    reassembly_->add(mbuf, note, proven, rte_rdtsc(), pool_, counters_);
    if (note.verdict != Verdict::undecided || note.protocol != protocol_esp) return false;
  }
  if (std::uint32_t{note.ip_length} - note.transport_offset >= 8) return true;
  note.drop(DropReason::esp_truncated);
  return false;
}

/// Says whether all packets were decrypted and go on, and nobody wants a copy.
bool Pipeline::judge_inbound(Burst& burst) {
  // A decision and an SA that were found to belong together.
  std::uint16_t known = decision_unset;
  const SaState* under = nullptr;
  bool all = true;
  for (Note& note : std::span(burst.note.data(), burst.size)) {
    if (note.decision == known && note.sa == under && note.verdict == Verdict::undecided &&
        !note.has(note_syn | note_punt_copy)) [[likely]] {
      note.verdict = Verdict::forward;
      continue;
    }
    if (note.verdict == Verdict::undecided) judge_one_inbound(note);
    const bool forward = note.verdict == Verdict::forward && note.sa != nullptr;
    all &= forward && !note.has(note_punt_copy);
    if (!forward || !is_entry(note.decision)) continue;
    known = note.decision;
    under = note.sa;
  }
  return all;
}

void Pipeline::judge_one_inbound(Note& note) {
  if (note.sa != nullptr)
    judge_decrypted(note);
  else
    judge_clear(note);
}

void Pipeline::judge_decrypted(Note& note) {
  if (!expected_under(lookup_, *note.sa, note.ip, note))
    return note.drop(DropReason::inner_selector_mismatch);
  note.verdict = Verdict::forward;
  if (note.decision == decision_own || note.decision == decision_own_control)
    note.verdict = Verdict::punt;
  if (note.has(note_syn) && options_.clamp_mss &&
      clamp_mss(note.ip, note, note.sa->inner_mtu(note.has(note_v6))))
    counters_.count(Forward::mss_clamped);
}

void Pipeline::judge_clear_own(const std::uint8_t* ip, Note& note) {
  const std::uint16_t decision = policy_decision(lookup_, ip, note);
  const bool to_be_encrypted =
      is_maybe(decision) ||
      (is_entry(decision) && lookup_.policy->entries[decision].action == Action::protect);
  if (to_be_encrypted) return note.drop(DropReason::clear_not_allowed);
  note.verdict = Verdict::punt;
}

/// What the decision means for packets that arrive outside without our encryption.
void Pipeline::judge_clear(Note& note) {
  const std::uint8_t* ip = note.ip;
  reconsider(note);
  if (passes_in_clear(note.decision)) {
    note.verdict = Verdict::forward;
    // Whole again, it may be longer than the port takes; it is nobody we know.
    if (note.has(note_reassembled)) note.drop(DropReason::unknown_spi);
    return;
  }
  if (is_entry(note.decision)) {
    if (lookup_.policy->entries[note.decision].action == Action::drop)
      return note.drop(DropReason::policy_drop);
    if (note.protocol != protocol_esp) return note.drop(DropReason::clear_not_allowed);
    counters_.unknown_spi(load_be32(ip + note.transport_offset));
    return note.drop(DropReason::unknown_spi);
  }
  switch (note.decision) {
    case decision_none:
      return note.drop(DropReason::no_policy_match);
    case decision_link:
    case decision_control_copy:
      note.flags |= note_punt_copy;
      note.verdict = Verdict::forward;
      return;
    case decision_control:
      note.verdict = Verdict::forward;
      return;
    case decision_own_control:
      note.verdict = Verdict::punt;
      return;
    case decision_own:
      return judge_clear_own(ip, note);
  }
  note.drop(DropReason::clear_not_allowed);
}

// ---- both ----

void Pipeline::punt(rte_mbuf* mbuf) {
  const bool allowed = options_.has_punt && punt_limit_.allow(rte_rdtsc());
  if (allowed) {
    to_punt.push(mbuf);
    counters_.count(Forward::punted);
    return;
  }
  counters_.drop(options_.has_punt ? DropReason::punt_full : DropReason::no_punt_port);
  rte_pktmbuf_free(mbuf);
}

void Pipeline::settle_copy(rte_mbuf& mbuf) {
  if (!options_.has_punt) return;
  rte_mbuf* copy = rte_pktmbuf_copy(&mbuf, &pool_, 0, UINT32_MAX);
  if (copy == nullptr) return counters_.drop(DropReason::no_buffer);
  punt(copy);
}

/// Every packet to where its verdict says.
void Pipeline::settle(Burst& burst, Outgoing& forward) {
  unsigned bypassed = 0;
  for (unsigned i = 0; i < burst.size; ++i) {
    const Note& note = burst.note[i];
    if (note.verdict == Verdict::forward) [[likely]] {
      if (note.has(note_punt_copy)) [[unlikely]]
        settle_copy(*burst.mbuf[i]);
      if (note.sa == nullptr) ++bypassed;
      forward.push(burst.mbuf[i]);
      continue;
    }
    if (note.verdict == Verdict::gone) continue;
    if (note.verdict == Verdict::punt) {
      if (options_.finish_punted_checksums &&
          verify_checksums(octets(burst.mbuf[i]) + note.l2_length, note) ==
              ChecksumState::completed)
        counters_.count(Forward::checksum_completed);
      punt(burst.mbuf[i]);
      continue;
    }
    counters_.drop(note.reason);
    rte_pktmbuf_free(burst.mbuf[i]);
  }
  if (bypassed > 0) counters_.count(Forward::bypassed, bypassed);
}

}  // namespace cohort::dataplane
