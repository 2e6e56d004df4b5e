#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/time.hpp"

/// Sender ids and disks that may be copies: docs/coop-protocol.md section 10.1.
namespace cohort::gdoi {

/// How far a key server hands out sender ids by when. It binds itself ahead of time and durably, so
/// whoever starts from a copy of its disk, of whatever moment, can tell what may have been handed
/// out since, by any server that started from this disk or from another copy of it.
///
/// A limit holds for two spans from when it was made: in each it begins with a number and grows
/// slowly. The next one is made when the first span is over, and its own first span is what the old
/// one's second was, or less: only then may it rise.
class SpendingLimit {
 public:
  static constexpr std::size_t encoded_octets = 8 + 7 * 4;

  /// Nothing from this number on may be handed out now.
  [[nodiscard]] std::uint32_t at(WallTime wall) const;
  /// For whoever starts from a copy: what has been handed out is below this. Empty if the copy is
  /// too old to tell, or the clock shows less than when the limit was made.
  [[nodiscard]] std::optional<std::uint32_t> spent_by(WallTime wall) const;
  /// While a copy is trusted, nothing below this is given to another server.
  [[nodiscard]] std::uint32_t kept(WallTime wall) const;
  /// What a copy may count on.
  [[nodiscard]] std::uint32_t kept() const { return kept_; }
  [[nodiscard]] bool made() const { return span_.count() != 0; }
  [[nodiscard]] bool due(WallTime wall) const;
  /// When it is due by a clock that runs on as it does now.
  [[nodiscard]] WallTime due_at() const { return since_ + span_; }

  /// Makes it anew, if it is due: `next` is the lowest number not handed out, up to `room` may be
  /// handed out in two spans, and nothing below `kept` will be given away.
  void renew(WallTime wall, std::chrono::seconds span, std::uint32_t next, std::uint32_t room,
             std::uint32_t kept);

  void write(Writer& out) const;
  /// The reader fails for what write() never writes.
  [[nodiscard]] static SpendingLimit read(Reader& in);
  bool operator==(const SpendingLimit&) const = default;

 private:
  struct Stage {
    std::uint32_t base = 0, growth = 0;  ///< over two spans
    bool operator==(const Stage&) const = default;
  };
  [[nodiscard]] bool binding(WallTime wall) const;
  WallTime since_{};
  std::chrono::seconds span_{0};  ///< 0: none was made
  Stage first_, second_;
  std::uint32_t kept_ = 0, kept_before_ = 0;
};

}  // namespace cohort::gdoi
