#include <gmock/gmock.h>
#include <set>

#include "gdoi/algorithms.hpp"
#include "gdoi/authorization.hpp"
#include "gdoi/groupkey_pull.hpp"
#include "gdoi/member_claim.hpp"
#include "gdoi/member_states.hpp"
#include "gdoi/membership.hpp"
#include "gdoi/message_rules.hpp"
#include "gdoi/reasons.hpp"
#include "gdoi/sender_id.hpp"

namespace cohort::gdoi {
namespace {

// ---- what a member says of itself
// ----------------------------------------------------------------

/// Octets that count up: unpredictable to nobody.
class Counting final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& octet : out) octet = next_++;
  }

 private:
  std::uint8_t next_ = 0;
};

TEST(MemberClaims, survive_in_a_nonce_and_are_seen_in_no_other) {
  Counting random;
  for (const bool anew : {false, true}) {
    Bytes nonce = make_member_nonce(random, anew);
    EXPECT_EQ(nonce.size(), 32u);
    EXPECT_EQ(read_member_nonce(nonce), (MemberClaim{true, anew}));
    for (std::size_t i = 0; i < nonce.size(); ++i) {
      Bytes changed = nonce;
      changed[i] = static_cast<std::uint8_t>(changed[i] ^ 1u);
      EXPECT_EQ(read_member_nonce(changed), (MemberClaim{false, true})) << i;
    }
    nonce.push_back(0);
    EXPECT_FALSE(read_member_nonce(nonce).cohort);
  }
  EXPECT_FALSE(read_member_nonce({}).cohort);
  EXPECT_NE(make_member_nonce(random, true), make_member_nonce(random, true));
}

// ---- sender ids (RFC 6407 section 3.5) ----------------------------------------------------------

