#include <array>
#include <fmt/format.h>
#include <openssl/provider.h>

#include "pki/der.hpp"
#include "pki/openssl.hpp"
#include "pki/scep_message.hpp"

/// The enveloped half of ScepCodec, and the small structures that travel in it.
namespace cohort::pki {

namespace {

constexpr int password_rounds = 10000;  ///< PBKDF2 of a PasswordRecipientInfo

struct CipherId {
  ScepCipher cipher;
  int nid;
  bool weak;
};
constexpr std::array cipher_ids{CipherId{ScepCipher::aes_128, NID_aes_128_cbc, false},
                                CipherId{ScepCipher::aes_192, NID_aes_192_cbc, false},
                                CipherId{ScepCipher::aes_256, NID_aes_256_cbc, false},
                                CipherId{ScepCipher::triple_des, NID_des_ede3_cbc, true},
                                CipherId{ScepCipher::des, NID_des_cbc, true}};

const EVP_CIPHER* evp(ScepCipher cipher) {
  switch (cipher) {
    case ScepCipher::aes_128:
      return EVP_aes_128_cbc();
    case ScepCipher::aes_192:
      return EVP_aes_192_cbc();
    case ScepCipher::aes_256:
      return EVP_aes_256_cbc();
    case ScepCipher::triple_des:
      return EVP_des_ede3_cbc();
    case ScepCipher::des:
      return EVP_des_cbc();
  }
  return EVP_aes_128_cbc();
}

/// The content encryption algorithm of DER EnvelopedData:
/// ContentInfo { OID, [0] EnvelopedData { version, [0] originatorInfo OPTIONAL, recipientInfos SET,
///   EncryptedContentInfo { contentType OID, AlgorithmIdentifier { OID, … }, … }, … } }
std::optional<int> content_cipher_nid(ByteView der) {
  DerReader outer(der);
  const auto info = outer.next(der_sequence);
  if (!info) return std::nullopt;
  DerReader fields(info->contents);
  const auto type = fields.next(der_oid);
  const auto wrapped = fields.next(der_context_0);
  const auto enveloped = wrapped ? DerReader(wrapped->contents).next(der_sequence) : std::nullopt;
  if (!type || !enveloped) return std::nullopt;
  DerReader parts(enveloped->contents);
  if (!parts.next(der_integer)) return std::nullopt;
  auto recipients = parts.next();
  if (recipients && recipients->tag == der_context_0) recipients = parts.next();
  const auto content = parts.next(der_sequence);
  if (!recipients || recipients->tag != der_set || !content) return std::nullopt;
  DerReader encrypted(content->contents);
  const auto content_type = encrypted.next(der_oid);
  const auto algorithm = encrypted.next(der_sequence);
  const auto oid = algorithm ? DerReader(algorithm->contents).next(der_oid) : std::nullopt;
  if (!content_type || !oid) return std::nullopt;
  const std::uint8_t* at = oid->whole.data();
  const std::unique_ptr<ASN1_OBJECT, ossl::Deleter<ASN1_OBJECT_free>> object(
      d2i_ASN1_OBJECT(nullptr, &at, static_cast<long>(oid->whole.size())));
  return object ? std::optional(OBJ_obj2nid(object.get())) : std::nullopt;
}

bool has_recipient(CMS_ContentInfo* cms, int type) {
  STACK_OF(CMS_RecipientInfo)* recipients = CMS_get0_RecipientInfos(cms);
  for (int i = 0; i < sk_CMS_RecipientInfo_num(recipients); ++i)
    if (CMS_RecipientInfo_type(sk_CMS_RecipientInfo_value(recipients, i)) == type) return true;
  return false;
}

Result<Bytes> seal_for_password(ByteView data, const Secret& password, const EVP_CIPHER* cipher) {
  const ossl::Bio in = ossl::memory(data);
  const ossl::CmsPtr cms(CMS_encrypt(nullptr, nullptr, cipher, CMS_BINARY | CMS_PARTIAL));
  const ByteView octets = password.view();
  auto* copy = static_cast<std::uint8_t*>(OPENSSL_memdup(octets.data(), octets.size()));
  if (!cms || copy == nullptr ||
      CMS_add0_recipient_password(cms.get(), password_rounds, NID_undef, NID_undef, copy,
                                  static_cast<ossl_ssize_t>(octets.size()), nullptr) == nullptr) {
    OPENSSL_clear_free(copy, octets.size());
    return ossl::failed("EnvelopedData for a password");
  }
  if (!in || CMS_final(cms.get(), in.get(), nullptr, CMS_BINARY) != 1)
    return ossl::failed("EnvelopedData for a password");
  return ossl::der_of(cms.get(), i2d_CMS_ContentInfo);
}

}  // namespace

/// Single DES lives in OpenSSL's legacy provider; a library context of our own keeps it away from
/// everything else in the process.
struct ScepCodec::Weak {
  Weak() : context(OSSL_LIB_CTX_new()) {
    standard = OSSL_PROVIDER_load(context, "default");
    legacy = OSSL_PROVIDER_load(context, "legacy");
  }
  ~Weak() {
    OSSL_PROVIDER_unload(legacy);
    OSSL_PROVIDER_unload(standard);
    OSSL_LIB_CTX_free(context);
  }
  Weak(const Weak&) = delete;
  Weak& operator=(const Weak&) = delete;

