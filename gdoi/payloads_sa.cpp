#include <fmt/core.h>

#include "gdoi/group_clock.hpp"
#include "gdoi/payloads.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using ike::Attribute;
using ike::PayloadType;

constexpr std::uint16_t life_in_seconds = 1, life_in_kilobytes = 2;
constexpr std::uint16_t replay_window_attribute = 32001, time_window_attribute = 32002;
constexpr std::uint16_t group_time_attribute = 200;

// ---- identities ---------------------------------------------------------------------------------

WireIdentity read_identity(Reader& in) {
  WireIdentity id;
  id.type = in.u8();
  id.port = in.u16();
  const std::size_t length = in.u8();
  id.data = to_bytes(in.take(length));
  return id;
}

void write_identity(Writer& out, const WireIdentity& id) {
  out.u8(id.type).u16(id.port).u8(static_cast<std::uint8_t>(id.data.size())).bytes(id.data);
}

// ---- attributes ---------------------------------------------------------------------------------

/// Stores a basic attribute into `slot`, once.
Status take_basic(const Attribute& attribute, std::optional<std::uint16_t>& slot) {
  if (slot) return fail(duplicate_attribute, fmt::format("attribute {}", attribute.type));
  COHORT_TRY(const std::uint32_t value, attribute.number());
  if (value > 0xffff) return fail(ike::bad_payload, fmt::format("attribute {}", attribute.type));
  slot = static_cast<std::uint16_t>(value);
  return {};
}

Status take_number(const Attribute& attribute, std::optional<WireNumber>& slot) {
  if (slot) return fail(duplicate_attribute, fmt::format("attribute {}", attribute.type));
  COHORT_TRY(const std::uint32_t value, attribute.number());
  slot = WireNumber{value, attribute.basic};
  return {};
}

void write_optional(Writer& out, std::uint16_t type, const std::optional<std::uint16_t>& value) {
  if (value) ike::write_basic(out, type, *value);
}

void write_number(Writer& out, std::uint16_t type, const WireNumber& number) {
  if (number.basic) {
    ike::write_basic(out, type, static_cast<std::uint16_t>(number.value));
    return;
  }
  Writer data;
  data.u32(number.value);
  ike::write_variable(out, type, data.view());
}

// ---- SAK: RFC 6407 section 5.3, figure 5 --------------------------------------------------------
//  Protocol(1) | SRC identity | DST identity | SPI(16) | RESERVED2(4) | KEK attributes

Status read_kek_attribute(const Attribute& attribute, SakPayload& sak,
                          std::optional<std::uint16_t>& algorithm,
                          std::optional<std::uint16_t>& signature) {
  switch (attribute.type) {
    case 1:
      return take_basic(attribute, sak.management);
    case 2:
      return take_basic(attribute, algorithm);
    case 3:
      return take_basic(attribute, sak.key_bits);
    case 4:
      return take_number(attribute, sak.lifetime_s);
    case 5:
      return take_basic(attribute, sak.signature_hash);
    case 6:
      return take_basic(attribute, signature);
    case 7:
      return take_basic(attribute, sak.signature_key_bits);
    case 9:
      return take_basic(attribute, sak.ack_requested);
    default:
      return fail(unknown_attribute, fmt::format("SAK attribute {}", attribute.type));
  }
}

Result<SakPayload> decode_sak(ByteView body) {
  Reader in(body);
  SakPayload sak;
  sak.protocol = in.u8();
  sak.source = read_identity(in);
  sak.destination = read_identity(in);
  const ByteView spi = in.take(sak.spi.size());
  in.skip(4);  // RESERVED2: RFC 3547 put POP fields here, so the value is not looked at
  if (!in.ok()) return fail(ike::truncated_message, "SAK");
  std::copy(spi.begin(), spi.end(), sak.spi.begin());
  COHORT_TRY(const auto attributes, ike::parse_attributes(in.rest()));
  std::optional<std::uint16_t> algorithm, signature;
  for (const Attribute& attribute : attributes) {
    COHORT_CHECK(read_kek_attribute(attribute, sak, algorithm, signature));
  }
  if (!algorithm) return fail(missing_attribute, "KEK_ALGORITHM");
  if (!signature) return fail(missing_attribute, "SIG_ALGORITHM");
  sak.algorithm = *algorithm;
  sak.signature_algorithm = *signature;
  return sak;
}

