#include "tests/sim/oracles.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "coop/key_schedule.hpp"
#include "gdoi/events.hpp"

namespace cohort::sim {

namespace {

// A member learns a key's end as whole seconds that remain, and its clock drifts meanwhile.
constexpr Duration end_slack = std::chrono::seconds(3);

constexpr std::size_t header_size = ike::Header::size;
constexpr std::size_t cookies_size = 16;
constexpr std::size_t exchange_offset = 18;
constexpr std::size_t block_size = 16;

bool has_key(const coop::Epoch& epoch, std::uint32_t spi) {
  return std::ranges::any_of(epoch.chains, [spi](const coop::Chain& chain) {
    return spi - chain.spi(chain.generation) < 10'000;  // later generations
  });
}

bool is_exchange(const Datagram& datagram, ike::ExchangeType type) {
  return datagram.payload.size() >= header_size &&
         datagram.payload[exchange_offset] == static_cast<std::uint8_t>(type);
}

}  // namespace

// ---- KeyOracle ----------------------------------------------------------------------------------

void KeyOracle::learn() {
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    const auto status = group_.server_status(i);
    if (!status) continue;
    for (const auto& tek : status->teks) genuine_.insert(tek.spi);
  }
}

void KeyOracle::on_installed(const Host& host, const dataplane::Snapshot& snapshot) {
  for (const auto& sa : snapshot.sas) {
    const auto key = fingerprint(sa);
    const auto [found, fresh] = key_of_.try_emplace(sa.spi, key);
    if (!fresh && found->second != key)
      group_.judge().accuse(oracle::spi_two_keys, group_.now(),
                            fmt::format("{} installed another key for SPI {:08x} than was "
                                        "installed for it before",
                                        host.name(), sa.spi));
    if (fresh && calm_) check_held(sa.spi);
    if (genuine_.contains(sa.spi) || forgiving_) continue;
    learn();
    if (!made_by_server(sa.spi)) unknown_.try_emplace(sa.spi, host.name());
  }
}

/// An epoch that another follows at once is in force for no time: no status ever shows its keys.
bool KeyOracle::made_by_server(std::uint32_t spi) {
  for (std::size_t i = 0; i < group_.servers() && !genuine_.contains(spi); ++i)
    if (held_at(i, spi)) genuine_.insert(spi);
  return genuine_.contains(spi);
}

/// Whether an epoch that this key server holds, if it is up, has a key with this SPI.
bool KeyOracle::held_at(std::size_t server, std::uint32_t spi) {
  const auto* group = group_.coop_group(server);
  if (group == nullptr) return false;
  for (const auto* item : group->replica().all(coop::Kind::epoch)) {
    coop::EpochId id{};
    std::copy_n(item->id.key.begin(), id.size(), id.begin());
    const auto epoch = coop::decode_epoch(id, item->value.view());
    if (epoch && has_key(*epoch, spi)) return true;
  }
  return false;
}

/// Every key server that is up holds an epoch with this key: whichever dies, another can go on. A
/// key of no epoch in force is for reception only: who was away alone has derived such.
void KeyOracle::check_held(std::uint32_t spi) {
  bool in_force = false;
  for (std::size_t i = 0; i < group_.servers() && !in_force; ++i)
    if (const auto* group = group_.coop_group(i))
      in_force = group->epoch() != nullptr && has_key(*group->epoch(), spi);
  if (!in_force) return;
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    if (group_.coop_group(i) == nullptr || group_.server(i).paused()) continue;
    if (!held_at(i, spi))
      group_.judge().accuse(oracle::held_by_peers, group_.now(),
                            fmt::format("a member has SPI {:08x}, of which {} knows nothing", spi,
                                        group_.server(i).name()));
  }
}

void KeyOracle::on_event(const Host& host, const Event& event) {
  if (event.kind == &gdoi::events::ks_clear_register) group_.withdraw_all();
  // A key may live for less than a tick, but no server makes one in silence. Nobody is asked in the
  // middle of its own call.
  if (learning_ || !group_.is_server(host)) return;
  learning_ = true;
  group_.outside().scheduler.after(Duration(0), [this] {
    learning_ = false;
    learn();
  });
}

