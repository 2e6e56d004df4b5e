#include "gdoi/groupkey_pull.hpp"

#include <fmt/core.h>

#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using ike::PayloadType;

Bytes joined(ByteView a, ByteView b) {
  Bytes both = to_bytes(a);
  both.insert(both.end(), b.begin(), b.end());
  return both;
}

Status require(PullState& state, PullEvent event) {
  const auto next = pull_next(state, event);
  if (!next) return fail(wrong_message, fmt::format("GROUPKEY-PULL state {}", int(state)));
  state = *next;
  return {};
}

/// For reading: the state moves only once the message is accepted.
Status permits(PullState state, PullEvent event) {
  return require(state, event);
}

/// What follows HASH, headers included, padding left out.
ByteView after_hash(const std::vector<ike::RawPayload>& payloads) {
  if (payloads.size() < 2) return {};
  const std::uint8_t* first = payloads[1].whole.data();
  const ByteView last = payloads.back().whole;
  return {first, static_cast<std::size_t>(last.data() + last.size() - first)};
}

}  // namespace

std::optional<PullState> pull_next(PullState from, PullEvent event) {
  for (const PullRow& row : pull_table) {
    if (row.from == from && row.event == event) return row.to;
  }
  return std::nullopt;
}

ByteView HashedMessage::body(PayloadType type) const {
  const ike::RawPayload* payload = find_payload(payloads, type);
  return payload ? payload->body : ByteView{};
}

Result<Bytes> seal_hashed(ike::SecureExchange& exchange, const MessageRule& rule, ByteView nonces,
                          const ike::PayloadWriter& chain) {
  const Bytes hash = exchange.hash({nonces, chain.view()});
  Writer message;
  message.u8(static_cast<std::uint8_t>(chain.first())).u8(0);
  message.u16(static_cast<std::uint16_t>(4 + hash.size())).bytes(hash).bytes(chain.view());
  Bytes plain = message.take();
  auto sealed = exchange.seal(rule.exchange, PayloadType::hash, plain);
  zeroize(plain);
  return sealed;
}

Result<HashedMessage> open_hashed(const ike::SecureExchange& exchange, const MessageRule& rule,
                                  ByteView nonces, ByteView datagram) {
  COHORT_TRY(const ike::Header header, ike::Header::parse(datagram));
  if (header.exchange != rule.exchange) return fail(ike::bad_header, "exchange type");
  // The Commit bit is "not useful" (RFC 6407 section 3.2.1) but legal; the other bits are not.
  if ((header.flags & ~ike::flag_commit) != ike::flag_encryption) {
    return fail(ike::bad_header, "flags");
  }
  HashedMessage message;
  COHORT_TRY(message.opened, exchange.open(datagram));
  auto payloads = ike::walk(header.next, message.opened.plain, true);
  // A wrong key or IV shows as a broken chain: the same to the peer as a wrong HASH.
  if (!payloads) return fail(hash_mismatch, payloads.error().text());
  message.payloads = std::move(*payloads);
  if (message.payloads.empty() || message.payloads.front().type != PayloadType::hash) {
    return fail(hash_mismatch, fmt::format("{} does not begin with HASH", rule.name));
  }
  const Bytes expected = exchange.hash({nonces, after_hash(message.payloads)});
  if (!equal_constant_time(expected, message.payloads.front().body)) {
    return fail(hash_mismatch, std::string(rule.name));
  }
  COHORT_CHECK(check_message(rule, message.payloads));
  return message;
}

// ---- member -------------------------------------------------------------------------------------

Result<Bytes> PullInitiator::request(const IdPayload& group) {
  COHORT_CHECK(require(state_, PullEvent::send_1));
  ike::PayloadWriter chain;
  chain.add(PayloadType::nonce, ni_);
  chain.add(PayloadType::id, encode_id(group));
  return seal_hashed(exchange_, pull_1, {}, chain);
}

