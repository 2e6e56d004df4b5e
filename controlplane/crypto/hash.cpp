#include "controlplane/crypto/hash.hpp"

#include <memory>
#include <new>
#include <openssl/core_names.h>
#include <openssl/evp.h>

namespace cohort::crypto {

namespace {

struct Algorithm {
  std::string_view name;
  const char* openssl;
  std::size_t size;
};
constexpr Algorithm algorithms[] = {{"md5", "MD5", 16},
                                    {"sha1", "SHA1", 20},
                                    {"sha256", "SHA256", 32},
                                    {"sha384", "SHA384", 48},
                                    {"sha512", "SHA512", 64}};

const Algorithm& algorithm(Hash hash) {
  return algorithms[static_cast<std::size_t>(hash)];
}

/// Every digest here is in OpenSSL's default provider: a failure is a broken installation.
void require(bool ok) {
  if (!ok) throw std::bad_alloc();
}

struct MacFree {
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};

}  // namespace

std::size_t size_of(Hash hash) {
  return algorithm(hash).size;
}
std::string_view name_of(Hash hash) {
  return algorithm(hash).name;
}

Bytes digest(Hash hash, std::initializer_list<ByteView> parts) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  require(context && EVP_DigestInit_ex(context.get(), EVP_get_digestbyname(algorithm(hash).openssl),
                                       nullptr) == 1);
  for (const ByteView part : parts)
    require(EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1);
  Bytes out(size_of(hash));
  require(EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1);
  return out;
}

Bytes hmac(Hash hash, ByteView key, std::initializer_list<ByteView> parts) {
  const std::unique_ptr<EVP_MAC, MacFree> mac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  require(mac != nullptr);
  const std::unique_ptr<EVP_MAC_CTX, MacFree> context(EVP_MAC_CTX_new(mac.get()));
  require(context != nullptr);
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                       const_cast<char*>(algorithm(hash).openssl), 0),
      OSSL_PARAM_construct_end()};
  // An empty key is legal for HMAC, but OpenSSL takes a null pointer for "the key set before".
  static constexpr std::uint8_t nothing = 0;
  const std::uint8_t* octets = key.empty() ? &nothing : key.data();
  require(EVP_MAC_init(context.get(), octets, key.size(), parameters) == 1);
  for (const ByteView part : parts)
    require(EVP_MAC_update(context.get(), part.data(), part.size()) == 1);
  Bytes out(size_of(hash));
  std::size_t length = 0;
  require(EVP_MAC_final(context.get(), out.data(), &length, out.size()) == 1);
  return out;
}

}  // namespace cohort::crypto
