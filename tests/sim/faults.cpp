#include "tests/sim/faults.hpp"

#include <fmt/core.h>

namespace cohort::sim {

std::string_view name_of(Fault fault) {
  switch (fault) {
    case Fault::weather:
      return "weather";
    case Fault::isolate_member:
      return "isolate_member";
    case Fault::isolate_server:
      return "isolate_server";
    case Fault::cut_in_two:
      return "cut_in_two";
    case Fault::crash_member:
      return "crash_member";
    case Fault::crash_server:
      return "crash_server";
    case Fault::crash_server_at_put:
      return "crash_server_at_put";
    case Fault::disk_errors:
      return "disk_errors";
    case Fault::pause_member:
      return "pause_member";
    case Fault::pause_server:
      return "pause_server";
    case Fault::step_clock:
      return "step_clock";
    case Fault::rekey:
      return "rekey";
    case Fault::rekey_kek:
      return "rekey_kek";
    case Fault::change_policy:
      return "change_policy";
    case Fault::remove_member:
      return "remove_member";
    case Fault::clear_members:
      return "clear_members";
    case Fault::garbage:
      return "garbage";
    case Fault::part_servers:
      return "part_servers";
    case Fault::cut_one_way:
      return "cut_one_way";
    case Fault::flap:
      return "flap";
    case Fault::slow_peer:
      return "slow_peer";
    case Fault::crash_all_servers:
      return "crash_all_servers";
    case Fault::wipe_server:
      return "wipe_server";
    case Fault::old_image:
      return "old_image";
    case Fault::kill_primary:
      return "kill_primary";
    case Fault::step_server_clock:
      return "step_server_clock";
    case Fault::elect:
      return "elect";
  }
  return "?";
}

gdoi::GroupPolicy variant_of(const gdoi::GroupPolicy& policy, unsigned variant) {
  auto changed = policy;
  auto& sa = changed.sas.front();
  auto entry = sa.acl.front();
  const Prefix all{IpAddress::v4(0xac100000), 12};
  entry.selector.source = entry.selector.destination = all;
  sa.acl = {entry};
  if (variant % 2 == 1) {
    entry.selector.source = Prefix{IpAddress::v4(0xac100000), 24};
    sa.acl = {entry};
    entry.selector.source = all;
    sa.acl.push_back(entry);
  }
  sa.suite = variant % 4 >= 2 ? dataplane::Suite::aes_256_gcm_16 : dataplane::Suite::aes_128_gcm_16;
  return changed;
}

Faults::Faults(Group& group, Oracles& oracles, FaultOptions options)
    : group_(group),
      oracles_(oracles),
      options_(std::move(options)),
      prng_(group.outside().prng.fork("faults")),
      power_(group.outside().prng.fork("power")),
      enabled_(options_.enabled.begin(), options_.enabled.end()) {}

void Faults::start() {
  if (enabled_.empty()) return;
  running_ = true;
  next();
}

void Faults::next() {
  group_.outside().scheduler.after(prng_.between(Duration(1), 2 * options_.interval_mean), [this] {
    if (!running_) return;
    const auto fault = enabled_[prng_.below(enabled_.size())];
    if (group_.now() >= quiet_until_) strike(fault);
    next();
  });
}

void Faults::later(std::function<void()> action) {
  group_.outside().scheduler.after(prng_.between(std::chrono::seconds(1), options_.outage_max),
                                   [this, action = std::move(action)] {
                                     if (running_) action();
                                   });
}

Host& Faults::some_member() {
  return group_.member(prng_.below(group_.members()));
}
Host& Faults::some_server() {
  return group_.server(prng_.below(group_.servers()));
}

void Faults::strike(Fault fault) {
  ++injected_;
  group_.outside().log.note(group_.now(), "fault", name_of(fault), "");
  switch (fault) {
    case Fault::weather:
      return weather();
    case Fault::isolate_member:
      return isolate(some_member());
    case Fault::isolate_server:
      return isolate(some_server());
    case Fault::cut_in_two:
      return cut_in_two();
    case Fault::crash_member:
      return crash(some_member());
    case Fault::crash_server:
      return crash(some_server());
    case Fault::crash_server_at_put: {
      auto& host = some_server();
      host.store.set_faults(
          {.crash_at_put_permille = 200, .torn_permille = options_.torn_writes ? 200u : 0u});
      return later([this, &host] { attend(host); });
    }
    case Fault::disk_errors: {
      auto& host = some_server();
      host.store.set_faults({.put_error_permille = 500});
      return later([this, &host] { attend(host); });
    }
    case Fault::pause_member:
      return pause(some_member());
    case Fault::pause_server:
      return pause(some_server());
    case Fault::step_clock: {
      const auto by = static_cast<std::int64_t>(prng_.below(7200)) - 3600;
      return some_member().clock.step_wall(std::chrono::seconds(by));
    }
    case Fault::rekey:
      return group_.rekey(false);
    case Fault::rekey_kek:
      return group_.rekey(true);
    case Fault::change_policy:
      return change_policy();
    case Fault::remove_member:
      return remove_or_admit();
    case Fault::clear_members:
      return group_.clear_members();
    case Fault::garbage:
      return garbage();
    case Fault::part_servers:
      return part_servers();
    case Fault::cut_one_way:
      return cut_one_way();
    case Fault::flap:
      return flap(some_server().address(), some_server().address(), 12);
    case Fault::slow_peer:
      return slow_peer();
    case Fault::crash_all_servers:
      return crash_all_servers();
    case Fault::wipe_server:
      return wipe(prng_.below(group_.servers()));
    case Fault::old_image:
      return old_image(prng_.below(group_.servers()));
    case Fault::kill_primary:
      return kill_primary();
    case Fault::step_server_clock: {
      const auto by = static_cast<std::int64_t>(prng_.below(7200)) - 3600;
      group_.bend_time();
      return some_server().clock.step_wall(std::chrono::seconds(by));
    }
    case Fault::elect:
      return group_.elect(prng_.below(group_.servers()));
  }
}

// ---- among key servers --------------------------------------------------------------------------

void Faults::cut(const IpAddress& one, const IpAddress& other, bool both_ways) {
  if (one == other) return;
  group_.network().block(one, other);
  if (both_ways) group_.network().block(other, one);
}

void Faults::mend(const std::vector<std::pair<IpAddress, IpAddress>>& cuts) {
  later([this, cuts] {
    for (const auto& [one, other] : cuts) {
      group_.network().unblock(one, other);
      group_.network().unblock(other, one);
    }
  });
}

void Faults::part_servers() {
  std::vector<IpAddress> hosts;
  for (std::size_t i = 0; i < group_.servers(); ++i) hosts.push_back(group_.server(i).address());
  const auto servers = hosts.size();
  // Members may be with their key servers, or on any side; they hear each other all the same.
  if (prng_.chance(700))
    for (std::size_t i = 0; i < group_.members(); ++i) hosts.push_back(group_.member(i).address());
  const auto sides = prng_.between(std::uint64_t{2}, std::uint64_t{3});
  std::vector<std::uint64_t> side;
  for (std::size_t i = 0; i < hosts.size(); ++i) side.push_back(prng_.below(sides));
  std::vector<std::pair<IpAddress, IpAddress>> cuts;
  for (std::size_t a = 0; a < servers; ++a) {
    for (std::size_t b = a + 1; b < hosts.size(); ++b) {
      if (side[a] == side[b]) continue;
      cut(hosts[a], hosts[b]);
      cuts.emplace_back(hosts[a], hosts[b]);
    }
  }
  mend(cuts);
}

void Faults::cut_one_way() {
  const auto &one = some_server().address(), &other = some_server().address();
  cut(one, other, false);
  mend({{one, other}});
}

void Faults::flap(const IpAddress& one, const IpAddress& other, unsigned times) {
  cut(one, other);
  group_.outside().scheduler.after(
      prng_.between(Duration(std::chrono::seconds(1)), Duration(std::chrono::seconds(12))),
      [this, one, other, times] {
        group_.network().unblock(one, other);
        group_.network().unblock(other, one);
        if (!running_ || times == 0) return;
        group_.outside().scheduler.after(
            prng_.between(Duration(std::chrono::seconds(1)), Duration(std::chrono::seconds(6))),
            [this, one, other, times] {
              if (running_) flap(one, other, times - 1);
            });
      });
}

void Faults::slow_peer() {
  const auto& far = some_server().address();
  auto link = group_.network().default_link();
  link.delay_min = prng_.between(Duration(std::chrono::milliseconds(100)),
                                 Duration(std::chrono::milliseconds(1200)));
  link.delay_max = link.delay_min * 2;
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    const auto& other = group_.server(i).address();
    if (other == far) continue;
    group_.network().set_link(far, other, link);
    group_.network().set_link(other, far, link);
  }
  later([this] { group_.network().clear_links(); });
}

