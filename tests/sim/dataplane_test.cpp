#include "tests/sim/dataplane.hpp"

#include <gtest/gtest.h>

#include "tests/sim/traffic.hpp"

namespace cohort::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const IpAddress left = IpAddress::v4(0x0a000001);
const IpAddress right = IpAddress::v4(0x0a000101);

dataplane::Sa sa(std::uint32_t spi, std::uint8_t key, std::vector<std::uint32_t> sids = {7}) {
  dataplane::Sa made;
  made.spi = spi;
  made.suite = dataplane::Suite::aes_128_gcm_16;
  made.cipher_key = Secret(Bytes(16, key));
  made.salt = Secret(Bytes(4, key));
  made.sender_ids = std::move(sids);
  made.sid_bits = 16;
  return made;
}

dataplane::Snapshot snapshot(std::uint32_t send, std::vector<dataplane::Sa> sas) {
  dataplane::Snapshot made;
  dataplane::PolicyEntry entry;
  entry.selector.source = entry.selector.destination = Prefix::any(Family::v4);
  entry.send_spi = send;
  for (const auto& each : sas) entry.receive_spis.push_back(each.spi);
  made.policy.push_back(entry);
  made.sas = std::move(sas);
  return made;
}

template <typename... Sas>
dataplane::Snapshot with(std::uint32_t send, Sas&&... sas) {
  std::vector<dataplane::Sa> all;
  (all.push_back(std::forward<Sas>(sas)), ...);
  return snapshot(send, std::move(all));
}

struct Plane {
  Scheduler scheduler;
  unsigned installed = 0;
  SimDataplane a{scheduler, Prng(1), [this](const dataplane::Snapshot&) { ++installed; }};
  SimDataplane b{scheduler, Prng(2), [](const dataplane::Snapshot&) {}};
  Fate pass() {
    const auto sent = a.send(left, right);
    return sent.fate == Fate::accepted ? b.receive(sent.packet) : sent.fate;
  }
  void settle() { scheduler.run_for(milliseconds(10)); }
};

TEST(SimDataplane, ReadsWhatItHasTheKeyFor) {
  Plane plane;
  EXPECT_EQ(plane.pass(), Fate::dropped_by_policy);
  ASSERT_TRUE(plane.a.apply("p", with(0x100, sa(0x100, 1))));
  EXPECT_EQ(plane.pass(), Fate::dropped_by_policy) << "workers change over a moment later";
  plane.settle();
  EXPECT_EQ(plane.installed, 1u);
  EXPECT_EQ(plane.pass(), Fate::unknown_spi);
  EXPECT_EQ(plane.b.usage("p").unknown_spi, 0x100u);
  ASSERT_TRUE(plane.b.apply("p", with(0x100, sa(0x100, 2))));
  plane.settle();
  EXPECT_EQ(plane.pass(), Fate::authentication_failed);
  ASSERT_TRUE(plane.b.apply("p", with(0x100, sa(0x100, 1))));
  plane.settle();
  EXPECT_EQ(plane.pass(), Fate::accepted);
  plane.b.reset();
  EXPECT_EQ(plane.pass(), Fate::unknown_spi);
}

TEST(SimDataplane, KeepsCountersOfAnSaThatStays) {
  Plane plane;
  ASSERT_TRUE(plane.a.apply("p", with(0x100, sa(0x100, 1, {7, 8}))));
  plane.settle();
  const auto first = plane.a.send(left, right).packet;
  const auto second = plane.a.send(left, right).packet;
  EXPECT_EQ(first.sender_id, 7u);
  EXPECT_EQ(second.sender_id, 8u) << "each worker sends with an id of its own";
  ASSERT_TRUE(plane.a.apply("p", with(0x100, sa(0x100, 1, {7, 8}), sa(0x200, 2))));
  plane.settle();
  const auto third = plane.a.send(left, right).packet;
  EXPECT_EQ(third.counter, 1u);
  EXPECT_EQ(third.sequence, 3u);
  ASSERT_TRUE(plane.a.apply("p", with(0x200, sa(0x200, 2))));
  ASSERT_TRUE(plane.a.apply("p", with(0x100, sa(0x100, 1, {7, 8}))));
  plane.settle();
  EXPECT_EQ(plane.a.send(left, right).packet.counter, 0u) << "one that was gone starts again";
}

