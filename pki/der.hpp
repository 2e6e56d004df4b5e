#pragma once

#include <cstdint>
#include <optional>

#include "controlplane/base/bytes.hpp"

/// Just enough DER to look into structures that OpenSSL keeps to itself.
namespace cohort::pki {

/// One tag-length-value with a tag number under 31 and a definite length.
struct DerValue {
  std::uint8_t tag = 0;  ///< the identifier octet: class, constructed bit, number
  ByteView whole;        ///< with header
  ByteView contents;
};

inline constexpr std::uint8_t der_integer = 0x02;
inline constexpr std::uint8_t der_oid = 0x06;
inline constexpr std::uint8_t der_sequence = 0x30;
inline constexpr std::uint8_t der_set = 0x31;
inline constexpr std::uint8_t der_context_0 = 0xa0;

/// Takes values off the front of hostile bytes; empty at the first that is malformed.
class DerReader {
 public:
  explicit DerReader(ByteView data) : data_(data) {}

  [[nodiscard]] bool empty() const { return data_.empty(); }
  [[nodiscard]] std::optional<DerValue> next() {
    Reader reader(data_);
    DerValue out;
    out.tag = reader.u8();
    std::size_t length = reader.u8();
    if (length > 0x80) {
      const std::size_t octets = length & 0x7f;
      length = 0;
      if (octets > 4) return std::nullopt;
      for (std::size_t i = 0; i < octets; ++i) length = length << 8 | reader.u8();
    } else if (length == 0x80) {
      return std::nullopt;
    }
    out.contents = reader.take(length);
    if (!reader.ok() || (out.tag & 0x1f) == 0x1f) return std::nullopt;
    out.whole = data_.first(reader.offset());
    data_ = data_.subspan(reader.offset());
    return out;
  }
  /// The next value if it has this tag.
  [[nodiscard]] std::optional<DerValue> next(std::uint8_t tag) {
    auto out = next();
    if (!out || out->tag != tag) return std::nullopt;
    return out;
  }

 private:
  ByteView data_;
};

}  // namespace cohort::pki
