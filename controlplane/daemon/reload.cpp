// SIGHUP: the configuration file again. Also what Prometheus is told of live state.
#include <algorithm>
#include <utility>

#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/events.hpp"
#include "controlplane/daemon/metrics_coop.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

/// Sections that a reload applies; whatever else has changed waits for a restart.
constexpr std::string_view applied[] = {"/logging", "/access_lists", "/profiles", "/keys",
                                        "/key_server/groups"};

using Digests = std::map<std::string, std::string>;

std::vector<std::string> changed_sections(const Digests& before, const Digests& after) {
  std::vector<std::string> out;
  for (const auto& [pointer, digest] : after) {
    const auto at = before.find(pointer);
    if (at == before.end() || at->second != digest) out.push_back(pointer);
  }
  for (const auto& [pointer, digest] : before) {
    if (!after.contains(pointer)) out.push_back(pointer);
  }
  return out;
}

bool is_applied(const std::string& pointer) {
  return std::find(std::begin(applied), std::end(applied), pointer) != std::end(applied);
}

std::string text_of_errors(const std::vector<config::Problem>& problems) {
  std::string out;
  for (const config::Problem& problem : problems) {
    if (problem.kind != config::Problem::Kind::error) continue;
    out += (out.empty() ? "" : "; and ") + problem.text();
  }
  return out;
}

/// Lists that the member reads once, when it starts.
std::vector<std::string> exclusions_of(const config::Configuration& configuration) {
  std::vector<std::string> out;
  if (!configuration.group_member) return out;
  for (const auto& group : configuration.group_member->groups) {
    for (const auto& entry : group.local_exclusions)
      out.push_back(group.group_name + " " + entry.text());
  }
  return out;
}

const config::KeyServerGroup* find_group(const config::KeyServerRole& role,
                                         const std::string& name) {
  for (const auto& group : role.groups) {
    if (group.policy.name == name) return &group;
  }
  return nullptr;
}

}  // namespace

void Daemon::reload(std::function<void(Status)> done) {
  if (reloading_) {
    done(fail(reload_under_way));
    return;
  }
  config::Outcome outcome = config::read_file(configuration_.file, config::DiskFiles{});
  for (const config::Problem& problem : outcome.problems) {
    const bool error = problem.kind == config::Problem::Kind::error;
    runtime_->outbox.report(Event{error ? &events::reload_refused : &events::config_warning,
                                  {{"problem", problem.text()}}});
  }
  if (!outcome.configuration) {
    done(fail(config_refused, text_of_errors(outcome.problems)));
    return;
  }
  auto fresh = std::make_shared<config::Configuration>(std::move(*outcome.configuration));
  // The log first: should its file not open, nothing has changed yet.
  const std::string name = configuration_.hostname.empty() ? "cohortd" : configuration_.hostname;
  if (Status opened = runtime_->log.configure(fresh->logging, name); !opened) {
    done(std::move(opened));
    return;
  }
  reloading_ = true;
  make_keys(fresh->keys, [this, fresh, done = std::move(done)] {
    reloading_ = false;
    apply(*fresh);
    done({});
  });
}

/// Makes those that are not there, one after the other, on a thread: sessions and rekeys don't wait
/// for them. `done` is called at once if nothing is to be made.
void Daemon::make_keys(std::vector<pki::KeyPairOptions> wanted, std::function<void()> done) {
  while (!wanted.empty()) {
    const pki::KeyPairOptions next = wanted.back();
    wanted.pop_back();
    if (next.imported) continue;
    const auto found = runtime_->keys->find(next.label);
    if (found && *found) continue;
    if (!found) {
      store_key(next, fail(found.error()));
      continue;
    }
    runtime_->jobs->run([this, next, wanted = std::move(wanted), done = std::move(done),
                         stop = &runtime_->jobs->ending()]() -> EventLoop::Work {
      auto made = std::make_shared<Result<crypto::PrivateKey>>(
          pki::generate_key(next.type, next.bits, stop));
      return [this, next, wanted, done, made] {
        store_key(next, std::move(*made));
        make_keys(wanted, done);
      };
    });
    return;
  }
  done();
}

