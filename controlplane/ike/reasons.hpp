#pragma once

#include "controlplane/base/result.hpp"

/// Why phase 1 refuses or ends. Those of message framing are in message.hpp.
namespace cohort::ike {

inline constexpr Reason unknown_cookies{"unknown_cookies",
                                        "the message belongs to no security association of ours"};
inline constexpr Reason unsupported_exchange{"unsupported_exchange",
                                             "an exchange type that is not spoken here"};
inline constexpr Reason unexpected_message{
    "unexpected_message", "the message does not belong to this point of the exchange"};
inline constexpr Reason wrong_endpoint{"wrong_endpoint",
                                       "the message comes from an address that is not the peer's"};
inline constexpr Reason not_encrypted{"not_encrypted",
                                      "a message that must be encrypted came in the clear"};
inline constexpr Reason undecryptable{
    "undecryptable",
    "the message does not decrypt to payloads; with pre-shared keys, compare both ends' keys"};
inline constexpr Reason unauthenticated_notify{"unauthenticated_notify",
                                               "an unprotected notification; it changes nothing"};
inline constexpr Reason bad_hash{"bad_hash", "the HASH payload does not authenticate the message"};
inline constexpr Reason replayed_message{"replayed_message", "the message id was used before"};
inline constexpr Reason stale_dpd{"stale_dpd", "the dead peer detection sequence is not awaited"};
inline constexpr Reason bad_fragment{"bad_fragment",
                                     "an IKE fragment that fits no message or is over the limit"};
inline constexpr Reason no_proposal_chosen{
    "no_proposal_chosen",
    "no phase 1 policy is common to both ends; compare encryption, hash, group, authentication"};
inline constexpr Reason bad_proposal{"bad_proposal",
                                     "the SA payload breaks the rules of RFC 2408 and 2409"};
inline constexpr Reason no_usable_policy{
    "no_usable_policy",
    "no configured phase 1 policy can be used with this peer: enrol, renew a certificate that has "
    "expired, configure the peer's pre-shared key, or add a policy for the local key's type"};
inline constexpr Reason certificate_missing{"certificate_missing",
                                            "the peer signed without sending its certificate"};
inline constexpr Reason wrong_key_type{
    "wrong_key_type", "the peer's certificate key does not fit the agreed authentication method"};
inline constexpr Reason identity_mismatch{
    "identity_mismatch", "the peer's ID payload is not what its certificate or address proves"};
inline constexpr Reason authentication_failed{
    "authentication_failed",
    "the peer did not prove its identity; with pre-shared keys, compare "
    "both ends' keys"};
inline constexpr Reason half_open_limit{"half_open_limit",
                                        "too many unfinished phase 1 exchanges from this address"};
inline constexpr Reason peer_limit{
    "peer_limit", "the peer has more phase 1 SAs than one peer needs, so its oldest went"};
inline constexpr Reason established_limit{"established_limit",
                                          "no room for another phase 1; raise established_max"};

inline constexpr Reason peer_unreachable{"peer_unreachable",
                                         "the peer did not answer phase 1 after all retries"};
inline constexpr Reason half_open_timeout{"half_open_timeout",
                                          "the peer did not finish phase 1 in time"};
inline constexpr Reason half_open_evicted{
    "half_open_evicted", "gave way to a newer request under a flood of unfinished ones"};
inline constexpr Reason peer_refused{
    "peer_refused",
    "the peer refused phase 1; its log says why. Is our certificate in its time, of its authority, "
    "not revoked?"};
inline constexpr Reason peer_deleted{"peer_deleted", "the peer deleted the phase 1"};
inline constexpr Reason peer_dead{"peer_dead", "the peer answers no dead peer detection"};
inline constexpr Reason peer_restarted{"peer_restarted",
                                       "the peer began anew and knows older phase 1s no more"};
inline constexpr Reason phase1_expired{"phase1_expired", "the lifetime of the phase 1 is over"};
inline constexpr Reason phase1_replaced{"phase1_replaced", "a newer phase 1 took its place"};

}  // namespace cohort::ike
