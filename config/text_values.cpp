#include "config/text_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/format.h>
#include <optional>
#include <tuple>

#include "pki/distinguished_name.hpp"

namespace cohort::config {
namespace {

struct ProtocolName {
  std::string_view name;
  std::uint8_t number;
};
constexpr std::array<ProtocolName, 16> protocols{{{"ip", 0},
                                                  {"ipv6", 0},
                                                  {"icmp", 1},
                                                  {"igmp", 2},
                                                  {"ipinip", 4},
                                                  {"tcp", 6},
                                                  {"udp", 17},
                                                  {"gre", 47},
                                                  {"esp", 50},
                                                  {"ahp", 51},
                                                  {"icmpv6", 58},
                                                  {"eigrp", 88},
                                                  {"ospf", 89},
                                                  {"pim", 103},
                                                  {"vrrp", 112},
                                                  {"sctp", 132}}};

std::optional<std::uint32_t> whole_number(std::string_view text, std::uint32_t max) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

bool looks_like_dotted(std::string_view text) {
  return !text.empty() && text.find('.') != std::string_view::npos &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    if (space != 0) out.push_back(text.substr(0, space));
    if (space == std::string_view::npos) break;
    text.remove_prefix(space + 1);
  }
  return out;
}

/// Takes words from the front of a line.
class Words {
 public:
  explicit Words(std::vector<std::string_view> words) : words_(std::move(words)) {}
  [[nodiscard]] std::string_view peek() const { return at_ < words_.size() ? words_[at_] : ""; }
  std::string_view take() {
    const std::string_view out = peek();
    if (at_ < words_.size()) ++at_;
    return out;
  }

 private:
  std::vector<std::string_view> words_;
  std::size_t at_ = 0;
};

/// An end of a line as the text that make_selector() reads.
std::string take_end(Words& words) {
  std::string first(words.take());
  if (first == "host") return std::string(words.take());
  if (first == "any" || first.find('/') != std::string::npos) return first;
  // ADDRESS WILDCARD: also for a truncated address, so that the message is about the address.
  if (looks_like_dotted(words.peek())) return first + " " + std::string(words.take());
  return first;
}

Read<dataplane::PortRange> take_ports(Words& words) {
  const std::string_view word = words.peek();
  if (word == "eq") {
    words.take();
    return read_ports(words.take());
  }
  if (word == "range") {
    words.take();
    const std::string first(words.take());
    return read_ports(fmt::format("{}-{}", first, words.take()));
  }
  return dataplane::PortRange{};
}

std::string end_text(const Prefix& prefix) {
  if (prefix.length == 0) return "any";
  const unsigned full = prefix.address.is_v4() ? 32 : 128;
  if (prefix.length == full) return "host " + prefix.address.text();
  if (!prefix.address.is_v4()) return prefix.text();
  const std::uint32_t wildcard = static_cast<std::uint32_t>((1ull << (32u - prefix.length)) - 1);
  return prefix.address.text() + " " + IpAddress::v4(wildcard).text();
}

std::string ports_text(const dataplane::PortRange& ports) {
  if (ports.any()) return {};
  if (ports.first == ports.last) return fmt::format(" eq {}", ports.first);
  return fmt::format(" range {} {}", ports.first, ports.last);
}

bool has_ports(std::uint8_t protocol) {
  return protocol == 6 || protocol == 17 || protocol == 132;
}

}  // namespace

Read<IpAddress> read_address(std::string_view text) {
  if (text.size() <= 64 && text.find('\0') == std::string_view::npos) {
    if (auto out = IpAddress::parse(text)) return *out;
  }
  if (looks_like_dotted(text)) {
    const auto dots = std::count(text.begin(), text.end(), '.');
    if (dots < 3) {
      return tl::unexpected(fmt::format(
          "\"{}\" has {} of the 4 parts of an IPv4 address; write all four", text, dots + 1));
    }
    return tl::unexpected(std::string("write four numbers from 0 to 255 with dots between"));
  }
  return tl::unexpected(std::string("write it as in \"192.0.2.1\" or \"2001:db8::1\""));
}