TEST(SenderIds, are_lent_once_in_order_until_none_is_left) {
  SenderIdAllocator ids(8);
  EXPECT_EQ(ids.allocate(3).value(), (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(ids.allocate(1).value(), (std::vector<std::uint32_t>{3}));
  EXPECT_EQ(ids.left(), 252u);
  EXPECT_TRUE(ids.allocate(253).error().is(sender_ids_exhausted));
  EXPECT_EQ(ids.allocate(252)->back(), 255u);
  EXPECT_TRUE(ids.allocate(1).error().is(sender_ids_exhausted));
  ids.restart();
  EXPECT_EQ(ids.allocate(1).value(), (std::vector<std::uint32_t>{0}));
}

TEST(SenderIds, of_two_servers_with_leases_never_meet) {
  SenderIdAllocator a(12), b(12);
  ASSERT_TRUE(a.lease({{0, 99}, {200, 299}}));
  ASSERT_TRUE(b.lease({{100, 199}}));
  std::set<std::uint32_t> all;
  for (auto* server : {&a, &b}) {
    const auto got = server->allocate(server->left());
    ASSERT_TRUE(got);
    for (const std::uint32_t id : *got) EXPECT_TRUE(all.insert(id).second) << id;
  }
  EXPECT_EQ(all.size(), 300u);
  EXPECT_FALSE(a.lease({{0, 10}, {10, 20}}));
  EXPECT_FALSE(a.lease({{0, 4096}}));
}

TEST(SenderIds, resume_behind_what_was_reserved) {
  SenderIdAllocator ids(16);
  ids.resume_at(512);
  EXPECT_EQ(ids.allocate(1)->front(), 512u);
  ids.resume_at(100);
  EXPECT_EQ(ids.allocate(1)->front(), 513u);
}

TEST(SenderIds, are_read_in_both_orders_of_octets) {
  EXPECT_EQ(to_hex(sender_id_to_wire(0x123, 12)), "0123");
  EXPECT_EQ(to_hex(sender_id_to_wire(7, 8)), "07");
  EXPECT_EQ(sender_id_from_wire(Bytes{0x01, 0x23}, 12).value(), 0x123u);
  EXPECT_EQ(sender_id_from_wire(Bytes{1, 0, 0, 0}, 16).value(), 1u);  // an old implementation's
  EXPECT_EQ(sender_id_from_wire(Bytes{0, 0, 0, 1}, 16).value(), 1u);
  EXPECT_FALSE(sender_id_from_wire(Bytes{1, 0, 1}, 16));
}

// ---- algorithms ---------------------------------------------------------------------------------

TEST(Algorithms, every_suite_and_cipher_has_one_number) {
  for (const auto& shape : dataplane::all_suites()) {
    const WireSuite wire = suite_to_wire(shape.suite);
    EspSat sat;
    sat.transform = wire.transform;
    sat.authentication = wire.authentication;
    sat.key_bits = wire.key_bits;
    EXPECT_EQ(suite_from_wire(sat).value(), shape.suite) << shape.name;
    EXPECT_NE(transform_text(shape.suite), "unknown");
  }
  for (const auto cipher : {crypto::Cipher::aes_128, crypto::Cipher::aes_192,
                            crypto::Cipher::aes_256, crypto::Cipher::triple_des}) {
    const WireKekCipher wire = kek_cipher_to_wire(cipher);
    SakPayload sak;
    sak.algorithm = wire.algorithm;
    sak.key_bits = wire.key_bits;
    EXPECT_EQ(kek_cipher_from_wire(sak).value(), cipher);
  }
}

TEST(Algorithms, selectors_survive_the_wire) {
  for (const char* text : {"10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "10.128.0.0/9",
                           "2001:db8::/33", "2001:db8::1/128", "::/0"}) {
    const Prefix prefix = Prefix::parse(text).value();
    const WireIdentity id = identity_to_wire(prefix, 0);
    const auto selectors = selectors_from_wire(0, id, id);
    ASSERT_TRUE(selectors) << text << ": " << selectors.error().text();
    ASSERT_EQ(selectors->size(), 1u);
    EXPECT_EQ(selectors->front().source, prefix) << text;
    EXPECT_TRUE(selectors->front().destination_ports.any());
  }
}

TEST(Algorithms, selectors_that_we_cannot_honour_are_refused) {
  const WireIdentity host{id_type::ipv4, 0, {10, 0, 0, 1}};
  const WireIdentity host6 = identity_to_wire(Prefix::parse("::1/128").value(), 0);
  EXPECT_FALSE(selectors_from_wire(0, host, host6));
  EXPECT_FALSE(selectors_from_wire(0, {id_type::ipv4, 0, {10, 0, 0}}, host));
  EXPECT_FALSE(
      selectors_from_wire(0, {id_type::ipv4_subnet, 0, {10, 0, 0, 0, 255, 0, 255, 0}}, host));
  EXPECT_FALSE(selectors_from_wire(0, {id_type::ipv4_range, 0, {10, 0, 0, 9, 10, 0, 0, 1}}, host));
  const auto any = selectors_from_wire(0, {0, 0, {}}, host6);
  ASSERT_TRUE(any);
  EXPECT_EQ(any->front().source, Prefix::any(Family::v6));
}

/// The sources of a range towards one host, and that each has the ports of the range.
std::vector<std::string> sources_of(const WireIdentity& range, const WireIdentity& host) {
  std::vector<std::string> out;
  const auto selectors = selectors_from_wire(17, range, host);
  for (const auto& selector : selectors.value()) {
    EXPECT_EQ(selector.protocol, 17);
    EXPECT_EQ(selector.source_ports.first, range.port);
    EXPECT_EQ(selector.destination.text(), "10.0.0.1/32");
    out.push_back(selector.source.text());
  }
  return out;
}

TEST(Algorithms, a_range_of_addresses_becomes_the_prefixes_that_make_it_up) {
  const WireIdentity host{id_type::ipv4, 0, {10, 0, 0, 1}};
  const auto range = [](std::initializer_list<std::uint8_t> ends) {
    return WireIdentity{id_type::ipv4_range, 53, Bytes(ends)};
  };
  using testing::ElementsAre;
  EXPECT_THAT(sources_of(range({10, 0, 0, 0, 10, 0, 0, 255}), host), ElementsAre("10.0.0.0/24"));
  EXPECT_THAT(sources_of(range({10, 0, 0, 7, 10, 0, 0, 7}), host), ElementsAre("10.0.0.7/32"));
  EXPECT_THAT(sources_of(range({10, 0, 0, 1, 10, 0, 0, 6}), host),
              ElementsAre("10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"));
  EXPECT_THAT(sources_of(range({0, 0, 0, 0, 255, 255, 255, 255}), host), ElementsAre("0.0.0.0/0"));
  EXPECT_EQ(sources_of(range({0, 0, 0, 1, 255, 255, 255, 254}), host).size(), 62u);
}

TEST(Algorithms, ranges_that_make_too_many_prefixes_are_refused_and_say_so) {
  const WireIdentity worst{id_type::ipv4_range, 0, {0, 0, 0, 1, 255, 255, 255, 254}};
  const WireIdentity two{id_type::ipv4_range, 0, {10, 0, 0, 1, 10, 0, 0, 2}};
  Bytes all_but_two(32, 0);
  all_but_two[15] = 1;
  std::fill(all_but_two.begin() + 16, all_but_two.end(), 0xff);
  all_but_two[31] = 0xfe;
  const WireIdentity worst6{id_type::ipv6_range, 0, all_but_two};
  const WireIdentity host6 = identity_to_wire(Prefix::parse("::1/128").value(), 0);
  for (const auto& refused :
       {selectors_from_wire(0, worst, two), selectors_from_wire(0, worst6, host6)}) {
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().is(unsupported_policy));
    EXPECT_THAT(refused.error().text(), testing::HasSubstr("let the key server name prefixes"));
  }
}

TEST(Algorithms, group_identities_survive_the_wire) {
  for (const GroupId& id : {GroupId{std::uint32_t{484}}, GroupId{IpAddress::v4(0xef010101)}}) {
    EXPECT_EQ(group_id_from_wire(group_id_to_wire(id).value()).value(), id);
  }
  EXPECT_FALSE(group_id_from_wire({id_type::key_id, 0, 0, {1, 2, 3}}));
}

// ---- authorization ------------------------------------------------------------------------------

TEST(Authorization, a_certificate_without_a_subject_is_known_by_all_its_names_in_full) {
  PeerIdentity who;
  who.by_certificate = true;
  who.san_dns = {std::string(80, 'a') + ".example.org", "gm1.example.org"};
  who.san_addresses = {IpAddress::v4(0x0a000001)};
  who.id_text = std::string(64, 'a');  // as the ID payload is printed: cut
  PeerIdentity other = who;
  other.san_dns.front() = std::string(81, 'a') + ".example.org";
  EXPECT_NE(identity_of(who), identity_of(other));
  // Which of its names a peer claims, and how it writes it, makes nobody else of it.
  PeerIdentity claims = who;
  claims.id_text = "GM1.example.org";
  EXPECT_EQ(identity_of(who), identity_of(claims));
  who.san_dns = {"gm1.example.org"};
  who.san_addresses.clear();
  EXPECT_EQ(identity_of(who), "gm1.example.org");
}

PeerIdentity peer() {
  PeerIdentity who;
  who.by_certificate = true;
  who.subject = "CN=gm1,OU=GETVPN_GM";
  who.attributes = {{"CN", "gm1"}, {"OU", "GETVPN_GM"}};
  who.issuer = "CN=ca";
  who.san_dns = {"gm1.branch.example.org"};
  who.address = IpAddress::parse("10.9.0.1").value();
  return who;
}

TEST(Authorization, every_condition_of_a_rule_must_hold_and_one_rule_is_enough) {
  AuthorizationRule rule;
  rule.common_name = "gm1";
  rule.organizational_unit = "GETVPN_GM";
  rule.address = Prefix::parse("10.9.0.0/24").value();
  EXPECT_TRUE(authorize({rule}, peer()));
  AuthorizationRule other = rule;
  other.common_name = "gm2";
  EXPECT_FALSE(authorize({other}, peer()));
  EXPECT_TRUE(authorize({other, rule}, peer()));
  rule.address = Prefix::parse("10.8.0.0/24").value();
  EXPECT_FALSE(authorize({rule}, peer()));
  EXPECT_FALSE(authorize({}, peer()));
  EXPECT_FALSE(authorize({AuthorizationRule{}}, peer())) << "an empty rule admits nobody";
}

TEST(Authorization, a_name_that_would_be_cut_somewhere_joins_nothing) {
  AuthorizationRule rule;
  rule.organizational_unit = "GETVPN_GM";
  PeerIdentity who = peer();
  who.subject = "CN=" + std::string(identity_size_max - 3, 'x');
  EXPECT_TRUE(authorize({rule}, who));
  who.subject += 'x';
  const Status refused = authorize({rule}, who);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(unauthorized_identity));
}

