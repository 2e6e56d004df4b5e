#include <atomic>
#include <gmock/gmock.h>
#include <map>
#include <set>

#include "controlplane/daemon/job_pool.hpp"
#include "controlplane/daemon/reasons.hpp"
#include "controlplane/daemon/udp_network.hpp"

namespace cohort::daemon {
namespace {

const IpAddress loopback = IpAddress::v4(0x7f000001);
const IpAddress other_loopback = IpAddress::v4(0x7f000002);

/// Ports that are free at the moment, by the kernel's own choice.
class Udp : public testing::Test {
 protected:
  static constexpr std::uint16_t base = 28480;
  Endpoint bind(const IpAddress& address) {
    for (std::uint16_t port = next_; port < base + 200; ++port) {
      bool missing = false;
      if (!network_.bind({address, port}, missing)) continue;
      EXPECT_FALSE(missing);
      next_ = static_cast<std::uint16_t>(port + 1);
      return {address, port};
    }
    ADD_FAILURE() << "no free port";
    return {};
  }
  std::uint16_t next_ = base;
  EventLoop loop_;
  std::vector<Datagram> received_;
  UdpNetwork network_{loop_, [this](const Datagram& datagram) {
                        received_.push_back(datagram);
                        loop_.stop();
                      }};
};

TEST_F(Udp, LeavesFromTheAddressThatIsNamed) {
  const Endpoint one = bind(loopback);
  const Endpoint two = bind(other_loopback);
  ASSERT_TRUE(network_.send({two, one, {1, 2, 3}}));
  loop_.run();
  ASSERT_EQ(received_.size(), 1u);
  EXPECT_EQ(received_[0].local, one);
  EXPECT_EQ(received_[0].remote, two);
  EXPECT_EQ(received_[0].payload, (Bytes{1, 2, 3}));
}

TEST_F(Udp, AWildcardSocketKnowsAndKeepsItsAddress) {
  const Endpoint any = bind(IpAddress());
  const Endpoint peer = bind(loopback);
  ASSERT_TRUE(network_.send({peer, {other_loopback, any.port}, {7}}));
  loop_.run();
  ASSERT_EQ(received_.size(), 1u);
  EXPECT_EQ(received_[0].local, (Endpoint{other_loopback, any.port}));
  // The answer comes from the address that was asked, not from the one the route would choose.
  ASSERT_TRUE(network_.send({received_[0].local, peer, {8}}));
  loop_.run();
  ASSERT_EQ(received_.size(), 2u);
  EXPECT_EQ(received_[1].remote, (Endpoint{other_loopback, any.port}));
}

TEST_F(Udp, EmptyAndLargestDatagrams) {
  const Endpoint one = bind(loopback);
  ASSERT_TRUE(network_.send({one, one, {}}));
  loop_.run();
  ASSERT_TRUE(network_.send({one, one, Bytes(65507, 1)}));
  loop_.run();
  ASSERT_EQ(received_.size(), 2u);
  EXPECT_EQ(received_[0].payload.size(), 0u);
  EXPECT_EQ(received_[1].payload.size(), 65507u);
  const Status too_large = network_.send({one, one, Bytes(65508)});
  ASSERT_FALSE(too_large);
  EXPECT_TRUE(too_large.error().is(too_large_datagram));
  EXPECT_EQ(network_.counters().send_failed, 1u);
}

TEST_F(Udp, AnAddressThatIsNotHereYetIsSaid) {
  bool missing = false;
  ASSERT_TRUE(network_.bind({IpAddress::v4(0xc0000201), base + 300}, missing));  // 192.0.2.1
  EXPECT_TRUE(missing);
}

// A rekey to a multicast address reaches a socket that is bound to one address of ours.
TEST_F(Udp, HearsAGroupOnceItHasJoinedAndNotAfterItLeft) {
  const Endpoint member = bind(loopback);
  const Endpoint server = bind(other_loopback);
  const IpAddress group = IpAddress::v4(0xef4d0101);  // 239.77.1.1
  ASSERT_TRUE(network_.join(member, group));
  ASSERT_TRUE(network_.join(member, group));
  ASSERT_TRUE(network_.send({server, {group, member.port}, {9}}));
  loop_.run();
  ASSERT_EQ(received_.size(), 1u);
  EXPECT_EQ(received_[0].local, member) << "the answer leaves from our own address";
  EXPECT_EQ(received_[0].remote, server);
  EXPECT_EQ(network_.local_at(loopback), member);
  network_.leave(member, group);
  ASSERT_TRUE(network_.send({server, {group, member.port}, {9}}));
  ASSERT_TRUE(network_.send({server, member, {10}}));
  loop_.run();
  ASSERT_EQ(received_.size(), 2u);
  EXPECT_EQ(received_[1].payload, Bytes{10});
}

// What comes to a group may be what ends it: its socket is being read from at that moment.
TEST(UdpGroup, CanBeLeftByWhatItBrought) {
  EventLoop loop;
  Endpoint member{loopback, 28790};
  const Endpoint server{other_loopback, 28790};
  const IpAddress group = IpAddress::v4(0xef4d0102);  // 239.77.1.2
  std::vector<Bytes> received;
  std::unique_ptr<UdpNetwork> network;
  network = std::make_unique<UdpNetwork>(loop, [&](const Datagram& datagram) {
    received.push_back(datagram.payload);
    network->leave(member, group);
    if (datagram.payload == Bytes{3}) loop.stop();
  });
  bool missing = false;
  ASSERT_TRUE(network->bind(member, missing));
  ASSERT_TRUE(network->bind(server, missing));
  ASSERT_TRUE(network->join(member, group));
  ASSERT_TRUE(network->send({server, {group, member.port}, {1}}));
  ASSERT_TRUE(network->send({server, {group, member.port}, {2}}));
  loop.post([&] { ASSERT_TRUE(network->send({server, member, {3}})); });
  loop.run();
  EXPECT_EQ(received, (std::vector<Bytes>{{1}, {3}}));
  EXPECT_EQ(network->counters().received, 2u);
}

TEST_F(Udp, NoSocketOfThatFamily) {
  const Endpoint one = bind(loopback);
  const Status sent = network_.send({one, {IpAddress::parse("::1").value(), 848}, {1}});
  ASSERT_FALSE(sent);
  EXPECT_TRUE(sent.error().is(send_failed));
}

// An end of the daemon doesn't wait for a key of many bits, which may take a minute.
TEST(JobPoolThreads, LongWorkEndsWithThePool) {
  EventLoop loop;
  for (const unsigned bits : {8192u, 8191u}) {
    std::atomic<bool> begun{false};
    std::atomic<bool> made{true};
    {
      JobPool pool(loop, 1);
      pool.run([&, stop = &pool.ending()]() -> EventLoop::Work {
        begun = true;
        begun.notify_one();
        // Not a race: whatever it has come to, it goes on until it is told to stop.
        bool ended = false;
        while (!ended) ended = !crypto::PrivateKey::generate_rsa(bits, stop);
        made = false;
        return [] {};
      });
      begun.wait(false);
    }
    EXPECT_FALSE(made) << bits;
  }
}

TEST(JobPoolThreads, EachJobComesBackOnceAndLater) {
  EventLoop loop;
  JobPool pool(loop, 3);
  std::map<JobId, int> done;
  constexpr std::size_t count = 40;
  pool.on_done([&](JobId id, JobResult result) {
    EXPECT_TRUE(result);
    ++done[id];
    if (done.size() == count) loop.stop();
  });
  std::set<JobId> posted;
  for (std::size_t i = 0; i < count; ++i) {
    posted.insert(pool.post(DhGenerateJob{crypto::DhGroup::ecp256}));
  }
  EXPECT_TRUE(done.empty());
  EXPECT_EQ(posted.size(), count);
  loop.run();
  for (const auto& [id, times] : done) {
    EXPECT_TRUE(posted.contains(id));
    EXPECT_EQ(times, 1);
  }
}

}  // namespace
}  // namespace cohort::daemon
