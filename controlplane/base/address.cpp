#include "controlplane/base/address.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <bit>
#include <charconv>
#include <fmt/format.h>

namespace cohort {

namespace {

/// The address with every bit behind `length` cleared.
IpAddress masked(const IpAddress& address, std::uint8_t length) {
  Bytes octets = to_bytes(address.bytes());
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const int kept = std::clamp(static_cast<int>(length) - static_cast<int>(i) * 8, 0, 8);
    octets[i] = static_cast<std::uint8_t>(octets[i] & (0xff00 >> kept));
  }
  return IpAddress::from_bytes(octets).value();
}

/// A wildcard mask (0.0.0.255) as a prefix length; fails unless its ones are contiguous.
Result<std::uint8_t> wildcard_length(std::string_view text) {
  auto mask = IpAddress::parse(text);
  if (!mask || !mask->is_v4()) return fail(bad_prefix, std::string(text));
  const std::uint32_t ones = mask->v4_value();
  if ((ones & (ones + 1)) != 0) return fail(bad_prefix, "the wildcard mask has gaps");
  return static_cast<std::uint8_t>(std::countl_zero(ones));
}

Result<std::uint8_t> prefix_length(std::string_view text, std::uint8_t max) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max)
    return fail(bad_prefix, fmt::format("length '{}' is not 0 to {}", text, max));
  return static_cast<std::uint8_t>(value);
}

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  std::array<std::uint8_t, 16> octets{};
  for (unsigned i = 0; i < 4; ++i)
    octets[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return {Family::v4, octets};
}

Result<IpAddress> IpAddress::from_bytes(ByteView octets) {
  if (octets.size() != 4 && octets.size() != 16)
    return fail(bad_address, fmt::format("{} octets", octets.size()));
  std::array<std::uint8_t, 16> value{};
  std::copy(octets.begin(), octets.end(), value.begin());
  return IpAddress(octets.size() == 4 ? Family::v4 : Family::v6, value);
}

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated(text);
  std::array<std::uint8_t, 16> octets{};
  if (inet_pton(AF_INET, terminated.c_str(), octets.data()) == 1)
    return IpAddress(Family::v4, octets);
  if (inet_pton(AF_INET6, terminated.c_str(), octets.data()) == 1)
    return IpAddress(Family::v6, octets);
  return fail(bad_address, fmt::format("'{}'", text));
}

std::uint32_t IpAddress::v4_value() const {
  return Reader(bytes()).u32();
}

bool IpAddress::is_unspecified() const {
  return std::ranges::all_of(bytes(), [](std::uint8_t octet) { return octet == 0; });
}

bool IpAddress::is_multicast() const {
  return is_v4() ? (octets_[0] & 0xf0) == 0xe0 : octets_[0] == 0xff;
}

std::string IpAddress::text() const {
  std::array<char, INET6_ADDRSTRLEN> out{};
  inet_ntop(is_v4() ? AF_INET : AF_INET6, octets_.data(), out.data(), out.size());
  return out.data();
}

std::string Endpoint::text() const {
  return address.is_v4() ? fmt::format("{}:{}", address.text(), port)
                         : fmt::format("[{}]:{}", address.text(), port);
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const std::size_t split = text.find_first_of("/ ");
  auto address = IpAddress::parse(text.substr(0, split));
  if (!address) return fail(bad_prefix, fmt::format("'{}'", text));
  const std::uint8_t max = address->is_v4() ? 32 : 128;
  std::uint8_t length = max;
  if (split != std::string_view::npos) {
    const std::string_view tail = text.substr(split + 1);
    COHORT_TRY(length, text[split] == '/' ? prefix_length(tail, max) : wildcard_length(tail));
  }
  if (masked(*address, length) != *address)
    return fail(bad_prefix, fmt::format("'{}' has bits set behind the prefix; did you mean {}/{}?",
                                        text, masked(*address, length).text(), length));
  return Prefix{*address, length};
}

Prefix Prefix::any(Family family) {
  return {family == Family::v4 ? IpAddress::v4(0) : IpAddress::v6({}), 0};
}

bool Prefix::contains(const IpAddress& candidate) const {
  return candidate.family() == address.family() && masked(candidate, length) == address;
}

std::string Prefix::text() const {
  return fmt::format("{}/{}", address.text(), length);
}

}  // namespace cohort
