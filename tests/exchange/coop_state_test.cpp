#include <random>

#include "tests/exchange/coop_fixture.hpp"

namespace cohort::harness {
namespace {

namespace events = coop::events;
using coop::EpochCause;
using coop::Kind;

coop::ItemKey member(int number) {
  return {Kind::member, to_bytes(as_bytes("member " + std::to_string(number)))};
}

// ---- replication ----------------------------------------------------------------------------

class CoopState : public CoopGroup {
 protected:
  void erase_disk(std::size_t of) {
    for (int i = 0; i <= 65; ++i)
      ASSERT_TRUE(servers[of]->host.store.remove("coop/" + to_hex(as_bytes("GETVPN")) + "/" +
                                                 std::to_string(i)));
  }
  void add_members(std::size_t at, int from, int count) {
    for (int i = from; i < from + count; ++i)
      ASSERT_TRUE(servers[at]->group()->put(net.now(), member(i), Bytes(150, 7)));
  }
  [[nodiscard]] std::size_t members(std::size_t at) const {
    return servers[at]->group()->replica().all(Kind::member).size();
  }
  /// Ids for a member; none is ever there twice.
  void take(std::size_t at, std::size_t count, std::set<std::uint32_t>& handed_out) {
    const auto ids = servers[at]->group()->take_sender_ids(net.now(), count);
    if (!ids) return;
    EXPECT_EQ(ids->size(), count);
    for (const std::uint32_t id : *ids) EXPECT_TRUE(handed_out.insert(id).second) << id;
  }
  [[nodiscard]] std::uint32_t purge_number(std::size_t at) const {
    return servers[at]->group()->sid_epoch();
  }
};

TEST_F(CoopState, MembersAreHeldByAllServers) {
  make(3);
  start_all();
  ASSERT_TRUE(settle(0));
  add_members(0, 0, 600);
  add_members(1, 600, 400);
  EXPECT_TRUE(net.run_until(
      [&] { return members(0) == 1000 && members(1) == 1000 && members(2) == 1000; }, seconds(20)));
}

TEST_F(CoopState, AServerThatComesLateGetsEverything) {
  make(2);
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(0));
  add_members(0, 0, 1000);
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(members(1), 1000u);
}

TEST_F(CoopState, AfterTheFullSynchronizationOnlyDeltasTravel) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  add_members(0, 0, 1000);
  ASSERT_TRUE(net.run_until([&] { return members(1) == 1000; }, seconds(20)));
  net.run_for(seconds(2));
  const auto data = [&] {
    return servers[0]->group()->status(net.now()).peers[0].counters.data_sent;
  };
  const auto before = data();
  servers[0]->group()->erase(net.now(), member(5));
  EXPECT_TRUE(net.run_until([&] { return members(1) == 999; }, seconds(5)));
  EXPECT_LE(data(), before + 1);
}

TEST_F(CoopState, ItIsReplicatedOverABadNetwork) {
  make(2);
  std::mt19937_64 random(5);
  net.fate = [&random](const Datagram&) {
    Fate fate;
    fate.copies = random() % 100 < 20 ? 0 : random() % 100 < 10 ? 2 : 1;
    fate.extra_delay = milliseconds(random() % 50);
    return fate;
  };
  start_all();
  ASSERT_TRUE(settle(0, seconds(60)));
  add_members(0, 0, 500);
  EXPECT_TRUE(net.run_until([&] { return members(1) == 500; }, seconds(60)));
}

TEST_F(CoopState, AServerRestartedAloneComesBackWithTheGroup) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  add_members(0, 0, 50);
  const std::string epoch = servers[0]->epoch();
  net.run_for(seconds(2));
  servers[0]->crash();
  servers[1]->crash();
  net.run_for(seconds(2));
  const std::string before = epoch;
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(settle(1));
  EXPECT_EQ(servers[1]->epoch(), before);
  EXPECT_EQ(members(1), 50u);
}