void Faults::crash_all_servers() {
  for (std::size_t i = 0; i < group_.servers(); ++i) crash(group_.server(i));
}

/// An empty or an old disk does no harm while one of the others lives and is heard; so this comes
/// to one key server at a time, and nothing else goes wrong until it has heard from them.
void Faults::wipe(std::size_t i) {
  calm_for(i);
  images_.erase(i);  // nobody who starts with nothing knows what a copy of before counts on
  group_.start_anew(i);
}

void Faults::calm_for(std::size_t i) {
  for (std::size_t other = 0; other < group_.servers(); ++other) {
    if (other == i) continue;
    auto& host = group_.server(other);
    host.store.set_faults({});
    host.resume();
    attend(host);
  }
  group_.network().heal();
  group_.network().clear_links();
  group_.network().set_default(group_.options().link);
  quiet_until_ = group_.now() + std::chrono::seconds(60);
}

void Faults::old_image(std::size_t i) {
  auto& host = group_.server(i);
  const auto found = images_.find(i);
  if (found == images_.end()) {
    images_.emplace(i, host.store.image());
    return;
  }
  auto image = std::move(found->second);
  images_.erase(found);
  // With a clock that went back and forth nobody can tell how old a snapshot is.
  if (!group_.time_bent() && power_.chance(500)) {
    calm_for(i);
    group_.note_disk_loss(i);
    host.crash();
    host.store.roll_back(std::move(image));
  } else {
    wipe(i);
    host.crash();
    host.store.restore(std::move(image));
    // Neither its disk nor its clock may tell it what numbers it has used, before it hears others.
    if (group_.time_bent()) oracles_.sequence.pardon(host);
  }
  host.boot();
}

