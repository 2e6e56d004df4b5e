#include "tests/sim/network.hpp"

#include <gtest/gtest.h>

namespace cohort::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Net {
  explicit Net(std::uint64_t seed = 1) : network(scheduler, log, Prng(seed)) {
    for (std::uint32_t i = 0; i < 3; ++i)
      network.attach(address(i), std::string(1, static_cast<char>('a' + i)),
                     [this, i](const Datagram& datagram) { got[i].push_back(datagram); });
  }
  static IpAddress address(std::uint32_t i) { return IpAddress::v4(0x0a000001 + i); }
  void send(std::uint32_t from, std::uint32_t to, std::uint8_t mark) {
    network.send({{address(from), 848}, {address(to), 848}, Bytes(40, mark)});
  }
  Scheduler scheduler;
  EventLog log;
  Network network;
  std::vector<Datagram> got[3];
};

TEST(Network, DeliversInTheReceiversView) {
  Net net;
  net.send(0, 1, 7);
  net.scheduler.run_for(milliseconds(4));
  EXPECT_TRUE(net.got[1].empty());
  net.scheduler.run_for(milliseconds(12));
  ASSERT_EQ(net.got[1].size(), 1u);
  EXPECT_EQ(net.got[1][0].local.address, Net::address(1));
  EXPECT_EQ(net.got[1][0].remote.address, Net::address(0));
  EXPECT_EQ(net.got[1][0].payload, Bytes(40, 7));
  EXPECT_TRUE(net.got[2].empty());
}

TEST(Network, LosesCopiesAndDamagesAtTheGivenRates) {
  Net net;
  LinkOptions bad;
  bad.loss_permille = 300;
  bad.duplicate_permille = 100;
  bad.corrupt_permille = 50;
  net.network.set_default(bad);
  for (int i = 0; i < 10'000; ++i) net.send(0, 1, 7);
  net.scheduler.run_for(seconds(60));
  EXPECT_NEAR(static_cast<double>(net.network.counters().lost), 3000, 200);
  EXPECT_NEAR(static_cast<double>(net.network.counters().duplicated), 1000, 150);
  std::size_t damaged = 0;
  for (const auto& datagram : net.got[1]) damaged += datagram.payload != Bytes(40, 7) ? 1 : 0;
  EXPECT_EQ(damaged, net.network.counters().corrupted);
  EXPECT_NEAR(static_cast<double>(damaged), 350, 80);
  EXPECT_EQ(net.network.in_flight(), 0u);
}

TEST(Network, ReordersWhenDelaysVary) {
  Net net;
  LinkOptions wide;
  wide.delay_min = milliseconds(1);
  wide.delay_max = milliseconds(500);
  net.network.set_default(wide);
  for (std::uint8_t i = 0; i < 100; ++i) net.send(0, 1, i);
  net.scheduler.run_for(seconds(1));
  ASSERT_EQ(net.got[1].size(), 100u);
  bool out_of_order = false;
  for (std::size_t i = 1; i < 100; ++i)
    out_of_order |= net.got[1][i].payload[0] < net.got[1][i - 1].payload[0];
  EXPECT_TRUE(out_of_order);
}

TEST(Network, CutsOneWayTwoWaysAndHeals) {
  Net net;
  net.network.block(Net::address(0), Net::address(1));
  net.send(0, 1, 1);
  net.send(1, 0, 2);
  net.scheduler.run_for(seconds(1));
  EXPECT_TRUE(net.got[1].empty());
  EXPECT_EQ(net.got[0].size(), 1u);
  net.network.partition({Net::address(0)}, {Net::address(1), Net::address(2)});
  net.send(1, 0, 3);
  net.send(2, 1, 4);
  net.scheduler.run_for(seconds(1));
  EXPECT_EQ(net.got[0].size(), 1u);
  EXPECT_EQ(net.got[1].size(), 1u);
  net.network.heal();
  net.network.isolate(Net::address(2), true, false);
  net.send(0, 2, 5);
  net.send(2, 0, 6);
  net.scheduler.run_for(seconds(1));
  EXPECT_TRUE(net.got[2].empty());
  EXPECT_EQ(net.got[0].size(), 2u);
  EXPECT_EQ(net.network.counters().blocked, 3u);
}

TEST(Network, FiltersByWhatTheySee) {
  Net net;
  const auto filter =
      net.network.add_filter([](const Datagram& datagram) { return datagram.payload[0] != 9; });
  net.send(0, 1, 9);
  net.send(0, 1, 8);
  net.scheduler.run_for(seconds(1));
  ASSERT_EQ(net.got[1].size(), 1u);
  EXPECT_EQ(net.got[1][0].payload[0], 8);
  net.network.remove_filter(filter);
  net.send(0, 1, 9);
  net.scheduler.run_for(seconds(1));
  EXPECT_EQ(net.got[1].size(), 2u);
}

TEST(Network, ReplaysOldDatagramsAndDropsLongOnes) {
  Net net;
  LinkOptions options;
  options.replay_permille = 1000;
  options.mtu = 39;
  net.network.set_link(Net::address(1), Net::address(0), options);
  net.send(1, 0, 1);
  options.mtu = 40;
  net.network.set_link(Net::address(0), Net::address(1), options);
  net.send(0, 1, 1);
  net.scheduler.run_for(seconds(1));
  net.send(0, 1, 2);
  net.scheduler.run_for(seconds(60));
  EXPECT_TRUE(net.got[0].empty());
  EXPECT_EQ(net.network.counters().too_long, 1u);
  ASSERT_EQ(net.got[1].size(), 3u);
  EXPECT_EQ(net.network.counters().replayed, 1u);
}

TEST(Network, SendsToEveryMemberOfAGroup) {
  Net net;
  const auto group = IpAddress::v4(0xef000001);
  net.network.join(group, Net::address(1));
  net.network.join(group, Net::address(2));
  net.network.send({{Net::address(0), 848}, {group, 848}, Bytes(4, 1)});
  net.scheduler.run_for(seconds(1));
  EXPECT_EQ(net.got[1].size(), 1u);
  EXPECT_EQ(net.got[2].size(), 1u);
  net.network.leave(group, Net::address(2));
  net.network.send({{Net::address(0), 848}, {group, 848}, Bytes(4, 1)});
  net.scheduler.run_for(seconds(1));
  EXPECT_EQ(net.got[1].size(), 2u);
  EXPECT_EQ(net.got[2].size(), 1u);
}

TEST(Network, IsTheSameForTheSameSeed) {
  const auto run = [](std::uint64_t seed) {
    Net net(seed);
    LinkOptions bad;
    bad.loss_permille = 200;
    bad.duplicate_permille = 200;
    bad.corrupt_permille = 200;
    bad.replay_permille = 200;
    net.network.set_default(bad);
    for (std::uint8_t i = 0; i < 200; ++i) net.send(i % 3, (i + 1) % 3, i);
    net.scheduler.run_for(seconds(60));
    return net.log.hash();
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

}  // namespace
}  // namespace cohort::sim
