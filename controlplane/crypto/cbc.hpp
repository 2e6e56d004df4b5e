#pragma once

#include <cstdint>
#include <string_view>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"

namespace cohort::crypto {

/// Block ciphers of ISAKMP and of the KEK, always in CBC mode without padding of its own.
/// 3DES is weak: only where the configuration says allow_weak.
enum class Cipher : std::uint8_t { aes_128, aes_192, aes_256, triple_des };

[[nodiscard]] std::size_t key_size(Cipher cipher);    ///< octets
[[nodiscard]] std::size_t block_size(Cipher cipher);  ///< octets; also the size of the IV
[[nodiscard]] std::string_view name_of(Cipher cipher);

/// `data` must be a non-empty multiple of the block, `key` and `iv` of the cipher's sizes.
[[nodiscard]] Result<Bytes> cbc_encrypt(Cipher, ByteView key, ByteView iv, ByteView data);
[[nodiscard]] Result<Bytes> cbc_decrypt(Cipher, ByteView key, ByteView iv, ByteView data);

}  // namespace cohort::crypto
