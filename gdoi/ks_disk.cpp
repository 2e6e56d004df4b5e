#include <algorithm>

#include "gdoi/events.hpp"
#include "gdoi/ks_group.hpp"
#include "gdoi/reasons.hpp"

// What a lone key server believes of its disk, and what it does so that it can.
namespace cohort::gdoi {

namespace {

constexpr std::chrono::seconds clock_error{5};
/// More sequence numbers than rekeys can have taken since a copy was made, and a second.
constexpr std::uint32_t seq_jump = 4096, seq_jump_second = 16, seq_max = 0xfffffff0u;
constexpr std::uint32_t room_least = 128;

}  // namespace

bool KsGroup::lends_sender_ids() const {
  const auto& sas = state_.policy().sas;
  return counter_mode() || std::any_of(sas.begin(), sas.end(), [](const SaPolicy& sa) {
           return dataplane::shape_of(sa.suite).aead;
         });
}

/// Whether we know which sender ids were lent.
bool KsGroup::trust_disk(const KsStore::Loaded& loaded) {
  if (loaded.provenance == Provenance::latest || !lends_sender_ids()) return true;
  const WallTime wall = world_.clock.wall();
  GroupKeys& keys = state_.keys;
  const bool recent = state_.options.state_trust.count() != 0 &&
                      loaded.provenance == Provenance::original &&
                      wall + clock_error >= loaded.written;
  const auto spent = recent ? keys.spending.spent_by(wall) : std::nullopt;
  if (!spent) return false;
  keys.sender_ids.resume_at(*spent);
  keys.sender_ids_reserved = std::max(keys.sender_ids_reserved, *spent);
  return true;
}

/// Members refuse a SEQ that they have seen, and nobody knows how many were used since.
void KsGroup::jump_seq(const KsStore::Loaded& loaded) {
  if (loaded.provenance == Provenance::latest) return;
  const std::int64_t passed = (world_.clock.wall() - loaded.written).count();
  const auto jump = static_cast<std::uint64_t>(std::max<std::int64_t>(passed, 0)) * seq_jump_second;
  for (const auto& sa : {state_.keys.rekey, state_.keys.previous, state_.reset_under})
    if (sa)
      sa->seq = static_cast<std::uint32_t>(std::min<std::uint64_t>(
          std::uint64_t{sa->seq} + seq_jump + jump, std::max(sa->seq, seq_max)));
}

/// Sender ids may have been lent that the disk does not know of: everybody starts over.
Status KsGroup::start_over(TimePoint now) {
  world_.outbox.report({&events::ks_state_unproven, {{"group", state_.policy().name}}});
  if (state_.reset_under)
    report_failure(sender_.start(now, deletion_of_everything(), state_.reset_under, "restart"));
  return reset(now, "the stored state may be an old copy");
}

void KsGroup::renew_spending(TimePoint now) {
  if (next_spending_ > now) return;
  const std::chrono::seconds trust = state_.options.state_trust;
  next_spending_ = never;
  if (state_.options.authority != nullptr || trust.count() == 0) return;
  const WallTime wall = world_.clock.wall();
  GroupKeys& keys = state_.keys;
  const std::uint32_t space = std::uint32_t{1} << keys.sender_ids.bits();
  const std::uint32_t next = std::min(keys.sender_ids.next(), space), left = space - next;
  if (keys.spending.due(wall)) {
    keys.spending.renew(wall, trust, next, std::max(left / 4, std::min(left / 2, room_least)),
                        space);
    report_failure(store_.save_keys(now, state_));
  }
  next_spending_ = now + std::clamp(keys.spending.due_at() - wall, std::chrono::seconds{1}, trust);
}

}  // namespace cohort::gdoi
