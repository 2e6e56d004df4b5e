#include <fmt/core.h>

#include "gdoi/payloads.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using ike::Attribute;

constexpr std::uint8_t type_tek = 1, type_kek = 2, type_sid = 4;

Status take_secret(const Attribute& attribute, Secret& slot) {
  if (attribute.basic || attribute.data.empty())
    return fail(ike::bad_payload, "a key without octets");
  if (!slot.empty())
    return fail(duplicate_attribute, fmt::format("key attribute {}", attribute.type));
  slot = Secret(attribute.data);
  return {};
}

// RFC 6407 section 5.6.1
Result<TekKeys> decode_tek(const std::vector<Attribute>& attributes) {
  TekKeys keys;
  for (const Attribute& attribute : attributes) {
    switch (attribute.type) {
      case 1:
        COHORT_CHECK(take_secret(attribute, keys.algorithm_key));
        break;
      case 2:
        COHORT_CHECK(take_secret(attribute, keys.integrity_key));
        break;
      default:
        return fail(unknown_attribute, fmt::format("TEK attribute {}", attribute.type));
    }
  }
  return keys;
}

// RFC 6407 section 5.6.2
Result<KekKeys> decode_kek(const std::vector<Attribute>& attributes) {
  KekKeys keys;
  for (const Attribute& attribute : attributes) {
    switch (attribute.type) {
      case 1:
        COHORT_CHECK(take_secret(attribute, keys.algorithm_key));
        break;
      case 2:
        if (!keys.signature_key.empty()) return fail(duplicate_attribute, "SIG_ALGORITHM_KEY");
        if (attribute.basic) return fail(ike::bad_payload, "SIG_ALGORITHM_KEY");
        keys.signature_key = to_bytes(attribute.data);
        break;
      default:
        return fail(unknown_attribute, fmt::format("KEK attribute {}", attribute.type));
    }
  }
  if (keys.algorithm_key.empty()) return fail(missing_attribute, "KEK_ALGORITHM_KEY");
  return keys;
}

// RFC 6407 section 5.6.4
Result<SenderIdKeys> decode_sid(const std::vector<Attribute>& attributes) {
  SenderIdKeys keys;
  for (const Attribute& attribute : attributes) {
    switch (attribute.type) {
      case 1: {
        if (keys.bits != 0) return fail(duplicate_attribute, "NUMBER_OF_SID_BITS");
        COHORT_TRY(const std::uint32_t bits, attribute.number());
        if (bits == 0 || bits > 32) return fail(ike::bad_payload, "NUMBER_OF_SID_BITS");
        keys.bits = static_cast<std::uint16_t>(bits);
        break;
      }
      case 2:
        if (attribute.basic || attribute.data.empty() || attribute.data.size() > 8) {
          return fail(ike::bad_payload, "SID_VALUE");
        }
        if (keys.values.size() == sender_ids_max) return fail(too_many_items, "SID_VALUE");
        keys.values.push_back(to_bytes(attribute.data));
        break;
      default:
        return fail(unknown_attribute, fmt::format("SID attribute {}", attribute.type));
    }
  }
  if (keys.bits == 0) return fail(missing_attribute, "NUMBER_OF_SID_BITS");
  return keys;
}

// Key packet, figure 10: KD Type(1) | RESERVED(1) | length(2) | SPI size(1) | SPI | attributes
Result<KeyPacket> decode_packet(Reader& in) {
  const std::uint8_t type = in.u8();
  in.skip(1);
  const std::size_t length = in.u16();
  const std::size_t spi_size = in.u8();
  if (!in.ok()) return fail(ike::truncated_message, "key packet");
  if (length < 5 + spi_size || length - 5 > in.remaining()) {
    return fail(ike::bad_length, "key packet");
  }
  KeyPacket packet;
  packet.spi = to_bytes(in.take(spi_size));
  COHORT_TRY(const auto attributes, ike::parse_attributes(in.take(length - 5 - spi_size)));
  const auto expect_spi = [spi_size](std::size_t size) -> Status {
    if (spi_size != size) return fail(ike::bad_length, "SPI of a key packet");
    return {};
  };
  if (type == type_tek) {
    COHORT_CHECK(expect_spi(4));
    COHORT_TRY(packet.keys, decode_tek(attributes));
  } else if (type == type_kek) {
    COHORT_CHECK(expect_spi(16));
    COHORT_TRY(packet.keys, decode_kek(attributes));
  } else if (type == type_sid) {
    COHORT_CHECK(expect_spi(0));
    COHORT_TRY(packet.keys, decode_sid(attributes));
  } else {
    return fail(unknown_attribute, fmt::format("key packet type {}", type));
  }
  return packet;
}

