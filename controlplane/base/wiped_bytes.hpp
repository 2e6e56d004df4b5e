#pragma once

#include <cstdint>
#include <memory>
#include <openssl/crypto.h>
#include <vector>

namespace cohort {

/// Wipes what it takes back, so that a container that grows, moves or goes leaves nothing behind.
template <typename T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <typename U>
  explicit(false) WipingAllocator(const WipingAllocator<U>&) {}
  [[nodiscard]] T* allocate(std::size_t count) { return std::allocator<T>().allocate(count); }
  void deallocate(T* block, std::size_t count) noexcept {
    OPENSSL_cleanse(block, count * sizeof(T));
    std::allocator<T>().deallocate(block, count);
  }
  bool operator==(const WipingAllocator&) const = default;
};

/// For octets that may be secret and are worked on; what is only kept is a Secret.
using WipedBytes = std::vector<std::uint8_t, WipingAllocator<std::uint8_t>>;

}  // namespace cohort
