#include "gdoi/authorization.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

bool has_attribute(const PeerIdentity& peer, std::string_view type, const std::string& value) {
  return std::any_of(peer.attributes.begin(), peer.attributes.end(), [&](const auto& attribute) {
    return attribute.type == type && attribute.value == value;
  });
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c + ('a' - 'A')) : c; };
    return lower(x) == lower(y);
  });
}

/// Exact, or "*.example.org" for exactly one more label. DNS names ignore case.
bool dns_matches(std::string_view pattern, std::string_view name) {
  if (!pattern.starts_with("*.")) return same_name(pattern, name);
  const std::size_t dot = name.find('.');
  return dot != std::string_view::npos && dot != 0 &&
         same_name(pattern.substr(1), name.substr(dot));
}

bool admits(const AuthorizationRule& rule, const PeerIdentity& peer) {
  const bool on_certificate =
      rule.subject || rule.common_name || rule.organizational_unit || rule.issuer || rule.san_dns;
  if (!on_certificate && !rule.address) return false;  // an empty rule is no rule
  if (on_certificate && !peer.by_certificate) return false;
  if (rule.subject && *rule.subject != peer.subject) return false;
  if (rule.common_name && !has_attribute(peer, "CN", *rule.common_name)) return false;
  if (rule.organizational_unit && !has_attribute(peer, "OU", *rule.organizational_unit)) {
    return false;
  }
  if (rule.issuer && *rule.issuer != peer.issuer) return false;
  if (rule.san_dns && std::none_of(peer.san_dns.begin(), peer.san_dns.end(), [&](const auto& name) {
        return dns_matches(*rule.san_dns, name);
      })) {
    return false;
  }
  return !rule.address || rule.address->contains(peer.address);
}

std::string text_of(const AuthorizationRule& rule) {
  std::string text;
  const auto add = [&text](std::string_view name, const std::optional<std::string>& value) {
    if (value) text += fmt::format("{}{}={}", text.empty() ? "" : " and ", name, *value);
  };
  add("subject", rule.subject);
  add("CN", rule.common_name);
  add("OU", rule.organizational_unit);
  add("issuer", rule.issuer);
  add("SAN", rule.san_dns);
  if (rule.address) add("address", rule.address->text());
  return text.empty() ? "nothing (an empty rule)" : text;
}

/// All of its names, so that nobody is another one by claiming another of them, and in full: a
/// name that is cut may be somebody else's as well.
std::string names_of(const PeerIdentity& peer) {
  std::string out;
  const auto add = [&out](const std::string& name) { out += (out.empty() ? "" : ", ") + name; };
  std::for_each(peer.san_dns.begin(), peer.san_dns.end(), add);
  std::for_each(peer.san_email.begin(), peer.san_email.end(), add);
  for (const IpAddress& address : peer.san_addresses) add(address.text());
  return out;
}

}  // namespace

std::string identity_of(const PeerIdentity& peer) {
  if (peer.by_certificate && !peer.subject.empty()) return peer.subject;
  if (const std::string names = names_of(peer); peer.by_certificate && !names.empty()) return names;
  return peer.id_text.empty() ? peer.address.text() : peer.id_text;
}

Status authorize(const std::vector<AuthorizationRule>& rules, const PeerIdentity& peer) {
  if (const std::size_t size = identity_of(peer).size(); size > identity_size_max) {
    return fail(unauthorized_identity, fmt::format("found a name of {} octets; expected at most {}",
                                                   size, identity_size_max));
  }
  for (const AuthorizationRule& rule : rules) {
    if (admits(rule, peer)) return {};
  }
  std::string expected;
  for (const AuthorizationRule& rule : rules) {
    if (expected.size() > 400) {
      expected += " or …";
      break;
    }
    expected += (expected.empty() ? "" : " or ") + text_of(rule);
  }
  std::string found =
      fmt::format("subject={}, issuer={}, address={}", identity_of(peer),
                  peer.by_certificate ? peer.issuer : "none (pre-shared key)", peer.address.text());
  for (std::size_t i = 0; i < std::min<std::size_t>(peer.san_dns.size(), 4); ++i) {
    found += ", SAN=" + peer.san_dns[i];
  }
  return fail(
      unauthorized_identity,
      fmt::format("found {}; expected {}", found,
                  expected.empty() ? "nobody: the group has no authorization rules" : expected));
}

}  // namespace cohort::gdoi
