#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/crypto/hash.hpp"

typedef struct evp_pkey_st EVP_PKEY;  // OpenSSL's handle, so that only sources include it

namespace cohort::crypto {

enum class KeyType : std::uint8_t { rsa, ecdsa_p256, ecdsa_p384, ecdsa_p521 };

/// What a signature covers and how it is laid out.
enum class SignatureForm : std::uint8_t {
  rsa_pkcs1,          ///< EMSA-PKCS1-v1_5 with DigestInfo (RFC 8017; RFC 6407 section 5.3.6)
  rsa_pkcs1_bare,     ///< PKCS #1 type 1 over the bare digest (RFC 2409 section 5.1)
  ecdsa_concatenated  ///< r | s, each of the field's size (RFC 4754 section 7)
};

class PublicKey {
 public:
  /// DER SubjectPublicKeyInfo.
  static Result<PublicKey> from_spki(ByteView der);
  static PublicKey share(EVP_PKEY* key);  ///< takes a reference of its own

  [[nodiscard]] KeyType type() const;
  [[nodiscard]] std::size_t bits() const;
  [[nodiscard]] Bytes spki() const;
  /// `digest` is the finished digest (any length for rsa_pkcs1_bare, as IKEv1's HASH_I is a prf).
  [[nodiscard]] Status verify(SignatureForm, Hash, ByteView digest, ByteView signature) const;
  [[nodiscard]] EVP_PKEY* handle() const { return key_.get(); }

 private:
  explicit PublicKey(std::shared_ptr<EVP_PKEY> key) : key_(std::move(key)) {}
  std::shared_ptr<EVP_PKEY> key_;
};

/// A private key. Copies share the same key; safe to sign with from several threads.
class PrivateKey {
 public:
  /// 1024..8192, any number of bits. Takes up to a minute; ends early, with crypto_failure, once
  /// `stop` (which may be null) is true.
  static Result<PrivateKey> generate_rsa(unsigned bits, const std::atomic<bool>* stop = nullptr);
  static Result<PrivateKey> generate_ec(KeyType curve);
  /// PKCS#8 or traditional PEM, encrypted or not; `passphrase` may be empty.
  static Result<PrivateKey> from_pem(std::string_view pem, const Secret& passphrase);
  static PrivateKey share(EVP_PKEY* key);

  [[nodiscard]] KeyType type() const;
  [[nodiscard]] std::size_t bits() const;
  [[nodiscard]] PublicKey public_key() const;
  [[nodiscard]] Result<Bytes> sign(SignatureForm, Hash, ByteView digest) const;
  /// PKCS#8 PEM; encrypted with AES-256-CBC unless `passphrase` is empty.
  [[nodiscard]] Result<Secret> to_pem(const Secret& passphrase) const;
  [[nodiscard]] EVP_PKEY* handle() const { return key_.get(); }

 private:
  explicit PrivateKey(std::shared_ptr<EVP_PKEY> key) : key_(std::move(key)) {}
  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace cohort::crypto
