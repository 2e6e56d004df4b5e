#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/time.hpp"

namespace cohort::sim {

/// 64-bit hash of `data`, the same on every machine and in every run. Not for security.
[[nodiscard]] std::uint64_t hash64(ByteView data, std::uint64_t seed = 0);
[[nodiscard]] std::uint64_t hash64(std::string_view text, std::uint64_t seed = 0);
/// One round of splitmix64: spreads the bits of `value`.
[[nodiscard]] std::uint64_t mix64(std::uint64_t value);

/// The simulator's only source of chance: xoshiro256**. Distributions are our own, since those of
/// the standard library differ between implementations. Each part of a run forks a generator by
/// name from the seed, so that one more draw in one part does not change what another part sees.
class Prng {
 public:
  explicit Prng(std::uint64_t seed);
  /// The generator of the part called `name`; depends on the seed and the name only.
  [[nodiscard]] Prng fork(std::string_view name) const;

  [[nodiscard]] std::uint64_t u64();
  /// Uniform in [0, bound); 0 when the bound is 0.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound);
  /// Uniform in [low, high].
  [[nodiscard]] std::uint64_t between(std::uint64_t low, std::uint64_t high);
  /// Uniform in [low, high].
  [[nodiscard]] Duration between(Duration low, Duration high);
  [[nodiscard]] bool chance(unsigned permille) { return below(1000) < permille; }
  void fill(std::span<std::uint8_t> out);

 private:
  std::uint64_t seed_;
  std::uint64_t state_[4];
};

}  // namespace cohort::sim
