#include "pki/trust.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "pki/openssl.hpp"

namespace cohort::pki {

namespace {

using Store = std::unique_ptr<X509_STORE, ossl::Deleter<X509_STORE_free>>;
using Context = std::unique_ptr<X509_STORE_CTX, ossl::Deleter<X509_STORE_CTX_free>>;

constexpr int depth_max = 8;  ///< certificates between leaf and anchor

/// Our name for what OpenSSL found wrong in a chain.
const Reason& reason_of(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return certificate_expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return certificate_not_yet_valid;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return unknown_ca;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
      return certificate_signature_bad;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return certificate_weak;
    case X509_V_ERR_INVALID_CA:
      return not_a_ca;
    default:
      return chain_invalid;
  }
}

Error error_of(X509_STORE_CTX* context) {
  const int code = X509_STORE_CTX_get_error(context);
  std::string detail = X509_verify_cert_error_string(code);
  if (X509* at = X509_STORE_CTX_get_current_cert(context)) {
    if (const auto certificate = Certificate::share(at))
      detail += fmt::format(": {} by {}, {} to {}", certificate->subject(), certificate->issuer(),
                            to_text(certificate->not_before()), to_text(certificate->not_after()));
  }
  return Error(reason_of(code), std::move(detail));
}

/// A list in its time that we understand as a whole: no indirect, delta or partial one.
bool is_usable(const Crl& crl, WallTime now) {
  const auto next = crl.next_update();
  if (crl.this_update() > now || !next || *next < now) return false;
  const int count = X509_CRL_get_ext_count(crl.handle());
  for (int i = 0; i < count; ++i)
    if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl.handle(), i)) != 0) return false;
  return true;
}

/// RFC 5280 section 6.3.3 (f): who signs lists must be allowed to.
bool may_sign_lists(const Certificate& issuer) {
  return (X509_get_key_usage(issuer.handle()) & KU_CRL_SIGN) != 0;  // all ones without extension
}

/// Revocation of one certificate by its issuer's lists.
Status check_revocation(const Certificate& certificate, const Certificate& issuer,
                        std::span<const Crl> crls, RevocationCheck mode, WallTime now) {
  bool have_list = false;
  for (const auto& crl : crls) {
    if (!may_sign_lists(issuer) || !crl.signed_by(issuer)) continue;
    // An outdated list still tells the truth about what it lists.
    if (crl.lists(certificate))
      return fail(certificate_revoked,
                  fmt::format("serial {} of {}", certificate.serial(), certificate.subject()));
    have_list = have_list || is_usable(crl, now);
  }
  if (!have_list && mode == RevocationCheck::crl) return fail(crl_missing, issuer.subject());
  return {};
}

/// Extended key usages as numbers; nothing when the certificate has no such extension.
std::optional<std::vector<std::string>> usages_of(const Certificate& certificate) {
  const std::unique_ptr<EXTENDED_KEY_USAGE, ossl::Deleter<EXTENDED_KEY_USAGE_free>> usages(
      static_cast<EXTENDED_KEY_USAGE*>(
          X509_get_ext_d2i(certificate.handle(), NID_ext_key_usage, nullptr, nullptr)));
  if (!usages) return std::nullopt;
  std::vector<std::string> out;
  const int count = sk_ASN1_OBJECT_num(usages.get());
  for (int i = 0; i < count; ++i) {
    std::array<char, 128> text{};
    OBJ_obj2txt(text.data(), static_cast<int>(text.size()), sk_ASN1_OBJECT_value(usages.get(), i),
                1);
    out.emplace_back(text.data());
  }
  return out;
}

}  // namespace

std::string_view object_id(ExtendedKeyUsage usage) {
  switch (usage) {
    case ExtendedKeyUsage::server_auth:
      return "1.3.6.1.5.5.7.3.1";
    case ExtendedKeyUsage::client_auth:
      return "1.3.6.1.5.5.7.3.2";
    case ExtendedKeyUsage::ipsec_ike:
      return "1.3.6.1.5.5.7.3.17";
    case ExtendedKeyUsage::ike_intermediate:
      return "1.3.6.1.5.5.8.2.2";
    case ExtendedKeyUsage::any:
      return "2.5.29.37.0";
  }
  return {};
}

