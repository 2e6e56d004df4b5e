#include <gtest/gtest.h>
#include <random>
#include <set>

#include "coop/options.hpp"
#include "coop/policy_digest.hpp"
#include "coop/pseudotime.hpp"
#include "coop/reasons.hpp"
#include "coop/replay_window.hpp"
#include "coop/sealed_state.hpp"
#include "coop/sender_leases.hpp"

namespace cohort::coop {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}

/// Whether two leases of one SID epoch have an id in common.
bool overlap(const std::vector<Lease>& leases) {
  for (std::size_t i = 0; i < leases.size(); ++i) {
    for (std::size_t j = i + 1; j < leases.size(); ++j) {
      const Lease &a = leases[i], &b = leases[j];
      if (a.sid_epoch == b.sid_epoch && a.first < b.end() && b.first < a.end()) return true;
    }
  }
  return false;
}

// ---- replay window ------------------------------------------------------------------------------

TEST(CoopReplayWindow, TakesEachNumberOnce) {
  ReplayWindow window;
  EXPECT_FALSE(window.fresh(0));
  for (const std::uint32_t number : {1u, 3u, 2u, 70u, 8u}) {
    EXPECT_TRUE(window.fresh(number)) << number;
    window.commit(number);
    EXPECT_FALSE(window.fresh(number)) << number;
  }
  EXPECT_FALSE(window.fresh(6));  // behind the window of 64 below 70
  EXPECT_TRUE(window.fresh(7));
  window.commit(0x7fffffff);
  EXPECT_FALSE(window.fresh(70));
  EXPECT_TRUE(window.fresh(0x7ffffffe));
}

// ---- pseudotime ---------------------------------------------------------------------------------

TEST(CoopPseudotime, NeverGoesBackAndTakesTheLarger) {
  const TimePoint begin{seconds(100)};
  Pseudotime time(begin);
  time.settle();
  EXPECT_EQ(time.now_ms(begin), Pseudotime::beginning_ms);
  time.advance(begin + seconds(1), Pseudotime::beginning_ms + 500);  // behind ours
  EXPECT_EQ(time.now_ms(begin + seconds(1)), Pseudotime::beginning_ms + 1000);
  time.advance(begin + seconds(1), Pseudotime::beginning_ms + 9000);
  EXPECT_EQ(time.now_ms(begin + seconds(2)), Pseudotime::beginning_ms + 10000);
  EXPECT_EQ(time.at(Pseudotime::beginning_ms + 10000), begin + seconds(2));
  time.adopt(begin + seconds(2), Pseudotime::beginning_ms);  // not an estimate any more
  EXPECT_EQ(time.now_ms(begin + seconds(2)), Pseudotime::beginning_ms + 10000);
  time.advance(begin, ~std::uint64_t{0});  // absurd
  EXPECT_EQ(time.now_ms(begin + seconds(2)), Pseudotime::beginning_ms + 10000);
}

