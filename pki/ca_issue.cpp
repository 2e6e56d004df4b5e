#include "pki/ca_issue.hpp"

#include <fmt/format.h>

#include "pki/openssl.hpp"
#include "pki/trust.hpp"

namespace cohort::pki {

namespace {

constexpr int pkcs12_rounds = 100000;

/// A certificate in the making.
class Draft {
 public:
  static Result<Draft> begin(ByteView subject_der, ByteView issuer_der, EVP_PKEY* key,
                             const IssueTimes& times) {
    Draft out;
    COHORT_TRY(const auto serial, ossl::integer_of_hex(times.serial));
    const ossl::NamePtr subject = name_of_der(subject_der);
    const ossl::NamePtr issuer = name_of_der(issuer_der);
    X509* draft = out.draft_.get();
    if (draft == nullptr || !subject || !issuer || X509_set_version(draft, 2) != 1 ||
        X509_set_serialNumber(draft, serial.get()) != 1 ||
        X509_set_subject_name(draft, subject.get()) != 1 ||
        X509_set_issuer_name(draft, issuer.get()) != 1 || X509_set_pubkey(draft, key) != 1 ||
        !set_time(X509_getm_notBefore(draft), times.not_before_s) ||
        !set_time(X509_getm_notAfter(draft), times.not_after_s))
      return ossl::failed("certificate");
    return out;
  }

  /// An extension in OpenSSL's configuration syntax; `issuer` null: the draft itself.
  Status add(int nid, const std::string& value, X509* issuer = nullptr) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer == nullptr ? draft_.get() : issuer, draft_.get(), nullptr,
                   nullptr, 0);
    const ossl::ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    return add(extension);
  }

  /// authorityKeyIdentifier, where the issuer has an identifier: a CA that was made elsewhere and
  /// restored here may have none.
  Status add_issuer_id(X509* issuer) {
    if (X509_get0_subject_key_id(issuer) == nullptr) return {};
    return add(NID_authority_key_identifier, "keyid:always", issuer);
  }

  Status add(const ossl::ExtensionPtr& extension) {
    if (!extension || X509_add_ext(draft_.get(), extension.get(), -1) != 1)
      return ossl::failed("extension");
    return {};
  }

  Result<Certificate> sign(const crypto::PrivateKey& key, crypto::Hash hash) {
    if (X509_sign(draft_.get(), key.handle(), ossl::digest_of(hash)) <= 0)
      return ossl::failed("signing a certificate");
    return Certificate::share(draft_.get());
  }

 private:
  Draft() : draft_(X509_new()) {}
  static ossl::NamePtr name_of_der(ByteView der) {
    const std::uint8_t* at = der.data();
    return ossl::NamePtr(d2i_X509_NAME(nullptr, &at, static_cast<long>(der.size())));
  }
  static bool set_time(ASN1_TIME* time, std::int64_t seconds) {
    return ASN1_TIME_set(time, static_cast<time_t>(seconds)) != nullptr;
  }
  ossl::X509Ptr draft_;
};

std::string usages_of(std::span<const ExtendedKeyUsage> eku) {
  std::string out;
  for (const auto usage : eku) out += fmt::format("{}{}", out.empty() ? "" : ",", object_id(usage));
  return out;
}

/// OpenSSL's PKCS #12 wants C strings.
std::string c_string(const Secret& password) {
  return {reinterpret_cast<const char*>(password.view().data()), password.size()};
}

}  // namespace

