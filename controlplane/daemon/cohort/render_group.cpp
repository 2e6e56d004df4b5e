// Key server and group member.
#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <iterator>

#include "controlplane/daemon/cohort/render.hpp"

namespace cohort::daemon {
namespace {

using Out = std::back_insert_iterator<std::string>;

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

/// "AES" and "3DES", as the field prints ciphers; the key size stands beside it.
std::string cipher_text(const std::string& name) {
  if (name.find("3des") != std::string::npos || name.find("triple") != std::string::npos) {
    return "3DES";
  }
  return "AES";
}

std::string hash_text(const std::string& name) {
  return name == "sha1" ? "HMAC_AUTH_SHA" : "HMAC_AUTH_" + upper(name);
}

std::string yes(const Json& object, std::string_view key, std::string_view on,
                std::string_view off) {
  return std::string(flag_of(object, key) ? on : off);
}

void group_head(Out out, const Json& group) {
  fmt::format_to(out, "    Group Name               : {}\n", text_of(group, "name"));
  fmt::format_to(out, "    Group Identity           : {}\n", text_of(group, "identity"));
  fmt::format_to(out, "    Group Type               : {}\n", text_of(group, "type"));
  fmt::format_to(out, "    Crypto Path              : {}\n", text_of(group, "crypto_path"));
  fmt::format_to(out, "    Key Management Path      : {}\n", text_of(group, "key_management_path"));
  fmt::format_to(out, "    Rekeys received          : {}\n",
                 number_of(object_of(group, "rekeys"), "received"));
  fmt::format_to(out, "    IPSec SA Direction       : {}\n\n", text_of(group, "sa_direction"));
  std::string lead = "     Group Server list       : ";
  for (const Json& server : list_of(group, "servers")) {
    if (!server.is_string()) continue;
    fmt::format_to(out, "{}{}\n", lead, address_of(server.get_ref<const std::string&>()));
    lead = std::string(31, ' ');
  }
}

void registration_part(Out out, const Json& group) {
  const Json& registration = object_of(group, "registration");
  const std::string local = text_of(registration, "local");
  const std::string remote = text_of(registration, "remote");
  const std::string with = text_of(registration, "registered_with");
  fmt::format_to(out, "    Group member             : {}   vrf: None\n", address_of(local));
  fmt::format_to(out, "       Local addr/port       : {}/{}\n", address_of(local), port_of(local));
  fmt::format_to(out, "       Remote addr/port      : {}/{}\n", address_of(remote),
                 port_of(remote));
  fmt::format_to(out, "       fvrf/ivrf             : None/None\n");
  fmt::format_to(out, "       Version               : {}\n", text_of(registration, "version"));
  fmt::format_to(out, "       Registration status   : {}\n", text_of(registration, "state"));
  fmt::format_to(out, "       Registered with       : {}\n",
                 with.empty() ? "none" : address_of(with));
  fmt::format_to(
      out, "       Re-registers in       : {}\n",
      registration.contains("reregisters_in") && !registration["reregisters_in"].is_null()
          ? text_of(registration, "reregisters_in") + " sec"
          : "not scheduled");
  fmt::format_to(out, "       Succeeded registration: {}\n", number_of(registration, "succeeded"));
  fmt::format_to(out, "       Attempted registration: {}\n", number_of(registration, "attempted"));
  const std::string failure = text_of(registration, "last_failure");
  if (!failure.empty()) fmt::format_to(out, "       Last failure          : {}\n", failure);
}

void rekey_part(Out out, const Json& group) {
  const Json& rekeys = object_of(group, "rekeys");
  const std::string from = text_of(rekeys, "last_from");
  const std::string ago = text_of(rekeys, "last_ago");
  fmt::format_to(out, "       Last rekey from       : {}\n",
                 from.empty() ? "UNKNOWN" : address_of(from));
  fmt::format_to(out, "       Last rekey seq num    : {}\n", number_of(rekeys, "last_sequence"));
  fmt::format_to(out, "       Unicast rekey received: {}\n", number_of(rekeys, "unicast_received"));
  fmt::format_to(out, "       Rekey ACKs sent       : {}\n", number_of(rekeys, "acks_sent"));
  fmt::format_to(out, "       Rekey Received        : {}\n",
                 ago.empty() ? "never" : ago + " sec ago");
  fmt::format_to(out, "       PFS Rekey received    : {}\n", number_of(rekeys, "pfs_received"));
  fmt::format_to(out, "       DP Error Monitoring   : {}\n",
                 yes(group, "dp_error_monitoring", "ON", "OFF"));
  fmt::format_to(out, "       IPSEC init reg executed    : {}\n",
                 number_of(group, "unknown_spi_registrations"));
  fmt::format_to(out, "       IPSEC init reg postponed   : {}\n",
                 number_of(group, "unknown_spi_postponed"));
  fmt::format_to(out, "       Active TEK Number     : {}\n", list_of(group, "teks").size());
  fmt::format_to(out, "       SA Track (OID/status) : disabled\n");  // there is no such thing here
  fmt::format_to(out, "       Fail-Close            : {}\n",
                 yes(group, "fail_close", "Enabled", "Disabled"));
  fmt::format_to(out, "       Fail-Close Revert : {}\n\n",
                 yes(group, "fail_close_revert", "Enabled", "Disabled"));
  fmt::format_to(out, "       allowable rekey cipher: {}\n",
                 text_of(group, "allowed_rekey_cipher"));
  fmt::format_to(out, "       allowable rekey hash  : {}\n", text_of(group, "allowed_rekey_hash"));
  fmt::format_to(out, "       allowable transformtag: {}\n\n",
                 text_of(group, "allowed_transforms"));
  fmt::format_to(out, "    Rekeys cumulative\n");
  fmt::format_to(out, "       Total received        : {}\n", number_of(rekeys, "received"));
  fmt::format_to(out, "       After latest register : {}\n",
                 number_of(rekeys, "since_registration"));
  fmt::format_to(out, "       Refused               : {}\n", number_of(rekeys, "refused"));
  fmt::format_to(out, "       Rekey Acks sents      : {}\n\n", number_of(rekeys, "acks_sent"));
}

void acl_part(Out out, const Json& group) {
  const std::string with = text_of(object_of(group, "registration"), "registered_with");
  fmt::format_to(out, " ACL Downloaded From KS {}:\n", with.empty() ? "none" : address_of(with));
  for (const Json& line : list_of(group, "acl")) {
    if (line.is_string()) {
      fmt::format_to(out, "   access-list   {}\n", clean(line.get_ref<const std::string&>()));
    }
  }
  if (!list_of(group, "local_acl").empty()) fmt::format_to(out, " ACL Configured Locally:\n");
  for (const Json& line : list_of(group, "local_acl")) {
    if (line.is_string()) {
      fmt::format_to(out, "   access-list   {}\n", clean(line.get_ref<const std::string&>()));
    }
  }
}

void kek_part(Out out, const Json& group) {
  const Json& kek = object_of(group, "kek");
  if (kek.empty()) return;
  fmt::format_to(out, "\nKEK POLICY:\n");
  fmt::format_to(out, "    Rekey Transport Type     : {}\n", text_of(kek, "transport"));
  fmt::format_to(out, "    Lifetime (secs)          : {}\n", text_of(kek, "remaining"));
  fmt::format_to(out, "    Encrypt Algorithm        : {}\n", cipher_text(text_of(kek, "cipher")));
  fmt::format_to(out, "    Key Size                 : {}\n", number_of(kek, "key_bits"));
  fmt::format_to(out, "    Sig Hash Algorithm       : {}\n",
                 hash_text(text_of(kek, "signature_hash")));
  fmt::format_to(out, "    Sig Key Length (bits)    : {}\n", number_of(kek, "signature_key_bits"));
}

std::string anti_replay(const Json& tek) {
  if (text_of(tek, "replay") == "none") return "Anti-Replay : disabled";
  if (text_of(tek, "replay") == "time") {
    const auto ms = number_of(tek, "replay_window");
    return fmt::format("Anti-Replay(Time Based) : {}.{:03} sec interval", ms / 1000, ms % 1000);
  }
  return fmt::format("Anti-Replay(Counter Based) : {}", number_of(tek, "replay_window"));
}

/// The group's time, where an SA goes by it: how well our clock fits.
void time_part(Out out, const Json& group) {
  const Json& time = object_of(group, "time");
  if (time.empty()) return;
  const auto signed_of = [&](std::string_view key) {
    const auto found = time.find(key);
    return found != time.end() && found->is_number_integer()
               ? fmt::format("{} msec", found->get<std::int64_t>())
               : std::string("unknown");
  };
  const auto ms = number_of(time, "group_time_ms");
  fmt::format_to(out, "\nGROUP TIME:\n");
  fmt::format_to(out, "    Pseudotime (secs)        : {}.{:03}\n", ms / 1000, ms % 1000);
  fmt::format_to(out, "    Told by KS (secs ago)    : {}\n", text_of(time, "told_ago"));
  fmt::format_to(out, "    Correction then          : {}\n", signed_of("correction_ms"));
  fmt::format_to(out, "    Skew of packets received : {}\n", signed_of("skew_ms"));
}

void tek_part(Out out, const Json& group) {
  fmt::format_to(out, "\nTEK POLICY for the current KS-Policy ACEs Downloaded:\n");
  fmt::format_to(out, "  {}:\n", text_of(group, "port_pair"));
  for (const Json& tek : list_of(group, "teks")) {
    fmt::format_to(out, "    IPsec SA:\n");
    fmt::format_to(out, "        spi: {}\n", spi_text(number_of(tek, "spi")));
    fmt::format_to(out, "        transform: {}\n", text_of(tek, "transform"));
    fmt::format_to(out, "        sa timing:remaining key lifetime (sec): ({})\n",
                   text_of(tek, "remaining"));
    fmt::format_to(out, "        {}\n", anti_replay(tek));
    fmt::format_to(out, "        tag method : {}\n", text_of(tek, "tag_method"));
    fmt::format_to(out, "        alg key size: {} (bytes)\n", number_of(tek, "cipher_key_octets"));
    fmt::format_to(out, "        sig key size: {} (bytes)\n",
                   number_of(tek, "integrity_key_octets"));
    fmt::format_to(out, "        encaps: {}\n", text_of(tek, "encapsulation"));
    fmt::format_to(out, "        sending: {}\n", yes(tek, "sending", "yes", "no"));
  }
}

/// Policies for other kinds of members, that no key server here hands out.
void other_policies(Out out, const Json& group) {
  const std::string local = address_of(text_of(object_of(group, "registration"), "local"));
  for (const std::string_view kind : {"KGS", "P2P"})
    fmt::format_to(out, "\n{} POLICY:\n  REG_GM: local_addr {}  none\n", kind, local);
}

}  // namespace

std::string render_gkm_group(const Json& groups) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const Json& group : groups) {
    if (!group.is_object()) continue;
    const std::string name = text_of(group, "name");
    group_head(out, group);
    fmt::format_to(out, "\nGroup Member Information For Group {}:\n", name);
    fmt::format_to(out, "    IPSec SA Direction       : {}\n", text_of(group, "sa_direction"));
    fmt::format_to(
        out, "    ACL Received From KS     : {}\n\n",
        list_of(group, "acl").empty() ? std::string("none") : "gdoi_group_" + name + "_temp_acl");
    registration_part(out, group);
    rekey_part(out, group);
    acl_part(out, group);
    kek_part(out, group);
    time_part(out, group);
    tek_part(out, group);
    other_policies(out, group);
    text += "\n";
  }
  return text;
}

