#include "gdoi/sender_id.hpp"

#include <algorithm>
#include <fmt/core.h>
#include <utility>

#include "controlplane/ike/message.hpp"
#include "gdoi/payloads.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

constexpr std::size_t shares_max = 8192;

}  // namespace

SenderIdAllocator::SenderIdAllocator(std::uint8_t bits)
    : bits_(bits), ranges_{{0, (1u << bits) - 1}} {}

Status SenderIdAllocator::lease(std::vector<SenderIdRange> ranges) {
  std::uint64_t above = 0;
  for (const SenderIdRange& range : ranges) {
    if (range.first < above || range.last < range.first || (range.last >> bits_) != 0) {
      return fail(bad_group_policy, "sender id ranges overlap, or leave their space");
    }
    above = std::uint64_t{range.last} + 1;
  }
  ranges_ = std::move(ranges);
  return {};
}

Result<std::vector<std::uint32_t>> SenderIdAllocator::allocate(std::size_t count) {
  if (count > left()) {
    return fail(sender_ids_exhausted, fmt::format("{} wanted, {} left", count, left()));
  }
  std::vector<std::uint32_t> ids;
  for (const SenderIdRange& range : ranges_) {
    for (std::uint32_t id = std::max(range.first, next_); id <= range.last; ++id) {
      if (ids.size() == count) return ids;
      ids.push_back(id);
      next_ = id + 1;
    }
  }
  return ids;
}

void SenderIdAllocator::resume_at(std::uint32_t next) {
  next_ = std::max(next_, next);
}

std::uint64_t SenderIdAllocator::left() const {
  std::uint64_t count = 0;
  for (const SenderIdRange& range : ranges_) {
    const std::uint64_t from = std::max(range.first, next_);
    if (from <= range.last) count += range.last - from + 1;
  }
  return count;
}

std::uint64_t SenderIdAllocator::used() const {
  std::uint64_t all = 0;
  for (const SenderIdRange& range : ranges_) all += std::uint64_t{range.last} - range.first + 1;
  return all - left();
}

// ---- shares -------------------------------------------------------------------------------------

std::size_t SenderIdShares::share_of(std::uint8_t bits) {
  return std::max(sender_ids_max, (std::size_t{1} << bits) / 256);
}

Status SenderIdShares::take(TimePoint now, const std::string& identity, std::size_t count,
                            std::uint8_t bits, Duration period) {
  if (!shares_.contains(identity)) make_room(now, period);
  Share& share = shares_.try_emplace(identity, Share{now, 0, false}).first->second;
  if (now - share.since >= period) share = {now, 0, false};
  const std::size_t limit = share_of(bits);
  if (share.spent + count > limit) {
    return fail(sender_id_share_spent,
                fmt::format("{}: {} more wanted, {} of {} spent in the life of a traffic key",
                            identity, count, share.spent, limit));
  }
  share.spent += count;
  return {};
}

void SenderIdShares::give_back(const std::string& identity, std::size_t count) {
  const auto share = shares_.find(identity);
  if (share != shares_.end()) share->second.spent -= std::min(share->second.spent, count);
}

bool SenderIdShares::first_refusal(const std::string& identity) {
  const auto share = shares_.find(identity);
  return share != shares_.end() && !std::exchange(share->second.told, true);
}

void SenderIdShares::make_room(TimePoint now, Duration period) {
  if (shares_.size() < shares_max) return;
  std::erase_if(shares_, [&](const auto& entry) { return now - entry.second.since >= period; });
  if (shares_.size() < shares_max) return;
  const auto oldest = std::min_element(
      shares_.begin(), shares_.end(),
      [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
  shares_.erase(oldest);
}

Bytes sender_id_to_wire(std::uint32_t value, std::uint16_t bits) {
  const std::size_t octets = (bits + 7u) / 8u;
  Bytes out(octets);
  for (std::size_t i = 0; i < octets; ++i) {
    out[octets - 1 - i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
  return out;
}

Result<std::uint32_t> sender_id_from_wire(ByteView octets, std::uint16_t bits) {
  if (octets.empty() || octets.size() > 8) return fail(ike::bad_length, "SID_VALUE");
  std::uint64_t big = 0, little = 0;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    big = big << 8 | octets[i];
    little |= std::uint64_t{octets[i]} << (8 * i);
  }
  const std::uint64_t limit = std::uint64_t{1} << std::min<std::uint16_t>(bits, 32);
  if (big < limit) return static_cast<std::uint32_t>(big);
  if (little < limit) return static_cast<std::uint32_t>(little);
  return fail(ike::bad_payload, fmt::format("SID_VALUE does not fit {} bits", bits));
}

}  // namespace cohort::gdoi
