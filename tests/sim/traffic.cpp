#include "tests/sim/traffic.hpp"

#include <fmt/core.h>

namespace cohort::sim {

Traffic::Traffic(Outside& outside, std::vector<Site> sites, Options options)
    : outside_(outside),
      sites_(std::move(sites)),
      options_(options),
      prng_(outside.prng.fork("traffic")) {}

void Traffic::start() {
  if (running_ || sites_.size() < 2) return;
  running_ = true;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    // Not all at the same instant.
    outside_.scheduler.after(prng_.between(Duration(0), options_.interval), [this, i] { tick(i); });
  }
}

void Traffic::tick(std::size_t from) {
  if (!running_) return;
  auto to = prng_.below(sites_.size() - 1);
  if (to >= from) ++to;
  send(from, to);
  outside_.scheduler.after(options_.interval, [this, from] { tick(from); });
}

void Traffic::send(std::size_t from, std::size_t to) {
  auto& sender = *sites_[from].host;
  if (!sender.up() || sender.paused()) return;  // nobody there to lose a packet
  ++offered_;
  auto sent = sender.dataplane.send(sites_[from].inside, sites_[to].inside);
  sent.packet.from = &sender;
  if (sent.fate != Fate::accepted) return done(sender, sent.packet, sent.fate);
  outside_.judge.on_packet_sent(sender, sent.packet);
  const auto deliver = [&] {
    outside_.scheduler.after(prng_.between(options_.delay_min, options_.delay_max),
                             [this, packet = sent.packet, from, to] { arrive(packet, from, to); });
  };
  deliver();
  if (prng_.chance(options_.duplicate_permille)) deliver();
  if (sent.packet.time_window == Duration(0) || options_.replay_permille == 0) return;
  if (!prng_.chance(options_.replay_permille)) return;
  outside_.scheduler.after(sent.packet.time_window + options_.replay_after,
                           [this, packet = sent.packet, to] { replay(packet, to); });
}

/// Its outcome is no loss, whatever it is.
void Traffic::replay(const EspPacket& packet, std::size_t to) {
  auto& receiver = *sites_[to].host;
  if (!receiver.up() || receiver.paused()) return;
  outside_.judge.on_replay(receiver, packet, receiver.dataplane.receive(packet));
}

void Traffic::arrive(const EspPacket& packet, std::size_t from, std::size_t to) {
  auto& receiver = *sites_[to].host;
  if (follow_partitions_ &&
      !outside_.network.reachable(sites_[from].host->address(), receiver.address()))
    return done(receiver, packet, Fate::unreachable);
  if (!receiver.up() || receiver.paused()) return done(receiver, packet, Fate::host_down);
  done(receiver, packet, receiver.dataplane.receive(packet));
}

void Traffic::done(const Host& at, const EspPacket& packet, Fate fate) {
  ++fates_[static_cast<std::size_t>(fate)];
  if (fate != Fate::accepted && fate != Fate::bypassed) {
    outside_.log.note(outside_.scheduler.now(), at.name(), "packet lost",
                      fmt::format("{} spi {:08x} {} -> {}", name_of(fate), packet.spi,
                                  packet.source.text(), packet.destination.text()));
  }
  outside_.judge.on_packet_done(at, packet, fate);
}

std::uint64_t Traffic::lost() const {
  std::uint64_t sum = 0;
  for (const auto count : fates_) sum += count;
  return sum - count(Fate::accepted) - count(Fate::bypassed) - count(Fate::host_down) -
         count(Fate::unreachable);
}

std::string Traffic::text() const {
  auto text = fmt::format("offered={}", offered_);
  for (std::size_t i = 0; i < fate_count; ++i) {
    if (fates_[i] > 0) text += fmt::format(" {}={}", name_of(static_cast<Fate>(i)), fates_[i]);
  }
  return text;
}

}  // namespace cohort::sim
