#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "tests/sim/host.hpp"

namespace cohort::sim {

/// Packets between the sites behind the members, over a data network that loses nothing by itself:
/// every loss that is counted has its cause in the keys. Every `interval` each site sends one
/// packet to another one.
class Traffic {
 public:
  struct Site {
    Host* host = nullptr;
    IpAddress inside;  ///< a host address behind it
  };
  struct Options {
    Duration interval = std::chrono::milliseconds(500);
    Duration delay_min = std::chrono::milliseconds(2);
    Duration delay_max = std::chrono::milliseconds(20);
    unsigned duplicate_permille = 0;
    /// How many of the packets that go by time somebody sends once more, when their window is over
    /// by this much: more than all clocks are wrong together.
    unsigned replay_permille = 0;
    Duration replay_after = std::chrono::seconds(8);
  };

  Traffic(Outside& outside, std::vector<Site> sites, Options options);

  void start();
  void stop() { running_ = false; }
  void set_interval(Duration interval) { options_.interval = interval; }
  /// One packet now, from site to site; its outcome is observed like any other.
  void send(std::size_t from, std::size_t to);

  /// Whether the data network is cut where the control network is (default: yes).
  void follow_partitions(bool on) { follow_partitions_ = on; }

  using Fates = std::array<std::uint64_t, fate_count>;
  [[nodiscard]] const Fates& fates() const { return fates_; }
  [[nodiscard]] std::uint64_t count(Fate fate) const {
    return fates_[static_cast<std::size_t>(fate)];
  }
  [[nodiscard]] std::uint64_t offered() const { return offered_; }
  /// Neither accepted nor bypassed, host or network down aside.
  [[nodiscard]] std::uint64_t lost() const;
  void forget() { fates_ = {}, offered_ = 0; }
  /// "accepted=120 unknown_spi=2".
  [[nodiscard]] std::string text() const;

 private:
  void tick(std::size_t from);
  void arrive(const EspPacket& packet, std::size_t from, std::size_t to);
  void replay(const EspPacket& packet, std::size_t to);
  void done(const Host& at, const EspPacket& packet, Fate fate);

  Outside& outside_;
  std::vector<Site> sites_;
  Options options_;
  Prng prng_;
  Fates fates_{};
  std::uint64_t offered_ = 0;
  bool running_ = false;
  bool follow_partitions_ = true;
};

}  // namespace cohort::sim