TEST(CoopPseudotime, InstantsOfBeforeItWasAdvancedKeepTheirOrder) {
  Pseudotime time(TimePoint(std::chrono::seconds(100)));
  const auto begun = time.at(Pseudotime::beginning_ms);
  time.advance(begun + std::chrono::seconds(30), Pseudotime::beginning_ms + 31'000);
  // SEQ goes by the time that has passed since a key was made.
  EXPECT_EQ(time.now_ms(begun), Pseudotime::beginning_ms + 1'000);
  const auto earlier = time.at(Pseudotime::beginning_ms - 5'000);
  EXPECT_EQ(time.now_ms(earlier), Pseudotime::beginning_ms - 5'000);
}

TEST(CoopPseudotime, AnEstimateGivesWayAlsoDownwards) {
  const TimePoint begin{seconds(100)};
  Pseudotime time(begin, Pseudotime::beginning_ms + 1'000'000);
  EXPECT_TRUE(time.is_estimate());
  time.adopt(begin, Pseudotime::beginning_ms + 5);
  EXPECT_EQ(time.now_ms(begin), Pseudotime::beginning_ms + 5);
  EXPECT_FALSE(time.is_estimate());
}

TEST(CoopPseudotime, AWallClockThatStepsBackCostsNothing) {
  EXPECT_EQ(Pseudotime::estimate(5000, WallTime(seconds(100)), WallTime(seconds(90))), 5000u);
  EXPECT_EQ(Pseudotime::estimate(5000, WallTime(seconds(100)), WallTime(seconds(103))), 8000u);
}

// ---- leases -------------------------------------------------------------------------------------

TEST(CoopLeases, DivisionCoversTheSpaceWithoutOverlap) {
  for (const std::uint8_t bits : std::initializer_list<std::uint8_t>{8, 12, 16}) {
    for (std::size_t servers = 1; servers <= 8; ++servers) {
      std::vector<IpAddress> all;
      for (std::size_t i = 0; i < servers; ++i)
        all.push_back(IpAddress::v4(static_cast<std::uint32_t>(0x0a000009 - i)));
      const auto leases = divide(1, bits, all);
      EXPECT_FALSE(overlap(leases));
      std::uint64_t sum = 0;
      for (const Lease& lease : leases) sum += lease.count;
      EXPECT_EQ(sum, std::uint64_t{1} << bits);
    }
  }
}

TEST(CoopLeases, SplittingNeverMakesAnOverlapOrGivesWhatWasSpent) {
  std::mt19937_64 random(1);
  std::vector<Lease> leases = divide(1, 12, {address("10.0.0.1"), address("10.0.0.2")});
  for (int step = 0; step < 500; ++step) {
    Lease& one = leases[random() % leases.size()];
    if (one.left() > 0 && random() % 2 == 0) {
      ++one.next;
      continue;
    }
    const std::uint32_t spent = one.next;
    if (const auto given = split(one, address("10.0.0.3"))) {
      EXPECT_GE(given->first, spent);
      leases.push_back(*given);
    }
    ASSERT_FALSE(overlap(leases)) << step;
  }
  EXPECT_GT(leases.size(), 10u);
}

TEST(CoopLeases, OverlapIsFoundWithinASidEpochOnly) {
  Lease one{1, 0, 10, 0, address("10.0.0.1")}, two{1, 9, 5, 9, address("10.0.0.2")};
  EXPECT_TRUE(overlap(std::vector{one, two}));
  two.sid_epoch = 2;
  EXPECT_FALSE(overlap(std::vector{one, two}));
}

TEST(CoopLeases, HostileValuesAreRefused) {
  const Lease good{1, 16, 16, 20, address("10.0.0.1"), 18};
  EXPECT_EQ(*decode_lease(lease_key(good), encode_lease(good)), good);
  Lease bad = good;
  bad.count = 0xffffffff;
  EXPECT_FALSE(decode_lease(lease_key(bad), encode_lease(bad)));
  bad = good;
  bad.next = 3;
  EXPECT_FALSE(decode_lease(lease_key(bad), encode_lease(bad)));
  EXPECT_FALSE(decode_lease(Bytes(7), encode_lease(good)));
}

// ---- policy -------------------------------------------------------------------------------------

gdoi::GroupPolicy lab_policy() {
  gdoi::GroupPolicy policy;
  policy.name = "GETVPN";
  policy.id = {std::uint32_t{484}};
  gdoi::SaPolicy sa;
  for (const char* to : {"172.16.0.0/16", "192.168.0.0/16"}) {
    gdoi::AclEntry entry;
    entry.selector.source = *Prefix::parse("10.0.0.0/24");
    entry.selector.destination = *Prefix::parse(to);
    sa.acl.push_back(entry);
  }
  policy.sas.push_back(sa);
  return policy;
}

TEST(CoopPolicy, ADifferenceIsNamedDownToTheEntry) {
  const auto here = canonical(lab_policy());
  auto changed = lab_policy();
  changed.sas[0].acl[1].selector.destination = *Prefix::parse("192.168.0.0/24");
  changed.sas[0].lifetime = std::chrono::seconds{7200};
  changed.sas[0].acl.push_back(changed.sas[0].acl[0]);
  const auto there = canonical(changed);
  EXPECT_NE(hash_of(here), hash_of(there));
  const auto found = differences(here, there);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].name, "sa 10 lifetime");
  EXPECT_EQ(found[0].here, "3600");
  EXPECT_EQ(found[0].there, "7200");
  EXPECT_EQ(found[1].name, "sa 10 acl 2");
  EXPECT_EQ(found[2].name, "sa 10 acl 3");
  EXPECT_EQ(found[2].here, "");
  EXPECT_EQ(hash_of(here), hash_of(canonical(lab_policy())));
}

TEST(CoopPolicy, TheNamesAreUnique) {
  std::set<std::string> names;
  for (const PolicyEntry& entry : canonical(lab_policy()))
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
}

TEST(CoopPolicy, TextRoundTripAndHostileText) {
  const auto entries = canonical(lab_policy());
  EXPECT_EQ(parse_policy_text(as_bytes(policy_text(entries))), entries);
  EXPECT_TRUE(parse_policy_text(as_bytes("no equals sign\n\x1b[31mred = x\n")).empty());
  EXPECT_TRUE(parse_policy_text({}).empty());
}

TEST(CoopPolicy, TheOrderOfServersDoesNotMatter) {
  EXPECT_EQ(hash_of(std::vector{address("10.0.0.1"), address("10.0.0.2")}),
            hash_of(std::vector{address("10.0.0.2"), address("10.0.0.1")}));
}

// ---- sealed state -------------------------------------------------------------------------------

class Counting final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (auto& octet : out) octet = ++last_;
  }

 private:
  std::uint8_t last_ = 0;
};

