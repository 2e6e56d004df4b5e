#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>

#include "controlplane/base/address.hpp"
#include "controlplane/base/time.hpp"

namespace cohort::pki {

/// How often strangers may have work done that costs a private-key operation: so many times a
/// second all together and so many for each source, which is an IPv4 address or an IPv6 /64. Four
/// seconds' worth may come at once. Remembers at most `sources_max` of them; a source that it has
/// forgotten is a new one, so that whoever has many addresses meets the limit for all.
class RequestRate {
 public:
  enum class Verdict : std::uint8_t { allowed, source_exceeded, all_exceeded };
  static constexpr std::size_t sources_max = 1024;

  /// 0: no limit.
  RequestRate(unsigned per_second, unsigned per_second_per_source)
      : all_(per_second), per_source_(per_second_per_source) {}

  /// Asks for one; what is refused costs nothing of what is left. A peer that is no address shares
  /// one source with all others that are none.
  [[nodiscard]] Verdict take(TimePoint now, std::string_view peer);

 private:
  /// A bucket of tokens as the time until which it is paid for: `burst` before now is full.
  struct Bucket {
    TimePoint paid_until{};
  };
  class Limit {
   public:
    explicit Limit(unsigned per_second)
        : cost_(per_second == 0 ? Duration::zero()
                                : Duration(std::chrono::seconds(1)) / per_second) {}
    [[nodiscard]] bool has_room(const Bucket& bucket, TimePoint now) const;
    void pay(Bucket& bucket, TimePoint now) const;
    [[nodiscard]] bool is_full(const Bucket& bucket, TimePoint now) const;
    [[nodiscard]] bool is_off() const { return cost_ == Duration::zero(); }

   private:
    Duration cost_;
  };

  Bucket& bucket_of(const IpAddress& source, TimePoint now);

  Limit all_;
  Limit per_source_;
  Bucket all_bucket_;
  std::map<IpAddress, Bucket> sources_;
};

}  // namespace cohort::pki
