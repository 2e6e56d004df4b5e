#include "controlplane/crypto/key.hpp"

#include <array>
#include <cstring>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "controlplane/crypto/owned.hpp"
#include "controlplane/crypto/reasons.hpp"

namespace cohort::crypto {

namespace {

using Context = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;
using EcdsaSignature = std::unique_ptr<ECDSA_SIG, decltype(&ECDSA_SIG_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

std::shared_ptr<EVP_PKEY> own(EVP_PKEY* key) {
  return {key, EVP_PKEY_free};
}

const EVP_MD* evp(Hash hash) {
  static constexpr const char* names[] = {"MD5", "SHA1", "SHA256", "SHA384", "SHA512"};
  return EVP_get_digestbyname(names[static_cast<std::size_t>(hash)]);
}

/// The kind of a key, or nothing when it is of none that we use.
Result<KeyType> classify(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA")) return KeyType::rsa;
  std::array<char, 32> curve{};
  if (EVP_PKEY_is_a(key, "EC") &&
      EVP_PKEY_get_group_name(key, curve.data(), curve.size(), nullptr) == 1) {
    const std::string_view name(curve.data());
    if (name == "prime256v1" || name == "P-256") return KeyType::ecdsa_p256;
    if (name == "secp384r1" || name == "P-384") return KeyType::ecdsa_p384;
    if (name == "secp521r1" || name == "P-521") return KeyType::ecdsa_p521;
  }
  return fail(bad_key, "neither RSA nor ECDSA over P-256, P-384 or P-521");
}

bool is_rsa_form(SignatureForm form) {
  return form != SignatureForm::ecdsa_concatenated;
}

/// Prepares an operation: padding, and the digest algorithm where a DigestInfo names it.
bool configure(EVP_PKEY_CTX* context, SignatureForm form, Hash hash) {
  if (!is_rsa_form(form)) return true;
  if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) != 1) return false;
  return form == SignatureForm::rsa_pkcs1_bare ||
         EVP_PKEY_CTX_set_signature_md(context, evp(hash)) == 1;
}

std::size_t coordinate_size(KeyType type) {
  switch (type) {
    case KeyType::ecdsa_p256:
      return 32;
    case KeyType::ecdsa_p384:
      return 48;
    case KeyType::ecdsa_p521:
      return 66;
    case KeyType::rsa:
      break;
  }
  return 0;
}

/// DER ECDSA-Sig-Value to r | s of fixed size (RFC 4754 section 7).
Result<Bytes> concatenate(ByteView der, std::size_t size) {
  const std::uint8_t* at = der.data();
  const EcdsaSignature value(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())),
                             &ECDSA_SIG_free);
  Bytes out(2 * size);
  const auto half = static_cast<int>(size);
  if (!value || BN_bn2binpad(ECDSA_SIG_get0_r(value.get()), out.data(), half) != half ||
      BN_bn2binpad(ECDSA_SIG_get0_s(value.get()), out.data() + size, half) != half)
    return fail(crypto_failure, "ECDSA signature");
  return out;
}

Result<Bytes> to_der(ByteView concatenated, std::size_t size) {
  if (concatenated.size() != 2 * size)
    return fail(bad_signature,
                fmt::format("{} octets instead of {}", concatenated.size(), 2 * size));
  const EcdsaSignature value(ECDSA_SIG_new(), &ECDSA_SIG_free);
  BIGNUM* r = BN_bin2bn(concatenated.data(), static_cast<int>(size), nullptr);
  BIGNUM* s = BN_bin2bn(concatenated.data() + size, static_cast<int>(size), nullptr);
  if (!value || !r || !s || ECDSA_SIG_set0(value.get(), r, s) != 1) return fail(crypto_failure);
  std::uint8_t* der = nullptr;
  const int length = i2d_ECDSA_SIG(value.get(), &der);
  if (length <= 0) return fail(crypto_failure);
  Bytes out(der, der + length);
  OPENSSL_free(der);
  return out;
}

using Bn = std::unique_ptr<BIGNUM, Deleter<BN_clear_free>>;

/// Called by OpenSSL now and then while it looks for primes; 0 makes it give up.
int go_on(int, int, BN_GENCB* progress) {
  const auto* stop = static_cast<const std::atomic<bool>*>(BN_GENCB_get_arg(progress));
  return stop != nullptr && stop->load() ? 0 : 1;
}
int go_on_with_key(EVP_PKEY_CTX* context) {
  const auto* stop = static_cast<const std::atomic<bool>*>(EVP_PKEY_CTX_get_app_data(context));
  return stop != nullptr && stop->load() ? 0 : 1;
}

EVP_PKEY* generate_even_rsa(unsigned bits, const std::atomic<bool>* stop) {
  const Context context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr), &EVP_PKEY_CTX_free);
  EVP_PKEY* key = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), static_cast<int>(bits)) != 1)
    return nullptr;
  EVP_PKEY_CTX_set_app_data(context.get(), const_cast<std::atomic<bool>*>(stop));
  EVP_PKEY_CTX_set_cb(context.get(), &go_on_with_key);
  return EVP_PKEY_generate(context.get(), &key) == 1 ? key : nullptr;
}

