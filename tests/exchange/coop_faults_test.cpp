#include "tests/exchange/coop_fixture.hpp"

// What lost disks, wrong clocks, full disks and absent primaries must not do.
namespace cohort::harness {
namespace {

using coop::EpochCause;
using coop::Kind;

class CoopFaults : public CoopGroup {
 protected:
  [[nodiscard]] static coop::ItemKey identity() { return {Kind::removed_identity, Bytes(16, 5)}; }
  [[nodiscard]] std::string cause(std::size_t at) const {
    return std::string(servers[at]->group()->status(net.now()).epoch_cause);
  }
  [[nodiscard]] bool excluded(std::size_t at) const {
    const coop::Item* item = servers[at]->group()->replica().find(identity());
    if (item == nullptr) return false;
    const auto removed = coop::decode_removed(item->value.view());
    return removed && removed->excluded;
  }
  [[nodiscard]] std::uint64_t pseudotime(std::size_t at) const {
    return servers[at]->group()->time().now_ms(net.now());
  }
  void at_merge() {
    for (auto& server : servers)
      server->options.evict_in_partition = coop::EvictInPartition::at_merge;
  }
};

// ---- exclusions -----------------------------------------------------------------------------

TEST_F(CoopFaults, ARemovalAtASecondaryMakesThePrimaryExclude) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string before = servers[0]->epoch();
  ASSERT_TRUE(servers[1]->group()->remove_identity(net.now(), identity(), "gm"));
  ASSERT_TRUE(net.run_until([&] { return agree() && servers[1]->epoch() != before; }, seconds(10)));
  EXPECT_EQ(cause(1), "eviction");
  EXPECT_TRUE(net.run_until([&] { return excluded(0) && excluded(1); }, seconds(10)));
  const std::string once = servers[0]->epoch();
  net.run_for(seconds(15));
  EXPECT_EQ(servers[0]->epoch(), once);  // and not again
}

TEST_F(CoopFaults, ARemovalThatWaitsForTheMergeOutlivesTheOfficeOfWhoWasTold) {
  make(2);
  at_merge();
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string before = servers[0]->epoch();
  part(0, 1);
  ASSERT_TRUE(net.run_until([&] { return servers[1]->primary(); }, seconds(20)));
  const auto waits = servers[1]->group()->remove_identity(net.now(), identity(), "gm");
  ASSERT_FALSE(waits);
  EXPECT_TRUE(waits.error().is(coop::coop_partition));
  net.run_for(seconds(5));
  EXPECT_EQ(servers[1]->epoch(), before);
  heal();  // 1 yields to 0, which has to do it
  ASSERT_TRUE(net.run_until([&] { return agree() && servers[0]->epoch() != before; }, seconds(30)));
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(cause(0), "eviction");
  EXPECT_TRUE(net.run_until([&] { return excluded(0) && excluded(1); }, seconds(10)));
}

TEST_F(CoopFaults, AnExclusionOfNobodyByNameOutlivesItsPrimaryToo) {
  make(2);
  at_merge();
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string before = servers[0]->epoch();
  part(0, 1);
  ASSERT_TRUE(net.run_until([&] { return servers[1]->primary(); }, seconds(20)));
  EXPECT_FALSE(servers[1]->group()->exclude(net.now(), EpochCause::eviction));
  heal();
  ASSERT_TRUE(net.run_until([&] { return agree() && servers[0]->epoch() != before; }, seconds(30)));
  EXPECT_EQ(cause(0), "eviction");
  ASSERT_TRUE(settle(0));
  EXPECT_TRUE(servers[0]->group()->replica().all(Kind::removed_identity).empty());
}

// ---- pseudotime -----------------------------------------------------------------------------

TEST_F(CoopFaults, AWipedServerDoesNotTurnTheGroupsClockBack) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(107));  // some seconds after the last step of a chain, which tells the time
  const std::uint64_t before = pseudotime(0);
  const std::string epoch = servers[0]->epoch();
  const TimePoint down = net.now();
  for (auto& server : servers) server->crash();
  servers[0]->host.store = MemoryStore();  // the one that will be primary
  start_all();
  ASSERT_TRUE(settle(0));
  const auto since = std::chrono::duration_cast<milliseconds>(net.now() - down).count();
  for (const std::size_t i : {0u, 1u})
    EXPECT_GE(pseudotime(i) + 1000, before + static_cast<std::uint64_t>(since)) << i;
  EXPECT_EQ(servers[0]->epoch(), epoch);
  EXPECT_EQ(key(0), key(1));
}

TEST_F(CoopFaults, NobodyRegistersByAGuessOfTheTime) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(107));
  const std::uint64_t before = pseudotime(0);
  const TimePoint down = net.now();
  for (auto& server : servers) server->crash();
  servers[1]->host.store = MemoryStore();
  start_all();
  const auto is_behind = [&](std::size_t i) {
    const auto since = std::chrono::duration_cast<milliseconds>(net.now() - down).count();
    return pseudotime(i) + 1000 < before + static_cast<std::uint64_t>(since);
  };
  bool guessed = false;
  const bool settled = net.run_until(
      [&] {
        for (const std::size_t i : {0u, 1u}) {
          const coop::Group& group = *servers[i]->group();
          guessed = guessed || (group.epoch() != nullptr && is_behind(i));
          EXPECT_FALSE(group.may_register() && is_behind(i)) << i;
        }
        return testing::Test::HasFailure() || (one_primary(0) && agree() && everybody_registers());
      },
      seconds(30));
  EXPECT_TRUE(settled);
  EXPECT_TRUE(guessed) << "with keys, before it knew the time";
}

