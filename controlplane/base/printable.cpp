#include "controlplane/base/printable.hpp"

#include <algorithm>
#include <cstdint>

namespace cohort {

namespace {

struct Range {
  std::uint32_t first, last;
};
/// Invisible or reordering: UAX #9 and what has been used to hide text in plain sight.
constexpr Range hidden[] = {{0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},      {0x61c, 0x61c},
                            {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f},
                            {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};

struct Character {
  std::size_t octets;  ///< 0: not UTF-8
  std::uint32_t value;
};

Character first_of(std::string_view text) {
  const auto octet = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned lead = octet(0);
  if (lead < 0x80) return {1, lead};
  const std::size_t octets = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || octets > text.size()) return {0, 0};
  std::uint32_t value = lead & (0x7fu >> octets);
  for (std::size_t i = 1; i < octets; ++i) {
    if ((octet(i) & 0xc0) != 0x80) return {0, 0};
    value = value << 6 | (octet(i) & 0x3fu);
  }
  constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < least[octets] || value > 0x10ffff || surrogate) return {0, 0};
  return {octets, value};
}

}  // namespace

std::string printable(std::string_view text, std::size_t length_max) {
  std::string out;
  while (!text.empty()) {
    const Character next = first_of(text);
    const bool seen = next.octets != 0 &&
                      std::none_of(std::begin(hidden), std::end(hidden), [&](const Range& range) {
                        return range.first <= next.value && next.value <= range.last;
                      });
    const std::size_t octets = std::max<std::size_t>(next.octets, 1);
    if (out.size() + (seen ? octets : 1) > length_max) return out + "…";
    if (seen)
      out += text.substr(0, octets);
    else
      out += '?';
    text.remove_prefix(octets);
  }
  return out;
}

}  // namespace cohort
