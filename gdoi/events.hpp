#pragma once

#include "controlplane/base/event.hpp"

/// What GDOI tells the operator, in the field's own names: "%GDOI-5-GM_REGS_COMPL: …". Each has one
/// line of what happened, and where one can act, what to do.
namespace cohort::gdoi::events {

// ---- key server ---------------------------------------------------------------------------------
inline constexpr EventKind ks_regs_compl{"GDOI", Severity::notice, "KS_REGS_COMPL",
                                         "a member has registered and holds the group's keys"};
inline constexpr EventKind ks_send_unicast_rekey{"GDOI", Severity::notice, "KS_SEND_UNICAST_REKEY",
                                                 "sending a rekey to each member"};
inline constexpr EventKind ks_send_mcast_rekey{"GDOI", Severity::notice, "KS_SEND_MCAST_REKEY",
                                               "sending a rekey to the multicast address"};
inline constexpr EventKind ks_rekey_retransmit{"GDOI", Severity::informational,
                                               "KS_REKEY_RETRANSMIT", "sending a rekey again"};
inline constexpr EventKind ks_rekey_done{"GDOI", Severity::informational, "KS_REKEY_DONE",
                                         "a rekey has ended"};
inline constexpr EventKind ks_ack_missing{
    "GDOI", Severity::warning, "KS_ACK_MISSING",
    "a member has not acknowledged a rekey; check that it runs and that UDP 848 reaches it"};
inline constexpr EventKind ks_nack_gm_eject{
    "GDOI", Severity::notice, "KS_NACK_GM_EJECT",
    "a member was taken off the list since it acknowledged none of the last rekeys; it can register"
    " again"};
inline constexpr EventKind unauthorized_identity{
    "GDOI", Severity::alert, "UNAUTHORIZED_IDENTITY",
    "registration refused: the identity is not authorized for the group; correct its certificate "
    "or "
    "the group's authorization rules"};
inline constexpr EventKind ks_bad_id{
    "GDOI", Severity::error, "KS_BAD_ID",
    "a member asked for a group that is not configured here; compare the group identities"};
inline constexpr EventKind ks_group_add{"GDOI", Severity::notice, "KS_GROUP_ADD",
                                        "a group was added to the key server"};
inline constexpr EventKind ks_group_delete{"GDOI", Severity::notice, "KS_GROUP_DELETE",
                                           "a group was removed from the key server"};
inline constexpr EventKind ks_state_restored{"GDOI", Severity::notice, "KS_STATE_RESTORED",
                                             "keys and members were restored from the store"};
inline constexpr EventKind ks_keys_made{"GDOI", Severity::notice, "KS_KEYS_MADE",
                                        "the key server has made new keys"};
inline constexpr EventKind ks_clear_register{
    "GDOI", Severity::notice, "KS_CLEAR_REGISTER",
    "all keys of the group are being deleted; every member has to register again"};
inline constexpr EventKind ks_gm_revoked{"GDOI", Severity::warning, "KS_GM_REVOKED",
                                         "an operator removed a member from the group"};
inline constexpr EventKind ks_last_gm{"GDOI", Severity::warning, "KS_LAST_GM",
                                      "the last member has left the group"};
inline constexpr EventKind ks_exclusions_not_sent{
    "GDOI", Severity::warning, "KS_EXCLUSIONS_NOT_SENT",
    "the policy's deny entries are not sent to members, as RFC 6407 cannot carry them; set "
    "send_exclusions if every member understands them, or configure them at the members"};
inline constexpr EventKind ks_store_failed{
    "GDOI", Severity::critical, "KS_STORE_FAILED",
    "the group's state could not be stored, so nothing was sent; check the disk"};
inline constexpr EventKind ks_store_recovered{"GDOI", Severity::notice, "KS_STORE_RECOVERED",
                                              "the group's state is stored again"};
inline constexpr EventKind ks_clock_set_back{
    "GDOI", Severity::warning, "KS_CLOCK_SET_BACK",
    "the clock was set back while the key server was down, so nobody knows how old the keys are: "
    "they are all replaced; check the time source"};
inline constexpr EventKind ks_state_unproven{
    "GDOI", Severity::warning, "KS_STATE_UNPROVEN",
    "the stored state may be an old copy, in which sender ids are free that were lent since: all "
    "keys are deleted and every member registers again"};
inline constexpr EventKind ks_sender_id_share{
    "GDOI", Severity::alert, "KS_SENDER_ID_SHARE",
    "a member registers so often that it has had its share of sender ids, and is refused until a "
    "traffic key's life is over; look why it does, or remove it from the group"};
inline constexpr EventKind ks_replay_window_off{
    "GDOI", Severity::warning, "KS_REPLAY_WINDOW_OFF",
    "counter anti-replay is off for an SA that more than two members may send on, since a window "
    "would drop their packets; choose \"replay\": \"time\", \"none\", or single_sender if only one "
    "member sends"};
inline constexpr EventKind ks_foreign_member_dropped{
    "GDOI", Severity::warning, "KS_FOREIGN_MEMBER_DROPPED",
    "a member of another make does not know anti-replay by time, which the policy now wants: it "
    "gets no more keys; choose counter or none for it to stay"};
inline constexpr EventKind ks_member_restarted{
    "GDOI", Severity::notice, "KS_MEMBER_RESTARTED",
    "a member that had keys registers without any: as it counts its packets from 1 again, which "
    "anti-replay windows refuse, new traffic keys follow"};
inline constexpr EventKind policy_change{"GDOI", Severity::notice, "POLICY_CHANGE",
                                         "the group's policy was changed"};

// ---- group member -------------------------------------------------------------------------------
inline constexpr EventKind gm_awaits_credentials{
    "GDOI", Severity::notice, "GM_AWAITS_CREDENTIALS",
    "there is neither a certificate nor a pre-shared key yet that a phase 1 policy could use "
    "with a key server; registration begins as soon as there is"};
inline constexpr EventKind gm_regster{"CRYPTO", Severity::notice, "GM_REGSTER",
                                      "start registration to a key server"};
inline constexpr EventKind gm_regs_compl{"GDOI", Severity::notice, "GM_REGS_COMPL",
                                         "registration complete"};
inline constexpr EventKind gm_no_seq{
    "GDOI", Severity::warning, "GM_NO_SEQ",
    "the key server gave a Rekey SA without its SEQ (RFC 6407 section 5.7): a rekey of before this "
    "registration could be played to us. Correct the key server"};
inline constexpr EventKind gm_weak_rekey{
    "GDOI", Severity::warning, "GM_WEAK_REKEY",
    "the Rekey SA uses 3DES, MD5, SHA-1 or RSA of less than 2048 bits, which can be broken; "
    "allow_weak admits it"};
inline constexpr EventKind gm_regs_failed{
    "GDOI", Severity::warning, "GM_REGS_FAILED",
    "registration with a key server failed; the next one is tried"};
inline constexpr EventKind gm_re_register{
    "GDOI", Severity::warning, "GM_RE_REGISTER",
    "keys are about to expire, were deleted, or ran out of numbers; registering again"};
inline constexpr EventKind gm_unknown_spi{
    "CRYPTO", Severity::warning, "RECVD_PKT_INV_SPI",
    "packets between protected addresses come under an SPI that we do not have: a rekey may have "
    "missed us, so we register again"};
inline constexpr EventKind gm_time_doubted{
    "GDOI", Severity::warning, "GM_TIME_DOUBTED",
    "what others send does not fit our clock of the group's time, so we ask the key server for it "
    "again; if that does not end, look for a clock that runs wrong"};
inline constexpr EventKind gm_recv_rekey{"GDOI", Severity::notice, "GM_RECV_REKEY",
                                         "received a rekey"};
inline constexpr EventKind gm_rekey_form{
    "GDOI", Severity::informational, "GM_REKEY_FORM",
    "the form of the key server's rekey signatures is now known"};
inline constexpr EventKind sa_kek_updated{"GDOI", Severity::notice, "SA_KEK_UPDATED",
                                          "the Rekey SA was replaced"};
inline constexpr EventKind sa_tek_updated{"GDOI", Severity::notice, "SA_TEK_UPDATED",
                                          "traffic keys were installed"};
inline constexpr EventKind gm_sa_activated{"GDOI", Severity::informational, "GM_SA_ACTIVATED",
                                           "sending with another traffic key"};
inline constexpr EventKind gm_sa_expired{"GDOI", Severity::informational, "GM_SA_EXPIRED",
                                         "a traffic key has reached its end"};
inline constexpr EventKind gm_delete{"GDOI", Severity::warning, "GM_DELETE",
                                     "the key server deleted keys of the group"};
inline constexpr EventKind gm_rejecting_sa_payload{
    "GDOI", Severity::warning, "GM_REJECTING_SA_PAYLOAD", "the key server's policy was refused"};
inline constexpr EventKind gm_no_keys{
    "GDOI", Severity::critical, "GM_NO_IPSEC_FLOWS",
    "the last traffic key has ended and no key server has answered; traffic is dropped"};
inline constexpr EventKind gm_dataplane_failed{"GDOI", Severity::critical, "GM_DATAPLANE_FAILED",
                                               "the dataplane refused a policy"};
inline constexpr EventKind gm_unregister{"GDOI", Severity::notice, "GM_UNREGISTER",
                                         "the member left the group"};

}  // namespace cohort::gdoi::events