TEST_F(CoopState, DamagedStateIsRefusedWithAWayOut) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  add_members(1, 0, 200);
  net.run_for(seconds(2));
  servers[1]->crash();
  const std::string name = "coop/" + to_hex(as_bytes("GETVPN")) + "/";
  Bytes blob = **servers[1]->host.store.get(name + "0");
  blob.resize(blob.size() / 2);
  ASSERT_TRUE(servers[1]->host.store.put(name + "0", blob));
  const auto refused = start(1);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(coop::coop_corrupt_state));
  servers[1]->crash();
  erase_disk(1);
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(members(1), 200u);
}

// ---- derived keys, partition and merge --------------------------------------------------------

TEST_F(CoopState, BothSidesOfAPartitionComeToTheSameKeysForTenLifetimes) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string first = key(0);
  part(0, 1);
  ASSERT_TRUE(net.run_until([&] { return primaries().size() == 2; }, seconds(20)));
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) {
    net.run_for(seconds(2));
    ASSERT_EQ(key(0), key(1)) << i;
    keys.insert(key(0));
  }
  EXPECT_GE(keys.size(), 11u);  // 200 s with a period of 16 s
  EXPECT_NE(key(0), first);
  const std::string epoch = servers[0]->epoch();
  heal();
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(servers[0]->epoch(), epoch);
  EXPECT_EQ(servers[1]->epoch(), epoch);
}

TEST_F(CoopState, RandomKeysDifferInAPartitionAndOneEpochRemains) {
  make(2);
  for (auto& server : servers) server->options.key_source = coop::KeySource::random;
  start_all();
  ASSERT_TRUE(settle(0));
  const std::string first = servers[0]->epoch();
  net.run_for(seconds(40));
  EXPECT_NE(servers[0]->epoch(), first);  // each generation is an epoch
  ASSERT_TRUE(agree());
  part(0, 1);
  net.run_for(seconds(60));
  EXPECT_NE(key(0), key(1));
  heal();
  ASSERT_TRUE(settle(0));
  // What the loser's members still send with is received on both sides.
  for (const std::size_t i : {0u, 1u}) EXPECT_FALSE(servers[i]->group()->old_epochs().empty()) << i;
}

TEST_F(CoopState, AnEvictionIsReplicatedBeforeItTakesEffect) {
  make(3);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(2));
  const std::string before = servers[0]->epoch();
  ASSERT_TRUE(servers[0]->group()->exclude(net.now(), EpochCause::eviction));
  EXPECT_EQ(servers[0]->epoch(), before);  // prepared only
  // Dead at this very moment: the others have it, or nobody has used it.
  net.run_for(milliseconds(2));
  ASSERT_TRUE(net.run_until([&] { return servers[0]->epoch() != before; }, seconds(2)));
  const std::string after = servers[0]->epoch();
  servers[0]->crash();
  ASSERT_TRUE(settle(1));
  EXPECT_EQ(servers[1]->epoch(), after);
  EXPECT_EQ(servers[2]->epoch(), after);
}

TEST_F(CoopState, APreparedEpochIsCompletedByTheNextPrimary) {
  make(3);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(2));
  const std::string before = servers[1]->epoch();
  // Server 2 does not acknowledge, so the primary waits; then it dies.
  cut(2, 0);
  ASSERT_TRUE(servers[0]->group()->exclude(net.now(), EpochCause::eviction));
  net.run_for(milliseconds(500));
  EXPECT_EQ(servers[0]->epoch(), before);
  servers[0]->crash();
  heal();
  ASSERT_TRUE(settle(1));
  EXPECT_NE(servers[1]->epoch(), before);
  EXPECT_EQ(servers[1]->epoch(), servers[2]->epoch());
}

TEST_F(CoopState, EvictionInAPartitionNow) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  part(0, 1);
  net.run_for(seconds(10));
  const std::string before = servers[1]->epoch();
  ASSERT_TRUE(servers[1]->group()->exclude(net.now(), EpochCause::eviction));
  EXPECT_NE(servers[1]->epoch(), before);
  EXPECT_EQ(servers[0]->epoch(), before);
  const std::string evicted = servers[1]->epoch();
  heal();
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(servers[0]->epoch(), evicted);  // the higher epoch wins, not the higher priority
  EXPECT_TRUE(servers[0]->group()->old_epochs().empty());  // whose keys the evicted member holds
}

