#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gdoi/groupkey_push.hpp"
#include "gdoi/keys.hpp"
#include "gdoi/options.hpp"
#include "gdoi/payloads.hpp"

/// A key server's policy and keys as payloads.
namespace cohort::gdoi {

/// Whether a group can be distributed at all: contradictions, and what GDOI can't say.
[[nodiscard]] Status check_policy(const KeyServerOptions& options);

/// One SAT to send: an entry under a TEK, or an exclusion (spi 0).
struct SatPlan {
  std::uint32_t spi = 0;
  AclEntry entry;
  bool operator==(const SatPlan&) const = default;
};

/// What members that know our private use numbers may get; the others must not.
struct Extras {
  bool exclusions = false;
  bool replay_windows = false;  ///< and the ticks of SAs that go by time
  bool many_senders = false;    ///< to one that makes the group larger than two
  /// A TEK that has a successor is to be heard only: a rekey that is late must not bring its member
  /// back to it.
  bool superseded_to_hear = false;
};

/// The whole traffic policy in its order: each permit entry with every TEK that is in use for it
/// now (older ones first), and the exclusions.
[[nodiscard]] std::vector<SatPlan> plan_policy(const GroupPolicy& policy, const GroupKeys& keys,
                                               TimePoint now);
/// Superseded TEKs are still sent with by some until the activation delay is over.
[[nodiscard]] bool in_use(const GroupTek& tek, const GroupPolicy& policy, TimePoint now);

/// A name for an exclusion, so that it can be deleted: the same at every key server.
[[nodiscard]] std::uint32_t exclusion_id(const AclEntry& entry);

[[nodiscard]] SakPayload make_sak(const RekeyPolicy& policy, const RekeySa& sa,
                                  const Endpoint& from, const Endpoint& to, TimePoint now);
/// The delays, as what is left of them for the TEKs named: a repeated rekey reaches its member
/// later than the others, and all shall change over at the same moment.
[[nodiscard]] GapPayload make_gap(const GroupPolicy& policy, const GroupKeys& keys,
                                  const std::vector<std::uint32_t>& spis, TimePoint now);
/// Whether a policy's SATs tell of anti-replay by time, and so need the group's time beside them.
[[nodiscard]] bool goes_by_time(const SaPayload& sa);
[[nodiscard]] bool goes_by_time(const GroupPolicy& policy);
/// The SPIs of an SA payload's TEKs, each once.
[[nodiscard]] std::vector<std::uint32_t> spis_of(const SaPayload& sa);
/// Empty if the TEK has gone, or for an exclusion that may not be sent.
[[nodiscard]] std::optional<SatPayload> make_sat(const SatPlan& plan, const GroupKeys& keys,
                                                 const Extras& extras, TimePoint now);
[[nodiscard]] KeyPacket make_key_packet(const Tek& tek);
[[nodiscard]] KeyPacket make_key_packet(const Kek& kek);
[[nodiscard]] KeyPacket make_key_packet(const std::vector<std::uint32_t>& sender_ids,
                                        std::uint8_t bits);
[[nodiscard]] Bytes spi_octets(std::uint32_t spi);

// ---- dividing a rekey into datagrams ------------------------------------------------------------

/// What one GROUPKEY-PUSH of a rekey carries; encoded anew for each transmission.
struct PushPlan {
  std::vector<DeletePayload> deletes;
  std::shared_ptr<RekeySa> new_kek;  ///< replaces the one that it is sent under
  std::vector<SatPlan> sats;
};

struct PushContext {
  const GroupPolicy& policy;
  const GroupKeys& keys;
  Endpoint from, to;  ///< of the PUSH, for SAK
  Extras extras;
  TimePoint now;
  std::uint64_t group_time_ms = 0;
};
/// Empty when nothing of the plan is left to say.
[[nodiscard]] std::optional<PushContent> make_push(const PushPlan& plan,
                                                   const PushContext& context);

/// Divides `whole` so that each datagram stays within `size_max` octets. SATs are taken from the
/// end of the list first: a member puts what it did not know in front, and so ends with the order
/// of the policy. The datagram with the new KEK comes last, since after it the old one goes.
[[nodiscard]] Result<std::vector<PushPlan>> divide_push(PushPlan whole, const PushContext& context,
                                                        const Kek& under,
                                                        std::size_t signature_octets,
                                                        std::size_t size_max);

}  // namespace cohort::gdoi
