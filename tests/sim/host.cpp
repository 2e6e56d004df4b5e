#include "tests/sim/host.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "controlplane/crypto/reasons.hpp"

namespace cohort::sim {

namespace {

constexpr unsigned spins_max = 1000;  // timer calls in a boot that leave the node due at once
constexpr WallTime wall_epoch{std::chrono::seconds(1'900'000'000)};  // some day in 2030

// Exact for the magnitudes of a simulation: spans under a year, drift under 10 %.
Duration scaled(Duration span, std::int64_t numerator, std::int64_t denominator) {
  const auto whole = span.count() / denominator * numerator;
  return Duration(whole + span.count() % denominator * numerator / denominator);
}

}  // namespace

WallTime SimClock::wall() const {
  return wall_epoch + wall_offset_ +
         std::chrono::floor<std::chrono::seconds>(scheduler_.now().time_since_epoch());
}

void SimClock::restart(TimePoint start, int drift_ppm) {
  base_global_ = scheduler_.now();
  base_local_ = start;
  drift_ppm_ = drift_ppm;
}

TimePoint SimClock::local(TimePoint global) const {
  return base_local_ + scaled(global - base_global_, 1'000'000 + drift_ppm_, 1'000'000);
}

TimePoint SimClock::global(TimePoint local_time) const {
  if (local_time == never) return never;
  if (local_time <= base_local_) return base_global_;
  auto guess = base_global_ + scaled(local_time - base_local_, 1'000'000, 1'000'000 + drift_ppm_);
  while (local(guess) < local_time) guess += Duration(1);
  return guess;
}

void SimRandom::fill(std::span<std::uint8_t> out) {
  prng_.fill(out);
}

NodePort::NodePort(Host& host, std::uint64_t boot)
    : host_(host), boot_(boot), world_{host.clock,          *host.random_seen, host,
                                       *host.store_seen,    *host.credentials, *this,
                                       *host.dataplane_seen} {}

JobId NodePort::post(Job job) {
  const auto id = host_.next_job_++;
  ++pending;
  host_.schedule_job(*this, boot_, id, std::move(job));
  return id;
}

Host::Host(Outside& shared, HostOptions options, ProgramFactory factory,
           std::unique_ptr<Credentials> own_credentials)
    : outside(shared),
      clock(shared.scheduler),
      entropy(shared.prng.fork("random " + options.name)),
      store(shared.prng.fork("store " + options.name)),
      credentials(std::move(own_credentials)),
      dataplane(
          shared.scheduler, shared.prng.fork("dataplane " + options.name),
          [this](const dataplane::Snapshot& snapshot) {
            outside.log.note(
                outside.scheduler.now(), name(), "installed",
                fmt::format("{} entries {} sas", snapshot.policy.size(), snapshot.sas.size()));
            outside.judge.on_installed(*this, snapshot);
          },
          [this] { return clock.now(); }),
      store_seen(&store),
      dataplane_seen(&dataplane),
      random_seen(&entropy),
      options_(std::move(options)),
      factory_(std::move(factory)),
      prng_(shared.prng.fork("host " + options_.name)) {
  store.on_crash([this] { dying_ = true; });
  outside.network.attach(options_.address, options_.name,
                         [this](const Datagram& datagram) { on_datagram(datagram); });
}

Host::~Host() = default;

NodePort& Host::open_port() {
  ports_.push_back(std::make_unique<NodePort>(*this, boot_));
  return *ports_.back();
}

void Host::set_job_time(Duration min, Duration max) {
  options_.job_time_min = min;
  options_.job_time_max = max;
}

std::size_t Host::pending_jobs() const {
  std::size_t sum = 0;
  for (const auto& port : ports_) sum += port->pending;
  return sum;
}

void Host::boot() {
  if (program_) return;
  if (boot_ > 0) downtime_ += outside.scheduler.now() - crashed_at_;
  ++boot_;
  dying_ = paused_ = false;
  store.freeze(false);
  // The monotonic clock goes on if only the program was down, and begins again with the machine.
  const auto drawn = TimePoint(prng_.between(Duration(0), std::chrono::hours(1000)));
  const bool first = boot_ == 1, stayed_on = !first && store.has_witness();
  // A machine has not run for longer than its program has been gone.
  const Duration off = outside.scheduler.now() - crashed_at_;
  const TimePoint begun{
      std::min<Duration>(drawn.time_since_epoch() % std::chrono::minutes(1), off)};
  clock.restart(first ? drawn : stayed_on ? clock.now() : begun, options_.drift_ppm);
  armed_ = never;
  spins_ = 0;
  outside.log.note(outside.scheduler.now(), name(), "boot", "");
  outside.judge.on_boot(*this);
  booting_ = true;
  program_ = factory_(*this);
  booting_ = false;
  settle();
}

void Host::crash() {
  if (!program_) return;
  outside.log.note(outside.scheduler.now(), name(), "crash", "");
  crashed_at_ = outside.scheduler.now();
  dying_ = true;  // mutes what destructors do
  store.freeze(true);
  program_.reset();
  ports_.clear();
  waiting_.clear();
  dataplane.reset();
  outside.judge.on_crash(*this);
}

void Host::pause() {
  if (!up() || paused_) return;
  outside.log.note(outside.scheduler.now(), name(), "pause", "");
  paused_at_ = outside.scheduler.now();
  paused_ = true;
}

void Host::resume() {
  if (!paused_) return;
  outside.log.note(outside.scheduler.now(), name(), "resume", "");
  paused_ = false;
  resumed_ = outside.scheduler.now();
  longest_pause_ = std::max(longest_pause_, resumed_ - paused_at_);
  armed_ = never;  // a timer that came due meanwhile was not heard
  auto waiting = std::move(waiting_);
  waiting_.clear();
  for (auto& action : waiting) outside.scheduler.after(Duration(0), std::move(action));
  settle();
}

void Host::call(const std::function<void()>& action) {
  if (!up() || paused_) return;
  action();
  settle();
}

void Host::send(Datagram datagram) {
  if (dying_) return;
  if (datagram.local.address.is_unspecified()) datagram.local.address = options_.address;
  if (datagram.local.address != options_.address || datagram.remote.port == 0) {
    outside.judge.accuse("misaddressed", outside.scheduler.now(),
                         fmt::format("{} sends from {} to {}", name(), datagram.local.text(),
                                     datagram.remote.text()));
  }
  outside.judge.on_sent(*this, datagram);
  outside.network.send(datagram);
}

void Host::report(Event event) {
  if (dying_) return;
  outside.log.note(outside.scheduler.now(), name(), "event", event.text());
  outside.judge.on_event(*this, event);
}

void Host::refuse(Refusal refusal) {
  if (dying_) return;
  outside.log.note(outside.scheduler.now(), name(), "refuse",
                   fmt::format("{} {}", refusal.where, refusal.error.text()));
  outside.judge.on_refusal(*this, refusal);
}

void Host::on_datagram(const Datagram& datagram) {
  if (!up()) return;
  if (paused_) {
    constexpr std::size_t socket_buffer = 256;
    if (waiting_.size() < socket_buffer)
      waiting_.push_back([this, datagram] { on_datagram(datagram); });
    return;
  }
  // By index: a node that is called may not open ports, but the rule costs nothing.
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i]->listens && ports_[i]->node) ports_[i]->node->on_datagram(clock.now(), datagram);
  }
  settle();
}