TEST_F(CoopState, EvictionInAPartitionAtMerge) {
  make(2);
  for (auto& server : servers)
    server->options.evict_in_partition = coop::EvictInPartition::at_merge;
  start_all();
  ASSERT_TRUE(settle(0));
  part(0, 1);
  net.run_for(seconds(10));
  const std::string before = servers[0]->epoch();
  const auto refused = servers[0]->group()->exclude(net.now(), EpochCause::eviction);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(coop::coop_partition));
  net.run_for(seconds(10));
  EXPECT_EQ(servers[0]->epoch(), before);
  heal();
  ASSERT_TRUE(net.run_until([&] { return servers[0]->epoch() != before; }, seconds(20)));
  EXPECT_TRUE(settle(0));
}

TEST_F(CoopState, EvictionsOnBothSidesMakeAnEpochAboveBoth) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  part(0, 1);
  net.run_for(seconds(10));
  for (auto& server : servers)
    ASSERT_TRUE(server->group()->exclude(net.now(), EpochCause::eviction));
  const std::string one = servers[0]->epoch(), other = servers[1]->epoch();
  EXPECT_NE(one, other);
  heal();
  ASSERT_TRUE(net.run_until(
      [&] { return agree() && servers[0]->epoch() != one && servers[0]->epoch() != other; },
      seconds(30)));
  EXPECT_TRUE(settle(0));
}

TEST_F(CoopState, AnOldDiskImageDoesNoHarmWhileAPeerLives) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(2));
  const MemoryStore image = servers[1]->host.store;
  servers[1]->group()->spent_sender_ids(net.now(),
                                        servers[1]->group()->sender_ids()[0].first + 400);
  ASSERT_TRUE(servers[0]->group()->exclude(net.now(), EpochCause::eviction));
  net.run_for(seconds(5));
  const auto ids = servers[1]->group()->sender_ids();
  ASSERT_FALSE(ids.empty());
  servers[1]->group()->spent_sender_ids(net.now(), ids[0].first + 400);
  net.run_for(seconds(5));
  const std::uint32_t reserved = servers[1]->group()->sender_ids()[0].end;
  const std::string epoch = servers[0]->epoch();
  servers[1]->crash();
  servers[1]->host.store = image;
  servers[1]->host.store.past = Provenance::unknown;
  ASSERT_TRUE(start(1));
  EXPECT_TRUE(servers[1]->group()->sender_ids().empty());
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(servers[1]->epoch(), epoch);
  ASSERT_TRUE(
      net.run_until([&] { return !servers[1]->group()->sender_ids().empty(); }, seconds(10)));
  EXPECT_GE(servers[1]->group()->sender_ids()[0].first, reserved);
}

// ---- sender ids, SEQ ----------------------------------------------------------------------------

