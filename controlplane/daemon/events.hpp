#pragma once

#include "controlplane/base/event.hpp"

/// What the daemon itself reports.
namespace cohort::daemon::events {

inline constexpr EventKind started{"SYS", Severity::notice, "STARTED", "cohortd runs"};
inline constexpr EventKind stopping{"SYS", Severity::notice, "STOPPING", "cohortd goes down"};
inline constexpr EventKind reloaded{"SYS", Severity::notice, "CONFIG_RELOAD",
                                    "the configuration was read again and applied"};
inline constexpr EventKind reload_refused{
    "SYS", Severity::error, "CONFIG_REFUSED",
    "the configuration has errors; nothing of it was applied; correct it and reload again"};
inline constexpr EventKind restart_needed{
    "SYS", Severity::warning, "CONFIG_RESTART",
    "a section has changed that only a restart of cohortd applies"};
inline constexpr EventKind config_warning{"SYS", Severity::warning, "CONFIG_WARNING",
                                          "the configuration is read, but unwise"};
inline constexpr EventKind apply_failed{"SYS", Severity::error, "CONFIG_APPLY_FAILED",
                                        "a part of the new configuration could not be applied"};
inline constexpr EventKind address_missing{
    "SYS", Severity::warning, "ADDRESS_MISSING",
    "an address of the configuration is not on this machine (yet); packets will flow once it is"};
inline constexpr EventKind send_trouble{"SYS", Severity::warning, "SEND_FAILED",
                                        "datagrams can't be sent; check addresses and routes"};
inline constexpr EventKind key_made{"PKI", Severity::notice, "KEY_GENERATED",
                                    "a key pair was made"};
inline constexpr EventKind weak_key{"PKI", Severity::warning, "KEY_WEAK",
                                    "key pair {label} is RSA of {bits} bits, which can be broken; "
                                    "allow_weak admits it. Make one of "
                                    "2048 bits or more as soon as every peer can use it"};
inline constexpr EventKind no_rsa_keys{
    "GDOI", Severity::alert, "KS_NO_RSA_KEYS",
    "group {group} waits for its rekey signing key {label}: import it from another key server with "
    "`cohort crypto key import`"};
inline constexpr EventKind lab_keys_exported{
    "SYS", Severity::alert, "LAB_KEYS_EXPORTED",
    "TRAFFIC KEYS WERE EXPORTED: whoever has them reads the group's traffic"};
inline constexpr EventKind operator_command{"SYS", Severity::notice, "OPERATOR",
                                            "an operator's command changed something"};
inline constexpr EventKind events_suppressed{"SYS", Severity::warning, "SUPPRESSED",
                                             "refusals were counted but not logged one by one"};
inline constexpr EventKind advice{"DATAPLANE", Severity::notice, "ADVICE",
                                  "something costs speed or is likely wrong"};
inline constexpr EventKind debug{"DEBUG", Severity::debug, "TRACE", "debug"};

}  // namespace cohort::daemon::events
