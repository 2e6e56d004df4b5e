#pragma once

#include <cstdint>
#include <map>

#include "controlplane/world/world.hpp"

namespace cohort::gdoi {

/// Tells when what comes under SAs that go by time is a reason to ask the key server for the
/// group's time: most packets are out of the window, or the authentic ones are half a window away
/// on the whole. As long as most are accepted, and fit, our clock is the others' clock: what is
/// refused then is old, and old packets that somebody plays to us again, which is what the window
/// is for, shall cost no registrations. Packets out of the window are not authenticated, and any
/// member can pose as another: so they move no clock, and the question waits a random time, with a
/// pause after it that doubles while asking does not help.
class TimeDoubt {
 public:
  /// `wait`: the first pause, and what the random time is drawn from; 0 turns it off.
  TimeDoubt(Duration wait, Duration wait_max);

  /// What has come of one SA since the last look; true if it is a reason.
  bool look(const dataplane::SaUsage& usage, std::uint16_t window_ms);
  /// After all SAs: true if that is why a question is now planned, at due().
  bool plan(TimePoint now, Random& random, bool doubtful);
  [[nodiscard]] TimePoint due() const { return due_; }
  void asked() { due_ = never; }

 private:
  struct Seen {
    std::uint64_t packets_in = 0, replay_drops = 0;
  };
  Duration wait_, wait_max_, pause_;
  TimePoint due_ = never;
  TimePoint not_before_ = TimePoint::min();
  std::map<std::uint32_t, Seen> seen_;  ///< by SPI; as many as there are SAs, and a few old ones
};

}  // namespace cohort::gdoi
