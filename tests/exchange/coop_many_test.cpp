#include <gmock/gmock.h>

#include "tests/exchange/coop_fixture.hpp"

/// As many key servers as there can be, as much state as there can be, and IPv6 between them.
namespace cohort::harness {
namespace {

using coop::Kind;

coop::ItemKey member(int number) {
  return {Kind::member, to_bytes(as_bytes("member " + std::to_string(number)))};
}

class CoopMany : public CoopGroup {
 protected:
  [[nodiscard]] std::size_t members(std::size_t at) const {
    return servers[at]->group()->replica().all(Kind::member).size();
  }
  [[nodiscard]] bool all_have(std::size_t count) const {
    return std::all_of(servers.begin(), servers.end(), [&](const auto& server) {
      return server->group() == nullptr ||
             server->group()->replica().all(Kind::member).size() == count;
    });
  }
  [[nodiscard]] std::uint64_t data_sent(std::size_t from, std::size_t to) const {
    const auto status = servers[from]->group()->status(net.now());
    for (const auto& peer : status.peers)
      if (peer.address.address == servers[to]->host.address()) return peer.counters.data_sent;
    return 0;
  }
};

TEST_F(CoopMany, EightServersAreElectedInOneOrder) {
  make(8);
  constexpr std::uint16_t priorities[] = {5, 9, 5, 1, 9, 5, 1, 7};
  for (std::size_t i = 0; i < 8; ++i) servers[i]->options.priority = priorities[i];
  start_all();
  // Higher priority, then higher address.
  constexpr std::size_t order[] = {4, 1, 7, 5, 2, 0, 6, 3};
  ASSERT_TRUE(settle(order[0]));
  const std::string epoch = servers[0]->epoch(), first = key(0);
  for (std::size_t i = 0; i + 1 < 8; ++i) {
    servers[order[i]]->crash();
    ASSERT_TRUE(settle(order[i + 1])) << i;
    EXPECT_EQ(servers[order[i + 1]]->epoch(), epoch);
  }
  EXPECT_NE(key(order[7]), first) << "generations go on";
  for (const std::size_t back : order)
    if (!servers[back]->node) {
      ASSERT_TRUE(start(back));
    }
  ASSERT_TRUE(settle(order[7])) << "nobody pre-empts";
  for (std::size_t i = 1; i < 8; ++i) EXPECT_EQ(key(i), key(0)) << i;
}

TEST_F(CoopMany, EightServersHoldEverythingAndThenOnlyDeltasTravel) {
  make(8);
  for (std::size_t i = 0; i + 1 < 8; ++i) ASSERT_TRUE(start(i));
  ASSERT_TRUE(settle(0));
  for (int i = 0; i < 400; ++i)
    ASSERT_TRUE(servers[static_cast<std::size_t>(i) % 7]->group()->put(net.now(), member(i),
                                                                       Bytes(150, 7)));
  ASSERT_TRUE(net.run_until([&] { return all_have(400); }, seconds(20)));
  // The last one comes late: what one of the others has is all that there is.
  ASSERT_TRUE(start(7));
  ASSERT_TRUE(net.run_until([&] { return all_have(400); }, seconds(30)));
  ASSERT_TRUE(settle(0));
  net.run_for(seconds(3));
  std::map<std::pair<std::size_t, std::size_t>, std::uint64_t> before;
  for (std::size_t i = 0; i < 8; ++i)
    for (std::size_t j = 0; j < 8; ++j)
      if (i != j) before[{i, j}] = data_sent(i, j);
  servers[3]->group()->erase(net.now(), member(5));
  ASSERT_TRUE(net.run_until([&] { return all_have(399); }, seconds(5)));
  for (const auto& [pair, count] : before) {
    // A peer may pass on what it heard to whom it has not seen to have it, but nothing else.
    EXPECT_LE(data_sent(pair.first, pair.second), count + 1) << pair.first << " " << pair.second;
    if (pair.first == 3) {
      EXPECT_EQ(data_sent(3, pair.second), count + 1);
    }
  }
}

TEST_F(CoopMany, LargeStateTravelsInManySmallMessages) {
  make(3);
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(settle(0));
  constexpr std::size_t value = 2000, count = 1500;
  for (int i = 0; i < static_cast<int>(count); ++i)
    ASSERT_TRUE(servers[0]->group()->put(net.now(), member(i), Bytes(value, std::uint8_t(i))));
  ASSERT_TRUE(start(2));
  ASSERT_TRUE(net.run_until([&] { return all_have(count); }, seconds(60)));
  const std::uint64_t sent = data_sent(0, 2) + data_sent(1, 2);
  EXPECT_GE(sent, value * count / 1100) << "DATA holds 1100 octets at most";
  std::size_t largest = 0;
  for (const Datagram& datagram : net.sent) largest = std::max(largest, datagram.payload.size());
  EXPECT_LE(largest, 1280u);
  for (int i = 0; i < static_cast<int>(count); ++i) {
    const coop::Item* item = servers[2]->group()->replica().find(member(i));
    ASSERT_NE(item, nullptr);
    EXPECT_TRUE(equal(item->value.view(), Bytes(value, std::uint8_t(i)))) << i;
  }
}

class CoopOverIpv6 : public CoopMany {
 protected:
  CoopOverIpv6() { network = "fd00:9::"; }
};

TEST_F(CoopOverIpv6, ElectsReplicatesFailsOverAndComesBack) {
  make(3);
  servers[2]->options.priority = servers[0]->options.priority;
  start_all();
  ASSERT_TRUE(settle(2)) << "of equal priorities the higher address";
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE(servers[1]->group()->put(net.now(), member(i), Bytes(150, 7)));
  ASSERT_TRUE(net.run_until([&] { return all_have(100); }, seconds(20)));
  const std::string epoch = servers[0]->epoch();
  servers[2]->crash();
  ASSERT_TRUE(settle(0));
  EXPECT_EQ(servers[1]->epoch(), epoch);
  EXPECT_EQ(key(0), key(1));
  ASSERT_TRUE(start(2));
  ASSERT_TRUE(settle(0)) << "it does not pre-empt";
  EXPECT_EQ(key(2), key(0));
  std::set<std::uint32_t> ids;
  for (std::size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        net.run_until([&] { return !servers[i]->group()->sender_ids().empty(); }, seconds(10)));
    const auto taken = servers[i]->group()->take_sender_ids(net.now(), 5);
    ASSERT_TRUE(taken);
    for (const std::uint32_t id : *taken) EXPECT_TRUE(ids.insert(id).second) << id;
  }
}

TEST_F(CoopOverIpv6, APartitionHeals) {
  make(2);
  start_all();
  ASSERT_TRUE(settle(0));
  part(0, 1);
  ASSERT_TRUE(net.run_until([&] { return primaries().size() == 2; }, seconds(30)));
  net.run_for(seconds(60));  // three lifetimes of a traffic key
  EXPECT_EQ(key(0), key(1));
  heal();
  EXPECT_TRUE(settle(0));
}

}  // namespace
}  // namespace cohort::harness
