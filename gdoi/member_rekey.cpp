#include <algorithm>
#include <fmt/core.h>

#include "gdoi/events.hpp"
#include "gdoi/member_group.hpp"
#include "gdoi/reasons.hpp"

// GROUPKEY-PUSH at a member, and its acknowledgement.
namespace cohort::gdoi {
namespace {

using namespace std::chrono;

constexpr Duration repeat_ack_interval = seconds{1};

}  // namespace

/// RFC 6407 section 4.4, cheap checks first: cookies, decryption, structure, SEQ, then SIG. The
/// verification runs here and not as a job: it takes some 30 µs, only a holder of the KEK gets this
/// far, and the order of rekeys must stay what it was.
bool MemberGroup::on_push(TimePoint now, const ike::Header& header, const Datagram& datagram) {
  MemberKek* kek = keys_.kek_of(header);
  if (kek == nullptr) return false;
  if (equal(kek->last_accepted, datagram.payload)) {
    // A copy of what we have taken: its acknowledgement may have been lost.
    if (now - kek->last_acknowledged >= repeat_ack_interval) {
      acknowledge(now, *kek, kek->seq, datagram);
      kek->last_acknowledged = now;
    }
    return true;
  }
  if (const Status taken = take_push(now, *kek, header, datagram); !taken) {
    ++counters_.refused;
    world_.outbox.refuse({taken.error(), "gdoi_push", datagram.remote.text()});
  }
  return true;
}

Status MemberGroup::take_push(TimePoint now, MemberKek& kek, const ike::Header& header,
                              const Datagram& datagram) {
  COHORT_TRY(const OpenedPush opened, open_push(kek.kek, datagram.payload));
  if (opened.seq <= kek.seq) {
    return fail(replayed_push, fmt::format("SEQ {}, last {}", opened.seq, kek.seq));
  }
  COHORT_TRY(const PushForm form, verify_push(kek.kek, kek.key, opened, kek.form));
  if (kek.form != form) report(events::gm_rekey_form, {{"form", text(form)}});
  // Only now: any member holds the KEK and could burn sequence numbers, but none can sign.
  kek.form = form;
  kek.seq = opened.seq;
  kek.last_accepted = to_bytes(datagram.payload);
  kek.last_acknowledged = now;
  // The change may take this Rekey SA away; the acknowledgement still needs it.
  MemberKek under{kek.kek.clone(), kek.key, kek.offer, kek.seq, kek.form, {}, {}};
  if (Status applied = apply_push(now, opened, under, datagram); !applied) {
    // A copy of it is not acknowledged either: the key server would take the rekey for done.
    if (MemberKek* still = keys_.kek_of(header)) still->last_accepted.clear();
    return applied;
  }
  acknowledge(now, under, opened.seq, datagram);
  return {};
}

Status MemberGroup::apply_push(TimePoint now, const OpenedPush& opened, const MemberKek& under,
                               const Datagram& datagram) {
  COHORT_TRY(const PushContent content, read_push(opened));
  std::optional<OfferedPolicy> policy;
  if (content.sa) {
    auto read = read_policy(*content.sa, options_);
    if (!read) {
      report(events::gm_rejecting_sa_payload,
             {{"server", datagram.remote.text()}, {"reason", read.error().text()}});
      return fail(read.error());
    }
    policy = std::move(*read);
  }
  COHORT_TRY(const MemberKeys::Change change, keys_.update(now, policy, content, under.kek.spi));
  attempt_.overtaken = attempt_.pull.has_value();
  ++counters_.rekeys;
  ++counters_.since_registration;
  if (change.new_kek && change.new_teks != 0) ++counters_.pfs_rekeys;
  if (under.offer.transport == RekeyTransport::unicast) ++counters_.unicast_rekeys;
  last_rekey_from_ = datagram.remote;
  last_rekey_seq_ = opened.seq;
  last_rekey_at_ = now;
  report(events::gm_recv_rekey, {{"from", datagram.remote.text()},
                                 {"seq", fmt::format("{}", opened.seq)},
                                 {"new_teks", fmt::format("{}", change.new_teks)},
                                 {"deleted_teks", fmt::format("{}", change.deleted_teks)}});
  after_change(now, change);
  return {};
}

void MemberGroup::after_change(TimePoint now, const MemberKeys::Change& change) {
  if (change.new_kek) report(events::sa_kek_updated);
  if (change.new_teks != 0) {
    report(events::sa_tek_updated, {{"teks", fmt::format("{}", change.new_teks)}});
  }
  if (change.deleted_teks != 0 || change.kek_deleted) {
    report(events::gm_delete, {{"teks", fmt::format("{}", change.deleted_teks)},
                               {"kek", change.kek_deleted ? "yes" : "no"}});
  }
  install(now);
  follow_multicast();
  plan_reregistration(now);
  const bool over = (change.kek_deleted && !change.new_kek) || change.all_teks_deleted;
  if (!over && !change.lacks_sender_id) return;
  // Everybody was told at the same moment: spread the registrations.
  const auto jitter = static_cast<std::int64_t>(world_.random.below(
      static_cast<std::uint64_t>(Duration(options_.reregister_jitter).count()) + 1));
  if (state_ == MemberState::registered) reregister_at_ = now + Duration(jitter);
}

/// RFC 8263: to where the rekey came from, with the ports swapped; unicast at once, multicast after
/// a random time, so that the key server is not flooded.
void MemberGroup::acknowledge(TimePoint now, const MemberKek& kek, std::uint32_t seq,
                              const Datagram& datagram) {
  if (!kek.offer.acknowledge) return;
  IdPayload id;
  id.type = local_.address.is_v4() ? id_type::ipv4 : id_type::ipv6;
  id.data = to_bytes(local_.address.bytes());
  Endpoint from = datagram.local;
  TimePoint when = now;
  if (kek.offer.transport == RekeyTransport::multicast) {
    from.address = local_.address;
    const auto limit = static_cast<std::uint64_t>(Duration(options_.acknowledge_jitter).count());
    when += Duration(static_cast<std::int64_t>(world_.random.below(limit + 1)));
  }
  acks_.push_back(
      {when, {from, datagram.remote, make_push_ack(*kek.offer.acknowledge, kek.kek, seq, id)}});
  send_due_acks(now);
}

void MemberGroup::send_due_acks(TimePoint now) {
  std::erase_if(acks_, [&](PendingAck& ack) {
    if (ack.when > now) return false;
    isakmp_.send_unprotected(ack.datagram.local, ack.datagram.remote, ack.datagram.payload);
    ++counters_.acks;
    return true;
  });
}

}  // namespace cohort::gdoi
