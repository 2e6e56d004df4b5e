#include "controlplane/ike/payloads.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "controlplane/crypto/reasons.hpp"

namespace cohort::ike {

//  !              Domain of Interpretation  (DOI)                  !   RFC 2408 section 3.14
//  !  Protocol-ID  !   SPI Size    !      Notify Message Type      !
//  ~                Security Parameter Index (SPI)                 ~
//  ~                       Notification Data                       ~
Result<Notify> Notify::parse(ByteView body) {
  Reader in(body);
  Notify notify;
  notify.doi = in.u32();
  notify.protocol = in.u8();
  const std::size_t spi_size = in.u8();
  notify.type = static_cast<NotifyType>(in.u16());
  notify.spi = in.take(spi_size);
  notify.data = in.rest();
  if (!in.ok()) return fail(truncated_message, "in a Notification");
  return notify;
}

Bytes Notify::body() const {
  Writer out;
  out.u32(doi)
      .u8(protocol)
      .u8(static_cast<std::uint8_t>(spi.size()))
      .u16(static_cast<std::uint16_t>(type))
      .bytes(spi)
      .bytes(data);
  return out.take();
}

//  !              Domain of Interpretation  (DOI)                  !   RFC 2408 section 3.15
//  !  Protocol-Id  !   SPI Size    !           # of SPIs           !
//  ~               Security Parameter Index(es) (SPI)              ~
Result<Delete> Delete::parse(ByteView body) {
  Reader in(body);
  Delete del;
  del.doi = in.u32();
  del.protocol = in.u8();
  const std::size_t spi_size = in.u8();
  const std::size_t count = in.u16();
  if (!in.ok()) return fail(truncated_message, "in a Delete");
  if (count == 0 || spi_size == 0 || count * spi_size != in.remaining())
    return fail(bad_length, fmt::format("Delete of {} SPIs of {} octets in {}", count, spi_size,
                                        in.remaining()));
  for (std::size_t i = 0; i < count; ++i) del.spis.push_back(in.take(spi_size));
  return del;
}

Bytes Delete::body() const {
  Writer out;
  out.u32(doi)
      .u8(protocol)
      .u8(static_cast<std::uint8_t>(spis.front().size()))
      .u16(static_cast<std::uint16_t>(spis.size()));
  for (const ByteView spi : spis) out.bytes(spi);
  return out.take();
}

std::array<std::uint8_t, 16> phase1_spi(const Cookie& initiator, const Cookie& responder) {
  std::array<std::uint8_t, 16> spi{};
  std::copy(initiator.begin(), initiator.end(), spi.begin());
  std::copy(responder.begin(), responder.end(), spi.begin() + 8);
  return spi;
}

//  ! Cert Encoding !                                               !   RFC 2408 section 3.9
//  ~                       Certificate Data                        ~
Result<std::vector<Bytes>> certificates_of(std::span<const RawPayload> payloads) {
  std::vector<Bytes> certificates;
  for (const RawPayload& payload : payloads) {
    if (payload.type != PayloadType::cert) continue;
    if (payload.body.size() < 2) return fail(bad_payload, "an empty CERT");
    if (payload.body[0] == cert_x509_signature)
      certificates.push_back(to_bytes(payload.body.subspan(1)));
  }
  return certificates;
}

Bytes cert_body(ByteView certificate) {
  Writer out;
  out.u8(cert_x509_signature).bytes(certificate);
  return out.take();
}

Bytes cert_request_body(ByteView issuer) {
  return cert_body(issuer);  // same layout, RFC 2408 section 3.10
}

const RawPayload* find_payload(std::span<const RawPayload> payloads, PayloadType type) {
  const auto found = std::find_if(payloads.begin(), payloads.end(),
                                  [&](const RawPayload& p) { return p.type == type; });
  return found == payloads.end() ? nullptr : &*found;
}

Result<Bytes> nonce_of(std::span<const RawPayload> payloads) {
  const RawPayload* nonce = find_payload(payloads, PayloadType::nonce);
  if (nonce == nullptr) return fail(bad_payload, "no nonce");
  if (nonce->body.size() < 8 || nonce->body.size() > 256)
    return fail(bad_payload, fmt::format("a nonce of {} octets", nonce->body.size()));
  return to_bytes(nonce->body);
}

Result<Bytes> public_value_of(std::span<const RawPayload> payloads, crypto::DhGroup group) {
  const RawPayload* ke = find_payload(payloads, PayloadType::ke);
  if (ke == nullptr) return fail(bad_payload, "no key exchange");
  if (ke->body.size() != crypto::public_size(group))
    return fail(crypto::bad_public_value, fmt::format("{} octets, the group has {}",
                                                      ke->body.size(), crypto::public_size(group)));
  return to_bytes(ke->body);
}

}  // namespace cohort::ike