std::string render_ks_members(const Json& groups) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const Json& group : groups) {
    fmt::format_to(out, "Group Member Information :\n\nNumber of rekeys sent for group {} : {}\n\n",
                   text_of(group, "name"), number_of(group, "rekeys"));
    for (const Json& member : list_of(group, "members")) {
      fmt::format_to(out, "Group Member ID    : {}\n", address_of(text_of(member, "remote")));
      fmt::format_to(out, " Implementation    : {}\n", text_of(member, "implementation"));
      fmt::format_to(out, " Member number     : {}\n", number_of(member, "id"));
      fmt::format_to(out, " Identity          : {}\n", text_of(member, "identity"));
      fmt::format_to(out, " Group ID          : {}\n", text_of(group, "identity"));
      fmt::format_to(out, " Group Name        : {}\n", text_of(group, "name"));
      fmt::format_to(out, " Key Server ID     : {}\n", address_of(text_of(group, "local")));
      fmt::format_to(out, " Registered        : {} sec ago, {} times\n",
                     text_of(member, "registered_ago"), number_of(member, "registrations"));
      fmt::format_to(out, " Rekeys sent       : {}\n", number_of(member, "rekeys_sent"));
      fmt::format_to(out, " Rekeys retries    : {}\n", number_of(member, "rekey_retries"));
      fmt::format_to(out, " Rekey Acks Rcvd   : {}\n", number_of(member, "acks_received"));
      fmt::format_to(out, " Rekey Acks missed : {}\n", number_of(member, "acks_missed"));
      fmt::format_to(out, " Sent seq num      : {}\n", number_of(member, "last_sequence_sent"));
      fmt::format_to(out, " Rcvd seq num      : {}\n\n",
                     number_of(member, "last_sequence_acknowledged"));
    }
    for (const Json& identity : list_of(group, "removed")) {
      if (identity.is_string()) {
        fmt::format_to(out, "Removed by an operator: {}\n",
                       clean(identity.get_ref<const std::string&>()));
      }
    }
  }
  return text;
}

