#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "controlplane/ike/message.hpp"

/// Which payloads a GDOI message has, in which order and how many: data, checked before any handler
/// sees a payload.
namespace cohort::gdoi {

struct PayloadRule {
  ike::PayloadType type = ike::PayloadType::none;
  std::uint8_t min = 0;
  std::uint8_t max = 0;
};

struct MessageRule {
  std::string_view name;
  ike::ExchangeType exchange = ike::ExchangeType::none;
  bool encrypted = true;
  std::array<PayloadRule, 5> payloads{};  ///< in their order; unused rows have max 0
};

// GROUPKEY-PULL, RFC 6407 section 3.2
//  1  GM -> KS  HDR*, HASH(1), Ni, ID
inline constexpr MessageRule pull_1{"GROUPKEY-PULL message 1",
                                    ike::ExchangeType::groupkey_pull,
                                    true,
                                    {{{ike::PayloadType::hash, 1, 1},
                                      {ike::PayloadType::nonce, 1, 1},
                                      {ike::PayloadType::id, 1, 1}}}};
//  2  KS -> GM  HDR*, HASH(2), Nr, SA
inline constexpr MessageRule pull_2{"GROUPKEY-PULL message 2",
                                    ike::ExchangeType::groupkey_pull,
                                    true,
                                    {{{ike::PayloadType::hash, 1, 1},
                                      {ike::PayloadType::nonce, 1, 1},
                                      {ike::PayloadType::sa, 1, 1}}}};
//  3  GM -> KS  HDR*, HASH(3) [, GAP]
inline constexpr MessageRule pull_3{
    "GROUPKEY-PULL message 3",
    ike::ExchangeType::groupkey_pull,
    true,
    {{{ike::PayloadType::hash, 1, 1}, {ike::PayloadType::gap, 0, 1}}}};
//  4  KS -> GM  HDR*, HASH(4), [SEQ,] KD
inline constexpr MessageRule pull_4{"GROUPKEY-PULL message 4",
                                    ike::ExchangeType::groupkey_pull,
                                    true,
                                    {{{ike::PayloadType::hash, 1, 1},
                                      {ike::PayloadType::seq, 0, 1},
                                      {ike::PayloadType::kd, 1, 1}}}};
// GROUPKEY-PUSH, RFC 6407 section 4: SA and KD both or neither, which open_push checks
//     KS -> GM  HDR*, SEQ, [D,] [SA, KD,] SIG
inline constexpr MessageRule push{"GROUPKEY-PUSH",
                                  ike::ExchangeType::groupkey_push,
                                  true,
                                  {{{ike::PayloadType::seq, 1, 1},
                                    {ike::PayloadType::del, 0, 8},
                                    {ike::PayloadType::sa, 0, 1},
                                    {ike::PayloadType::kd, 0, 1},
                                    {ike::PayloadType::sig, 1, 1}}}};
// GROUPKEY-PUSH-ACK, RFC 8263 section 3, in clear
//     GM -> KS  HDR, HASH, SEQ, ID
inline constexpr MessageRule push_ack{"GROUPKEY-PUSH-ACK",
                                      ike::ExchangeType::groupkey_push_ack,
                                      false,
                                      {{{ike::PayloadType::hash, 1, 1},
                                        {ike::PayloadType::seq, 1, 1},
                                        {ike::PayloadType::id, 1, 1}}}};

inline constexpr std::array<const MessageRule*, 6> message_rules{&pull_1, &pull_2, &pull_3,
                                                                 &pull_4, &push,   &push_ack};

/// Whether `payloads` are what `rule` says, in its order.
[[nodiscard]] Status check_message(const MessageRule& rule,
                                   std::span<const ike::RawPayload> payloads);
/// The first payload of a type, or null.
[[nodiscard]] const ike::RawPayload* find_payload(std::span<const ike::RawPayload> payloads,
                                                  ike::PayloadType type);

}  // namespace cohort::gdoi
