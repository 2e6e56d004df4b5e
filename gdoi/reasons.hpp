#pragma once

#include "controlplane/base/result.hpp"

/// Why GDOI refuses or fails. The names feed counters, logs and tests.
namespace cohort::gdoi {

// Payloads and messages.
inline constexpr Reason unknown_attribute{
    "gdoi_unknown_attribute",
    "an attribute or value that we do not know; RFC 6407 section 5 wants the message refused"};
inline constexpr Reason missing_attribute{"gdoi_missing_attribute",
                                          "a payload lacks an attribute that its RFC requires"};
inline constexpr Reason duplicate_attribute{"gdoi_duplicate_attribute",
                                            "a payload carries the same attribute twice"};
inline constexpr Reason too_many_items{
    "gdoi_too_many_items", "a payload has more SATs, key packets, SPIs or ids than we accept"};
inline constexpr Reason wrong_doi{"gdoi_wrong_doi", "the payload's DOI is not GDOI (2)"};
inline constexpr Reason payload_order{
    "gdoi_payload_order", "the SA attribute payloads are not in the order SAK, GAP, SAT"};
inline constexpr Reason nonce_size{"gdoi_nonce_size", "a nonce must have 8 to 128 octets"};
inline constexpr Reason hash_mismatch{
    "gdoi_hash_mismatch",
    "the HASH of a message is wrong: it was damaged, forged or made with other keys"};
inline constexpr Reason wrong_message{"gdoi_wrong_message",
                                      "the message does not fit the state of its exchange"};

// GROUPKEY-PULL.
inline constexpr Reason unknown_group{"gdoi_unknown_group",
                                      "the requested group is not configured on this key server"};
inline constexpr Reason unauthorized_identity{
    "gdoi_unauthorized_identity",
    "the member's identity matches no authorization rule of the group"};
inline constexpr Reason removed_member{
    "gdoi_removed_member",
    "an operator removed this identity from the group; admit it again first"};
inline constexpr Reason members_full{"gdoi_members_full",
                                     "the group has as many members as members_max allows"};
inline constexpr Reason too_many_exchanges{
    "gdoi_too_many_exchanges", "more GROUPKEY-PULLs are open than one peer, or all, may have"};
inline constexpr Reason stale_offer{
    "gdoi_stale_offer", "the group was rekeyed between message 2 and 3; the member must ask again"};
inline constexpr Reason sender_ids_exhausted{
    "gdoi_sender_ids_exhausted", "every sender id of the group's current keys has been handed out"};
inline constexpr Reason sender_id_share_spent{
    "gdoi_sender_id_share_spent",
    "the identity has had its share of sender ids for the life of a traffic key; it registers too "
    "often"};
inline constexpr Reason keys_not_stored{
    "gdoi_keys_not_stored",
    "the group's keys could not be stored, and none leaves before that; check the key server's "
    "disk"};
inline constexpr Reason no_time_based_replay{
    "gdoi_no_time_based_replay",
    "the group's anti-replay goes by time, which the member does not know, so nobody would accept "
    "its packets; choose counter or none for the group if members of other makes are to join"};
inline constexpr Reason keys_not_ready{"gdoi_keys_not_ready", "the group has no keys yet"};
inline constexpr Reason time_uncertain{
    "gdoi_time_uncertain",
    "the key server's answer took so long that the group's time in it says little"};
inline constexpr Reason refused_by_server{
    "gdoi_refused_by_server", "the key server refused the registration; its log names the reason"};
inline constexpr Reason pull_timeout{"gdoi_pull_timeout",
                                     "the key server did not answer a GROUPKEY-PULL message"};

// What a member thinks of an offered policy.
inline constexpr Reason unsupported_policy{
    "gdoi_unsupported_policy", "the key server's policy uses something that we do not support"};
inline constexpr Reason unacceptable_suite{"gdoi_unacceptable_suite",
                                           "the key server's suite is not in accepted_transforms"};
inline constexpr Reason weak_rekey_policy{
    "gdoi_weak_rekey_policy",
    "the Rekey SA uses 3DES, MD5, SHA-1 or RSA of less than 2048 bits, which needs allow_weak"};
inline constexpr Reason missing_key{"gdoi_missing_key",
                                    "the key download has no key for an SA of the policy"};
inline constexpr Reason wrong_key_size{"gdoi_wrong_key_size",
                                       "a key's length does not fit its algorithm"};
inline constexpr Reason missing_sender_id{
    "gdoi_missing_sender_id",
    "a counter-mode SA came without a sender id, so we can't send with it"};

// GROUPKEY-PUSH and its acknowledgement.
inline constexpr Reason unknown_kek{"gdoi_unknown_kek",
                                    "the cookies of a rekey message name no Rekey SA of ours"};
inline constexpr Reason replayed_push{
    "gdoi_replayed_push", "the SEQ of a rekey message is not above the last accepted one"};
inline constexpr Reason bad_push_signature{
    "gdoi_bad_push_signature", "the SIG of a rekey message does not verify in any known form"};
inline constexpr Reason malformed_push{
    "gdoi_malformed_push",
    "a rekey message does not decrypt to the payloads of RFC 6407 section 4"};
inline constexpr Reason unsolicited_ack{
    "gdoi_unsolicited_ack", "an acknowledgement names no rekey that we are waiting for"};
inline constexpr Reason duplicate_ack{"gdoi_duplicate_ack",
                                      "the same acknowledgement was received before"};
inline constexpr Reason ack_from_stranger{"gdoi_ack_from_stranger",
                                          "an acknowledgement comes from an address of no member"};
inline constexpr Reason update_too_large{"gdoi_update_too_large",
                                         "one SA does not fit into message_size_max; raise it"};

inline constexpr Reason sender_ids_limited{
    "gdoi_sender_ids_limited",
    "so many sender ids were lent in a short time that the next have to wait (state_trust)"};

// Configuration and stored state of a key server.
inline constexpr Reason bad_group_policy{"gdoi_bad_group_policy",
                                         "the group's policy contradicts itself or GDOI"};
inline constexpr Reason no_such_group{"gdoi_no_such_group",
                                      "there is no group of that name; the configuration has them"};
inline constexpr Reason no_such_member{
    "gdoi_no_such_member",
    "the group has no such member; `cohort show crypto gkm ks members` lists them"};
inline constexpr Reason corrupt_state{
    "gdoi_corrupt_state",
    "the group's stored state is damaged or of another version; restore it, or remove it to start "
    "with new keys (then every member registers again)"};

}  // namespace cohort::gdoi
