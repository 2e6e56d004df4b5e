#include "tests/sim/observer.hpp"

#include <fmt/core.h>

namespace cohort::sim {

namespace {
constexpr std::size_t violations_max = 20;  // the first ones tell; later ones follow from them
}

std::string_view name_of(Fate fate) {
  switch (fate) {
    case Fate::accepted:
      return "accepted";
    case Fate::bypassed:
      return "bypassed";
    case Fate::unknown_spi:
      return "unknown_spi";
    case Fate::authentication_failed:
      return "authentication_failed";
    case Fate::replayed:
      return "replayed";
    case Fate::policy_mismatch:
      return "policy_mismatch";
    case Fate::no_outbound_sa:
      return "no_outbound_sa";
    case Fate::no_sender_id:
      return "no_sender_id";
    case Fate::dropped_by_policy:
      return "dropped_by_policy";
    case Fate::clear_dropped:
      return "clear_dropped";
    case Fate::host_down:
      return "host_down";
    case Fate::unreachable:
      return "unreachable";
  }
  return "?";
}

void Judge::accuse(std::string_view oracle, TimePoint at, std::string text) {
  if (violations_.size() < violations_max) violations_.push_back({oracle, at, std::move(text)});
}

std::string Judge::text() const {
  std::string all;
  for (const auto& violation : violations_) {
    all += fmt::format("[{}] at {:.6f} s: {}\n", violation.oracle,
                       static_cast<double>(violation.at.time_since_epoch().count()) / 1e6,
                       violation.text);
  }
  return all;
}

void Judge::on_boot(const Host& host) {
  for (auto* observer : observers_) observer->on_boot(host);
}

void Judge::on_crash(const Host& host) {
  for (auto* observer : observers_) observer->on_crash(host);
}

void Judge::on_sent(const Host& host, const Datagram& datagram) {
  for (auto* observer : observers_) observer->on_sent(host, datagram);
}

void Judge::on_event(const Host& host, const Event& event) {
  for (auto* observer : observers_) observer->on_event(host, event);
}

void Judge::on_refusal(const Host& host, const Refusal& refusal) {
  for (auto* observer : observers_) observer->on_refusal(host, refusal);
}

void Judge::on_installed(const Host& host, const dataplane::Snapshot& snapshot) {
  for (auto* observer : observers_) observer->on_installed(host, snapshot);
}

void Judge::on_packet_sent(const Host& host, const EspPacket& packet) {
  for (auto* observer : observers_) observer->on_packet_sent(host, packet);
}

void Judge::on_packet_done(const Host& at, const EspPacket& packet, Fate fate) {
  for (auto* observer : observers_) observer->on_packet_done(at, packet, fate);
}

void Judge::on_replay(const Host& at, const EspPacket& packet, Fate fate) {
  for (auto* observer : observers_) observer->on_replay(at, packet, fate);
}

void Judge::on_tick(TimePoint now) {
  for (auto* observer : observers_) observer->on_tick(now);
}

}  // namespace cohort::sim
