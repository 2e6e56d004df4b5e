#include "tests/exchange/coop_fixture.hpp"

namespace cohort::harness {
namespace {

// What must never be used twice: sender ids, and the SEQ of rekeys.
class CoopSenders : public CoopGroup {
 protected:
  /// Ids for a member; none is ever there twice.
  void take(std::size_t at, std::size_t count, std::set<std::uint32_t>& handed_out) {
    const auto ids = servers[at]->group()->take_sender_ids(net.now(), count);
    if (!ids) return;
    EXPECT_EQ(ids->size(), count);
    for (const std::uint32_t id : *ids) EXPECT_TRUE(handed_out.insert(id).second) << id;
  }
};

TEST_F(CoopSenders, SenderIdsOfServersNeverMeetAlsoInAPartition) {
  make(4);
  start_all();
  ASSERT_TRUE(settle(0));
  part(0, 2);
  part(0, 3);
  part(1, 2);
  part(1, 3);
  std::set<std::uint32_t> handed_out;
  for (int round = 0; round < 30; ++round) {
    net.run_for(seconds(1));
    for (std::size_t i = 0; i < 4; ++i) take(i, 5, handed_out);
  }
  EXPECT_GE(handed_out.size(), 500u);
}

TEST_F(CoopSenders, AServerThatRunsOutBorrowsAndThenThePrimaryBeginsFreshKeys) {
  sender_id_bits = 8;
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const std::uint32_t space = servers[0]->group()->sid_epoch();
  std::set<std::uint32_t> handed_out;
  // All by the secondary: its half, then what the other one lends.
  for (int i = 0; i < 400 && servers[1]->group()->sid_epoch() == space; ++i) {
    take(1, 4, handed_out);
    net.run_for(milliseconds(100));
  }
  EXPECT_GE(handed_out.size(), 220u);
  EXPECT_LE(handed_out.size(), 256u);
  ASSERT_NE(servers[1]->group()->sid_epoch(), space) << "the primary heard of the need";
  EXPECT_TRUE(settle(0));
  EXPECT_EQ(servers[0]->group()->status(net.now()).epoch_cause, "sender ids");
  handed_out.clear();
  for (int i = 0; i < 100 && handed_out.empty(); ++i) {
    net.run_for(milliseconds(100));
    take(1, 4, handed_out);
  }
  EXPECT_EQ(handed_out.size(), 4u);
}

TEST_F(CoopSenders, AtMergeTheLackOfSenderIdsWaitsForTheOthers) {
  sender_id_bits = 8;
  make(2);
  for (auto& server : servers)
    server->options.evict_in_partition = coop::EvictInPartition::at_merge;
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string before = servers[0]->epoch();
  part(0, 1);
  net.run_for(seconds(10));
  std::set<std::uint32_t> handed_out;
  for (int i = 0; i < 100; ++i) {
    take(0, 4, handed_out);
    net.run_for(milliseconds(100));
  }
  EXPECT_GE(handed_out.size(), 8u);
  EXPECT_LE(handed_out.size(), 128u);
  EXPECT_EQ(servers[0]->epoch(), before);
  heal();
  ASSERT_TRUE(settle(0));
  const std::size_t so_far = handed_out.size();
  for (int i = 0; i < 50; ++i) {
    take(0, 4, handed_out);
    net.run_for(milliseconds(100));
  }
  EXPECT_GT(handed_out.size(), so_far);
}

// While the peer was away it handed out ids that only its disk knew, and then that disk is an old
// image.
TEST_F(CoopSenders, AnOldImageOfAPartitionHandsOutNoIdTwice) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(2));
  const MemoryStore image = servers[0]->host.store;
  part(0, 1);
  net.run_for(seconds(10));
  std::set<std::uint32_t> handed_out;
  for (int i = 0; i < 300; ++i) {
    take(0, 50, handed_out);
    net.run_for(milliseconds(50));
    if (servers[0]->group()->status(net.now()).epoch_number != 1) break;
  }
  EXPECT_GE(handed_out.size(), 2000u);
  servers[0]->crash();
  servers[0]->host.store = image;
  servers[0]->host.store.past = Provenance::unknown;
  heal();
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(1));
  for (int i = 0; i < 20; ++i) {
    take(0, 50, handed_out);
    net.run_for(milliseconds(200));
  }
}

