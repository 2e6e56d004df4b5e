#include "dataplane/manager.hpp"

#include <chrono>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <thread>

#include "dataplane/reasons.hpp"
#include "tests/packets/lab.hpp"
#include "tests/packets/ring_port.hpp"

namespace cohort::test {
namespace {

using namespace dataplane;

/// A member between ring ports, with worker threads.
class ManagerTest : public testing::Test {
 protected:
  void SetUp() override { start(1); }
  void start(unsigned workers) {
    start_test_eal();
    static int number = 0;
    prefix_ = fmt::format("m{}", number++);
    pool_ = rte_pktmbuf_pool_create((prefix_ + "pool").c_str(), 4095, 0, 0, 2304, SOCKET_ID_ANY);
    ASSERT_NE(pool_, nullptr);
    inside_ = std::make_unique<RingPort>(prefix_ + "i", *pool_, workers);
    outside_ = std::make_unique<RingPort>(prefix_ + "o", *pool_, workers);
    punt_ = std::make_unique<RingPort>(prefix_ + "p", *pool_, workers);
    PortPairOptions pair;
    pair.name = "wan0";
    pair.inside = inside_->device();
    pair.outside = outside_->device();
    pair.punt = punt_->device();
    pair.own_addresses = {IpAddress::parse("10.191.61.116").value()};
    pair.workers.assign(workers, std::nullopt);
    DataplaneOptions options;
    options.eal.hugepages = false;
    options.mbufs_per_pair = 2047;
    options.port_pairs.push_back(pair);
    auto manager = Manager::create(std::move(options));
    ASSERT_TRUE(manager) << manager.error().text();
    manager_ = std::move(*manager);
  }
  void TearDown() override { manager_.reset(); }