TEST(SimDataplane, NeedsASenderIdAndAnOutboundSa) {
  Plane plane;
  ASSERT_TRUE(plane.a.apply("p", with(0x100, sa(0x100, 1, {}))));
  plane.settle();
  EXPECT_EQ(plane.pass(), Fate::no_sender_id);
  ASSERT_TRUE(plane.a.apply("p", with(0, sa(0x100, 1))));
  plane.settle();
  EXPECT_EQ(plane.pass(), Fate::no_outbound_sa);
  EXPECT_FALSE(plane.a.can_send());
}

TEST(SimDataplane, DropsReplaysAndWhatIsTooOld) {
  Plane plane;
  ASSERT_TRUE(plane.a.apply("p", with(0x100, sa(0x100, 1))));
  ASSERT_TRUE(plane.b.apply("p", with(0x100, sa(0x100, 1))));
  plane.settle();
  const auto early = plane.a.send(left, right).packet;
  const auto next = plane.a.send(left, right).packet;
  EXPECT_EQ(plane.b.receive(next), Fate::accepted);
  EXPECT_EQ(plane.b.receive(early), Fate::accepted) << "late, within the window";
  EXPECT_EQ(plane.b.receive(early), Fate::replayed);
  EspPacket old = plane.a.send(left, right).packet;
  for (int i = 0; i < 64; ++i) EXPECT_EQ(plane.pass(), Fate::accepted);
  EXPECT_EQ(plane.b.receive(old), Fate::replayed) << "64 behind is outside a window of 64";
}

TEST(SimDataplane, GoesByTimeWhereTheSaSaysSo) {
  Plane plane;
  for (SimDataplane* side : {&plane.a, &plane.b}) {
    auto timed = sa(0x100, 1);
    timed.replay = dataplane::ReplayKind::time;
    timed.replay_window = 1000;
    auto made = with(0x100, std::move(timed));
    // The sender's clock is half a second ahead.
    made.group_time_offset_ms = 1'000'000 + (side == &plane.a ? 500 : 0);
    ASSERT_TRUE(side->apply("p", std::move(made)));
  }
  plane.settle();
  const auto packet = plane.a.send(left, right).packet;
  EXPECT_EQ(packet.time_window, seconds(1));
  EXPECT_EQ(plane.b.receive(packet), Fate::accepted);
  EXPECT_EQ(plane.b.receive(packet), Fate::accepted) << "within the window";
  EXPECT_EQ(plane.b.usage("p").sas[0].time_skew_ms, 500);
  plane.scheduler.run_for(milliseconds(1490));
  EXPECT_EQ(plane.b.receive(packet), Fate::accepted);
  plane.scheduler.run_for(milliseconds(30));
  EXPECT_EQ(plane.b.receive(packet), Fate::replayed) << "after it";
  EXPECT_EQ(plane.pass(), Fate::accepted);
}

TEST(SimDataplane, InnerAddressesMustMatchThePolicyOfTheSa) {
  Plane plane;
  ASSERT_TRUE(plane.a.apply("p", with(0x100, sa(0x100, 1))));
  auto other = with(0x100, sa(0x100, 1));
  other.policy[0].receive_spis.clear();
  ASSERT_TRUE(plane.b.apply("p", std::move(other)));
  plane.settle();
  EXPECT_EQ(plane.pass(), Fate::policy_mismatch);
}

TEST(SimDataplane, ClearTrafficIsDroppedWhereItShouldHaveBeenProtected) {
  Plane plane;
  dataplane::Snapshot open;
  open.otherwise = dataplane::Action::bypass;
  ASSERT_TRUE(plane.a.apply("p", std::move(open)));
  ASSERT_TRUE(plane.b.apply("p", with(0x100, sa(0x100, 1))));
  plane.settle();
  EXPECT_EQ(plane.pass(), Fate::clear_dropped);
}

}  // namespace
}  // namespace cohort::sim
