#pragma once

#include <cstdint>

#include "dataplane/burst.hpp"
#include "dataplane/locality.hpp"

struct rte_mbuf;
struct rte_mempool;

namespace cohort::dataplane {

/// At most `per_second` events, in bursts of at most a tenth of a second's worth. One thread.
class RateLimit {
 public:
  RateLimit() = default;
  RateLimit(std::uint32_t per_second, std::uint64_t cycles_per_second)
      : per_event_(per_second == 0 ? 0 : cycles_per_second / per_second),
        burst_(cycles_per_second / 10) {}
  /// `now` in cycles.
  [[nodiscard]] bool allow(std::uint64_t now) {
    if (per_event_ == 0) return false;
    if (paid_until_ + burst_ < now) paid_until_ = now - burst_;
    if (paid_until_ + per_event_ > now) return false;
    paid_until_ += per_event_;
    return true;
  }

 private:
  std::uint64_t per_event_ = 0;
  std::uint64_t burst_ = 0;
  std::uint64_t paid_until_ = 0;
};

/// Whether a router may report an error about this packet to its sender (RFC 1122 section 3.2.2,
/// RFC 4443 section 2.4 e): not about ICMP errors, later fragments, or from senders that are no
/// single host; about packets to a multicast group only in IPv6, where path MTU discovery needs it.
[[nodiscard]] bool may_report(const std::uint8_t* ip, const Note& note);

/// The frame that tells the sender of `mbuf` the largest inner packet: ICMP "fragmentation needed"
/// (RFC 1191) or ICMPv6 "packet too big" (RFC 4443 section 3.2), to leave by the port that the
/// packet came from. Null if there is no buffer, or no address to send from.
[[nodiscard]] rte_mbuf* make_too_big(rte_mbuf& mbuf, const Note& note, std::uint32_t mtu,
                                     const Locality& locality, rte_mempool& pool);

}  // namespace cohort::dataplane
