#include <algorithm>
#include <array>
#include <fmt/core.h>

#include "controlplane/crypto/hash.hpp"
#include "gdoi/groupkey_push.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using ike::PayloadType;

crypto::Hash prf_of(AckType type) {
  return type == AckType::kek_sha512 ? crypto::Hash::sha512 : crypto::Hash::sha256;
}

/// RFC 8263 section 3.2: ack_key = prf(base_key, "GROUPKEY-PUSH ACK" NUL | SPI | L), where the
/// base key is the KEK without its IV.
Bytes ack_key(AckType type, const Kek& kek, std::uint16_t bits) {
  constexpr std::string_view label{"GROUPKEY-PUSH ACK\0", 18};
  Writer length;
  length.u16(bits);
  return crypto::hmac(prf_of(type), kek.key.view(), {as_bytes(label), kek.spi, length.view()});
}

/// "L MUST match the length of the base_key (i.e., 512 bits for PRF-HMAC-SHA-256)": the block.
std::uint16_t length_sent(AckType type) {
  return type == AckType::kek_sha512 ? 1024 : 512;
}
/// "L is … the number of bits in the ack_key": the output. The same paragraph says both.
std::uint16_t length_other(AckType type) {
  return type == AckType::kek_sha512 ? 512 : 256;
}

}  // namespace

Bytes make_push_ack(AckType type, const Kek& kek, std::uint32_t seq, const IdPayload& id) {
  ike::PayloadWriter signed_part;
  signed_part.add(PayloadType::seq, encode_seq(seq));
  signed_part.add(PayloadType::id, encode_id(id));
  Bytes key = ack_key(type, kek, length_sent(type));
  const Bytes hash = crypto::hmac(prf_of(type), key, {signed_part.view()});
  zeroize(key);
  ike::Header header;
  std::copy_n(kek.spi.begin(), 8, header.initiator.begin());
  std::copy_n(kek.spi.begin() + 8, 8, header.responder.begin());
  header.next = PayloadType::hash;
  header.exchange = ike::ExchangeType::groupkey_push_ack;
  header.length =
      static_cast<std::uint32_t>(ike::Header::size + 4 + hash.size() + signed_part.view().size());
  Writer out;
  header.write(out);
  out.u8(static_cast<std::uint8_t>(PayloadType::seq)).u8(0);
  out.u16(static_cast<std::uint16_t>(4 + hash.size())).bytes(hash).bytes(signed_part.view());
  return out.take();
}

Result<PushAck> read_push_ack(AckType type, const Kek& kek, ByteView datagram) {
  COHORT_TRY(const ike::Header header, ike::Header::parse(datagram));
  if (header.exchange != ike::ExchangeType::groupkey_push_ack || header.flags != 0 ||
      header.message_id != 0) {
    return fail(ike::bad_header, "GROUPKEY-PUSH-ACK");
  }
  COHORT_TRY(const auto payloads,
             ike::walk(header.next, datagram.subspan(ike::Header::size), false));
  COHORT_CHECK(check_message(push_ack, payloads));
  const ByteView covered = datagram.subspan(ike::Header::size + payloads[0].whole.size());
  bool matches = false;
  for (const std::uint16_t bits : {length_sent(type), length_other(type)}) {
    Bytes key = ack_key(type, kek, bits);
    const Bytes expected = crypto::hmac(prf_of(type), key, {covered});
    zeroize(key);
    matches = matches || equal_constant_time(expected, payloads[0].body);
  }
  if (!matches) return fail(hash_mismatch, "GROUPKEY-PUSH-ACK");
  PushAck ack;
  COHORT_TRY(ack.seq, decode_seq(payloads[1].body));
  COHORT_TRY(ack.id, decode_id(payloads[2].body));
  return ack;
}

}  // namespace cohort::gdoi