Result<Certificate> make_ca_certificate(const crypto::PrivateKey& key, ByteView subject_der,
                                        crypto::Hash hash, const IssueTimes& times) {
  const bool reads_messages = key.type() == crypto::KeyType::rsa;
  COHORT_TRY(auto draft, Draft::begin(subject_der, subject_der, key.handle(), times));
  COHORT_CHECK(draft.add(NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  COHORT_CHECK(
      draft.add(NID_key_usage, reads_messages
                                   ? "critical,keyCertSign,cRLSign,digitalSignature,keyEncipherment"
                                   : "critical,keyCertSign,cRLSign"));
  COHORT_CHECK(draft.add(NID_subject_key_identifier, "hash"));
  COHORT_CHECK(draft.add(NID_authority_key_identifier, "keyid:always"));
  return draft.sign(key, hash);
}

Result<Certificate> make_message_certificate(const CaSigner& signer, const crypto::PublicKey& key,
                                             ByteView subject_der, const IssueTimes& times) {
  COHORT_TRY(auto draft,
             Draft::begin(subject_der, signer.certificate.subject_der(), key.handle(), times));
  COHORT_CHECK(draft.add(NID_basic_constraints, "critical,CA:FALSE"));
  COHORT_CHECK(draft.add(NID_key_usage, "critical,digitalSignature,keyEncipherment"));
  COHORT_CHECK(draft.add(NID_subject_key_identifier, "hash"));
  COHORT_CHECK(draft.add_issuer_id(signer.certificate.handle()));
  return draft.sign(signer.key, signer.hash);
}

Result<Certificate> make_certificate(const CaSigner& signer, const CertificateRequest& request,
                                     std::span<const ExtendedKeyUsage> eku,
                                     std::string_view crl_url, const IssueTimes& times) {
  const crypto::PublicKey key = request.public_key();
  X509* issuer = signer.certificate.handle();
  COHORT_TRY(auto draft, Draft::begin(request.subject_der(), signer.certificate.subject_der(),
                                      key.handle(), times));
  COHORT_CHECK(draft.add(NID_basic_constraints, "critical,CA:FALSE"));
  COHORT_CHECK(draft.add(NID_key_usage, key.type() == crypto::KeyType::rsa
                                            ? "critical,digitalSignature,keyEncipherment"
                                            : "critical,digitalSignature"));
  if (!eku.empty()) COHORT_CHECK(draft.add(NID_ext_key_usage, usages_of(eku)));
  COHORT_CHECK(draft.add(NID_subject_key_identifier, "hash"));
  COHORT_CHECK(draft.add_issuer_id(issuer));
  COHORT_TRY(const auto names,
             ossl::alternative_names_extension(
                 {request.san_dns(), request.san_email(), request.san_addresses()}));
  if (names) COHORT_CHECK(draft.add(names));
  if (!crl_url.empty()) {
    COHORT_TRY(const auto point, ossl::distribution_point_extension(crl_url));
    COHORT_CHECK(draft.add(point));
  }
  return draft.sign(signer.key, signer.hash);
}

namespace {

Status add_entry(X509_CRL* crl, const IssuedRecord& record) {
  using EntryPtr = std::unique_ptr<X509_REVOKED, ossl::Deleter<X509_REVOKED_free>>;
  using TimePtr = std::unique_ptr<ASN1_TIME, ossl::Deleter<ASN1_STRING_free>>;
  using ReasonPtr = std::unique_ptr<ASN1_ENUMERATED, ossl::Deleter<ASN1_ENUMERATED_free>>;
  EntryPtr entry(X509_REVOKED_new());
  COHORT_TRY(const auto serial, ossl::integer_of_hex(record.serial));
  const auto when = record.revoked_at.value_or(WallTime{}).time_since_epoch().count();
  const TimePtr time(ASN1_TIME_set(nullptr, static_cast<time_t>(when)));
  if (!entry || !time || X509_REVOKED_set_serialNumber(entry.get(), serial.get()) != 1 ||
      X509_REVOKED_set_revocationDate(entry.get(), time.get()) != 1)
    return ossl::failed("CRL entry");
  if (record.revocation_reason != RevocationReason::unspecified) {
    const ReasonPtr reason(ASN1_ENUMERATED_new());
    if (!reason ||
        ASN1_ENUMERATED_set(reason.get(), static_cast<long>(record.revocation_reason)) != 1 ||
        X509_REVOKED_add1_ext_i2d(entry.get(), NID_crl_reason, reason.get(), 0, 0) != 1)
      return ossl::failed("CRL entry");
  }
  if (X509_CRL_add0_revoked(crl, entry.get()) != 1) return ossl::failed("CRL entry");
  (void)entry.release();  // the CRL has it now
  return {};
}

Status add_crl_extensions(X509_CRL* crl, X509* issuer, std::int64_t number) {
  const ossl::IntegerPtr value(ASN1_INTEGER_new());
  if (!value || ASN1_INTEGER_set_int64(value.get(), number) != 1 ||
      X509_CRL_add1_ext_i2d(crl, NID_crl_number, value.get(), 0, 0) != 1)
    return ossl::failed("CRL number");
  if (X509_get0_subject_key_id(issuer) == nullptr) return {};
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, nullptr, nullptr, crl, 0);
  const ossl::ExtensionPtr key_id(
      X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always"));
  if (!key_id || X509_CRL_add_ext(crl, key_id.get(), -1) != 1)
    return ossl::failed("CRL extensions");
  return {};
}

}  // namespace

Result<Crl> make_crl(const CaSigner& signer, std::span<const IssuedRecord> revoked,
                     std::int64_t number, std::int64_t this_update_s, std::int64_t next_update_s) {
  using TimePtr = std::unique_ptr<ASN1_TIME, ossl::Deleter<ASN1_STRING_free>>;
  const ossl::CrlPtr crl(X509_CRL_new());
  X509* issuer = signer.certificate.handle();
  const TimePtr this_update(ASN1_TIME_set(nullptr, static_cast<time_t>(this_update_s)));
  const TimePtr next_update(ASN1_TIME_set(nullptr, static_cast<time_t>(next_update_s)));
  if (!crl || !this_update || !next_update || X509_CRL_set_version(crl.get(), 1) != 1 ||
      X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer)) != 1 ||
      X509_CRL_set1_lastUpdate(crl.get(), this_update.get()) != 1 ||
      X509_CRL_set1_nextUpdate(crl.get(), next_update.get()) != 1)
    return ossl::failed("CRL");
  for (const auto& record : revoked) COHORT_CHECK(add_entry(crl.get(), record));
  COHORT_CHECK(add_crl_extensions(crl.get(), issuer, number));
  if (X509_CRL_sort(crl.get()) != 1 ||
      X509_CRL_sign(crl.get(), signer.key.handle(), ossl::digest_of(signer.hash)) <= 0)
    return ossl::failed("CRL");
  // Parsed again, so that its look-up tables are those of any other CRL.
  return Crl::from_der(ossl::der_of(crl.get(), i2d_X509_CRL));
}