Bytes encode_sak(const SakPayload& sak) {
  Writer out;
  out.u8(sak.protocol);
  write_identity(out, sak.source);
  write_identity(out, sak.destination);
  out.bytes(sak.spi).u32(0);
  write_optional(out, 1, sak.management);
  ike::write_basic(out, 2, sak.algorithm);
  write_optional(out, 3, sak.key_bits);
  if (sak.lifetime_s) write_number(out, 4, *sak.lifetime_s);
  write_optional(out, 5, sak.signature_hash);
  ike::write_basic(out, 6, sak.signature_algorithm);
  write_optional(out, 7, sak.signature_key_bits);
  write_optional(out, 9, sak.ack_requested);
  return out.take();
}

// ---- SAT: RFC 6407 section 5.5, figures 7 and 8 -------------------------------------------------
//  Protocol-ID(1) | Protocol(1) | SRC identity | DST identity | Transform(1) | SPI(4) | attributes

/// Life Type announces the unit of the Life Duration that follows it (RFC 2407 section 4.5).
struct LifeReader {
  std::optional<std::uint32_t> unit;

  Status type(const Attribute& attribute) {
    if (unit) return fail(ike::bad_payload, "a Life Type without its Life Duration");
    COHORT_TRY(unit, attribute.number());
    if (*unit != life_in_seconds && *unit != life_in_kilobytes) {
      return fail(unknown_attribute, fmt::format("Life Type {}", *unit));
    }
    return {};
  }
  Status duration(const Attribute& attribute, EspSat& sat) {
    if (!unit) return fail(ike::bad_payload, "a Life Duration without its Life Type");
    auto& slot = *unit == life_in_seconds ? sat.lifetime_s : sat.lifetime_kb;
    unit.reset();
    return take_number(attribute, slot);
  }
};

Status read_tek_attribute(const Attribute& attribute, EspSat& sat, LifeReader& life) {
  switch (attribute.type) {
    case 1:
      return life.type(attribute);
    case 2:
      return life.duration(attribute, sat);
    case 3:
      return {};  // Group Description: ignored by RFC 6407 section 5.5.1
    case 4:
      return take_basic(attribute, sat.encapsulation);
    case 5:
      return take_basic(attribute, sat.authentication);
    case 6:
      return take_basic(attribute, sat.key_bits);
    case 14:
      return take_basic(attribute, sat.address_preservation);
    case 15:
      return take_basic(attribute, sat.direction);
    case replay_window_attribute:
      return take_basic(attribute, sat.replay_window);
    case time_window_attribute:
      return take_basic(attribute, sat.time_window);
    default:
      return fail(unknown_attribute, fmt::format("SAT attribute {}", attribute.type));
  }
}

Result<EspSat> decode_esp(Reader in) {
  EspSat sat;
  sat.ip_protocol = in.u8();
  sat.source = read_identity(in);
  sat.destination = read_identity(in);
  sat.transform = in.u8();
  sat.spi = in.u32();
  if (!in.ok()) return fail(ike::truncated_message, "SAT");
  COHORT_TRY(const auto attributes, ike::parse_attributes(in.rest()));
  LifeReader life;
  for (const Attribute& attribute : attributes) {
    COHORT_CHECK(read_tek_attribute(attribute, sat, life));
  }
  if (life.unit) return fail(ike::bad_payload, "a Life Type without its Life Duration");
  return sat;
}

