#pragma once

#include <cstdint>

#include "controlplane/base/time.hpp"

namespace cohort::coop {

/// The group's clock (docs/coop-protocol.md section 6): milliseconds, the same at all key servers
/// but for the drift of their oscillators, never going back within one server's life.
class Pseudotime {
 public:
  static constexpr std::uint64_t beginning_ms = std::uint64_t{1} << 32;

  /// A new group, or one continued from the store: an estimate until settle() or adopt().
  explicit Pseudotime(TimePoint now, std::uint64_t start_ms = beginning_ms)
      : base_(now), base_ms_(start_ms) {}
  /// What a restarted server may guess: the stored time plus what the wall clock says has passed.
  [[nodiscard]] static std::uint64_t estimate(std::uint64_t stored_ms, WallTime stored_at,
                                              WallTime now);

  [[nodiscard]] std::uint64_t now_ms(TimePoint now) const;
  /// The local instant at which the pseudotime is `ms`; `never` if that is out of range.
  [[nodiscard]] TimePoint at(std::uint64_t ms) const;

  /// What a peer says who is sure: the larger one counts.
  void advance(TimePoint now, std::uint64_t heard_ms);
  /// What the primary says that we join: replaces an estimate, also downwards.
  void adopt(TimePoint now, std::uint64_t heard_ms);
  void settle() { estimate_ = false; }
  [[nodiscard]] bool is_estimate() const { return estimate_; }

 private:
  TimePoint base_;
  std::uint64_t base_ms_;
  bool estimate_ = true;
};

}  // namespace cohort::coop
