#include "gdoi/rekey_sender.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "gdoi/algorithms.hpp"
#include "gdoi/authority.hpp"
#include "gdoi/events.hpp"
#include "gdoi/group_clock.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

constexpr std::size_t rekeys_max = 8;  // under way at once; the oldest gives way
constexpr std::size_t recent_acks_max = 4096;
constexpr Duration seq_retry = std::chrono::milliseconds{50};  // a round trip between key servers

crypto::SignatureForm form_of(const KsGroupState& state) {
  if (state.options.rekey_signing_key.type() != crypto::KeyType::rsa) {
    return crypto::SignatureForm::ecdsa_concatenated;
  }
  return state.policy().rekey.bare_digest_signature ? crypto::SignatureForm::rsa_pkcs1_bare
                                                    : crypto::SignatureForm::rsa_pkcs1;
}

}  // namespace

bool RekeySender::Recipient::complete() const {
  return std::all_of(acknowledged.begin(), acknowledged.end(), [](bool done) { return done; });
}

bool RekeySender::everybody_answered(const Rekey& rekey) const {
  return rekey.acknowledged &&
         std::all_of(rekey.recipients.begin(), rekey.recipients.end(),
                     [](const Recipient& recipient) { return recipient.complete(); });
}

/// `local`: where the member reached us. A NAT lets in only what comes from there.
Endpoint RekeySender::source_for(const Endpoint& local) const {
  const Endpoint& configured = state_.options.local;
  if (configured.address.is_unspecified() || isakmp_.on_nat_port(local)) return local;
  return {configured.address, configured.port == 0 ? local.port : configured.port};
}

/// No member behind a NAT has a say in where multicast comes from.
Endpoint RekeySender::multicast_source(const Rekey& rekey) const {
  for (const Recipient& recipient : rekey.recipients) {
    if (!isakmp_.on_nat_port(recipient.local)) return source_for(recipient.local);
  }
  return {rekey.recipients.front().local.address, rekey.multicast->port};
}

PushContext RekeySender::context(TimePoint now, bool to_ours) const {
  Endpoint local = state_.options.local;
  if (local.address.is_unspecified() && !state_.members.all().empty()) {
    local = state_.members.all().begin()->second.local;
  }
  Endpoint to{local.address.is_v4() ? IpAddress{} : IpAddress::v6({}), 0};
  if (const RekeyPolicy& rekey = state_.policy().rekey;
      rekey.transport == RekeyTransport::multicast)
    to = *rekey.multicast_destination;
  const bool ours = to_ours || state_.members.all_cohort();
  return PushContext{state_.policy(),
                     state_.keys,
                     local,
                     to,
                     Extras{state_.policy().send_exclusions || ours, ours},
                     now,
                     state_.group_time_ms(now)};
}

Status RekeySender::start(TimePoint now, PushPlan whole, std::shared_ptr<RekeySa> under,
                          std::string_view why, bool to_ours) {
  if (state_.members.all().empty() || !under || under->kek.expires <= now) {
    return store_.save_keys(now, state_);  // nobody could read it
  }
  const auto key = state_.options.rekey_signing_key.public_key();
  auto plans = divide_push(std::move(whole), context(now, to_ours), under->kek, signature_size(key),
                           state_.options.push_size_max);
  if (!plans) {
    // What can't be pushed can still be fetched, once it is stored.
    COHORT_CHECK(store_.save_keys(now, state_));
    return fail(std::move(plans).error());
  }
  // One that waits for the store goes first: members send with the key that came last.
  for (Rekey& waiting : rekeys_) {
    if (waiting.rounds_done == 0) round(now, waiting);
  }
  if (rekeys_.size() == rekeys_max) rekeys_.pop_front();
  Rekey rekey;
  rekey.id = ++last_id_;
  rekey.to_ours = to_ours;
  rekey.under = std::move(under);
  rekey.plans = std::move(*plans);
  rekey.started = now;
  const RekeyPolicy& policy = state_.policy().rekey;
  // As the members of this Rekey SA were told: a change of transport still goes the old way.
  rekey.acknowledged = policy.acknowledge && !rekey.under->multicast;
  if (!to_ours || state_.members.all_cohort()) rekey.multicast = rekey.under->multicast;
  rekey.rounds_left = policy.retransmit_number + 1;
  for (const auto& [id, member] : state_.members.all()) {
    if (to_ours && !member.cohort) continue;
    rekey.recipients.push_back(
        {id, member.remote, member.local, std::vector<bool>(rekey.plans.size(), false)});
  }
  ++state_.counters.rekeys;
  if (rekey.carries_kek()) ++state_.counters.kek_rekeys;
  rekey.why = why;
  rekeys_.push_back(std::move(rekey));
  round(now, rekeys_.back());
  return {};
}

