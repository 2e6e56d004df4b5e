#pragma once

#include "pki/openssl.hpp"
#include "tests/unit/pki/fixture.hpp"

/// Certificates that our own CA never issues: other people's chains, and wrong ones.
namespace cohort::pki::test {

inline constexpr std::int64_t day_s = 86400;

/// Seconds since 1970 of a day before or after the tests' epoch.
inline std::int64_t at(std::int64_t days) {
  return epoch.time_since_epoch().count() + days * day_s;
}

/// A certificate with extensions in OpenSSL's configuration syntax, for what our CA never issues.
struct Extension {
  int nid;
  const char* value;
};
inline Certificate forge(const crypto::PrivateKey& key, std::string_view subject,
                         const crypto::PrivateKey& issuer_key, std::string_view issuer,
                         std::initializer_list<Extension> extensions, std::int64_t from_s = at(-1),
                         std::int64_t to_s = at(100), crypto::Hash hash = crypto::Hash::sha256) {
  static int serial = 1000;
  const ossl::X509Ptr out(X509_new());
  const auto name = [](std::string_view text) {
    const Bytes der = must(name_der_of_text(text));
    const std::uint8_t* data = der.data();
    return ossl::NamePtr(d2i_X509_NAME(nullptr, &data, static_cast<long>(der.size())));
  };
  X509_set_version(out.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(out.get()), ++serial);
  X509_set_subject_name(out.get(), name(subject).get());
  X509_set_issuer_name(out.get(), name(issuer).get());
  X509_set_pubkey(out.get(), key.handle());
  ASN1_TIME_set(X509_getm_notBefore(out.get()), from_s);
  ASN1_TIME_set(X509_getm_notAfter(out.get()), to_s);
  for (const auto& extension : extensions) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, out.get(), out.get(), nullptr, nullptr, 0);
    const ossl::ExtensionPtr made(
        X509V3_EXT_conf_nid(nullptr, &context, extension.nid, extension.value));
    X509_add_ext(out.get(), made.get(), -1);
  }
  X509_sign(out.get(), issuer_key.handle(), ossl::digest_of(hash));
  return must(Certificate::share(out.get()));
}

}  // namespace cohort::pki::test
