#include "coop/election.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace cohort::coop {
namespace {

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}
Rank rank(std::uint16_t priority, std::string_view at, bool drifted = false) {
  return {drifted, priority, address(at)};
}
Candidate candidate(std::uint16_t priority, std::string_view at, bool has_state = true,
                    Role role = Role::secondary, bool drifted = false) {
  return {rank(priority, at, drifted), role, has_state};
}

TEST(CoopElection, OrderIsDriftThenPriorityThenAddress) {
  EXPECT_TRUE(outranks(rank(100, "10.0.0.1"), rank(75, "10.0.0.9")));
  EXPECT_TRUE(outranks(rank(75, "10.0.0.9"), rank(75, "10.0.0.1")));
  EXPECT_TRUE(outranks(rank(1, "10.0.0.1"), rank(100, "10.0.0.9", true)));
  EXPECT_TRUE(outranks(rank(75, "2001:db8::1"), rank(75, "10.255.0.1")));
}

TEST(CoopElection, OrderIsTotal) {
  std::vector<Rank> all;
  for (const bool drifted : {false, true})
    for (const std::uint16_t priority : std::initializer_list<std::uint16_t>{1, 75, 100})
      for (const char* at : {"10.0.0.1", "10.0.0.2", "2001:db8::1"})
        all.push_back(rank(priority, at, drifted));
  for (const Rank& a : all) {
    EXPECT_FALSE(outranks(a, a));
    for (const Rank& b : all) {
      EXPECT_EQ(outranks(a, b) != outranks(b, a), !(a == b));
      for (const Rank& c : all) EXPECT_TRUE(!outranks(a, b) || !outranks(b, c) || outranks(a, c));
    }
  }
}

TEST(CoopElection, ListeningServersCountOnlyIfNobodyHasState) {
  std::vector<Candidate> servers{candidate(100, "10.0.0.1", false, Role::listening),
                                 candidate(50, "10.0.0.2")};
  EXPECT_EQ(winner(servers, {}), address("10.0.0.2"));
  servers[1].has_state = false;
  EXPECT_EQ(winner(servers, {}), address("10.0.0.1"));
}

TEST(CoopElection, ListeningWithStateDoesNotWinEither) {
  const std::vector<Candidate> servers{candidate(100, "10.0.0.1", true, Role::listening),
                                       candidate(50, "10.0.0.2")};
  EXPECT_EQ(winner(servers, {}), address("10.0.0.2"));
}

TEST(CoopElection, WhoDidNotComeForwardIsPassedOver) {
  const std::vector<Candidate> servers{candidate(100, "10.0.0.1"), candidate(50, "10.0.0.2")};
  const std::vector<IpAddress> gone{address("10.0.0.1")};
  EXPECT_EQ(winner(servers, gone), address("10.0.0.2"));
  const std::vector<IpAddress> all{address("10.0.0.1"), address("10.0.0.2")};
  EXPECT_EQ(winner(servers, all), std::nullopt);
}

TEST(CoopElection, TheTableIsThatOfTheSpecification) {
  // Section 4.1, as (role, event) -> role. A change of the table must be one of the document.
  EXPECT_EQ(to_dot(), R"(digraph coop {
  Listening -> Secondary [label="primary_heard / follow"];
  Listening -> Electing [label="listen_over / open_window"];
  Listening -> Listening [label="stalled / listen"];
  Secondary -> Secondary [label="primary_heard / follow"];
  Secondary -> Secondary [label="primary_silent / request_reply"];
  Secondary -> Electing [label="primary_gone / open_window"];
  Secondary -> Electing [label="elect_now / open_window"];
  Secondary -> Listening [label="stalled / listen"];
  Electing -> Secondary [label="primary_heard / follow"];
  Electing -> Primary [label="window_won / take_office"];
  Electing -> Electing [label="window_lost / await_winner"];
  Electing -> Electing [label="winner_absent / pass_over"];
  Electing -> Electing [label="elect_now / none"];
  Electing -> Listening [label="stalled / listen"];
  Primary -> Primary [label="lower_primary_heard / assert_office"];
  Primary -> Secondary [label="higher_primary_heard / yield"];
  Primary -> Electing [label="elect_now / open_window"];
  Primary -> Listening [label="stalled / listen"];
}
)");
}

TEST(CoopElection, APrimaryIsNeverDeposedByALowerOne) {
  const Transition* row = transition(Role::primary, Event::lower_primary_heard);
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(row->to, Role::primary);
  EXPECT_EQ(transition(Role::primary, Event::primary_heard), nullptr);
}

}  // namespace
}  // namespace cohort::coop
