#pragma once

#include <optional>

#include "gdoi/group_member.hpp"

/// A member's registration with one group.
namespace cohort::gdoi {

enum class MemberEvent : std::uint8_t {
  start,           ///< first registration, back-off over, keys about to expire, operator's wish
  phase1_up,       ///< established, or an established one is used: message 1 goes out
  offer_accepted,  ///< message 2 is right and its policy acceptable: message 3 goes out
  keys_accepted,   ///< message 4 is right: keys are installed
  server_failed,   ///< refused, timed out, phase 1 failed: on to the next server
  all_failed,      ///< that was the last server of the list
  stop
};

struct MemberRow {
  MemberState from;
  MemberEvent event;
  MemberState to;
};

inline constexpr MemberRow member_table[] = {
    {MemberState::stopped, MemberEvent::start, MemberState::connecting},
    {MemberState::waiting, MemberEvent::start, MemberState::connecting},
    {MemberState::registered, MemberEvent::start, MemberState::connecting},
    {MemberState::connecting, MemberEvent::start, MemberState::connecting},
    {MemberState::requesting, MemberEvent::start, MemberState::connecting},
    {MemberState::proving, MemberEvent::start, MemberState::connecting},
    // phase 1, then HDR*, HASH(1), Ni, ID  -->
    {MemberState::connecting, MemberEvent::phase1_up, MemberState::requesting},
    // <--  HDR*, HASH(2), Nr, SA; then HDR*, HASH(3) [, GAP]  -->
    {MemberState::requesting, MemberEvent::offer_accepted, MemberState::proving},
    // <--  HDR*, HASH(4), [SEQ,] KD
    {MemberState::proving, MemberEvent::keys_accepted, MemberState::registered},
    {MemberState::connecting, MemberEvent::server_failed, MemberState::connecting},
    {MemberState::requesting, MemberEvent::server_failed, MemberState::connecting},
    {MemberState::proving, MemberEvent::server_failed, MemberState::connecting},
    {MemberState::connecting, MemberEvent::all_failed, MemberState::waiting},
    {MemberState::requesting, MemberEvent::all_failed, MemberState::waiting},
    {MemberState::proving, MemberEvent::all_failed, MemberState::waiting},
    {MemberState::connecting, MemberEvent::stop, MemberState::stopped},
    {MemberState::requesting, MemberEvent::stop, MemberState::stopped},
    {MemberState::proving, MemberEvent::stop, MemberState::stopped},
    {MemberState::registered, MemberEvent::stop, MemberState::stopped},
    {MemberState::waiting, MemberEvent::stop, MemberState::stopped},
};

[[nodiscard]] constexpr std::optional<MemberState> member_next(MemberState from,
                                                               MemberEvent event) {
  for (const MemberRow& row : member_table) {
    if (row.from == from && row.event == event) return row.to;
  }
  return std::nullopt;
}

static_assert(member_next(MemberState::proving, MemberEvent::keys_accepted) ==
              MemberState::registered);
static_assert(!member_next(MemberState::requesting, MemberEvent::keys_accepted),
              "no keys without the proof of message 3");

}  // namespace cohort::gdoi
