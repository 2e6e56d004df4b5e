// Commands about co-operating key servers.
#include <algorithm>
#include <fmt/format.h>

#include "controlplane/daemon/commands.hpp"
#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

double seconds_of(std::chrono::milliseconds value) {
  return static_cast<double>(value.count()) / 1000.0;
}

Json versions_json(const std::vector<coop::ClientVersion>& clients) {
  Json out = Json::object();
  for (const coop::ClientVersion& one : clients) {
    const std::string name = one.client == coop::client_policy   ? "policy"
                             : one.client == coop::client_member ? "group_member"
                             : one.client == coop::client_sid
                                 ? "sid"
                                 : fmt::format("client_{}", one.client);
    out[name] = fmt::format("{}.{}.{}", one.major, one.minor, one.mini);
  }
  return out;
}

Json differences_json(const std::vector<coop::Difference>& differences) {
  Json out = Json::array();
  for (const auto& one : differences)
    out.push_back({{"name", one.name}, {"here", one.here}, {"there", one.there}});
  return out;
}

Json peer_json(const coop::PeerStatus& peer) {
  const coop::PeerCounters& c = peer.counters;
  return {{"handle", peer.handle},
          {"address", peer.address.address.text()},
          {"version", fmt::format("{}.{}", peer.version_major, peer.version_minor)},
          {"clients", versions_json(peer.clients)},
          {"priority", peer.priority},
          {"role", peer.role_known ? Json(name_of(peer.role)) : Json("Unknown")},
          {"status", name_of(peer.reach)},
          {"sequence", peer.sequence_received},
          {"sequence_sent", peer.sequence_sent},
          {"ike", peer.ike_established ? "Established" : "Not Established"},
          {"heard_ago_s", peer.heard_ago ? Json(seconds_of(*peer.heard_ago)) : Json()},
          {"synchronized", peer.synchronized},
          {"lag", peer.lag},
          {"policy_differs", !peer.differences.empty()},
          {"differences", differences_json(peer.differences)},
          {"pseudotime_difference_ms", peer.pseudotime_difference_ms},
          {"announces_sent", c.announces_sent},
          {"announces_sent_with_reply_request", c.announces_sent_with_request},
          {"announces_received", c.announces_received},
          {"announces_received_with_reply_request", c.announces_received_with_request},
          {"data_sent", c.data_sent},
          {"data_received", c.data_received},
          {"retransmissions", c.retransmissions},
          {"sent_drops", c.send_drops},
          {"received_drops", c.receive_drops},
          {"bytes_sent", c.octets_sent},
          {"bytes_received", c.octets_received}};
}

/// Our own among the handles of a group's key servers; the peers' follow.
constexpr unsigned local_handle = 1;

Json group_json(const coop::GroupStatus& group) {
  Json peers = Json::array();
  for (const auto& peer : group.peers) peers.push_back(peer_json(peer));
  return {{"name", group.group_name},
          {"identity", group.group.text()},
          {"group_handle", group.group_handle},
          {"local_handle", local_handle},
          {"local_address", group.local.address.text()},
          {"local_priority", group.priority},
          {"role", name_of(group.role)},
          {"status", "Alive"},
          {"policy_differs", group.drifted},
          {"waits_for_operator", group.leaderless},
          {"primary", group.primary ? Json(group.primary->text()) : Json()},
          {"version", fmt::format("{}.{}", coop::version_major, coop::version_minor)},
          {"clients", versions_json(group.clients)},
          {"sequence", group.sequence},
          {"refresh_policy_time_s", seconds_of(group.refresh_policy)},
          {"refresh_remaining_s", seconds_of(group.refresh_remaining)},
          {"periodic_time_s", seconds_of(group.periodic)},
          {"periodic_remaining_s", seconds_of(group.periodic_remaining)},
          {"dead_time_s", seconds_of(group.dead)},
          {"retries", group.retries},
          {"invalid_pseudotimes", group.invalid_pseudotimes},
          {"members_blocked", group.members_blocked},
          {"elections", group.elections},
          {"pseudotime_ms", group.pseudotime_ms},
          {"pseudotime_is_estimate", group.pseudotime_estimate},
          {"epoch", group.epoch_number},
          {"epoch_id", to_hex(group.epoch_id)},
          {"epoch_cause", group.epoch_cause},
          {"kek_generation", group.kek_generation},
          {"tek_generation", group.tek_generation},
          {"key_source", group.key_source == coop::KeySource::derived ? "derived" : "random"},
          {"members", group.members},
          {"sid_epoch", group.sid_epoch},
          {"sids_leased", group.sids_leased},
          {"sids_left", group.sids_left},
          {"peers", std::move(peers)}};
}

Result<Json> show_coop(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group"}));
  COHORT_TRY(const std::string wanted, arguments.text_or("group", ""));
  if (daemon.server() == nullptr) return fail(no_role, "no key server here");
  Json out = Json::array();
  const TimePoint now = daemon.runtime().clock.now();
  const auto served = daemon.server()->server()->status(now);
  for (const auto& group : daemon.server()->coop()->status(now)) {
    if (!wanted.empty() && group.group_name != wanted) continue;
    out.push_back(group_json(group));
    const auto at = std::find_if(served.begin(), served.end(), [&](const auto& one) {
      return one.name == group.group_name && one.next_member_timer;
    });
    out.back()["per_user_remaining_s"] = at == served.end() ? 0 : at->next_member_timer->count();
  }
  if (!wanted.empty() && out.empty()) return fail(no_group, wanted);
  return out;
}

Result<coop::Group*> group_of(Daemon& daemon, const std::string& name) {
  if (daemon.server() == nullptr) return fail(no_role, "no key server here");
  coop::Group* group = daemon.server()->coop()->find(name);
  if (group == nullptr) return fail(no_group, name + " has no other key servers");
  return group;
}

Result<Json> coop_elect(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group", "lead_when_different"}));
  COHORT_TRY(const std::string name, arguments.text("group"));
  COHORT_TRY(const bool lead, arguments.flag("lead_when_different", false));
  COHORT_TRY(coop::Group* const group, group_of(daemon, name));
  const TimePoint now = daemon.runtime().clock.now();
  if (lead)
    group->lead(now);
  else
    group->elect(now);
  daemon.audit(lead ? "coop elect --lead-when-different" : "coop elect", name);
  return Json{{"group", name}};
}

Result<Json> coop_compromise(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"group"}));
  COHORT_TRY(const std::string name, arguments.text("group"));
  COHORT_TRY(coop::Group* const group, group_of(daemon, name));
  COHORT_CHECK(group->exclude(daemon.runtime().clock.now(), coop::EpochCause::compromise));
  daemon.audit("coop compromise", name);
  return Json{{"group", name}};
}

constexpr CommandRow rows[] = {
    {"show crypto gkm ks coop", show_coop, nullptr},
    {"coop elect", coop_elect, nullptr},
    {"coop compromise", coop_compromise, nullptr},
};

}  // namespace

std::span<const CommandRow> coop_commands() {
  return rows;
}

}  // namespace cohort::daemon