/// A prime of exactly `bits` bits, its top two bits set, with gcd(prime - 1, e) = 1.
Bn rsa_prime(int bits, const BIGNUM* e, BN_CTX* context, BN_GENCB* progress) {
  Bn prime(BN_secure_new()), less_one(BN_secure_new()), gcd(BN_new());
  while (prime && less_one && gcd &&
         BN_generate_prime_ex(prime.get(), bits, 0, nullptr, nullptr, progress) == 1 &&
         BN_sub(less_one.get(), prime.get(), BN_value_one()) == 1 &&
         BN_gcd(gcd.get(), less_one.get(), e, context) == 1) {
    if (BN_is_one(gcd.get())) return prime;
  }
  return nullptr;
}

/// OpenSSL halves the size for its two primes, so an odd number of bits would lose one. Here one
/// prime is a bit longer; with the top two bits of both set the product has exactly `bits`.
EVP_PKEY* generate_odd_rsa(unsigned bits, const std::atomic<bool>* stop) {
  const std::unique_ptr<BN_CTX, Deleter<BN_CTX_free>> context(BN_CTX_secure_new());
  const Bn e(BN_new()), n(BN_new()), d(BN_secure_new()), phi(BN_secure_new());
  const Bn p1(BN_secure_new()), q1(BN_secure_new()), dp(BN_secure_new()), dq(BN_secure_new());
  if (!context || !e || !n || !d || !phi || !p1 || !q1 || !dp || !dq) return nullptr;
  BN_set_word(e.get(), RSA_F4);
  const std::unique_ptr<BN_GENCB, Deleter<BN_GENCB_free>> progress(BN_GENCB_new());
  if (!progress) return nullptr;
  BN_GENCB_set(progress.get(), &go_on, const_cast<std::atomic<bool>*>(stop));
  const Bn p = rsa_prime(static_cast<int>(bits / 2 + 1), e.get(), context.get(), progress.get());
  const Bn q = rsa_prime(static_cast<int>(bits / 2), e.get(), context.get(), progress.get());
  if (!p || !q) return nullptr;
  const std::unique_ptr<OSSL_PARAM_BLD, Deleter<OSSL_PARAM_BLD_free>> build(OSSL_PARAM_BLD_new());
  BN_set_flags(phi.get(), BN_FLG_CONSTTIME);
  const Bn inverse(BN_mod_inverse(nullptr, q.get(), p.get(), context.get()));
  const auto push = [&](const char* name, const Bn& value) {
    return OSSL_PARAM_BLD_push_BN(build.get(), name, value.get()) == 1;
  };
  if (!build || !inverse || BN_mul(n.get(), p.get(), q.get(), context.get()) != 1 ||
      BN_sub(p1.get(), p.get(), BN_value_one()) != 1 ||
      BN_sub(q1.get(), q.get(), BN_value_one()) != 1 ||
      BN_mul(phi.get(), p1.get(), q1.get(), context.get()) != 1 ||
      BN_mod_inverse(d.get(), e.get(), phi.get(), context.get()) == nullptr ||
      BN_mod(dp.get(), d.get(), p1.get(), context.get()) != 1 ||
      BN_mod(dq.get(), d.get(), q1.get(), context.get()) != 1 || !push("n", n) || !push("e", e) ||
      !push("d", d) || !push("rsa-factor1", p) || !push("rsa-factor2", q) ||
      !push("rsa-exponent1", dp) || !push("rsa-exponent2", dq) ||
      !push("rsa-coefficient1", inverse))
    return nullptr;
  const std::unique_ptr<OSSL_PARAM, Deleter<OSSL_PARAM_free>> params(
      OSSL_PARAM_BLD_to_param(build.get()));
  const Context made(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr), &EVP_PKEY_CTX_free);
  EVP_PKEY* key = nullptr;
  if (!params || !made || EVP_PKEY_fromdata_init(made.get()) != 1 ||
      EVP_PKEY_fromdata(made.get(), &key, EVP_PKEY_KEYPAIR, params.get()) != 1)
    return nullptr;
  return key;
}

int passphrase_callback(char* buffer, int size, int, void* user) {
  const auto& passphrase = *static_cast<const Secret*>(user);
  if (passphrase.empty() || passphrase.size() > static_cast<std::size_t>(size)) return -1;
  std::memcpy(buffer, passphrase.view().data(), passphrase.size());
  return static_cast<int>(passphrase.size());
}

}  // namespace

