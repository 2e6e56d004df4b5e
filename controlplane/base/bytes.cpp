#include "controlplane/base/bytes.hpp"

#include <algorithm>
#include <cassert>
#include <openssl/crypto.h>

#include "controlplane/base/secret.hpp"

namespace cohort {

namespace {

constexpr std::size_t room_min = 64;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string to_hex(ByteView data) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(data.size() * 2);
  for (const std::uint8_t octet : data) {
    out.push_back(digits[octet >> 4]);
    out.push_back(digits[octet & 15]);
  }
  return out;
}

Result<Bytes> from_hex(std::string_view text) {
  Bytes out;
  int high = -1;
  for (const char c : text) {
    if (high < 0 && (c == ':' || c == ' ')) continue;
    const int value = hex_value(c);
    if (value < 0) return fail(bad_hex);
    if (high < 0) {
      high = value;
    } else {
      out.push_back(static_cast<std::uint8_t>(high << 4 | value));
      high = -1;
    }
  }
  if (high >= 0) return fail(bad_hex);
  return out;
}

ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Bytes to_bytes(ByteView view) {
  return {view.begin(), view.end()};
}

bool equal_constant_time(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

bool equal(ByteView a, ByteView b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

ByteView Reader::take(std::size_t n) {
  if (failed_ || n > remaining()) {
    failed_ = true;
    return {};
  }
  const ByteView out = data_.subspan(at_, n);
  at_ += n;
  return out;
}

ByteView Reader::rest() {
  return take(remaining());
}

std::uint8_t Reader::u8() {
  const ByteView octets = take(1);
  return octets.empty() ? std::uint8_t{0} : octets[0];
}

std::uint16_t Reader::u16() {
  const ByteView o = take(2);
  return o.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>(o[0] << 8 | o[1]);
}

std::uint32_t Reader::u32() {
  std::uint32_t value = 0;
  for (const std::uint8_t octet : take(4)) value = value << 8 | octet;
  return value;
}

std::uint64_t Reader::u64() {
  std::uint64_t value = 0;
  for (const std::uint8_t octet : take(8)) value = value << 8 | octet;
  return value;
}

Writer::~Writer() {
  zeroize(out_);
}

Writer& Writer::operator=(Writer&& other) noexcept {
  if (this != &other) {
    zeroize(out_);
    out_ = std::exchange(other.out_, {});
  }
  return *this;
}

/// A vector that grows by itself leaves its old octets behind.
void Writer::make_room(std::size_t n) {
  if (out_.capacity() - out_.size() >= n) return;
  Bytes larger;
  larger.reserve(std::max({out_.size() + n, out_.capacity() * 2, room_min}));
  larger.insert(larger.end(), out_.begin(), out_.end());
  zeroize(out_);
  out_ = std::move(larger);
}

Writer& Writer::u8(std::uint8_t value) {
  make_room(1);
  out_.push_back(value);
  return *this;
}

Writer& Writer::u16(std::uint16_t value) {
  return u8(static_cast<std::uint8_t>(value >> 8)).u8(static_cast<std::uint8_t>(value));
}

Writer& Writer::u32(std::uint32_t value) {
  return u16(static_cast<std::uint16_t>(value >> 16)).u16(static_cast<std::uint16_t>(value));
}

Writer& Writer::u64(std::uint64_t value) {
  return u32(static_cast<std::uint32_t>(value >> 32)).u32(static_cast<std::uint32_t>(value));
}

Writer& Writer::bytes(ByteView data) {
  make_room(data.size());
  out_.insert(out_.end(), data.begin(), data.end());
  return *this;
}

Writer& Writer::zeros(std::size_t n) {
  make_room(n);
  out_.insert(out_.end(), n, 0);
  return *this;
}

void Writer::patch_u16(std::size_t offset, std::uint16_t value) {
  assert(offset + 2 <= out_.size());
  out_[offset] = static_cast<std::uint8_t>(value >> 8);
  out_[offset + 1] = static_cast<std::uint8_t>(value);
}

void Writer::patch_u32(std::size_t offset, std::uint32_t value) {
  patch_u16(offset, static_cast<std::uint16_t>(value >> 16));
  patch_u16(offset + 2, static_cast<std::uint16_t>(value));
}

}  // namespace cohort
