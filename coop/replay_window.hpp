#pragma once

#include <cstdint>

namespace cohort::coop {

/// Sequence numbers already received under one phase 1 (docs/coop-protocol.md section 2.1): check,
/// authenticate, then commit. The zero value is ready to use; number 0 is never valid.
class ReplayWindow {
 public:
  static constexpr std::uint32_t size = 64;

  [[nodiscard]] bool fresh(std::uint32_t number) const {
    if (number == 0) return false;
    if (number > highest_) return true;
    const std::uint32_t behind = highest_ - number;
    return behind < size && (seen_ >> behind & 1) == 0;
  }

  /// Only for a fresh number whose message was authenticated.
  void commit(std::uint32_t number) {
    if (number > highest_) {
      const std::uint32_t ahead = number - highest_;
      seen_ = ahead < size ? seen_ << ahead : 0;
      seen_ |= 1;
      highest_ = number;
      return;
    }
    seen_ |= std::uint64_t{1} << (highest_ - number);
  }

  [[nodiscard]] std::uint32_t highest() const { return highest_; }

 private:
  std::uint32_t highest_ = 0;
  std::uint64_t seen_ = 0;  // bit n: highest_ - n
};

}  // namespace cohort::coop
