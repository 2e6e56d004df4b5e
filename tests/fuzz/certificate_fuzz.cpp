// Certificates, requests, lists and bags of them from outside: whatever is accepted must be
// printable and survive a round trip.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "pki/certificate.hpp"
#include "pki/distinguished_name.hpp"
#include "pki/request.hpp"
#include "pki/scep_message.hpp"
#include "pki/trust.hpp"

using namespace cohort;
using namespace cohort::pki;

namespace {

void require(bool held) {
  if (!held) std::abort();
}

void take_certificate(const Certificate& certificate) {
  const CertificateInfo info = certificate.describe();
  // Negative ones are wrong but seen.
  require((info.serial.size() - (info.serial.starts_with('-') ? 1u : 0u)) % 2 == 0);
  (void)identity_of(certificate);
  const auto again = Certificate::from_der(certificate.der());
  require(again && *again == certificate);
  // It vouches for nobody, itself included, unless it is the anchor; and nothing crashes.
  const Trust trust{
      {certificate}, {}, {}, RevocationCheck::crl_then_none, {ExtendedKeyUsage::ipsec_ike}, true};
  (void)trust.verify(std::vector<Bytes>{certificate.der()}, certificate.not_before());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input{data, size};
  if (const auto certificate = Certificate::from_der(input)) take_certificate(*certificate);
  if (const auto request = CertificateRequest::from_der(input)) {
    (void)request->subject();
    (void)request->challenge_password();
    (void)request->san_addresses();
    require(CertificateRequest::from_der(request->der()).has_value());
  }
  if (const auto list = Crl::from_der(input)) {
    (void)list->issuer();
    (void)list->next_update();
    (void)list->size();
  }
  if (const auto bag = parse_certificate_bag(input))
    for (const auto& certificate : bag->certificates) take_certificate(certificate);
  (void)parse_issuer_and_serial(input);
  (void)parse_issuer_and_subject(input);
  if (const auto text = name_text(input)) (void)name_key(input);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)Certificate::list_from_pem(text);
  if (const auto der = name_der_of_text(text)) {
    // A name that we accept prints as a name that we accept, and the same.
    const auto printed = name_text(*der);
    require(printed.has_value());
    (void)name_der_of_text(*printed);
  }
  return 0;
}
