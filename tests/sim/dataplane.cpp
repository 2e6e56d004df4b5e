#include "tests/sim/dataplane.hpp"

#include <algorithm>

namespace cohort::sim {

namespace {
constexpr Duration change_delay_max = std::chrono::milliseconds(2);
}

std::uint64_t fingerprint(const dataplane::Sa& sa) {
  auto hash = hash64(sa.cipher_key.view(), static_cast<std::uint64_t>(sa.suite) + 1);
  hash = hash64(sa.integrity_key.view(), hash);
  return hash64(sa.salt.view(), hash);
}

SimDataplane::SimDataplane(Scheduler& scheduler, Prng prng,
                           std::function<void(const dataplane::Snapshot&)> installed,
                           std::function<TimePoint()> clock)
    : scheduler_(scheduler),
      prng_(prng),
      installed_(std::move(installed)),
      clock_(clock ? std::move(clock) : [&scheduler] { return scheduler.now(); }) {
  newest_ = active_ = std::make_shared<const Table>();
}

void SimDataplane::reset() {
  newest_ = active_ = std::make_shared<const Table>();
  unknown_spi_ = 0;
  ++life_;
}

Status SimDataplane::apply(std::string_view, dataplane::Snapshot snapshot) {
  auto table = std::make_shared<Table>();
  table->policy = snapshot.policy;
  table->otherwise = snapshot.otherwise;
  for (const auto& sa : snapshot.sas) {
    const auto key = fingerprint(sa);
    const auto old = newest_->sas.find(sa.spi);
    if (old != newest_->sas.end() && old->second->key == key) {
      table->sas[sa.spi] = old->second;
      old->second->sender_ids = sa.sender_ids;
      if (sa.replay == dataplane::ReplayKind::none) old->second->replay = sa.replay;
      continue;
    }
    auto state = std::make_shared<State>();
    state->key = key;
    state->aead = dataplane::shape_of(sa.suite).aead;
    state->sid_bits = sa.sid_bits;
    state->replay = sa.replay;
    state->by_time = sa.replay == dataplane::ReplayKind::time;
    state->window = std::max<std::uint32_t>(sa.replay_window, 32);
    state->sender_ids = sa.sender_ids;
    state->seen.assign(state->window, false);
    state->usage.spi = sa.spi;
    table->sas[sa.spi] = std::move(state);
  }
  table->snapshot = std::move(snapshot);
  newest_ = table;
  ++applied_;
  const auto when =
      std::max(last_change_, scheduler_.now() + prng_.between(Duration(1), change_delay_max));
  last_change_ = when;
  scheduler_.at(when, [this, table, life = life_] { change_over(table, life); });
  return {};
}

void SimDataplane::change_over(std::shared_ptr<const Table> table, std::uint64_t life) {
  if (life != life_) return;
  active_ = std::move(table);
  installed_(active_->snapshot);
}

const dataplane::PolicyEntry* SimDataplane::match(const IpAddress& source,
                                                  const IpAddress& destination) const {
  for (const auto& entry : active_->policy) {
    if (entry.selector.source.contains(source) && entry.selector.destination.contains(destination))
      return &entry;
  }
  return nullptr;
}

SimDataplane::Sent SimDataplane::send(const IpAddress& source, const IpAddress& destination) {
  EspPacket packet;
  packet.source = source;
  packet.destination = destination;
  packet.sent = scheduler_.now();
  const auto* entry = match(source, destination);
  const auto action = entry ? entry->action : active_->otherwise;
  if (action == dataplane::Action::drop) return {Fate::dropped_by_policy, packet};
  if (action == dataplane::Action::bypass) {
    packet.clear = true;
    return {Fate::accepted, packet};
  }
  const auto sa = active_->sas.find(entry->send_spi);
  if (entry->send_spi == 0 || sa == active_->sas.end()) return {Fate::no_outbound_sa, packet};
  auto& state = *sa->second;
  packet.spi = sa->first;
  packet.key = state.key;
  packet.aead = state.aead;
  if (state.aead) {
    if (state.sender_ids.empty()) return {Fate::no_sender_id, packet};
    packet.sender_id = state.sender_ids[state.turn++ % state.sender_ids.size()];
    const auto next = state.next_counter.try_emplace(packet.sender_id, counter_start_).first;
    packet.counter = next->second++;
  }
  packet.sequence = state.next_sequence++;
  if (state.by_time) {
    packet.sequence = static_cast<std::uint32_t>(tick());
    packet.time_window = std::chrono::milliseconds(state.window);
  }
  ++state.usage.packets_out;
  state.usage.bytes_out += 100;
  return {Fate::accepted, packet};
}

/// The group's time here, in units of 10 ms.
std::int64_t SimDataplane::tick() const {
  const auto ms =
      std::chrono::floor<std::chrono::milliseconds>(clock_().time_since_epoch()).count();
  return (ms + active_->snapshot.group_time_offset_ms) / 10;
}

bool SimDataplane::replay_accepts(State& state, std::uint32_t sequence) const {
  if (state.replay == dataplane::ReplayKind::none) return true;
  if (state.replay == dataplane::ReplayKind::time) {
    const std::int64_t ahead =
        static_cast<std::int32_t>(sequence - static_cast<std::uint32_t>(tick()));
    if (std::abs(ahead) > state.window / 10) return false;
    state.usage.time_skew_ms = static_cast<std::int32_t>(ahead * 10);
    return true;
  }
  if (sequence > state.highest) {
    const auto ahead = std::min(sequence - state.highest, state.window);
    for (std::uint32_t i = 1; i <= ahead; ++i)
      state.seen[(state.highest + i) % state.window] = false;
    if (ahead == state.window) state.seen.assign(state.window, false);
    state.highest = sequence;
    state.seen[sequence % state.window] = true;
    return true;
  }
  if (state.highest - sequence >= state.window) return false;
  if (state.seen[sequence % state.window]) return false;
  state.seen[sequence % state.window] = true;
  return true;
}

Fate SimDataplane::receive(const EspPacket& packet) {
  const auto* entry = match(packet.source, packet.destination);
  const auto action = entry ? entry->action : active_->otherwise;
  if (packet.clear) {
    if (action == dataplane::Action::bypass) return Fate::bypassed;
    return action == dataplane::Action::drop ? Fate::dropped_by_policy : Fate::clear_dropped;
  }
  const auto sa = active_->sas.find(packet.spi);
  if (sa == active_->sas.end()) {
    unknown_spi_ = packet.spi;
    return Fate::unknown_spi;
  }
  auto& state = *sa->second;
  if (state.key != packet.key) {
    ++state.usage.auth_failures;
    return Fate::authentication_failed;
  }
  if (!replay_accepts(state, packet.sequence)) {
    ++state.usage.replay_drops;
    return Fate::replayed;
  }
  if (!entry || action != dataplane::Action::protect ||
      std::find(entry->receive_spis.begin(), entry->receive_spis.end(), packet.spi) ==
          entry->receive_spis.end())
    return Fate::policy_mismatch;
  ++state.usage.packets_in;
  state.usage.bytes_in += 100;
  return Fate::accepted;
}

dataplane::Usage SimDataplane::usage(std::string_view) const {
  dataplane::Usage usage;
  for (const auto& [spi, state] : active_->sas) {
    auto of_sa = state->usage;
    if (state->aead && state->sid_bits > 0 && state->sid_bits < 64) {
      const auto space = std::uint64_t{1} << (64 - state->sid_bits);
      std::uint64_t fullest = 0;
      for (const auto& [sid, next] : state->next_counter) fullest = std::max(fullest, next);
      of_sa.exhausted_permille =
          static_cast<std::uint32_t>(std::min<std::uint64_t>(1000, fullest / (space / 1000)));
    }
    usage.sas.push_back(of_sa);
  }
  usage.unknown_spi = unknown_spi_;
  return usage;
}

bool SimDataplane::can_send() const {
  return sending_spi() != 0;
}

std::uint32_t SimDataplane::sending_spi() const {
  for (const auto& entry : active_->policy) {
    if (entry.action == dataplane::Action::protect && entry.send_spi != 0) return entry.send_spi;
  }
  return 0;
}

std::vector<std::uint32_t> SimDataplane::spis() const {
  std::vector<std::uint32_t> all;
  for (const auto& [spi, state] : active_->sas) all.push_back(spi);
  return all;
}

const std::vector<dataplane::PolicyEntry>& SimDataplane::policy() const {
  return active_->policy;
}

}  // namespace cohort::sim
