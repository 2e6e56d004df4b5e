#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/ike/message.hpp"

/// GDOI's payloads as plain values (RFC 6407 section 5): each decode_… checks every length before
/// any meaning and bounds what it allocates; each encode_… writes the payload's body, without the
/// generic header. Numbers of algorithms stay as on the wire; algorithms.hpp gives them meaning.
/// A decoded value encodes to the octets it came from whenever those follow the order of this file.
namespace cohort::gdoi {

// ---- limits -------------------------------------------------------------------------------------
inline constexpr std::size_t sa_teks_max = 256;                         ///< SATs in one SA payload
inline constexpr std::size_t key_packets_max = 264;                     ///< in one KD payload
inline constexpr std::size_t delete_spis_max = 512;                     ///< in one Delete payload
inline constexpr std::size_t sender_ids_max = 63;                       ///< in one SID key packet
inline constexpr std::size_t nonce_size_min = 8, nonce_size_max = 128;  ///< RFC 6407 section 5.8

// ---- shared values ------------------------------------------------------------------------------
/// ID types of RFC 2407 section 4.6.2.1 that GDOI uses.
namespace id_type {
inline constexpr std::uint8_t ipv4 = 1, ipv4_subnet = 4, ipv6 = 5, ipv6_subnet = 6, ipv4_range = 7,
                              ipv6_range = 8, key_id = 11, oid = 13;
}

/// SRC or DST identity inside a SAK or SAT: type(1) port(2) length(1) data.
struct WireIdentity {
  std::uint8_t type = 0;
  std::uint16_t port = 0;
  Bytes data;
  bool operator==(const WireIdentity&) const = default;
};

/// A number that may travel as a basic (2 octets) or a variable (4 octets) attribute.
struct WireNumber {
  std::uint32_t value = 0;
  bool basic = false;
  bool operator==(const WireNumber&) const = default;
};

using KekSpi = std::array<std::uint8_t, 16>;

// ---- SA with SAK, GAP and SAT (sections 5.2 to 5.5, RFC 8263 section 2) -------------------------
struct SakPayload {
  std::uint8_t protocol = 17;  ///< IP protocol of GROUPKEY-PUSH: UDP
  WireIdentity source;
  WireIdentity destination;
  KekSpi spi{};
  std::optional<std::uint16_t> management;  ///< KEK_MANAGEMENT_ALGORITHM: LKH, ignored in PULL
  std::uint16_t algorithm = 0;              ///< KEK_ALGORITHM
  std::optional<std::uint16_t> key_bits;
  std::optional<WireNumber> lifetime_s;
  std::optional<std::uint16_t> signature_hash;
  std::uint16_t signature_algorithm = 0;
  std::optional<std::uint16_t> signature_key_bits;  ///< informative: implementations disagree
  std::optional<std::uint16_t> ack_requested;       ///< RFC 8263 section 2
  bool operator==(const SakPayload&) const = default;
};

/// Group Associated Policy, section 5.4; also alone in message 3 of a PULL.
struct GapPayload {
  std::optional<std::uint16_t> activation_delay_s;
  std::optional<std::uint16_t> deactivation_delay_s;
  std::optional<std::uint16_t> sender_id_request;
  /// Ours, private use (200): the group's time when this was said, in ms.
  std::optional<std::uint64_t> group_time_ms;
  bool operator==(const GapPayload&) const = default;
};

inline constexpr std::uint8_t protocol_kek = 0;  ///< in Delete only
inline constexpr std::uint8_t protocol_esp = 1;
inline constexpr std::uint8_t protocol_ah = 2;
/// Ours, private use: traffic that members leave in clear (README.md of this folder).
inline constexpr std::uint8_t protocol_exclusion = 200;

/// Body of a SAT for ESP or AH (figure 8) with the attributes of RFC 2407 section 4.5.
struct EspSat {
  std::uint8_t ip_protocol = 0;  ///< of the traffic; 0 is any
  WireIdentity source;
  WireIdentity destination;
  std::uint8_t transform = 0;
  std::uint32_t spi = 0;
  std::optional<std::uint16_t> encapsulation;
  std::optional<std::uint16_t> authentication;
  std::optional<WireNumber> lifetime_s;
  std::optional<WireNumber> lifetime_kb;
  std::optional<std::uint16_t> key_bits;
  std::optional<std::uint16_t> address_preservation;
  std::optional<std::uint16_t> direction;
  /// Ours, private use (32001): the anti-replay window in packets, 0 for none. Only sent to members
  /// that are known to be ours, since others must refuse what they do not know.
  std::optional<std::uint16_t> replay_window;
  /// Likewise (32002): sequence numbers are ticks of the group's time, of which a receiver accepts
  /// those that are within so many ms of its own.
  std::optional<std::uint16_t> time_window;
  bool operator==(const EspSat&) const = default;
};

/// Body of a SAT with protocol_exclusion: a selector with full port ranges, and an id to delete it.
struct ExclusionSat {
  std::uint8_t ip_protocol = 0;
  WireIdentity source;       ///< port: first of the range
  WireIdentity destination;  ///< port: first of the range
  std::uint16_t source_port_last = 65535;
  std::uint16_t destination_port_last = 65535;
  std::uint32_t id = 0;
  bool operator==(const ExclusionSat&) const = default;
};

struct SatPayload {
  std::uint8_t protocol = protocol_esp;
  std::variant<EspSat, ExclusionSat, Bytes> body;  ///< Bytes: a protocol that we do not know
  bool operator==(const SatPayload&) const = default;
};

struct SaPayload {
  std::optional<SakPayload> sak;
  std::optional<GapPayload> gap;
  std::vector<SatPayload> sats;
  bool operator==(const SaPayload&) const = default;
};

[[nodiscard]] Result<SaPayload> decode_sa(ByteView body);
[[nodiscard]] Bytes encode_sa(const SaPayload& sa);
[[nodiscard]] Result<GapPayload> decode_gap(ByteView body);
[[nodiscard]] Bytes encode_gap(const GapPayload& gap);
/// Octets that one SAT adds to an SA payload.
[[nodiscard]] std::size_t encoded_size(const SatPayload& sat);

// ---- KD (section 5.6) ---------------------------------------------------------------------------
struct TekKeys {
  Secret algorithm_key;  ///< for AES-GCM: the key, then 4 octets of salt (RFC 4106 section 8.1)
  Secret integrity_key;  ///< empty when there is none
};
struct KekKeys {
  Secret algorithm_key;  ///< the static IV, then the key (section 5.6.2.1)
  Bytes signature_key;   ///< DER SubjectPublicKeyInfo; empty when not sent
};
struct SenderIdKeys {
  std::uint16_t bits = 0;
  std::vector<Bytes> values;  ///< as on the wire; see sender_id.hpp
};
struct KeyPacket {
  Bytes spi;  ///< 4 octets for a TEK, 16 for a KEK, none for sender ids
  std::variant<TekKeys, KekKeys, SenderIdKeys> keys;
};
struct KdPayload {
  std::vector<KeyPacket> packets;
};

[[nodiscard]] Result<KdPayload> decode_kd(ByteView body);
/// The result holds keys: put it where it is wiped.
[[nodiscard]] Bytes encode_kd(const KdPayload& kd);
[[nodiscard]] std::size_t encoded_size(const KeyPacket& packet);

// ---- SEQ, ID, Delete, nonce ---------------------------------------------------------------------
[[nodiscard]] Result<std::uint32_t> decode_seq(ByteView body);
[[nodiscard]] Bytes encode_seq(std::uint32_t value);

/// Identification (section 5.1): protocol and port are 0 in GDOI.
struct IdPayload {
  std::uint8_t type = 0;
  std::uint8_t protocol = 0;
  std::uint16_t port = 0;
  Bytes data;
  bool operator==(const IdPayload&) const = default;
};
[[nodiscard]] Result<IdPayload> decode_id(ByteView body);
[[nodiscard]] Bytes encode_id(const IdPayload& id);

/// Section 5.9. An SPI of zero means every SA of the protocol.
struct DeletePayload {
  std::uint8_t protocol = protocol_esp;
  std::uint8_t spi_size = 4;
  std::vector<Bytes> spis;
  bool operator==(const DeletePayload&) const = default;
};
[[nodiscard]] Result<DeletePayload> decode_delete(ByteView body);
[[nodiscard]] Bytes encode_delete(const DeletePayload& del);

/// Checks the size of a nonce and gives Ni_b or Nr_b.
[[nodiscard]] Result<Bytes> decode_nonce(ByteView body);

}  // namespace cohort::gdoi
