#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "gdoi/algorithms.hpp"
#include "gdoi/groupkey_push.hpp"
#include "gdoi/options.hpp"
#include "gdoi/payloads.hpp"

/// A key server's payloads as the values that a member works with: everything is understood and
/// acceptable, or the whole is refused (RFC 6407 sections 3.3 and 5).
namespace cohort::gdoi {

struct OfferedSa {
  std::uint32_t spi = 0;
  AclEntry entry;
  dataplane::Suite suite{};
  std::chrono::seconds lifetime{0};
  bool may_send = true, may_receive = true;    ///< SA Direction
  std::optional<std::uint16_t> replay_window;  ///< 0: none; absent: as before
  std::optional<std::uint16_t> time_window;    ///< in ms: it goes by time; absent: it does not
};

struct OfferedExclusion {
  AclEntry entry;
  std::uint32_t id = 0;
};

struct OfferedKek {
  KekSpi spi{};
  crypto::Cipher cipher{};
  crypto::Hash signature_hash{};
  crypto::KeyType signature_type{};
  std::size_t signature_key_bits = 0;  ///< as announced
  std::chrono::seconds lifetime{0};
  std::optional<AckType> acknowledge;
  RekeyTransport transport = RekeyTransport::unicast;
  IpAddress destination;  ///< of multicast rekeys
};

/// 3DES, MD5 or SHA-1.
[[nodiscard]] bool has_weak_algorithm(const OfferedKek& kek);

struct OfferedPolicy {
  std::optional<OfferedKek> kek;
  std::optional<std::chrono::seconds> activation_delay, deactivation_delay;
  std::optional<std::uint64_t> group_time_ms;                    ///< when this was said
  std::vector<std::variant<OfferedSa, OfferedExclusion>> items;  ///< in the order of the SATs
  [[nodiscard]] bool counter_mode() const;                       ///< sender ids are needed
  /// How long a registration may take to tell the group's time well: a quarter of the least window.
  [[nodiscard]] Duration time_tolerance() const;
};

[[nodiscard]] Result<OfferedPolicy> read_policy(const SaPayload& sa,
                                                const GroupMemberOptions& options);

/// The key of an offered SA, of the right size.
[[nodiscard]] Result<Tek> read_tek(const OfferedSa& sa, const KdPayload& kd);
/// The KEK of a policy. `older`: an SPI that implementations name in place of the new one.
[[nodiscard]] Result<Kek> read_kek(const OfferedKek& offered, const KdPayload& kd,
                                   const std::optional<KekSpi>& older);

struct GrantedSenderIds {
  std::uint8_t bits = 0;
  std::vector<std::uint32_t> ids;
};
[[nodiscard]] Result<GrantedSenderIds> read_sender_ids(const KdPayload& kd);

}  // namespace cohort::gdoi
