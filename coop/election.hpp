#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/address.hpp"
#include "coop/messages.hpp"

/// Who is primary: docs/coop-protocol.md section 4 as data and pure functions.
namespace cohort::coop {

/// What a server is ordered by. The order is total as addresses are unique.
struct Rank {
  bool drifted = false;
  std::uint16_t priority = 0;
  IpAddress address;
  bool operator==(const Rank&) const = default;
};
/// Whether `a` comes before `b`: not drifted, higher priority, higher address.
[[nodiscard]] bool outranks(const Rank& a, const Rank& b);

/// A server that could be elected.
struct Candidate {
  Rank rank;
  Role role = Role::listening;
  bool has_state = false;
};
/// The best of the candidates, which holds the local server as well. Listening servers count only
/// if nobody holds the group's state. `passed_over` are left out. Empty if nobody is left.
[[nodiscard]] std::optional<IpAddress> winner(std::span<const Candidate> candidates,
                                              std::span<const IpAddress> passed_over);

enum class Event : std::uint8_t {
  primary_heard,         ///< an announcement of a primary, whatever its rank
  higher_primary_heard,  ///< while we are primary
  lower_primary_heard,   ///< while we are primary
  primary_silent,
  primary_gone,  ///< dead, or says that it is primary no more
  listen_over,
  window_won,
  window_lost,
  winner_absent,
  elect_now,
  stalled
};
[[nodiscard]] std::string_view name_of(Event event);

enum class Action : std::uint8_t {
  none,
  follow,
  request_reply,
  open_window,  ///< and request replies
  pass_over,    ///< the winner did not come forward: leave it out, open the window again
  await_winner,
  take_office,
  assert_office,  ///< announce to the lower primary at once
  yield,          ///< merge, then follow
  listen
};
[[nodiscard]] std::string_view name_of(Action action);

struct Transition {
  Role from;
  Event event;
  Role to;
  Action action;
};

/// One row a transition, in the order of section 4.1. What has no row is ignored.
inline constexpr std::array transitions{
    Transition{Role::listening, Event::primary_heard, Role::secondary, Action::follow},
    Transition{Role::listening, Event::listen_over, Role::electing, Action::open_window},
    Transition{Role::listening, Event::stalled, Role::listening, Action::listen},

    Transition{Role::secondary, Event::primary_heard, Role::secondary, Action::follow},
    Transition{Role::secondary, Event::primary_silent, Role::secondary, Action::request_reply},
    Transition{Role::secondary, Event::primary_gone, Role::electing, Action::open_window},
    Transition{Role::secondary, Event::elect_now, Role::electing, Action::open_window},
    Transition{Role::secondary, Event::stalled, Role::listening, Action::listen},

    Transition{Role::electing, Event::primary_heard, Role::secondary, Action::follow},
    Transition{Role::electing, Event::window_won, Role::primary, Action::take_office},
    Transition{Role::electing, Event::window_lost, Role::electing, Action::await_winner},
    Transition{Role::electing, Event::winner_absent, Role::electing, Action::pass_over},
    Transition{Role::electing, Event::elect_now, Role::electing, Action::none},
    Transition{Role::electing, Event::stalled, Role::listening, Action::listen},

    Transition{Role::primary, Event::lower_primary_heard, Role::primary, Action::assert_office},
    Transition{Role::primary, Event::higher_primary_heard, Role::secondary, Action::yield},
    Transition{Role::primary, Event::elect_now, Role::electing, Action::open_window},
    Transition{Role::primary, Event::stalled, Role::listening, Action::listen},
};

/// The row for an event in a role, null if it is ignored.
[[nodiscard]] constexpr const Transition* transition(Role from, Event event) {
  for (const Transition& row : transitions) {
    if (row.from == from && row.event == event) return &row;
  }
  return nullptr;
}

/// The table as a graph for `dot`, one edge a row.
[[nodiscard]] std::string to_dot();

// No role is a trap, each is entered from another, a stalled server never stays in office, and a
// role has one row for an event.
constexpr bool table_is_sound() {
  for (const Role role : {Role::listening, Role::secondary, Role::electing, Role::primary}) {
    bool left = false, entered = false, stalled = false;
    for (const Transition& row : transitions) {
      left = left || (row.from == role && row.to != role);
      entered = entered || (row.to == role && row.from != role);
      stalled =
          stalled || (row.from == role && row.event == Event::stalled && row.to == Role::listening);
    }
    if (!left || !entered || !stalled) return false;
  }
  for (std::size_t i = 0; i < transitions.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (transitions[i].from == transitions[j].from &&
          transitions[i].event == transitions[j].event)
        return false;
    }
  }
  return true;
}
static_assert(table_is_sound());

}  // namespace cohort::coop
