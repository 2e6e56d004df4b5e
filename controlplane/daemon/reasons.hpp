#pragma once

#include "controlplane/base/result.hpp"

/// Why the daemon can't do something. The sentence says what the operator can do.
namespace cohort::daemon {

inline constexpr Reason store_failed{"store_failed",
                                     "the state directory can't be used; check that it exists, is "
                                     "writable, and has space"};
inline constexpr Reason store_locked{
    "store_locked", "another cohortd uses this state directory; give each daemon its own"};
inline constexpr Reason bad_store_name{"bad_store_name",
                                       "a name in the store has other than [a-z0-9._-/] in it"};
inline constexpr Reason socket_failed{
    "socket_failed",
    "a socket can't be opened; check the address, the port, and that no other program has it"};
inline constexpr Reason send_failed{"send_failed", "a datagram could not be sent"};
inline constexpr Reason too_large_datagram{"too_large_datagram",
                                           "a datagram is larger than UDP allows"};
inline constexpr Reason log_failed{"log_failed", "the event log can't be opened"};
inline constexpr Reason no_trustpoint{"no_trustpoint", "there is no trustpoint of this name"};
inline constexpr Reason no_enrolment{
    "no_enrolment", "the trustpoint has no enrollment_url; import its certificates"};
inline constexpr Reason no_role{"no_role", "this daemon does not have the role that is needed"};
inline constexpr Reason no_group{"no_group", "there is no group of this name"};
inline constexpr Reason no_signing_key{"no_signing_key",
                                       "the key pair that signs rekeys is not in the store; make "
                                       "it with `cohort crypto key generate` or import it"};
inline constexpr Reason state_key_unusable{
    "state_key_unusable",
    "the key that seals the state of a group with other key servers can't be used; bring back the "
    "file, or remove it together with the state, which then comes from the other key servers"};
inline constexpr Reason bad_admin_request{"bad_admin_request",
                                          "the request is not a JSON object with a command"};
inline constexpr Reason unknown_command{"unknown_command", "there is no such command"};
inline constexpr Reason bad_argument{"bad_argument",
                                     "an argument is missing, unknown or of the wrong kind"};
inline constexpr Reason config_refused{"config_refused",
                                       "the configuration has errors; nothing of it was applied"};
inline constexpr Reason key_in_use{
    "key_in_use",
    "the key pair is in use; with --in-use it is removed all the same, and the next start makes "
    "another one, which no other machine knows"};
inline constexpr Reason not_a_lab{
    "not_a_lab", "the configuration does not say \"lab\": {\"export_keys\": true}"};
inline constexpr Reason reload_under_way{
    "reload_under_way", "the last reload still makes key pairs; try again when they are there"};
inline constexpr Reason ended{"ended", "the daemon is going down"};

}  // namespace cohort::daemon