TEST_F(CoopState, SenderIdsOfServersNeverMeetAlsoInAPartition) {
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

TEST_F(CoopState, AServerThatRunsOutBorrowsAndThenThePrimaryBeginsFreshKeys) {
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

TEST_F(CoopState, AtMergeTheLackOfSenderIdsWaitsForTheOthers) {
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
TEST_F(CoopState, AnOldImageOfAPartitionHandsOutNoIdTwice) {
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

TEST_F(CoopState, ALoneServerWithAnOldImageHandsOutNothingUnderTheOldKeys) {
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

TEST_F(CoopState, ALoneServerGoesOnWithItsSenderIds) {
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
  // Of a snapshot that is too old nobody can say what was lent since.
  servers[0]->crash();
  net.run_for(seconds(1300));
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(settle(0));
  EXPECT_FALSE(servers[0]->group()->take_sender_ids(net.now(), 1));
  EXPECT_TRUE(net.run_until([&] { return servers[0]->epoch() != epoch; }, seconds(5)));
}

TEST_F(CoopState, SenderIdsAreNotUsedTwiceAcrossARestart) {
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

// What it began by itself, without its disk, has a SID epoch of the same number as the group's.
TEST_F(CoopState, ALostDiskLendsNoSenderIdOfBeforeAgain) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  std::set<std::uint32_t> seen;
  const auto take = [&] {
    auto& group = *servers[1]->group();
    ASSERT_TRUE(net.run_until([&] { return !group.sender_ids().empty(); }, seconds(30)));
    const auto ids = group.take_sender_ids(net.now(), 3);
    ASSERT_TRUE(ids);
    for (const std::uint32_t id : *ids) EXPECT_TRUE(seen.insert(id).second) << id;
  };
  take();
  ASSERT_TRUE(servers[0]->group()->refresh(net.now()));  // its epoch is above what is begun anew
  net.run_for(seconds(5));
  servers[1]->crash();
  erase_disk(1);
  part(0, 1);
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(net.run_until([&] { return servers[1]->primary(); }, seconds(30)));
  ASSERT_FALSE(servers[1]->group()->sender_ids().empty());
  heal();
  ASSERT_TRUE(settle(0));
  take();
}

// A rekey may be given up while its number is waited for; the next one begins where time is.
TEST_F(CoopState, SeqOfARekeyThatWasGivenUpIsNotUsedLater) {
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

TEST_F(CoopState, SeqRisesAcrossFailoverAndPartition) {
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

// ---- what the operator sees (S21, S22) ----------------------------------------------------------

TEST_F(CoopState, StatusComesFromLiveState) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  add_members(0, 0, 3);
  net.run_for(milliseconds(5300));
  const auto primary = servers[0]->node->coop.status(net.now()).at(0);
  EXPECT_EQ(primary.group_name, "GETVPN");
  EXPECT_EQ(primary.group_handle, 1u);
  EXPECT_EQ(primary.local.address.text(), "10.9.0.1");
  EXPECT_EQ(primary.priority, 100);
  EXPECT_EQ(primary.role, coop::Role::primary);
  EXPECT_EQ(primary.refresh_policy, milliseconds(1000));
  EXPECT_GT(primary.refresh_remaining, milliseconds(0));
  EXPECT_LE(primary.refresh_remaining, milliseconds(1000));
  EXPECT_GT(primary.sequence, 5u);
  EXPECT_EQ(primary.members, 3u);
  EXPECT_EQ(primary.sids_leased, 32768u);
  ASSERT_EQ(primary.peers.size(), 1u);
  const auto& peer = primary.peers[0];
  EXPECT_EQ(peer.address.address.text(), "10.9.0.2");
  EXPECT_EQ(peer.version_major, 1);
  EXPECT_EQ(peer.priority, 90);
  EXPECT_EQ(peer.role, coop::Role::secondary);
  EXPECT_EQ(peer.reach, coop::Reach::alive);
  EXPECT_TRUE(peer.ike_established);
  EXPECT_TRUE(peer.synchronized);
  EXPECT_EQ(peer.clients, coop::our_clients());
  EXPECT_GT(peer.counters.announces_sent, 5u);
  EXPECT_GT(peer.counters.announces_received, 5u);
  EXPECT_GT(peer.counters.octets_sent, 1000u);
  const auto secondary = servers[1]->node->coop.status(net.now()).at(0);
  EXPECT_EQ(secondary.role, coop::Role::secondary);
  EXPECT_EQ(secondary.primary, primary.local.address);
  EXPECT_EQ(secondary.periodic, milliseconds(2000));
  EXPECT_GT(secondary.periodic_remaining, milliseconds(500));
  EXPECT_EQ(secondary.peers[0].sequence_received, primary.peers[0].sequence_sent);
  EXPECT_EQ(secondary.epoch_number, primary.epoch_number);
}

}  // namespace
}  // namespace cohort::harness
