#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "controlplane/crypto/key.hpp"
#include "controlplane/world/world.hpp"
#include "gdoi/payloads.hpp"
#include "gdoi/policy.hpp"
#include "gdoi/sender_id.hpp"
#include "gdoi/spending_limit.hpp"

/// The keys of a group as its key server holds them, and how they are made.
namespace cohort::gdoi {

/// A TEK with what it protects.
struct GroupTek {
  Tek tek;
  std::uint32_t sa_number = 0;
  std::vector<AclEntry> entries;  ///< permit entries
  std::chrono::seconds lifetime{0};
  bool single_sender = false;  ///< of its policy
  bool many_senders = false;   ///< more than two members may have sent with it: no counter window
  TimePoint made;
  TimePoint activate;  ///< members send with it from then on: the activation delay's end
  std::optional<TimePoint> superseded;  ///< a successor was distributed then
  std::optional<TimePoint> delete_at;   ///< the policy no longer has it: Delete is sent then
  bool receive_only = false;            ///< members of another key server send with it, ours not

  [[nodiscard]] bool by_time() const { return tek.replay == dataplane::ReplayKind::time; }
  /// The counter window that members are told, 0 for none.
  [[nodiscard]] std::uint16_t window() const {
    const bool counter = tek.replay == dataplane::ReplayKind::counter;
    return counter && (single_sender || !many_senders) ? tek.replay_window : std::uint16_t{0};
  }
};

/// A Rekey SA: a KEK with the sequence numbers used under it.
struct RekeySa {
  Kek kek;
  std::uint32_t seq = 0;  ///< last one used
  TimePoint made;
  std::chrono::seconds lifetime{0};
  /// Where rekeys under it go, empty for unicast: as its members were told.
  std::optional<Endpoint> multicast;
};

struct GroupKeys {
  /// Shared with the rekeys that are still being sent under it.
  std::shared_ptr<RekeySa> rekey;
  std::shared_ptr<RekeySa> previous;  ///< for late acknowledgements and retransmissions
  std::vector<GroupTek> teks;
  SenderIdAllocator sender_ids;
  std::uint32_t sender_ids_reserved = 0;  ///< stored: a restart continues from here
  SpendingLimit spending;                 ///< and this, for who starts from a copy of the disk
  /// Grows with every change of keys or policy: a PULL that spans one must start again.
  std::uint64_t generation = 0;

  [[nodiscard]] GroupTek* find(std::uint32_t spi);
  [[nodiscard]] const GroupTek* find(std::uint32_t spi) const;
};

/// The sets of permit entries of an SA that share a TEK.
[[nodiscard]] std::vector<std::vector<AclEntry>> key_shares(const SaPolicy& sa);

/// Fresh keys and an SPI that none of `taken` has. SPIs 0 to 255 are reserved (RFC 4303).
[[nodiscard]] Tek make_tek(Random& random, const SaPolicy& sa, TimePoint now,
                           const std::function<bool(std::uint32_t)>& taken);
[[nodiscard]] std::shared_ptr<RekeySa> make_rekey_sa(Random& random, const RekeyPolicy& policy,
                                                     const crypto::PublicKey& signing_key,
                                                     TimePoint now);

}  // namespace cohort::gdoi
