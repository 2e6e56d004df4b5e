#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/secret.hpp"

namespace cohort::crypto {

/// Hash algorithms of IKEv1 and GDOI. MD5 and SHA-1 are weak: callers admit them only where the
/// configuration says allow_weak, or for fingerprints.
enum class Hash : std::uint8_t { md5, sha1, sha256, sha384, sha512 };

[[nodiscard]] std::size_t size_of(Hash hash);       ///< octets of a digest
[[nodiscard]] std::string_view name_of(Hash hash);  ///< "sha256"

/// Digest of the concatenation of `parts`.
[[nodiscard]] Bytes digest(Hash hash, std::initializer_list<ByteView> parts);
/// HMAC (RFC 2104) of the concatenation of `parts`; the negotiated prf of IKEv1.
[[nodiscard]] Bytes hmac(Hash hash, ByteView key, std::initializer_list<ByteView> parts);

}  // namespace cohort::crypto
