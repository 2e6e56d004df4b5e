#include "controlplane/crypto/dh.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "controlplane/crypto/owned.hpp"
#include "controlplane/crypto/reasons.hpp"

namespace cohort::crypto {

namespace {

using Bn = std::unique_ptr<BIGNUM, Deleter<BN_clear_free>>;
using BnContext = std::unique_ptr<BN_CTX, Deleter<BN_CTX_free>>;
using Pkey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using ParamBuild = std::unique_ptr<OSSL_PARAM_BLD, Deleter<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Deleter<OSSL_PARAM_free>>;

/// A group: a prime with generator 2, or a curve.
struct GroupRow {
  DhGroup group;
  std::size_t field;                 ///< octets of p, or of a coordinate
  BIGNUM* (*prime)(BIGNUM* result);  ///< null for curves
  const char* curve;
};
constexpr GroupRow groups[] = {
    {DhGroup::modp1024, 128, BN_get_rfc2409_prime_1024, nullptr},
    {DhGroup::modp1536, 192, BN_get_rfc3526_prime_1536, nullptr},
    {DhGroup::modp2048, 256, BN_get_rfc3526_prime_2048, nullptr},
    {DhGroup::modp3072, 384, BN_get_rfc3526_prime_3072, nullptr},
    {DhGroup::modp4096, 512, BN_get_rfc3526_prime_4096, nullptr},
    {DhGroup::ecp256, 32, nullptr, "P-256"},
    {DhGroup::ecp384, 48, nullptr, "P-384"},
    {DhGroup::ecp521, 66, nullptr, "P-521"},
};

const GroupRow* find(DhGroup group) {
  const auto* row = std::ranges::find(groups, group, &GroupRow::group);
  return row == std::end(groups) ? nullptr : row;
}

Bytes fixed(const BIGNUM* number, std::size_t size) {
  Bytes out(size);
  BN_bn2binpad(number, out.data(), static_cast<int>(size));
  return out;
}

Bn number(ByteView octets) {
  return Bn(BN_bin2bn(octets.data(), static_cast<int>(octets.size()), nullptr));
}

/// g^exponent mod p in constant time for a secret exponent.
Bn power(const BIGNUM* base, const BIGNUM* exponent, const BIGNUM* prime) {
  const BnContext context(BN_CTX_secure_new());
  Bn out(BN_new());
  Bn secret(BN_dup(exponent));
  if (!context || !out || !secret) return nullptr;
  BN_set_flags(secret.get(), BN_FLG_CONSTTIME);
  if (BN_mod_exp_mont_consttime(out.get(), base, secret.get(), prime, context.get(), nullptr) != 1)
    return nullptr;
  return out;
}

/// An EC key from its uncompressed point and, for ours, its scalar. The import checks the point.
Pkey curve_key(const GroupRow& row, ByteView public_value, const BIGNUM* scalar) {
  Bytes point{4};
  point.insert(point.end(), public_value.begin(), public_value.end());
  const ParamBuild build(OSSL_PARAM_BLD_new());
  if (!build ||
      OSSL_PARAM_BLD_push_utf8_string(build.get(), OSSL_PKEY_PARAM_GROUP_NAME, row.curve, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(build.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1 ||
      (scalar && OSSL_PARAM_BLD_push_BN(build.get(), OSSL_PKEY_PARAM_PRIV_KEY, scalar) != 1))
    return nullptr;
  const Params params(OSSL_PARAM_BLD_to_param(build.get()));
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                        params.get()) != 1)
    return nullptr;
  return Pkey(key);
}

}  // namespace

/// Exactly one of the two is set.
struct DhKey::Impl {
  const GroupRow* row = nullptr;
  Bn exponent;  // modp
  Pkey curve;   // ecp
};

bool is_known(DhGroup group) {
  return find(group) != nullptr;
}

std::size_t public_size(DhGroup group) {
  const GroupRow* row = find(group);
  return row == nullptr ? 0 : row->prime ? row->field : 2 * row->field;
}

DhKey::DhKey(DhGroup group, Bytes public_value, std::unique_ptr<Impl> impl)
    : group_(group), public_value_(std::move(public_value)), impl_(std::move(impl)) {}
DhKey::DhKey(DhKey&&) noexcept = default;
DhKey& DhKey::operator=(DhKey&&) noexcept = default;
DhKey::~DhKey() = default;

Result<DhKey> DhKey::generate(DhGroup group) {
  const GroupRow* row = find(group);
  if (row == nullptr) return fail(bad_key, "unknown Diffie-Hellman group");
  if (row->prime) {
    // More than twice the strength of the largest group (RFC 3526 section 8).
    const Bn exponent(BN_secure_new());
    if (!exponent || BN_priv_rand(exponent.get(), 512, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) != 1)
      return fail(crypto_failure, "no randomness");
    return from_private(group, Secret::take(fixed(exponent.get(), 64)));
  }
  auto impl = std::make_unique<Impl>();
  impl->row = row;
  impl->curve.reset(EVP_EC_gen(row->curve));
  Bytes point(1 + 2 * row->field);
  std::size_t length = 0;
  if (!impl->curve ||
      EVP_PKEY_get_octet_string_param(impl->curve.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                      point.size(), &length) != 1 ||
      length != point.size() || point[0] != 4)
    return fail(crypto_failure, "EC key generation");
  point.erase(point.begin());
  return DhKey(group, std::move(point), std::move(impl));
}

Result<DhKey> DhKey::from_private(DhGroup group, const Secret& exponent) {
  const GroupRow* row = find(group);
  if (row == nullptr) return fail(bad_key, "unknown Diffie-Hellman group");
  auto impl = std::make_unique<Impl>();
  impl->row = row;
  Bn secret = number(exponent.view());
  if (row->prime) {
    const Bn prime(row->prime(nullptr));
    const Bn two(BN_new());
    BN_set_word(two.get(), 2);
    const Bn value = power(two.get(), secret.get(), prime.get());
    if (!value) return fail(crypto_failure, "modular exponentiation");
    impl->exponent = std::move(secret);
    return DhKey(group, fixed(value.get(), row->field), std::move(impl));
  }
  const std::unique_ptr<EC_GROUP, Deleter<EC_GROUP_free>> curve(
      EC_GROUP_new_by_curve_name(EC_curve_nist2nid(row->curve)));
  const std::unique_ptr<EC_POINT, Deleter<EC_POINT_free>> point(EC_POINT_new(curve.get()));
  Bytes octets(1 + 2 * row->field);
  if (!point ||
      EC_POINT_mul(curve.get(), point.get(), secret.get(), nullptr, nullptr, nullptr) != 1 ||
      EC_POINT_point2oct(curve.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, octets.data(),
                         octets.size(), nullptr) != octets.size())
    return fail(bad_key, "the scalar is not valid for its curve");
  octets.erase(octets.begin());
  impl->curve = curve_key(*row, octets, secret.get());
  if (!impl->curve) return fail(bad_key, "the scalar is not valid for its curve");
  return DhKey(group, std::move(octets), std::move(impl));
}

Result<Secret> DhKey::shared(ByteView peer_public) const {
  const GroupRow& row = *impl_->row;
  if (peer_public.size() != public_size(group_))
    return fail(bad_public_value,
                fmt::format("{} octets instead of {}", peer_public.size(), public_size(group_)));
  if (row.prime) {
    const Bn prime(row.prime(nullptr));
    const Bn peer = number(peer_public);
    const Bn top(BN_dup(prime.get()));
    BN_sub_word(top.get(), 1);
    // The primes are safe, so outside {0, 1, p-1} only the large subgroups are left.
    if (BN_is_zero(peer.get()) || BN_is_one(peer.get()) || BN_cmp(peer.get(), top.get()) >= 0)
      return fail(bad_public_value, "outside 2 to p-2");
    const Bn value = power(peer.get(), impl_->exponent.get(), prime.get());
    if (!value) return fail(crypto_failure, "modular exponentiation");
    return Secret::take(fixed(value.get(), row.field));
  }
  const Pkey peer = curve_key(row, peer_public, nullptr);
  if (!peer) return fail(bad_public_value, "not a point of the curve");
  const PkeyContext context(EVP_PKEY_CTX_new(impl_->curve.get(), nullptr));
  Bytes out(row.field);
  std::size_t length = out.size();
  if (!context || EVP_PKEY_derive_init(context.get()) != 1 ||
      EVP_PKEY_derive_set_peer(context.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(context.get(), out.data(), &length) != 1 || length != out.size())
    return fail(bad_public_value, "ECDH failed");
  return Secret::take(std::move(out));
}

}  // namespace cohort::crypto