void Faults::kill_primary() {
  if (trap_) return;
  // So many of a rekey's datagrams go out, and then the lights do.
  auto left = std::make_shared<std::uint64_t>(prng_.below(2 * group_.members()));
  const bool soon = prng_.chance(700);
  trap_ = group_.network().add_filter([this, left](const Datagram& datagram) {
    constexpr std::size_t exchange_at = 18;
    const bool push = datagram.payload.size() > exchange_at &&
                      datagram.payload[exchange_at] ==
                          static_cast<std::uint8_t>(ike::ExchangeType::groupkey_push);
    if (!push || *left == ~std::uint64_t{0}) return true;
    if ((*left)-- > 0) return true;
    for (std::size_t i = 0; i < group_.servers(); ++i) {
      auto* host = &group_.server(i);
      if (host->address() != datagram.local.address) continue;
      group_.outside().scheduler.after(Duration(0), [this, host] {
        if (trap_) group_.network().remove_filter(*trap_);
        trap_.reset();
        if (running_ && host->up()) crash(*host);
      });
    }
    return false;
  });
  if (soon) group_.rekey(prng_.chance(300));
}

void Faults::weather() {
  auto link = group_.options().link;
  link.delay_max = prng_.between(link.delay_min, Duration(std::chrono::milliseconds(800)));
  const auto draw = [&](unsigned max) {
    return prng_.chance(500) ? static_cast<unsigned>(prng_.below(max + 1)) : 0u;
  };
  link.loss_permille = draw(options_.loss_permille_max);
  link.duplicate_permille = draw(200);
  link.corrupt_permille = draw(50);
  link.replay_permille = draw(50);
  group_.network().set_default(link);
}