Result<ExclusionSat> decode_exclusion(Reader in) {
  ExclusionSat sat;
  sat.ip_protocol = in.u8();
  sat.source = read_identity(in);
  sat.destination = read_identity(in);
  sat.source_port_last = in.u16();
  sat.destination_port_last = in.u16();
  sat.id = in.u32();
  if (!in.ok()) return fail(ike::truncated_message, "SAT of an exclusion");
  if (!in.empty()) return fail(ike::bad_length, "SAT of an exclusion");
  return sat;
}

Result<SatPayload> decode_sat(ByteView body) {
  Reader in(body);
  SatPayload sat;
  sat.protocol = in.u8();
  if (!in.ok()) return fail(ike::truncated_message, "SAT");
  if (sat.protocol == protocol_esp || sat.protocol == protocol_ah) {
    COHORT_TRY(sat.body, decode_esp(in));
  } else if (sat.protocol == protocol_exclusion) {
    COHORT_TRY(sat.body, decode_exclusion(in));
  } else {
    sat.body = to_bytes(in.rest());
  }
  return sat;
}

void write_body(Writer& out, const EspSat& sat) {
  out.u8(sat.ip_protocol);
  write_identity(out, sat.source);
  write_identity(out, sat.destination);
  out.u8(sat.transform).u32(sat.spi);
  write_optional(out, 4, sat.encapsulation);
  write_optional(out, 5, sat.authentication);
  if (sat.lifetime_s) {
    ike::write_basic(out, 1, life_in_seconds);
    write_number(out, 2, *sat.lifetime_s);
  }
  if (sat.lifetime_kb) {
    ike::write_basic(out, 1, life_in_kilobytes);
    write_number(out, 2, *sat.lifetime_kb);
  }
  write_optional(out, 6, sat.key_bits);
  write_optional(out, 14, sat.address_preservation);
  write_optional(out, 15, sat.direction);
  write_optional(out, replay_window_attribute, sat.replay_window);
  write_optional(out, time_window_attribute, sat.time_window);
}

void write_body(Writer& out, const ExclusionSat& sat) {
  out.u8(sat.ip_protocol);
  write_identity(out, sat.source);
  write_identity(out, sat.destination);
  out.u16(sat.source_port_last).u16(sat.destination_port_last).u32(sat.id);
}

void write_body(Writer& out, const Bytes& body) {
  out.bytes(body);
}

Bytes encode_sat(const SatPayload& sat) {
  Writer out;
  out.u8(sat.protocol);
  std::visit([&out](const auto& body) { write_body(out, body); }, sat.body);
  return out.take();
}

// ---- the chain of SA attribute payloads ---------------------------------------------------------

Status read_one(PayloadType type, ByteView body, SaPayload& sa) {
  switch (type) {
    case PayloadType::sa_kek: {
      if (sa.sak || sa.gap || !sa.sats.empty()) return fail(payload_order, "SAK");
      COHORT_TRY(sa.sak, decode_sak(body));
      return {};
    }
    case PayloadType::gap: {
      if (sa.gap || !sa.sats.empty()) return fail(payload_order, "GAP");
      COHORT_TRY(sa.gap, decode_gap(body));
      return {};
    }
    case PayloadType::sa_tek: {
      if (sa.sats.size() == sa_teks_max) return fail(too_many_items, "SATs");
      COHORT_TRY(SatPayload sat, decode_sat(body));
      sa.sats.push_back(std::move(sat));
      return {};
    }
    default:
      return fail(ike::unexpected_payload, "only SAK, GAP and SAT follow an SA");
  }
}