void KeyOracle::on_tick(TimePoint now) {
  learn();
  for (auto it = unknown_.begin(); it != unknown_.end();) {
    if (made_by_server(it->first)) {
      it = unknown_.erase(it);
    } else if (group_.all_servers_speak()) {
      group_.judge().accuse(
          oracle::unauthentic_key, now,
          fmt::format("{} installed SPI {:08x}, which no key server made", it->second, it->first));
      it = unknown_.erase(it);
    } else {
      ++it;  // a server is down; ask it when it is back
    }
  }
}

// ---- NonceOracle --------------------------------------------------------------------------------

void NonceOracle::on_packet_sent(const Host& host, const EspPacket& packet) {
  if (!packet.aead || packet.clear) return;
  const auto [found, fresh] =
      last_.try_emplace({packet.key, packet.sender_id}, Last{packet.counter, &host});
  if (fresh) return;
  auto& last = found->second;
  if (packet.counter <= last.counter) {
    group_.judge().accuse(
        oracle::nonce_reuse, group_.now(),
        fmt::format("{} sent counter {} with sender id {} under SPI {:08x}; {} had reached {}",
                    host.name(), packet.counter, packet.sender_id, packet.spi, last.host->name(),
                    last.counter));
  }
  last = {std::max(packet.counter, last.counter), &host};
}

// ---- SequenceOracle -----------------------------------------------------------------------------

void SequenceOracle::on_sent(const Host& host, const Datagram& datagram) {
  const ByteView message(datagram.payload);
  if (is_exchange(datagram, ike::ExchangeType::groupkey_push)) on_push(host, message);
  if (is_exchange(datagram, ike::ExchangeType::groupkey_push_ack)) on_ack(host, message);
}

void SequenceOracle::on_push(const Host& host, ByteView message) {
  // SEQ comes first, under a fixed key and IV: an equal first block is an equal SEQ. Only
  // retransmissions may share it.
  if (message.size() < header_size + block_size) return;
  ++pushes_;
  auto key = to_bytes(message.first(cookies_size));
  if (pardoned_.contains({&host, key})) return;
  const auto block = message.subspan(header_size, block_size);
  key.insert(key.end(), block.begin(), block.end());
  const auto whole = hash64(message);
  const auto [found, fresh] = push_of_.try_emplace(std::move(key), whole);
  if (!fresh && found->second == whole) return;  // to one more member
  if (!fresh)
    group_.judge().accuse(oracle::seq_back, group_.now(),
                          host.name() + " sent two rekeys with one sequence number");
  // The next blocks show in it too; so SEQ is read where the KEK is known.
  KekSpi spi{};
  std::copy_n(message.begin(), spi.size(), spi.begin());
  const auto seq = seq_of(spi, message);
  if (!seq) return;
  ++read_;
  const auto [other, first] = message_of_.try_emplace({spi, *seq}, whole);
  if (!first && other->second != whole)
    group_.judge().accuse(oracle::seq_back, group_.now(),
                          fmt::format("{} sent rekey {}, a number that had been used under this "
                                      "KEK",
                                      host.name(), *seq));
  check_order(host, spi, *seq);
}

void SequenceOracle::pardon(const Host& host) {
  for (const auto& [sent, message] : push_of_)
    pardoned_.emplace(&host, to_bytes(ByteView(sent).first(cookies_size)));
}

void SequenceOracle::check_order(const Host& host, const KekSpi& spi, std::uint32_t seq) {
  const auto now = group_.now();
  auto& sent = sent_[spi];
  auto& own = sent.by_host[&host];
  if (seq <= own)
    group_.judge().accuse(
        oracle::seq_back, now,
        fmt::format("{} sent rekey {} after {} under one KEK", host.name(), seq, own));
  own = std::max(own, seq);
  // Two primaries at once go on side by side; one that comes after another is above it. Each that
  // takes over begins above all that the one before had reserved, some 16 s ahead of time.
  const auto ahead = std::chrono::seconds(20) * sent.by_host.size();
  if (sent.highest > 0 && now > sent.at + margin() + ahead) sent.settled = sent.highest;
  if (seq <= sent.settled)
    group_.judge().accuse(oracle::seq_back, now,
                          fmt::format("{} sent rekey {} long after another had sent {}",
                                      host.name(), seq, sent.settled));
  if (seq > sent.highest) {
    sent.highest = seq;
    sent.at = now;
  }
}

