#include "coop/channel.hpp"

#include <fmt/format.h>

#include "coop/reasons.hpp"

namespace cohort::coop {

namespace {

constexpr auto coop_payload = static_cast<ike::PayloadType>(payload_type);

/// The chain HASH, COOP and nothing else.
Result<std::pair<ike::RawPayload, ike::RawPayload>> two_payloads(ike::PayloadType first,
                                                                 ByteView plain) {
  COHORT_TRY(const auto payloads, ike::walk(first, plain, true));
  if (payloads.size() != 2 || payloads[0].type != ike::PayloadType::hash ||
      payloads[1].type != coop_payload)
    return fail(coop_format, "the payloads are not HASH and COOP");
  return std::pair(payloads[0], payloads[1]);
}

}  // namespace

std::size_t seal_and_send(ike::Isakmp& isakmp, Session& session, Message& message) {
  if (session.sent == sequence_max) return 0;
  const std::uint32_t sequence = session.sent + 1;
  auto exchange = isakmp.begin_exchange(session.id, message_id(sequence, !session.initiator));
  if (!exchange) return 0;
  session.sent = sequence;
  message.sequence = sequence;
  ike::PayloadWriter inner;
  Bytes body = encode(message);
  inner.add(coop_payload, body);
  zeroize(body);
  Bytes protected_part = inner.take();
  // The generic header and body of COOP are what the HASH covers.
  ike::PayloadWriter chain;
  chain.add(ike::PayloadType::hash, exchange->hash({protected_part}));
  chain.add(coop_payload, ByteView(protected_part).subspan(4));
  zeroize(protected_part);
  auto datagram = exchange->seal(ike::ExchangeType::coop, chain.first(), chain.view());
  if (!datagram) return 0;
  isakmp.send(session.id, *datagram);
  return datagram->size();
}

Result<std::optional<Message>> open(const ike::Isakmp& isakmp, Session& session,
                                    const ike::Header& header, ByteView datagram) {
  const bool by_responder = (header.message_id & 0x8000'0000u) != 0;
  const std::uint32_t sequence = header.message_id & sequence_max;
  if (!header.encrypted()) return fail(coop_format, "not encrypted");
  if (by_responder != session.initiator) return fail(coop_reflected);
  if (!session.window.fresh(sequence)) return fail(coop_replayed, fmt::format("{}", sequence));
  COHORT_TRY(const auto exchange, isakmp.begin_exchange(session.id, header.message_id));
  COHORT_TRY(auto opened, exchange.open(datagram));
  const Secret plain = Secret::take(std::move(opened.plain));
  COHORT_TRY(const auto payloads, two_payloads(header.next, plain.view()));
  if (!equal_constant_time(exchange.hash({payloads.second.whole}), payloads.first.body))
    return fail(coop_hash);
  COHORT_TRY(auto message, decode(payloads.second.body));
  if (message && message->sequence != sequence)
    return fail(coop_format, "the sequence number is not that of the message id");
  session.window.commit(sequence);
  return message;
}

}  // namespace cohort::coop
