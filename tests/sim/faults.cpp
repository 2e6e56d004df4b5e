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
      enabled_(options_.enabled.begin(), options_.enabled.end()) {}

void Faults::start() {
  if (enabled_.empty()) return;
  running_ = true;
  next();
}

void Faults::next() {
  group_.outside().scheduler.after(prng_.between(Duration(1), 2 * options_.interval_mean), [this] {
    if (!running_) return;
    strike(enabled_[prng_.below(enabled_.size())]);
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
  }
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
    oracles_.keys.amnesty();
    group_.start_anew(i);
  }
}

void Faults::change_policy() {
  if (!group_.server_status()) return;
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
  group_.network().heal();
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