/// SEQ goes on by time at least; what servers think the time is may differ by this.
Duration SequenceOracle::margin() const {
  Duration restarts{0};
  for (std::size_t i = 0; i < group_.servers(); ++i)
    restarts += std::chrono::seconds(2) * (group_.server(i).boots() - 1);
  return std::chrono::seconds(20) + restarts +
         (group_.time_bent() ? group_.downtime() + std::chrono::hours(2) : Duration(0));
}

std::optional<std::uint32_t> SequenceOracle::seq_of(const KekSpi& spi, ByteView message) const {
  const auto known = keks_.find(spi);
  if (known == keks_.end()) return std::nullopt;
  const auto& kek = known->second;
  const auto block = message.subspan(header_size, crypto::block_size(kek.cipher));
  const auto plain = crypto::cbc_decrypt(kek.cipher, kek.key.view(), kek.iv.view(), block);
  if (!plain) return std::nullopt;
  Reader in(*plain);
  in.skip(4);
  return in.u32();
}

/// What decrypts the rekeys of key servers that derive their keys.
void SequenceOracle::learn_keks() {
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    auto* program = Group::program(group_.server(i));
    if (program == nullptr || !program->key_authority) continue;
    const auto plan = program->key_authority->plan(group_.server(i).clock.now());
    if (!plan) continue;
    const auto cipher = group_.policy().rekey.cipher;
    const auto block = crypto::block_size(cipher);
    for (const auto& one : plan->keks) {
      if (keks_.contains(one.spi) || one.material.size() < block) continue;
      gdoi::Kek kek;
      kek.spi = one.spi;
      kek.cipher = cipher;
      kek.iv = Secret(one.material.view().first(block));
      kek.key = Secret(one.material.view().subspan(block));
      keks_.emplace(one.spi, std::move(kek));
    }
  }
}

void SequenceOracle::on_event(const Host& host, const Event&) {
  if (learning_ || group_.servers() == 1 || !group_.is_server(host)) return;
  learning_ = true;
  group_.outside().scheduler.after(Duration(0), [this] {
    learning_ = false;
    learn_keks();
  });
}

void SequenceOracle::on_ack(const Host& host, ByteView message) {
  Reader in(message);
  const auto cookies = to_bytes(in.take(cookies_size));
  in.skip(header_size - cookies_size);
  in.skip(2);
  const auto hash_length = in.u16();
  if (hash_length < 4) return;
  in.skip(hash_length - 4u);
  in.skip(4);
  const auto seq = in.u32();
  if (!in.ok()) return;
  ++acknowledgements_;
  const auto [found, fresh] = acknowledged_.try_emplace({&host, cookies}, seq);
  if (!fresh && seq < found->second) {
    group_.judge().accuse(oracle::seq_back, group_.now(),
                          fmt::format("{} acknowledged rekey {} after {} under one KEK",
                                      host.name(), seq, found->second));
  }
  found->second = std::max(found->second, seq);
  auto& highest = highest_[cookies];
  highest = std::max(highest, seq);
}

void SequenceOracle::on_boot(const Host& host) {
  for (auto it = acknowledged_.begin(); it != acknowledged_.end();)
    it = it->first.first == &host ? acknowledged_.erase(it) : std::next(it);
}

void SequenceOracle::on_tick(TimePoint) {
  if (group_.servers() > 1)
    learn_keks();
  else
    check_server();
}

/// A lone key server knows what it has sent, and says so; of several, one knows what another has
/// reserved, and what counts is what they send.
void SequenceOracle::check_server() {
  const auto* status = group_.server_status();
  if (!status || !status->kek) return;
  Bytes spi(status->kek->spi.begin(), status->kek->spi.end());
  const auto highest = highest_.find(spi);
  if (highest == highest_.end() || status->kek->seq >= highest->second) return;
  group_.judge().accuse(oracle::seq_back, group_.now(),
                        fmt::format("{} is at SEQ {} under a KEK of which {} has been taken",
                                    group_.server().name(), status->kek->seq, highest->second));
}

// ---- LifetimeOracle -----------------------------------------------------------------------------