void Host::schedule_job(NodePort& port, std::uint64_t boot, JobId id, Job job) {
  const auto delay = prng_.between(options_.job_time_min, options_.job_time_max);
  outside.scheduler.after(delay, [this, &port, boot, id, job = std::move(job)] {
    if (boot != boot_ || !up()) return;
    auto deliver = [this, &port, boot, id, job] {
      if (boot != boot_ || !up()) return;
      --port.pending;
      if (port.node) port.node->on_job_done(clock.now(), id, work(job));
      settle();
    };
    if (paused_) {
      waiting_.push_back(std::move(deliver));
    } else {
      deliver();
    }
  });
}

JobResult Host::work(const Job& job) {
  if (prng_.chance(options_.job_error_permille)) return fail(crypto::crypto_failure, "simulated");
  if (const auto* generate = std::get_if<DhGenerateJob>(&job)) {
    // From the seed rather than from OpenSSL's generator, so that a run can be repeated.
    Bytes exponent(32);
    entropy.fill(exponent);
    exponent[0] &= 0x7f;
    exponent[31] |= 1;
    COHORT_TRY(auto key,
               crypto::DhKey::from_private(generate->group, Secret::take(std::move(exponent))));
    return JobValue(std::make_shared<const crypto::DhKey>(std::move(key)));
  }
  return run_job(job);
}

void Host::on_timer(std::uint64_t boot) {
  if (boot != boot_ || !up() || paused_) return;
  const auto now = outside.scheduler.now();
  if (now < armed_) return;  // an earlier one has taken over since
  armed_ = never;
  const auto local = clock.now();
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    auto* node = ports_[i]->node;
    if (!node || node->next_deadline() > local) continue;
    node->on_timer(local);
    if (up() && node->next_deadline() <= local && ++spins_ == spins_max) {
      outside.judge.accuse("timer_spin", now, name() + " is always due, again and again");
      return;
    }
  }
  settle();
}

void Host::settle() {
  if (booting_) return;
  if (dying_ && program_) {
    // Died inside a call: the stack below still belongs to the program, so it goes a moment later.
    outside.scheduler.after(Duration(0), [this, boot = boot_] {
      if (boot == boot_) crash();
    });
    return;
  }
  arm();
}

void Host::arm() {
  if (!up() || paused_) return;
  auto earliest = never;
  for (const auto& port : ports_) {
    if (port->node) earliest = std::min(earliest, port->node->next_deadline());
  }
  if (earliest == never) return;
  const auto due = std::max(clock.global(earliest), outside.scheduler.now());
  if (due >= armed_) return;
  // An event loop wakes up a little late.
  const auto when = due + prng_.between(Duration(0), options_.timer_late_max);
  armed_ = when;
  outside.scheduler.at(when, [this, boot = boot_] { on_timer(boot); });
}

}  // namespace cohort::sim
