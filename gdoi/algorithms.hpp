#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/base/result.hpp"
#include "controlplane/crypto/cbc.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/crypto/key.hpp"
#include "dataplane/api/snapshot.hpp"
#include "gdoi/payloads.hpp"
#include "gdoi/policy.hpp"

/// What the numbers on the wire mean: one table for each kind, used in both directions.
namespace cohort::gdoi {

/// KEK_ALGORITHM and KEK_KEY_LENGTH (RFC 6407 section 5.3.2).
struct WireKekCipher {
  std::uint16_t algorithm = 0;
  std::optional<std::uint16_t> key_bits;
};
[[nodiscard]] WireKekCipher kek_cipher_to_wire(crypto::Cipher cipher);
[[nodiscard]] Result<crypto::Cipher> kek_cipher_from_wire(const SakPayload& sak);

/// SIG_HASH_ALGORITHM (section 5.3.5). ECDSA names its hash by the curve, and SHA-256 is what
/// an RSA SAK without the attribute means.
[[nodiscard]] std::uint16_t signature_hash_to_wire(crypto::Hash hash);
[[nodiscard]] Result<crypto::Hash> signature_hash_from_wire(const SakPayload& sak);

/// SIG_ALGORITHM (section 5.3.6).
[[nodiscard]] std::uint16_t signature_algorithm_to_wire(crypto::KeyType type);
[[nodiscard]] Result<crypto::KeyType> signature_algorithm_from_wire(std::uint16_t value);
/// The hash that belongs to a curve (RFC 4754), or `rsa_hash`.
[[nodiscard]] crypto::Hash hash_for(crypto::KeyType type, crypto::Hash rsa_hash);
/// Octets of a signature by such a key.
[[nodiscard]] std::size_t signature_size(const crypto::PublicKey& key);

/// ESP transform, authentication algorithm and key length of a suite.
struct WireSuite {
  std::uint8_t transform = 0;
  std::optional<std::uint16_t> authentication;
  std::optional<std::uint16_t> key_bits;
};
[[nodiscard]] WireSuite suite_to_wire(dataplane::Suite suite);
[[nodiscard]] Result<dataplane::Suite> suite_from_wire(const EspSat& sat);

/// What a SAT may make of its ranges of addresses; one IPv4 range is 62 prefixes at most.
inline constexpr std::size_t selectors_of_sat_max = 64;
/// The traffic selectors that the two identities and the protocol of a SAT mean; ports 0 are any.
/// More than one only for ranges of addresses that are no prefix.
[[nodiscard]] Result<std::vector<dataplane::Selector>> selectors_from_wire(
    std::uint8_t ip_protocol, const WireIdentity& source, const WireIdentity& destination);
[[nodiscard]] WireIdentity identity_to_wire(const Prefix& prefix, std::uint16_t port);
[[nodiscard]] WireIdentity identity_to_wire(const Endpoint& end);
/// A SAT can say one port or any, not a range.
[[nodiscard]] bool expressible(const dataplane::Selector& selector);

[[nodiscard]] Result<IdPayload> group_id_to_wire(const GroupId& id);
[[nodiscard]] Result<GroupId> group_id_from_wire(const IdPayload& id);

/// "esp-aes 256 esp-sha256-hmac": as the field writes transforms.
[[nodiscard]] std::string transform_text(dataplane::Suite suite);

}  // namespace cohort::gdoi
