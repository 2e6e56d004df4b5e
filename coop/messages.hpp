#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/base/wiped_bytes.hpp"
#include "gdoi/policy.hpp"

/// The messages of docs/coop-protocol.md section 3, without their protection.
namespace cohort::coop {

inline constexpr std::uint8_t payload_type = 200;  ///< of ISAKMP, private use
inline constexpr std::uint8_t version_major = 1;
inline constexpr std::uint8_t version_minor = 0;

/// What a peer may say at most. No server comes near by itself, and ours need room behind it: with
/// the last number of all, nothing could follow, and what was stored could not be read any more.
inline constexpr std::uint32_t heard_number_max = std::uint32_t{1} << 31;  ///< epoch, SEQ
inline constexpr std::uint64_t heard_ms_max = std::uint64_t{1} << 46;      ///< pseudotime
inline constexpr std::uint64_t heard_stamp_max = heard_ms_max << 16;

using EpochId = std::array<std::uint8_t, 8>;
using PolicyHash = std::array<std::uint8_t, 32>;
using Incarnation = std::uint64_t;

enum class MessageType : std::uint8_t { announce = 1, data = 2, ack = 3 };
enum class Role : std::uint8_t { listening = 1, secondary = 2, electing = 3, primary = 4 };
[[nodiscard]] std::string_view name_of(Role role);  ///< "Primary", "Secondary", …

struct ClientVersion {
  std::uint8_t client = 0;
  std::uint8_t major = 0, minor = 0, mini = 0;
  bool operator==(const ClientVersion&) const = default;
};
inline constexpr std::uint8_t client_policy = 1;
inline constexpr std::uint8_t client_member = 2;
inline constexpr std::uint8_t client_sid = 3;
/// What this implementation speaks.
[[nodiscard]] std::vector<ClientVersion> our_clients();

/// Section 3.1.
struct Announce {
  std::uint16_t priority = 0;
  Role role = Role::listening;
  bool drifted = false;           ///< its policy differs from the primary's
  bool time_estimate = true;      ///< its pseudotime is a guess after a restart
  bool has_state = false;         ///< it holds the group's keys
  bool synchronized = false;      ///< the receiver has acknowledged all that the sender has
  bool wants_sender_ids = false;  ///< a member was refused for the lack of them
  std::uint32_t epoch_number = 0;
  EpochId epoch_id{};
  std::uint64_t pseudotime_ms = 0;
  PolicyHash policy_hash{};
  PolicyHash servers_hash{};
  IpAddress sender;
  IpAddress primary;  ///< that it follows; unspecified: none
  std::vector<ClientVersion> clients;
  std::vector<IpAddress> heard;
  bool operator==(const Announce&) const = default;
};

/// Section 3.2: a slice of the sender's stream.
struct Data {
  std::uint32_t stream = 0;
  std::uint64_t offset = 0;
  WipedBytes octets;  ///< keys may be among them
  bool operator==(const Data&) const = default;
};
inline constexpr std::size_t data_octets_max = 1100;

/// Section 3.3.
struct Ack {
  std::uint32_t stream = 0;
  std::uint64_t offset = 0;
  bool operator==(const Ack&) const = default;
};

struct Message {
  std::uint8_t version_minor = coop::version_minor;  ///< as received; sent is ours
  bool reply_requested = false;
  bool elect_now = false;
  std::uint32_t sequence = 0;  ///< 31 bits, as in the message id
  gdoi::GroupId group;
  Incarnation from = 0;
  Incarnation to = 0;
  std::variant<Announce, Data, Ack> body;
  bool operator==(const Message&) const = default;
};

/// Body of the COOP payload.
[[nodiscard]] Bytes encode(const Message& message);
/// Fails for anything that section 3 does not allow; `coop_version` for another major version, an
/// empty optional for a message type that we don't know.
[[nodiscard]] Result<std::optional<Message>> decode(ByteView body);

/// One octet of family, then the address.
void write_address(Writer& out, const IpAddress& address);
[[nodiscard]] Result<IpAddress> read_address(Reader& in);

}  // namespace cohort::coop