TEST(Authorization, names_match_exactly_and_a_star_is_one_label) {
  AuthorizationRule rule;
  rule.san_dns = "*.branch.example.org";
  EXPECT_TRUE(authorize({rule}, peer()));
  rule.san_dns = "*.example.org";
  EXPECT_FALSE(authorize({rule}, peer()));
  rule.san_dns = "GM1.branch.example.org";
  EXPECT_TRUE(authorize({rule}, peer()));
  rule.san_dns = "branch.example.org";
  EXPECT_FALSE(authorize({rule}, peer()));
}

TEST(Authorization, a_pre_shared_key_proves_no_name) {
  PeerIdentity who = peer();
  who.by_certificate = false;
  AuthorizationRule rule;
  rule.common_name = "gm1";
  EXPECT_FALSE(authorize({rule}, who));
  AuthorizationRule by_address;
  by_address.address = Prefix::parse("10.9.0.1/32").value();
  EXPECT_TRUE(authorize({by_address}, who));
}

TEST(Authorization, a_refusal_names_what_was_found_and_expected) {
  AuthorizationRule rule;
  rule.organizational_unit = "HQ";
  const auto refused = authorize({rule}, peer());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail().find("found subject=CN=gm1,OU=GETVPN_GM"), std::string::npos);
  EXPECT_NE(refused.error().detail().find("expected OU=HQ"), std::string::npos);
}