std::string render_ks_policy(const Json& groups) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const Json& group : groups) {
    fmt::format_to(out, "Key Server Policy:\nFor group {} (handle: {}) server {}:\n\n",
                   text_of(group, "name"), text_of(group, "identity"),
                   address_of(text_of(group, "local")));
    fmt::format_to(out, "  # of teks : {}  Seq num : {}\n", list_of(group, "teks").size(),
                   number_of(object_of(group, "kek"), "sequence"));
    const Json& kek = object_of(group, "kek");
    if (!kek.empty()) {
      fmt::format_to(out, "  KEK POLICY\n    spi : 0x{}\n", upper(text_of(kek, "spi")));
      fmt::format_to(out, "    management alg     : disabled    encrypt alg       : {}\n",
                     cipher_text(text_of(kek, "cipher")));
      fmt::format_to(out, "    key size           : {}\n", number_of(kek, "key_bits"));
      fmt::format_to(out, "    orig life(sec): {}, remaining life(sec): {}\n",
                     text_of(kek, "lifetime"), text_of(kek, "remaining"));
      fmt::format_to(out, "    sig hash algorithm : {}      sig key length    : {}\n",
                     upper(text_of(kek, "signature_hash")), number_of(kek, "signature_key_bits"));
    }
    for (const Json& tek : list_of(group, "teks")) {
      fmt::format_to(out, "  TEK POLICY (encaps : ENCAPS_TUNNEL)\n    spi : {}{}\n",
                     spi_text(number_of(tek, "spi")),
                     flag_of(tek, "superseded") ? "  (superseded)" : "");
      fmt::format_to(out, "    sa ipsec           : {}\n", number_of(tek, "sa_number"));
      for (const Json& line : list_of(tek, "acl")) {
        if (line.is_string()) {
          fmt::format_to(out, "    access-list        : {}\n",
                         clean(line.get_ref<const std::string&>()));
        }
      }
      fmt::format_to(out, "    transform          : {}\n", text_of(tek, "suite"));
      fmt::format_to(out, "    alg key size       : {}            sig key size      : {}\n",
                     number_of(tek, "cipher_key_bits") / 8,
                     number_of(tek, "integrity_key_bits") / 8);
      fmt::format_to(out, "    orig life(sec)     : {}          remaining life(sec): {}\n",
                     text_of(tek, "lifetime"), text_of(tek, "remaining"));
      fmt::format_to(out, "    elapsed time(sec)  : {}\n    {}\n", text_of(tek, "elapsed"),
                     anti_replay(tek));
    }
    text += "\n";
  }
  return text;
}

