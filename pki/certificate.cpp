#include "pki/certificate.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

#include "pki/distinguished_name.hpp"
#include "pki/openssl.hpp"

namespace cohort::pki {

namespace {

std::string key_id(const ASN1_OCTET_STRING* id) {
  return to_hex(ossl::view(id));
}

struct UsageBit {
  std::uint32_t bit;
  std::string_view name;
};
/// RFC 5280 section 4.2.1.3.
constexpr std::array usage_bits{
    UsageBit{KU_DIGITAL_SIGNATURE, "digitalSignature"},
    UsageBit{KU_NON_REPUDIATION, "nonRepudiation"},
    UsageBit{KU_KEY_ENCIPHERMENT, "keyEncipherment"},
    UsageBit{KU_DATA_ENCIPHERMENT, "dataEncipherment"},
    UsageBit{KU_KEY_AGREEMENT, "keyAgreement"},
    UsageBit{KU_KEY_CERT_SIGN, "keyCertSign"},
    UsageBit{KU_CRL_SIGN, "cRLSign"},
    UsageBit{KU_ENCIPHER_ONLY, "encipherOnly"},
    UsageBit{KU_DECIPHER_ONLY, "decipherOnly"},
};

std::string usage_of(std::uint32_t bits) {
  const bool signs = (bits & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) != 0;
  const bool encrypts = (bits & (KU_KEY_ENCIPHERMENT | KU_DATA_ENCIPHERMENT)) != 0;
  if (signs == encrypts) return "General Purpose";
  return signs ? "Signature" : "Encryption";
}

void describe_key(X509* certificate, CertificateInfo& info) {
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  info.key_bits = key == nullptr ? 0 : static_cast<std::size_t>(EVP_PKEY_get_bits(key));
  const bool is_rsa = key != nullptr && EVP_PKEY_is_a(key, "RSA") == 1;
  info.key_algorithm =
      is_rsa ? "rsaEncryption" : fmt::format("id-ecPublicKey (P-{})", info.key_bits);
}

void describe_usage(X509* certificate, CertificateInfo& info) {
  const std::uint32_t bits = X509_get_key_usage(certificate);
  info.usage = usage_of(bits);
  if (bits != UINT32_MAX)  // UINT32_MAX: no such extension
    for (const auto& usage : usage_bits)
      if ((bits & usage.bit) != 0) info.key_usage.emplace_back(usage.name);
  const std::unique_ptr<EXTENDED_KEY_USAGE, ossl::Deleter<EXTENDED_KEY_USAGE_free>> extended(
      static_cast<EXTENDED_KEY_USAGE*>(
          X509_get_ext_d2i(certificate, NID_ext_key_usage, nullptr, nullptr)));
  const int count = extended ? sk_ASN1_OBJECT_num(extended.get()) : 0;
  for (int i = 0; i < count; ++i) {
    std::array<char, 128> text{};
    OBJ_obj2txt(text.data(), static_cast<int>(text.size()), sk_ASN1_OBJECT_value(extended.get(), i),
                0);
    info.extended_key_usage.emplace_back(text.data());
  }
}

void describe_crl_urls(X509* certificate, CertificateInfo& info) {
  const std::unique_ptr<CRL_DIST_POINTS, ossl::Deleter<CRL_DIST_POINTS_free>> points(
      static_cast<CRL_DIST_POINTS*>(
          X509_get_ext_d2i(certificate, NID_crl_distribution_points, nullptr, nullptr)));
  const int count = points ? sk_DIST_POINT_num(points.get()) : 0;
  for (int i = 0; i < count && i < 8; ++i) {
    const DIST_POINT_NAME* name = sk_DIST_POINT_value(points.get(), i)->distpoint;
    if (name == nullptr || name->type != 0) continue;
    const int names = sk_GENERAL_NAME_num(name->name.fullname);
    for (int j = 0; j < names && j < 8; ++j) {
      int type = 0;
      const void* value =
          GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(name->name.fullname, j), &type);
      if (type == GEN_URI)
        info.crl_urls.push_back(ossl::utf8(static_cast<const ASN1_STRING*>(value)));
    }
  }
}

ossl::AlternativeNames alternative_names_of(X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, ossl::Deleter<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  return ossl::alternative_names(names.get());
}

std::string signature_algorithm_of(const X509* certificate) {
  std::array<char, 128> text{};
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(nullptr, &algorithm, certificate);
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  OBJ_obj2txt(text.data(), static_cast<int>(text.size()), object, 0);
  return text.data();
}

}  // namespace

