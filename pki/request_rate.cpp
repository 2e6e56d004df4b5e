#include "pki/request_rate.hpp"

#include <algorithm>
#include <array>

namespace cohort::pki {

namespace {

constexpr Duration burst = std::chrono::seconds(4);

/// An IPv4 address, or the /64 of an IPv6 address: whoever has one address of it has all.
IpAddress source_of(std::string_view peer) {
  const auto address = IpAddress::parse(peer);
  if (!address) return {};
  if (address->is_v4()) return *address;
  std::array<std::uint8_t, 16> octets{};
  std::copy_n(address->bytes().begin(), 8, octets.begin());
  return IpAddress::v6(octets);
}

}  // namespace

bool RequestRate::Limit::has_room(const Bucket& bucket, TimePoint now) const {
  return std::max(bucket.paid_until, now - burst) + cost_ <= now;
}

void RequestRate::Limit::pay(Bucket& bucket, TimePoint now) const {
  bucket.paid_until = std::max(bucket.paid_until, now - burst) + cost_;
}

bool RequestRate::Limit::is_full(const Bucket& bucket, TimePoint now) const {
  return bucket.paid_until <= now - burst;
}

/// Room is made by those who have their whole share again, or else by the one that is nearest to
/// it.
RequestRate::Bucket& RequestRate::bucket_of(const IpAddress& source, TimePoint now) {
  const auto known = sources_.find(source);
  if (known != sources_.end()) return known->second;
  if (sources_.size() >= sources_max) {
    std::erase_if(sources_,
                  [&](const auto& each) { return per_source_.is_full(each.second, now); });
  }
  if (sources_.size() >= sources_max) {
    sources_.erase(std::min_element(
        sources_.begin(), sources_.end(),
        [](const auto& a, const auto& b) { return a.second.paid_until < b.second.paid_until; }));
  }
  return sources_.emplace(source, Bucket{now - burst}).first->second;
}

RequestRate::Verdict RequestRate::take(TimePoint now, std::string_view peer) {
  Bucket* source = per_source_.is_off() ? nullptr : &bucket_of(source_of(peer), now);
  if (source != nullptr && !per_source_.has_room(*source, now)) return Verdict::source_exceeded;
  if (!all_.is_off() && !all_.has_room(all_bucket_, now)) return Verdict::all_exceeded;
  if (source != nullptr) per_source_.pay(*source, now);
  if (!all_.is_off()) all_.pay(all_bucket_, now);
  return Verdict::allowed;
}

}  // namespace cohort::pki
