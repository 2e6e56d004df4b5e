#include "controlplane/ike/message_rules.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace cohort::ike {

Status check(const MessageRule& rule, std::span<const RawPayload> payloads) {
  if (payloads.empty()) return fail(unexpected_payload, fmt::format("{}: empty", rule.name));
  if (rule.first != PayloadType::none && payloads.front().type != rule.first)
    return fail(unexpected_payload,
                fmt::format("{}: begins with {}", rule.name, name_of(payloads.front().type)));
  std::array<unsigned, 8> seen{};
  for (const RawPayload& payload : payloads) {
    const auto* found =
        std::find_if(rule.payloads.begin(), rule.payloads.end(),
                     [&](const PayloadRule& p) { return p.max != 0 && p.type == payload.type; });
    if (found == rule.payloads.end())
      return fail(unexpected_payload,
                  fmt::format("{}: {} (type {})", rule.name, name_of(payload.type),
                              static_cast<unsigned>(payload.type)));
    ++seen[static_cast<std::size_t>(found - rule.payloads.begin())];
  }
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const PayloadRule& wanted = rule.payloads[i];
    if (seen[i] < wanted.min || seen[i] > wanted.max)
      return fail(unexpected_payload,
                  fmt::format("{}: {} {} payloads, {} to {} are allowed", rule.name, seen[i],
                              name_of(wanted.type), wanted.min, wanted.max));
  }
  return {};
}

}  // namespace cohort::ike
