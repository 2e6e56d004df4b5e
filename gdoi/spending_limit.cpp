#include "gdoi/spending_limit.hpp"

#include <algorithm>
#include <limits>

namespace cohort::gdoi {

namespace {

/// By how much a wall clock may be behind after a start.
constexpr std::chrono::seconds clock_error{5};
constexpr std::uint32_t number_max = 1u << 24;
constexpr std::chrono::seconds span_max{std::chrono::hours{24 * 366}};

}  // namespace

std::uint32_t SpendingLimit::at(WallTime wall) const {
  if (!made()) return std::numeric_limits<std::uint32_t>::max();
  const auto passed = std::clamp(wall - since_, std::chrono::seconds{0}, 2 * span_);
  const Stage& stage = passed < span_ ? first_ : second_;
  const auto grown = std::uint64_t{stage.growth} * static_cast<std::uint64_t>(passed.count()) /
                     static_cast<std::uint64_t>(2 * span_.count());
  return stage.base + static_cast<std::uint32_t>(grown);
}

/// Whether a copy of the disk can still be trusted that says this, or what was before it.
bool SpendingLimit::binding(WallTime wall) const {
  return made() && wall < since_ + 2 * span_;
}

std::optional<std::uint32_t> SpendingLimit::spent_by(WallTime wall) const {
  if (!binding(wall + clock_error) || wall + clock_error < since_) return std::nullopt;
  return at(wall + clock_error);
}

std::uint32_t SpendingLimit::kept(WallTime wall) const {
  return wall < since_ + span_ ? std::max(kept_, kept_before_) : kept_;
}

bool SpendingLimit::due(WallTime wall) const {
  return !made() || wall >= since_ + span_ || wall + clock_error < since_;
}

void SpendingLimit::renew(WallTime wall, std::chrono::seconds span, std::uint32_t next,
                          std::uint32_t room, std::uint32_t kept) {
  if (!due(wall)) return;
  if (room == 0) {  // nothing is handed out for now; what may come later is not known yet
    if (!binding(wall)) *this = {};
    return;
  }
  const std::uint32_t burst = (room + 1) / 2;
  const Stage fresh{next + burst, (room - burst + 1) / 2};
  SpendingLimit made;
  made.first_ = made.second_ = fresh;
  if (binding(wall)) {
    const std::uint32_t growth = span == span_ ? std::min(second_.growth, fresh.growth) : 0;
    made.first_ = {std::min(at(wall), fresh.base), growth};
    made.second_.base = std::max(made.first_.base, fresh.base);
    made.kept_before_ = kept_;
  }
  made.since_ = wall;
  made.span_ = span;
  made.kept_ = kept;
  *this = made;
}

void SpendingLimit::write(Writer& out) const {
  out.u64(static_cast<std::uint64_t>(since_.time_since_epoch().count()));
  out.u32(static_cast<std::uint32_t>(span_.count()));
  for (const Stage& stage : {first_, second_}) out.u32(stage.base).u32(stage.growth);
  out.u32(kept_).u32(kept_before_);
}

SpendingLimit SpendingLimit::read(Reader& in) {
  SpendingLimit out;
  out.since_ = WallTime{std::chrono::seconds(static_cast<std::int64_t>(in.u64()))};
  out.span_ = std::chrono::seconds(in.u32());
  for (Stage* stage : {&out.first_, &out.second_}) {
    stage->base = in.u32();
    stage->growth = in.u32();
    if (stage->base > number_max || stage->growth > number_max) in.skip(in.remaining() + 1);
  }
  out.kept_ = in.u32();
  out.kept_before_ = in.u32();
  const auto since = out.since_.time_since_epoch();
  const bool sane = since.count() >= 0 && since < span_max * 10'000 && out.span_ <= span_max;
  if (!sane) in.skip(in.remaining() + 1);
  return out;
}

}  // namespace cohort::gdoi