TEST_F(CoopSenders, ALoneServerWithAnOldImageHandsOutNothingUnderTheOldKeys) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(2));
  const MemoryStore image = servers[0]->host.store;
  std::set<std::uint32_t> handed_out;
  for (int i = 0; i < 50; ++i) {
    take(0, 50, handed_out);
    net.run_for(milliseconds(200));
  }
  const std::string epoch = servers[0]->epoch();
  for (auto& server : servers) server->crash();
  servers[0]->host.store = image;
  servers[0]->host.store.past = Provenance::unknown;
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(servers[0]->epoch(), epoch) << "nobody needs one yet: the keys stay";
  EXPECT_FALSE(servers[0]->group()->take_sender_ids(net.now(), 1));
  ASSERT_TRUE(net.run_until([&] { return servers[0]->epoch() != epoch; }, seconds(5)));
  handed_out.clear();  // other keys
  for (int i = 0; i < 20; ++i) {
    take(0, 50, handed_out);
    net.run_for(milliseconds(200));
  }
  EXPECT_GE(handed_out.size(), 500u);
}

TEST_F(CoopSenders, ALoneServerGoesOnWithItsSenderIds) {
  make(2);
  for (auto& server : servers) server->options.state_trust = seconds(600);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(2));
  const std::string epoch = servers[0]->epoch();
  std::set<std::uint32_t> handed_out;
  take(0, 50, handed_out);
  servers[1]->crash();
  // The program alone, then the machine twice, then a snapshot of before the last two.
  MemoryStore snapshot;
  int round = 0;
  for (const Provenance past :
       {Provenance::latest, Provenance::original, Provenance::original, Provenance::original}) {
    net.run_for(seconds(5));
    take(0, 50, handed_out);
    servers[0]->crash();
    if (round == 1) snapshot = servers[0]->host.store;
    if (round == 3) servers[0]->host.store = snapshot;
    servers[0]->host.store.past = past;
    ASSERT_TRUE(start(0));
    ASSERT_TRUE(settle(0));
    const std::size_t before = handed_out.size();
    EXPECT_TRUE(net.run_until(
        [&] {
          take(0, 5, handed_out);
          return handed_out.size() > before;
        },
        seconds(60)))
        << round;
    ++round;
  }
  EXPECT_EQ(servers[0]->epoch(), epoch) << "no fresh keys were needed";
  // Of files that may be copies, or a snapshot that is too old, nobody can say what was lent since.
  for (const Provenance past : {Provenance::unknown, Provenance::original}) {
    const std::string last = servers[0]->epoch();
    servers[0]->crash();
    servers[0]->host.store.past = past;
    net.run_for(past == Provenance::original ? seconds(1300) : seconds(5));
    ASSERT_TRUE(start(0));
    ASSERT_TRUE(settle(0));
    EXPECT_FALSE(servers[0]->group()->take_sender_ids(net.now(), 1));
    EXPECT_TRUE(net.run_until([&] { return servers[0]->epoch() != last; }, seconds(5)));
    net.run_for(seconds(5));
  }
}

TEST_F(CoopSenders, SenderIdsAreNotUsedTwiceAcrossARestart) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(2));
  const auto before = servers[0]->group()->sender_ids();
  ASSERT_FALSE(before.empty());
  servers[0]->crash();
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(0) || settle(1));
  ASSERT_TRUE(
      net.run_until([&] { return !servers[0]->group()->sender_ids().empty(); }, seconds(10)));
  EXPECT_GE(servers[0]->group()->sender_ids()[0].first, before[0].end);
}