std::string render_ks_rekey(const Json& groups) {
  std::string text;
  const Out out = std::back_inserter(text);
  for (const Json& group : groups) {
    fmt::format_to(out, "Group {} ({})\n", text_of(group, "name"), text_of(group, "transport"));
    fmt::format_to(out, "    Number of Rekeys sent               : {}\n",
                   number_of(group, "rekeys"));
    fmt::format_to(out, "    Number of KEK Rekeys sent           : {}\n",
                   number_of(group, "kek_rekeys"));
    fmt::format_to(out, "    Number of Rekeys retransmitted      : {}\n",
                   number_of(group, "retransmissions"));
    fmt::format_to(out, "    Rekey messages sent                 : {}\n",
                   number_of(group, "pushes_sent"));
    fmt::format_to(out, "    Rekey acknowledgements received     : {}\n",
                   number_of(group, "acks_received"));
    fmt::format_to(out, "    Members removed without an answer   : {}\n",
                   number_of(group, "evictions"));
    fmt::format_to(out, "    Retransmit period                   : {} ms, {} times\n",
                   number_of(group, "retransmit_interval_ms"),
                   number_of(group, "retransmit_number"));
    fmt::format_to(out, "    Acknowledgement                     : {}\n",
                   yes(group, "acknowledge", "requested", "not requested"));
    fmt::format_to(out, "    Sequence number                     : {}\n",
                   text_of(group, "sequence", "none"));
    fmt::format_to(out, "    Next rekey (sec)                    : {}\n",
                   text_of(group, "next_rekey", "none"));
    fmt::format_to(out, "    Next KEK rekey (sec)                : {}\n",
                   text_of(group, "next_kek_rekey", "none"));
  }
  return text;
}

std::string render_isakmp_sa(const Json& sas) {
  std::string text =
      fmt::format("{:<22} {:<22} {:<10} {:<12} {:<7} {:<6} {:>8}  {}\n", "local", "remote", "role",
                  "cipher", "hash", "group", "seconds", "identity");
  for (const Json& sa : sas) {
    text += fmt::format("{:<22} {:<22} {:<10} {:<12} {:<7} {:<6} {:>8}  {}\n", text_of(sa, "local"),
                        text_of(sa, "remote"), text_of(sa, "role"), text_of(sa, "cipher"),
                        text_of(sa, "hash"), text_of(sa, "group"), text_of(sa, "remaining"),
                        text_of(sa, "identity"));
  }
  return text;
}

}  // namespace cohort::daemon
