#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/secret.hpp"

/// The values that the control plane hands to the workers and reads back. No DPDK here.
namespace cohort::dataplane {

/// ESP transforms (RFC 3602, 2404, 4868, 4106), all with an ICV.
enum class Suite : std::uint8_t {
  aes_128_cbc_sha1_96,
  aes_192_cbc_sha1_96,
  aes_256_cbc_sha1_96,
  aes_128_cbc_sha256_128,
  aes_192_cbc_sha256_128,
  aes_256_cbc_sha256_128,
  aes_128_cbc_sha384_192,
  aes_192_cbc_sha384_192,
  aes_256_cbc_sha384_192,
  aes_128_cbc_sha512_256,
  aes_192_cbc_sha512_256,
  aes_256_cbc_sha512_256,
  aes_128_gcm_16,
  aes_192_gcm_16,
  aes_256_gcm_16
};

/// Sizes in octets of a suite's parts.
struct SuiteShape {
  Suite suite;
  std::string_view name;    ///< as in configuration: "aes-128-gcm", "aes-256-cbc-hmac-sha256"
  bool aead;                ///< AES-GCM: no separate integrity key, salt of 4
  std::uint8_t cipher_key;  ///< without the salt
  std::uint8_t integrity_key;
  std::uint8_t salt;
  std::uint8_t iv;  ///< in the packet: 8 for GCM, 16 for CBC
  std::uint8_t icv;
  std::uint8_t block;  ///< payload is padded to this: 4 or 16
};
[[nodiscard]] const SuiteShape& shape_of(Suite suite);
[[nodiscard]] const std::vector<SuiteShape>& all_suites();

/// What the ESP sequence numbers of an SA are, and what its receivers make of them.
enum class ReplayKind : std::uint8_t {
  none,     ///< counted, not checked
  counter,  ///< the window of RFC 4303: right where each receiver hears one sender
  time      ///< ticks of the group's time: any number of senders, nothing to remember of them
};
/// 2^32 ticks are 497 days.
inline constexpr std::uint16_t replay_tick_ms = 10;

/// Inclusive range; 0..65535 is any. Ports are looked at for TCP, UDP and SCTP only.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  [[nodiscard]] bool any() const { return first == 0 && last == 65535; }
  auto operator<=>(const PortRange&) const = default;
};

/// Matches a packet by its own (inner) header. Both prefixes have the same family.
struct Selector {
  Prefix source;
  Prefix destination;
  std::uint8_t protocol = 0;  ///< IP protocol; 0 is any
  PortRange source_ports;
  PortRange destination_ports;
  auto operator<=>(const Selector&) const = default;
};

/// One SA, which in a group is the same at every member: one SPI, one key, both directions.
struct Sa {
  std::uint32_t spi = 0;  ///< host order, not 0..255
  Suite suite = Suite::aes_256_gcm_16;
  Secret cipher_key;
  Secret integrity_key;  ///< empty for AEAD
  Secret salt;           ///< 4 octets for AEAD, else empty
  /// AEAD senders: our sender ids (RFC 6054), one per worker at least, each `sid_bits` wide and
  /// leftmost in the 8-octet IV. An SA without one can be received on but not sent with.
  std::vector<std::uint32_t> sender_ids;
  std::uint8_t sid_bits = 0;  ///< 8, 12, 16 or 24
  ReplayKind replay = ReplayKind::counter;
  std::uint16_t replay_window = 64;  ///< counter: 1 to 4096 packets; time: 100 to 60000 ms
};

enum class Action : std::uint8_t {
  protect,  ///< encrypt with `spi` when sending; clear arrivals are dropped
  bypass,   ///< forward in clear
  drop
};

/// One line of the ordered policy; the first that matches decides.
struct PolicyEntry {
  Selector selector;
  Action action = Action::protect;
  /// For protect: the SPI to send with, 0 while there is none (then the packet is dropped as
  /// no_outbound_sa). Reception goes by SPI: any SA of the snapshot whose `accepts` includes this
  /// entry's index.
  std::uint32_t send_spi = 0;
  std::vector<std::uint32_t> receive_spis;
};

/// Everything that the workers of one port pair need to know.
struct Snapshot {
  std::vector<PolicyEntry> policy;
  std::vector<Sa> sas;
  /// What happens to a packet that no entry matches: bypass (default), or drop. Before the first
  /// registration: drop is fail-close, bypass is fail-open.
  Action otherwise = Action::bypass;
  /// The group's time is what CLOCK_BOOTTIME shows plus this, for SAs that go by time.
  std::int64_t group_time_offset_ms = 0;
};

/// What one SA has done so far; sums over the workers.
struct SaUsage {
  std::uint32_t spi = 0;
  std::uint64_t packets_out = 0, bytes_out = 0;
  std::uint64_t packets_in = 0, bytes_in = 0;
  std::uint64_t replay_drops = 0, auth_failures = 0;
  /// The fullest worker's share of its sequence or IV space, in 1/1000; at 1000 it stops sending.
  std::uint32_t exhausted_permille = 0;
  /// Time-based anti-replay: how far the time in authentic packets is ahead of ours (delay on the
  /// way makes it less), smoothed; empty before the first.
  std::optional<std::int32_t> time_skew_ms;
};

struct NamedCounter {
  std::string_view name;
  std::uint64_t value = 0;
};

struct Usage {
  std::vector<SaUsage> sas;
  std::vector<NamedCounter> drops;     ///< one per drop reason, zeros included
  std::vector<NamedCounter> forwards;  ///< encrypted, decrypted, bypassed, punted, …
  std::uint32_t unknown_spi = 0;       ///< the last SPI seen without an SA, 0 if none
};

}  // namespace cohort::dataplane