Read<Prefix> read_prefix(std::string_view text) {
  const std::size_t split = text.find_first_of("/ ");
  auto address = read_address(text.substr(0, split));
  if (!address) return tl::unexpected(address.error());
  auto out = Prefix::parse(text);
  if (out) return *out;
  const std::string& detail = out.error().detail();
  if (const std::size_t hint = detail.find("did you mean"); hint != std::string::npos) {
    return tl::unexpected("it has bits set behind the prefix; " + detail.substr(hint));
  }
  if (split != std::string_view::npos && text[split] == ' ') {
    return tl::unexpected(std::string(
        "the second part must be a wildcard mask whose ones are all at the end, as in 0.0.0.255"));
  }
  return tl::unexpected(fmt::format("the length must be 0 to {}", address->is_v4() ? 32 : 128));
}

Read<Endpoint> read_endpoint(std::string_view text, std::uint16_t default_port) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (!text.empty() && text.front() == '[') {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return tl::unexpected(std::string("close the bracket"));
    host = text.substr(1, close - 1);
    has_port = close + 1 < text.size();
    if (has_port && text[close + 1] != ':') {
      return tl::unexpected(std::string("write ':' between the bracket and the port"));
    }
    if (has_port) port = text.substr(close + 2);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':') + 1);
    has_port = true;
  }
  auto address = read_address(host);
  if (!address) return tl::unexpected(address.error());
  if (!has_port && default_port == 0) return tl::unexpected(std::string("add the port"));
  if (!has_port) return Endpoint{*address, default_port};
  const auto number = whole_number(port, 65535);
  if (!number || *number == 0) return tl::unexpected(std::string("the port must be 1 to 65535"));
  return Endpoint{*address, static_cast<std::uint16_t>(*number)};
}

Read<std::string> read_distinguished_name(std::string_view text) {
  const auto correct = [](const std::string& what) {
    return tl::unexpected(what + ": write it as in \"CN=gm1, OU=GETVPN_GM\"");
  };
  const auto attributes = pki::parse_name(text);
  if (!attributes) return correct(attributes.error().detail());
  // "#…" is a value in hexadecimal, as certificates print what they have no word for.
  const bool as_printed = std::any_of(attributes->begin(), attributes->end(),
                                      [](const auto& one) { return one.value.starts_with('#'); });
  if (as_printed) return std::string(text);
  const auto der = pki::name_to_der(*attributes);
  if (!der) return correct(der.error().detail());
  const auto printed = pki::name_text(*der);
  if (!printed) return correct(printed.error().detail());
  return *printed;
}

Read<std::string> read_hostname(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  std::string_view rest = text;
  while (!rest.empty() && text.size() <= 253) {
    const std::size_t length = std::min(rest.find('.'), rest.size());
    const std::string_view label = rest.substr(0, length);
    if (label.empty() || label.size() > 63 || !std::all_of(label.begin(), label.end(), fits)) break;
    if (length == rest.size()) return std::string(text);
    rest.remove_prefix(length + 1);
  }
  return tl::unexpected(std::string(
      "write letters, digits, '-' and '_' with dots between, at most 63 in a row and 253 in all"));
}

Read<dataplane::PortRange> read_ports(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = whole_number(text.substr(0, dash), 65535);
  const auto last =
      dash == std::string_view::npos ? first : whole_number(text.substr(dash + 1), 65535);
  if (!first || !last || *first > *last) {
    return tl::unexpected(std::string("write one port (443) or a range (1024-65535)"));
  }
  return dataplane::PortRange{static_cast<std::uint16_t>(*first),
                              static_cast<std::uint16_t>(*last)};
}

