// The groups of the key server: from the configuration to what serves them.
#include <algorithm>
#include <utility>

#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/events.hpp"
#include "controlplane/daemon/reasons.hpp"
#include "controlplane/daemon/state_key.hpp"
#include "coop/reasons.hpp"
#include "coop/sealed_state.hpp"

namespace cohort::daemon {

/// Whether the group's signing key is one that an operator brings from another key server, and has
/// not brought yet.
bool Daemon::waits_for_key(const config::KeyServerGroup& group) {
  const std::string& label = group.policy.rekey.signing_key;
  const auto& keys = configuration_.keys;
  const auto wanted =
      std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return key.label == label; });
  if (wanted == keys.end() || !wanted->imported) return false;
  const auto found = runtime_->keys->find(label);
  return found && !*found;
}

Status Daemon::add_server_group(const config::KeyServerGroup& group) {
  const std::string& label = group.policy.rekey.signing_key;
  if (waits_for_key(group)) {
    waiting_groups_.push_back(group.policy.name);
    runtime_->outbox.report(
        Event{&events::no_rsa_keys, {{"group", group.policy.name}, {"label", label}}});
    return {};
  }
  COHORT_TRY(const auto key, runtime_->keys->find(label));
  if (!key) return fail(no_signing_key, label);
  gdoi::KeyServerOptions options{group.policy, key->key, configuration_.key_server->local};
  options.state_trust = configuration_.key_server->state_trust;
  options.push_size_max = group.push_size_max;
  options.rekey_lead_permille = group.rekey_lead_permille;
  const TimePoint now = runtime_->clock.now();
  if (!group.redundancy) return server_->add_server_group(now, std::move(options), std::nullopt);
  COHORT_TRY(coop::Options redundancy, redundancy_of(group));
  Status added = server_->add_server_group(now, std::move(options), std::move(redundancy));
  if (!added && added.error().is(coop::coop_corrupt_state))
    return fail(coop::coop_corrupt_state,
                configuration_.state_directory + "/" + added.error().detail());
  return added;
}

Result<coop::Options> Daemon::redundancy_of(const config::KeyServerGroup& group) {
  const coop::Options& from = *group.redundancy;
  coop::Options out;
  out.group_name = group.policy.name;
  out.group = group.policy.id;
  out.local = configuration_.key_server->local;
  out.priority = from.priority;
  out.peers = from.peers;
  out.authorization = from.authorization;
  out.timers = from.timers;
  out.preempt = from.preempt;
  out.lead_when_drifted = from.lead_when_drifted;
  out.key_source = from.key_source;
  out.evict_in_partition = from.evict_in_partition;
  out.refresh_after = from.refresh_after;
  out.state_trust = configuration_.key_server->state_trust;
  COHORT_TRY(const auto own_head, runtime_->store->get(coop::state_head_name(out.group_name)));
  bool stored = own_head.has_value();
  for (const auto& other : configuration_.key_server->groups) {
    COHORT_TRY(const auto head, runtime_->store->get(coop::state_head_name(other.policy.name)));
    stored = stored || (head && other.state_key_file == group.state_key_file);
  }
  const std::string path = group.state_key_file.empty()
                               ? configuration_.state_directory + "/coop/state.key"
                               : group.state_key_file;
  COHORT_TRY(out.state_key, load_state_key(runtime_->disk, runtime_->random, path, !stored));
  return out;
}

void Daemon::on_key_stored() {
  if (waiting_groups_.empty()) return;
  for (const config::KeyServerGroup& group : configuration_.key_server->groups) {
    const auto at = std::find(waiting_groups_.begin(), waiting_groups_.end(), group.policy.name);
    if (at == waiting_groups_.end() || waits_for_key(group)) continue;
    waiting_groups_.erase(at);
    if (const Status added = add_server_group(group); !added)
      runtime_->outbox.report(Event{
          &events::apply_failed, {{"group", group.policy.name}, {"error", added.error().text()}}});
  }
  touch();
}

}  // namespace cohort::daemon
