#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"

/// Ranges of sender ids that servers may hand out from: docs/coop-protocol.md section 10.
namespace cohort::coop {

struct Lease {
  std::uint32_t sid_epoch = 0;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  std::uint32_t next = 0;  ///< lowest id never handed out; first <= next <= first + count
  IpAddress owner;
  std::uint32_t common = 0;  ///< a `next` that every configured server was known to hold
  bool operator==(const Lease&) const = default;
  [[nodiscard]] std::uint32_t end() const { return first + count; }
  [[nodiscard]] std::uint32_t left() const { return next < end() ? end() - next : 0; }
};

[[nodiscard]] Bytes lease_key(const Lease& lease);
[[nodiscard]] Bytes encode_lease(const Lease& lease);
[[nodiscard]] Result<Lease> decode_lease(ByteView key, ByteView value);

/// The whole space of `bits` divided evenly among the servers, in the order of their addresses.
[[nodiscard]] std::vector<Lease> divide(std::uint32_t sid_epoch, std::uint8_t bits,
                                        std::vector<IpAddress> servers);
/// Where the unused upper half of a lease begins.
[[nodiscard]] std::uint32_t middle(const Lease& lease);
/// Gives the unused upper half away, from `least` on: `lease` is cut, the result belongs to `to`.
/// Empty if there is too little to give.
[[nodiscard]] std::optional<Lease> split(Lease& lease, const IpAddress& to,
                                         std::uint32_t least = 0);
/// How many ids to reserve at once out of a lease: few enough that restarts waste little, enough
/// that a registration storm does not wait for each.
[[nodiscard]] std::uint32_t reservation(const Lease& lease);
/// How far behind `common` ids may be handed out while a server can't be reached. Whoever starts
/// without a proof that its disk is the latest, and hears the others, skips as many, and so is
/// behind all of them.
[[nodiscard]] std::uint32_t alone_max(const Lease& lease);

}  // namespace cohort::coop
