// Commands about the daemon as a whole, access lists, the dataplane and debugging.
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>

#include "controlplane/daemon/commands.hpp"
#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/events.hpp"
#include "controlplane/daemon/reasons.hpp"
#include "controlplane/daemon/version.hpp"
#include "dataplane/api/drop_reason.hpp"

namespace cohort::daemon {
namespace {

std::int64_t seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration_cast<std::chrono::seconds>(to - from).count();
}

Result<Json> show_version(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  const config::Configuration& configuration = daemon.configuration();
  Json roles = Json::array();
  if (configuration.certificate_authority) roles.push_back("certificate_authority");
  if (configuration.key_server) roles.push_back("key_server");
  if (configuration.group_member) roles.push_back("group_member");
  return Json{{"version", version_text},
              {"hostname", configuration.hostname},
              {"configuration", configuration.file},
              {"state_directory", configuration.state_directory},
              {"roles", roles},
              {"uptime", seconds_between(daemon.started(), daemon.runtime().clock.now())}};
}

Result<Json> show_access_lists(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"name"}));
  COHORT_TRY(const std::string name, arguments.text_or("name", ""));
  Json out = Json::array();
  for (const config::AccessList& list : daemon.configuration().access_lists) {
    if (!name.empty() && list.name != name) continue;
    Json lines = Json::array();
    for (const config::AccessLine& line : list.lines) {
      lines.push_back({{"sequence", line.number}, {"text", config::access_text(line.entry)}});
    }
    out.push_back({{"name", list.name}, {"lines", lines}});
  }
  if (daemon.member() != nullptr) {
    for (const auto& group : daemon.member()->member()->status(daemon.runtime().clock.now())) {
      const std::string downloaded = fmt::format("gdoi_group_{}_temp_acl", group.name);
      if (group.acl.empty() || (!name.empty() && name != downloaded)) continue;
      Json lines = Json::array();
      for (const std::string& text : group.acl)
        lines.push_back({{"sequence", 10 * (lines.size() + 1)}, {"text", text}});
      out.push_back({{"name", downloaded}, {"lines", lines}});
    }
  }
  if (!name.empty() && out.empty()) return fail(bad_argument, "there is no access list " + name);
  return out;
}

Json named_counters(const std::vector<dataplane::NamedCounter>& counters) {
  Json out = Json::object();
  for (const auto& counter : counters) out[std::string(counter.name)] = counter.value;
  return out;
}

/// What those count that are not zero.
Json sentences_of(const std::vector<dataplane::NamedCounter>& drops) {
  Json out = Json::object();
  for (std::size_t i = 0; i < std::min(drops.size(), dataplane::drop_reason_count); ++i) {
    if (drops[i].value != 0) out[std::string(drops[i].name)] = dataplane::drop_reasons[i].sentence;
  }
  return out;
}

Json port_json(const dataplane::PortStatus& port) {
  return {{"name", port.name},
          {"role", port.role},
          {"driver", port.driver},
          {"link_up", port.link_up},
          {"mtu", port.mtu},
          {"packets_in", port.packets_in},
          {"packets_out", port.packets_out},
          {"bytes_in", port.bytes_in},
          {"bytes_out", port.bytes_out},
          {"missed", port.missed},
          {"errors", port.errors}};
}

Result<Json> show_dataplane_counters(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  const dataplane::Manager* manager = daemon.runtime().dataplane->manager();
  if (manager == nullptr) return fail(no_role, "no group member here");
  Json out = Json::array();
  for (const auto& pair : daemon.configuration().dataplane->port_pairs) {
    const dataplane::Usage usage = manager->usage(pair.name);
    Json sas = Json::array();
    for (const dataplane::SaUsage& sa : usage.sas) {
      const Json skew = sa.time_skew_ms ? Json(*sa.time_skew_ms) : Json();
      sas.push_back({{"spi", sa.spi},
                     {"packets_out", sa.packets_out},
                     {"bytes_out", sa.bytes_out},
                     {"packets_in", sa.packets_in},
                     {"bytes_in", sa.bytes_in},
                     {"replay_drops", sa.replay_drops},
                     {"auth_failures", sa.auth_failures},
                     {"exhausted_permille", sa.exhausted_permille},
                     {"time_skew_ms", skew}});
    }
    Json ports = Json::array();
    for (const auto& port : manager->ports(pair.name)) ports.push_back(port_json(port));
    out.push_back({{"port_pair", pair.name},
                   {"ports", ports},
                   {"forwards", named_counters(usage.forwards)},
                   {"drops", named_counters(usage.drops)},
                   {"drop_sentences", sentences_of(usage.drops)},
                   {"sas", sas},
                   {"unknown_spi", usage.unknown_spi}});
  }
  return out;
}

Result<Json> show_refusals(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  Json out = Json::array();
  for (const auto& [key, refused] : daemon.runtime().metrics.refusals()) {
    out.push_back({{"where", key.first},
                   {"reason", key.second},
                   {"sentence", refused.sentence},
                   {"count", refused.count}});
  }
  return out;
}

/// More than the ways of packets explain.
constexpr std::int32_t skew_worth_a_word_ms = 1000;

void look_at_certificates(Daemon& daemon, Json& out) {
  const WallTime now = daemon.runtime().clock.wall();
  for (const pki::Trustpoint* trustpoint : daemon.runtime().keyring->trustpoints()) {
    const auto& certificate = trustpoint->certificate();
    if (!certificate) {
      out.push_back(fmt::format("trustpoint {}: no certificate yet", trustpoint->name()));
    } else if (now > certificate->not_after() || now < certificate->not_before()) {
      out.push_back(
          fmt::format("trustpoint {}: our certificate is good from {} to {}, and the clock "
                      "says {}",
                      trustpoint->name(), to_text(certificate->not_before()),
                      to_text(certificate->not_after()), to_text(now)));
    }
  }
}

