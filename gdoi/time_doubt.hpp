#pragma once

#include <cstdint>
#include <map>

#include "controlplane/world/world.hpp"
#include "gdoi/paced_question.hpp"

namespace cohort::gdoi {

/// Tells when what comes under SAs that go by time is a reason to ask the key server for the
/// group's time: most packets are out of the window, or the authentic ones are half a window away
/// on the whole. As long as most are accepted, and fit, our clock is the others' clock: what is
/// refused then is old, and old packets that somebody plays to us again, which is what the window
/// is for, shall cost no registrations. Packets out of the window are not authenticated, and any
/// member can pose as another: so they move no clock, and the question is paced.
class TimeDoubt {
 public:
  /// As PacedQuestion.
  TimeDoubt(Duration wait, Duration wait_max) : question_(wait, wait_max) {}

  /// What has come of one SA since the last look; true if it is a reason.
  bool look(const dataplane::SaUsage& usage, std::uint16_t window_ms);
  /// After all SAs: true if that is why a question is now planned, at due().
  bool plan(TimePoint now, Random& random, bool doubtful);
  [[nodiscard]] TimePoint due() const { return question_.due(); }
  void asked() { question_.asked(); }

 private:
  struct Seen {
    std::uint64_t packets_in = 0, replay_drops = 0;
  };
  PacedQuestion question_;
  std::map<std::uint32_t, Seen> seen_;  ///< by SPI; as many as there are SAs, and a few old ones
};

}  // namespace cohort::gdoi
