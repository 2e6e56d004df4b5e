#pragma once

#include "controlplane/base/result.hpp"

/// Why COOP refuses or fails. The names feed counters, logs and tests.
namespace cohort::coop {

// Messages.
inline constexpr Reason coop_version{"coop_version",
                                     "a peer speaks another major version of COOP; upgrade one"};
inline constexpr Reason coop_format{"coop_format",
                                    "a COOP message does not have the form that its type requires"};
inline constexpr Reason coop_hash{"coop_hash",
                                  "the HASH of a COOP message is wrong: damaged or forged"};
inline constexpr Reason coop_reflected{"coop_reflected",
                                       "a COOP message carries our own direction bit"};
inline constexpr Reason coop_replayed{"coop_replayed",
                                      "a COOP message was received before, or is too old to tell"};
inline constexpr Reason coop_unauthorized{
    "coop_unauthorized",
    "the peer is not authorized as a key server of the group; correct its certificate, the group's "
    "peers or its key server rules"};
inline constexpr Reason coop_unknown_group{"coop_unknown_group",
                                           "a COOP message names a group that we do not serve; add "
                                           "it here, or take us from its peers there"};
inline constexpr Reason coop_wrong_sender{
    "coop_wrong_sender",
    "an announcement names another server than the one that sent it; a key server's address must "
    "be the one that it sends from, without address translation"};
inline constexpr Reason coop_record{"coop_record",
                                    "a replicated item does not have the form of its kind: the key "
                                    "server that sent it is broken; it was left out"};
inline constexpr Reason coop_limit{
    "coop_limit",
    "a replicated item is beyond the limit of its kind and was left out; the group is larger than "
    "docs/coop-protocol.md section 5.1 allows"};

// Configuration and stored state.
inline constexpr Reason coop_bad_options{"coop_bad_options",
                                         "the options of a co-operating key server contradict"};
inline constexpr Reason coop_no_such_group{"coop_no_such_group",
                                           "no co-operating group has that name; `cohort show "
                                           "crypto gkm ks coop` lists them"};
inline constexpr Reason coop_corrupt_state{
    "coop_corrupt_state",
    "the stored state of a co-operating key server is damaged, of another version, or sealed with "
    "another state key; restore it, or remove it to take the state from the other key servers"};
inline constexpr Reason coop_not_primary{"coop_not_primary",
                                         "only the primary key server can do this; ask it there"};
inline constexpr Reason coop_busy{"coop_busy",
                                  "an earlier change is still being replicated; try again"};
inline constexpr Reason coop_numbers_used_up{
    "coop_numbers_used_up",
    "a key server has said a number of an epoch behind which there is none; stop all key servers "
    "of "
    "the group, find out which is broken, remove the state of all and start them again"};
inline constexpr Reason coop_partition{
    "coop_partition",
    "a key server is unreachable and evict_in_partition is at_merge: the eviction waits for it"};
inline constexpr Reason coop_seq_waits{
    "coop_seq_waits",
    "sequence numbers of rekeys are not yet reserved on the disk and at the other key servers"};
inline constexpr Reason coop_no_epoch{"coop_no_epoch", "the group has no keys yet"};
inline constexpr Reason coop_no_sender_ids{
    "coop_no_sender_ids",
    "this key server has no sender ids that are surely unused; another lends it some, or the "
    "primary begins fresh keys"};
inline constexpr Reason coop_other_signing_key{"coop_other_signing_key",
                                               "the primary signs rekeys with another key pair, "
                                               "which members registered here could not check; "
                                               "export it there and import it here"};

}  // namespace cohort::coop
