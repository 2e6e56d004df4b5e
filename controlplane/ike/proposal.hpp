#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controlplane/ike/message.hpp"
#include "controlplane/ike/options.hpp"
#include "controlplane/world/world.hpp"

/// The SA payload of phase 1: one ISAKMP proposal with a transform for each policy (RFC 2408
/// section 3.4 to 3.6, RFC 2409 appendix A).
namespace cohort::ike {

inline constexpr std::uint32_t situation_gdoi = 0;

/// One transform of a peer; `policy` is empty when it asks for something that we don't know.
struct OfferedTransform {
  std::uint8_t number = 0;
  ByteView attributes;
  std::optional<Phase1Policy> policy;
};

struct Offer {
  std::uint32_t doi = 0;        ///< doi_gdoi or doi_ipsec
  std::uint32_t situation = 0;  ///< 0 or SIT_IDENTITY_ONLY
  std::uint8_t proposal_number = 0;
  std::vector<OfferedTransform> transforms;
};

/// Parses the body of an SA payload. The views live as long as `sa_body`.
[[nodiscard]] Result<Offer> parse_offer(ByteView sa_body);

/// The body of the SA payload that offers `policies`, the first being the most wanted.
[[nodiscard]] Bytes offer_body(std::uint32_t doi, std::uint32_t situation,
                               std::span<const Phase1Policy> policies);

struct Choice {
  Phase1Policy policy;  ///< ours, with the shorter of both lifetimes
  Bytes body;           ///< of the SA payload that answers: the chosen transform, unchanged
};
/// Chooses by our priority; no_proposal_chosen names what was offered.
[[nodiscard]] Result<Choice> choose(const Offer& offer, std::span<const Phase1Policy> ours);

struct Accepted {
  Phase1Policy policy;
  std::uint32_t doi = 0;
};
/// Checks a responder's answer: exactly one transform, and one of those that we offered.
[[nodiscard]] Result<Accepted> accept_answer(ByteView sa_body,
                                             std::span<const Phase1Policy> offered);

[[nodiscard]] bool is_weak(const Phase1Policy& policy);
[[nodiscard]] bool is_signature(AuthMethod method);
/// The authentication method that a key can serve.
[[nodiscard]] AuthMethod method_of(crypto::KeyType type);
/// "aes-256-cbc/sha256/group 14/rsa-sig".
[[nodiscard]] std::string text_of(const Phase1Policy& policy);

}  // namespace cohort::ike
