#pragma once

#include <memory>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/base/time.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/crypto/owned.hpp"
#include "pki/certificate.hpp"
#include "pki/reasons.hpp"

/// OpenSSL's handles as owners, and the few conversions that every source of pki/ needs. Included
/// by sources of pki/ alone.
namespace cohort::pki::ossl {

using crypto::Deleter;

inline void free_bytes(std::uint8_t* data) {
  OPENSSL_free(data);
}
inline void free_certificates(STACK_OF(X509) * stack) {
  sk_X509_pop_free(stack, X509_free);
}
inline void free_stack(STACK_OF(X509) * stack) {
  sk_X509_free(stack);
}
inline void free_crls(STACK_OF(X509_CRL) * stack) {
  sk_X509_CRL_pop_free(stack, X509_CRL_free);
}
inline void free_extensions(STACK_OF(X509_EXTENSION) * stack) {
  sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free);
}

using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Bn = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;
using CrlPtr = std::unique_ptr<X509_CRL, Deleter<X509_CRL_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, Deleter<X509_REQ_free>>;
using NamePtr = std::unique_ptr<X509_NAME, Deleter<X509_NAME_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using CmsPtr = std::unique_ptr<CMS_ContentInfo, Deleter<CMS_ContentInfo_free>>;
using Pkcs12Ptr = std::unique_ptr<PKCS12, Deleter<PKCS12_free>>;
using IntegerPtr = std::unique_ptr<ASN1_INTEGER, Deleter<ASN1_INTEGER_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;
using Certificates = std::unique_ptr<STACK_OF(X509), Deleter<free_certificates>>;
/// A stack that does not own what is in it.
using BorrowedCertificates = std::unique_ptr<STACK_OF(X509), Deleter<free_stack>>;
using Crls = std::unique_ptr<STACK_OF(X509_CRL), Deleter<free_crls>>;
using Extensions = std::unique_ptr<STACK_OF(X509_EXTENSION), Deleter<free_extensions>>;

/// DER by an i2d function.
template <typename T, typename Encode>
[[nodiscard]] Bytes der_of(const T* object, Encode encode) {
  std::uint8_t* data = nullptr;
  const int length = encode(object, &data);
  if (length <= 0) return {};
  const std::unique_ptr<std::uint8_t, Deleter<free_bytes>> owner(data);
  return {data, data + length};
}

/// Reads `data`, which must outlive it. OpenSSL takes no null pointer, not even for no octets.
[[nodiscard]] inline Bio memory(ByteView data) {
  return Bio(BIO_new_mem_buf(data.empty() ? static_cast<const void*>("") : data.data(),
                             static_cast<int>(data.size())));
}
[[nodiscard]] inline Bio memory() {
  return Bio(BIO_new(BIO_s_mem()));
}
[[nodiscard]] inline ByteView contents(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  if (length <= 0) return {};
  return {reinterpret_cast<const std::uint8_t*>(data), static_cast<std::size_t>(length)};
}

[[nodiscard]] inline ByteView view(const ASN1_STRING* text) {
  if (text == nullptr) return {};
  return {ASN1_STRING_get0_data(text), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

/// The oldest queued error as text, and an empty queue.
[[nodiscard]] std::string take_error();
/// openssl_failed with what was tried and the library's own words.
[[nodiscard]] tl::unexpected<Error> failed(std::string_view what);

[[nodiscard]] const EVP_MD* digest_of(crypto::Hash hash);
/// Seconds since 1970 of a certificate's time; the epoch when it is malformed.
[[nodiscard]] WallTime wall_time(const ASN1_TIME* time);
/// Upper-case hex of a serial number, whole octets.
[[nodiscard]] std::string hex_of(const ASN1_INTEGER* number);
[[nodiscard]] Result<IntegerPtr> integer_of_hex(std::string_view hex);
/// UTF-8 of any ASN.1 character string, without control characters.
[[nodiscard]] std::string utf8(const ASN1_STRING* text);

/// Subject alternative names, at most san_max of each kind; others are skipped.
struct AlternativeNames {
  std::vector<std::string> dns;
  std::vector<std::string> email;
  std::vector<IpAddress> addresses;
};
[[nodiscard]] AlternativeNames alternative_names(const GENERAL_NAMES* names);
/// The subjectAltName extension for these, or none when all are empty.
[[nodiscard]] Result<ExtensionPtr> alternative_names_extension(const AlternativeNames& names);

/// cRLDistributionPoints with this one URI, whatever characters it has.
[[nodiscard]] Result<ExtensionPtr> distribution_point_extension(std::string_view uri);

/// A stack of its own references.
[[nodiscard]] Certificates stack_of(std::span<const Certificate> certificates);

}  // namespace cohort::pki::ossl
