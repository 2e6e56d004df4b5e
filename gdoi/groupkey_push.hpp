#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "controlplane/crypto/key.hpp"
#include "gdoi/message_rules.hpp"
#include "gdoi/payloads.hpp"
#include "gdoi/policy.hpp"

/// GROUPKEY-PUSH (RFC 6407 section 4), the message alone.
///
///     KS -> GM   HDR*, SEQ, [D,] [SA, KD,] SIG
///
/// Cookies are the KEK's SPI, M-ID is 0, only the E flag is set. What follows HDR is encrypted with
/// the KEK in CBC mode under the KEK's static IV (section 5.6.2.1). SIG signs
/// hash("rekey" | HDR | payloads before SIG) in clear, where HDR has the E flag and, as Length, the
/// length before padding, SIG included: the RFC is silent on it, and this is what is on the wire.
namespace cohort::gdoi {

/// What one self-contained datagram carries.
struct PushContent {
  std::vector<DeletePayload> deletes;
  std::optional<SaPayload> sa;  ///< with kd, or neither
  std::optional<KdPayload> kd;
};

/// A PUSH that waits for its signature.
struct PreparedPush {
  std::uint32_t seq = 0;
  ike::PayloadType first = ike::PayloadType::none;
  Secret signed_payloads;  ///< the chain up to SIG
  std::size_t signature_octets = 0;
  Bytes digest;  ///< to be signed
};

[[nodiscard]] Result<PreparedPush> prepare_push(const Kek& kek, std::uint32_t seq,
                                                const PushContent& content,
                                                std::size_t signature_octets);
/// Adds SIG, pads with zeros, encrypts: the datagram.
[[nodiscard]] Result<Bytes> finish_push(const Kek& kek, const PreparedPush& prepared,
                                        ByteView signature);
/// UDP octets of a PUSH with this content.
[[nodiscard]] std::size_t push_size(const Kek& kek, const PushContent& content,
                                    std::size_t signature_octets);

/// A decrypted PUSH whose payloads follow the rule; nothing of it is authenticated yet.
struct OpenedPush {
  Secret plain;
  ike::PayloadType first = ike::PayloadType::none;
  std::size_t sent_length = 0;      ///< of the datagram
  std::size_t unpadded_length = 0;  ///< header and payloads
  std::size_t signed_octets = 0;    ///< of `plain`, up to SIG
  std::uint32_t seq = 0;
  std::vector<ike::RawPayload> payloads;  ///< views into `plain`
};
/// Header (E only, M-ID 0), decryption, payload chain and rule; SA and KD come together.
[[nodiscard]] Result<OpenedPush> open_push(const Kek& kek, ByteView datagram);

/// How a key server signs, as found out from what verified.
struct PushForm {
  crypto::SignatureForm signature = crypto::SignatureForm::rsa_pkcs1;
  bool padded_length = false;  ///< the signed HDR has the transmitted Length
  bool operator==(const PushForm&) const = default;
};
[[nodiscard]] std::string text(const PushForm& form);

/// Tries `likely` first, then the other forms that exist for the key's type.
[[nodiscard]] Result<PushForm> verify_push(const Kek& kek, const crypto::PublicKey& key,
                                           const OpenedPush& opened,
                                           const std::optional<PushForm>& likely);

/// The meaning of a verified PUSH.
[[nodiscard]] Result<PushContent> read_push(const OpenedPush& opened);

// ---- GROUPKEY-PUSH-ACK (RFC 8263) ---------------------------------------------------------------
/// Values of KEK_ACK_REQUESTED that need no LKH.
enum class AckType : std::uint16_t { kek_sha256 = 1, kek_sha512 = 3 };

/// HDR, HASH, SEQ, ID in clear, under the KEK that the PUSH came with.
[[nodiscard]] Bytes make_push_ack(AckType type, const Kek& kek, std::uint32_t seq,
                                  const IdPayload& id);
struct PushAck {
  std::uint32_t seq = 0;
  IdPayload id;
};
/// Structure first, then HASH.
[[nodiscard]] Result<PushAck> read_push_ack(AckType type, const Kek& kek, ByteView datagram);

}  // namespace cohort::gdoi