void write_keys(Writer& out, const TekKeys& keys) {
  if (!keys.algorithm_key.empty()) ike::write_variable(out, 1, keys.algorithm_key.view());
  if (!keys.integrity_key.empty()) ike::write_variable(out, 2, keys.integrity_key.view());
}
void write_keys(Writer& out, const KekKeys& keys) {
  ike::write_variable(out, 1, keys.algorithm_key.view());
  if (!keys.signature_key.empty()) ike::write_variable(out, 2, keys.signature_key);
}
void write_keys(Writer& out, const SenderIdKeys& keys) {
  ike::write_basic(out, 1, keys.bits);
  for (const Bytes& value : keys.values) ike::write_variable(out, 2, value);
}

constexpr std::uint8_t type_of(std::size_t variant_index) {
  constexpr std::uint8_t types[] = {type_tek, type_kek, type_sid};
  return types[variant_index];
}

void write_packet(Writer& out, const KeyPacket& packet) {
  const std::size_t start = out.size();
  out.u8(type_of(packet.keys.index())).u8(0).u16(0);
  out.u8(static_cast<std::uint8_t>(packet.spi.size())).bytes(packet.spi);
  std::visit([&out](const auto& keys) { write_keys(out, keys); }, packet.keys);
  out.patch_u16(start + 2, static_cast<std::uint16_t>(out.size() - start));
}

std::size_t variable_size(std::size_t data) {
  return data == 0 ? 0 : 4 + data;
}

}  // namespace

// KD, figure 9: number of key packets(2) | RESERVED2(2) | key packets
Result<KdPayload> decode_kd(ByteView body) {
  Reader in(body);
  const std::size_t count = in.u16();
  in.skip(2);
  if (!in.ok()) return fail(ike::truncated_message, "KD");
  if (count > key_packets_max) return fail(too_many_items, "key packets");
  KdPayload kd;
  std::size_t keks = 0;
  for (std::size_t i = 0; i < count; ++i) {
    COHORT_TRY(KeyPacket packet, decode_packet(in));
    if (std::holds_alternative<KekKeys>(packet.keys) && ++keks > 1) {
      return fail(too_many_items, "KEK key packets");  // section 5.6.2: only one
    }
    kd.packets.push_back(std::move(packet));
  }
  if (!in.empty()) return fail(ike::bad_length, "octets after the last key packet");
  return kd;
}

Bytes encode_kd(const KdPayload& kd) {
  Writer out;
  out.u16(static_cast<std::uint16_t>(kd.packets.size())).u16(0);
  for (const KeyPacket& packet : kd.packets) write_packet(out, packet);
  return out.take();
}

std::size_t encoded_size(const KeyPacket& packet) {
  std::size_t size = 5 + packet.spi.size();
  if (const auto* tek = std::get_if<TekKeys>(&packet.keys)) {
    size += variable_size(tek->algorithm_key.size()) + variable_size(tek->integrity_key.size());
  } else if (const auto* kek = std::get_if<KekKeys>(&packet.keys)) {
    size += variable_size(kek->algorithm_key.size()) + variable_size(kek->signature_key.size());
  } else if (const auto* sid = std::get_if<SenderIdKeys>(&packet.keys)) {
    size += 4;
    for (const Bytes& value : sid->values) size += variable_size(value.size());
  }
  return size;
}

}  // namespace cohort::gdoi
