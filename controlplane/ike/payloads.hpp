#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "controlplane/ike/message.hpp"
#include "controlplane/world/world.hpp"

/// Bodies of the payloads that phase 1 and the Informational exchange carry, parse and emit side
/// by side. Views point into the parsed octets.
namespace cohort::ike {

inline constexpr std::uint8_t protocol_isakmp = 1;

/// Notification (RFC 2408 section 3.14).
struct Notify {
  std::uint32_t doi = doi_gdoi;
  std::uint8_t protocol = protocol_isakmp;
  ByteView spi;
  NotifyType type{};
  ByteView data;

  static Result<Notify> parse(ByteView body);
  [[nodiscard]] Bytes body() const;
  /// Types below 16384 say that something failed (RFC 2408 section 3.14.1).
  [[nodiscard]] bool is_error() const { return static_cast<std::uint16_t>(type) < 16384; }
};

/// Delete (RFC 2408 section 3.15).
struct Delete {
  std::uint32_t doi = doi_gdoi;
  std::uint8_t protocol = protocol_isakmp;
  std::vector<ByteView> spis;

  static Result<Delete> parse(ByteView body);
  [[nodiscard]] Bytes body() const;  ///< at least one SPI, all of one size
};

/// initiator cookie | responder cookie: the SPI of a phase 1.
[[nodiscard]] std::array<std::uint8_t, 16> phase1_spi(const Cookie& initiator,
                                                      const Cookie& responder);

/// Certificate encodings (RFC 2408 section 3.9); others are not used here.
inline constexpr std::uint8_t cert_x509_signature = 4;

/// The X.509 certificates among the CERT payloads, in their order; other encodings are passed
/// over. Fails on an empty payload.
[[nodiscard]] Result<std::vector<Bytes>> certificates_of(std::span<const RawPayload> payloads);
[[nodiscard]] Bytes cert_body(ByteView certificate);
/// CERTREQ for an issuer's DER Name; empty asks for any.
[[nodiscard]] Bytes cert_request_body(ByteView issuer);

/// The first payload of a type, if there is one.
[[nodiscard]] const RawPayload* find_payload(std::span<const RawPayload> payloads,
                                             PayloadType type);

/// Nonces have 8 to 256 octets (RFC 2409 section 5).
[[nodiscard]] Result<Bytes> nonce_of(std::span<const RawPayload> payloads);
/// The public value, of exactly the group's size.
[[nodiscard]] Result<Bytes> public_value_of(std::span<const RawPayload> payloads,
                                            crypto::DhGroup group);

}  // namespace cohort::ike
