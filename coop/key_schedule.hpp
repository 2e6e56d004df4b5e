#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controlplane/base/secret.hpp"
#include "controlplane/world/world.hpp"
#include "coop/messages.hpp"

/// Keys that servers come to without a message: chains, generations and epochs of
/// docs/coop-protocol.md sections 7 and 8.
namespace cohort::coop {

using LineId = std::array<std::uint8_t, 16>;
using KekSpi = std::array<std::uint8_t, 16>;

/// First 16 octets of SHA-256 of the line's canonical text.
[[nodiscard]] LineId line_id(std::string_view canonical_text);

/// What an epoch's creator wants of a line.
struct LineSpec {
  std::string text;  ///< canonical
  std::uint8_t suite = 0;
  std::uint64_t period_ms = 0;    ///< from one distribution to the next; below the lifetime
  std::uint64_t lifetime_ms = 0;  ///< of each key
  bool operator==(const LineSpec&) const = default;
};

inline constexpr std::size_t chain_secret_octets = 32;
inline constexpr std::uint32_t spi_window = 65'536;  ///< that chains keep from each other
/// The chains of an epoch never take more steps at once; a jump of the clock beyond that needs a
/// new epoch.
inline constexpr std::uint64_t ratchet_steps_max = 1'000'000;
/// Nor is an epoch taken from a peer that would need more: who has it keeps it near its time.
inline constexpr std::uint64_t received_steps_max = 50'000;
/// Keys of one chain that may be alive at once; each is derived from the one before it.
inline constexpr std::uint64_t alive_max = 8;

/// A line's ratchet: the secret of one generation, from which all later ones follow and no earlier.
struct Chain {
  LineId line{};
  std::uint32_t spi_base = 0;
  std::uint8_t suite = 0;
  std::uint64_t start_ms = 0;  ///< pseudotime of generation 0's distribution
  std::uint64_t period_ms = 0;
  std::uint64_t lifetime_ms = 0;
  std::uint64_t generation = 0;
  Secret secret;

  [[nodiscard]] Chain clone() const;
  /// The newest generation that is distributed at pseudotime `now_ms`.
  [[nodiscard]] std::uint64_t newest(std::uint64_t now_ms) const;
  /// The oldest whose key has not ended.
  [[nodiscard]] std::uint64_t oldest_alive(std::uint64_t now_ms) const;
  [[nodiscard]] std::uint64_t distributed_ms(std::uint64_t of) const {
    return start_ms + of * period_ms;
  }
  [[nodiscard]] std::uint64_t ends_ms(std::uint64_t of) const {
    return distributed_ms(of) + lifetime_ms;
  }
  /// SPI of a traffic key; never 0 to 255 (RFC 4303).
  [[nodiscard]] std::uint32_t spi(std::uint64_t of) const;
  /// The secret of `of`, which must not be before `generation`; empty if it is, or if it is more
  /// than ratchet_steps_max ahead.
  [[nodiscard]] std::optional<Secret> secret_of(std::uint64_t of) const;
  /// `octets` of key material of a generation, under the same conditions.
  [[nodiscard]] std::optional<Secret> key(std::uint64_t of, std::size_t octets) const;
  [[nodiscard]] std::optional<KekSpi> kek_spi(std::uint64_t of) const;
  /// Steps to `to` and erases what was before. False if that is too far.
  bool ratchet(std::uint64_t to);
};

/// HKDF-Expand with SHA-256 (RFC 5869 section 2.3); at most 255 blocks.
[[nodiscard]] Secret hkdf_expand(const Secret& key, std::initializer_list<ByteView> info,
                                 std::size_t octets);

enum class EpochState : std::uint8_t { prepared = 1, committed = 2 };
enum class EpochCause : std::uint8_t {
  first = 1,
  policy = 2,
  eviction = 3,
  compromise = 4,
  refresh = 5,
  generation = 6,
  merge = 7,
  sender_ids = 8  ///< there were none left, or none that were surely unused
};
[[nodiscard]] std::string_view name_of(EpochCause cause);
/// Whether somebody is excluded: the old KEK must not carry the new keys.
[[nodiscard]] constexpr bool purges(EpochCause cause) {
  return cause == EpochCause::eviction || cause == EpochCause::compromise ||
         cause == EpochCause::sender_ids;
}

/// A set of chains that begins with fresh randomness.
struct Epoch {
  std::uint32_t number = 0;
  EpochId id{};
  EpochId parent{};
  EpochId purge{};  ///< latest epoch of this ancestry that excluded somebody, or its first one
  EpochState state = EpochState::prepared;
  EpochCause cause = EpochCause::first;
  std::uint32_t sid_epoch = 0;
  std::uint64_t start_ms = 0;
  std::vector<EpochId> ancestors;  ///< nearest first
  std::vector<Chain> chains;

  [[nodiscard]] Epoch clone() const;
  [[nodiscard]] const Chain* find(const LineId& line) const;
  [[nodiscard]] bool descends_from(const EpochId& other) const;
  /// Total order: number, then id.
  [[nodiscard]] bool above(const Epoch& other) const;
  /// How many steps of its chains `ratchet` would take.
  [[nodiscard]] std::uint64_t steps_to(std::uint64_t now_ms) const;
  /// Erases what has ended. False, and nothing is done, if that is too far: the epoch is useless.
  bool ratchet(std::uint64_t now_ms);
  /// What the pseudotime was, at least, when somebody held it like this.
  [[nodiscard]] std::uint64_t known_since_ms() const;
};
inline constexpr std::uint64_t span_ms_max = std::uint64_t{366} * 86'400'000;  ///< of a lifetime
inline constexpr std::size_t ancestors_max = 64;
inline constexpr std::size_t chains_max = 512;

/// The value of an epoch item; holds secrets.
[[nodiscard]] Bytes encode_epoch(const Epoch& epoch);
/// `id` is the item's key.
[[nodiscard]] Result<Epoch> decode_epoch(const EpochId& id, ByteView value);

/// A new epoch above `highest_number`, after `parent` if there is one. Chains of unchanged lines
/// are kept for the cause policy. SPI bases keep clear of those in `others`.
[[nodiscard]] Epoch begin_epoch(Random& random, EpochCause cause, std::uint32_t highest_number,
                                const Epoch* parent, std::span<const LineSpec> lines,
                                std::span<const Epoch* const> others, std::uint64_t now_ms);

/// What two epochs that meet lead to (section 8.3), seen from the server that holds `mine`.
enum class MergePlan : std::uint8_t {
  same,
  keep,              ///< ours is the higher one, theirs has nothing we need
  keep_and_receive,  ///< ours is higher; their traffic keys stay good for reception
  adopt_and_push,    ///< take theirs; distribute it under our KEK
  adopt_and_purge,   ///< take theirs; our members register again
  begin_purging      ///< the surviving primary starts an epoch that excludes, above both
};
[[nodiscard]] MergePlan plan_merge(const Epoch& mine, const Epoch& theirs);

/// The SEQ to use for the next rekey under a KEK (section 7.3): above `last_used`, never below what
/// time alone demands, and `slot` (0 to 7) modulo 8, so that no two servers use the same one.
[[nodiscard]] std::uint32_t next_seq(std::uint32_t last_used, std::uint64_t kek_start_ms,
                                     std::uint64_t now_ms, std::uint32_t slot);
inline constexpr std::uint32_t seq_slots = 8;

}  // namespace cohort::coop