Read<std::uint8_t> read_protocol(std::string_view text) {
  for (const ProtocolName& protocol : protocols) {
    if (protocol.name == text) return protocol.number;
  }
  if (const auto number = whole_number(text, 255)) return static_cast<std::uint8_t>(*number);
  std::string names;
  for (const ProtocolName& protocol : protocols) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", protocol.name);
  }
  return tl::unexpected(
      fmt::format("\"{}\" is no protocol; write one of {}, or a number", text, names));
}

Read<dataplane::Selector> make_selector(std::string_view protocol, std::string_view source,
                                        std::string_view destination) {
  const auto number = read_protocol(protocol);
  if (!number) return tl::unexpected(number.error());
  dataplane::Selector out;
  out.protocol = *number;
  std::optional<Family> family;
  for (const auto& [text, end, name] : {std::tuple{source, &out.source, "source"},
                                        std::tuple{destination, &out.destination, "destination"}}) {
    if (text == "any") continue;
    if (text.empty()) return tl::unexpected(fmt::format("the {} is missing", name));
    auto prefix = read_prefix(text);
    if (!prefix) {
      return tl::unexpected(fmt::format("in the {} \"{}\": {}", name, text, prefix.error()));
    }
    *end = *prefix;
    if (family && *family != prefix->address.family()) {
      return tl::unexpected(
          std::string("source and destination must be of one family, IPv4 or IPv6"));
    }
    family = prefix->address.family();
  }
  const bool wants_v6 = protocol == "ipv6" || protocol == "icmpv6";
  if (!family) family = wants_v6 ? Family::v6 : Family::v4;
  if (wants_v6 && *family == Family::v4) {
    return tl::unexpected(fmt::format("\"{}\" needs IPv6 prefixes", protocol));
  }
  if (source == "any") out.source = Prefix::any(*family);
  if (destination == "any") out.destination = Prefix::any(*family);
  return out;
}

Read<AccessLine> read_access_line(std::string_view text, std::uint32_t default_number) {
  Words words(words_of(text));
  AccessLine out;
  out.number = default_number;
  if (const auto number = whole_number(words.peek(), 2'147'483'647)) {
    out.number = *number;
    words.take();
  }
  const std::string_view action = words.take();
  if (action != "permit" && action != "deny") {
    return tl::unexpected(fmt::format("begin with permit or deny, not \"{}\"", action));
  }
  out.entry.permit = action == "permit";
  const std::string_view protocol = words.take();
  const std::string source = take_end(words);
  const auto source_ports = take_ports(words);
  if (!source_ports) return tl::unexpected(source_ports.error());
  const std::string destination = take_end(words);
  const auto destination_ports = take_ports(words);
  if (!destination_ports) return tl::unexpected(destination_ports.error());
  if (!words.peek().empty()) {
    return tl::unexpected(fmt::format("\"{}\" is one word too many", words.peek()));
  }
  auto selector = make_selector(protocol, source, destination);
  if (!selector) return tl::unexpected(selector.error());
  out.entry.selector = *selector;
  out.entry.selector.source_ports = *source_ports;
  out.entry.selector.destination_ports = *destination_ports;
  const bool ports = !source_ports->any() || !destination_ports->any();
  if (ports && !has_ports(out.entry.selector.protocol)) {
    return tl::unexpected(std::string("ports need the protocol tcp, udp or sctp"));
  }
  return out;
}

std::string access_text(const gdoi::AclEntry& entry) {
  const dataplane::Selector& selector = entry.selector;
  std::string protocol = selector.source.address.is_v4() ? "ip" : "ipv6";
  if (selector.protocol != 0) {
    protocol = std::to_string(selector.protocol);
    for (const ProtocolName& known : protocols) {
      if (known.number == selector.protocol) protocol = known.name;
    }
  }
  return fmt::format("{} {} {}{} {}{}", entry.permit ? "permit" : "deny", protocol,
                     end_text(selector.source), ports_text(selector.source_ports),
                     end_text(selector.destination), ports_text(selector.destination_ports));
}

}  // namespace cohort::config