void LifetimeOracle::on_installed(const Host&, const dataplane::Snapshot& snapshot) {
  if (std::all_of(snapshot.sas.begin(), snapshot.sas.end(),
                  [&](const auto& sa) { return ends_.contains(sa.spi); }))
    return;
  std::map<std::uint32_t, Duration> remaining;
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    if (const auto status = group_.server_status(i)) {
      for (const auto& tek : status->teks) {
        auto& longest = remaining[tek.spi];
        longest = std::max<Duration>(longest, tek.remaining);
      }
    }
  }
  for (const auto& sa : snapshot.sas) {
    if (ends_.contains(sa.spi)) continue;
    Duration longest{0};
    for (const auto& policy : group_.policy().sas)
      longest = std::max<Duration>(longest, policy.lifetime);
    const auto known = remaining.find(sa.spi);
    ends_[sa.spi] = group_.now() + (known == remaining.end() ? longest : known->second);
    if (known == remaining.end()) guessed_.insert(sa.spi);
  }
}

/// A server that died before its rekey arrived tells the end of its keys when it is back.
void LifetimeOracle::ask_again(TimePoint now) {
  for (std::size_t i = 0; i < group_.servers() && !guessed_.empty(); ++i) {
    const auto* status = group_.server_status(i);
    if (!status) continue;
    for (const auto& tek : status->teks)
      if (guessed_.erase(tek.spi) != 0) ends_[tek.spi] = now + tek.remaining;
  }
}

TimePoint LifetimeOracle::end_of(std::uint32_t spi) const {
  const auto found = ends_.find(spi);
  return found == ends_.end() ? never : found->second;
}

Duration LifetimeOracle::restart_error() const {
  Duration sum{0};
  for (std::size_t i = 0; i < group_.servers(); ++i)
    sum += std::chrono::seconds(1) * (group_.server(i).boots() - 1);
  return sum;
}

void LifetimeOracle::on_tick(TimePoint now) {
  ask_again(now);
  // Whose wall clock goes back thinks that less time has passed while it was down.
  const auto restarts = restart_error() + (group_.time_bent() ? group_.downtime() : Duration(0));
  Duration pause{0};
  for (std::size_t i = 0; i < group_.servers(); ++i)
    pause = std::max(pause, group_.server(i).longest_pause());
  // A rekey says how long its keys live from now, and its repetition says the same: what arrives
  // late makes a key live that much longer, which RFC 6407 leaves open.
  const auto& rekey = group_.policy().rekey;
  const auto late = rekey.retransmit_interval * rekey.retransmit_number + replay_delay_max;
  const auto slack = [&](const Host& host) {
    const auto drift =
        Duration(std::chrono::hours(1)) * std::abs(host.options().drift_ppm) / 1'000'000;
    return end_slack + restarts + late + drift + pause + host.longest_pause();
  };
  for (std::size_t i = 0; i < group_.members(); ++i) {
    auto& host = group_.member(i);
    if (host.paused() || now <= host.resumed() + std::chrono::seconds(1)) continue;
    for (const auto spi : host.dataplane.spis()) {
      const auto end = end_of(spi);
      if (end == never || now <= end + slack(host)) continue;
      group_.judge().accuse(
          oracle::lifetime, now,
          fmt::format("{} holds SPI {:08x} {} s past its end", host.name(), spi,
                      std::chrono::duration_cast<std::chrono::seconds>(now - end).count()));
    }
  }
}

// ---- TrafficOracle ------------------------------------------------------------------------------

void TrafficOracle::on_installed(const Host& host, const dataplane::Snapshot& snapshot) {
  auto& held = held_[&host];
  for (const auto& sa : snapshot.sas) held.insert(sa.spi);
}

/// One side of a partition deletes all keys, and says so more than once: a member that has
/// meanwhile registered with the other side obeys, and reads that side's keys no longer. What every
/// server that is up goes on with, no Delete can take.
void TrafficOracle::on_event(const Host& host, const Event& event) {
  if (event.kind != &gdoi::events::gm_delete || group_.servers() == 1) return;
  const bool everything = std::ranges::any_of(event.fields, [](const auto& field) {
    return field.first == "kek" && field.second == "yes";
  });
  if (!everything) return;
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    const auto* status = group_.server_status(i);
    if (status == nullptr) continue;
    std::erase_if(held_[&host], [&](std::uint32_t spi) {
      return std::ranges::none_of(status->teks, [&](const auto& tek) { return tek.spi == spi; });
    });
  }
}

