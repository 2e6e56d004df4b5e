#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/base/result.hpp"

namespace cohort {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// Lower-case hex of `data`. Not for secrets.
[[nodiscard]] std::string to_hex(ByteView data);
/// Reads hex with optional ':' or ' ' between octets; fails on anything else.
[[nodiscard]] Result<Bytes> from_hex(std::string_view text);
/// The octets of a text, without a terminator. The view lives as long as `text`.
[[nodiscard]] ByteView as_bytes(std::string_view text);
[[nodiscard]] Bytes to_bytes(ByteView view);
/// Constant time in the contents; lengths are public.
[[nodiscard]] bool equal_constant_time(ByteView a, ByteView b);
/// Content equality for public data.
[[nodiscard]] bool equal(ByteView a, ByteView b);

inline constexpr Reason bad_hex{"bad_hex", "the text is not an even number of hexadecimal digits"};

/// A cursor over hostile bytes, network order. Every read is checked; the first read past the end
/// makes the reader failed, and from then on each read returns zeros or an empty view. So a parser
/// reads a whole structure and asks ok() once. Does not own the bytes.
class Reader {
 public:
  explicit Reader(ByteView data) : data_(data) {}

  [[nodiscard]] std::uint8_t u8();
  [[nodiscard]] std::uint16_t u16();
  [[nodiscard]] std::uint32_t u32();
  [[nodiscard]] std::uint64_t u64();
  /// The next `n` octets.
  [[nodiscard]] ByteView take(std::size_t n);
  /// Everything not yet read; the reader is then at its end.
  [[nodiscard]] ByteView rest();
  void skip(std::size_t n) { (void)take(n); }

  [[nodiscard]] std::size_t remaining() const { return data_.size() - at_; }
  [[nodiscard]] std::size_t offset() const { return at_; }
  [[nodiscard]] bool empty() const { return remaining() == 0; }
  [[nodiscard]] bool ok() const { return !failed_; }

 private:
  ByteView data_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

/// Appends network-order fields to a growing buffer; lengths can be patched afterwards. What is
/// written may be keys: a buffer that is outgrown, or never taken, is wiped.
class Writer {
 public:
  Writer() = default;
  ~Writer();
  Writer(Writer&& other) noexcept : out_(std::exchange(other.out_, {})) {}
  Writer& operator=(Writer&& other) noexcept;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Writer& u8(std::uint8_t value);
  Writer& u16(std::uint16_t value);
  Writer& u32(std::uint32_t value);
  Writer& u64(std::uint64_t value);
  Writer& bytes(ByteView data);
  Writer& zeros(std::size_t n);

  [[nodiscard]] std::size_t size() const { return out_.size(); }
  /// Overwrites the 16- or 32-bit field at `offset`, which must have been written.
  void patch_u16(std::size_t offset, std::uint16_t value);
  void patch_u32(std::size_t offset, std::uint32_t value);

  [[nodiscard]] ByteView view() const { return out_; }
  [[nodiscard]] Bytes take() { return std::exchange(out_, {}); }

 private:
  void make_room(std::size_t n);
  Bytes out_;
};

}  // namespace cohort
