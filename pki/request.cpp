#include "pki/request.hpp"

#include <fmt/format.h>

#include "pki/distinguished_name.hpp"
#include "pki/openssl.hpp"

namespace cohort::pki {

namespace {

ossl::AlternativeNames alternative_names_of(X509_REQ* request) {
  const ossl::Extensions extensions(X509_REQ_get_extensions(request));
  ERR_clear_error();
  if (!extensions) return {};
  const std::unique_ptr<GENERAL_NAMES, ossl::Deleter<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(
          X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  return ossl::alternative_names(names.get());
}

Status add_alternative_names(X509_REQ* request, const RequestContents& contents) {
  COHORT_TRY(auto extension, ossl::alternative_names_extension(
                                 {contents.san_dns, contents.san_email, contents.san_addresses}));
  if (!extension) return {};
  const ossl::Extensions list(sk_X509_EXTENSION_new_null());
  if (!list || sk_X509_EXTENSION_push(list.get(), extension.get()) <= 0)
    return ossl::failed("extensions");
  (void)extension.release();  // the list has it now
  if (X509_REQ_add_extensions(request, list.get()) != 1) return ossl::failed("extensions");
  return {};
}

}  // namespace

Result<CertificateRequest> CertificateRequest::from_der(ByteView der) {
  if (der.empty() || der.size() > request_size_max)
    return fail(bad_request_pkcs10, fmt::format("{} octets", der.size()));
  const std::uint8_t* at = der.data();
  ossl::RequestPtr parsed(d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!parsed || at != der.data() + der.size()) return fail(bad_request_pkcs10, "not its DER");
  EVP_PKEY* key = X509_REQ_get0_pubkey(parsed.get());
  if (key == nullptr || !crypto::PublicKey::from_spki(crypto::PublicKey::share(key).spki())) {
    ERR_clear_error();
    return fail(request_key_weak, "neither RSA nor ECDSA on a NIST curve");
  }
  const bool verified = X509_REQ_verify(parsed.get(), key) == 1;
  ERR_clear_error();
  if (!verified) return fail(request_signature_bad);
  return CertificateRequest(std::shared_ptr<X509_REQ>(parsed.release(), X509_REQ_free));
}

Result<CertificateRequest> CertificateRequest::make(const RequestContents& contents,
                                                    const crypto::PrivateKey& key,
                                                    crypto::Hash hash) {
  ossl::RequestPtr request(X509_REQ_new());
  const std::uint8_t* at = contents.subject_der.data();
  const ossl::NamePtr subject(
      d2i_X509_NAME(nullptr, &at, static_cast<long>(contents.subject_der.size())));
  if (!request || !subject || X509_REQ_set_version(request.get(), 0) != 1 ||
      X509_REQ_set_subject_name(request.get(), subject.get()) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.handle()) != 1)
    return ossl::failed("certificate request");
  COHORT_CHECK(add_alternative_names(request.get(), contents));
  const ByteView password = contents.challenge_password.view();
  if (!password.empty() &&
      X509_REQ_add1_attr_by_NID(request.get(), NID_pkcs9_challengePassword, MBSTRING_UTF8,
                                password.data(), static_cast<int>(password.size())) != 1)
    return ossl::failed("challengePassword");
  if (X509_REQ_sign(request.get(), key.handle(), ossl::digest_of(hash)) <= 0)
    return ossl::failed("certificate request");
  return CertificateRequest(std::shared_ptr<X509_REQ>(request.release(), X509_REQ_free));
}

Bytes CertificateRequest::der() const {
  return ossl::der_of(handle_.get(), i2d_X509_REQ);
}

Bytes CertificateRequest::subject_der() const {
  return name_der(X509_REQ_get_subject_name(handle_.get()));
}

std::string CertificateRequest::subject() const {
  return name_text(X509_REQ_get_subject_name(handle_.get()));
}

crypto::PublicKey CertificateRequest::public_key() const {
  return crypto::PublicKey::share(X509_REQ_get0_pubkey(handle_.get()));
}

Bytes CertificateRequest::spki_sha256() const {
  return crypto::digest(crypto::Hash::sha256, {public_key().spki()});
}

Secret CertificateRequest::challenge_password() const {
  const int at = X509_REQ_get_attr_by_NID(handle_.get(), NID_pkcs9_challengePassword, -1);
  if (at < 0) return {};
  X509_ATTRIBUTE* attribute = X509_REQ_get_attr(handle_.get(), at);
  const ASN1_TYPE* value = X509_ATTRIBUTE_get0_type(attribute, 0);
  if (value == nullptr || value->type == V_ASN1_BOOLEAN || value->type == V_ASN1_NULL ||
      value->type == V_ASN1_OBJECT)
    return {};
  std::uint8_t* text = nullptr;
  const int length = ASN1_STRING_to_UTF8(&text, value->value.asn1_string);
  ERR_clear_error();
  if (length < 0) return {};
  Secret out(ByteView{text, static_cast<std::size_t>(length)});
  OPENSSL_clear_free(text, static_cast<std::size_t>(length));
  return out;
}

std::vector<std::string> CertificateRequest::san_dns() const {
  return alternative_names_of(handle_.get()).dns;
}

std::vector<std::string> CertificateRequest::san_email() const {
  return alternative_names_of(handle_.get()).email;
}

std::vector<IpAddress> CertificateRequest::san_addresses() const {
  return alternative_names_of(handle_.get()).addresses;
}

}  // namespace cohort::pki