TEST(CoopSealedState, RoundTripAndEveryDamageIsFound) {
  Counting random;
  const Secret none, key(Bytes(32, 1));
  const Bytes octets(100, 0x42);
  for (const Secret* with : {&none, &key}) {
    const auto blob = seal_state(random, *with, "coop/x/0", octets);
    ASSERT_TRUE(blob);
    const auto back = open_state(*with, "coop/x/0", *blob);
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_TRUE(equal(back->view(), octets));
    for (std::size_t i = 0; i < blob->size(); ++i) {
      Bytes damaged = *blob;
      damaged[i] ^= 1;
      EXPECT_FALSE(open_state(*with, "coop/x/0", damaged)) << i;
      EXPECT_FALSE(open_state(*with, "coop/x/0", ByteView(*blob).first(i))) << i;
    }
    EXPECT_FALSE(open_state(*with, "coop/x/1", *blob));  // swapped with another blob
  }
}

TEST(CoopSealedState, NeedsTheSameKeyAndShowsNothing) {
  Counting random;
  const Secret key(Bytes(32, 1)), other(Bytes(32, 2));
  const Bytes octets = to_bytes(as_bytes("a secret that must not be seen on the disk"));
  const auto blob = seal_state(random, key, "n", octets);
  ASSERT_TRUE(blob);
  EXPECT_EQ(std::search(blob->begin(), blob->end(), octets.begin(), octets.begin() + 8),
            blob->end());
  EXPECT_FALSE(open_state(other, "n", *blob));
  EXPECT_FALSE(open_state(Secret(), "n", *blob));
  const auto clear = seal_state(random, Secret(), "n", octets);
  EXPECT_FALSE(open_state(key, "n", *clear));
}

// ---- options ------------------------------------------------------------------------------------

Options good_options() {
  Options options;
  options.group_name = "GETVPN";
  options.local = {address("10.0.0.1"), 848};
  options.peers = {{address("10.0.0.2"), 848}};
  return options;
}

TEST(CoopOptions, RatiosOfTheTimersAreChecked) {
  Options options = good_options();
  EXPECT_TRUE(check(options));
  options.timers = {milliseconds(100), milliseconds(150), milliseconds(300)};
  EXPECT_TRUE(check(options));
  options.timers.announce = milliseconds(99);
  EXPECT_FALSE(check(options));
  options.timers = {milliseconds(1000), milliseconds(1200), milliseconds(3000)};
  EXPECT_FALSE(check(options));
  options.timers = {milliseconds(1000), milliseconds(2000), milliseconds(2500)};
  EXPECT_FALSE(check(options));
  options.timers.dead = std::chrono::hours(4) + milliseconds(1);  // a time that overflows, say
  EXPECT_FALSE(check(options));
}

TEST(CoopOptions, PeersAreChecked) {
  Options options = good_options();
  options.peers.push_back(options.peers[0]);
  EXPECT_FALSE(check(options));
  options = good_options();
  options.peers[0] = options.local;
  EXPECT_FALSE(check(options));
  options = good_options();
  for (std::uint32_t i = 0; i < 7; ++i) options.peers.push_back({IpAddress::v4(100 + i), 848});
  EXPECT_FALSE(check(options));
  options.peers.pop_back();
  EXPECT_TRUE(check(options));
  options.state_key = Secret(Bytes(31));
  EXPECT_FALSE(check(options));
}

}  // namespace
}  // namespace cohort::coop