/// Anti-replay by time promises nothing within the window, and everything when it is over.
void TrafficOracle::on_replay(const Host& at, const EspPacket& packet, Fate fate) {
  if (fate != Fate::accepted || group_.time_bent()) return;
  const auto age =
      std::chrono::duration_cast<std::chrono::milliseconds>(group_.now() - packet.sent);
  group_.judge().accuse(
      oracle::replay_accepted, group_.now(),
      fmt::format("{} accepted a packet of SPI {:08x} again, {} ms after it was sent", at.name(),
                  packet.spi, age.count()));
}

void TrafficOracle::on_packet_done(const Host& at, const EspPacket& packet, Fate fate) {
  if (fate == Fate::accepted || fate == Fate::bypassed || fate == Fate::host_down ||
      fate == Fate::unreachable)
    return;
  const auto now = group_.now();
  const auto gone = [&](const Host* host) {
    const auto index = host ? group_.member_index(*host) : std::nullopt;
    return index && group_.removed().contains(*index);
  };
  if (gone(&at) || gone(packet.from)) return;
  if (fate == Fate::replayed && group_.options().traffic.duplicate_permille > 0) return;
  if (strict_) {
    group_.judge().accuse(
        oracle::packet_lost, now,
        fmt::format("{} lost a packet of SPI {:08x}: {}", at.name(), packet.spi, name_of(fate)));
    return;
  }
  if (fate == Fate::authentication_failed) {
    group_.judge().accuse(
        oracle::unreadable, now,
        fmt::format("{} has another key for SPI {:08x} than its sender", at.name(), packet.spi));
  }
  if (fate != Fate::unknown_spi && fate != Fate::policy_mismatch) return;
  const auto held = held_.find(&at);
  if (held == held_.end() || !held->second.contains(packet.spi)) return;
  if (group_.withdrawn().contains(packet.spi) || group_.time_bent()) return;
  if (lifetimes_.guessed(packet.spi)) return;
  if (now + end_slack + lifetimes_.restart_error() >= lifetimes_.end_of(packet.spi)) return;
  group_.judge().accuse(oracle::unreadable, now,
                        fmt::format("{} can no longer read SPI {:08x} ({}), which it had and "
                                    "which has not ended",
                                    at.name(), packet.spi, name_of(fate)));
}

// ---- EvictionOracle -----------------------------------------------------------------------------

void EvictionOracle::learn() {
  std::map<std::uint32_t, std::vector<const gdoi::KsGroupStatus*>> fresh;
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    const auto* status = group_.server_status(i);
    if (!status) continue;
    for (const auto& tek : status->teks)
      if (!origin_.contains(tek.spi)) fresh[tek.spi].push_back(status);
  }
  for (const auto& [spi, statuses] : fresh) {
    Origin origin;
    bool first = true;
    for (const auto* status : statuses) {
      std::set<std::string> barred(status->removed.begin(), status->removed.end());
      if (!first)
        std::erase_if(barred, [&](const auto& one) { return !origin.barred.contains(one); });
      origin.barred = std::move(barred);
      first = false;
      for (const auto& tek : status->teks)
        if (const auto known = origin_.find(tek.spi); known != origin_.end() && origin.family == 0)
          origin.family = known->second.family;
    }
    if (origin.family == 0) origin.family = ++last_family_;
    origin_[spi] = std::move(origin);
  }
}

void EvictionOracle::on_event(const Host& host, const Event&) {
  if (learning_ || !group_.is_server(host)) return;
  learning_ = true;
  group_.outside().scheduler.after(Duration(0), [this] {
    learning_ = false;
    learn();
  });
}

void EvictionOracle::on_installed(const Host& host, const dataplane::Snapshot& snapshot) {
  const auto index = group_.member_index(host);
  if (!index || group_.is_server(host)) return;
  const auto removal = group_.removals().find(*index);
  if (removal == group_.removals().end()) return;
  const auto identity = group_.identity_of(*index);
  std::set<std::uint64_t> families;
  for (const auto spi : removal->second.known)
    if (const auto known = origin_.find(spi); known != origin_.end())
      families.insert(known->second.family);
  for (const auto& sa : snapshot.sas) {
    if (removal->second.known.contains(sa.spi)) continue;
    if (group_.servers() > 1) {
      const auto origin = origin_.find(sa.spi);
      if (origin == origin_.end() || !origin->second.barred.contains(identity) ||
          families.contains(origin->second.family))
        continue;
    }
    group_.judge().accuse(
        oracle::evicted_reads, group_.now(),
        fmt::format("{} was removed and got SPI {:08x}, made since", host.name(), sa.spi));
  }
}

