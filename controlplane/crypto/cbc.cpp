#include "controlplane/crypto/cbc.hpp"

#include <fmt/format.h>
#include <memory>
#include <openssl/evp.h>

#include "controlplane/crypto/reasons.hpp"

namespace cohort::crypto {

namespace {

struct Algorithm {
  std::string_view name;
  const EVP_CIPHER* (*evp)();
  std::size_t key;
  std::size_t block;
};
constexpr Algorithm algorithms[] = {{"aes-128-cbc", EVP_aes_128_cbc, 16, 16},
                                    {"aes-192-cbc", EVP_aes_192_cbc, 24, 16},
                                    {"aes-256-cbc", EVP_aes_256_cbc, 32, 16},
                                    {"3des-cbc", EVP_des_ede3_cbc, 24, 8}};

const Algorithm& algorithm(Cipher cipher) {
  return algorithms[static_cast<std::size_t>(cipher)];
}

Result<Bytes> run(Cipher cipher, ByteView key, ByteView iv, ByteView data, int encrypt) {
  const Algorithm& a = algorithm(cipher);
  if (key.size() != a.key || iv.size() != a.block)
    return fail(bad_key,
                fmt::format("{}: key of {} and IV of {} octets", a.name, key.size(), iv.size()));
  if (data.empty() || data.size() % a.block != 0 || data.size() > (1u << 20))
    return fail(bad_cipher_length, fmt::format("{} octets", data.size()));
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  Bytes out(data.size() + a.block);
  int written = 0;
  if (!context ||
      EVP_CipherInit_ex(context.get(), a.evp(), nullptr, key.data(), iv.data(), encrypt) != 1 ||
      EVP_CIPHER_CTX_set_padding(context.get(), 0) != 1 ||
      EVP_CipherUpdate(context.get(), out.data(), &written, data.data(),
                       static_cast<int>(data.size())) != 1 ||
      static_cast<std::size_t>(written) != data.size())
    return fail(crypto_failure, std::string(a.name));
  out.resize(data.size());
  return out;
}

}  // namespace

std::size_t key_size(Cipher cipher) {
  return algorithm(cipher).key;
}
std::size_t block_size(Cipher cipher) {
  return algorithm(cipher).block;
}
std::string_view name_of(Cipher cipher) {
  return algorithm(cipher).name;
}

Result<Bytes> cbc_encrypt(Cipher cipher, ByteView key, ByteView iv, ByteView data) {
  return run(cipher, key, iv, data, 1);
}

Result<Bytes> cbc_decrypt(Cipher cipher, ByteView key, ByteView iv, ByteView data) {
  return run(cipher, key, iv, data, 0);
}

}  // namespace cohort::crypto
