#include "coop/sender_leases.hpp"

#include <algorithm>

#include "coop/messages.hpp"
#include "coop/reasons.hpp"

namespace cohort::coop {

namespace {
constexpr std::uint32_t sid_space_max = 1u << 24;
constexpr std::uint32_t reservation_max = 512;
}  // namespace

Bytes lease_key(const Lease& lease) {
  return Writer().u32(lease.sid_epoch).u32(lease.first).take();
}

Bytes encode_lease(const Lease& lease) {
  Writer out;
  out.u32(lease.count).u32(lease.next).u32(std::clamp(lease.common, lease.first, lease.next));
  write_address(out, lease.owner);
  return out.take();
}

Result<Lease> decode_lease(ByteView key, ByteView value) {
  Reader id(key), in(value);
  Lease lease;
  lease.sid_epoch = id.u32();
  lease.first = id.u32();
  lease.count = in.u32();
  lease.next = in.u32();
  lease.common = in.u32();
  COHORT_TRY(lease.owner, read_address(in));
  if (!id.ok() || !id.empty() || !in.ok() || !in.empty())
    return fail(coop_record, "a lease has another length");
  if (lease.first > sid_space_max || lease.count > sid_space_max - lease.first ||
      lease.next < lease.first || lease.common < lease.first || lease.common > lease.next)
    return fail(coop_record, "a lease is outside the space of sender ids");
  return lease;
}

std::vector<Lease> divide(std::uint32_t sid_epoch, std::uint8_t bits,
                          std::vector<IpAddress> servers) {
  std::sort(servers.begin(), servers.end());
  const std::uint64_t space = std::uint64_t{1} << bits;
  std::vector<Lease> leases;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    const auto first = static_cast<std::uint32_t>(space * i / servers.size());
    const auto end = static_cast<std::uint32_t>(space * (i + 1) / servers.size());
    leases.push_back({sid_epoch, first, end - first, first, servers[i], first});
  }
  return leases;
}

std::uint32_t middle(const Lease& lease) {
  return lease.end() - lease.left() / 2;
}

std::optional<Lease> split(Lease& lease, const IpAddress& to, std::uint32_t least) {
  const std::uint32_t first = std::max(middle(lease), least);
  if (first >= lease.end()) return std::nullopt;
  const std::uint32_t give = lease.end() - first;
  lease.count -= give;
  return Lease{lease.sid_epoch, first, give, first, to, first};
}

std::uint32_t reservation(const Lease& lease) {
  return std::clamp<std::uint32_t>(lease.count / 64, 1, reservation_max);
}

std::uint32_t alone_max(const Lease& lease) {
  return std::max(lease.count / 4, reservation(lease));
}

}  // namespace cohort::coop
