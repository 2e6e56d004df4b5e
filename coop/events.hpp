#pragma once

#include "controlplane/base/event.hpp"

/// What COOP tells the operator, in the field's own names.
namespace cohort::coop::events {

inline constexpr EventKind ks_add{"GDOI", Severity::notice, "COOP_KS_ADD",
                                  "a key server was added to the group's peers"};
inline constexpr EventKind ks_remove{"GDOI", Severity::notice, "COOP_KS_REMOVE",
                                     "a key server was removed from the group's peers"};
inline constexpr EventKind ks_election{
    "GDOI", Severity::notice, "COOP_KS_ELECTION",
    "KS entering election mode in group {group} (Previous Primary = "
    "{previous_primary})"};
inline constexpr EventKind ks_trans_to_pri{
    "GDOI", Severity::notice, "COOP_KS_TRANS_TO_PRI",
    "KS {ks} in group {group} transitioned to Primary (Previous "
    "Primary = {previous_primary})"};
inline constexpr EventKind ks_trans_to_sec{
    "GDOI", Severity::notice, "COOP_KS_TRANS_TO_SEC",
    "this KS in group {group} transitioned to Secondary of {primary}"};
inline constexpr EventKind ks_unreach{"GDOI", Severity::error, "COOP_KS_UNREACH",
                                      "Cooperative KS {ks} Unreachable in group {group}"};
inline constexpr EventKind ks_reach{
    "GDOI", Severity::notice, "COOP_KS_REACH",
    "Reachability restored with Cooperative KS {ks} in group {group}."};
inline constexpr EventKind ks_unauth{"GDOI", Severity::warning, "COOP_KS_UNAUTH",
                                     "contact from a peer that is not authorized as a key server "
                                     "of the group; if it is one, correct "
                                     "its certificate or the group's `redundancy/authorization`"};
inline constexpr EventKind limit_reached{"GDOI", Severity::error, "COOP_LIMIT_REACHED",
                                         "replicated state is beyond its limit and was left out; "
                                         "the group is larger than it may be"};
inline constexpr EventKind config_mismatch{
    "GDOI", Severity::error, "COOP_CONFIG_MISMATCH",
    "the configurations of two key servers differ; make them the same"};
inline constexpr EventKind config_match{"GDOI", Severity::notice, "COOP_CONFIG_MATCH",
                                        "the configurations of two key servers are the same again"};
inline constexpr EventKind no_primary{
    "GDOI", Severity::critical, "COOP_NO_PRIMARY",
    "group {group} has no primary: the key servers that are left have another policy than the last "
    "one had; make it the same, or say `cohort coop elect --lead-when-different` where it is "
    "right"};
inline constexpr EventKind pseudo_time_large{
    "GDOI", Severity::error, "PSEUDO_TIME_LARGE",
    "a key server's pseudotime is far ahead of ours; check the clocks of both"};
inline constexpr EventKind pseudo_time_too_old{
    "GDOI", Severity::error, "PSEUDO_TIME_TOO_OLD",
    "a key server's pseudotime is far behind ours; check the clocks of both"};
inline constexpr EventKind synchronized{"GDOI", Severity::informational, "COOP_SYNC_COMPLETE",
                                        "a key server holds all of our state"};
inline constexpr EventKind epoch_begun{"GDOI", Severity::notice, "COOP_EPOCH",
                                       "the group's keys come from another secret now"};
inline constexpr EventKind merged{"GDOI", Severity::notice, "COOP_MERGE",
                                  "two sides of a partition have come together"};
inline constexpr EventKind eviction_waits{
    "GDOI", Severity::warning, "COOP_EVICTION_WAITS",
    "an eviction waits until every key server is reachable (evict_in_partition at_merge)"};
inline constexpr EventKind state_old{
    "GDOI", Severity::warning, "COOP_STATE_OLD",
    "the stored state is old; if every key server of the group was restored from an image, say "
    "`cohort coop compromise` there, since sender ids could be used twice"};
inline constexpr EventKind clock_behind{
    "GDOI", Severity::warning, "COOP_CLOCK_BEHIND",
    "the wall clock shows an earlier time than the stored state; unless another key server knows "
    "the group's time, it goes on from what was stored, and the time of the outage is missing"};
inline constexpr EventKind state_trusted{
    "GDOI", Severity::notice, "COOP_STATE_TRUSTED",
    "the stored state is our last, or recent enough to go on with the sender ids behind it"};
inline constexpr EventKind state_unproven{
    "GDOI", Severity::notice, "COOP_STATE_UNPROVEN",
    "the stored state may be an old copy: sender ids are lent when another key server tells what "
    "it knows, or else under fresh keys, for which all members register again"};
inline constexpr EventKind store_failed{
    "GDOI", Severity::critical, "COOP_STORE_FAILED",
    "the state could not be stored, so it was not acknowledged or used; check the disk"};

}  // namespace cohort::coop::events