TEST_F(CoopFaults, AWallClockThatStepsWhileAllAreDownMovesNoTime) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(10));
  for (const int hours : {-1, 2}) {
    const auto before = pseudotime(0);
    for (auto& server : servers) server->crash();
    net.run_for(seconds(100));
    net.clock.step_wall(std::chrono::hours(hours));
    start_all();
    EXPECT_NEAR(static_cast<double>(pseudotime(0)), static_cast<double>(before) + 100'000, 100);
    ASSERT_TRUE(settle(0));
    EXPECT_EQ(servers[0]->host.count(coop::events::clock_behind), 0u);
  }
}

// The machines were off, and nobody can say for how long.
TEST_F(CoopFaults, AWallClockThatIsBehindIsReported) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(30));
  const auto before = pseudotime(0);
  for (auto& server : servers) server->crash();
  net.run_for(seconds(100));
  net.clock.step_wall(-std::chrono::hours(1));
  for (auto& server : servers) server->host.store.past = Provenance::original;
  start_all();
  EXPECT_EQ(servers[0]->host.count(coop::events::clock_behind), 1u);
  EXPECT_GE(pseudotime(0) + 20'000, before);
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(key(0), key(1));
}

TEST_F(CoopFaults, AGuessOfTheTimeErasesNothing) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(10));
  const std::uint64_t before = pseudotime(0);
  servers[1]->crash();
  net.clock.step_wall(std::chrono::hours(1));
  servers[1]->host.store.past = Provenance::original;
  ASSERT_TRUE(start(1));
  net.run_for(milliseconds(10));
  EXPECT_GT(pseudotime(1), pseudotime(0) + 3'000'000);  // so it guesses
  ASSERT_TRUE(settle(0));
  EXPECT_LT(pseudotime(1), before + 60'000);
  EXPECT_LT(pseudotime(0), before + 60'000);  // nor is it moved by what was erased
  EXPECT_EQ(key(0), key(1));
}

// ---- SEQ ------------------------------------------------------------------------------------

TEST_F(CoopFaults, NoSeqIsUsedThatTheDiskDoesNotKnow) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const coop::KekSpi kek{4, 5, 6};
  const std::uint64_t begun = pseudotime(0);
  const auto take = [&] { return servers[0]->group()->take_seqs(net.now(), kek, 0, 1, begun); };
  EXPECT_FALSE(take());  // reserved, but the other one does not know it yet
  net.run_for(seconds(1));
  std::uint32_t last = 0;
  servers[0]->host.store.broken = true;
  for (int i = 0; i < 200; ++i)
    if (const auto seq = take()) last = *seq;
  EXPECT_GT(last, 0u);  // what was reserved may be used
  const auto refused = take();
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(coop::coop_seq_waits));
  servers[0]->crash();
  servers[0]->host.store.broken = false;
  ASSERT_TRUE(start(0));
  (void)take();
  net.run_for(seconds(1));
  const auto seq = take();
  ASSERT_TRUE(seq);
  EXPECT_GT(*seq, last);
}

// A rekey in many datagrams is sent at once or not at all.
TEST_F(CoopFaults, AsManySeqsAsARekeyNeedsAreReservedAtOnce) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const coop::KekSpi kek{1, 1, 1};
  const std::uint64_t begun = pseudotime(0);
  const auto take = [&](std::size_t count) {
    return servers[0]->group()->take_seqs(net.now(), kek, 0, count, begun);
  };
  EXPECT_FALSE(take(3));
  EXPECT_FALSE(take(500));
  net.run_for(seconds(1));
  const auto many = take(500);
  ASSERT_TRUE(many);
  auto next = take(1);
  if (!next) {
    net.run_for(seconds(1));
    next = take(1);
  }
  ASSERT_TRUE(next);
  EXPECT_GT(*next, *many + 499 * coop::seq_slots);
}

// Each takeover begins above what was reserved before: that must not outrun time.
TEST_F(CoopFaults, SeqStaysNearTimeThroughManyTakeovers) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const coop::KekSpi kek{2, 2, 2};
  const std::uint64_t begun = pseudotime(0);
  std::uint32_t last = 0;
  for (int round = 0; round < 20; ++round) {
    for (std::size_t at = 0; at < 2; ++at) {
      (void)servers[at]->group()->take_seqs(net.now(), kek, 0, 1, begun);
      net.run_for(seconds(4));  // a takeover takes as long
      if (const auto seq = servers[at]->group()->take_seqs(net.now(), kek, 0, 1, begun))
        last = std::max(last, *seq);
    }
  }
  const auto ticks = static_cast<std::uint32_t>((pseudotime(0) - begun) / 250);
  EXPECT_GT(last, 0u);
  EXPECT_LT(last, ticks * coop::seq_slots + 200);
}

TEST_F(CoopFaults, TwoWhoSendUnderOneKekDoNotOutbidEachOther) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const coop::KekSpi kek{7, 8, 9};
  const std::uint64_t begun = pseudotime(0);
  std::size_t used[2] = {};
  std::set<std::uint32_t> numbers;
  net.latency = milliseconds(40);  // they want a number again before the other hears of the last
  for (int i = 0; i < 400; ++i) {
    for (std::size_t at = 0; at < 2; ++at) {
      const auto seq = servers[at]->group()->take_seqs(net.now(), kek, 0, 1, begun);
      if (!seq) continue;
      ++used[at];
      EXPECT_TRUE(numbers.insert(*seq).second);
    }
    net.run_for(milliseconds(5));
  }
  EXPECT_GE(used[0], 10u);
  EXPECT_GE(used[1], 10u);
}

}  // namespace
}  // namespace cohort::harness