Status read_chain(std::uint16_t first, Reader& in, SaPayload& sa) {
  if (first > 255) return fail(ike::unexpected_payload, "SA Attribute Next Payload");
  auto next = static_cast<PayloadType>(first);
  while (next != PayloadType::none) {
    const PayloadType type = next;
    next = static_cast<PayloadType>(in.u8());
    in.skip(1);  // RESERVED
    const std::size_t length = in.u16();
    if (!in.ok()) return fail(ike::truncated_message, "SA attribute payload");
    if (length < 4 || length - 4 > in.remaining()) {
      return fail(ike::bad_length, "SA attribute payload");
    }
    COHORT_CHECK(read_one(type, in.take(length - 4), sa));
  }
  if (!in.empty()) return fail(ike::bad_length, "octets after the last SA attribute payload");
  return {};
}

}  // namespace

// SA: RFC 6407 section 5.2, figure 4, without the generic header
//  DOI(4)=2 | Situation(4)=0 | SA Attribute Next Payload(2) | RESERVED2(2) | SAK, GAP, SATs
Result<SaPayload> decode_sa(ByteView body) {
  Reader in(body);
  const std::uint32_t doi = in.u32();
  const std::uint32_t situation = in.u32();
  const std::uint16_t first = in.u16();
  in.skip(2);
  if (!in.ok()) return fail(ike::truncated_message, "SA");
  if (doi != ike::doi_gdoi) return fail(wrong_doi, fmt::format("SA with DOI {}", doi));
  if (situation != 0) return fail(ike::bad_payload, "SA with a Situation");
  SaPayload sa;
  COHORT_CHECK(read_chain(first, in, sa));
  if (!sa.sak && sa.sats.empty()) return fail(ike::bad_payload, "SA without SAK and SAT");
  return sa;
}

Bytes encode_sa(const SaPayload& sa) {
  ike::PayloadWriter chain;
  if (sa.sak) chain.add(PayloadType::sa_kek, encode_sak(*sa.sak));
  if (sa.gap) chain.add(PayloadType::gap, encode_gap(*sa.gap));
  for (const SatPayload& sat : sa.sats) chain.add(PayloadType::sa_tek, encode_sat(sat));
  Writer out;
  out.u32(ike::doi_gdoi).u32(0).u16(static_cast<std::uint16_t>(chain.first())).u16(0);
  out.bytes(chain.view());
  return out.take();
}

namespace {

Status take_group_time(const Attribute& attribute, std::optional<std::uint64_t>& slot) {
  if (slot) return fail(duplicate_attribute, "the group's time");
  Reader in(attribute.data);
  const std::uint64_t ms = in.u64();
  if (attribute.basic || !in.ok() || !in.empty() || ms > group_time_max_ms) {
    return fail(ike::bad_payload, "the group's time");
  }
  slot = ms;
  return {};
}

}  // namespace

// GAP: RFC 6407 section 5.4, figure 6
Result<GapPayload> decode_gap(ByteView body) {
  COHORT_TRY(const auto attributes, ike::parse_attributes(body));
  GapPayload gap;
  for (const Attribute& attribute : attributes) {
    switch (attribute.type) {
      case 1:
        COHORT_CHECK(take_basic(attribute, gap.activation_delay_s));
        break;
      case 2:
        COHORT_CHECK(take_basic(attribute, gap.deactivation_delay_s));
        break;
      case 3:
        COHORT_CHECK(take_basic(attribute, gap.sender_id_request));
        break;
      case group_time_attribute:
        COHORT_CHECK(take_group_time(attribute, gap.group_time_ms));
        break;
      default:
        return fail(unknown_attribute, fmt::format("GAP attribute {}", attribute.type));
    }
  }
  return gap;
}

Bytes encode_gap(const GapPayload& gap) {
  Writer out;
  write_optional(out, 1, gap.activation_delay_s);
  write_optional(out, 2, gap.deactivation_delay_s);
  write_optional(out, 3, gap.sender_id_request);
  if (gap.group_time_ms) {
    Writer time;
    time.u64(*gap.group_time_ms);
    ike::write_variable(out, group_time_attribute, time.view());
  }
  return out.take();
}

std::size_t encoded_size(const SatPayload& sat) {
  return 4 + encode_sat(sat).size();
}

}  // namespace cohort::gdoi