Result<SaPayload> PullInitiator::read_offer(ByteView datagram) {
  COHORT_CHECK(permits(state_, PullEvent::read_2));
  COHORT_TRY(const HashedMessage message, open_hashed(exchange_, pull_2, ni_, datagram));
  COHORT_TRY(Bytes nonce, decode_nonce(message.body(PayloadType::nonce)));
  COHORT_TRY(SaPayload policy, decode_sa(message.body(PayloadType::sa)));
  exchange_.commit(message.opened);
  nr_ = std::move(nonce);
  last_read_ = to_bytes(datagram);
  COHORT_CHECK(require(state_, PullEvent::read_2));
  return policy;
}

Result<Bytes> PullInitiator::prove(std::optional<std::uint16_t> sender_ids) {
  COHORT_CHECK(require(state_, PullEvent::send_3));
  ike::PayloadWriter chain;
  if (sender_ids) {
    GapPayload gap;
    gap.sender_id_request = sender_ids;
    chain.add(PayloadType::gap, encode_gap(gap));
  }
  return seal_hashed(exchange_, pull_3, joined(ni_, nr_), chain);
}

Result<PullInitiator::Keys> PullInitiator::read_keys(ByteView datagram) {
  COHORT_CHECK(permits(state_, PullEvent::read_4));
  COHORT_TRY(const HashedMessage message,
             open_hashed(exchange_, pull_4, joined(ni_, nr_), datagram));
  Keys keys;
  if (const ike::RawPayload* seq = find_payload(message.payloads, PayloadType::seq)) {
    COHORT_TRY(keys.seq, decode_seq(seq->body));
  }
  COHORT_TRY(keys.kd, decode_kd(message.body(PayloadType::kd)));
  exchange_.commit(message.opened);
  last_read_ = to_bytes(datagram);
  COHORT_CHECK(require(state_, PullEvent::read_4));
  return keys;
}

// ---- key server ---------------------------------------------------------------------------------

Result<IdPayload> PullResponder::read_request(ByteView datagram) {
  COHORT_CHECK(permits(state_, PullEvent::read_1));
  COHORT_TRY(const HashedMessage message, open_hashed(exchange_, pull_1, {}, datagram));
  COHORT_TRY(Bytes nonce, decode_nonce(message.body(PayloadType::nonce)));
  COHORT_TRY(IdPayload group, decode_id(message.body(PayloadType::id)));
  exchange_.commit(message.opened);
  ni_ = std::move(nonce);
  last_read_ = to_bytes(datagram);
  COHORT_CHECK(require(state_, PullEvent::read_1));
  return group;
}

Result<Bytes> PullResponder::offer(const SaPayload& policy) {
  COHORT_CHECK(require(state_, PullEvent::send_2));
  ike::PayloadWriter chain;
  chain.add(PayloadType::nonce, nr_);
  chain.add(PayloadType::sa, encode_sa(policy));
  COHORT_TRY(last_sent_, seal_hashed(exchange_, pull_2, ni_, chain));
  return last_sent_;
}

Result<GapPayload> PullResponder::read_proof(ByteView datagram) {
  COHORT_CHECK(permits(state_, PullEvent::read_3));
  COHORT_TRY(const HashedMessage message,
             open_hashed(exchange_, pull_3, joined(ni_, nr_), datagram));
  GapPayload gap;
  if (const ike::RawPayload* payload = find_payload(message.payloads, PayloadType::gap)) {
    COHORT_TRY(gap, decode_gap(payload->body));
  }
  exchange_.commit(message.opened);
  last_read_ = to_bytes(datagram);
  COHORT_CHECK(require(state_, PullEvent::read_3));
  return gap;
}

Result<Bytes> PullResponder::grant(std::optional<std::uint32_t> seq, const KdPayload& kd) {
  COHORT_CHECK(require(state_, PullEvent::send_4));
  ike::PayloadWriter chain;
  if (seq) chain.add(PayloadType::seq, encode_seq(*seq));
  Bytes body = encode_kd(kd);
  chain.add(PayloadType::kd, body);
  zeroize(body);
  auto sealed = seal_hashed(exchange_, pull_4, joined(ni_, nr_), chain);
  Bytes clear = chain.take();
  zeroize(clear);
  COHORT_TRY(last_sent_, std::move(sealed));
  return last_sent_;
}

const Bytes* PullResponder::cached_answer(ByteView datagram) const {
  if (last_sent_.empty() || !equal(last_read_, datagram)) return nullptr;
  return &last_sent_;
}

}  // namespace cohort::gdoi