std::vector<IssuedRecord> entries_of(const Crl& crl) {
  using ReasonPtr = std::unique_ptr<ASN1_ENUMERATED, ossl::Deleter<ASN1_ENUMERATED_free>>;
  std::vector<IssuedRecord> out;
  STACK_OF(X509_REVOKED)* entries = X509_CRL_get_REVOKED(crl.handle());
  const int count = entries == nullptr ? 0 : sk_X509_REVOKED_num(entries);
  for (int i = 0; i < count; ++i) {
    const X509_REVOKED* entry = sk_X509_REVOKED_value(entries, i);
    IssuedRecord record;
    record.serial = ossl::hex_of(X509_REVOKED_get0_serialNumber(entry));
    record.revoked_at = ossl::wall_time(X509_REVOKED_get0_revocationDate(entry));
    const ReasonPtr reason(static_cast<ASN1_ENUMERATED*>(
        X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, nullptr, nullptr)));
    const long value = reason ? ASN1_ENUMERATED_get(reason.get()) : 0;
    if (value == 1 || (value >= 3 && value <= 5))
      record.revocation_reason = static_cast<RevocationReason>(value);
    out.push_back(std::move(record));
  }
  return out;
}

namespace {

void free_safes(STACK_OF(PKCS7) * safes) {
  sk_PKCS7_pop_free(safes, PKCS7_free);
}
void free_bags(STACK_OF(PKCS12_SAFEBAG) * bags) {
  sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}
using Safes = std::unique_ptr<STACK_OF(PKCS7), ossl::Deleter<free_safes>>;
using Bags = std::unique_ptr<STACK_OF(PKCS12_SAFEBAG), ossl::Deleter<free_bags>>;

/// Puts a CRL beside what an archive holds; its MAC must be made anew then.
bool add_crl(PKCS12* archive, const Crl& crl) {
  Safes safes(PKCS12_unpack_authsafes(archive));
  Bags bags(sk_PKCS12_SAFEBAG_new_null());
  PKCS12_SAFEBAG* bag = PKCS12_SAFEBAG_create_crl(crl.handle());
  if (!safes || !bags || bag == nullptr) return false;
  if (sk_PKCS12_SAFEBAG_push(bags.get(), bag) <= 0) {
    PKCS12_SAFEBAG_free(bag);
    return false;
  }
  STACK_OF(PKCS7)* list = safes.get();
  return PKCS12_add_safe(&list, bags.get(), -1, 0, nullptr) == 1 &&
         PKCS12_pack_authsafes(archive, list) == 1;
}

/// The first CRL that lies in clear in an archive, whose MAC has been found right.
std::optional<Crl> find_crl(const PKCS12* archive) {
  const Safes safes(PKCS12_unpack_authsafes(archive));
  const int count = safes ? sk_PKCS7_num(safes.get()) : 0;
  for (int i = 0; i < count; ++i) {
    PKCS7* safe = sk_PKCS7_value(safes.get(), i);
    if (!PKCS7_type_is_data(safe)) continue;
    const Bags bags(PKCS12_unpack_p7data(safe));
    const int bag_count = bags ? sk_PKCS12_SAFEBAG_num(bags.get()) : 0;
    for (int k = 0; k < bag_count; ++k) {
      const PKCS12_SAFEBAG* bag = sk_PKCS12_SAFEBAG_value(bags.get(), k);
      if (PKCS12_SAFEBAG_get_nid(bag) != NID_crlBag) continue;
      const ossl::CrlPtr crl(PKCS12_SAFEBAG_get1_crl(bag));
      auto found = crl ? Crl::from_der(ossl::der_of(crl.get(), i2d_X509_CRL))
                       : Result<Crl>(fail(bad_pkcs12));
      if (found) return std::move(*found);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Bytes> make_pkcs12(const Pkcs12Contents& contents, const std::string& name,
                          const Secret& password) {
  std::string text = c_string(password);
  const ossl::Pkcs12Ptr made(PKCS12_create(text.c_str(), name.c_str(), contents.key.handle(),
                                           contents.certificate.handle(), nullptr, NID_aes_256_cbc,
                                           NID_aes_256_cbc, pkcs12_rounds, pkcs12_rounds, 0));
  const bool whole =
      made &&
      (!contents.crl || (add_crl(made.get(), *contents.crl) &&
                         PKCS12_set_mac(made.get(), text.c_str(), static_cast<int>(text.size()),
                                        nullptr, 0, pkcs12_rounds, EVP_sha256()) == 1));
  zeroize(text);
  if (!whole) return ossl::failed("PKCS #12");
  return ossl::der_of(made.get(), i2d_PKCS12);
}

Result<Pkcs12Contents> parse_pkcs12(ByteView der, const Secret& password) {
  const std::uint8_t* at = der.data();
  const ossl::Pkcs12Ptr parsed(d2i_PKCS12(nullptr, &at, static_cast<long>(der.size())));
  std::string text = c_string(password);
  EVP_PKEY* key = nullptr;
  X509* certificate = nullptr;
  const bool ok =
      parsed && PKCS12_parse(parsed.get(), text.c_str(), &key, &certificate, nullptr) == 1;
  zeroize(text);
  const ossl::KeyPtr key_owner(key);
  const ossl::X509Ptr certificate_owner(certificate);
  ERR_clear_error();
  if (!ok || key == nullptr || certificate == nullptr) return fail(bad_pkcs12);
  COHORT_TRY(Certificate shared, Certificate::share(certificate));
  auto crl = find_crl(parsed.get());
  if (crl && !crl->signed_by(shared)) crl.reset();
  ERR_clear_error();
  return Pkcs12Contents{crypto::PrivateKey::share(key), std::move(shared), std::move(crl)};
}

}  // namespace cohort::pki
