#pragma once

#include "controlplane/base/result.hpp"

namespace cohort::crypto {

inline constexpr Reason crypto_failure{"crypto_failure", "the cryptographic library refused"};
inline constexpr Reason bad_key{"bad_key", "the octets are not a key of a supported kind"};
inline constexpr Reason bad_public_value{
    "bad_public_value", "the peer's Diffie-Hellman value is not valid for its group"};
inline constexpr Reason bad_signature{"bad_signature", "the signature does not verify"};
inline constexpr Reason bad_cipher_length{
    "bad_cipher_length", "the encrypted part is empty or not a multiple of the cipher block"};
inline constexpr Reason weak_key{"weak_key", "the key is shorter than policy allows"};

}  // namespace cohort::crypto
