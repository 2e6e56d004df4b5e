#pragma once

#include <cstdint>
#include <span>

#include "dataplane/burst.hpp"

struct rte_mbuf;
struct rte_mempool;

namespace cohort::dataplane {

/// Cuts an IPv4 packet (in one buffer, DF clear) into fragments of at most `mtu` octets, each a
/// whole frame in a buffer of its own from `pool` (RFC 791 section 2.3). Options that are not to be
/// copied become no-operations in the later ones. Returns how many were made, 0 if `out` or the
/// pool is too small; the packet itself is left alone.
unsigned fragment_ipv4(rte_mbuf& mbuf, const Note& note, std::uint32_t mtu, rte_mempool& pool,
                       std::span<rte_mbuf*> out);

/// Cuts an IPv6 packet without extension headers (in one buffer, behind `l2_length` octets) into
/// fragments of at most `mtu` octets (RFC 8200 section 4.5), each a whole frame in a buffer of its
/// own from `pool`. Returns how many, 0 if `out` or the pool is too small; the packet itself is
/// left alone.
unsigned fragment_ipv6(const rte_mbuf& mbuf, std::uint32_t l2_length, std::uint32_t mtu,
                       std::uint32_t id, rte_mempool& pool, std::span<rte_mbuf*> out);

}  // namespace cohort::dataplane