void Faults::isolate(Host& host) {
  const auto way = prng_.below(3);
  group_.network().isolate(host.address(), way != 1, way != 0);
  later([this] { group_.network().heal(); });
}

void Faults::cut_in_two() {
  std::vector<IpAddress> one, other;
  for (std::size_t i = 0; i < group_.servers(); ++i) one.push_back(group_.server(i).address());
  for (std::size_t i = 0; i < group_.members(); ++i)
    (prng_.chance(500) ? one : other).push_back(group_.member(i).address());
  group_.network().partition(one, other);
  later([this] { group_.network().heal(); });
}

void Faults::crash(Host& host) {
  host.crash();
  if (power_.chance(400)) host.store.lose_witness();
  later([this, &host] { attend(host); });
}

void Faults::pause(Host& host) {
  host.pause();
  later([&host] { host.resume(); });
}

void Faults::attend(Host& host) {
  host.store.set_faults({});
  if (!host.up()) {
    host.crash();
    host.boot();
  }
  const auto* program = Group::program(host);
  if (!program || !program->failed) return;
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    if (&group_.server(i) != &host) continue;
    if (group_.servers() > 1) {
      // Another that failed too is attended first, and would come back to this one.
      if (!attended_.insert(i).second) return;
      wipe(i);
      attended_.erase(i);
      return;
    }
    oracles_.keys.amnesty();
    group_.start_anew(i);
  }
}

void Faults::change_policy() {
  if (!group_.server_status(group_.acting())) return;
  group_.update_policy(variant_of(group_.policy(), ++variant_));
}

void Faults::remove_or_admit() {
  if (!group_.removed().empty() && prng_.chance(500))
    return group_.admit_member(*group_.removed().begin());
  if (removals_ >= options_.removals_max) return;
  if (group_.remove_member(prng_.below(group_.members()))) ++removals_;
}

void Faults::garbage() {
  const bool to_server = prng_.chance(500);
  const auto& victim = to_server ? some_server() : some_member();
  const auto& claimed = to_server ? some_member() : some_server();
  for (auto count = prng_.between(1, 40); count > 0; --count) {
    Bytes payload(prng_.below(200));
    prng_.fill(payload);
    if (payload.size() >= ike::Header::size && prng_.chance(800)) {
      // Far enough into the parser: a plausible header.
      constexpr std::uint8_t exchanges[] = {2, 4, 5, 32, 33, 35};
      payload[17] = 0x10;
      payload[18] = exchanges[prng_.below(std::size(exchanges))];
      payload[19] = static_cast<std::uint8_t>(prng_.below(2));
      payload[24] = payload[25] = payload[26] = 0;
      payload[27] = static_cast<std::uint8_t>(payload.size());
    }
    group_.network().inject({{victim.address(), 848}, {claimed.address(), 848}, payload},
                            prng_.between(Duration(1), Duration(std::chrono::seconds(1))));
  }
}

void Faults::heal() {
  running_ = false;
  group_.outside().log.note(group_.now(), "fault", "heal", "");
  if (trap_) group_.network().remove_filter(*trap_);
  trap_.reset();
  group_.network().heal();
  group_.network().clear_links();
  group_.network().set_default(group_.options().link);
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    group_.server(i).resume();
    attend(group_.server(i));
  }
  for (std::size_t i = 0; i < group_.members(); ++i) {
    group_.member(i).resume();
    attend(group_.member(i));
  }
}

}  // namespace cohort::sim
