// Traffic policy, key server and group member.
#include <array>

#include "config/sections.hpp"

namespace cohort::config {
namespace {

constexpr auto access_line_fields = std::to_array<FieldSpec>({
    {"sequence", "1..2147483647", "the next multiple of 10", "place in the list"},
    {"action", "permit or deny", "required",
     "permit: the traffic is encrypted; deny: it passes in clear"},
    {"protocol", "ip, ipv6, tcp, udp, icmp, …, or 0..255", "ip",
     "IP protocol; ip and ipv6 are every one"},
    {"source", "prefix, or any", "required", "of the packet as the hosts see it"},
    {"destination", "prefix, or any", "required", "of the same family as the source"},
    {"source_ports", "port or FIRST-LAST", "any", "for tcp, udp and sctp"},
    {"destination_ports", "port or FIRST-LAST", "any", "for tcp, udp and sctp"},
});

constexpr auto profile_fields = std::to_array<FieldSpec>({
    {"transform", "suite", "aes-256-gcm",
     "aes-128-gcm, aes-192-gcm, aes-256-gcm, or aes-{128,192,256}-cbc-hmac-{sha1,sha256,sha384,"
     "sha512}"},
    {"lifetime", "duration", "1h", "of a traffic key; 10s to 30d"},
    {"replay", "counter, time or none", "counter",
     "anti-replay: counter is the window of RFC 4303, right where an SA has one sender; time is "
     "right for any number of senders, if every member is cohort"},
    {"replay_window", "64..4096", "64", "counter: packets, a multiple of 64"},
    {"replay_time_window", "duration", "4s",
     "time: how far a packet's time may be from ours, either way; 500ms to 60s"},
});

constexpr auto key_server_fields = std::to_array<FieldSpec>({
    {"address", "address", "required", "our address in registrations and rekeys"},
    {"port", "1..65535", "848", "our UDP port"},
    {"trustpoint", "name", "", "whose certificate we use and whose we accept"},
    {"state_trust", "duration", "10m",
     "AES-GCM: after a start of the machine, state that is this old at least goes on; for it a key "
     "server alone lends part of its sender ids at most in such a time; up to 7d; 0s: it never "
     "does, "
     "and all members register again if no other key server is there"},
    {"groups", "list of sections", "required", "the groups served"},
});

constexpr auto server_group_fields = std::to_array<FieldSpec>({
    {"name", "name", "required", "for the operator; not on the wire"},
    {"identity", "0..4294967295 or an IPv4 address", "required",
     "the group's identity on the wire"},
    {"rekey", "section", "required", "how keys are replaced"},
    {"sas", "list of sections", "required", "what is encrypted and how"},
    {"authorization", "list of sections", "required",
     "who may register: any one rule admits; an empty list admits nobody"},
    {"activation_delay", "duration", "90s",
     "members send with a new key only after this (RFC 6407 ATD); up to 1h"},
    {"deactivation_delay", "duration", "120s",
     "SAs that a change of policy makes obsolete are deleted after this (RFC 6407 DTD); up to 1h"},
    {"send_exclusions", "true or false", "false",
     "send deny lines to members, in a form that only cohort's members understand; false: "
     "configure "
     "them as `exclusions` at the members"},
    {"sender_id_bits", "8, 12 or 16", "16",
     "AES-GCM: length of the sender ids lent to members (RFC 6054)"},
    {"members_max", "1..100000", "4000", "members registered at one time"},
    {"redundancy", "section", "", "other key servers that serve the group with us (COOP)"},
});

constexpr auto redundancy_fields = std::to_array<FieldSpec>({
    {"local_priority", "1..65535", "1",
     "the highest becomes primary; among equals the highest address does"},
    {"peers", "list of endpoints", "required", "the other key servers, 7 at most; port 848"},
    {"authorization", "list of sections", "",
     "which certificates make a key server, besides having a peer's address; needed unless phase 1 "
     "uses pre-shared keys"},
    {"announce", "duration", "20s", "between announcements; 100ms to 1h"},
    {"silent", "duration", "30s",
     "after so long a secondary asks its primary; 1.25 times announce at least"},
    {"dead", "duration", "60s",
     "after so long a key server is unreachable and an election begins; 1.5 times silent at "
     "least"},
    {"preempt", "true or false", "false", "take over from a primary that ranks lower"},
    {"lead_when_different", "true or false", "false",
     "rank as usual though our policy differs from the primary's"},
    {"key_source", "derived or random", "derived",
     "derived: both sides of a partition come to the same keys; random: each makes its own"},
    {"evict_in_partition", "now or at-merge", "now",
     "when an eviction takes effect while a key server is unreachable: see docs/coop-protocol.md"},
    {"refresh", "duration", "1d", "new randomness for the keys when all key servers are there"},
    {"state_key_file", "path", "",
     "the key that seals the replicated state on the disk; made with mode 0600 if it is not there "
     "and no state is; without it coop/state.key in the state directory, which a copy of that "
     "directory takes along: name a path on another disk if that shall not open the state"},
});

constexpr auto rekey_fields = std::to_array<FieldSpec>({
    {"signing_key", "label of a key pair", "required",
     "signs the rekey messages; not the key pair of the trustpoint"},
    {"encryption", "aes-128, aes-192, aes-256 (weak: 3des)", "aes-256", "of the rekey messages"},
    {"hash", "sha256, sha384, sha512 (weak: sha1)", "sha256", "of their signature"},
    {"lifetime", "duration", "24h", "of the key-encryption key; 10s to 30d"},
    {"lead", "1..500 permille", "100",
     "the share of a key's life before its end at which its successor is handed out"},
    {"transport", "unicast or multicast", "unicast", "how members are reached"},
    {"multicast_destination", "endpoint", "", "required for multicast; the port defaults to 848"},
    {"retransmit_interval", "duration", "40s", "between retransmissions of a rekey"},
    {"retransmit_number", "0..10", "2", "retransmissions after the first message"},
    {"acknowledge", "true or false", "true", "ask members for acknowledgements (RFC 8263)"},
    {"evict_after_unanswered", "0..100", "3",
     "rekeys without any acknowledgement before a member is removed; 0 is never"},
    {"evict_before_first_ack", "true or false", "true",
     "remove members that never acknowledged anything too; false where members may not know "
     "acknowledgements"},
    {"acknowledge_wait", "duration", "10s",
     "after the last retransmission, before a member counts as silent"},
    {"bare_digest_signature", "true or false", "false",
     "sign the bare digest as old implementations do, not RFC 6407's form"},
    {"message_size_max", "576..60000", "1400", "octets above which an update goes in several"},
});

constexpr auto sa_fields = std::to_array<FieldSpec>({
    {"number", "1..65535", "10 times its place in the list", "for the operator"},
    {"access_list", "name", "required", "whose lines choose the traffic"},
    {"profile", "name", "required", "how it is protected"},
    {"tek_per_entry", "true or false", "true",
     "a traffic key for each permit line (as most implementations do), or one for the list"},
    {"single_sender", "true or false", "false",
     "only one member ever sends on this SA; else counter anti-replay is on only while the group "
     "has "
     "two members"},
});

constexpr auto authorization_fields = std::to_array<FieldSpec>({
    {"subject", "distinguished name", "", "the whole subject, as `OU=GETVPN_GM,CN=gm1`"},
    {"common_name", "text", "", "the subject's CN"},
    {"organizational_unit", "text", "", "one of the subject's OUs"},
    {"issuer", "distinguished name", "", "the whole issuer"},
    {"san_dns", "name", "", "a DNS name of the certificate, or `*.example.org` for one label"},
    {"address", "prefix", "", "where the registration comes from"},
});

constexpr auto group_member_fields = std::to_array<FieldSpec>({
    {"address", "address", "required", "our address towards the key servers"},
    {"port", "1..65535", "848", "our UDP port"},
    {"trustpoint", "name", "", "whose certificate we use and whose we accept"},
    {"groups", "list of sections", "required", "the groups to join"},
    {"multicast", "list of addresses", "",
     "multicast addresses that key servers send rekeys to; joined at the start"},
});

constexpr auto membership_fields = std::to_array<FieldSpec>({
    {"name", "name", "required", "for the operator"},
    {"identity", "0..4294967295 or an IPv4 address", "required",
     "the group's identity on the wire"},
    {"servers", "list of endpoints", "required",
     "key servers in the order to try; the port defaults to 848"},
    {"port_pair", "name", "required", "the pair of ports that the policy is bound to"},
    {"fail_close", "true or false", "true",
     "before the first registration, drop everything but the control protocols; false lets "
     "everything pass in clear"},
    {"fail_close_revert", "true or false", "false",
     "drop everything again when the last key has ended; else only what the policy has encrypted "
     "is "
     "dropped then"},
    {"exclusions", "name of an access list", "",
     "our own deny lines, looked at before the group's policy"},
    {"accepted_transforms", "list of suites", "every one", "refuse a policy with another"},
    {"replay_window", "0..4096", "0",
     "packets, where the key server does not say; 0 is none; a window loses packets of an SA that "
     "several members send on"},
    {"sender_ids", "1..63", "one a worker", "AES-GCM: sender ids to ask for"},
    {"reregister_lead", "duration", "60s",
     "register again this long before the last key ends if no rekey came"},
    {"retry_initial", "duration", "2s", "wait after a failed registration; doubles"},
    {"retry_max", "duration", "60s", "up to this"},
    {"phase1_timeout", "duration", "60s", "then the next server is tried"},
    {"reregister_jitter", "duration", "2s",
     "a random wait up to this when every member is told to register again"},
    {"acknowledge_jitter", "duration", "2s",
     "a random wait up to this before a multicast rekey is acknowledged"},
    {"unknown_spi_wait", "duration", "10s",
     "the dataplane's errors are watched: packets of the group under an unknown SPI make us "
     "register "
     "again after a random time up to this, and then ever more rarely while it does not help; 0s "
     "is "
     "never"},
    {"private_use", "true or false", "true",
     "tell key servers that we understand cohort's private use numbers (gdoi/README.md); false for "
     "a "
     "key server that stumbles over them"},
});

}  // namespace

namespace sections {

const SectionSpec access_line{"Line of an access list", "/access_lists/NAME/N",
                              "the first line that matches decides", access_line_fields};
const SectionSpec profile{"Profile", "/profiles/NAME", "protection of traffic (ESP)",
                          profile_fields};
const SectionSpec key_server{"Key server", "/key_server", "GDOI key server (RFC 6407)",
                             key_server_fields};
const SectionSpec server_group{"Group of a key server", "/key_server/groups/N",
                               "policy of one group", server_group_fields};
const SectionSpec rekey{"Rekey", "/key_server/groups/N/rekey", "replacement of keys", rekey_fields};
const SectionSpec sa{"Security association", "/key_server/groups/N/sas/N",
                     "traffic and its protection", sa_fields};
const SectionSpec authorization{"Authorization rule", "/key_server/groups/N/authorization/N",
                                "all conditions that are there must hold; one at least",
                                authorization_fields};
const SectionSpec redundancy{"Redundancy", "/key_server/groups/N/redundancy",
                             "co-operating key servers (docs/coop-protocol.md)", redundancy_fields};
const SectionSpec redundancy_authorization{
    "Authorization of a key server", "/key_server/groups/N/redundancy/authorization/N",
    "all conditions that are there must hold; one at least", authorization_fields};
const SectionSpec group_member{"Group member", "/group_member", "GDOI group member (RFC 6407)",
                               group_member_fields};
const SectionSpec membership{"Group of a member", "/group_member/groups/N", "one membership",
                             membership_fields};

}  // namespace sections
}  // namespace cohort::config