bool RekeySender::Rekey::carries_kek() const {
  return std::any_of(plans.begin(), plans.end(),
                     [](const PushPlan& plan) { return plan.new_kek != nullptr; });
}

void RekeySender::announce(const Rekey& rekey) const {
  const bool to_all = rekey.multicast.has_value();
  world_.outbox.report(
      {to_all ? &events::ks_send_mcast_rekey : &events::ks_send_unicast_rekey,
       {{"group", state_.policy().name},
        {"why", rekey.why},
        {to_all ? "destination" : "members",
         to_all ? rekey.multicast->text() : fmt::format("{}", rekey.recipients.size())},
        {"datagrams", fmt::format("{}", rekey.plans.size())},
        {"seq",
         fmt::format("{}", rekey.sent.empty() ? rekey.under->seq : rekey.sent.front().first)}}});
}

Result<std::vector<std::uint32_t>> RekeySender::take_seqs(TimePoint now, const RekeySa& under,
                                                          std::size_t count) const {
  if (KeyAuthority* const authority = state_.options.authority; authority != nullptr)
    return authority->next_seqs(now, under.kek.spi, under.made, under.seq, count);
  std::vector<std::uint32_t> seqs;
  for (std::uint32_t seq = under.seq + 1; seqs.size() < count; ++seq) seqs.push_back(seq);
  return seqs;
}

/// The datagrams of one transmission, each with a SEQ of its own.
Result<std::vector<RekeySender::Outgoing>> RekeySender::prepare(TimePoint now, Rekey& rekey) {
  const auto key = state_.options.rekey_signing_key.public_key();
  std::vector<std::pair<std::size_t, PushContent>> contents;
  for (std::size_t i = 0; i < rekey.plans.size(); ++i)
    if (auto content = make_push(rekey.plans[i], context(now, rekey.to_ours)))
      contents.emplace_back(i, std::move(*content));
  std::vector<Outgoing> prepared;
  if (contents.empty()) return prepared;
  COHORT_TRY(const auto seqs, take_seqs(now, *rekey.under, contents.size()));
  for (std::size_t at = 0; at < contents.size(); ++at) {
    const auto& [plan, content] = contents[at];
    rekey.under->seq = seqs[at];
    if (content.sa && content.sa->gap && content.sa->gap->group_time_ms) {
      state_.time_told = now;
      state_.told_offset_ms =
          static_cast<std::int64_t>(*content.sa->gap->group_time_ms) - ms_of(now);
    }
    auto ready = prepare_push(rekey.under->kek, seqs[at], content, signature_size(key));
    if (!ready) continue;
    rekey.sent.emplace_back(ready->seq, plan);
    Outgoing out;
    out.rekey = rekey.id;
    out.plan = plan;
    out.push = std::move(*ready);
    out.under = rekey.under;
    out.again = rekey.rounds_done != 0;
    prepared.push_back(std::move(out));
  }
  return prepared;
}

/// Neither a SEQ that a restart could use again nor a key that it would not know must go out. So
/// without a store nothing is sent, nobody is taken for silent, and soon it is tried again.
bool RekeySender::store_seqs(TimePoint now, Rekey& rekey, std::uint32_t seq_before,
                             std::size_t sent_before) {
  if (store_.save_keys(now, state_)) return true;
  rekey.sent.resize(sent_before);
  if (state_.options.authority == nullptr) rekey.under->seq = seq_before;
  rekey.next = store_.retry_at();
  return false;
}

/// The store was not there when the rekey began: its first members hear of the new keys only now,
/// and shall not send with them before the others can have heard.
void RekeySender::delay_activation(TimePoint now, const Rekey& rekey) {
  for (const PushPlan& plan : rekey.plans) {
    for (const SatPlan& item : plan.sats) {
      GroupTek* tek = item.spi != 0 ? state_.keys.find(item.spi) : nullptr;
      if (tek == nullptr || tek->activate <= rekey.started) continue;
      tek->activate = std::max(tek->activate, now + state_.policy().activation_delay);
    }
  }
}

// One transmission of everything that somebody still lacks: SEQs are taken (or waited for, with all
// else as it was) and stored, then the signatures are asked for; flush() sends in the order of SEQ
// as they come.
void RekeySender::round(TimePoint now, Rekey& rekey) {
  if (rekey.rounds_done == 0 && rekey.started < now) delay_activation(now, rekey);
  const std::uint32_t seq_before = rekey.under->seq;
  const std::size_t sent_before = rekey.sent.size();
  auto prepared = prepare(now, rekey);
  if (!prepared) {
    rekey.next = now + seq_retry;
    return;
  }
  if (!store_seqs(now, rekey, seq_before, sent_before)) return;
  --rekey.rounds_left;
  ++rekey.rounds_done;
  rekey.last_round = now;
  const RekeyPolicy& policy = state_.policy().rekey;
  rekey.next = now + (rekey.rounds_left != 0 ? policy.retransmit_interval
                      : rekey.acknowledged   ? policy.acknowledge_wait
                                             : std::chrono::milliseconds{0});
  if (rekey.rounds_done == 1) {
    announce(rekey);
  } else {
    world_.outbox.report(
        {&events::ks_rekey_retransmit,
         {{"group", state_.policy().name}, {"seq", fmt::format("{}", rekey.under->seq)}}});
  }
  for (Outgoing& out : *prepared) {
    out.job = world_.jobs.post(SignJob{state_.options.rekey_signing_key, form_of(state_),
                                       rekey.under->kek.signature_hash, out.push.digest});
    outgoing_.push_back(std::move(out));
  }
}