Result<PublicKey> PublicKey::from_spki(ByteView der) {
  const std::uint8_t* at = der.data();
  auto key = own(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
  if (!key || at != der.data() + der.size()) return fail(bad_key, "not a SubjectPublicKeyInfo");
  COHORT_CHECK(classify(key.get()).map([](KeyType) {}));
  return PublicKey(std::move(key));
}

PublicKey PublicKey::share(EVP_PKEY* key) {
  EVP_PKEY_up_ref(key);
  return PublicKey(own(key));
}

KeyType PublicKey::type() const {
  return classify(key_.get()).value_or(KeyType::rsa);
}

std::size_t PublicKey::bits() const {
  return static_cast<std::size_t>(EVP_PKEY_get_bits(key_.get()));
}

Bytes PublicKey::spki() const {
  std::uint8_t* der = nullptr;
  const int length = i2d_PUBKEY(key_.get(), &der);
  if (length <= 0) return {};
  Bytes out(der, der + length);
  OPENSSL_free(der);
  return out;
}

Status PublicKey::verify(SignatureForm form, Hash hash, ByteView digest, ByteView signature) const {
  const KeyType kind = type();
  if (is_rsa_form(form) != (kind == KeyType::rsa))
    return fail(bad_signature, "the key is not of the signature's kind");
  Bytes octets = to_bytes(signature);
  if (!is_rsa_form(form)) {
    COHORT_TRY(octets, to_der(signature, coordinate_size(kind)));
  }
  const Context context(EVP_PKEY_CTX_new(key_.get(), nullptr), &EVP_PKEY_CTX_free);
  if (!context || EVP_PKEY_verify_init(context.get()) != 1 || !configure(context.get(), form, hash))
    return fail(crypto_failure, "verification");
  if (EVP_PKEY_verify(context.get(), octets.data(), octets.size(), digest.data(), digest.size()) !=
      1)
    return fail(bad_signature);
  return {};
}

Result<PrivateKey> PrivateKey::generate_rsa(unsigned bits, const std::atomic<bool>* stop) {
  if (bits < 1024 || bits > 8192)
    return fail(weak_key, fmt::format("RSA of {} bits; 1024 to 8192 can be made", bits));
  auto key = own(bits % 2 == 0 ? generate_even_rsa(bits, stop) : generate_odd_rsa(bits, stop));
  if (!key) return fail(crypto_failure, "RSA key generation");
  return PrivateKey(std::move(key));
}

Result<PrivateKey> PrivateKey::generate_ec(KeyType curve) {
  static constexpr const char* names[] = {nullptr, "P-256", "P-384", "P-521"};
  const char* name = names[static_cast<std::size_t>(curve)];
  auto key = own(name == nullptr ? nullptr : EVP_EC_gen(name));
  if (!key) return fail(crypto_failure, "EC key generation");
  return PrivateKey(std::move(key));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem, const Secret& passphrase) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free_all);
  auto* user = const_cast<Secret*>(&passphrase);
  auto key =
      own(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, &passphrase_callback, user) : nullptr);
  if (!key) return fail(bad_key, "not a PEM private key, or the passphrase is wrong");
  COHORT_CHECK(classify(key.get()).map([](KeyType) {}));
  return PrivateKey(std::move(key));
}

PrivateKey PrivateKey::share(EVP_PKEY* key) {
  EVP_PKEY_up_ref(key);
  return PrivateKey(own(key));
}

KeyType PrivateKey::type() const {
  return classify(key_.get()).value_or(KeyType::rsa);
}

std::size_t PrivateKey::bits() const {
  return static_cast<std::size_t>(EVP_PKEY_get_bits(key_.get()));
}

PublicKey PrivateKey::public_key() const {
  // A copy without the private part, so that a public key never carries more than it says.
  return PublicKey::from_spki(PublicKey::share(key_.get()).spki()).value();
}

Result<Bytes> PrivateKey::sign(SignatureForm form, Hash hash, ByteView digest) const {
  const KeyType kind = type();
  if (is_rsa_form(form) != (kind == KeyType::rsa))
    return fail(bad_key, "the key is not of the signature's kind");
  const Context context(EVP_PKEY_CTX_new(key_.get(), nullptr), &EVP_PKEY_CTX_free);
  if (!context || EVP_PKEY_sign_init(context.get()) != 1 || !configure(context.get(), form, hash))
    return fail(crypto_failure, "signing");
  std::size_t length = 0;
  if (EVP_PKEY_sign(context.get(), nullptr, &length, digest.data(), digest.size()) != 1)
    return fail(crypto_failure, "signing");
  Bytes out(length);
  if (EVP_PKEY_sign(context.get(), out.data(), &length, digest.data(), digest.size()) != 1)
    return fail(crypto_failure, "signing");
  out.resize(length);
  return is_rsa_form(form) ? Result<Bytes>(std::move(out))
                           : concatenate(out, coordinate_size(kind));
}

Result<Secret> PrivateKey::to_pem(const Secret& passphrase) const {
  const Bio bio(BIO_new(BIO_s_secmem()), &BIO_free_all);
  const ByteView octets = passphrase.view();
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(),
                                            octets.empty() ? nullptr : EVP_aes_256_cbc(),
                                            reinterpret_cast<const char*>(octets.data()),
                                            static_cast<int>(octets.size()), nullptr, nullptr) != 1)
    return fail(crypto_failure, "PEM encoding");
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  return Secret(as_bytes({data, static_cast<std::size_t>(length)}));
}

}  // namespace cohort::crypto
