// Key pairs, trustpoints and the certificate authority.
#include <array>

#include "config/sections.hpp"

namespace cohort::config {
namespace {

constexpr auto key_pair_fields = std::to_array<FieldSpec>({
    {"type", "rsa, ecdsa-p256, ecdsa-p384 or ecdsa-p521", "rsa", "kind of the key pair"},
    {"modulus", "2048..8192 (weak: 1024..2047)", "3072", "RSA only: bits, in steps of one"},
    {"exportable", "true or false", "false",
     "lets `cohort crypto key export` hand out the private key"},
    {"source", "generate or import", "generate",
     "generate: made at start if it is not there; import: never made here, what needs it waits for "
     "`cohort crypto key import`, as a second key server's rekey signing key"},
});

constexpr auto trustpoint_fields = std::to_array<FieldSpec>({
    {"key", "label of a key pair", "required", "the key pair that our certificate is for"},
    {"enrollment_url", "URL", "",
     "of the authority's SCEP service, as http://10.191.61.120:80; without it certificates are "
     "imported"},
    {"subject_name", "distinguished name", "", "of our certificate, as OU=GETVPN_GM"},
    {"include_hostname", "true or false", "true",
     "put the hostname into the subject and the alternative name"},
    {"serial_number", "text", "", "put this serial number into the subject"},
    {"ip_address", "address", "", "put this address into the subject and the alternative name"},
    {"ca_fingerprint_sha256", "64 hexadecimal digits", "",
     "accept the authority's certificate by this fingerprint alone; without it an operator says "
     "yes "
     "to `cohort crypto pki authenticate`"},
    {"ca_identifier", "text", "", "names one of several authorities at the URL"},
    {"challenge_password", "secret", "", "sent with the request"},
    {"revocation_check", "none, crl or crl-then-none", "crl",
     "none: do not look; crl: refuse without a valid list; crl-then-none: go on without one"},
    {"peer_extended_key_usage", "list of usages",
     "ipsec-ike, server-auth, client-auth, ike-intermediate",
     "a peer's certificate that has the extension must have one of these; an empty list checks "
     "nothing"},
    {"auto_enroll_percent", "0..95", "70",
     "renew when this share of the certificate's lifetime is over; 0 is never"},
    {"regenerate_key", "true or false", "false", "a new key pair at each renewal"},
    {"http_timeout", "duration", "30s", "for one exchange with the authority"},
    {"poll_interval", "duration", "60s", "between polls while a request is pending; doubles"},
    {"poll_interval_max", "duration", "1h", "up to this"},
    {"poll_max", "1..100000", "1000", "polls before the request is made anew"},
    {"retry_interval", "duration", "10s", "wait after a failure; doubles"},
    {"retry_interval_max", "duration", "10m", "up to this"},
    {"crl_refresh_max", "duration", "24h", "fetch revocation lists at least this often"},
});

constexpr auto certificate_authority_fields = std::to_array<FieldSpec>({
    {"name", "name", "ca-server", "of the authority, for the operator"},
    {"listen", "endpoint", "0.0.0.0:80", "where SCEP is served over HTTP"},
    {"issuer_name", "distinguished name", "", "of the authority; without it CN=NAME"},
    {"grant", "auto or manual", "manual",
     "auto: requests are granted at once; manual: an operator grants them with `cohort pki server "
     "grant`"},
    {"challenge_passwords", "list of secrets", "",
     "a request must hold one of these; without the key requests need none"},
    {"duplicate_subject", "grant, pend or refuse", "pend",
     "what `grant: auto` does with a request for the subject or an alternative name of a valid "
     "certificate by another key"},
    {"key_type", "rsa, ecdsa-p256, ecdsa-p384 or ecdsa-p521", "rsa", "the authority's key pair"},
    {"modulus", "2048..8192 (weak: 1024..2047)", "3072", "RSA only: bits"},
    {"hash", "sha256, sha384 or sha512", "sha256", "of every signature"},
    {"lifetime_ca_certificate", "duration", "7300d", "of the authority's own certificate"},
    {"lifetime_certificate", "duration", "1825d", "of the certificates it issues"},
    {"lifetime_crl", "duration", "7d", "of its revocation lists"},
    {"extended_key_usage", "list of usages", "server-auth, client-auth",
     "in the certificates it issues: server-auth, client-auth, ipsec-ike, ike-intermediate, any"},
    {"crl_url", "URL", "",
     "written into certificates as the place of the revocation list; this daemon serves it at "
     "every "
     "path that ends in .crl"},
    {"archive_password", "secret", "",
     "with it an encrypted PKCS#12 backup of the authority's key is kept in the state directory"},
    {"pending_max", "1..100000", "1000", "requests that wait for the operator"},
    {"certificates_max", "1..10000000", "200000", "certificates issued and not expired"},
    {"requests_per_second", "1..100000", "50",
     "SCEP messages and revocation lists served; more are answered with HTTP 503"},
    {"requests_per_second_per_source", "1..100000", "5",
     "the same for one IPv4 address or IPv6 /64; more are answered with HTTP 429"},
});

constexpr auto pre_shared_key_fields = std::to_array<FieldSpec>({
    {"peer", "prefix", "required", "addresses of the peers that share it"},
    {"key", "secret", "required", "the pre-shared key, 8 octets at least"},
});

}  // namespace

namespace sections {

const SectionSpec key_pair{"Key pair", "/keys/LABEL", "a labelled key pair", key_pair_fields};
const SectionSpec trustpoint{"Trustpoint", "/trustpoints/NAME",
                             "an authority that we trust and enrol with (SCEP, RFC 8894)",
                             trustpoint_fields};
const SectionSpec certificate_authority{"Certificate authority", "/certificate_authority",
                                        "a certificate authority with a SCEP service (RFC 8894)",
                                        certificate_authority_fields};
const SectionSpec pre_shared_key{"Pre-shared key", "/pre_shared_keys/N",
                                 "for the policies with `pre-share`", pre_shared_key_fields};

}  // namespace sections
}  // namespace cohort::config