bool RekeySender::on_job_done(TimePoint, JobId id, JobResult& result) {
  for (Outgoing& out : outgoing_) {
    if (out.job != id || out.signature || out.failed) continue;
    if (result && std::holds_alternative<Bytes>(*result)) {
      out.signature = std::get<Bytes>(std::move(*result));
    } else {
      out.failed = true;
      world_.outbox.refuse(
          {result ? Error(bad_push_signature) : result.error(), "gdoi_push", state_.policy().name});
    }
    flush();
    return true;
  }
  return false;
}

void RekeySender::flush() {
  while (!outgoing_.empty() && (outgoing_.front().signature || outgoing_.front().failed)) {
    const Outgoing out = std::move(outgoing_.front());
    outgoing_.pop_front();
    if (out.failed) continue;
    const auto payload = finish_push(out.under->kek, out.push, *out.signature);
    if (payload) deliver(out, *payload);
  }
}

void RekeySender::deliver(const Outgoing& out, const Bytes& payload) {
  const auto rekey = std::find_if(rekeys_.begin(), rekeys_.end(),
                                  [&](const Rekey& r) { return r.id == out.rekey; });
  if (rekey == rekeys_.end()) return;
  for (const Recipient& recipient : rekey->recipients) {
    if (recipient.acknowledged[out.plan]) continue;
    if (Member* member = state_.members.find(recipient.id)) {
      ++(out.again ? member->rekey_retries : member->rekeys_sent);
      member->last_seq_sent = out.push.seq;
    }
    if (rekey->multicast) continue;
    ++(out.again ? state_.counters.retransmissions : state_.counters.pushes_sent);
    isakmp_.send_unprotected(source_for(recipient.local), recipient.remote, payload);
  }
  if (!rekey->multicast || rekey->recipients.empty()) return;
  ++(out.again ? state_.counters.retransmissions : state_.counters.pushes_sent);
  world_.outbox.send({multicast_source(*rekey), *rekey->multicast, payload});
}

void RekeySender::settle(MemberId member) {
  for (Rekey& rekey : rekeys_) {
    std::erase_if(rekey.recipients, [&](const Recipient& r) { return r.id == member; });
  }
}

// ---- acknowledgements: cheap checks first -------------------------------------------------------

std::shared_ptr<RekeySa> RekeySender::sent_under(const ike::Header& header) const {
  for (const Rekey& rekey : rekeys_) {
    const KekSpi& spi = rekey.under->kek.spi;
    if (std::equal(header.initiator.begin(), header.initiator.end(), spi.begin()) &&
        std::equal(header.responder.begin(), header.responder.end(), spi.begin() + 8)) {
      return rekey.under;
    }
  }
  return nullptr;
}

/// Whose acknowledgement it is: that of the member at this endpoint, else of the only one at the
/// address that it says it has. Behind one NAT several have one address, and any member can make an
/// acknowledgement: what is not clear is nobody's.
RekeySender::Recipient* RekeySender::recipient_of(Rekey& rekey, const Endpoint& from,
                                                  const IpAddress& claimed) {
  Recipient* found = nullptr;
  for (Recipient& recipient : rekey.recipients) {
    if (recipient.remote == from) return &recipient;
  }
  for (Recipient& recipient : rekey.recipients) {
    if (recipient.remote.address != claimed) continue;
    if (found != nullptr) return nullptr;
    found = &recipient;
  }
  return found;
}

