#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <set>

#include "controlplane/world/world.hpp"
#include "gdoi/paced_question.hpp"

namespace cohort::gdoi {

/// Tells when packets under unknown SPIs are a reason to register again. Members that missed a
/// rekey see them first of all: the dataplane counts them only between addresses that the group's
/// policy protects. But nothing authenticates them, and anybody can send ESP with any SPI and
/// addresses: so the key server must not feel a flood of them, and registering is paced. SPIs that
/// were ours once, as in late or replayed packets, count for nothing.
class UnknownSpiWatch {
 public:
  /// As PacedQuestion.
  UnknownSpiWatch(Duration wait, Duration wait_max) : question_(wait, wait_max) {}

  /// The SPIs that we have now; those that were and are no more count as retired.
  void follow(std::set<std::uint32_t> spis);
  /// What the dataplane says: the last unknown SPI (0 for none), and how many packets had one in
  /// all. True if this is why registering again is now planned, at due().
  bool look(TimePoint now, Random& random, std::uint32_t last, std::uint64_t count);
  /// When to register, `never` without a reason.
  [[nodiscard]] TimePoint due() const { return question_.due(); }
  /// The time has come. False if the SPI has become known meanwhile, by a rekey.
  [[nodiscard]] bool still_unknown();
  /// A registration has ended well: if it brought the SPI, the pause begins anew.
  void registered();
  [[nodiscard]] std::uint32_t spi() const { return wanted_; }  ///< the cause of due(), or 0
  /// How often there was a reason and a pause stood against it.
  [[nodiscard]] std::uint64_t postponed() const { return postponed_; }

 private:
  [[nodiscard]] bool was_ours(std::uint32_t spi) const;

  PacedQuestion question_;
  std::uint64_t postponed_ = 0;
  std::uint32_t wanted_ = 0;
  std::uint32_t last_ = 0;
  std::uint64_t count_ = 0;
  std::set<std::uint32_t> spis_;
  std::deque<std::uint32_t> retired_;  ///< bounded
};

}  // namespace cohort::gdoi
