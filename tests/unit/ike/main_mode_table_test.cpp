#include <gtest/gtest.h>
#include <set>
#include <string>

#include "controlplane/ike/main_mode.hpp"

namespace cohort::ike {
namespace {

std::string_view name(State state) {
  constexpr std::string_view names[] = {"idle",      "sa_sent",   "generating",
                                        "ke_sent",   "sharing",   "signing",
                                        "auth_sent", "verifying", "established"};
  return names[static_cast<std::size_t>(state)];
}

/// Every path of one role with one kind of authentication, as text.
std::string path(Role role, Auth auth) {
  std::string text;
  State state = State::idle;
  std::set<State> seen;
  while (state != State::established && seen.insert(state).second) {
    const Row* taken = nullptr;
    for (const auto input : {Input::start, Input::message, Input::key, Input::secret,
                             Input::signature, Input::verified}) {
      const Row* row = find_row(role, state, input, auth);
      if (row == nullptr) continue;
      EXPECT_EQ(taken, nullptr) << "two ways out of " << name(state);
      taken = row;
    }
    if (taken == nullptr) return text + " stuck";
    text += std::string(name(state)) + (taken->sends == Sends::nothing ? " "
                                        : taken->sends == Sends::clear ? "! "
                                                                       : "!* ");
    state = taken->next;
  }
  return text + std::string(name(state));
}

TEST(MainModeTable, each_path_ends_established) {
  EXPECT_EQ(path(Role::initiator, Auth::pre_shared_key),
            "idle! sa_sent generating! ke_sent sharing!* auth_sent established");
  EXPECT_EQ(path(Role::initiator, Auth::signature),
            "idle! sa_sent generating! ke_sent sharing signing!* auth_sent verifying established");
  EXPECT_EQ(path(Role::responder, Auth::pre_shared_key),
            "idle! sa_sent generating sharing! ke_sent!* established");
  EXPECT_EQ(path(Role::responder, Auth::signature),
            "idle! sa_sent generating sharing! ke_sent verifying signing!* established");
}

TEST(MainModeTable, no_row_is_out_of_reach) {
  for (const Row& row : main_mode_table()) {
    const Auth auth = row.auth == Auth::any ? Auth::signature : row.auth;
    EXPECT_EQ(find_row(row.role, row.state, row.input, auth), &row) << name(row.state);
  }
}

TEST(MainModeTable, nothing_leads_out_of_established) {
  for (const Row& row : main_mode_table()) EXPECT_NE(row.state, State::established);
}

TEST(MessageRules, count_order_and_kind) {
  const auto fits = [](const MessageRule& rule, std::initializer_list<PayloadType> types) {
    std::vector<RawPayload> payloads;
    for (const PayloadType type : types) payloads.push_back({type, {}, {}});
    return check(rule, payloads).has_value();
  };
  using P = PayloadType;
  EXPECT_TRUE(fits(rule_sa, {P::sa, P::vendor_id, P::vendor_id}));
  EXPECT_FALSE(fits(rule_sa, {P::vendor_id, P::sa}));  // RFC 2409: SA comes first
  EXPECT_FALSE(fits(rule_sa, {P::sa, P::sa}));
  EXPECT_FALSE(fits(rule_sa, {P::sa, P::ke}));
  EXPECT_FALSE(fits(rule_sa, {}));
  EXPECT_TRUE(fits(rule_ke, {P::nonce, P::ke, P::cert_request, P::nat_d, P::nat_d}));
  EXPECT_FALSE(fits(rule_ke, {P::ke}));
  EXPECT_TRUE(fits(rule_hash, {P::id, P::hash, P::notify}));
  EXPECT_FALSE(fits(rule_hash, {P::id, P::sig}));
  EXPECT_TRUE(fits(rule_signature, {P::id, P::cert, P::cert, P::sig}));
  EXPECT_TRUE(fits(rule_informational, {P::hash, P::del}));
  EXPECT_FALSE(fits(rule_informational, {P::del, P::hash}));
  EXPECT_FALSE(fits(rule_informational, {P::hash, P::sa}));
}

}  // namespace
}  // namespace cohort::ike