// What the first server begins by itself, without its disk, has a SID epoch of the same number as
// the group's, and the same lease.
class LostDisk : public CoopSenders {
 protected:
  void take_some(std::size_t count) {
    auto& group = *servers[0]->group();
    for (std::size_t i = 0; i < count; i += 50) {
      ASSERT_TRUE(net.run_until([&] { return !group.sender_ids().empty(); }, seconds(30)));
      take(0, 50, seen_);
      net.run_for(seconds(1));
    }
  }
  void lends_no_id_again(std::size_t count, bool restarts) {
    make(2);
    start_all();
    ASSERT_TRUE(settle(0));
    take_some(count);
    EXPECT_EQ(seen_.size(), count);
    ASSERT_TRUE(servers[0]->group()->refresh(net.now()));  // its epoch is above what is begun anew
    net.run_for(seconds(5));
    servers[0]->crash();
    erase_disk(0);
    part(0, 1);
    start_alone();
    if (restarts) {
      servers[0]->crash();  // the disk of what it has begun is the last
      start_alone();
    }
    heal();
    ASSERT_TRUE(settle(0));
    take_some(count);
    EXPECT_EQ(seen_.size(), 2 * count);
  }

 private:
  void start_alone() {
    ASSERT_TRUE(start(0));
    ASSERT_TRUE(net.run_until([&] { return servers[0]->primary(); }, seconds(30)));
    ASSERT_FALSE(servers[0]->group()->sender_ids().empty());
  }
  std::set<std::uint32_t> seen_;
};

TEST_F(LostDisk, LendsNoSenderIdOfBeforeAgain) {
  lends_no_id_again(50, false);
}

TEST_F(LostDisk, LendsNoSenderIdOfBeforeAgainAfterARestart) {
  lends_no_id_again(700, true);
}

// A rekey may be given up while its number is waited for; the next one begins where time is.
TEST_F(CoopSenders, SeqOfARekeyThatWasGivenUpIsNotUsedLater) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const coop::KekSpi kek{1, 2, 3};
  auto& primary = *servers[0]->group();
  const std::uint64_t begun = primary.time().now_ms(net.now());
  ASSERT_FALSE(primary.take_seqs(net.now(), kek, 0, 1, begun));
  net.run_for(seconds(100));
  (void)primary.take_seqs(net.now(), kek, 0, 1, begun);
  net.run_for(seconds(1));
  const auto seq = primary.take_seqs(net.now(), kek, 0, 1, begun);
  ASSERT_TRUE(seq);
  EXPECT_GE(*seq, 100u * 4 * coop::seq_slots);
}

TEST_F(CoopSenders, SeqRisesAcrossFailoverAndPartition) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const coop::KekSpi kek{1, 2, 3};
  const std::uint64_t begun = servers[0]->group()->time().now_ms(net.now());
  std::uint32_t last = 0;
  const auto take = [&](std::size_t at) {
    auto seq = servers[at]->group()->take_seqs(net.now(), kek, 0, 1, begun);
    if (!seq) {  // a reservation is on its way to the other one
      net.run_for(seconds(1));
      seq = servers[at]->group()->take_seqs(net.now(), kek, 0, 1, begun);
    }
    ASSERT_TRUE(seq);
    EXPECT_GT(*seq, last);
    last = std::max(last, *seq);
  };
  for (int i = 0; i < 300; ++i) take(0);  // a burst far above the pace of time
  net.run_for(milliseconds(100));
  servers[0]->crash();
  ASSERT_TRUE(settle(1));
  for (int i = 0; i < 10; ++i) take(1);
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(1));
  part(0, 1);
  net.run_for(seconds(300));
  take(0);
  net.run_for(seconds(1));
  take(1);  // which has heard of none of them
  net.run_for(seconds(1));
  take(0);
}

}  // namespace
}  // namespace cohort::harness
