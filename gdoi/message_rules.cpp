#include "gdoi/message_rules.hpp"

#include <fmt/core.h>

namespace cohort::gdoi {

Status check_message(const MessageRule& rule, std::span<const ike::RawPayload> payloads) {
  std::size_t at = 0;
  for (const PayloadRule& expected : rule.payloads) {
    std::size_t count = 0;
    while (at < payloads.size() && payloads[at].type == expected.type && count < expected.max) {
      ++at;
      ++count;
    }
    if (count < expected.min) {
      return fail(ike::unexpected_payload,
                  fmt::format("{} lacks its {}", rule.name, ike::name_of(expected.type)));
    }
  }
  if (at < payloads.size()) {
    return fail(ike::unexpected_payload, fmt::format("{} with {} in this place", rule.name,
                                                     ike::name_of(payloads[at].type)));
  }
  return {};
}

const ike::RawPayload* find_payload(std::span<const ike::RawPayload> payloads,
                                    ike::PayloadType type) {
  for (const ike::RawPayload& payload : payloads) {
    if (payload.type == type) return &payload;
  }
  return nullptr;
}

}  // namespace cohort::gdoi
