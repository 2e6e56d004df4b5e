#pragma once

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "dataplane/api/drop_reason.hpp"

namespace cohort::dataplane {

/// The sequence numbers lately received under one SA by one worker: the sliding bitmap of RFC 6479
/// for the rules of RFC 4303 section 3.4.3. check() before authentication, commit() after it; what
/// check() let pass may have become a duplicate within its own burst, so commit() decides.
/// Owned and used by one thread.
class ReplayWindow {
 public:
  enum class Verdict : std::uint8_t { fresh, duplicate, too_old };

  ReplayWindow() = default;
  /// `size` in packets: 1..4096.
  explicit ReplayWindow(std::uint32_t size)
      : size_(size),
        // One word more than the window: the word that `top_` is in may be partly ahead of it.
        word_mask_(std::bit_ceil(size / 64 + 2) - 1),
        words_(make_words(word_mask_ + 1)) {}

  [[nodiscard]] Verdict check(std::uint32_t sequence) const {
    if (sequence > top_) return Verdict::fresh;
    // RFC 4303 section 2.2: a sender starts at 1, so 0 is never right.
    if (sequence == 0 || top_ - sequence >= size_) return Verdict::too_old;
    return (words_[(sequence >> 6) & word_mask_] >> (sequence & 63)) & 1 ? Verdict::duplicate
                                                                         : Verdict::fresh;
  }

  /// Records an authenticated packet; anything but fresh changes nothing.
  Verdict commit(std::uint32_t sequence) {
    if (sequence > top_) [[likely]] {
      const std::uint32_t steps = (sequence >> 6) - (top_ >> 6);
      if (steps > 0) clear_after(top_ >> 6, steps);
      top_ = sequence;
    } else if (const Verdict verdict = check(sequence); verdict != Verdict::fresh) {
      return verdict;
    }
    words_[(sequence >> 6) & word_mask_] |= std::uint64_t{1} << (sequence & 63);
    return Verdict::fresh;
  }

  /// As new.
  void forget() {
    top_ = 0;
    for (std::uint32_t i = 0; i <= word_mask_ && words_; ++i) words_[i] = 0;
  }

  /// Where the bitmap is: whole cache lines, for two windows of two workers are written at once.
  [[nodiscard]] const std::uint64_t* words() const { return words_.get(); }
  [[nodiscard]] std::uint32_t top() const { return top_; }
  [[nodiscard]] std::uint32_t size() const { return size_; }

 private:
  static constexpr std::size_t line = 64;
  struct Free {
    void operator()(std::uint64_t* words) const { std::free(words); }
  };
  using Words = std::unique_ptr<std::uint64_t[], Free>;
  static Words make_words(std::uint32_t count) {
    const std::size_t size = (count * sizeof(std::uint64_t) + line - 1) / line * line;
    auto* words = static_cast<std::uint64_t*>(std::aligned_alloc(line, size));
    if (words == nullptr) throw std::bad_alloc();
    std::memset(words, 0, size);
    return Words(words);
  }
  /// The words that the window comes to when it moves on.
  void clear_after(std::uint32_t word, std::uint32_t steps) {
    if (steps > word_mask_) steps = word_mask_ + 1;
    for (std::uint32_t i = 1; i <= steps; ++i) words_[(word + i) & word_mask_] = 0;
  }

  std::uint32_t top_ = 0;
  std::uint32_t size_ = 0;
  std::uint32_t word_mask_ = 0;
  Words words_;
};

}  // namespace cohort::dataplane
