#pragma once

#include "controlplane/base/event.hpp"

/// What pki/ reports to the operator.
namespace cohort::pki {

inline constexpr EventKind ca_created{"PKI", Severity::notice, "CS_CREATED",
                                      "certificate authority created"};
inline constexpr EventKind certificate_granted{"PKI", Severity::notice, "CS_GRANT",
                                               "certificate request granted"};
inline constexpr EventKind request_pending{"PKI", Severity::notice, "CS_PENDING",
                                           "certificate request waits for the operator"};
inline constexpr EventKind request_denied{"PKI", Severity::notice, "CS_REJECT",
                                          "certificate request rejected"};
inline constexpr EventKind certificate_was_revoked{"PKI", Severity::notice, "CS_REVOKE",
                                                   "certificate revoked"};
inline constexpr EventKind ca_authenticated{"PKI", Severity::notice, "CA_AUTHENTICATED",
                                            "trustpoint authenticated: CA certificate accepted"};
inline constexpr EventKind ca_not_accepted{"PKI", Severity::error, "CA_REFUSED",
                                           "CA certificate not accepted"};
inline constexpr EventKind ca_decision_wanted{
    "PKI", Severity::notice, "CA_DECISION", "an operator must accept or refuse the CA certificate"};
inline constexpr EventKind certificate_installed{
    "PKI", Severity::notice, "CERT_INSTALL", "certificate received from the certificate authority"};
inline constexpr EventKind enrolment_pending{"PKI", Severity::notice, "CERT_PENDING",
                                             "enrolment request waits for the CA's operator"};
inline constexpr EventKind enrolment_failed{"PKI", Severity::error, "CERT_ENROLL_FAIL",
                                            "enrolment failed; it will be tried again"};
inline constexpr EventKind renewal_started{"PKI", Severity::notice, "CERT_RENEW_AUTO",
                                           "certificate renewal started"};
inline constexpr EventKind crl_installed{"PKI", Severity::informational, "CRL_INSTALL",
                                         "certificate revocation list received"};
inline constexpr EventKind crl_failed{"PKI", Severity::warning, "CRL_FETCH_FAIL",
                                      "certificate revocation list not received"};

}  // namespace cohort::pki
