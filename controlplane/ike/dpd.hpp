#pragma once

#include <cstdint>

#include "controlplane/base/time.hpp"
#include "controlplane/ike/options.hpp"

namespace cohort::ike {

/// Dead peer detection of one SA (RFC 3706): decides when to ask and when to give up; sends
/// nothing itself. Periodic asks after each `interval` of silence; on demand only when an answer
/// is awaited and there was silence for an interval.
class Dpd {
 public:
  enum class Action : std::uint8_t { none, ask, dead };

  Dpd() = default;
  /// `sequence`: random; its top bit is cleared (RFC 3706 section 6.2).
  Dpd(TimePoint now, const DpdOptions& options, std::uint32_t sequence);

  /// The peer has proven to live, by DPD or by any authenticated message.
  void heard(TimePoint now);
  /// Something is awaited from the peer.
  void await(TimePoint now);
  /// True if this sequence was asked since the peer was last silent; while the question is open,
  /// the answer counts as heard. It may be closed already: questions of both ends may cross.
  bool acknowledge(TimePoint now, std::uint32_t sequence);

  /// On ask, send R-U-THERE with sequence().
  [[nodiscard]] Action on_timer(TimePoint now);
  [[nodiscard]] TimePoint deadline() const { return deadline_; }
  [[nodiscard]] std::uint32_t sequence() const { return sequence_; }

 private:
  DpdOptions options_;
  TimePoint last_heard_{};
  TimePoint deadline_ = never;
  std::uint32_t sequence_ = 0;
  unsigned unanswered_ = 0;
  unsigned asked_ = 0;  ///< since the latest silence began, answered or not
};

}  // namespace cohort::ike