// ---- LimitsOracle -------------------------------------------------------------------------------

void LimitsOracle::expect_quiet(bool on) {
  quiet_ = on;
  rates_.clear();
}

void LimitsOracle::check_rate(Host& host, std::uint64_t allowed, TimePoint now) {
  auto& rate = rates_[&host];
  const auto sent = group_.network().sent_by(host.address());
  if (rate.full && sent - rate.sent[rate.at] > allowed) {
    group_.judge().accuse(oracle::storm, now,
                          fmt::format("{} sent {} datagrams within {} s; {} would be plenty",
                                      host.name(), sent - rate.sent[rate.at], window, allowed));
    rate = {};
    return;
  }
  rate.sent[rate.at] = sent;
  rate.at = (rate.at + 1) % window;
  rate.full |= rate.at == 0;
}

void LimitsOracle::check_replica(std::size_t i, TimePoint now) {
  const auto* group = group_.coop_group(i);
  if (group == nullptr) return;
  // What a small group needs, whatever it has been through: far below the limits of the protocol.
  const std::pair<coop::Kind, std::size_t> bounds[] = {
      {coop::Kind::policy, group_.servers()},
      {coop::Kind::epoch, 16},
      {coop::Kind::seq, 64},
      {coop::Kind::removed_identity, group_.members()},
      {coop::Kind::member, group_.members()},
      {coop::Kind::lease, 6 * group_.servers()}};
  for (const auto& [kind, bound] : bounds)
    if (const auto count = group->replica().count(kind); count > bound)
      group_.judge().accuse(
          oracle::limits, now,
          fmt::format("{} holds {} items of the kind {}, bound {}", group_.server(i).name(), count,
                      coop::name_of(kind), bound));
}

void LimitsOracle::on_tick(TimePoint now) {
  const auto check = [&](Host& host, std::size_t peers, std::size_t others) {
    const auto too_many = [&](std::string_view what, std::size_t count, std::size_t limit) {
      if (count <= limit) return;
      group_.judge().accuse(oracle::limits, now,
                            fmt::format("{} has {} {}, limit {}", host.name(), count, what, limit));
    };
    too_many("jobs under way", host.pending_jobs(), 20 + 8 * peers);
    too_many("octets on disk", host.store.octets(), 65'536 + 4096 * peers + 65'536 * others);
    if (auto* program = Group::program(host))
      too_many("phase 1 SAs", program->isakmp->established().size(), 8 + 8 * (peers + others));
    // A registration with every message sent twice is under 30 datagrams; key servers also tell
    // each other of every member.
    const auto talk = 60 * std::max<std::size_t>(peers, 1) + (100 + 4 * peers) * others;
    if (quiet_) check_rate(host, talk, now);
  };
  const std::size_t others = group_.servers() - 1;
  for (std::size_t i = 0; i < group_.servers(); ++i) {
    check(group_.server(i), group_.members(), others);
    check_replica(i, now);
  }
  for (std::size_t i = 0; i < group_.members(); ++i) check(group_.member(i), group_.servers(), 0);
  if (const auto status = group_.server_status();
      status && status->members.size() > group_.policy().members_max) {
    group_.judge().accuse(
        oracle::limits, now,
        fmt::format("{} members, limit {}", status->members.size(), group_.policy().members_max));
  }
}

// ---- Oracles ------------------------------------------------------------------------------------

Oracles::Oracles(Group& group)
    : keys(group),
      nonces(group),
      sequence(group),
      lifetimes(group),
      traffic(group, lifetimes),
      eviction(group),
      limits(group),
      group_(group) {
  for (Observer* observer : {static_cast<Observer*>(&keys), static_cast<Observer*>(&nonces),
                             static_cast<Observer*>(&sequence), static_cast<Observer*>(&lifetimes),
                             static_cast<Observer*>(&traffic), static_cast<Observer*>(&eviction),
                             static_cast<Observer*>(&limits)})
    group.judge().add(*observer);
}

}  // namespace cohort::sim
