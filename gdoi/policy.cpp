#include "gdoi/policy.hpp"

#include <fmt/core.h>

namespace cohort::gdoi {
namespace {

std::string protocol_text(const dataplane::Selector& selector) {
  switch (selector.protocol) {
    case 0:
      return selector.source.address.is_v4() ? "ip" : "ipv6";
    case 1:
      return "icmp";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    default:
      return fmt::format("{}", selector.protocol);
  }
}

/// IPv4 prefixes as access lists write them: "host A", "any" or "A WILDCARD".
std::string prefix_text(const Prefix& prefix) {
  if (prefix.length == 0) return "any";
  if (!prefix.address.is_v4()) return prefix.text();
  if (prefix.length == 32) return "host " + prefix.address.text();
  const IpAddress wildcard = IpAddress::v4(0xffffffffu >> prefix.length);
  return prefix.address.text() + " " + wildcard.text();
}

std::string ports_text(const dataplane::PortRange& ports) {
  if (ports.any()) return "";
  if (ports.first == ports.last) return fmt::format(" eq {}", ports.first);
  return fmt::format(" range {} {}", ports.first, ports.last);
}

}  // namespace

std::string GroupId::text() const {
  if (const auto* number = std::get_if<std::uint32_t>(&value)) return fmt::format("{}", *number);
  return std::get<IpAddress>(value).text();
}

std::string AclEntry::text() const {
  return fmt::format("{} {} {}{} {}{}", permit ? "permit" : "deny", protocol_text(selector),
                     prefix_text(selector.source), ports_text(selector.source_ports),
                     prefix_text(selector.destination), ports_text(selector.destination_ports));
}

Tek Tek::clone() const {
  Tek copy;
  copy.spi = spi;
  copy.suite = suite;
  copy.cipher_key = cipher_key.clone();
  copy.integrity_key = integrity_key.clone();
  copy.salt = salt.clone();
  copy.replay = replay;
  copy.replay_window = replay_window;
  copy.send_from = send_from;
  copy.expires = expires;
  return copy;
}

Kek Kek::clone() const {
  Kek copy;
  copy.spi = spi;
  copy.cipher = cipher;
  copy.iv = iv.clone();
  copy.key = key.clone();
  copy.signature_hash = signature_hash;
  copy.signature_key_spki = signature_key_spki;
  copy.expires = expires;
  return copy;
}

}  // namespace cohort::gdoi
