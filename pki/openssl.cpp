#include "pki/openssl.hpp"

#include <array>
#include <fmt/format.h>

#include "pki/request.hpp"

namespace cohort::pki::ossl {

std::string take_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no detail";
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? fmt::format("error {:x}", code) : std::string(reason);
}

tl::unexpected<Error> failed(std::string_view what) {
  return fail(openssl_failed, fmt::format("{}: {}", what, take_error()));
}

const EVP_MD* digest_of(crypto::Hash hash) {
  switch (hash) {
    case crypto::Hash::md5:
      return EVP_md5();
    case crypto::Hash::sha1:
      return EVP_sha1();
    case crypto::Hash::sha256:
      return EVP_sha256();
    case crypto::Hash::sha384:
      return EVP_sha384();
    case crypto::Hash::sha512:
      return EVP_sha512();
  }
  return EVP_sha256();
}

WallTime wall_time(const ASN1_TIME* time) {
  const std::unique_ptr<ASN1_TIME, Deleter<ASN1_STRING_free>> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int seconds = 0;
  if (time == nullptr || !epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) {
    ERR_clear_error();
    return WallTime{};
  }
  return WallTime{std::chrono::seconds{std::int64_t{days} * 86400 + seconds}};
}

std::string hex_of(const ASN1_INTEGER* number) {
  const Bn value(ASN1_INTEGER_to_BN(number, nullptr));
  if (!value) return {};
  char* text = BN_bn2hex(value.get());
  if (text == nullptr) return {};
  std::string out(text);
  OPENSSL_free(text);
  return out == "0" ? "00" : out;
}

Result<IntegerPtr> integer_of_hex(std::string_view hex) {
  const std::string text(hex);
  BIGNUM* raw = nullptr;
  if (text.empty() || text.size() > 80 ||
      BN_hex2bn(&raw, text.c_str()) != static_cast<int>(text.size())) {
    BN_free(raw);
    return fail(bad_hex, "serial number");
  }
  const Bn value(raw);
  IntegerPtr out(BN_to_ASN1_INTEGER(value.get(), nullptr));
  if (!out) return failed("serial number");
  return out;
}

std::string utf8(const ASN1_STRING* text) {
  std::uint8_t* data = nullptr;
  const int length = text == nullptr ? -1 : ASN1_STRING_to_UTF8(&data, text);
  if (length < 0) {
    ERR_clear_error();
    return {};
  }
  std::string out(reinterpret_cast<const char*>(data), static_cast<std::size_t>(length));
  OPENSSL_free(data);
  for (char& c : out) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7f) c = '?';  // never into a log or a terminal
  }
  return out;
}

AlternativeNames alternative_names(const GENERAL_NAMES* names) {
  AlternativeNames out;
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names);
  for (int i = 0; i < count; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(name, &type);
    const auto* text = static_cast<const ASN1_STRING*>(value);
    if (type == GEN_DNS && out.dns.size() < san_max) out.dns.push_back(utf8(text));
    if (type == GEN_EMAIL && out.email.size() < san_max) out.email.push_back(utf8(text));
    if (type == GEN_IPADD && out.addresses.size() < san_max) {
      if (auto address = IpAddress::from_bytes(view(text))) out.addresses.push_back(*address);
    }
  }
  return out;
}

namespace {

bool add_name(GENERAL_NAMES* names, int type, ASN1_STRING* value, ByteView octets) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  if (name == nullptr || value == nullptr ||
      ASN1_STRING_set(value, octets.data(), static_cast<int>(octets.size())) != 1) {
    GENERAL_NAME_free(name);
    ASN1_STRING_free(value);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, value);
  if (sk_GENERAL_NAME_push(names, name) > 0) return true;
  GENERAL_NAME_free(name);
  return false;
}

}  // namespace

Result<ExtensionPtr> alternative_names_extension(const AlternativeNames& names) {
  if (names.dns.empty() && names.email.empty() && names.addresses.empty()) return ExtensionPtr{};
  const std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>> list(GENERAL_NAMES_new());
  bool ok = list != nullptr;
  for (const auto& dns : names.dns)
    ok = ok && add_name(list.get(), GEN_DNS, ASN1_IA5STRING_new(), as_bytes(dns));
  for (const auto& email : names.email)
    ok = ok && add_name(list.get(), GEN_EMAIL, ASN1_IA5STRING_new(), as_bytes(email));
  for (const auto& address : names.addresses)
    ok = ok && add_name(list.get(), GEN_IPADD, ASN1_OCTET_STRING_new(), address.bytes());
  ExtensionPtr out(ok ? X509V3_EXT_i2d(NID_subject_alt_name, 0, list.get()) : nullptr);
  if (!out) return failed("subjectAltName");
  return out;
}

Result<ExtensionPtr> distribution_point_extension(std::string_view uri) {
  const std::unique_ptr<CRL_DIST_POINTS, Deleter<CRL_DIST_POINTS_free>> list(CRL_DIST_POINTS_new());
  std::unique_ptr<DIST_POINT, Deleter<DIST_POINT_free>> point(DIST_POINT_new());
  if (!list || !point) return failed("cRLDistributionPoints");
  point->distpoint = DIST_POINT_NAME_new();
  if (point->distpoint == nullptr) return failed("cRLDistributionPoints");
  point->distpoint->type = 0;  // fullName
  point->distpoint->name.fullname = GENERAL_NAMES_new();
  const bool named =
      point->distpoint->name.fullname != nullptr &&
      add_name(point->distpoint->name.fullname, GEN_URI, ASN1_IA5STRING_new(), as_bytes(uri));
  if (!named || sk_DIST_POINT_push(list.get(), point.get()) <= 0)
    return failed("cRLDistributionPoints");
  (void)point.release();  // the list has it now
  ExtensionPtr out(X509V3_EXT_i2d(NID_crl_distribution_points, 0, list.get()));
  if (!out) return failed("cRLDistributionPoints");
  return out;
}

Certificates stack_of(std::span<const Certificate> certificates) {
  Certificates out(sk_X509_new_null());
  for (const auto& certificate : certificates) {
    X509_up_ref(certificate.handle());
    sk_X509_push(out.get(), certificate.handle());
  }
  return out;
}

}  // namespace cohort::pki::ossl
