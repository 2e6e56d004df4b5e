#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/base/time.hpp"
#include "controlplane/crypto/cbc.hpp"
#include "controlplane/crypto/hash.hpp"
#include "dataplane/api/snapshot.hpp"

/// A group's policy and keys as values, free of any wire format: GDOI encodes them today, and
/// G-IKEv2 (RFC 9838) can beside it.
namespace cohort::gdoi {

/// RFC 6407 section 5.1: a number (ID_KEY_ID, 4 octets) or an IPv4 address.
struct GroupId {
  std::variant<std::uint32_t, IpAddress> value = std::uint32_t{0};
  auto operator<=>(const GroupId&) const = default;
  [[nodiscard]] std::string text() const;
};

enum class RekeyTransport : std::uint8_t { unicast, multicast };

/// How the group's Rekey SA (KEK) works.
struct RekeyPolicy {
  crypto::Cipher cipher = crypto::Cipher::aes_256;
  crypto::Hash signature_hash = crypto::Hash::sha256;
  std::chrono::seconds lifetime{86400};
  RekeyTransport transport = RekeyTransport::unicast;
  std::optional<Endpoint> multicast_destination;  ///< for multicast transport
  unsigned retransmit_number = 2;                 ///< after the first transmission
  std::chrono::milliseconds retransmit_interval{40'000};
  bool acknowledge = true;              ///< RFC 8263; unicast only by default
  unsigned evict_after_unanswered = 3;  ///< whole rekeys; 0 = never
  /// Evict members that never acknowledged anything, too. RFC 8263 section 6 advises against it,
  /// since a member may not know acknowledgements: then set this to false.
  bool evict_before_first_ack = true;
  /// After the last transmission, before a member counts as silent (RFC 8263: 10 s at least).
  std::chrono::milliseconds acknowledge_wait{10'000};
  std::string signing_key;  ///< label of the key pair
  /// Sign the bare digest as old implementations do, instead of with a DigestInfo.
  bool bare_digest_signature = false;
};

/// One line of a group's traffic policy. An exclusion (deny) is sent to members as clear traffic.
struct AclEntry {
  bool permit = true;
  dataplane::Selector selector;
  auto operator<=>(const AclEntry&) const = default;
  /// "permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255", as access lists are shown.
  [[nodiscard]] std::string text() const;
};

/// Limits of a time window.
inline constexpr std::uint16_t time_window_min_ms = 500, time_window_max_ms = 60'000;

/// `sa ipsec N`: selectors and the protection they share.
struct SaPolicy {
  std::uint32_t number = 10;
  std::vector<AclEntry> acl;
  dataplane::Suite suite = dataplane::Suite::aes_256_gcm_16;
  std::chrono::seconds lifetime{3600};
  dataplane::ReplayKind replay = dataplane::ReplayKind::counter;
  std::uint16_t replay_window = 64;  ///< counter: packets; time: ms
  /// Only one member ever sends on this SA. Else a counter window (RFC 4303) is right in a group of
  /// two only: with more members each sender has a sequence of its own (RFC 5374), so the key
  /// server then says window 0 to everybody; `time` is right for any number.
  bool single_sender = false;
  /// One TEK for each permit entry (most interoperable), or one for the whole list.
  bool tek_per_entry = true;
};

/// A rule that admits an identity to a group. All conditions that are set must hold.
struct AuthorizationRule {
  std::optional<std::string> subject;  ///< whole DN, RFC 4514 text
  std::optional<std::string> common_name;
  std::optional<std::string> organizational_unit;
  std::optional<std::string> issuer;
  std::optional<std::string> san_dns;  ///< exact, or "*.example.org" for one label
  std::optional<Prefix> address;       ///< of the peer's phase 1
};

struct GroupPolicy {
  std::string name;
  GroupId id;
  RekeyPolicy rekey;
  std::vector<SaPolicy> sas;
  std::vector<AuthorizationRule> authorization;  ///< any one admits; empty admits nobody
  /// GAP ATD, RFC 6407 section 5.4: members receive with a new TEK at once and send with it after
  /// this long. A rekey loses nothing, whatever the network loses, if it covers the
  /// retransmissions. The key server shortens it where the old TEK would end before.
  std::chrono::seconds activation_delay{90};
  /// GAP DTD: SAs that a change of policy makes obsolete are deleted this long after it.
  std::chrono::seconds deactivation_delay{120};
  std::uint8_t sender_id_bits = 16;  ///< 8, 12 or 16 for AES-GCM
  std::size_t members_max = 4000;
  /// Send deny entries to members in SATs of a private-use protocol (README.md). RFC 6407 wants a
  /// member that does not know it to refuse the policy, so only where every member is ours.
  bool send_exclusions = false;
};

/// A traffic key as handed out: an SA for the entries that name its SPI.
struct Tek {
  std::uint32_t spi = 0;
  dataplane::Suite suite{};
  Secret cipher_key;
  Secret integrity_key;
  Secret salt;
  dataplane::ReplayKind replay = dataplane::ReplayKind::counter;
  std::uint16_t replay_window = 64;
  TimePoint send_from;  ///< not used for sending before
  TimePoint expires;    ///< hard end

  [[nodiscard]] Tek clone() const;
};

/// A KEK: the Rekey SA.
struct Kek {
  std::array<std::uint8_t, 16> spi{};
  crypto::Cipher cipher = crypto::Cipher::aes_256;
  Secret iv;
  Secret key;
  crypto::Hash signature_hash = crypto::Hash::sha256;
  Bytes signature_key_spki;  ///< DER SubjectPublicKeyInfo
  TimePoint expires;

  [[nodiscard]] Kek clone() const;
};

}  // namespace cohort::gdoi
