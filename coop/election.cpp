#include "coop/election.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace cohort::coop {

bool outranks(const Rank& a, const Rank& b) {
  if (a.drifted != b.drifted) return !a.drifted;
  if (a.priority != b.priority) return a.priority > b.priority;
  return a.address > b.address;
}

std::optional<IpAddress> winner(std::span<const Candidate> candidates,
                                std::span<const IpAddress> passed_over) {
  const bool somebody_knows = std::any_of(candidates.begin(), candidates.end(),
                                          [](const Candidate& one) { return one.has_state; });
  const Candidate* best = nullptr;
  for (const Candidate& one : candidates) {
    if (somebody_knows && (!one.has_state || one.role == Role::listening)) continue;
    if (std::find(passed_over.begin(), passed_over.end(), one.rank.address) != passed_over.end())
      continue;
    if (best == nullptr || outranks(one.rank, best->rank)) best = &one;
  }
  if (best == nullptr) return std::nullopt;
  return best->rank.address;
}

std::string_view name_of(Event event) {
  switch (event) {
    case Event::primary_heard:
      return "primary_heard";
    case Event::higher_primary_heard:
      return "higher_primary_heard";
    case Event::lower_primary_heard:
      return "lower_primary_heard";
    case Event::primary_silent:
      return "primary_silent";
    case Event::primary_gone:
      return "primary_gone";
    case Event::listen_over:
      return "listen_over";
    case Event::window_won:
      return "window_won";
    case Event::window_lost:
      return "window_lost";
    case Event::winner_absent:
      return "winner_absent";
    case Event::elect_now:
      return "elect_now";
    case Event::stalled:
      return "stalled";
  }
  return "?";
}

std::string_view name_of(Action action) {
  switch (action) {
    case Action::none:
      return "none";
    case Action::follow:
      return "follow";
    case Action::request_reply:
      return "request_reply";
    case Action::open_window:
      return "open_window";
    case Action::pass_over:
      return "pass_over";
    case Action::await_winner:
      return "await_winner";
    case Action::take_office:
      return "take_office";
    case Action::assert_office:
      return "assert_office";
    case Action::yield:
      return "yield";
    case Action::listen:
      return "listen";
  }
  return "?";
}

std::string to_dot() {
  std::string out = "digraph coop {\n";
  for (const Transition& row : transitions)
    out += fmt::format("  {} -> {} [label=\"{} / {}\"];\n", name_of(row.from), name_of(row.to),
                       name_of(row.event), name_of(row.action));
  return out + "}\n";
}

}  // namespace cohort::coop
