#include "tests/sim/group.hpp"

#include <algorithm>
#include <fmt/core.h>

namespace cohort::sim {

namespace {

constexpr Duration tick_interval = std::chrono::seconds(1);
constexpr std::uint16_t gdoi_port = 848;

Prefix all_sites() {
  return Prefix{IpAddress::v4(0xac100000), 12};
}  // 172.16.0.0/12

}  // namespace

gdoi::GroupPolicy small_policy(unsigned members) {
  gdoi::GroupPolicy policy;
  policy.rekey.lifetime = std::chrono::seconds(1800);
  policy.rekey.retransmit_number = 2;
  policy.rekey.retransmit_interval = std::chrono::seconds(5);
  policy.activation_delay = std::chrono::seconds(20);
  policy.deactivation_delay = std::chrono::seconds(30);
  gdoi::SaPolicy sa;
  sa.lifetime = std::chrono::seconds(600);
  sa.suite = dataplane::Suite::aes_128_gcm_16;
  sa.replay = members > 2 ? dataplane::ReplayKind::none : dataplane::ReplayKind::counter;
  gdoi::AclEntry entry;
  entry.selector.source = entry.selector.destination = all_sites();
  sa.acl.push_back(entry);
  policy.sas.push_back(std::move(sa));
  return policy;
}

// ---- GroupProgram -------------------------------------------------------------------------------

GroupProgram::GroupProgram(Host& host, Role role) {
  auto& port = host.open_port();
  auto& world = port.world();
  const auto now = host.clock.now();
  isakmp = std::make_unique<ike::Isakmp>(world, std::move(role.isakmp));
  if (role.coop) {
    const std::string name = role.coop->group_name;
    coop = std::make_unique<cohort::coop::Coop>(world, *isakmp);
    if (auto added = coop->add_group(now, std::move(*role.coop)); added) {
      key_authority = std::make_unique<cohort::coop::Authority>(*coop->find(name));
      role.key_server->authority = key_authority.get();
    } else {
      failed = added.error();
    }
  }
  if (role.key_server && !failed) {
    key_server = std::make_unique<gdoi::KeyServer>(world, *isakmp);
    if (auto added = key_server->add_group(now, std::move(*role.key_server)); !added)
      failed = added.error();
  }
  if (role.member) {
    member = std::make_unique<gdoi::GroupMember>(world, *isakmp);
    if (auto added = member->add_group(now, std::move(*role.member)); !added)
      failed = added.error();
  }
  port.node = this;
  port.listens = true;
}

GroupProgram::~GroupProgram() = default;

void GroupProgram::on_datagram(TimePoint now, const Datagram& datagram) {
  isakmp->on_datagram(now, datagram);
}

void GroupProgram::on_timer(TimePoint now) {
  if (isakmp->next_deadline() <= now) isakmp->on_timer(now);
  if (coop && coop->next_deadline() <= now) coop->on_timer(now);
  if (key_server && key_server->next_deadline() <= now) key_server->on_timer(now);
  if (member && member->next_deadline() <= now) member->on_timer(now);
}

TimePoint GroupProgram::next_deadline() const {
  auto earliest = isakmp->next_deadline();
  if (coop) earliest = std::min(earliest, coop->next_deadline());
  if (key_server) earliest = std::min(earliest, key_server->next_deadline());
  if (member) earliest = std::min(earliest, member->next_deadline());
  return earliest;
}

void GroupProgram::on_job_done(TimePoint now, JobId id, JobResult result) {
  if (key_server && key_server->on_job_done(now, id, result)) return;
  if (member && member->on_job_done(now, id, result)) return;
  isakmp->on_job_done(now, id, std::move(result));
}

// ---- Group --------------------------------------------------------------------------------------

Group::Group(GroupOptions options)
    : options_(std::move(options)),
      outside_(options_.seed, options_.echo),
      authority_(options_.seed) {
  options_.policy = complete(std::move(options_.policy));
  network().set_default(options_.link);
  for (std::size_t i = 0; i < options_.key_servers; ++i) {
    servers_.push_back(make_host(
        fmt::format("ks{}", i + 1), server_address(i), "GETVPN_KS",
        [this, i](Host& host) { return std::make_unique<GroupProgram>(host, server_role(i)); }));
  }
  std::vector<Traffic::Site> sites;
  for (std::size_t i = 0; i < options_.members; ++i) {
    members_.push_back(make_host(
        fmt::format("gm{}", i + 1), member_address(i), "GETVPN_GM",
        [this, i](Host& host) { return std::make_unique<GroupProgram>(host, member_role(i)); }));
    sites.push_back({members_.back().get(), inside_address(i)});
    if (const auto& group = options_.policy.rekey.multicast_destination)
      network().join(group->address, member_address(i));
  }
  traffic_ = std::make_unique<Traffic>(outside_, std::move(sites), options_.traffic);
  outside_.scheduler.after(tick_interval, [this] { tick(); });
}

Group::~Group() {
  // Programs go first: what they do while they go must find the rest of the world.
  for (auto& host : servers_) host->crash();
  for (auto& host : members_) host->crash();
}

IpAddress Group::server_address(std::size_t i) {
  return IpAddress::v4(0x0aff0001 + static_cast<std::uint32_t>(i));
}

IpAddress Group::member_address(std::size_t i) {
  return IpAddress::v4(0x0a000001 + static_cast<std::uint32_t>(i));
}

IpAddress Group::inside_address(std::size_t i) {
  return IpAddress::v4(0xac10000a + (static_cast<std::uint32_t>(i) << 8));
}

std::unique_ptr<Host> Group::make_host(const std::string& name, const IpAddress& address,
                                       const std::string& unit, ProgramFactory factory) {
  HostOptions host;
  host.name = name;
  host.address = address;
  host.job_time_max = options_.job_time_max;
  auto prng = outside_.prng.fork("drift " + name);
  const auto span = static_cast<std::uint64_t>(options_.drift_ppm_max);
  host.drift_ppm = static_cast<int>(prng.below(2 * span + 1)) - options_.drift_ppm_max;
  // The host's wall clock is made with the host; the credentials look at it through this.
  auto wall = std::make_shared<std::function<WallTime()>>();
  auto credentials =
      std::make_unique<SimCredentials>(authority_, address, [wall] { return (*wall)(); });
  if (options_.certificates) {
    credentials->share_keys(false);
    credentials->enrol({name, unit, WallTime{std::chrono::seconds(2'500'000'000)}});
  }
  auto made = std::make_unique<Host>(outside_, host, std::move(factory), std::move(credentials));
  *wall = [clock = &made->clock] { return clock->wall(); };
  return made;
}

gdoi::GroupPolicy Group::complete(gdoi::GroupPolicy policy) const {
  policy.name = group_name;
  policy.id.value = std::uint32_t{484};
  policy.rekey.signing_key = "rekey";
  gdoi::AuthorizationRule rule;
  if (options_.certificates) {
    rule.organizational_unit = "GETVPN_GM";
  } else {
    rule.address = Prefix{IpAddress::v4(0x0a000000), 8};
  }
  policy.authorization = {rule};
  return policy;
}

ike::IsakmpOptions Group::isakmp_options(const IpAddress& local) const {
  ike::IsakmpOptions isakmp;
  isakmp.local = {local, gdoi_port};
  ike::Phase1Policy policy;
  policy.group = options_.dh_group;
  policy.auth =
      options_.certificates ? ike::AuthMethod::rsa_signature : ike::AuthMethod::pre_shared_key;
  isakmp.policies = {policy};
  isakmp.trustpoint = "sim";
  isakmp.dpd = options_.dpd;
  isakmp.fragment_size = options_.fragment_size;
  return isakmp;
}

GroupProgram::Role Group::server_role(std::size_t i) const {
  GroupProgram::Role role;
  role.isakmp = isakmp_options(server_address(i));
  role.key_server = gdoi::KeyServerOptions{
      options_.policy, authority_.rekey_key(), {server_address(i), gdoi_port}};
  role.key_server->state_trust = options_.state_trust;
  if (options_.key_servers > 1) role.coop = coop_options(i);
  return role;
}

coop::Options Group::coop_options(std::size_t i) const {
  coop::Options out;
  out.group_name = group_name;
  out.group = options_.policy.id;
  out.local = {server_address(i), gdoi_port};
  const auto& priorities = options_.coop.priorities;
  out.priority = i < priorities.size() ? priorities[i] : static_cast<std::uint16_t>(100 - i);
  out.preempt = options_.coop.preempt;
  for (std::size_t other = 0; other < options_.key_servers; ++other)
    if (other != i) out.peers.push_back({server_address(other), gdoi_port});
  if (options_.certificates) {
    gdoi::AuthorizationRule rule;
    rule.organizational_unit = "GETVPN_KS";
    out.authorization = {rule};
  }
  out.timers = options_.coop.timers;
  out.key_source = options_.coop.key_source;
  out.evict_in_partition = options_.coop.evict_in_partition;
  out.refresh_after = options_.coop.refresh_after;
  out.state_trust = options_.state_trust;
  out.state_key = Secret(Bytes(32, static_cast<std::uint8_t>(i + 1)));
  return out;
}

coop::Group* Group::coop_group(std::size_t i) {
  auto* running = program(server(i));
  return running && running->coop ? running->coop->find(group_name) : nullptr;
}

std::vector<std::size_t> Group::primaries() {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < servers(); ++i)
    if (const auto* group = coop_group(i); group && group->primary() && !server(i).paused())
      out.push_back(i);
  return out;
}

std::size_t Group::acting() {
  if (const auto leading = primaries(); !leading.empty()) return leading.front();
  for (std::size_t i = 0; i < servers(); ++i)
    if (server(i).up()) return i;
  return 0;
}

bool Group::all_servers_speak() {
  for (std::size_t i = 0; i < servers(); ++i)
    if (server_status(i) == nullptr) return false;
  return true;
}

Duration Group::downtime() const {
  Duration sum{0};
  for (const auto& host : servers_) sum += host->downtime();
  return sum;
}

GroupProgram::Role Group::member_role(std::size_t i) const {
  GroupProgram::Role role;
  role.isakmp = isakmp_options(member_address(i));
  gdoi::GroupMemberOptions member;
  member.group_name = group_name;
  member.id = options_.policy.id;
  // Each begins with another one, so that every key server has members.
  for (std::size_t s = 0; s < options_.key_servers; ++s)
    member.servers.push_back({server_address((i + s) % options_.key_servers), gdoi_port});
  member.port_pair = "wan";
  member.sender_ids = options_.sender_ids;
  member.reregister_lead = options_.reregister_lead;
  role.member = std::move(member);
  return role;
}

void Group::boot_servers() {
  for (auto& host : servers_) host->boot();
}

void Group::boot_members() {
  for (auto& host : members_) host->boot();
}

bool Group::is_server(const Host& host) const {
  return std::any_of(servers_.begin(), servers_.end(),
                     [&](const auto& each) { return each.get() == &host; });
}

std::optional<std::size_t> Group::member_index(const Host& host) const {
  const auto& address = host.address();
  if (!address.is_v4() || address.v4_value() < 0x0a000001) return std::nullopt;
  const std::size_t index = address.v4_value() - 0x0a000001;
  if (index >= members_.size()) return std::nullopt;
  return index;
}

GroupProgram* Group::program(Host& host) {
  return dynamic_cast<GroupProgram*>(host.program());
}

const gdoi::KsGroupStatus* Group::server_status(std::size_t i) {
  kept_.resize(servers_.size());
  auto& kept = kept_[i];
  if (kept.executed != outside_.scheduler.executed()) {
    kept.status = ask_server(i);
    kept.executed = outside_.scheduler.executed();
    if (kept.status) {
      for (const auto& tek : kept.status->teks) known_.insert(tek.spi);
      learn_removals(i, *kept.status);
    }
  }
  return kept.status ? &*kept.status : nullptr;
}

std::optional<gdoi::KsGroupStatus> Group::ask_server(std::size_t i) {
  auto* running = program(server(i));
  if (!running || !running->key_server) return std::nullopt;
  auto groups = running->key_server->status(server(i).clock.now());
  if (groups.empty()) return std::nullopt;
  return std::move(groups.front());
}

std::optional<gdoi::GroupMemberStatus> Group::member_status(std::size_t i) {
  auto* running = program(member(i));
  if (!running || !running->member) return std::nullopt;
  auto groups = running->member->status(member(i).clock.now());
  if (groups.empty()) return std::nullopt;
  return std::move(groups.front());
}

bool Group::converged() {
  return describe().empty();
}

std::string Group::disagreement() {
  if (servers() == 1) return server_status() ? "" : "the key server has no group";
  std::string text;
  std::set<coop::EpochId> epochs;
  std::set<std::vector<std::string>> removed;
  for (std::size_t i = 0; i < servers(); ++i) {
    const auto* group = coop_group(i);
    const auto* status = server_status(i);
    if (group == nullptr || status == nullptr) {
      text += fmt::format("{} has no group; ", server(i).name());
      continue;
    }
    if (group->epoch() == nullptr)
      text += fmt::format("{} has no epoch; ", server(i).name());
    else
      epochs.insert(group->epoch()->id);
    removed.insert(status->removed);
    if (const auto ready = group->may_register(); !ready)
      text += fmt::format("{} registers nobody ({}); ", server(i).name(), ready.error().text());
    if (!group->everybody_reachable())
      text += fmt::format("{} does not hear everybody; ", server(i).name());
  }
  if (const auto leading = primaries(); leading.size() != 1)
    text += fmt::format("{} primaries; ", leading.size());
  if (epochs.size() > 1) text += fmt::format("{} epochs; ", epochs.size());
  if (removed.size() > 1) text += "not the same members are removed; ";
  return text;
}

std::string Group::describe_member(std::size_t i, const gdoi::KsGroupStatus& primary,
                                   const std::set<std::uint32_t>& newest) {
  const auto status = member_status(i);
  const auto spi = member(i).dataplane.sending_spi();
  if (!status) return fmt::format("{} is down; ", member(i).name());
  if (!status->registered)
    return fmt::format("{} is {}, last failure '{}'; ", member(i).name(), name_of(status->state),
                       status->last_failure);
  if (!newest.contains(spi))
    return fmt::format("{} sends with {:08x}, which is not the newest; ", member(i).name(), spi);
  if (!status->kek || status->kek->spi != primary.kek->spi)
    return fmt::format("{} has another KEK than the key server; ", member(i).name());
  return {};
}

bool Group::lists(const std::vector<gdoi::KsMemberStatus>& listed, std::size_t i) {
  return std::any_of(listed.begin(), listed.end(),
                     [&](const auto& each) { return each.remote.address == member_address(i); });
}

/// Message 4 does not wait for the peers (docs/coop-protocol.md section 5.3): whom only this server
/// has registered, nobody lists when its disk is lost, until the next registration. Rekeys by
/// multicast reach such a member all the same, so it has no reason to come.
void Group::note_disk_loss(std::size_t i) {
  if (policy().rekey.transport != gdoi::RekeyTransport::multicast) return;
  for (std::size_t m = 0; m < members_.size(); ++m) {
    const auto status = member_status(m);
    if (!status || !status->registered_with) continue;
    bool elsewhere = status->registered_with->address != server_address(i);
    for (std::size_t j = 0; j < servers(); ++j)
      if (const auto* other = j == i ? nullptr : server_status(j))
        elsewhere = elsewhere || lists(other->members, m);
    if (!elsewhere) lost_[m] = {member(m).boots(), status->registrations_succeeded};
  }
}

bool Group::unknown_by_loss(std::size_t m) {
  const auto lost = lost_.find(m);
  const auto status = member_status(m);
  return lost != lost_.end() && status &&
         lost->second == std::pair(member(m).boots(), status->registrations_succeeded);
}

std::string Group::describe() {
  if (auto text = disagreement(); !text.empty()) return text;
  const auto* primary = server_status(acting());
  if (!primary || !primary->kek) return "the key server has no keys";
  std::set<std::uint32_t> newest;
  for (const auto& tek : primary->teks) {
    if (!tek.superseded) newest.insert(tek.spi);
  }
  std::string text;
  std::size_t meant = 0;
  for (std::size_t i = 0; i < members_.size() && text.size() < 2000; ++i) {
    if (removed_.contains(i)) continue;
    ++meant;
    text += describe_member(i, *primary, newest);
  }
  if (!text.empty()) return text;
  // Who was taken off a list since its answers were lost holds all keys, and hears of no other ones
  // before it registers again, in time for the end of those.
  for (std::size_t i = 0; i < servers(); ++i) {
    const auto& listed = server_status(i)->members;
    if (listed.size() > meant)
      text += fmt::format("{} lists {} of {} members; ", server(i).name(), listed.size(), meant);
    for (std::size_t m = 0; m < members_.size(); ++m)
      if (!removed_.contains(m) && !lists(listed, m) && !unknown_by_loss(m))
        text += fmt::format("{} does not list {}; ", server(i).name(), member(m).name());
  }
  return text;
}

// ---- an operator's commands ---------------------------------------------------------------------

void Group::command(std::size_t i, const std::function<void(GroupProgram&, TimePoint)>& action) {
  kept_.clear();
  auto& host = server(i);
  host.call([&] {
    if (auto* running = program(host); running && running->key_server && !running->failed)
      action(*running, host.clock.now());
  });
  kept_.clear();
}

void Group::rekey(bool kek, std::optional<std::size_t> at_server) {
  command(at_server.value_or(acting()), [&](GroupProgram& running, TimePoint at) {
    (void)running.key_server->rekey_now(at, group_name, kek);
  });
}

void Group::update_policy(const gdoi::GroupPolicy& policy) {
  options_.policy = complete(policy);  // what a reboot finds in its configuration
  (void)all_servers_speak();           // whose SPIs are known then
  withdraw_all();
  for (std::size_t i = 0; i < servers(); ++i) set_policy(i);
}

/// A key server that is paused gets it when it runs again.
void Group::set_policy(std::size_t i) {
  policy_due_.erase(i);
  if (server(i).paused()) policy_due_.insert(i);
  command(i, [&](GroupProgram& running, TimePoint at) {
    (void)running.key_server->update_policy(at, options_.policy);
  });
}

void Group::learn_removals(std::size_t i, const gdoi::KsGroupStatus& status) {
  removed_at_.resize(servers_.size());
  removed_at_[i].clear();
  for (const auto& [member, identity] : identities_) {
    const bool out =
        std::find(status.removed.begin(), status.removed.end(), identity) != status.removed.end();
    if (out) removed_at_[i].insert(member);
  }
  // A key server that is down says what it said last; what counts is whether any of them objects.
  for (const auto& [member, identity] : identities_) {
    const bool out =
        std::any_of(removed_at_.begin(), removed_at_.end(),
                    [member = member](const auto& listed) { return listed.contains(member); });
    if (out) {
      removed_.insert(member);
    } else {
      removed_.erase(member);
      removals_.erase(member);
    }
  }
}

bool Group::remove_member(std::size_t i, std::optional<std::size_t> at_server) {
  kept_.clear();
  const auto at = at_server.value_or(acting());
  (void)all_servers_speak();
  const auto* status = server_status(at);
  if (!status) return false;
  const auto known =
      std::find_if(status->members.begin(), status->members.end(),
                   [&](const auto& each) { return each.remote.address == member_address(i); });
  if (known == status->members.end()) return false;
  const auto id = known->id;
  identities_[i] = known->identity;
  removed_.insert(i);
  removals_[i] = Removal{now(), known_};
  outside_.log.note(now(), "operator", "remove",
                    fmt::format("{} at {}", member(i).name(), server(at).name()));
  command(at, [&](GroupProgram& running, TimePoint when) {
    (void)running.key_server->remove_member(when, group_name, id);
  });
  if (servers() == 1) withdraw_all();
  return true;
}

void Group::admit_member(std::size_t i) {
  outside_.log.note(now(), "operator", "admit", member(i).name());
  const auto identity = identities_.find(i);
  const auto at = acting();
  if (identity != identities_.end())
    command(at, [&](GroupProgram& running, TimePoint when) {
      (void)running.key_server->admit_member(when, group_name, identity->second);
    });
  if (server_status(at) != nullptr) removals_.erase(i);
}

void Group::clear_members() {
  const auto at = acting();
  (void)server_status(at);
  if (servers() == 1) withdraw_all();
  command(at, [](GroupProgram& running, TimePoint when) {
    (void)running.key_server->clear_members(when, group_name);
  });
}

void Group::elect(std::size_t at_server) {
  outside_.log.note(now(), "operator", "elect", server(at_server).name());
  command(at_server, [](GroupProgram& running, TimePoint at) {
    if (running.coop) running.coop->find(group_name)->elect(at);
  });
}

void Group::start_anew(std::size_t i) {
  outside_.log.note(now(), "operator", "start anew", server(i).name());
  withdraw_all();
  if (servers() == 1) {
    removed_.clear();
    removals_.clear();
    identities_.clear();
  }
  if (i < removed_at_.size()) removed_at_[i].clear();
  note_disk_loss(i);
  server(i).crash();
  server(i).store.wipe();
  server(i).boot();
}

void Group::tick() {
  for (const std::size_t i : std::set(policy_due_)) set_policy(i);
  outside_.judge.on_tick(now());
  outside_.scheduler.after(tick_interval, [this] { tick(); });
}

void Group::run_for(Duration span) {
  const auto end = now() + span;
  while (judge().violations().empty() && outside_.scheduler.step(end)) {
  }
  if (judge().violations().empty()) outside_.scheduler.run_until(end);
}

bool Group::run_until(const std::function<bool()>& condition, Duration limit) {
  const auto end = now() + limit;
  while (judge().violations().empty()) {
    if (condition()) return true;
    if (now() >= end) return false;
    run_for(std::min<Duration>(std::chrono::milliseconds(100), end - now()));
  }
  return false;
}

}  // namespace cohort::sim
