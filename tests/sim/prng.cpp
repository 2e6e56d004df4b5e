#include "tests/sim/prng.hpp"

#include <bit>
#include <cstring>

namespace cohort::sim {

std::uint64_t mix64(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

std::uint64_t hash64(ByteView data, std::uint64_t seed) {
  std::uint64_t hash = mix64(seed ^ (data.size() * 0x9e3779b97f4a7c15));
  std::size_t at = 0;
  for (; at + 8 <= data.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data.data() + at, 8);
    hash = mix64(hash ^ word);
  }
  std::uint64_t tail = 0;
  for (; at < data.size(); ++at) tail = tail << 8 | data[at];
  return mix64(hash ^ tail);
}

std::uint64_t hash64(std::string_view text, std::uint64_t seed) {
  return hash64(as_bytes(text), seed);
}

Prng::Prng(std::uint64_t seed) : seed_(seed) {
  std::uint64_t word = seed;
  for (auto& part : state_) part = word = mix64(word);
}

Prng Prng::fork(std::string_view name) const {
  return Prng(hash64(name, seed_));
}

std::uint64_t Prng::u64() {
  const auto result = std::rotl(state_[1] * 5, 7) * 9;
  const auto shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::uint64_t Prng::below(std::uint64_t bound) {
  if (bound == 0) return 0;
  // Draws from the incomplete last stretch would favour small results.
  const auto limit = ~std::uint64_t{0} - ~std::uint64_t{0} % bound;
  auto drawn = u64();
  while (drawn >= limit) drawn = u64();
  return drawn % bound;
}

std::uint64_t Prng::between(std::uint64_t low, std::uint64_t high) {
  return high <= low ? low : low + below(high - low + 1);
}

Duration Prng::between(Duration low, Duration high) {
  if (high <= low) return low;
  return low + Duration(static_cast<Duration::rep>(
                   below(static_cast<std::uint64_t>((high - low).count()) + 1)));
}

void Prng::fill(std::span<std::uint8_t> out) {
  std::size_t at = 0;
  while (at < out.size()) {
    auto word = u64();
    for (int i = 0; i < 8 && at < out.size(); ++i, ++at, word >>= 8)
      out[at] = static_cast<std::uint8_t>(word);
  }
}

}  // namespace cohort::sim
