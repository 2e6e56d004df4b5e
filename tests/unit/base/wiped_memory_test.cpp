#include <algorithm>
#include <array>
#include <cstdlib>
#include <gtest/gtest.h>
#include <malloc.h>
#include <new>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/secret.hpp"

/// What is freed is looked through before: no key may be in it.
namespace {

constexpr std::array<std::uint8_t, 16> key = {0xde, 0xad, 0x0b, 0x11, 0x5e, 0xc2, 0xe7, 0x99,
                                              0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93};
bool watching = false;
unsigned freed_with_key = 0;

void look_through(void* block) {
  if (!watching || block == nullptr) return;
  const auto* octets = static_cast<const std::uint8_t*>(block);
  const std::uint8_t* end = octets + malloc_usable_size(block);
  if (std::search(octets, end, key.begin(), key.end()) != end) ++freed_with_key;
}

}  // namespace

void* operator new(std::size_t size) {
  void* block = std::calloc(1, size);  // the octets behind what is used are looked at, too
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept {
  look_through(block);
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  look_through(block);
  std::free(block);
}

namespace cohort {
namespace {

class WipedMemory : public testing::Test {
 protected:
  void SetUp() override {
    freed_with_key = 0;
    watching = true;
  }
  void TearDown() override { watching = false; }
};

TEST_F(WipedMemory, is_what_this_test_can_see) {
  {
    const Bytes copy = to_bytes(key);
    asm volatile("" : : "r"(copy.data()) : "memory");  // or the optimizer may see nothing to do
  }
  EXPECT_EQ(freed_with_key, 1u);
}

TEST_F(WipedMemory, is_left_by_a_writer_that_grows_is_moved_or_goes) {
  {
    Writer out;
    for (unsigned i = 0; i < 500; ++i) out.bytes(key).u32(i);
    Writer other = std::move(out);
    other.bytes(key);
    Writer third;
    third.bytes(key);
    third = std::move(other);
    Bytes taken = third.take();
    EXPECT_EQ(taken.size(), 501 * 16u + 500 * 4u);
    zeroize(taken);
    third.bytes(key);
  }
  EXPECT_EQ(freed_with_key, 0u);
}

TEST_F(WipedMemory, is_left_by_a_secret) {
  {
    Secret secret(key);
    Secret copy = secret.clone();
    secret = std::move(copy);
    copy = Secret(key);
    const Secret moved = std::move(copy);
  }
  EXPECT_EQ(freed_with_key, 0u);
}

}  // namespace
}  // namespace cohort
