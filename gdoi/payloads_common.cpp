#include <fmt/core.h>

#include "gdoi/payloads.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {

// SEQ: RFC 6407 section 5.7, figure 14; the payload is always 8 octets
Result<std::uint32_t> decode_seq(ByteView body) {
  Reader in(body);
  const std::uint32_t value = in.u32();
  if (!in.ok() || !in.empty()) return fail(ike::bad_length, "SEQ");
  return value;
}

Bytes encode_seq(std::uint32_t value) {
  Writer out;
  out.u32(value);
  return out.take();
}

// ID: RFC 2408 section 3.8 and RFC 6407 section 5.1: type(1) | protocol(1) | port(2) | data
Result<IdPayload> decode_id(ByteView body) {
  Reader in(body);
  IdPayload id;
  id.type = in.u8();
  id.protocol = in.u8();
  id.port = in.u16();
  if (!in.ok()) return fail(ike::truncated_message, "ID");
  if (id.protocol != 0 || id.port != 0) {
    return fail(ike::bad_payload, "ID with a protocol or a port");
  }
  id.data = to_bytes(in.rest());
  if (id.data.empty()) return fail(ike::bad_payload, "ID without data");
  return id;
}

Bytes encode_id(const IdPayload& id) {
  Writer out;
  out.u8(id.type).u8(id.protocol).u16(id.port).bytes(id.data);
  return out.take();
}

// Delete: RFC 2408 section 3.15: DOI(4) | protocol(1) | SPI size(1) | number(2) | SPIs
Result<DeletePayload> decode_delete(ByteView body) {
  Reader in(body);
  const std::uint32_t doi = in.u32();
  DeletePayload del;
  del.protocol = in.u8();
  del.spi_size = in.u8();
  const std::size_t count = in.u16();
  if (!in.ok()) return fail(ike::truncated_message, "Delete");
  if (doi != ike::doi_gdoi) return fail(wrong_doi, fmt::format("Delete with DOI {}", doi));
  const std::size_t expected = del.protocol == protocol_kek ? 16 : 4;
  if (del.spi_size != expected) return fail(ike::bad_length, "SPI size of a Delete");
  if (count > delete_spis_max) return fail(too_many_items, "SPIs of a Delete");
  if (in.remaining() != count * del.spi_size) return fail(ike::bad_length, "SPIs of a Delete");
  for (std::size_t i = 0; i < count; ++i) del.spis.push_back(to_bytes(in.take(del.spi_size)));
  return del;
}

Bytes encode_delete(const DeletePayload& del) {
  Writer out;
  out.u32(ike::doi_gdoi).u8(del.protocol).u8(del.spi_size);
  out.u16(static_cast<std::uint16_t>(del.spis.size()));
  for (const Bytes& spi : del.spis) out.bytes(spi);
  return out.take();
}

Result<Bytes> decode_nonce(ByteView body) {
  if (body.size() < nonce_size_min || body.size() > nonce_size_max) {
    return fail(nonce_size, fmt::format("{} octets", body.size()));
  }
  return to_bytes(body);
}

}  // namespace cohort::gdoi
