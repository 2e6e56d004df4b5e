#include "pki/scep_message.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

#include "pki/openssl.hpp"

namespace cohort::pki {

namespace {

/// RFC 8894 section 3.2.1; the octets of the OIDs follow 2.16.840.1.113733.1.9.
constexpr const char* oid_message_type = "2.16.840.1.113733.1.9.2";
constexpr const char* oid_pki_status = "2.16.840.1.113733.1.9.3";
constexpr const char* oid_fail_info = "2.16.840.1.113733.1.9.4";
constexpr const char* oid_sender_nonce = "2.16.840.1.113733.1.9.5";
constexpr const char* oid_recipient_nonce = "2.16.840.1.113733.1.9.6";
constexpr const char* oid_transaction_id = "2.16.840.1.113733.1.9.7";
constexpr const char* oid_fail_text = "1.3.6.1.5.5.7.24.1";

constexpr std::size_t fail_text_max = 512;
constexpr int message_certificates_max = 16;

using Object = std::unique_ptr<ASN1_OBJECT, ossl::Deleter<ASN1_OBJECT_free>>;

Status add_attribute(CMS_SignerInfo* signer, const char* oid, int type, ByteView value) {
  const Object object(OBJ_txt2obj(oid, 1));
  if (!object || CMS_signed_add1_attr_by_OBJ(signer, object.get(), type, value.data(),
                                             static_cast<int>(value.size())) != 1)
    return ossl::failed("signed attribute");
  return {};
}

Status add_attributes(CMS_SignerInfo* signer, const ScepMessage& message) {
  const auto text = [&](const char* oid, std::string_view value) {
    return add_attribute(signer, oid, V_ASN1_PRINTABLESTRING, as_bytes(value));
  };
  const auto number = [&](const char* oid, auto value) {
    return text(oid, std::to_string(static_cast<unsigned>(value)));
  };
  COHORT_CHECK(number(oid_message_type, message.type));
  COHORT_CHECK(text(oid_transaction_id, message.transaction_id));
  COHORT_CHECK(add_attribute(signer, oid_sender_nonce, V_ASN1_OCTET_STRING, message.sender_nonce));
  if (message.recipient_nonce)
    COHORT_CHECK(
        add_attribute(signer, oid_recipient_nonce, V_ASN1_OCTET_STRING, *message.recipient_nonce));
  if (message.status) COHORT_CHECK(number(oid_pki_status, *message.status));
  if (message.fail_info) COHORT_CHECK(number(oid_fail_info, *message.fail_info));
  if (message.fail_text.empty()) return {};
  const ByteView sentence = as_bytes(message.fail_text);
  return add_attribute(signer, oid_fail_text, V_ASN1_UTF8STRING,
                       sentence.first(std::min(sentence.size(), fail_text_max)));
}

/// The one value of a signed attribute; empty when the attribute is absent.
Result<std::optional<Bytes>> attribute(CMS_SignerInfo* signer, const char* oid, bool octets) {
  const Object object(OBJ_txt2obj(oid, 1));
  const int at = CMS_signed_get_attr_by_OBJ(signer, object.get(), -1);
  if (at < 0) return std::nullopt;
  if (CMS_signed_get_attr_by_OBJ(signer, object.get(), at) >= 0)
    return fail(scep_bad_attribute, fmt::format("{} is there twice", oid));
  X509_ATTRIBUTE* found = CMS_signed_get_attr(signer, at);
  const ASN1_TYPE* value = X509_ATTRIBUTE_get0_type(found, 0);
  if (value == nullptr || X509_ATTRIBUTE_count(found) != 1)
    return fail(scep_bad_attribute, fmt::format("{} has not one value", oid));
  const bool fits = octets
                        ? value->type == V_ASN1_OCTET_STRING
                        : value->type == V_ASN1_PRINTABLESTRING ||
                              value->type == V_ASN1_UTF8STRING || value->type == V_ASN1_IA5STRING;
  if (!fits) return fail(scep_bad_attribute, fmt::format("{} is of type {}", oid, value->type));
  return to_bytes(ossl::view(value->value.asn1_string));
}

/// A small number as decimal text, as messageType, pkiStatus and failInfo are.
Result<std::optional<unsigned>> number(CMS_SignerInfo* signer, const char* oid) {
  COHORT_TRY(const auto octets, attribute(signer, oid, false));
  if (!octets) return std::nullopt;
  unsigned value = 0;
  const bool digits = !octets->empty() && octets->size() <= 3 &&
                      std::all_of(octets->begin(), octets->end(),
                                  [](std::uint8_t c) { return c >= '0' && c <= '9'; });
  if (!digits) return fail(scep_bad_attribute, fmt::format("{} is no number", oid));
  for (const std::uint8_t c : *octets) value = value * 10 + (c - unsigned{'0'});
  return value;
}

Result<std::optional<ScepNonce>> nonce(CMS_SignerInfo* signer, const char* oid) {
  COHORT_TRY(const auto octets, attribute(signer, oid, true));
  if (!octets) return std::nullopt;
  ScepNonce out{};
  if (octets->size() != out.size())
    return fail(scep_bad_attribute, fmt::format("a nonce of {} octets", octets->size()));
  std::copy(octets->begin(), octets->end(), out.begin());
  return out;
}

Status read_type(CMS_SignerInfo* signer, ScepMessage& message) {
  COHORT_TRY(const auto type, number(signer, oid_message_type));
  if (!type) return fail(scep_bad_attribute, "no messageType");
  for (const auto known : {ScepType::cert_rep, ScepType::renewal_req, ScepType::pkcs_req,
                           ScepType::cert_poll, ScepType::get_cert, ScepType::get_crl}) {
    if (*type != static_cast<unsigned>(known)) continue;
    message.type = known;
    return {};
  }
  return fail(scep_wrong_type, fmt::format("messageType {}", *type));
}

/// pkiStatus, failInfo and the nonce of an answer (RFC 8894 section 3.3.2).
Status read_answer(CMS_SignerInfo* signer, ScepMessage& message) {
  COHORT_TRY(message.recipient_nonce, nonce(signer, oid_recipient_nonce));
  if (message.type != ScepType::cert_rep) return {};
  COHORT_TRY(const auto status, number(signer, oid_pki_status));
  if (!status || (*status != 0 && *status != 2 && *status != 3))
    return fail(scep_bad_attribute, "pkiStatus");
  message.status = static_cast<PkiStatus>(*status);
  if (message.status != PkiStatus::failure) return {};
  COHORT_TRY(const auto info, number(signer, oid_fail_info));
  if (!info || *info > 4) return fail(scep_bad_attribute, "failInfo");
  message.fail_info = static_cast<FailInfo>(*info);
  COHORT_TRY(const auto text, attribute(signer, oid_fail_text, false));
  if (!text) return {};
  const std::size_t length = std::min(text->size(), fail_text_max);
  for (const std::uint8_t c : ByteView(*text).first(length))
    message.fail_text.push_back(c < 0x20 || c == 0x7f ? '?' : static_cast<char>(c));
  return {};
}

Status read_attributes(CMS_SignerInfo* signer, ScepMessage& message) {
  COHORT_CHECK(read_type(signer, message));
  COHORT_TRY(const auto id, attribute(signer, oid_transaction_id, false));
  if (!id || id->empty() || id->size() > transaction_id_max ||
      !std::all_of(id->begin(), id->end(), [](std::uint8_t c) { return c >= 0x20 && c < 0x7f; }))
    return fail(scep_bad_attribute, "transactionID");
  message.transaction_id.assign(id->begin(), id->end());
  COHORT_TRY(const auto sender_nonce, nonce(signer, oid_sender_nonce));
  // Some servers leave it out of answers, where it says nothing.
  if (!sender_nonce && message.type != ScepType::cert_rep)
    return fail(scep_bad_attribute, "no senderNonce");
  if (sender_nonce) message.sender_nonce = *sender_nonce;
  return read_answer(signer, message);
}

Status read_hash(CMS_SignerInfo* signer, bool allow_weak, ScepMessage& message) {
  X509_ALGOR* algorithm = nullptr;
  CMS_SignerInfo_get0_algs(signer, nullptr, nullptr, &algorithm, nullptr);
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  struct Known {
    int nid;
    crypto::Hash hash;
    bool weak;
  };
  static constexpr std::array known{Known{NID_sha256, crypto::Hash::sha256, false},
                                    Known{NID_sha384, crypto::Hash::sha384, false},
                                    Known{NID_sha512, crypto::Hash::sha512, false},
                                    Known{NID_sha1, crypto::Hash::sha1, true},
                                    Known{NID_md5, crypto::Hash::md5, true}};
  for (const auto& each : known) {
    if (OBJ_obj2nid(object) != each.nid) continue;
    if (each.weak && !allow_weak)
      return fail(scep_weak_algorithm, std::string(crypto::name_of(each.hash)));
    message.hash = each.hash;
    return {};
  }
  return fail(scep_unknown_algorithm, "digest");
}

Status read_certificates(CMS_ContentInfo* cms, ScepMessage& message) {
  const ossl::Certificates stack(CMS_get1_certs(cms));
  const int count = stack ? sk_X509_num(stack.get()) : 0;
  if (count > message_certificates_max)
    return fail(scep_too_large, fmt::format("{} certificates", count));
  // What is of a kind that we do not know can't have signed for us and is left out.
  for (int i = 0; i < count; ++i)
    if (auto certificate = Certificate::share(sk_X509_value(stack.get(), i)))
      message.certificates.push_back(std::move(*certificate));
  return {};
}

}  // namespace

std::string_view name_of(ScepType type) {
  switch (type) {
    case ScepType::cert_rep:
      return "CertRep";
    case ScepType::renewal_req:
      return "RenewalReq";
    case ScepType::pkcs_req:
      return "PKCSReq";
    case ScepType::cert_poll:
      return "CertPoll";
    case ScepType::get_cert:
      return "GetCert";
    case ScepType::get_crl:
      return "GetCRL";
  }
  return "unknown";
}

std::string_view sentence_of(FailInfo info) {
  switch (info) {
    case FailInfo::bad_alg:
      return "the CA does not know or support an algorithm of the request (badAlg)";
    case FailInfo::bad_message_check:
      return "the CA could not verify the request's signature (badMessageCheck)";
    case FailInfo::bad_request:
      return "the CA does not permit or support the request (badRequest)";
    case FailInfo::bad_time:
      return "the request's signing time is too far from the CA's clock (badTime)";
    case FailInfo::bad_cert_id:
      return "the CA knows no certificate that fits the request (badCertId)";
  }
  return "unknown";
}

Result<Bytes> ScepCodec::sign(const ScepMessage& message, const Certificate& signer,
                              const crypto::PrivateKey& key,
                              std::span<const Certificate> extra) const {
  // Without an envelope there is no content at all (RFC 8894 sections 3.3.2.2 and 3.3.2.3).
  const unsigned flags =
      CMS_BINARY | CMS_PARTIAL | (message.envelope.empty() ? unsigned{CMS_DETACHED} : 0u);
  const ossl::Certificates certificates = ossl::stack_of(extra);
  const ossl::CmsPtr cms(CMS_sign(nullptr, nullptr, certificates.get(), nullptr, flags));
  if (!cms) return ossl::failed("SignedData");
  // For RSA, OpenSSL writes rsaEncryption as signature algorithm: the only one that all read.
  CMS_SignerInfo* info =
      CMS_add1_signer(cms.get(), signer.handle(), key.handle(), ossl::digest_of(message.hash),
                      CMS_BINARY | CMS_PARTIAL | CMS_NOSMIMECAP);
  if (info == nullptr) return ossl::failed("SignerInfo");
  COHORT_CHECK(add_attributes(info, message));
  const ossl::Bio content = ossl::memory(message.envelope);
  if (!content || CMS_final(cms.get(), content.get(), nullptr, flags & ~unsigned{CMS_PARTIAL}) != 1)
    return ossl::failed("SignedData");
  return ossl::der_of(cms.get(), i2d_CMS_ContentInfo);
}

Result<ScepMessage> ScepCodec::parse(ByteView der, std::span<const Certificate> trusted) const {
  if (der.size() > scep_message_size_max)
    return fail(scep_too_large, fmt::format("{} octets", der.size()));
  const std::uint8_t* at = der.data();
  const ossl::CmsPtr cms(d2i_CMS_ContentInfo(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (!cms || at != der.data() + der.size() ||
      OBJ_obj2nid(CMS_get0_type(cms.get())) != NID_pkcs7_signed ||
      OBJ_obj2nid(CMS_get0_eContentType(cms.get())) != NID_pkcs7_data)
    return fail(scep_not_cms);
  STACK_OF(CMS_SignerInfo)* signers = CMS_get0_SignerInfos(cms.get());
  if (sk_CMS_SignerInfo_num(signers) != 1)
    return fail(scep_not_cms, fmt::format("{} signatures", sk_CMS_SignerInfo_num(signers)));
  CMS_SignerInfo* signer = sk_CMS_SignerInfo_value(signers, 0);
  ScepMessage message;
  COHORT_CHECK(read_hash(signer, allow_weak_, message));
  COHORT_CHECK(read_certificates(cms.get(), message));

  ASN1_OCTET_STRING** content = CMS_get0_content(cms.get());
  const bool detached = content == nullptr || *content == nullptr;
  const ossl::Bio nothing = detached ? ossl::memory(ByteView{}) : nullptr;
  const ossl::Bio out = ossl::memory();
  const ossl::Certificates known = trusted.empty() ? nullptr : ossl::stack_of(trusted);
  // Who may sign is decided by `trusted` or by the caller, not by a chain to some store.
  const unsigned flags =
      CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY | (trusted.empty() ? 0u : unsigned{CMS_NOINTERN});
  const bool verified =
      CMS_verify(cms.get(), known.get(), nullptr, nothing.get(), out.get(), flags) == 1;
  const std::string why = verified ? std::string() : ossl::take_error();
  ERR_clear_error();
  if (!verified) return fail(scep_bad_signature, why);
  const ossl::BorrowedCertificates found(CMS_get0_signers(cms.get()));
  if (!found || sk_X509_num(found.get()) != 1) return fail(scep_bad_signature, "no signer");
  COHORT_TRY(message.signer, Certificate::share(sk_X509_value(found.get(), 0)));
  COHORT_CHECK(read_attributes(signer, message));
  message.envelope = to_bytes(ossl::contents(out.get()));
  return message;
}

}  // namespace cohort::pki