  /// A copy of a key that belongs to this context.
  [[nodiscard]] ossl::KeyPtr adopt(EVP_PKEY* key) const {
    std::uint8_t* der = nullptr;
    const int length = i2d_PrivateKey(key, &der);
    if (length <= 0) return nullptr;
    const std::uint8_t* at = der;
    ossl::KeyPtr out(d2i_AutoPrivateKey_ex(nullptr, &at, length, context, nullptr));
    OPENSSL_clear_free(der, static_cast<std::size_t>(length));
    return out;
  }

  OSSL_LIB_CTX* context;
  OSSL_PROVIDER* standard;
  OSSL_PROVIDER* legacy;
};

ScepCodec::ScepCodec(bool allow_weak)
    : allow_weak_(allow_weak), weak_(allow_weak ? std::make_unique<Weak>() : nullptr) {}

ScepCodec::~ScepCodec() = default;

Result<Bytes> ScepCodec::seal(ByteView data, const ScepRecipient& recipient,
                              ScepCipher cipher) const {
  for (const auto& id : cipher_ids)
    if (id.cipher == cipher && id.weak && !allow_weak_) return fail(scep_weak_algorithm, "cipher");
  if (!recipient.certificate && recipient.password.empty())
    return fail(scep_bad_envelope, "nobody to encrypt to");
  const bool is_rsa =
      recipient.certificate && recipient.certificate->public_key().type() == crypto::KeyType::rsa;
  if (!is_rsa && !recipient.password.empty())
    return seal_for_password(data, recipient.password, evp(cipher));
  const ossl::Certificates to = ossl::stack_of(std::span(&*recipient.certificate, 1));
  const ossl::Bio in = ossl::memory(data);
  OSSL_LIB_CTX* context = cipher == ScepCipher::des ? weak_->context : nullptr;
  // To an ECDSA key without a password: ephemeral ECDH (RFC 5753), which OpenSSL chooses itself.
  const ossl::CmsPtr cms(
      CMS_encrypt_ex(to.get(), in.get(), evp(cipher), CMS_BINARY, context, nullptr));
  if (!cms) return ossl::failed("EnvelopedData");
  return ossl::der_of(cms.get(), i2d_CMS_ContentInfo);
}

Status ScepCodec::open(ScepMessage& message, const Certificate& certificate,
                       const crypto::PrivateKey& key, const Secret& password) const {
  if (message.envelope.empty()) return fail(scep_bad_envelope, "there is none");
  OSSL_LIB_CTX* context = weak_ ? weak_->context : nullptr;
  CMS_ContentInfo* made = CMS_ContentInfo_new_ex(context, nullptr);
  const std::uint8_t* at = message.envelope.data();
  const bool parsed =
      made != nullptr &&
      d2i_CMS_ContentInfo(&made, &at, static_cast<long>(message.envelope.size())) != nullptr;
  const ossl::CmsPtr cms(made);  // d2i frees and clears it when it fails
  ERR_clear_error();
  if (!parsed || at != message.envelope.data() + message.envelope.size() ||
      OBJ_obj2nid(CMS_get0_type(cms.get())) != NID_pkcs7_enveloped)
    return fail(scep_bad_envelope, "not EnvelopedData");
  // OpenSSL has read BER; its DER is what we look into.
  const auto nid = content_cipher_nid(ossl::der_of(cms.get(), i2d_CMS_ContentInfo));
  const auto* known = std::find_if(cipher_ids.begin(), cipher_ids.end(),
                                   [&](const CipherId& id) { return nid == id.nid; });
  if (known == cipher_ids.end()) return fail(scep_unknown_algorithm, "content encryption");
  if (known->weak && !allow_weak_) return fail(scep_weak_algorithm, "content encryption");
  message.cipher = known->cipher;

  const bool by_password = has_recipient(cms.get(), CMS_RECIPINFO_PASS) && !password.empty();
  const ossl::KeyPtr copy = weak_ ? weak_->adopt(key.handle()) : nullptr;
  EVP_PKEY* private_key = copy ? copy.get() : key.handle();
  auto* secret = const_cast<std::uint8_t*>(password.view().data());  // only read by OpenSSL
  const ossl::Bio out = ossl::memory();
  bool ok = !by_password || CMS_decrypt_set1_password(
                                cms.get(), secret, static_cast<ossl_ssize_t>(password.size())) == 1;
  ok = ok && CMS_decrypt(cms.get(), by_password ? nullptr : private_key,
                         by_password ? nullptr : certificate.handle(), nullptr, out.get(),
                         CMS_BINARY) == 1;
  ERR_clear_error();
  if (!ok) return fail(scep_bad_envelope);
  message.data = to_bytes(ossl::contents(out.get()));
  return {};
}

Bytes encode(const IssuerAndSubject& value) {
  Writer body;
  body.bytes(value.issuer_der).bytes(value.subject_der);
  std::uint8_t* out = nullptr;
  const auto length = static_cast<int>(body.size());
  Bytes der(static_cast<std::size_t>(ASN1_object_size(1, length, V_ASN1_SEQUENCE)));
  out = der.data();
  ASN1_put_object(&out, 1, length, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
  std::copy(body.view().begin(), body.view().end(), out);
  return der;
}

Result<Bytes> encode(const IssuerAndSerial& value) {
  COHORT_TRY(const auto serial, ossl::integer_of_hex(value.serial));
  // The same shape: a Name, then another value.
  return encode(IssuerAndSubject{value.issuer_der, ossl::der_of(serial.get(), i2d_ASN1_INTEGER)});
}

Result<IssuerAndSubject> parse_issuer_and_subject(ByteView der) {
  DerReader outer(der);
  const auto body = outer.next(der_sequence);
  if (!body || !outer.empty()) return fail(scep_bad_content, "IssuerAndSubject");
  DerReader fields(body->contents);
  const auto issuer = fields.next(der_sequence);
  const auto subject = fields.next(der_sequence);
  if (!issuer || !subject || !fields.empty()) return fail(scep_bad_content, "IssuerAndSubject");
  return IssuerAndSubject{to_bytes(issuer->whole), to_bytes(subject->whole)};
}

Result<IssuerAndSerial> parse_issuer_and_serial(ByteView der) {
  DerReader outer(der);
  const auto body = outer.next(der_sequence);
  if (!body || !outer.empty()) return fail(scep_bad_content, "IssuerAndSerialNumber");
  DerReader fields(body->contents);
  const auto issuer = fields.next(der_sequence);
  const auto serial = fields.next(der_integer);
  if (!issuer || !serial || !fields.empty() || serial->contents.size() > 32)
    return fail(scep_bad_content, "IssuerAndSerialNumber");
  const std::uint8_t* at = serial->whole.data();
  const ossl::IntegerPtr number(
      d2i_ASN1_INTEGER(nullptr, &at, static_cast<long>(serial->whole.size())));
  ERR_clear_error();
  if (!number) return fail(scep_bad_content, "serial number");
  return IssuerAndSerial{to_bytes(issuer->whole), ossl::hex_of(number.get())};
}

Result<Bytes> encode(const CertificateBag& bag) {
  const ossl::Certificates certificates = ossl::stack_of(bag.certificates);
  const ossl::CmsPtr cms(CMS_sign(nullptr, nullptr, certificates.get(), nullptr,
                                  CMS_BINARY | CMS_PARTIAL | CMS_DETACHED));
  if (!cms) return ossl::failed("certificate bag");
  for (const auto& crl : bag.crls)
    if (CMS_add1_crl(cms.get(), crl.handle()) != 1) return ossl::failed("certificate bag");
  return ossl::der_of(cms.get(), i2d_CMS_ContentInfo);
}

Result<CertificateBag> parse_certificate_bag(ByteView der) {
  constexpr int bag_max = 32;
  if (der.size() > crl_size_max) return fail(scep_too_large, "certificate bag");
  const std::uint8_t* at = der.data();
  const ossl::CmsPtr cms(d2i_CMS_ContentInfo(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!cms || OBJ_obj2nid(CMS_get0_type(cms.get())) != NID_pkcs7_signed)
    return fail(scep_bad_content, "not a certificate bag");
  const ossl::Certificates certificates(CMS_get1_certs(cms.get()));
  const ossl::Crls crls(CMS_get1_crls(cms.get()));
  const int certificate_count = certificates ? sk_X509_num(certificates.get()) : 0;
  const int crl_count = crls ? sk_X509_CRL_num(crls.get()) : 0;
  if (certificate_count > bag_max || crl_count > bag_max)
    return fail(scep_too_large, "certificate bag");
  CertificateBag out;
  // A chain may hold certificates of kinds that we do not know: they are left out.
  for (int i = 0; i < certificate_count; ++i)
    if (auto certificate = Certificate::share(sk_X509_value(certificates.get(), i)))
      out.certificates.push_back(std::move(*certificate));
  for (int i = 0; i < crl_count; ++i) {
    COHORT_TRY(Crl crl, Crl::share(sk_X509_CRL_value(crls.get(), i)));
    out.crls.push_back(std::move(crl));
  }
  return out;
}

Result<Certificate> self_signed(const crypto::PrivateKey& key, ByteView subject_der,
                                crypto::Hash hash, std::int64_t now_s) {
  constexpr std::int64_t before_s = 3600;
  constexpr std::int64_t after_s = 7 * 86400;
  const ossl::X509Ptr out(X509_new());
  const std::uint8_t* at = subject_der.data();
  const ossl::NamePtr name(d2i_X509_NAME(nullptr, &at, static_cast<long>(subject_der.size())));
  const Bytes id = crypto::digest(crypto::Hash::sha256, {key.public_key().spki()});
  COHORT_TRY(const auto serial, ossl::integer_of_hex("01" + to_hex(ByteView(id).first(15))));
  if (!out || !name || X509_set_version(out.get(), 2) != 1 ||
      X509_set_serialNumber(out.get(), serial.get()) != 1 ||
      X509_set_subject_name(out.get(), name.get()) != 1 ||
      X509_set_issuer_name(out.get(), name.get()) != 1 ||
      ASN1_TIME_set(X509_getm_notBefore(out.get()), static_cast<time_t>(now_s - before_s)) ==
          nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(out.get()), static_cast<time_t>(now_s + after_s)) ==
          nullptr ||
      X509_set_pubkey(out.get(), key.handle()) != 1)
    return ossl::failed("self-signed certificate");
  const char* usage = key.type() == crypto::KeyType::rsa
                          ? "critical,digitalSignature,keyEncipherment"
                          : "critical,digitalSignature,keyAgreement";
  const ossl::ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, nullptr, NID_key_usage, usage));
  if (!extension || X509_add_ext(out.get(), extension.get(), -1) != 1 ||
      X509_sign(out.get(), key.handle(), ossl::digest_of(hash)) <= 0)
    return ossl::failed("self-signed certificate");
  return Certificate::share(out.get());
}

}  // namespace cohort::pki
