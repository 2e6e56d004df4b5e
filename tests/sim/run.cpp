#include "tests/sim/run.hpp"

#include <fmt/core.h>

#include "tests/sim/oracles.hpp"

namespace cohort::sim {

namespace {

double seconds_of(Duration span) {
  return std::chrono::duration<double>(span).count();
}

void accuse_unless(Group& group, bool holds, std::string text) {
  // An earlier objection stopped the clock, and is the one to read.
  if (!holds && group.judge().violations().empty())
    group.judge().accuse(oracle::liveness, group.now(), std::move(text));
}

void safety_phase(Group& group, Faults& faults, Duration span) {
  group.boot();
  group.traffic().start();
  faults.start();
  group.run_for(span);
}

void liveness_phase(Group& group, Faults& faults, Oracles& oracles) {
  faults.heal();
  const auto healed = group.now();
  const auto bound = convergence_bound(group.options());
  const auto agreement = agreement_bound(group.options());
  const bool agreed = group.run_until([&] { return group.agreed(); }, agreement);
  accuse_unless(group, agreed,
                fmt::format("no agreement {:.0f} s after the heal: {}", seconds_of(agreement),
                            group.disagreement()));
  if (!group.judge().violations().empty()) return;
  group.outside().log.note(group.now(), "run", "agreed",
                           fmt::format("{:.3f} s", seconds_of(group.now() - healed)));
  const bool converged = group.run_until([&] { return group.converged(); }, bound);
  accuse_unless(group, converged,
                fmt::format("not converged {:.0f} s after the heal: {}", seconds_of(bound),
                            group.describe()));
  if (!group.judge().violations().empty()) return;
  group.outside().log.note(group.now(), "run", "converged",
                           fmt::format("{:.3f} s", seconds_of(group.now() - healed)));
  // What is still on its way from before (a rekey's retransmissions, a deactivation) ends first.
  group.run_for(rekey_bound(group.options()) + group.policy().deactivation_delay);
  oracles.limits.expect_quiet(true);
  oracles.keys.expect_calm(true);
  // A member that has rebooted starts its ESP sequence anew, which counter anti-replay takes for
  // replays until the next key: so the first rekey may still find losses.
  struct Step {
    bool kek, strict;
  };
  for (const auto [kek, strict] : {Step{false, false}, Step{false, true}, Step{true, true}}) {
    oracles.traffic.strict(strict);
    group.rekey(kek);
    group.run_for(rekey_bound(group.options()));
    // The next one, by the clock, may have begun a moment ago.
    (void)group.run_until([&] { return group.converged(); }, rekey_bound(group.options()));
    accuse_unless(group, group.converged(),
                  fmt::format("a {} rekey has not reached everybody: {}", kek ? "KEK" : "TEK",
                              group.describe()));
  }
  // And the keys of before end, which must not be noticed either.
  Duration longest{0};
  for (const auto& sa : group.policy().sas) longest = std::max<Duration>(longest, sa.lifetime);
  group.run_for(longest);
  (void)group.run_until([&] { return group.converged(); }, rekey_bound(group.options()));
  accuse_unless(group, group.converged(), "a key's life later: " + group.describe());
}

}  // namespace

Duration convergence_bound(const GroupOptions& options) {
  Duration longest{0};
  for (const auto& sa : options.policy.sas) longest = std::max<Duration>(longest, sa.lifetime);
  return longest + options.reregister_lead + std::chrono::seconds(240) +
         std::chrono::milliseconds(100) * options.members;
}

Duration agreement_bound(const GroupOptions& options) {
  if (options.key_servers == 1) return std::chrono::seconds(1);
  return options.coop.timers.dead * 6 + std::chrono::seconds(60);
}

Duration rekey_bound(const GroupOptions& options) {
  const auto& policy = options.policy;
  return policy.activation_delay +
         policy.rekey.retransmit_interval * (policy.rekey.retransmit_number + 1) +
         std::chrono::seconds(30);
}

void shorten(GroupOptions& group, Prng& prng) {
  auto& policy = group.policy;
  policy.activation_delay = std::chrono::seconds(prng.between(5, 15));
  policy.deactivation_delay = policy.activation_delay + std::chrono::seconds(5);
  policy.rekey.retransmit_number = static_cast<unsigned>(prng.between(1, 3));
  policy.rekey.retransmit_interval = std::chrono::seconds(prng.between(2, 4));
  policy.rekey.lifetime = std::chrono::seconds(prng.between(200, 600));
  for (auto& sa : policy.sas) sa.lifetime = std::chrono::seconds(prng.between(100, 300));
  group.reregister_lead = std::chrono::seconds(prng.between(15, 30));
  group.traffic.interval = std::chrono::milliseconds(prng.between(500, 2000));
}

RunOptions RunOptions::draw(std::uint64_t seed, std::optional<unsigned> members) {
  RunOptions run;
  auto prng = Prng(seed).fork("options");
  auto& group = run.group;
  group.seed = seed;
  // Small groups are cheap and find most; a few larger ones find the rest.
  group.members =
      static_cast<unsigned>(prng.chance(100) ? prng.between(20, 60) : prng.between(2, 8));
  if (members) group.members = *members;
  group.certificates = prng.chance(300);
  group.sender_ids = static_cast<unsigned>(prng.between(1, 3));
  group.drift_ppm_max = prng.chance(500) ? 200 : 0;
  if (prng.chance(300)) group.job_time_max = std::chrono::milliseconds(300);
  if (prng.chance(200)) group.fragment_size = 600;
  if (prng.chance(300)) group.dpd.mode = ike::DpdOptions::Mode::periodic;
  group.policy = small_policy(group.members);
  auto& sa = group.policy.sas.front();
  sa.lifetime = std::chrono::seconds(prng.between(300, 900));
  group.policy.rekey.lifetime = std::chrono::seconds(prng.between(600, 1800));
  if (prng.chance(200)) sa.suite = dataplane::Suite::aes_256_cbc_sha256_128;
  if (prng.chance(250)) {
    group.policy.rekey.transport = gdoi::RekeyTransport::multicast;
    group.policy.rekey.multicast_destination = Endpoint{IpAddress::v4(0xef000101), 848};
    group.policy.rekey.acknowledge = prng.chance(500);
  }
  if (Prng(seed).fork("anti-replay").chance(400)) {
    sa.replay = dataplane::ReplayKind::time;
    sa.replay_window = 4000;
    group.traffic.replay_permille = 50;
  }
  group.traffic.interval = std::chrono::milliseconds(prng.between(400, 1500));
  group.link.delay_max = std::chrono::milliseconds(prng.between(6, 200));
  for (std::size_t i = 0; i < fault_count; ++i) {
    const bool on = prng.chance(400);
    if (on && !among_servers(static_cast<Fault>(i)))
      run.faults.enabled.insert(static_cast<Fault>(i));
  }
  run.faults.interval_mean = std::chrono::seconds(prng.between(5, 90));
  run.faults.outage_max = std::chrono::seconds(prng.between(5, 400));
  run.faults.torn_writes = prng.chance(300);
  run.faults.loss_permille_max = static_cast<unsigned>(prng.between(10, 400));
  run.safety = std::chrono::seconds(prng.between(600, 2400));
  if (auto trust = Prng(seed).fork("trust"); trust.chance(500))
    group.state_trust = std::chrono::seconds(trust.between(60, 600));
  return run;
}

/// Co-operating key servers live on shorter times, so that more happens in as many events.
RunOptions RunOptions::draw_coop(std::uint64_t seed, std::optional<unsigned> servers,
                                 std::optional<unsigned> members) {
  auto run = draw(seed, members);
  auto prng = Prng(seed).fork("co-operation");
  auto& group = run.group;
  constexpr unsigned usual[] = {2, 2, 2, 2, 2, 3, 3, 3, 4, 5};
  group.key_servers = usual[prng.below(std::size(usual))];
  if (prng.chance(40)) group.key_servers = static_cast<unsigned>(prng.between(6, 8));
  if (servers) group.key_servers = *servers;
  if (!members && group.members < 20) group.members = static_cast<unsigned>(prng.between(2, 6));
  auto& coop = group.coop;
  const auto announce = std::chrono::milliseconds(prng.between(500, 3000));
  coop.timers = {announce, announce * 2, announce * 4};
  coop.preempt = prng.chance(200);
  if (prng.chance(150)) coop.key_source = coop::KeySource::random;
  if (prng.chance(200)) coop.evict_in_partition = coop::EvictInPartition::at_merge;
  if (prng.chance(300)) coop.refresh_after = std::chrono::seconds(prng.between(100, 600));
  const bool equal = prng.chance(300), mixed = prng.chance(300);
  for (unsigned i = 0; i < group.key_servers && (equal || mixed); ++i)
    coop.priorities.push_back(equal ? std::uint16_t{7}
                                    : static_cast<std::uint16_t>(prng.between(1, 3)));
  shorten(group, prng);
  run.faults.enabled.clear();
  for (std::size_t i = 0; i < fault_count; ++i)
    if (prng.chance(300)) run.faults.enabled.insert(static_cast<Fault>(i));
  if (prng.chance(700)) run.faults.enabled.erase(Fault::step_server_clock);
  run.faults.interval_mean = std::chrono::seconds(prng.between(4, 40));
  run.faults.outage_max = std::chrono::seconds(prng.between(4, 120));
  run.safety = std::chrono::seconds(prng.between(200, 700));
  return run;
}

RunOptions RunOptions::draw_any(std::uint64_t seed, std::optional<unsigned> servers,
                                std::optional<unsigned> members) {
  const bool one = servers ? *servers == 1 : Prng(seed).fork("kind").chance(250);
  return one ? draw(seed, members) : draw_coop(seed, servers, members);
}

std::string RunOptions::text() const {
  std::string enabled;
  for (const auto fault : faults.enabled) enabled += fmt::format(" {}", name_of(fault));
  return fmt::format(
      "seed {}: {} key servers, {} members, {}, {}, {} rekeys, TEK {} s{}, KEK {} s, drift {} ppm; "
      "faults about every {:.0f} s for {:.0f} s:{}",
      group.seed, group.key_servers, group.members, group.certificates ? "certificates" : "PSK",
      dataplane::shape_of(group.policy.sas.front().suite).name,
      group.policy.rekey.transport == gdoi::RekeyTransport::unicast ? "unicast" : "multicast",
      group.policy.sas.front().lifetime.count(),
      group.policy.sas.front().replay == dataplane::ReplayKind::time ? ", anti-replay by time" : "",
      group.policy.rekey.lifetime.count(), group.drift_ppm_max, seconds_of(faults.interval_mean),
      seconds_of(safety), enabled);
}

Outcome run(const RunOptions& options) {
  Group group(options.group);
  Oracles oracles(group);
  Faults faults(group, oracles, options.faults);
  safety_phase(group, faults, options.safety);
  if (group.judge().violations().empty()) liveness_phase(group, faults, oracles);
  Outcome outcome;
  const auto& log = group.outside().log;
  outcome.ok = group.judge().violations().empty();
  outcome.hash = log.hash();
  outcome.lines = log.lines();
  outcome.summary = fmt::format(
      "{:.0f} s virtual, {} events, {} faults, {} rekeys sent, {} acknowledged, {}",
      seconds_of(group.now().time_since_epoch()), log.lines(), faults.injected(),
      oracles.sequence.pushes(), oracles.sequence.acknowledgements(), group.traffic().text());
  if (!outcome.ok) outcome.text = group.judge().text() + "--- log\n" + log.tail();
  return outcome;
}

Outcome run_twice(const RunOptions& options) {
  auto first = run(options);
  if (!first.ok) return first;
  const auto second = run(options);
  if (second.hash == first.hash && second.lines == first.lines) return first;
  first.ok = false;
  first.text = fmt::format("not repeatable: event logs {:016x} ({} lines) and {:016x} ({} lines)\n",
                           first.hash, first.lines, second.hash, second.lines);
  return first;
}

}  // namespace cohort::sim
