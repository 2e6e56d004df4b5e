#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pki/ca.hpp"
#include "pki/certificate.hpp"
#include "pki/options.hpp"
#include "pki/request.hpp"

/// What a CA signs. Pure functions: everything that goes into a certificate is an argument.
namespace cohort::pki {

struct CaSigner {
  const crypto::PrivateKey& key;
  const Certificate& certificate;
  crypto::Hash hash;
};

/// Common to all: serial (upper-case hex) and times in seconds since 1970.
struct IssueTimes {
  std::string serial;
  std::int64_t not_before_s = 0;
  std::int64_t not_after_s = 0;
};

/// A self-signed CA certificate: CA:TRUE, path length 0. With an RSA key also the key
/// usages that SCEP messages need.
[[nodiscard]] Result<Certificate> make_ca_certificate(const crypto::PrivateKey& key,
                                                      ByteView subject_der, crypto::Hash hash,
                                                      const IssueTimes& times);
/// The certificate for SCEP messages beside an ECDSA CA.
[[nodiscard]] Result<Certificate> make_message_certificate(const CaSigner& signer,
                                                           const crypto::PublicKey& key,
                                                           ByteView subject_der,
                                                           const IssueTimes& times);
/// An end certificate (CA:FALSE) for a request: its subject, key and alternative names, and
/// nothing else of what it asks for.
[[nodiscard]] Result<Certificate> make_certificate(const CaSigner& signer,
                                                   const CertificateRequest& request,
                                                   std::span<const ExtendedKeyUsage> eku,
                                                   std::string_view crl_url,
                                                   const IssueTimes& times);
/// Version 2 CRL.
[[nodiscard]] Result<Crl> make_crl(const CaSigner& signer, std::span<const IssuedRecord> revoked,
                                   std::int64_t number, std::int64_t this_update_s,
                                   std::int64_t next_update_s);

/// The entries of a CRL: serial, time and reason of each; all else of the records is empty.
[[nodiscard]] std::vector<IssuedRecord> entries_of(const Crl& crl);

struct Pkcs12Contents {
  crypto::PrivateKey key;
  Certificate certificate;
  std::optional<Crl> crl;  ///< what was revoked; archives that others made have none
};
/// PKCS #12 (RFC 7292) with AES-256-CBC and a SHA-256 MAC. The CRL lies in a bag of its own, in
/// clear like any CRL, under the MAC.
[[nodiscard]] Result<Bytes> make_pkcs12(const Pkcs12Contents& contents, const std::string& name,
                                        const Secret& password);
[[nodiscard]] Result<Pkcs12Contents> parse_pkcs12(ByteView der, const Secret& password);

}  // namespace cohort::pki
