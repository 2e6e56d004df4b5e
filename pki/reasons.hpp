#pragma once

#include "controlplane/base/result.hpp"

/// Why pki/ refuses or fails; each object is one named reason.
namespace cohort::pki {

// Certificates, names and keys
inline constexpr Reason bad_certificate{"bad_certificate",
                                        "the octets are not one X.509 certificate"};
inline constexpr Reason bad_crl{"bad_crl", "the octets are not a certificate revocation list"};
inline constexpr Reason bad_name{
    "bad_name", "the text is not a distinguished name such as \"CN=gm1, OU=GETVPN_GM\""};
inline constexpr Reason bad_request_pkcs10{"bad_request_pkcs10",
                                           "the octets are not a PKCS #10 certificate request"};
inline constexpr Reason request_signature_bad{
    "request_signature_bad", "the certificate request is not signed with the key that it names"};
inline constexpr Reason bad_key_label{"bad_key_label",
                                      "a label is 1 to 64 letters, digits, '.', '-' or '_'"};
inline constexpr Reason bad_key_size{"bad_key_size",
                                     "an RSA key has 2048 to 8192 bits (1024 or more with "
                                     "\"allow_weak\": true in the configuration), "
                                     "an ECDSA key is on P-256, P-384 or P-521"};
inline constexpr Reason key_pair_exists{
    "key_pair_exists", "a key pair with this label exists already; remove it first"};
inline constexpr Reason key_pair_missing{"key_pair_missing",
                                         "there is no key pair with this label"};
inline constexpr Reason key_pair_damaged{
    "key_pair_damaged",
    "the stored key pair can't be read; remove it and generate or import it anew"};
inline constexpr Reason key_not_exportable{
    "key_not_exportable",
    "the key pair was generated as non-exportable; generate one with exportable set to export it"};
inline constexpr Reason passphrase_missing{
    "passphrase_missing", "a private key leaves only encrypted: give a passphrase of 8 or more"};
inline constexpr Reason bad_pem_key{
    "bad_pem_key", "the PEM text holds no private key of a known kind, or the passphrase is wrong"};
inline constexpr Reason bad_pkcs12{"bad_pkcs12",
                                   "the octets are no PKCS #12 file, or the password is wrong"};
inline constexpr Reason openssl_failed{"openssl_failed", "the cryptographic library refused"};

// Trust
inline constexpr Reason chain_empty{"chain_empty", "the peer sent no certificate"};
inline constexpr Reason chain_too_long{"chain_too_long",
                                       "the peer sent more certificates than allowed"};
inline constexpr Reason unknown_trustpoint{"unknown_trustpoint",
                                           "no trustpoint of this name is configured"};
inline constexpr Reason not_authenticated{
    "not_authenticated", "the trustpoint has no CA certificate yet; authenticate it first"};
inline constexpr Reason unknown_ca{"unknown_ca",
                                   "the certificate does not lead to a CA of the trustpoint; its "
                                   "holder must enrol with that CA, and "
                                   "send or import the intermediates between"};
inline constexpr Reason certificate_expired{
    "certificate_expired",
    "the certificate has expired; its holder must renew it, or a clock is wrong"};
inline constexpr Reason certificate_not_yet_valid{
    "certificate_not_yet_valid", "the certificate is not valid yet; check the clocks"};
inline constexpr Reason certificate_revoked{
    "certificate_revoked",
    "the certificate is on the revocation list of its issuer; its holder needs another one"};
inline constexpr Reason certificate_signature_bad{
    "certificate_signature_bad", "a signature in the certificate chain does not verify"};
inline constexpr Reason certificate_weak{
    "certificate_weak", "the certificate has a weak key or signature; only allow_weak admits it"};
inline constexpr Reason crl_missing{"crl_missing",
                                    "revocation_check is crl and there is no valid list of the "
                                    "certificate's issuer; `cohort crypto "
                                    "pki crl` fetches one, crl-then-none goes on without"};
inline constexpr Reason wrong_key_usage{
    "wrong_key_usage",
    "the certificate's key usage does not allow signatures; the CA must issue one with "
    "digitalSignature"};
inline constexpr Reason wrong_extended_key_usage{
    "wrong_extended_key_usage",
    "the certificate's extended key usage is for something else; the CA must issue one with a "
    "usage "
    "of peer_extended_key_usage, or add to that list"};
inline constexpr Reason not_a_ca{"not_a_ca", "the certificate is not a CA's"};
inline constexpr Reason chain_invalid{"chain_invalid", "the certificate chain does not verify"};
inline constexpr Reason trustpoint_damaged{
    "trustpoint_damaged",
    "the stored state of the trustpoint can't be read; remove it and enrol anew"};

// SCEP messages
inline constexpr Reason scep_not_cms{"scep_not_cms", "the message is not one CMS SignedData"};
inline constexpr Reason scep_bad_attribute{
    "scep_bad_attribute", "a signed attribute of the SCEP message is missing, double or malformed"};
inline constexpr Reason scep_bad_signature{"scep_bad_signature",
                                           "the signature of the SCEP message does not verify"};
inline constexpr Reason scep_bad_envelope{
    "scep_bad_envelope", "the enveloped part of the SCEP message can't be decrypted"};
inline constexpr Reason scep_weak_algorithm{
    "scep_weak_algorithm", "the SCEP message uses DES, 3DES, MD5 or SHA-1 and allow_weak is off"};
inline constexpr Reason scep_unknown_algorithm{
    "scep_unknown_algorithm", "the SCEP message uses an algorithm that we do not know"};
inline constexpr Reason scep_wrong_type{"scep_wrong_type",
                                        "the SCEP message is not of a type that is expected here"};
inline constexpr Reason scep_bad_content{"scep_bad_content",
                                         "the SCEP message's data does not fit its type"};
inline constexpr Reason scep_too_large{"scep_too_large", "the SCEP message is longer than allowed"};

// SCEP client
inline constexpr Reason bad_url{"bad_url", "the URL is not http://host[:port]/path"};
inline constexpr Reason http_failed{"http_failed", "the HTTP request got no usable answer"};
inline constexpr Reason http_timeout{"http_timeout", "the server did not answer in time"};
inline constexpr Reason ca_fingerprint_mismatch{
    "ca_fingerprint_mismatch",
    "the CA's certificate is not the one pinned in the configuration; nothing was accepted"};
inline constexpr Reason ca_refused{"ca_refused",
                                   "the operator did not accept the CA's certificate"};
inline constexpr Reason scep_server_weak{
    "scep_server_weak", "the SCEP server offers neither AES nor SHA-256 and allow_weak is off"};
inline constexpr Reason scep_wrong_answer{
    "scep_wrong_answer", "the answer belongs to another request (transaction or nonce differs)"};
inline constexpr Reason scep_rejected{"scep_rejected", "the CA rejected the request"};
inline constexpr Reason scep_wrong_certificate{
    "scep_wrong_certificate", "the CA sent no certificate for the key and name that we asked for"};
inline constexpr Reason scep_no_transition{"scep_no_transition",
                                           "this is not possible in the enrolment's present state"};
inline constexpr Reason renewal_impossible{"renewal_impossible",
                                           "there is no valid certificate to renew"};

// CA and SCEP server
inline constexpr Reason ca_database_failed{
    "ca_database_failed",
    "the CA's database can't be opened or written; check path, rights, space"};
inline constexpr Reason ca_database_damaged{
    "ca_database_damaged",
    "the CA's database is damaged; move it away and restore the CA from its PKCS #12 archive"};
inline constexpr Reason ca_exists{"ca_exists", "the database holds a CA already"};
inline constexpr Reason ca_mismatch{
    "ca_mismatch", "the database belongs to a CA of another name; name another database file"};
inline constexpr Reason ca_expired{"ca_expired", "the CA's own certificate has expired"};
inline constexpr Reason challenge_wrong{"challenge_wrong",
                                        "the challenge password is missing or wrong"};
inline constexpr Reason request_key_weak{"request_key_weak",
                                         "the request's key is too short or of an unknown kind"};
inline constexpr Reason request_subject_bad{
    "request_subject_bad", "the request's subject is empty, too long or the CA's own name"};
inline constexpr Reason transaction_key_mismatch{
    "transaction_key_mismatch",
    "the transaction id was used with another key by the same certificate before"};
inline constexpr Reason transaction_subject_mismatch{
    "transaction_subject_mismatch", "the transaction id was used with another subject before"};
inline constexpr Reason key_subject_mismatch{
    "key_subject_mismatch", "the key has a valid certificate with another subject"};
inline constexpr Reason key_compromised{
    "key_compromised", "a certificate of this key was revoked as compromised; make a new key pair"};
inline constexpr Reason subject_in_use{
    "subject_in_use",
    "the subject or an alternative name has a valid certificate by another key; revoke that one "
    "first"};
inline constexpr Reason request_rejected{"request_rejected", "the operator rejected the request"};
inline constexpr Reason request_unknown{"request_unknown", "there is no such request"};
inline constexpr Reason request_not_pending{"request_not_pending",
                                            "the request was granted or rejected already"};
inline constexpr Reason request_not_rejected{
    "request_not_rejected", "only a rejected request can be forgotten, so that it may come again"};
inline constexpr Reason renewal_subject_mismatch{
    "renewal_subject_mismatch", "a renewal keeps the subject of the certificate that signs it"};
inline constexpr Reason renewal_signer_bad{
    "renewal_signer_bad", "the renewal is not signed with a valid certificate of this CA"};
inline constexpr Reason signer_key_mismatch{
    "signer_key_mismatch", "the message is not signed with the key of its certificate request"};
inline constexpr Reason too_many_pending{"too_many_pending",
                                         "too many requests wait for the operator already"};
inline constexpr Reason too_many_certificates{"too_many_certificates",
                                              "the CA has issued as many certificates as it may"};
inline constexpr Reason serial_unknown{"serial_unknown", "no certificate has this serial number"};
inline constexpr Reason already_revoked{"already_revoked", "the certificate is revoked already"};
inline constexpr Reason scep_unknown_operation{
    "scep_unknown_operation", "the HTTP request names no SCEP operation that we serve"};
inline constexpr Reason too_many_requests_of_source{
    "too_many_requests_of_source",
    "this address has sent more requests than it may; it is asked to wait (HTTP 429)"};
inline constexpr Reason too_many_requests{
    "too_many_requests",
    "more requests have come than the authority answers; senders are asked to wait (HTTP 503)"};
inline constexpr Reason http_bad_request{"http_bad_request",
                                         "the HTTP request is not a GET or POST that SCEP knows"};

}  // namespace cohort::pki