void Daemon::store_key(const pki::KeyPairOptions& wanted, Result<crypto::PrivateKey> made) {
  const auto stored = made ? runtime_->keys->add(wanted, std::move(*made))
                           : Result<pki::KeyPair>(fail(made.error()));
  if (stored) {
    runtime_->outbox.report(
        Event{&events::key_made,
              {{"label", stored->label}, {"bits", std::to_string(stored->key.bits())}}});
  } else {
    runtime_->outbox.report(Event{&events::apply_failed, {{"error", stored.error().text()}}});
  }
}

void Daemon::apply(config::Configuration& fresh) {
  const auto changed = changed_sections(configuration_.digests, fresh.digests);
  for (const std::string& pointer : changed) {
    if (is_applied(pointer)) continue;
    runtime_->outbox.report(Event{&events::restart_needed, {{"section", pointer}}});
  }
  if (exclusions_of(configuration_) != exclusions_of(fresh))
    runtime_->outbox.report(
        Event{&events::restart_needed, {{"section", "exclusions of the group member"}}});
  configuration_.keys = fresh.keys;
  const bool groups_changed =
      std::any_of(changed.begin(), changed.end(), [](const std::string& pointer) {
        return pointer == "/access_lists" || pointer == "/profiles" ||
               pointer == "/key_server/groups";
      });
  const bool all_applied = !server_ || !fresh.key_server || !groups_changed || apply_groups(fresh);
  configuration_.access_lists = std::move(fresh.access_lists);
  configuration_.logging = fresh.logging;
  for (const std::string_view pointer : applied) {
    const auto at = fresh.digests.find(std::string(pointer));
    if (at != fresh.digests.end()) {
      configuration_.digests.insert_or_assign(at->first, at->second);
    } else {
      configuration_.digests.erase(std::string(pointer));
    }
  }
  // What failed counts as changed, so that another reload tries it again.
  if (!all_applied) configuration_.digests.erase("/key_server/groups");
  runtime_->outbox.report(
      Event{&events::reloaded, {{"changed_sections", std::to_string(changed.size())}}});
  touch();
}

/// False if a group could not be changed; then what we remember of it is what it was.
bool Daemon::apply_groups(const config::Configuration& fresh) {
  const TimePoint now = runtime_->clock.now();
  std::vector<config::KeyServerGroup> result;
  bool all_applied = true;
  const auto check = [&](const std::string& group, const Status& status) {
    if (status) return true;
    all_applied = false;
    runtime_->outbox.report(
        Event{&events::apply_failed, {{"group", group}, {"error", status.error().text()}}});
    return false;
  };
  config::KeyServerRole& role = *configuration_.key_server;
  for (const auto& group : role.groups) {
    const std::string& name = group.policy.name;
    if (find_group(*fresh.key_server, name) != nullptr) continue;
    if (std::erase(waiting_groups_, name) != 0) continue;  // it was never served
    if (!check(name, server_->remove_server_group(now, name))) result.push_back(group);
  }
  for (const auto& group : fresh.key_server->groups) {
    const std::string& name = group.policy.name;
    const auto* before = find_group(role, name);
    // What waits for its key is added as a whole when that comes.
    const bool waited = std::erase(waiting_groups_, name) != 0;
    const bool done = check(name, before == nullptr || waited
                                      ? add_server_group(group)
                                      : server_->server()->update_policy(now, group.policy));
    if (done || before != nullptr) result.push_back(done ? group : *before);
    if (before != nullptr && before->policy.rekey.signing_key != group.policy.rekey.signing_key) {
      runtime_->outbox.report(
          Event{&events::restart_needed, {{"section", "signing_key of group " + name}}});
    }
    if (before != nullptr && !waited && before->redundancy_digest != group.redundancy_digest) {
      runtime_->outbox.report(
          Event{&events::restart_needed, {{"section", "redundancy of group " + name}}});
    }
  }
  role.groups = std::move(result);
  return all_applied;
}

