#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"

/// ISAKMP header and payload framing (RFC 2408 section 3), shared by IKEv1 and GDOI.
namespace cohort::ike {

inline constexpr Reason truncated_message{"truncated_message",
                                          "the message ends before a field it announces"};
inline constexpr Reason bad_header{"bad_header", "the ISAKMP header is not a version 1.0 header"};
inline constexpr Reason bad_length{"bad_length",
                                   "a length field disagrees with the octets that are there"};
inline constexpr Reason bad_payload{"bad_payload", "a payload's content breaks its RFC's rules"};
inline constexpr Reason unexpected_payload{
    "unexpected_payload", "a payload that this message must not carry, or not in this place"};
inline constexpr Reason too_many_payloads{"too_many_payloads",
                                          "the message has more payloads than any valid one"};

enum class PayloadType : std::uint8_t {
  none = 0,
  sa = 1,
  proposal = 2,
  transform = 3,
  ke = 4,
  id = 5,
  cert = 6,
  cert_request = 7,
  hash = 8,
  sig = 9,
  nonce = 10,
  notify = 11,
  del = 12,
  vendor_id = 13,
  sa_kek = 15,
  sa_tek = 16,
  kd = 17,
  seq = 18,
  nat_d = 20,
  nat_oa = 21,
  gap = 22,
  fragment = 132
};
[[nodiscard]] std::string_view name_of(PayloadType type);

enum class ExchangeType : std::uint8_t {
  none = 0,
  identity_protection = 2,
  aggressive = 4,
  informational = 5,
  groupkey_pull = 32,
  groupkey_push = 33,
  groupkey_push_ack = 35,
  coop = 245  ///< private use; docs/coop-protocol.md
};

enum class NotifyType : std::uint16_t {
  invalid_payload_type = 1,
  doi_not_supported = 2,
  invalid_cookie = 4,
  invalid_major_version = 5,
  invalid_exchange_type = 7,
  invalid_message_id = 9,
  no_proposal_chosen = 14,
  bad_proposal_syntax = 15,
  payload_malformed = 16,
  invalid_key_information = 17,
  invalid_id_information = 18,
  invalid_certificate = 20,
  authentication_failed = 24,
  invalid_signature = 25,
  certificate_unavailable = 28,
  initial_contact = 24578,
  dpd_are_you_there = 36136,
  dpd_ack = 36137
};
[[nodiscard]] std::string_view name_of(NotifyType type);

inline constexpr std::uint32_t doi_ipsec = 1;
inline constexpr std::uint32_t doi_gdoi = 2;

using Cookie = std::array<std::uint8_t, 8>;

inline constexpr std::uint8_t flag_encryption = 0x01;
inline constexpr std::uint8_t flag_commit = 0x02;
inline constexpr std::uint8_t flag_authentication = 0x04;

/// RFC 2408 section 3.1, 28 octets.
struct Header {
  static constexpr std::size_t size = 28;
  Cookie initiator{};
  Cookie responder{};
  PayloadType next = PayloadType::none;
  ExchangeType exchange = ExchangeType::none;
  std::uint8_t flags = 0;
  std::uint32_t message_id = 0;
  std::uint32_t length = 0;

  [[nodiscard]] bool encrypted() const { return (flags & flag_encryption) != 0; }
  /// Checks version and that `length` equals the datagram's size.
  static Result<Header> parse(ByteView datagram);
  void write(Writer& out) const;
};

/// One payload as it stands in the message: `whole` with the generic header, `body` without.
struct RawPayload {
  PayloadType type;
  ByteView whole;
  ByteView body;
};

/// Walks a payload chain. `padded`: what follows the last payload is encryption padding and
/// ignored. Bounded to 64 payloads.
[[nodiscard]] Result<std::vector<RawPayload>> walk(PayloadType first, ByteView chain, bool padded);

/// Builds a payload chain; the types of the next-payload fields follow from the order of adding.
class PayloadWriter {
 public:
  void add(PayloadType type, ByteView body);
  [[nodiscard]] PayloadType first() const;
  [[nodiscard]] ByteView view() const { return out_.view(); }
  [[nodiscard]] Bytes take() { return out_.take(); }

 private:
  Writer out_;
  PayloadType first_ = PayloadType::none;
  std::size_t last_ = 0;  // offset of the last payload's next-payload field
};

/// An ISAKMP data attribute (RFC 2408 section 3.3): basic (TV) or variable (TLV).
struct Attribute {
  std::uint16_t type = 0;
  bool basic = true;
  std::uint16_t value = 0;  ///< when basic
  ByteView data;            ///< when variable
  /// The value as an integer: basic, or variable with zeros before 4 octets at most.
  [[nodiscard]] Result<std::uint32_t> number() const;
};
[[nodiscard]] Result<std::vector<Attribute>> parse_attributes(ByteView data);
void write_basic(Writer& out, std::uint16_t type, std::uint16_t value);
void write_variable(Writer& out, std::uint16_t type, ByteView data);

}  // namespace cohort::ike
