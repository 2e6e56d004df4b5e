#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "controlplane/base/bytes.hpp"

namespace cohort {

inline constexpr Reason bad_address{"bad_address", "the text is not an IPv4 or IPv6 address"};
inline constexpr Reason bad_prefix{
    "bad_prefix",
    "the text is not ADDRESS/LENGTH or ADDRESS WILDCARD-MASK with the host bits zero"};

enum class Family : std::uint8_t { v4 = 4, v6 = 6 };

/// An IPv4 or IPv6 address, in network order. The default is 0.0.0.0.
class IpAddress {
 public:
  IpAddress() = default;
  static IpAddress v4(std::uint32_t host_order);
  static IpAddress v6(const std::array<std::uint8_t, 16>& octets) { return {Family::v6, octets}; }
  /// 4 or 16 octets in network order; anything else fails.
  static Result<IpAddress> from_bytes(ByteView octets);
  static Result<IpAddress> parse(std::string_view text);

  [[nodiscard]] Family family() const { return family_; }
  [[nodiscard]] bool is_v4() const { return family_ == Family::v4; }
  [[nodiscard]] ByteView bytes() const { return {octets_.data(), is_v4() ? 4u : 16u}; }
  /// IPv4 in host order; only for a v4 address.
  [[nodiscard]] std::uint32_t v4_value() const;
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] std::string text() const;
  auto operator<=>(const IpAddress&) const = default;

 private:
  IpAddress(Family family, const std::array<std::uint8_t, 16>& octets)
      : family_(family), octets_(octets) {}
  Family family_ = Family::v4;
  std::array<std::uint8_t, 16> octets_{};
};

/// A UDP end.
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;
  /// "192.0.2.1:848" or "[2001:db8::1]:848".
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Endpoint&) const = default;
};

/// An address prefix; bits behind `length` are zero (parse refuses others).
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;  ///< 0..32 or 0..128
  /// "10.0.0.0/24", "2001:db8::/32", or the access-list form "10.0.0.0 0.0.0.255".
  static Result<Prefix> parse(std::string_view text);
  static Prefix any(Family family);
  [[nodiscard]] bool contains(const IpAddress& candidate) const;
  [[nodiscard]] std::string text() const;
  auto operator<=>(const Prefix&) const = default;
};

}  // namespace cohort