void Daemon::gather_metrics() {
  runtime_->metrics.add([this](std::vector<Sample>& out) {
    const auto& counters = runtime_->network->counters();
    const auto add = [&](std::string name, std::string help,
                         std::vector<std::pair<std::string, std::string>> labels,
                         std::uint64_t value, bool counter) {
      out.push_back({std::move(name), std::move(help), std::move(labels),
                     static_cast<double>(value), counter});
    };
    add("datagrams_total", "UDP datagrams", {{"direction", "in"}}, counters.received, true);
    add("datagrams_total", "UDP datagrams", {{"direction", "out"}}, counters.sent, true);
    add("datagrams_failed_total", "UDP datagrams that could not be sent", {}, counters.send_failed,
        true);
    add("jobs_waiting", "Public-key operations that wait for a thread", {},
        runtime_->jobs->waiting(), false);
    const TimePoint now = runtime_->clock.now();
    for (const GroupNode* node : {server_.get(), member_.get()}) {
      if (node == nullptr) continue;
      add("phase1_established", "Established phase 1 SAs", {{"local", node->local().text()}},
          node->isakmp().established().size(), false);
    }
    if (server_) {
      for (const auto& group : server_->server()->status(now)) {
        const std::vector<std::pair<std::string, std::string>> labels{{"group", group.name}};
        add("ks_members", "Registered members", labels, group.members.size(), false);
        add("ks_registrations_total", "Registrations", labels, group.registrations, true);
        add("ks_refused_total", "Refused registrations", labels, group.refused, true);
        add("ks_rekeys_total", "Rekeys", labels, group.rekeys, true);
        add("ks_pushes_total", "GROUPKEY-PUSH messages sent", labels, group.pushes_sent, true);
        add("ks_acks_total", "Rekey acknowledgements", labels, group.acks_received, true);
        add("ks_evictions_total", "Members evicted", labels, group.evictions, true);
        add("ks_sender_ids_left", "Sender ids that can still be lent", labels,
            group.sender_ids_left, false);
      }
      add_coop_samples(server_->coop()->status(now), out);
    }
    if (member_) {
      for (const auto& group : member_->member()->status(now)) {
        const std::vector<std::pair<std::string, std::string>> labels{{"group", group.name}};
        add("gm_registered", "1 while usable keys are held", labels, group.registered ? 1 : 0,
            false);
        add("gm_registrations_total", "Successful registrations", labels,
            group.registrations_succeeded, true);
        add("gm_rekeys_total", "Rekeys received", labels, group.rekeys_received, true);
        add("gm_active_teks", "Traffic keys", labels, group.teks.size(), false);
        if (group.time && group.time->skew_ms) {
          out.push_back({"gm_time_skew_seconds",
                         "How far the group's time in authentic packets is ahead of ours", labels,
                         *group.time->skew_ms / 1000.0, false});
        }
        add("gm_time_registrations_total", "Registrations to ask for the group's time", labels,
            group.time_registrations, true);
        const auto usage = runtime_->dataplane->usage(group.port_pair);
        for (const auto& drop : usage.drops) {
          add("dataplane_drops_total", "Dropped packets by reason",
              {{"port_pair", group.port_pair}, {"reason", std::string(drop.name)}}, drop.value,
              true);
        }
        for (const auto& forward : usage.forwards) {
          add("dataplane_packets_total", "Forwarded packets by kind",
              {{"port_pair", group.port_pair}, {"kind", std::string(forward.name)}}, forward.value,
              true);
        }
      }
    }
  });
  if (scep_) gather_authority_metrics();
}

void Daemon::gather_authority_metrics() {
  runtime_->metrics.add([this](std::vector<Sample>& out) {
    const auto add = [&](std::string name, std::string help,
                         std::vector<std::pair<std::string, std::string>> labels,
                         std::uint64_t value) {
      out.push_back(
          {std::move(name), std::move(help), std::move(labels), static_cast<double>(value), true});
    };
    const auto& scep = scep_->counters();
    add("scep_requests_total", "SCEP requests", {}, scep.requests);
    add("scep_granted_total", "Certificates granted over SCEP", {}, scep.granted);
    add("scep_refused_total", "SCEP requests refused", {}, scep.refused);
    add("scep_throttled_total", "SCEP requests refused for their rate", {}, scep.throttled);
    const auto& http = scep_http_->connections();
    add("scep_connections_total", "HTTP connections accepted", {}, http.accepted);
    add("scep_connections_ended_total", "HTTP connections ended by us", {{"why", "late"}},
        http.ended_late);
    add("scep_connections_ended_total", "HTTP connections ended by us", {{"why", "crowded"}},
        http.ended_crowded);
  });
}

}  // namespace cohort::daemon
