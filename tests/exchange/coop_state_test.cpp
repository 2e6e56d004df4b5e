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

// ---- replication --------------------------------------------------------------------------------

class CoopState : public CoopGroup {
 protected:
  void add_members(std::size_t at, int from, int count) {
    for (int i = from; i < from + count; ++i)
      ASSERT_TRUE(servers[at]->group()->put(net.now(), member(i), Bytes(150, 7)));
  }
  [[nodiscard]] std::size_t members(std::size_t at) const {
    return servers[at]->group()->replica().all(Kind::member).size();
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

// ---- derived keys, partition and merge ----------------------------------------------------------

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

// ---- what the operator sees ---------------------------------------------------------------------

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

// Numbers belong to a phase 1: under a new one they begin anew, also here.
TEST_F(CoopState, StatusShowsTheSequenceNumberOfTheNewestPhase1) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(30));
  const auto peer = [this](std::size_t i) {
    return servers[i]->node->coop.status(net.now()).at(0).peers[0];
  };
  const auto before = peer(1).sequence_received;
  servers[0]->crash();
  ASSERT_TRUE(start(0));
  net.run_for(milliseconds(3500));
  EXPECT_LT(peer(0).sequence_sent, before);
  EXPECT_EQ(peer(1).sequence_received, peer(0).sequence_sent);
}

}  // namespace
}  // namespace cohort::harness
