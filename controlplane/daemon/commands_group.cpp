// Commands about phase 1, key server and group member.
#include <fmt/format.h>

#include "controlplane/daemon/commands.hpp"
#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/reasons.hpp"
#include "controlplane/daemon/version.hpp"

namespace cohort::daemon {
namespace {

std::string_view replay_name(dataplane::ReplayKind kind) {
  switch (kind) {
    case dataplane::ReplayKind::none:
      return "none";
    case dataplane::ReplayKind::counter:
      return "counter";
    case dataplane::ReplayKind::time:
      return "time";
  }
  return "?";
}

std::string_view transport_name(gdoi::RekeyTransport transport) {
  return transport == gdoi::RekeyTransport::unicast ? "Unicast" : "Multicast";
}

template <typename T, typename F>
Json optional_json(const std::optional<T>& value, F to_json) {
  return value ? Json(to_json(*value)) : Json();
}

std::string endpoint_text(const Endpoint& endpoint) {
  return endpoint.text();
}

// ---- group member ----

Json kek_json(const gdoi::GmKekStatus& kek) {
  return {{"spi", to_hex(kek.spi)},
          {"transport", transport_name(kek.transport)},
          {"remaining", seconds_json(kek.remaining)},
          {"cipher", crypto::name_of(kek.cipher)},
          {"key_bits", crypto::key_size(kek.cipher) * 8},
          {"signature_hash", crypto::name_of(kek.signature_hash)},
          {"signature_key_bits", kek.signature_key_bits},
          {"sequence", kek.seq},
          {"acknowledge", kek.acknowledge}};
}

Json tek_json(const gdoi::GmTekStatus& tek) {
  return {{"spi", tek.spi},
          {"suite", dataplane::shape_of(tek.suite).name},
          {"transform", tek.transform},
          {"remaining", seconds_json(tek.remaining)},
          {"replay", replay_name(tek.replay)},
          {"replay_window", tek.replay_window},
          {"cipher_key_octets", tek.cipher_key_octets},
          {"integrity_key_octets", tek.integrity_key_octets},
          {"sending", tek.sending},
          {"sender_ids", tek.sender_ids},
          {"acl", texts_json(tek.acl)},
          {"tag_method", "disabled"},
          {"encapsulation", "ENCAPS_TUNNEL"}};
}

Json time_json(const gdoi::GmTimeStatus& time) {
  return {{"group_time_ms", time.group_time_ms},
          {"told_ago", seconds_json(time.told_ago)},
          {"correction_ms", time.correction_ms},
          {"skew_ms", optional_json(time.skew_ms, [](std::int32_t ms) { return ms; })}};
}

Json registration_json(const gdoi::GroupMemberStatus& group) {
  return {{"state", gdoi::name_of(group.state)},
          {"registered", group.registered},
          {"local", group.local.text()},
          {"remote", group.remote.text()},
          {"version", group.version.empty() ? std::string(version_text) : group.version},
          {"registered_with", optional_json(group.registered_with, endpoint_text)},
          {"reregisters_in", optional_json(group.reregisters_in, seconds_json)},
          {"succeeded", group.registrations_succeeded},
          {"attempted", group.registrations_attempted},
          {"last_failure", group.last_failure}};
}

Json rekeys_json(const gdoi::GroupMemberStatus& group) {
  return {{"received", group.rekeys_received},
          {"unicast_received", group.unicast_rekeys_received},
          {"acks_sent", group.rekey_acks_sent},
          {"since_registration", group.rekeys_since_registration},
          {"refused", group.rekeys_refused},
          {"pfs_received", group.pfs_rekeys},
          {"last_from", optional_json(group.last_rekey_from, endpoint_text)},
          {"last_sequence", group.last_rekey_seq},
          {"last_ago", optional_json(group.last_rekey_ago, seconds_json)}};
}

Json member_json(const gdoi::GroupMemberStatus& group) {
  Json servers = Json::array();
  for (const Endpoint& server : group.servers) servers.push_back(server.text());
  Json teks = Json::array();
  for (const auto& tek : group.teks) teks.push_back(tek_json(tek));
  return {{"name", group.name},
          {"identity", group.id.text()},
          {"type", group.group_type},
          {"crypto_path", group.crypto_path},
          {"key_management_path", group.key_management_path},
          {"sa_direction", group.sa_direction},
          {"servers", servers},
          {"port_pair", group.port_pair},
          {"registration", registration_json(group)},
          {"rekeys", rekeys_json(group)},
          {"fail_close", group.fail_close},
          {"fail_close_revert", group.fail_close_revert},
          {"dp_error_monitoring", group.dp_error_monitoring},
          {"unknown_spi", group.unknown_spi},
          {"unknown_spi_registrations", group.unknown_spi_registrations},
          {"unknown_spi_postponed", group.unknown_spi_postponed},
          {"time_registrations", group.time_registrations},
          {"time", optional_json(group.time, time_json)},
          {"allowed_rekey_cipher", group.allowed_rekey_cipher},
          {"allowed_rekey_hash", group.allowed_rekey_hash},
          {"allowed_transforms", group.allowed_transforms},
          {"acl", texts_json(group.acl)},
          {"local_acl", texts_json(group.local_acl)},
          {"kek", optional_json(group.kek, kek_json)},
          {"teks", teks}};
}

Result<Json> show_group(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group"}));
  COHORT_TRY(const std::string wanted, arguments.text_or("group", ""));
  if (daemon.member() == nullptr) return fail(no_role, "no group member here");
  Json out = Json::array();
  for (auto& group : daemon.member()->member()->status(daemon.runtime().clock.now())) {
    if (!wanted.empty() && group.name != wanted) continue;
    if (group.local.address.is_unspecified()) group.local = daemon.member()->local();
    out.push_back(member_json(group));
  }
  if (!wanted.empty() && out.empty()) return fail(no_group, wanted);
  return out;
}

Result<Json> gm_register(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group"}));
  COHORT_TRY(const std::string group, arguments.text("group"));
  if (daemon.member() == nullptr) return fail(no_role, "no group member here");
  COHORT_CHECK(daemon.member()->member()->register_now(daemon.runtime().clock.now(), group));
  daemon.audit("gm register", group);
  return Json{{"group", group}};
}

// ---- key server ----

Json ks_member_json(const gdoi::KsMemberStatus& member) {
  return {{"id", member.id},
          {"identity", member.identity},
          {"implementation", member.cohort ? "cohort" : "another"},
          {"remote", member.remote.text()},
          {"registered_ago", seconds_json(member.registered_ago)},
          {"registrations", member.registrations},
          {"sender_ids", member.sender_ids},
          {"rekeys_sent", member.rekeys_sent},
          {"rekey_retries", member.rekey_retries},
          {"acks_received", member.acks_received},
          {"acks_missed", member.acks_missed},
          {"unanswered_rekeys", member.unanswered_rekeys},
          {"last_sequence_sent", member.last_seq_sent},
          {"last_sequence_acknowledged", member.last_seq_acknowledged}};
}

Json ks_tek_json(const gdoi::KsTekStatus& tek) {
  return {{"spi", tek.spi},
          {"sa_number", tek.sa_number},
          {"acl", texts_json(tek.acl)},
          {"suite", dataplane::shape_of(tek.suite).name},
          {"cipher_key_bits", dataplane::shape_of(tek.suite).cipher_key * 8},
          {"integrity_key_bits", dataplane::shape_of(tek.suite).integrity_key * 8},
          {"replay", replay_name(tek.replay)},
          {"replay_window", tek.replay_window},
          {"lifetime", seconds_json(tek.lifetime)},
          {"remaining", seconds_json(tek.remaining)},
          {"elapsed", seconds_json(tek.elapsed)},
          {"superseded", tek.superseded}};
}

Json ks_kek_json(const gdoi::KsKekStatus& kek) {
  return {{"spi", to_hex(kek.spi)},
          {"cipher", crypto::name_of(kek.cipher)},
          {"key_bits", crypto::key_size(kek.cipher) * 8},
          {"signature_hash", crypto::name_of(kek.signature_hash)},
          {"signature_key_bits", kek.signature_key_bits},
          {"lifetime", seconds_json(kek.lifetime)},
          {"remaining", seconds_json(kek.remaining)},
          {"sequence", kek.seq}};
}

Json ks_members_part(const gdoi::KsGroupStatus& group) {
  Json members = Json::array();
  for (const auto& member : group.members) members.push_back(ks_member_json(member));
  return {{"members", members}, {"removed", texts_json(group.removed)}};
}

Json ks_policy_part(const gdoi::KsGroupStatus& group) {
  Json teks = Json::array();
  for (const auto& tek : group.teks) teks.push_back(ks_tek_json(tek));
  return {{"kek", optional_json(group.kek, ks_kek_json)},
          {"teks", teks},
          {"acl", texts_json(group.acl)},
          {"group_time_ms", group.group_time_ms ? Json(*group.group_time_ms) : Json()},
          {"activation_delay", seconds_json(group.activation_delay)},
          {"deactivation_delay", seconds_json(group.deactivation_delay)},
          {"sender_id_bits", group.sender_id_bits},
          {"sender_ids_used", group.sender_ids_used},
          {"sender_ids_left", group.sender_ids_left}};
}

Json ks_rekey_part(const gdoi::KsGroupStatus& group) {
  return {{"transport", transport_name(group.transport)},
          {"acknowledge", group.acknowledge},
          {"retransmit_number", group.retransmit_number},
          {"retransmit_interval_ms", group.retransmit_interval.count()},
          {"next_rekey", optional_json(group.next_rekey, seconds_json)},
          {"next_kek_rekey", optional_json(group.next_kek_rekey, seconds_json)},
          {"sequence", group.kek ? Json(group.kek->seq) : Json()},
          {"rekeys", group.rekeys},
          {"kek_rekeys", group.kek_rekeys},
          {"pushes_sent", group.pushes_sent},
          {"retransmissions", group.retransmissions},
          {"acks_received", group.acks_received},
          {"evictions", group.evictions}};
}

Result<Json> show_ks(Daemon& daemon, const Arguments& arguments,
                     Json (*part)(const gdoi::KsGroupStatus&)) {
  COHORT_CHECK(arguments.only({"group"}));
  COHORT_TRY(const std::string wanted, arguments.text_or("group", ""));
  if (daemon.server() == nullptr) return fail(no_role, "no key server here");
  Json out = Json::array();
  for (const auto& group : daemon.server()->server()->status(daemon.runtime().clock.now())) {
    if (!wanted.empty() && group.name != wanted) continue;
    Json one = part(group);
    one["name"] = group.name;
    one["identity"] = group.id.text();
    one["local"] = daemon.server()->local().text();
    one["registrations"] = group.registrations;
    one["refused"] = group.refused;
    one["rekeys"] = group.rekeys;
    one["member_count"] = group.members.size();
    out.push_back(std::move(one));
  }
  if (!wanted.empty() && out.empty()) return fail(no_group, wanted);
  return out;
}

Result<Json> show_ks_members(Daemon& daemon, const Arguments& arguments) {
  return show_ks(daemon, arguments, ks_members_part);
}
Result<Json> show_ks_policy(Daemon& daemon, const Arguments& arguments) {
  return show_ks(daemon, arguments, ks_policy_part);
}
Result<Json> show_ks_rekey(Daemon& daemon, const Arguments& arguments) {
  return show_ks(daemon, arguments, ks_rekey_part);
}

Result<gdoi::KeyServer*> key_server_of(Daemon& daemon) {
  if (daemon.server() == nullptr) return fail(no_role, "no key server here");
  return daemon.server()->server();
}

Result<Json> ks_rekey(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group", "kek"}));
  COHORT_TRY(const std::string group, arguments.text("group"));
  COHORT_TRY(const bool kek, arguments.flag("kek", false));
  COHORT_TRY(gdoi::KeyServer* const server, key_server_of(daemon));
  COHORT_CHECK(server->rekey_now(daemon.runtime().clock.now(), group, kek));
  daemon.audit("ks rekey", group);
  return Json{{"group", group}, {"kek", kek}};
}

Result<Json> ks_members_remove(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group", "member"}));
  COHORT_TRY(const std::string group, arguments.text("group"));
  COHORT_TRY(const std::uint64_t member, arguments.number("member"));
  if (member > 0xffffffff) return fail(bad_argument, "member");
  COHORT_TRY(gdoi::KeyServer* const server, key_server_of(daemon));
  COHORT_CHECK(server->remove_member(daemon.runtime().clock.now(), group,
                                     static_cast<gdoi::MemberId>(member)));
  daemon.audit("ks members remove", fmt::format("{} {}", group, member));
  return Json{{"group", group}, {"member", member}};
}

Result<Json> ks_members_admit(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group", "identity"}));
  COHORT_TRY(const std::string group, arguments.text("group"));
  COHORT_TRY(const std::string identity, arguments.text("identity"));
  COHORT_TRY(gdoi::KeyServer* const server, key_server_of(daemon));
  COHORT_CHECK(server->admit_member(daemon.runtime().clock.now(), group, identity));
  daemon.audit("ks members admit", group + " " + identity);
  return Json{{"group", group}, {"identity", identity}};
}

Result<Json> ks_members_clear(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group"}));
  COHORT_TRY(const std::string group, arguments.text("group"));
  COHORT_TRY(gdoi::KeyServer* const server, key_server_of(daemon));
  COHORT_CHECK(server->clear_members(daemon.runtime().clock.now(), group));
  daemon.audit("ks members clear", group);
  return Json{{"group", group}};
}

// ---- phase 1 ----

Result<Json> show_isakmp(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  const TimePoint now = daemon.runtime().clock.now();
  Json out = Json::array();
  for (const GroupNode* node : {daemon.server(), daemon.member()}) {
    if (node == nullptr) continue;
    for (const ike::Phase1Info& info : node->isakmp().established()) {
      const auto left = std::chrono::duration_cast<std::chrono::seconds>(info.expires - now);
      out.push_back({{"id", info.id.value},
                     {"local", info.local.text()},
                     {"remote", info.remote.text()},
                     {"role", info.initiator ? "initiator" : "responder"},
                     {"identity", info.peer.by_certificate ? info.peer.subject : info.peer.id_text},
                     {"cipher", crypto::name_of(info.transform.cipher)},
                     {"hash", crypto::name_of(info.transform.hash)},
                     {"group", static_cast<unsigned>(info.transform.group)},
                     {"remaining", seconds_json(left)}});
    }
  }
  return out;
}

constexpr CommandRow rows[] = {
    {"show crypto gkm group", show_group, nullptr},
    {"show crypto gkm ks members", show_ks_members, nullptr},
    {"show crypto gkm ks policy", show_ks_policy, nullptr},
    {"show crypto gkm ks rekey", show_ks_rekey, nullptr},
    {"show crypto isakmp sa", show_isakmp, nullptr},
    {"gm register", gm_register, nullptr},
    {"ks rekey", ks_rekey, nullptr},
    {"ks members remove", ks_members_remove, nullptr},
    {"ks members admit", ks_members_admit, nullptr},
    {"ks members clear", ks_members_clear, nullptr},
};

}  // namespace

std::span<const CommandRow> group_commands() {
  return rows;
}

}  // namespace cohort::daemon