void look_at_groups(Daemon& daemon, Json& out) {
  if (daemon.server() == nullptr) return;
  const TimePoint now = daemon.runtime().clock.now();
  const auto served = daemon.server()->server()->status(now);
  for (const auto& group : daemon.configuration().key_server->groups) {
    const std::string& name = group.policy.name;
    if (std::any_of(served.begin(), served.end(),
                    [&](const auto& one) { return one.name == name; }))
      continue;
    out.push_back(
        fmt::format("group {} is not served: its signing key {} is missing; `cohort crypto "
                    "key import`",
                    name, group.policy.rekey.signing_key));
  }
  for (const auto& group : daemon.server()->coop()->status(now)) {
    if (group.leaderless) {
      out.push_back(
          fmt::format("group {0}: no primary, since the policies of the key servers "
                      "differ: make them the same, or say `cohort coop elect {0} "
                      "--lead-when-different` at the right one",
                      group.group_name));
    }
    for (const auto& peer : group.peers) {
      const std::string address = peer.address.address.text();
      if (name_of(peer.reach) != "Alive")
        out.push_back(fmt::format("group {}: key server {} is {}", group.group_name, address,
                                  name_of(peer.reach)));
      for (const auto& one : peer.differences)
        out.push_back(fmt::format("group {}: {} is '{}' here and '{}' at {}", group.group_name,
                                  one.name, one.here, one.there, address));
    }
  }
}

Result<Json> doctor(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  Json out = Json::array();
  look_at_certificates(daemon, out);
  look_at_groups(daemon, out);
  for (const auto& enrolment : daemon.enrolments()) {
    const auto& client = enrolment->client();
    if (client.state() == pki::EnrolState::decision) {
      out.push_back(
          fmt::format("trustpoint {}: the authority's certificate waits for a yes; run "
                      "`cohort crypto pki authenticate {}`",
                      enrolment->name(), enrolment->name()));
    }
    if (client.last_error()) {
      out.push_back(
          fmt::format("trustpoint {}: {}", enrolment->name(), client.last_error()->text()));
    }
  }
  if (daemon.member() != nullptr) {
    for (const auto& group : daemon.member()->member()->status(daemon.runtime().clock.now())) {
      if (!group.last_failure.empty()) {
        out.push_back(fmt::format("group {}: {}", group.name, group.last_failure));
      }
      if (group.time && std::abs(group.time->skew_ms.value_or(0)) >= skew_worth_a_word_ms) {
        out.push_back(fmt::format(
            "group {}: the packets of others are {} ms away from our clock of the group's time; "
            "does a member's or a key server's clock run wrong?",
            group.name, *group.time->skew_ms));
      }
    }
  }
  if (const auto* manager = daemon.runtime().dataplane->manager()) {
    for (const std::string& sentence : manager->advice()) out.push_back(sentence);
  }
  return out;
}

Result<Json> debug_list(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  Json out = Json::array();
  for (const config::DebugCategory& category : config::debug_categories()) {
    out.push_back({{"name", category.name},
                   {"sentence", category.sentence},
                   {"on", daemon.runtime().log.is_on(category.name)}});
  }
  return out;
}

Result<Json> debug_set(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({"category", "on"}));
  COHORT_TRY(const std::string category, arguments.text("category"));
  COHORT_TRY(const bool on, arguments.flag("on", true));
  if (!daemon.runtime().log.set_debug(category, on)) {
    return fail(bad_argument, "no debug category \"" + category + "\"; `cohort debug list`");
  }
  daemon.audit(on ? "debug on" : "debug off", category);
  return Json{{"category", category}, {"on", on}};
}

void reload(Daemon& daemon, const Arguments& arguments, AdminServer::Answer answer) {
  if (const Status plain = arguments.only({}); !plain) {
    answer(fail(plain.error()));
    return;
  }
  daemon.reload([&daemon, answer = std::move(answer)](const Status& done) {
    if (done) {
      answer(Json{{"reloaded", daemon.configuration().file}});
    } else {
      answer(fail(done.error()));
    }
  });
}

Result<Json> export_lab_keys(Daemon& daemon, const Arguments& arguments) {
  COHORT_CHECK(arguments.only({}));
  if (!daemon.configuration().lab_export_keys) return fail(not_a_lab);
  daemon.runtime().outbox.report(Event{&events::lab_keys_exported, {}});
  const Secret table = daemon.runtime().dataplane->esp_sa_table();
  return Json{{"esp_sa", std::string(reinterpret_cast<const char*>(table.view().data()),
                                     table.view().size())}};
}

constexpr CommandRow rows[] = {
    {"show version", show_version, nullptr},
    {"show ip access-lists", show_access_lists, nullptr},
    {"show dataplane counters", show_dataplane_counters, nullptr},
    {"show refusals", show_refusals, nullptr},
    {"doctor", doctor, nullptr},
    {"debug list", debug_list, nullptr},
    {"debug set", debug_set, nullptr},
    {"reload", nullptr, reload},
    {"gm export-lab-keys", export_lab_keys, nullptr},
};

}  // namespace

std::span<const CommandRow> system_commands() {
  return rows;
}

}  // namespace cohort::daemon
