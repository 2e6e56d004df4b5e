#include "controlplane/ike/message.hpp"

#include <algorithm>
#include <cassert>
#include <fmt/format.h>

namespace cohort::ike {

namespace {

constexpr std::size_t payloads_max = 64;
constexpr std::size_t attributes_max = 64;
constexpr std::size_t generic_header = 4;
constexpr std::uint8_t version_1_0 = 0x10;
constexpr std::uint16_t attribute_basic = 0x8000;

Cookie cookie_of(ByteView octets) {
  Cookie cookie{};
  if (octets.size() == cookie.size()) std::copy(octets.begin(), octets.end(), cookie.begin());
  return cookie;
}

}  // namespace

std::string_view name_of(PayloadType type) {
  switch (type) {
    case PayloadType::none:
      return "NONE";
    case PayloadType::sa:
      return "SA";
    case PayloadType::proposal:
      return "P";
    case PayloadType::transform:
      return "T";
    case PayloadType::ke:
      return "KE";
    case PayloadType::id:
      return "ID";
    case PayloadType::cert:
      return "CERT";
    case PayloadType::cert_request:
      return "CERTREQ";
    case PayloadType::hash:
      return "HASH";
    case PayloadType::sig:
      return "SIG";
    case PayloadType::nonce:
      return "NONCE";
    case PayloadType::notify:
      return "N";
    case PayloadType::del:
      return "D";
    case PayloadType::vendor_id:
      return "VID";
    case PayloadType::sa_kek:
      return "SAK";
    case PayloadType::sa_tek:
      return "SAT";
    case PayloadType::kd:
      return "KD";
    case PayloadType::seq:
      return "SEQ";
    case PayloadType::nat_d:
      return "NAT-D";
    case PayloadType::nat_oa:
      return "NAT-OA";
    case PayloadType::gap:
      return "GAP";
    case PayloadType::fragment:
      return "FRAGMENT";
  }
  return "unknown";
}

std::string_view name_of(NotifyType type) {
  switch (type) {
    case NotifyType::invalid_payload_type:
      return "INVALID-PAYLOAD-TYPE";
    case NotifyType::doi_not_supported:
      return "DOI-NOT-SUPPORTED";
    case NotifyType::invalid_cookie:
      return "INVALID-COOKIE";
    case NotifyType::invalid_major_version:
      return "INVALID-MAJOR-VERSION";
    case NotifyType::invalid_exchange_type:
      return "INVALID-EXCHANGE-TYPE";
    case NotifyType::invalid_message_id:
      return "INVALID-MESSAGE-ID";
    case NotifyType::no_proposal_chosen:
      return "NO-PROPOSAL-CHOSEN";
    case NotifyType::bad_proposal_syntax:
      return "BAD-PROPOSAL-SYNTAX";
    case NotifyType::payload_malformed:
      return "PAYLOAD-MALFORMED";
    case NotifyType::invalid_key_information:
      return "INVALID-KEY-INFORMATION";
    case NotifyType::invalid_id_information:
      return "INVALID-ID-INFORMATION";
    case NotifyType::invalid_certificate:
      return "INVALID-CERTIFICATE";
    case NotifyType::authentication_failed:
      return "AUTHENTICATION-FAILED";
    case NotifyType::invalid_signature:
      return "INVALID-SIGNATURE";
    case NotifyType::certificate_unavailable:
      return "CERTIFICATE-UNAVAILABLE";
    case NotifyType::initial_contact:
      return "INITIAL-CONTACT";
    case NotifyType::dpd_are_you_there:
      return "R-U-THERE";
    case NotifyType::dpd_ack:
      return "R-U-THERE-ACK";
  }
  return "unknown";
}

Result<Header> Header::parse(ByteView datagram) {
  if (datagram.size() < size)
    return fail(truncated_message,
                fmt::format("{} octets; an ISAKMP header has {}", datagram.size(), size));
  Reader in(datagram);
  Header header;
  header.initiator = cookie_of(in.take(8));
  header.responder = cookie_of(in.take(8));
  header.next = static_cast<PayloadType>(in.u8());
  const std::uint8_t version = in.u8();
  header.exchange = static_cast<ExchangeType>(in.u8());
  header.flags = in.u8();
  header.message_id = in.u32();
  header.length = in.u32();
  if (version != version_1_0)
    return fail(bad_header, fmt::format("version {}.{}", version >> 4, version & 15));
  if (header.initiator == Cookie{}) return fail(bad_header, "the initiator's cookie is zero");
  if (header.length != datagram.size())
    return fail(bad_length, fmt::format("length field {} in a datagram of {} octets", header.length,
                                        datagram.size()));
  return header;
}

void Header::write(Writer& out) const {
  out.bytes(initiator)
      .bytes(responder)
      .u8(static_cast<std::uint8_t>(next))
      .u8(version_1_0)
      .u8(static_cast<std::uint8_t>(exchange))
      .u8(flags)
      .u32(message_id)
      .u32(length);
}

//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// +---------------+---------------+-------------------------------+
// ! Next Payload  !   RESERVED    !         Payload Length        !   RFC 2408 section 3.2
// +---------------+---------------+-------------------------------+
Result<std::vector<RawPayload>> walk(PayloadType first, ByteView chain, bool padded) {
  std::vector<RawPayload> payloads;
  Reader in(chain);
  for (PayloadType type = first; type != PayloadType::none;) {
    if (payloads.size() == payloads_max) return fail(too_many_payloads);
    if (in.remaining() < generic_header)
      return fail(truncated_message, fmt::format("before the header of {}", name_of(type)));
    const std::size_t start = in.offset();
    const auto next = static_cast<PayloadType>(in.u8());
    in.skip(1);  // RESERVED: senders differ, nothing depends on it
    const std::size_t length = in.u16();
    if (length < generic_header || length - generic_header > in.remaining())
      return fail(bad_length, fmt::format("{} announces {} octets", name_of(type), length));
    const ByteView body = in.take(length - generic_header);
    payloads.push_back({type, chain.subspan(start, length), body});
    type = next;
  }
  if (!padded && !in.empty())
    return fail(bad_length, fmt::format("{} octets after the last payload", in.remaining()));
  return payloads;
}

void PayloadWriter::add(PayloadType type, ByteView body) {
  assert(body.size() + generic_header <= 0xffff);
  const std::size_t start = out_.size();
  if (start == 0)
    first_ = type;
  else  // the next-payload octet and RESERVED, which is zero, as one 16-bit field
    out_.patch_u16(last_, static_cast<std::uint16_t>(static_cast<unsigned>(type) << 8));
  out_.u8(0).u8(0).u16(static_cast<std::uint16_t>(generic_header + body.size())).bytes(body);
  last_ = start;
}

PayloadType PayloadWriter::first() const {
  return first_;
}

Result<std::uint32_t> Attribute::number() const {
  if (basic) return value;
  std::uint32_t number = 0;
  if (data.empty()) return fail(bad_payload, fmt::format("attribute {} has no value", type));
  for (const std::uint8_t octet : data) {
    if (number >> 24 != 0)
      return fail(bad_payload, fmt::format("attribute {} of {} octets", type, data.size()));
    number = (number << 8) | octet;
  }
  return number;
}

//  !A!       Attribute Type        !    AF=0  Attribute Length     !
//  !F!                             !    AF=1  Attribute Value      !   RFC 2408 section 3.3
//  .                   AF=0  Attribute Value                       .
Result<std::vector<Attribute>> parse_attributes(ByteView data) {
  std::vector<Attribute> attributes;
  Reader in(data);
  while (!in.empty()) {
    if (attributes.size() == attributes_max) return fail(bad_payload, "too many attributes");
    const std::uint16_t head = in.u16();
    const std::uint16_t field = in.u16();
    Attribute attribute;
    attribute.type = head & static_cast<std::uint16_t>(~attribute_basic);
    attribute.basic = (head & attribute_basic) != 0;
    if (attribute.basic)
      attribute.value = field;
    else
      attribute.data = in.take(field);
    if (!in.ok()) return fail(bad_length, fmt::format("attribute {}", attribute.type));
    attributes.push_back(attribute);
  }
  return attributes;
}

void write_basic(Writer& out, std::uint16_t type, std::uint16_t value) {
  out.u16(static_cast<std::uint16_t>(type | attribute_basic)).u16(value);
}

void write_variable(Writer& out, std::uint16_t type, ByteView data) {
  out.u16(type).u16(static_cast<std::uint16_t>(data.size())).bytes(data);
}

}  // namespace cohort::ike