  std::string prefix_;
  rte_mempool* pool_ = nullptr;
  std::unique_ptr<RingPort> inside_;
  std::unique_ptr<RingPort> outside_;
  std::unique_ptr<RingPort> punt_;
  std::unique_ptr<Manager> manager_;
};

TEST_F(ManagerTest, PacketsPassThroughAWorkerAndBack) {
  ASSERT_TRUE(manager_->apply("wan0", protect_all(Suite::aes_256_gcm_16)));
  const Bytes inner = sized_v4(100);
  inside_->send(frame(inner));
  const auto sealed = outside_->receive();
  ASSERT_TRUE(sealed);
  const auto opened = open(make_sa(Suite::aes_256_gcm_16), packet_of(*sealed));
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->inner, inner);
  outside_->send(*sealed);
  const auto clear = inside_->receive();
  ASSERT_TRUE(clear);
  EXPECT_EQ(*clear, frame(inner));
  const Usage usage = manager_->usage("wan0");
  ASSERT_EQ(usage.sas.size(), 1u);
  EXPECT_EQ(usage.sas[0].packets_out, 1u);
  EXPECT_EQ(usage.sas[0].packets_in, 1u);
  EXPECT_EQ(usage.sas[0].bytes_in, 100u);
}

TEST_F(ManagerTest, BeforeTheFirstSnapshotNothingButControlPasses) {
  inside_->send(frame(sized_v4(100)));
  Ipv4 to_us;
  to_us.destination = "10.191.61.116";
  outside_->send(frame(ip(to_us, udp(848, 848, 20))));
  const auto punted = punt_->receive();
  ASSERT_TRUE(punted);
  Ipv4 from_us;
  from_us.source = "10.191.61.116";
  const Bytes request = frame(ip(from_us, udp(40000, 80, 20)));
  punt_->send(request);
  const auto out = outside_->receive();
  ASSERT_TRUE(out);
  EXPECT_EQ(*out, request);
  for (const NamedCounter& drop : manager_->usage("wan0").drops)
    EXPECT_EQ(drop.value, drop.name == "no_policy_match" ? 1u : 0u) << drop.name;
}

TEST_F(ManagerTest, RekeysLoseNothingAndFreeWhatTheyReplace) {
  // The new SA is there before it is used, the old one stays for reception: as the control plane
  // does it. Packets flow all the while.
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  for (std::uint32_t round = 0; round < 30; ++round) {
    Snapshot snapshot = protect_all(Suite::aes_128_gcm_16, 0x1000 + round);
    if (round > 0) {
      snapshot.sas.push_back(make_sa(Suite::aes_128_gcm_16, 0x1000 + round - 1));
      for (PolicyEntry& entry : snapshot.policy) entry.receive_spis.push_back(0x1000 + round - 1);
    }
    ASSERT_TRUE(manager_->apply("wan0", std::move(snapshot)));
    for (int k = 0; k < 20; ++k, ++sent) inside_->send(frame(sized_v4(200, sent)));
    for (int k = 0; k < 20; ++k) {
      const auto sealed = outside_->receive();
      ASSERT_TRUE(sealed) << "round " << round;
      outside_->send(*sealed);
    }
    for (int k = 0; k < 20; ++k) {
      const auto clear = inside_->receive();
      ASSERT_TRUE(clear) << "round " << round;
      EXPECT_EQ(*clear, frame(sized_v4(200, received++)));
    }
  }
  for (int i = 0; i < 1'000'000 && manager_->retired() > 0; ++i) {
    manager_->reclaim();
    std::this_thread::yield();
  }
  EXPECT_EQ(manager_->retired(), 0u);
  for (const NamedCounter& drop : manager_->usage("wan0").drops)
    EXPECT_EQ(drop.value, 0u) << drop.name;
}

TEST_F(ManagerTest, AnSaThatStaysOrComesBackGoesOnCounting) {
  const auto one_packet = [&]() -> std::uint32_t {
    inside_->send(frame(sized_v4(100)));
    const auto sealed = outside_->receive();
    const auto opened =
        sealed ? open(make_sa(Suite::aes_128_gcm_16), packet_of(*sealed)) : std::nullopt;
    return opened ? opened->sequence : 0;
  };
  ASSERT_TRUE(manager_->apply("wan0", protect_all(Suite::aes_128_gcm_16)));
  EXPECT_EQ(one_packet(), 1u);
  ASSERT_TRUE(manager_->apply("wan0", protect_all(Suite::aes_128_gcm_16)));
  EXPECT_EQ(one_packet(), 2u);
  ASSERT_TRUE(manager_->apply("wan0", Snapshot{}));
  for (int i = 0; i < 1'000'000 && manager_->retired() > 0; ++i) {
    manager_->reclaim();
    std::this_thread::yield();
  }
  // Its keys are gone by now; the numbers that they were used with are not.
  ASSERT_TRUE(manager_->apply("wan0", protect_all(Suite::aes_128_gcm_16)));
  EXPECT_EQ(one_packet(), 3u);
}

TEST_F(ManagerTest, RefusesWhatItCanNotDoAndChangesNothing) {
  ASSERT_TRUE(manager_->apply("wan0", protect_all(Suite::aes_128_gcm_16)));
  EXPECT_TRUE(manager_->apply("lan", Snapshot{}).error().is(no_such_pair));
  Snapshot short_key = protect_all(Suite::aes_128_gcm_16);
  short_key.sas[0].cipher_key = Secret(Bytes(15));
  EXPECT_TRUE(manager_->apply("wan0", std::move(short_key)).error().is(bad_sa));
  Snapshot dangling = protect_all(Suite::aes_128_gcm_16);
  dangling.policy[0].send_spi = 0x9999;
  EXPECT_TRUE(manager_->apply("wan0", std::move(dangling)).error().is(bad_policy));
  inside_->send(frame(sized_v4(100)));
  EXPECT_TRUE(outside_->receive());
}

class TwoWorkers : public ManagerTest {
 protected:
  void SetUp() override { start(2); }
};

TEST_F(TwoWorkers, NeverShareANonceOrASequenceNumber) {
  constexpr std::uint32_t each = 300;
  ASSERT_TRUE(manager_->apply("wan0", protect_all(Suite::aes_128_gcm_16)));
  for (std::uint32_t k = 0; k < each; ++k)
    for (const unsigned queue : {0u, 1u}) inside_->send(frame(sized_v4(100, k)), queue);
  std::set<Bytes> ivs;
  std::set<std::uint32_t> sequences;
  std::set<std::uint8_t> sender_ids;
  for (const unsigned queue : {0u, 1u}) {
    std::uint32_t previous = 0;
    for (std::uint32_t k = 0; k < each; ++k) {
      const auto sealed = outside_->receive(queue);
      ASSERT_TRUE(sealed);
      const Bytes packet = packet_of(*sealed);
      const auto opened = open(make_sa(Suite::aes_128_gcm_16), packet);
      ASSERT_TRUE(opened);
      EXPECT_GT(opened->sequence, previous);
      previous = opened->sequence;
      EXPECT_TRUE(sequences.insert(opened->sequence).second);
      EXPECT_TRUE(ivs.insert(Bytes(packet.begin() + 28, packet.begin() + 36)).second);
      sender_ids.insert(packet[29]);
      // Each worker receives what it sent, in its own window.
      outside_->send(*sealed, queue);
    }
    for (std::uint32_t k = 0; k < each; ++k) EXPECT_TRUE(inside_->receive(queue));
  }
  EXPECT_EQ(sender_ids, (std::set<std::uint8_t>{0x21, 0x22}));
  EXPECT_EQ(*sequences.rbegin(), 2 * each);
  for (const NamedCounter& drop : manager_->usage("wan0").drops)
    EXPECT_EQ(drop.value, 0u) << drop.name;
  EXPECT_EQ(manager_->usage("wan0").sas.at(0).packets_out, 2 * each);
}

TEST_F(TwoWorkers, BothReachTheMembersKernel) {
  ASSERT_TRUE(manager_->apply("wan0", Snapshot{}));
  Ipv4 to_us;
  to_us.destination = "10.191.61.116";
  for (const unsigned queue : {0u, 1u}) {
    outside_->send(frame(ip(to_us, udp(848, 848, 20))), queue);
    EXPECT_TRUE(punt_->receive(queue));
  }
}

TEST(Manager, SaysWhichDeviceIsMissing) {
  start_test_eal();
  PortPairOptions pair;
  pair.name = "wan0";
  pair.inside = "net_af_packet_x,iface=nowhere0";
  pair.outside = "net_null_x";
  DataplaneOptions options;
  options.eal.hugepages = false;
  options.mbufs_per_pair = 1023;
  options.port_pairs.push_back(pair);
  const auto manager = Manager::create(std::move(options));
  ASSERT_FALSE(manager);
  EXPECT_TRUE(manager.error().is(port_failed));
  EXPECT_NE(manager.error().detail().find("nowhere0"), std::string::npos);
}

}  // namespace
}  // namespace cohort::test
