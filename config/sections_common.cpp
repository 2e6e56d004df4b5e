// What every daemon's file may hold: the top level, logging, the operator's socket, ISAKMP.
#include <array>

#include "config/sections.hpp"

namespace cohort::config {
namespace {

constexpr auto file_fields = std::to_array<FieldSpec>({
    {"state_directory", "path", "required",
     "where keys, certificates and databases are kept; made with mode 0700 if it is not there; two "
     "daemons never share one"},
    {"runtime_directory", "path", "/run/cohort",
     "a directory in memory (tmpfs): a daemon that is started again without the machine finds "
     "there "
     "whether its state is the last that it wrote; daemons may share it"},
    {"hostname", "text", "",
     "this machine's name in certificates and messages; without it the system's"},
    {"allow_weak", "true or false", "false",
     "admits 3DES, SHA-1 and MD5 in ISAKMP and SCEP, Diffie-Hellman groups 2 and 5, and peers' RSA "
     "keys under 2048 bits; each use in the file is warned of"},
    {"crypto_threads", "0..256", "0",
     "threads for public-key operations; 0 is one for each processor"},
    {"logging", "section", "", "where events go and which"},
    {"admin", "section", "", "the socket that the `cohort` command talks to"},
    {"metrics", "section", "", "metrics for Prometheus; without the section there are none"},
    {"lab", "section", "", "switches for laboratories only"},
    {"keys", "LABEL → section", "", "labelled key pairs, made at start if they are not there"},
    {"trustpoints", "NAME → section", "",
     "certificate authorities that this daemon trusts and enrols with"},
    {"pre_shared_keys", "list of sections", "",
     "pre-shared keys by peer; the longest prefix that matches counts"},
    {"isakmp", "section", "", "phase 1 with every peer"},
    {"access_lists", "NAME → list", "",
     "ordered lists of lines, each a text such as `permit ip 10.0.0.0 0.0.0.255 172.16.0.0 "
     "0.0.255.255` or a section"},
    {"profiles", "NAME → section", "", "how traffic is protected"},
    {"certificate_authority", "section", "", "makes this daemon a certificate authority"},
    {"key_server", "section", "", "makes this daemon a key server"},
    {"group_member", "section", "", "makes this daemon a group member"},
    {"dataplane", "section", "", "ports and workers; for a group member"},
});

constexpr auto logging_fields = std::to_array<FieldSpec>({
    {"level", "severity", "notice",
     "the least severe events to log: emergency, alert, critical, error, warning, notice, "
     "informational or debug"},
    {"standard_error", "true or false", "true", "log lines to standard error"},
    {"syslog", "true or false", "false", "log lines to syslog, facility local7"},
    {"event_log", "path", "", "a file that gets each event as a line of JSON"},
    {"debug", "list of categories", "",
     "debug categories that are on from the start; `cohort debug list` names them"},
});

constexpr auto admin_fields = std::to_array<FieldSpec>({
    {"socket", "path", "/run/cohort/cohort.sock",
     "the Unix socket, mode 0600; `cohort --socket PATH` or COHORT_SOCKET names another than the "
     "default"},
});

constexpr auto metrics_fields = std::to_array<FieldSpec>({
    {"listen", "endpoint", "127.0.0.1:9848", "where GET /metrics is answered"},
});

constexpr auto lab_fields = std::to_array<FieldSpec>({
    {"export_keys", "true or false", "false",
     "lets `cohort gm export-lab-keys` write the group's traffic keys, so that a capture can be "
     "decrypted; anyone who reads them reads the group's traffic"},
});

constexpr auto isakmp_fields = std::to_array<FieldSpec>({
    {"policies", "list of sections", "required",
     "acceptable phase 1 transforms, the most wanted first"},
    {"keepalive", "section", "", "dead peer detection (RFC 3706)"},
    {"retransmit_initial", "duration", "1s", "wait before the first retransmission; doubles"},
    {"retransmit_tries", "1..10", "5", "retransmissions before the peer is given up"},
    {"fragment_size", "0, or 576..65000", "1280",
     "octets above which a message goes in fragments, to peers that can; 0 is never"},
    {"nat_traversal", "true or false", "false", "detect a NAT between the peers (RFC 3947)"},
    {"nat_port", "1..65535", "4500", "where an SA moves when there is a NAT, at both ends"},
    {"half_open_timeout", "duration", "30s", "then a responder forgets an unfinished exchange"},
    {"rekey", "true or false", "true",
     "as initiator, make a new phase 1 SA before the old one expires"},
    {"half_open_max", "1..100000", "1000",
     "unauthenticated phase 1 of all peers together; a quarter from one /24 or IPv6 /64"},
    {"half_open_max_per_address", "1..1000", "8", "and from one address"},
    {"established_max", "1..1000000", "20000", "established phase 1 of all peers together"},
    {"ecdsa_signs", "hash or digest", "hash",
     "as initiator with ECDSA: sign HASH_I itself, as strongSwan does, or its digest, as RFC 4754 "
     "can be read; a responder answers in the form that it got, and both forms are accepted"},
});

constexpr auto isakmp_policy_fields = std::to_array<FieldSpec>({
    {"encryption", "aes-128, aes-192, aes-256 (weak: 3des)", "aes-256", "cipher, in CBC mode"},
    {"hash", "sha256, sha384, sha512 (weak: sha1, md5)", "sha256",
     "hash and pseudo-random function"},
    {"group", "14, 15, 16, 19, 20, 21 (weak: 2, 5)", "14", "Diffie-Hellman group"},
    {"authentication", "rsa-sig, ecdsa-256-sig, ecdsa-384-sig, ecdsa-521-sig, pre-share", "rsa-sig",
     "how the peers prove who they are"},
    {"lifetime", "duration", "24h", "of the phase 1 SA; 60s to 7d"},
});

constexpr auto keepalive_fields = std::to_array<FieldSpec>({
    {"mode", "off, on-demand or periodic", "periodic", "when to ask whether a peer is alive"},
    {"interval", "duration", "15s", "silence after which to ask; 1s to 1h"},
    {"retry", "duration", "3s", "wait for an answer before asking again"},
    {"retries", "1..60", "5", "unanswered questions before the peer is dead"},
});

}  // namespace

namespace sections {

const SectionSpec file{"The file", "", "one daemon", file_fields};
const SectionSpec logging{"Logging", "/logging", "where events go and which", logging_fields};
const SectionSpec admin{"Operator's socket", "/admin", "for the `cohort` command", admin_fields};
const SectionSpec metrics{"Metrics", "/metrics", "for Prometheus, over HTTP", metrics_fields};
const SectionSpec lab{"Laboratory", "/lab", "never in production", lab_fields};
const SectionSpec isakmp{"ISAKMP", "/isakmp", "phase 1 (RFC 2408, RFC 2409)", isakmp_fields};
const SectionSpec isakmp_policy{"ISAKMP policy", "/isakmp/policies/N", "one acceptable transform",
                                isakmp_policy_fields};
const SectionSpec keepalive{"ISAKMP keepalive", "/isakmp/keepalive",
                            "without the section a peer's death is noticed by retransmission only",
                            keepalive_fields};

}  // namespace sections
}  // namespace cohort::config