// ---- membership ---------------------------------------------------------------------------------

TEST(Members, are_bounded_and_one_for_an_identity_at_an_address) {
  Membership members(2);
  const Endpoint a{IpAddress::v4(1), 848}, moved{IpAddress::v4(1), 4500}, b{IpAddress::v4(2), 848};
  Member* first = members.admit("gm1", a);
  ASSERT_NE(first, nullptr);
  const MemberId id = first->id;
  EXPECT_EQ(members.admit("gm1", moved)->id, id);
  EXPECT_EQ(members.find(id)->remote, moved);
  ASSERT_NE(members.admit("gm1", b), nullptr);
  EXPECT_EQ(members.admit("gm2", b), nullptr);
  EXPECT_TRUE(members.remove(id));
  EXPECT_NE(members.admit("gm2", b)->id, id) << "ids are not used again";
}

// ---- tables -------------------------------------------------------------------------------------

TEST(Tables, every_encrypted_pull_message_begins_with_hash) {
  for (const MessageRule* rule : message_rules) {
    if (rule->exchange != ike::ExchangeType::groupkey_pull) continue;
    EXPECT_TRUE(rule->encrypted);
    EXPECT_EQ(rule->payloads[0].type, ike::PayloadType::hash) << rule->name;
    EXPECT_EQ(rule->payloads[0].min, 1) << rule->name;
  }
}

TEST(Tables, every_member_state_is_reached_and_left) {
  std::set<MemberState> reached{MemberState::stopped}, left;
  std::set<std::pair<MemberState, MemberEvent>> rows;
  for (const MemberRow& row : member_table) {
    reached.insert(row.to);
    left.insert(row.from);
    EXPECT_TRUE(rows.insert({row.from, row.event}).second) << "two rows for one event";
  }
  EXPECT_EQ(reached.size(), 6u);
  EXPECT_EQ(left.size(), 6u);
}

TEST(Tables, a_pull_is_done_only_after_all_four_messages) {
  const auto walk = [](std::initializer_list<PullEvent> events) {
    PullState state = PullState::idle;
    for (const PullEvent event : events) state = pull_next(state, event).value();
    return state;
  };
  EXPECT_EQ(walk({PullEvent::send_1, PullEvent::read_2, PullEvent::send_3, PullEvent::read_4}),
            PullState::done);
  EXPECT_EQ(walk({PullEvent::read_1, PullEvent::send_2, PullEvent::read_3, PullEvent::send_4}),
            PullState::done);
  for (const PullRow& row : pull_table) {
    if (row.to == PullState::done) {
      EXPECT_TRUE(row.from == PullState::proving || row.from == PullState::granting);
    }
  }
  EXPECT_FALSE(pull_next(PullState::offering, PullEvent::send_4));
}

}  // namespace
}  // namespace cohort::gdoi
