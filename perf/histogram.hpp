#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace cohort::perf {

/// Times in TSC cycles, each with an error of 1/64 at most. Adding is cheap and allocates nothing.
class Histogram {
 public:
  void add(std::uint64_t value) {
    const auto log = static_cast<unsigned>(std::bit_width(value | 63));
    const std::uint64_t index = (std::uint64_t{log} << 6) + (value >> (log - 6) & 63);
    ++counts_[std::min<std::uint64_t>(index, counts_.size() - 1)];
    ++total_;
    greatest_ = std::max(greatest_, value);
  }
  void add(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    greatest_ = std::max(greatest_, other.greatest_);
  }
  /// What that share of the values is at most, within the error.
  [[nodiscard]] std::uint64_t quantile(double share) const {
    auto left = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] > left) return value_of(i);
      left -= counts_[i];
    }
    return greatest_;
  }
  [[nodiscard]] std::uint64_t greatest() const { return greatest_; }
  [[nodiscard]] std::uint64_t total() const { return total_; }

 private:
  static std::uint64_t value_of(std::size_t index) {
    const std::size_t log = index >> 6;
    return log <= 6 ? index & 63 : (index & 63) << (log - 6);
  }
  std::array<std::uint64_t, 48 * 64> counts_{};
  std::uint64_t total_ = 0, greatest_ = 0;
};

}  // namespace cohort::perf
