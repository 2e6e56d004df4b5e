#pragma once

#include <vector>

#include "controlplane/world/identity.hpp"
#include "gdoi/policy.hpp"

namespace cohort::gdoi {

/// Octets of the longest identity that a group admits: stored state and other key servers keep it
/// whole, so that who is removed here is removed everywhere.
inline constexpr std::size_t identity_size_max = 1024;

/// Whether any rule admits the peer. A refusal says what was found and what each rule expected;
/// no rules admit nobody. Conditions on a certificate never hold for a pre-shared key.
[[nodiscard]] Status authorize(const std::vector<AuthorizationRule>& rules,
                               const PeerIdentity& peer);

/// Who a member is, for logs and lists: its subject, or what it called itself.
[[nodiscard]] std::string identity_of(const PeerIdentity& peer);

}  // namespace cohort::gdoi
