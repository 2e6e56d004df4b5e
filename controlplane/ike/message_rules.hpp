#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "controlplane/ike/message.hpp"

/// Which payloads a message may and must carry, as data: checked before any handler sees it.
namespace cohort::ike {

struct PayloadRule {
  PayloadType type = PayloadType::none;
  std::uint8_t min = 0;
  std::uint8_t max = 0;
};

struct MessageRule {
  std::string_view name;
  bool encrypted;
  PayloadType first;  ///< what must come first; none: anything
  std::array<PayloadRule, 8> payloads;
};

// clang-format off
/// Messages 1 and 2: HDR, SA [, VID…]. The SA payload comes first (RFC 2409 section 5).
inline constexpr MessageRule rule_sa{"main mode SA", false, PayloadType::sa, {{
    {PayloadType::sa, 1, 1}, {PayloadType::vendor_id, 0, 32}, {PayloadType::notify, 0, 4}}}};
/// Messages 3 and 4: HDR, KE, Nonce [, CERTREQ…] [, NAT-D…] [, VID…].
inline constexpr MessageRule rule_ke{"main mode KE", false, PayloadType::none, {{
    {PayloadType::ke, 1, 1}, {PayloadType::nonce, 1, 1}, {PayloadType::cert_request, 0, 32},
    {PayloadType::nat_d, 0, 8}, {PayloadType::vendor_id, 0, 32}, {PayloadType::notify, 0, 4}}}};
/// Messages 5 and 6 with a pre-shared key: HDR*, ID, HASH [, N…].
inline constexpr MessageRule rule_hash{"main mode HASH", true, PayloadType::none, {{
    {PayloadType::id, 1, 1}, {PayloadType::hash, 1, 1}, {PayloadType::notify, 0, 4},
    {PayloadType::vendor_id, 0, 32}}}};
/// Messages 5 and 6 with signatures: HDR*, ID [, CERT…], SIG [, CERTREQ…] [, N…].
inline constexpr MessageRule rule_signature{"main mode SIG", true, PayloadType::none, {{
    {PayloadType::id, 1, 1}, {PayloadType::sig, 1, 1}, {PayloadType::cert, 0, 12},
    {PayloadType::cert_request, 0, 32}, {PayloadType::notify, 0, 4},
    {PayloadType::vendor_id, 0, 32}}}};
/// Informational: HDR*, HASH, N/D… (RFC 2409 section 5.7).
inline constexpr MessageRule rule_informational{"Informational", true, PayloadType::hash, {{
    {PayloadType::hash, 1, 1}, {PayloadType::notify, 0, 8}, {PayloadType::del, 0, 8},
    {PayloadType::vendor_id, 0, 32}}}};
// clang-format on

enum class Rule : std::uint8_t { none, sa, ke, hash, signature };
/// The rule of a row of main mode's table; not for none.
[[nodiscard]] constexpr const MessageRule& rule_of(Rule rule) {
  switch (rule) {
    case Rule::ke:
      return rule_ke;
    case Rule::hash:
      return rule_hash;
    case Rule::signature:
      return rule_signature;
    case Rule::none:
    case Rule::sa:
      break;
  }
  return rule_sa;
}

[[nodiscard]] Status check(const MessageRule& rule, std::span<const RawPayload> payloads);

}  // namespace cohort::ike
