#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "controlplane/crypto/reasons.hpp"
#include "controlplane/ike/events.hpp"
#include "controlplane/ike/isakmp_impl.hpp"
#include "controlplane/ike/reasons.hpp"

/// The Informational exchange (RFC 2409 section 5.7): HDR*, HASH(1), N/D, one message without an
/// answer, HASH(1) = prf(SKEYID_a, M-ID | N/D).
namespace cohort::ike {

namespace {

constexpr std::size_t seen_ids_max = 1024;
constexpr unsigned clear_notifies_max = 3;

bool was_seen(const Phase1Sa& sa, std::uint32_t message_id) {
  return std::find(sa.seen_message_ids.begin(), sa.seen_message_ids.end(), message_id) !=
         sa.seen_message_ids.end();
}

void remember(Phase1Sa& sa, std::uint32_t message_id) {
  if (sa.seen_message_ids.size() < seen_ids_max) {
    sa.seen_message_ids.push_back(message_id);
    return;
  }
  sa.seen_message_ids[sa.seen_at] = message_id;
  sa.seen_at = (sa.seen_at + 1) % seen_ids_max;
}

std::string describe(NotifyType type) {
  return fmt::format("{} ({})", name_of(type), static_cast<unsigned>(type));
}

/// Decrypted payloads, with the octets that they point into.
struct Opened {
  Bytes plain;
  std::vector<RawPayload> payloads;
};

Result<Opened> open_and_authenticate(const Phase1Sa& sa, const Header& header, ByteView message) {
  const SecureExchange exchange(sa.keys, sa.initiator_cookie, sa.responder_cookie,
                                header.message_id);
  COHORT_TRY(auto decrypted, exchange.open(message));
  Opened opened{std::move(decrypted.plain), {}};
  auto payloads = walk(header.next, opened.plain, true);
  const Status fits = payloads ? check(rule_informational, *payloads) : fail(payloads.error());
  if (!fits) return fail(undecryptable, fits.error().text());
  opened.payloads = std::move(*payloads);
  const RawPayload& hash = opened.payloads.front();
  const std::uint8_t* rest = hash.whole.data() + hash.whole.size();
  const RawPayload& last = opened.payloads.back();
  const auto length = static_cast<std::size_t>(last.whole.data() + last.whole.size() - rest);
  if (!equal_constant_time(hash.body, exchange.hash({ByteView(rest, length)})))
    return fail(bad_hash, "Informational");
  return opened;
}

NotifyType notify_for(const Error& why) {
  if (why.is(identity_mismatch)) return NotifyType::invalid_id_information;
  if (why.is(crypto::bad_signature)) return NotifyType::invalid_signature;
  if (why.is(certificate_missing)) return NotifyType::certificate_unavailable;
  if (why.is(wrong_key_type) || why.is(crypto::weak_key))
    return NotifyType::invalid_key_information;
  if (why.is(authentication_failed)) return NotifyType::authentication_failed;
  if (why.is(bad_payload)) return NotifyType::payload_malformed;
  return NotifyType::invalid_certificate;
}

}  // namespace

void Isakmp::Impl::on_informational(TimePoint now, const Header& header, const Datagram& datagram) {
  Phase1Sa* sa = sas.find(header.initiator, header.responder);
  if (!header.encrypted()) return on_unprotected_informational(header, datagram, sa);
  if (sa == nullptr) return refuse(Error(unknown_cookies, "Informational"), datagram.remote);
  // Before it is established only an initiator that has sent its proof has a use for one: why the
  // responder does not take it.
  const bool awaiting_verdict = sa->role == Role::initiator && sa->state == State::auth_sent;
  if (!sa->established() && !awaiting_verdict)
    return refuse(Error(unexpected_message, "Informational"), datagram.remote);
  if (header.message_id == 0 || was_seen(*sa, header.message_id))
    return refuse(Error(replayed_message, "Informational"), datagram.remote);
  const auto opened = open_and_authenticate(*sa, header, datagram.payload);
  if (!opened) {
    // Peers with another pre-shared key complain in a way that only they can read.
    if (awaiting_verdict && opened.error().is(undecryptable)) sa->handshake->hint = opened.error();
    return refuse(opened.error(), datagram.remote);
  }
  remember(*sa, header.message_id);
  const Phase1Id id = sa->info.id;
  for (const RawPayload& payload : opened->payloads) {
    if (payload.type == PayloadType::notify) {
      const auto notify = Notify::parse(payload.body);
      if (!notify) return refuse(notify.error(), datagram.remote);
      on_notify(now, *sa, *notify);
    } else if (payload.type == PayloadType::del) {
      const auto del = Delete::parse(payload.body);
      if (!del) return refuse(del.error(), datagram.remote);
      on_delete(now, *sa, *del);
    }
    if (sas.find(id) == nullptr) return;
  }
  sa->dpd.heard(now);
  schedule(*sa);
}

void Isakmp::Impl::on_unprotected_informational(const Header& header, const Datagram& datagram,
                                                Phase1Sa* sa) {
  std::string said = "unreadable";
  const auto payloads = walk(header.next, ByteView(datagram.payload).subspan(Header::size), false);
  const RawPayload* payload = payloads ? find_payload(*payloads, PayloadType::notify) : nullptr;
  const auto notify = payload ? Notify::parse(payload->body) : fail(bad_payload);
  if (notify) said = describe(notify->type);
  const Error error(unauthenticated_notify, said);
  // Nobody vouches for it: it only explains a failure, should there be one for another cause.
  const bool ours = sa != nullptr && sa->info.remote.address == datagram.remote.address;
  if (ours && sa->handshake && sa->role == Role::initiator)
    sa->handshake->hint = Error(peer_unreachable, "an unprotected notification said " + said);
  refuse(error, datagram.remote);
}

void Isakmp::Impl::on_notify(TimePoint now, Phase1Sa& sa, const Notify& notify) {
  if (notify.type == NotifyType::dpd_are_you_there || notify.type == NotifyType::dpd_ack)
    return on_dpd(now, sa, notify);
  if (!sa.established()) {
    if (notify.is_error()) on_verdict(now, sa, describe(notify.type));
    return;
  }
  if (notify.type == NotifyType::initial_contact) return forget_older(now, sa);
  world.outbox.report({&peer_notify,
                       {{"peer", sa.info.remote.text()},
                        {"identity", sa.info.peer.id_text},
                        {"type", describe(notify.type)}}});
  for (ExchangeHandler* handler : handlers)
    handler->on_notify(now, sa.info, notify.type, notify.spi, notify.data);
}

// The responder does not take our proof, or what it took for it: somebody may have sent it a
// changed copy. So it is asked once more at once, and its second word, or its silence, counts.
void Isakmp::Impl::on_verdict(TimePoint now, Phase1Sa& sa, std::string said) {
  Error why(peer_refused, std::move(said));
  if (++sa.handshake->verdicts > 1) return drop(now, sa, std::move(why), false);
  sa.handshake->hint = std::move(why);
  const unsigned last_try = options.retransmit_tries == 0 ? 0 : options.retransmit_tries - 1;
  sa.retransmission = {now, options.retransmit_initial, last_try};
}

void Isakmp::Impl::on_dpd(TimePoint now, Phase1Sa& sa, const Notify& notify) {
  const auto spi = phase1_spi(sa.initiator_cookie, sa.responder_cookie);
  if (!sa.established() || notify.data.size() != 4 || !equal(notify.spi, spi))
    return refuse(Error(stale_dpd, "its form"), sa.info.remote);
  const std::uint32_t sequence = Reader(notify.data).u32();
  if (notify.type == NotifyType::dpd_ack) {
    if (!sa.dpd.acknowledge(now, sequence))
      refuse(Error(stale_dpd, "acknowledgement"), sa.info.remote);
    return;
  }
  // A repetition may carry the same sequence; an older one is a replay (RFC 3706 section 6.2).
  if (sa.peer_dpd_sequence && sequence < *sa.peer_dpd_sequence)
    return refuse(Error(stale_dpd, "question"), sa.info.remote);
  sa.peer_dpd_sequence = sequence;
  send_notify(sa, NotifyType::dpd_ack, notify.data);
}

void Isakmp::Impl::on_delete(TimePoint now, Phase1Sa& sa, const Delete& del) {
  const auto spi = phase1_spi(sa.initiator_cookie, sa.responder_cookie);
  const bool this_one =
      del.protocol == protocol_isakmp &&
      std::any_of(del.spis.begin(), del.spis.end(), [&](ByteView s) { return equal(s, spi); });
  if (!this_one) return;
  if (!sa.established()) return on_verdict(now, sa, "Delete");
  drop(now, sa, Error(peer_deleted), false);
}

void Isakmp::Impl::send_protected(Phase1Sa& sa, PayloadType type, ByteView body) {
  std::uint32_t message_id = world.random.u32();
  while (message_id == 0) message_id = world.random.u32();
  SecureExchange exchange(sa.keys, sa.initiator_cookie, sa.responder_cookie, message_id);
  PayloadWriter hashed;
  hashed.add(type, body);
  PayloadWriter chain;
  chain.add(PayloadType::hash, exchange.hash({hashed.view()}));
  chain.add(type, body);
  const auto message = exchange.seal(ExchangeType::informational, chain.first(), chain.view());
  if (message) transmit(sa, *message);
}

void Isakmp::Impl::send_notify(Phase1Sa& sa, NotifyType type, ByteView data) {
  const auto spi = phase1_spi(sa.initiator_cookie, sa.responder_cookie);
  Notify notify;
  notify.doi = sa.doi;
  notify.spi = spi;
  notify.type = type;
  notify.data = data;
  send_protected(sa, PayloadType::notify, notify.body());
}

void Isakmp::Impl::send_delete(Phase1Sa& sa) {
  const auto spi = phase1_spi(sa.initiator_cookie, sa.responder_cookie);
  Delete del;
  del.doi = sa.doi;
  del.spis.emplace_back(spi);
  send_protected(sa, PayloadType::del, del.body());
}

void Isakmp::Impl::send_clear_notify(const Header& about, const Datagram& from, NotifyType type) {
  Notify notify;
  notify.type = type;
  PayloadWriter chain;
  chain.add(PayloadType::notify, notify.body());
  Header header;
  header.initiator = about.initiator;
  header.responder = about.responder;
  header.next = chain.first();
  header.exchange = ExchangeType::informational;
  header.message_id = world.random.u32() | 1;
  header.length = static_cast<std::uint32_t>(Header::size + chain.view().size());
  Writer out;
  header.write(out);
  out.bytes(chain.view());
  send_datagram(from.local, from.remote, out.take());
}

void Isakmp::Impl::tell_failure(Step& step, const Error& why, bool and_delete) {
  Phase1Sa& sa = step.sa;
  if (why.is(undecryptable)) {
    // Without common keys nothing can be protected; the peer may take it for a hint.
    if (sa.role != Role::responder || sa.handshake->hints_sent++ >= clear_notifies_max) return;
    return send_clear_notify(step.header, {sa.info.local, sa.info.remote, {}},
                             NotifyType::payload_malformed);
  }
  // The peer's running IV is the last block of the message that failed.
  Bytes running = std::exchange(sa.keys.last_block, step.last_block);
  send_notify(sa, notify_for(why), {});
  if (and_delete) send_delete(sa);
  sa.keys.last_block = std::move(running);
}

}  // namespace cohort::ike
