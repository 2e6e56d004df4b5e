#pragma once

#include <optional>

#include "controlplane/base/bytes.hpp"
#include "dataplane/api/snapshot.hpp"

/// ESP in tunnel mode with addresses preserved, written plainly on OpenSSL's EVP: what the
/// dataplane is compared with. Shares no code with it.
namespace cohort::test {

struct Sealed {
  std::uint32_t spi = 0;
  std::uint32_t sequence = 0;
  Bytes outer;  ///< the outer IP header
  Bytes inner;  ///< the inner packet, TFC padding included
  Bytes padding;
  std::uint8_t next_header = 0;
};

struct SealOptions {
  std::uint32_t sequence = 1;
  Bytes iv;                   ///< 8 or 16 octets
  std::size_t extra_pad = 0;  ///< more padding, in blocks
  Bytes tfc;                  ///< octets behind the inner packet
  std::optional<std::uint8_t> next_header;
  std::optional<Bytes> padding;  ///< instead of 1, 2, 3, …
  std::optional<std::uint8_t> pad_length;
};

/// The ESP packet (outer header included) for an inner IP packet; the outer header as RFC 4301 says
/// for a bump in the wire, DF copied, IPv4 identification `id`.
Bytes seal(const dataplane::Sa& sa, const Bytes& inner, const SealOptions& options,
           std::uint16_t id = 0);
/// Authenticates and decrypts; empty if the ICV or the shape is wrong.
std::optional<Sealed> open(const dataplane::Sa& sa, const Bytes& packet);

}  // namespace cohort::test
