#include <algorithm>
#include <cstdlib>

#include "gdoi/events.hpp"
#include "gdoi/group_clock.hpp"
#include "gdoi/ks_group.hpp"
#include "gdoi/reasons.hpp"

// Which members may check sequence numbers, and what makes that go on being right.
namespace cohort::gdoi {
namespace {

using std::chrono::seconds;

/// A receiver has one window for an SA. Of two members each hears one sender.
constexpr std::size_t members_with_window = 2;
/// So that message 4 is there before the rekey.
constexpr Duration restart_wait = seconds{1};
/// Members that start again and again shall not keep the group busy.
constexpr Duration restart_interval = seconds{60};

/// What clocks may drift apart before they are told the group's time again is a quarter of the
/// window, at 200 ppm; and what is to be told at once, of key servers that have put theirs right.
constexpr int drift_share = 5000;
constexpr int window_share = 4;
constexpr std::int64_t time_jump_ms = 250;
constexpr Duration time_pause = seconds{1};

}  // namespace

// ---- by time ------------------------------------------------------------------------------------

/// Whether some key that members are told goes by time.
bool KsGroup::by_time() const {
  return std::any_of(state_.keys.teks.begin(), state_.keys.teks.end(),
                     [](const GroupTek& tek) { return tek.by_time(); });
}

/// What others send would be dropped by everybody, and what they would make of ticks nobody knows.
Status KsGroup::may_follow(const MemberClaim& claim) const {
  if (claim.cohort || (!by_time() && !goes_by_time(state_.policy()))) return {};
  return fail(no_time_based_replay, state_.policy().name);
}

/// A policy that they can't follow is not brought to members of other makes: they are on their own
/// until it changes, with a warning.
void KsGroup::drop_foreign(TimePoint now) {
  if (!goes_by_time(state_.policy())) return;
  std::vector<Member> foreign;
  for (const auto& [id, member] : state_.members.all())
    if (!member.cohort) foreign.push_back(member);
  for (const Member& member : foreign) {
    world_.outbox.report({&events::ks_foreign_member_dropped,
                          {{"group", state_.policy().name},
                           {"member", member.identity},
                           {"address", member.remote.text()}}});
    sender_.settle(member.id);
    if (KeyAuthority* authority = state_.options.authority; authority != nullptr)
      authority->member_gone(now, member, false);
    state_.members.remove(member.id);
    if (state_.options.authority == nullptr)
      report_failure(store_.save_member(now, state_, member.id));
  }
}

/// When members have to hear the group's time again, if no rekey tells them before.
TimePoint KsGroup::time_due() const {
  const KeyAuthority* authority = state_.options.authority;
  if (!state_.time_told || !by_time() || (authority != nullptr && !distributing_)) return never;
  std::uint16_t window = 0xffff;
  for (const GroupTek& tek : state_.keys.teks)
    if (tek.by_time()) window = std::min(window, tek.tek.replay_window);
  return *state_.time_told + std::chrono::milliseconds{window} / window_share * drift_share;
}

/// One SA is enough to carry it; to those who have it, it says nothing else that is new.
void KsGroup::tell_time(TimePoint now) {
  const TimePoint due = time_due();
  if (due == never || now < *state_.time_told + time_pause) return;
  const std::int64_t offset = static_cast<std::int64_t>(state_.group_time_ms(now)) - ms_of(now);
  if (now < due && std::abs(offset - state_.told_offset_ms) < time_jump_ms) return;
  state_.time_told = now;
  state_.told_offset_ms = offset;
  PushPlan plan;
  for (SatPlan& item : plan_policy(state_.policy(), state_.keys, now)) {
    const GroupTek* tek = item.spi != 0 ? state_.keys.find(item.spi) : nullptr;
    if (tek == nullptr || !tek->by_time() || tek->superseded || !plan.sats.empty()) continue;
    plan.sats.push_back(std::move(item));
  }
  if (plan.sats.empty()) return;
  report_failure(sender_.start(now, std::move(plan), state_.keys.rekey, "the group's time"));
}

// ---- by counters --------------------------------------------------------------------------------

/// Whether some SA would have a window in a group of two, but not in a larger one.
bool KsGroup::shared_windows() const {
  return std::any_of(state_.keys.teks.begin(), state_.keys.teks.end(), [](const GroupTek& tek) {
    return tek.tek.replay == dataplane::ReplayKind::counter && !tek.single_sender;
  });
}

/// A newcomer is about to be put on the list. If it is one too many for windows, those who were
/// given one are told to check no more, all at once: the newcomer's first packet has sequence 1.
void KsGroup::before_member(TimePoint now) {
  if (!shared_windows() || state_.members.size() != members_with_window) return;
  bool given = false;
  for (GroupTek& tek : state_.keys.teks) {
    given = given || (tek.window() != 0 && !tek.single_sender);
    tek.many_senders = true;
  }
  if (!window_warning_given_) {
    window_warning_given_ = true;
    world_.outbox.report({&events::ks_replay_window_off, {{"group", state_.policy().name}}});
  }
  if (!given) return;
  PushPlan plan;
  plan.sats = plan_policy(state_.policy(), state_.keys, now);
  report_failure(
      sender_.start_to_ours(now, std::move(plan), state_.keys.rekey, "no anti-replay window"));
}

/// With two members on the list, what others were offered before is no longer right for a third.
void KsGroup::after_member() {
  if (shared_windows() && state_.members.size() == members_with_window) ++state_.keys.generation;
}

/// A member that was on the list has no keys: it has started anew, with sequence numbers from 1,
/// and what has a window drops its packets as replays until there is another TEK. The key server
/// sees that without asking anybody, and a TEK rekey is what members of every make understand; to
/// switch windows off instead would let old packets in. Its packets are lost until the activation
/// delay is over, not for the rest of the key's life.
void KsGroup::note_restart(TimePoint now, const Member& member) {
  const bool windows = std::any_of(state_.keys.teks.begin(), state_.keys.teks.end(),
                                   [](const GroupTek& tek) { return tek.window() != 0; });
  if (!windows || restart_rekey_at_) return;
  restart_rekey_at_ = std::max(now + restart_wait, restart_rekey_not_before_);
  world_.outbox.report({&events::ks_member_restarted,
                        {{"group", state_.policy().name},
                         {"member", member.identity},
                         {"address", member.remote.text()}}});
}

void KsGroup::renew_for_restarted(TimePoint now) {
  if (!restart_rekey_at_ || *restart_rekey_at_ > now) return;
  restart_rekey_at_.reset();
  restart_rekey_not_before_ =
      now + std::max<Duration>(restart_interval, state_.policy().activation_delay);
  std::set<std::uint32_t> numbers;
  for (const GroupTek& tek : state_.keys.teks) {
    if (tek.window() != 0) numbers.insert(tek.sa_number);
  }
  if (!numbers.empty()) report_failure(rekey(now, numbers, false, "a member has restarted"));
}

}  // namespace cohort::gdoi