Result<Certificate> Certificate::share(X509* certificate) {
  if (certificate == nullptr) return fail(bad_certificate);
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  if (key == nullptr || !crypto::PublicKey::from_spki(crypto::PublicKey::share(key).spki())) {
    ERR_clear_error();
    return fail(bad_certificate, "its key is neither RSA nor ECDSA on a NIST curve");
  }
  // Parses the extensions now, so that the certificate is read-only from here on.
  if (X509_check_purpose(certificate, -1, 0) != 1 ||
      (X509_get_extension_flags(certificate) & EXFLAG_INVALID) != 0) {
    ERR_clear_error();
    return fail(bad_certificate, "its extensions are malformed");
  }
  X509_up_ref(certificate);
  return Certificate(std::shared_ptr<X509>(certificate, X509_free));
}

Result<Certificate> Certificate::from_der(ByteView der) {
  if (der.empty() || der.size() > certificate_size_max)
    return fail(bad_certificate, fmt::format("{} octets", der.size()));
  const std::uint8_t* at = der.data();
  const ossl::X509Ptr parsed(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!parsed) return fail(bad_certificate, "not DER of a certificate");
  if (at != der.data() + der.size()) return fail(bad_certificate, "octets behind its end");
  return share(parsed.get());
}

Result<std::vector<Certificate>> Certificate::list_from_pem(std::string_view pem) {
  const ossl::Bio bio = ossl::memory(as_bytes(pem));
  std::vector<Certificate> out;
  while (bio) {
    const ossl::X509Ptr parsed(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!parsed) break;
    if (out.size() == certificates_in_pem_max)
      return fail(bad_certificate, "too many certificates in the PEM text");
    COHORT_TRY(Certificate certificate, share(parsed.get()));
    out.push_back(std::move(certificate));
  }
  const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!ended || out.empty()) return fail(bad_certificate, "no readable PEM certificate");
  return out;
}

Result<Certificate> Certificate::from_pem(std::string_view pem) {
  COHORT_TRY(const auto list, list_from_pem(pem));
  return list.front();
}

Bytes Certificate::der() const {
  return ossl::der_of(handle_.get(), i2d_X509);
}

std::string Certificate::pem() const {
  const ossl::Bio bio = ossl::memory();
  if (!bio || PEM_write_bio_X509(bio.get(), handle_.get()) != 1) return {};
  const ByteView text = ossl::contents(bio.get());
  return {text.begin(), text.end()};
}

std::string Certificate::fingerprint(crypto::Hash hash) const {
  return to_hex(crypto::digest(hash, {der()}));
}

Bytes Certificate::subject_der() const {
  return name_der(X509_get_subject_name(handle_.get()));
}

Bytes Certificate::issuer_der() const {
  return name_der(X509_get_issuer_name(handle_.get()));
}

std::string Certificate::subject() const {
  return name_text(X509_get_subject_name(handle_.get()));
}

std::string Certificate::issuer() const {
  return name_text(X509_get_issuer_name(handle_.get()));
}

std::string Certificate::serial() const {
  return ossl::hex_of(X509_get0_serialNumber(handle_.get()));
}

WallTime Certificate::not_before() const {
  return ossl::wall_time(X509_get0_notBefore(handle_.get()));
}

WallTime Certificate::not_after() const {
  return ossl::wall_time(X509_get0_notAfter(handle_.get()));
}

bool Certificate::is_ca() const {
  return X509_check_ca(handle_.get()) == 1;
}

bool Certificate::is_self_issued() const {
  return X509_NAME_cmp(X509_get_subject_name(handle_.get()), X509_get_issuer_name(handle_.get())) ==
         0;
}

crypto::PublicKey Certificate::public_key() const {
  return crypto::PublicKey::share(X509_get0_pubkey(handle_.get()));
}

Bytes Certificate::spki_sha256() const {
  return crypto::digest(crypto::Hash::sha256, {public_key().spki()});
}

bool Certificate::operator==(const Certificate& other) const {
  return X509_cmp(handle_.get(), other.handle_.get()) == 0;
}