bool has_usage(const Certificate& certificate, std::span<const ExtendedKeyUsage> accepted) {
  const auto usages = usages_of(certificate);
  return !usages || std::any_of(usages->begin(), usages->end(), [&](const std::string& oid) {
    return oid == object_id(ExtendedKeyUsage::any) ||
           std::any_of(accepted.begin(), accepted.end(),
                       [&](ExtendedKeyUsage usage) { return object_id(usage) == oid; });
  });
}

Result<std::vector<Certificate>> Trust::build_chain(const Certificate& leaf,
                                                    std::span<const Certificate> others,
                                                    WallTime now) const {
  if (anchors.empty()) return fail(not_authenticated);
  const Store store(X509_STORE_new());
  const Context context(X509_STORE_CTX_new());
  if (!store || !context) return ossl::failed("chain");
  for (const auto& anchor : anchors) X509_STORE_add_cert(store.get(), anchor.handle());
  std::vector<Certificate> untrusted(others.begin(), others.end());
  untrusted.insert(untrusted.end(), intermediates.begin(), intermediates.end());
  const ossl::Certificates stack = ossl::stack_of(untrusted);
  if (X509_STORE_CTX_init(context.get(), store.get(), leaf.handle(), stack.get()) != 1)
    return ossl::failed("chain");
  X509_VERIFY_PARAM* rules = X509_STORE_CTX_get0_param(context.get());
  // An anchor is what the operator accepted, be it a root or not.
  X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_depth(rules, depth_max);
  X509_VERIFY_PARAM_set_time(rules, static_cast<time_t>(now.time_since_epoch().count()));
  X509_VERIFY_PARAM_set_auth_level(rules, allow_weak ? 0 : 2);  // 2: 112 bits, RSA 2048, SHA-2
  if (X509_verify_cert(context.get()) != 1) {
    ERR_clear_error();
    return fail(error_of(context.get()));
  }
  std::vector<Certificate> out;
  const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    COHORT_TRY(Certificate certificate, Certificate::share(sk_X509_value(chain, i)));
    // OpenSSL takes old forms of CA certificates too; we want basicConstraints.
    if (i > 0 && !certificate.is_ca()) return fail(not_a_ca, certificate.subject());
    out.push_back(std::move(certificate));
  }
  if (revocation_check == RevocationCheck::none) return out;
  for (std::size_t i = 0; i + 1 < out.size(); ++i)
    COHORT_CHECK(check_revocation(out[i], out[i + 1], crls, revocation_check, now));
  return out;
}

Result<Certificate> Trust::verify(std::span<const Bytes> chain, WallTime now) const {
  if (chain.empty()) return fail(chain_empty);
  if (chain.size() > peer_chain_max)
    return fail(chain_too_long, fmt::format("{}; at most {}", chain.size(), peer_chain_max));
  COHORT_TRY(const Certificate leaf, Certificate::from_der(chain.front()));
  std::vector<Certificate> others;
  for (const Bytes& der : chain.subspan(1)) {
    COHORT_TRY(Certificate other, Certificate::from_der(der));
    others.push_back(std::move(other));
  }
  COHORT_TRY(const auto built, build_chain(leaf, others, now));
  // RFC 4945 section 5.1.3.2: with a key usage, digitalSignature or nonRepudiation must be in it.
  if ((X509_get_key_usage(leaf.handle()) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0)
    return fail(wrong_key_usage, leaf.subject());
  if (!peer_eku.empty() && !has_usage(leaf, peer_eku))
    return fail(wrong_extended_key_usage,
                fmt::format("{} has {}", leaf.subject(),
                            fmt::join(usages_of(leaf).value_or(std::vector<std::string>{}), ", ")));
  return built.front();
}

}  // namespace cohort::pki
