#pragma once

#include <cstdint>
#include <memory>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"

namespace cohort::crypto {

/// Diffie-Hellman groups by their IANA number (RFC 2409, 3526, 5903). 2 and 5 are weak.
enum class DhGroup : std::uint16_t {
  modp1024 = 2,
  modp1536 = 5,
  modp2048 = 14,
  modp3072 = 15,
  modp4096 = 16,
  ecp256 = 19,
  ecp384 = 20,
  ecp521 = 21
};

[[nodiscard]] bool is_known(DhGroup group);
/// Octets of a public value: the modulus, or x | y for curves (RFC 5903 section 7).
[[nodiscard]] std::size_t public_size(DhGroup group);

/// A private exponent with its public value. Values are fixed-length, zero-padded on the left.
class DhKey {
 public:
  static Result<DhKey> generate(DhGroup group);
  /// From a known exponent, for golden tests: big-endian octets.
  static Result<DhKey> from_private(DhGroup group, const Secret& exponent);
  [[nodiscard]] DhGroup group() const { return group_; }
  [[nodiscard]] ByteView public_value() const { return public_value_; }
  /// g^xy, fixed length (x coordinate for curves). Refuses values of wrong length, 0, 1, p-1, and
  /// points off the curve.
  [[nodiscard]] Result<Secret> shared(ByteView peer_public) const;

  DhKey(DhKey&&) noexcept;
  DhKey& operator=(DhKey&&) noexcept;
  ~DhKey();

 private:
  struct Impl;
  DhKey(DhGroup group, Bytes public_value, std::unique_ptr<Impl> impl);
  DhGroup group_;
  Bytes public_value_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cohort::crypto