CertificateInfo Certificate::describe() const {
  X509* x509 = handle_.get();
  CertificateInfo info;
  info.version = static_cast<unsigned>(X509_get_version(x509) + 1);
  info.serial = serial();
  info.issuer = issuer();
  info.subject = subject();
  info.subject_attributes = name_attributes(X509_get_subject_name(x509));
  info.not_before = not_before();
  info.not_after = not_after();
  describe_key(x509, info);
  info.signature_algorithm = signature_algorithm_of(x509);
  info.fingerprint_md5 = fingerprint(crypto::Hash::md5);
  info.fingerprint_sha1 = fingerprint(crypto::Hash::sha1);
  info.fingerprint_sha256 = fingerprint(crypto::Hash::sha256);
  describe_usage(x509, info);
  info.subject_key_id = key_id(X509_get0_subject_key_id(x509));
  info.authority_key_id = key_id(X509_get0_authority_key_id(x509));
  info.is_ca = is_ca();
  const long path_length = X509_get_pathlen(x509);
  if (path_length >= 0) info.path_length = static_cast<unsigned>(path_length);
  auto names = alternative_names_of(x509);
  info.san_dns = std::move(names.dns);
  info.san_email = std::move(names.email);
  info.san_addresses = std::move(names.addresses);
  describe_crl_urls(x509, info);
  return info;
}

PeerIdentity identity_of(const Certificate& certificate) {
  PeerIdentity out;
  out.by_certificate = true;
  out.subject_der = certificate.subject_der();
  out.subject = certificate.subject();
  out.attributes = name_attributes(X509_get_subject_name(certificate.handle()));
  out.issuer = certificate.issuer();
  auto names = alternative_names_of(certificate.handle());
  out.san_dns = std::move(names.dns);
  out.san_email = std::move(names.email);
  out.san_addresses = std::move(names.addresses);
  out.fingerprint_sha256 = certificate.fingerprint(crypto::Hash::sha256);
  out.key = certificate.public_key();
  return out;
}

Result<Crl> Crl::share(X509_CRL* crl) {
  if (crl == nullptr) return fail(bad_crl);
  X509_CRL_up_ref(crl);
  return Crl(std::shared_ptr<X509_CRL>(crl, X509_CRL_free));
}

Result<Crl> Crl::from_der(ByteView der) {
  if (der.empty() || der.size() > crl_size_max)
    return fail(bad_crl, fmt::format("{} octets", der.size()));
  const std::uint8_t* at = der.data();
  const ossl::CrlPtr parsed(d2i_X509_CRL(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!parsed || at != der.data() + der.size()) return fail(bad_crl, "not DER of a CRL");
  return share(parsed.get());
}

Bytes Crl::der() const {
  return ossl::der_of(handle_.get(), i2d_X509_CRL);
}

Bytes Crl::issuer_der() const {
  return name_der(X509_CRL_get_issuer(handle_.get()));
}

std::string Crl::issuer() const {
  return name_text(X509_CRL_get_issuer(handle_.get()));
}

WallTime Crl::this_update() const {
  return ossl::wall_time(X509_CRL_get0_lastUpdate(handle_.get()));
}

std::optional<WallTime> Crl::next_update() const {
  const ASN1_TIME* time = X509_CRL_get0_nextUpdate(handle_.get());
  if (time == nullptr) return std::nullopt;
  return ossl::wall_time(time);
}

std::size_t Crl::size() const {
  const int count = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(handle_.get()));
  return count < 0 ? 0 : static_cast<std::size_t>(count);
}

bool Crl::lists(const Certificate& certificate) const {
  X509_REVOKED* entry = nullptr;
  // 2 is removeFromCRL: the entry says that the certificate is not revoked any more.
  return X509_CRL_get0_by_cert(handle_.get(), &entry, certificate.handle()) == 1;
}

bool Crl::signed_by(const Certificate& issuer) const {
  const bool ok = X509_NAME_cmp(X509_CRL_get_issuer(handle_.get()),
                                X509_get_subject_name(issuer.handle())) == 0 &&
                  X509_CRL_verify(handle_.get(), X509_get0_pubkey(issuer.handle())) == 1;
  ERR_clear_error();
  return ok;
}

}  // namespace cohort::pki
