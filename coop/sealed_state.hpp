#pragma once

#include <string>
#include <string_view>

#include "controlplane/base/secret.hpp"
#include "controlplane/world/world.hpp"

/// How state lies on the disk: a blob that is whole or refused.
///
///     "COHCOOP2" | form (1) | IV (16) | octets | tag (32)
///
/// Form 1 is sealed: AES-256-CBC, then HMAC-SHA256 over all that precedes and the blob's name, with
/// keys that HKDF makes from the state key. Form 0 has no state key: the octets are in clear and
/// the tag is a SHA-256, which finds damage but no forger; the file's mode (0600) is all that
/// protects it.
namespace cohort::coop {

/// Where a group's state lies in the Store: buckets of the replica, then the head, which is there
/// from the first start on.
[[nodiscard]] std::string state_name(std::string_view group, unsigned bucket);
[[nodiscard]] std::string state_head_name(std::string_view group);

[[nodiscard]] Result<Bytes> seal_state(Random& random, const Secret& state_key,
                                       std::string_view name, ByteView octets);
/// Fails with coop_corrupt_state for anything but a whole blob of that name and key.
[[nodiscard]] Result<Secret> open_state(const Secret& state_key, std::string_view name,
                                        ByteView blob);

}  // namespace cohort::coop