Status RekeySender::on_ack(TimePoint now, const ike::Header& header, const Datagram& datagram) {
  if (recent_acks_.contains(datagram.payload)) return fail(duplicate_ack);
  const auto under = sent_under(header);
  if (!under) return fail(unsolicited_ack, "no rekey is under way under this KEK");
  COHORT_TRY(const PushAck ack, read_push_ack(AckType::kek_sha256, under->kek, datagram.payload));
  COHORT_TRY(const GroupId claimed, group_id_from_wire(ack.id));  // an address of either family
  const auto* address = std::get_if<IpAddress>(&claimed.value);
  if (address == nullptr) return fail(ack_from_stranger, "the ID is not an address");
  for (Rekey& rekey : rekeys_) {
    const auto sent = std::find_if(rekey.sent.begin(), rekey.sent.end(),
                                   [&](const auto& item) { return item.first == ack.seq; });
    if (rekey.under != under || !rekey.acknowledged || sent == rekey.sent.end()) continue;
    Recipient* recipient = recipient_of(rekey, datagram.remote, *address);
    if (recipient == nullptr) return fail(ack_from_stranger, address->text());
    recipient->acknowledged[sent->second] = true;
    ++state_.counters.acks_received;
    if (Member* member = state_.members.find(recipient->id)) {
      ++member->acks_received;
      member->last_seq_acknowledged = ack.seq;
    }
    ack_order_.push_back(recent_acks_.insert(datagram.payload).first);
    if (ack_order_.size() > recent_acks_max) {
      recent_acks_.erase(ack_order_.front());
      ack_order_.pop_front();
    }
    if (under == state_.keys.rekey) note_beyond(recipient->id);
    if (everybody_answered(rekey)) rekey.next = now;
    return {};
  }
  return fail(unsolicited_ack, fmt::format("SEQ {}", ack.seq));
}

/// Who registered after a change of the KEK never had the one before.
void RekeySender::note_beyond(MemberId member) {
  for (Rekey& rekey : rekeys_) {
    if (rekey.under == state_.keys.rekey) continue;
    for (Recipient& recipient : rekey.recipients)
      if (recipient.id == member) recipient.beyond = true;
  }
}

// ---- time ---------------------------------------------------------------------------------------

/// Two that are repeated at one moment, round after round, may overtake each other on the way, and
/// a member refuses the one with the lower SEQ each time: the later one keeps a distance.
TimePoint RekeySender::clear_of_others(const Rekey& rekey) const {
  const Duration distance =
      std::min<Duration>(state_.policy().rekey.retransmit_interval / 4, std::chrono::seconds{1});
  TimePoint clear{};
  for (const Rekey& other : rekeys_)
    if (other.id != rekey.id && other.under == rekey.under && other.rounds_done != 0)
      clear = std::max(clear, other.last_round + distance);
  return rekey.rounds_done == 0 ? TimePoint{} : clear;
}

void RekeySender::on_timer(TimePoint now) {
  for (Rekey& rekey : rekeys_) {
    if (rekey.next > now) continue;
    if (const TimePoint clear = clear_of_others(rekey); rekey.rounds_left != 0 && clear > now) {
      rekey.next = clear;
      continue;
    }
    if (rekey.rounds_left != 0 && !everybody_answered(rekey) && rekey.under->kek.expires > now) {
      round(now, rekey);
    }
    if (rekey.next > now) continue;
    const bool signing = std::any_of(outgoing_.begin(), outgoing_.end(),
                                     [&](const Outgoing& out) { return out.rekey == rekey.id; });
    if (signing) {
      rekey.next = now + std::chrono::milliseconds{100};
    } else {
      finish(rekey);
    }
  }
  std::erase_if(rekeys_, [](const Rekey& rekey) { return rekey.next == never; });
}

/// The verdict on a whole rekey.
void RekeySender::finish(Rekey& rekey) {
  rekey.next = never;
  const RekeyPolicy& policy = state_.policy().rekey;
  // Two changes of the KEK later a member need not be able to read it any more.
  const bool proves = rekey.under == state_.keys.rekey || rekey.under == state_.keys.previous;
  std::size_t missing = 0;
  for (const Recipient& recipient : rekey.recipients) {
    Member* member = state_.members.find(recipient.id);
    if (member == nullptr || !rekey.acknowledged || rekey.rounds_done == 0) continue;
    if (recipient.complete()) {
      member->unanswered = 0;
      continue;
    }
    if (recipient.beyond) continue;
    ++missing;
    if (!proves) continue;
    ++member->unanswered;
    ++member->acks_missed;
    world_.outbox.report({&events::ks_ack_missing,
                          {{"group", state_.policy().name},
                           {"member", member->identity},
                           {"address", member->remote.text()},
                           {"rekeys_in_a_row", fmt::format("{}", member->unanswered)}}});
    const bool may_evict = member->acks_received != 0 || policy.evict_before_first_ack;
    if (policy.evict_after_unanswered != 0 && may_evict &&
        member->unanswered >= policy.evict_after_unanswered) {
      silent_.push_back(member->id);
    }
  }
  world_.outbox.report({&events::ks_rekey_done,
                        {{"group", state_.policy().name},
                         {"members", fmt::format("{}", rekey.recipients.size())},
                         {"without_answer", fmt::format("{}", missing)}}});
}

TimePoint RekeySender::next_deadline() const {
  TimePoint next = never;
  for (const Rekey& rekey : rekeys_) next = std::min(next, rekey.next);
  return next;
}

}  // namespace cohort::gdoi
