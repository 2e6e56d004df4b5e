#include "coop/stream.hpp"

#include <gtest/gtest.h>
#include <random>

#include "coop/reasons.hpp"

namespace cohort::coop {
namespace {

const IpAddress us = *IpAddress::parse("10.0.0.1"), peer = *IpAddress::parse("10.0.0.2");

Bytes text(int number) {
  return to_bytes(as_bytes("value " + std::to_string(number)));
}
ItemKey key(int number) {
  return {Kind::member, to_bytes(as_bytes(std::to_string(number)))};
}

/// One direction of a bad network between a sender and a receiver.
struct Pair {
  explicit Pair(std::uint64_t seed) : random(seed) {}

  void put(int number) { ASSERT_TRUE(here.put(key(number), text(number), 10)); }

  /// Until both agree, or `limit` rounds have passed.
  bool run(unsigned loss_percent, int limit = 5'000) {
    for (int round = 0; round < limit; ++round) {
      if (here.last_change() != 0 && out.holds(here, peer, here.last_change())) return true;
      now += std::chrono::milliseconds(100);
      std::vector<Data> flight;
      out.pump(now, here, peer, [&](Data data) { flight.push_back(std::move(data)); });
      outstanding = std::max(outstanding, flight.size());
      if (loss_percent != 0) std::shuffle(flight.begin(), flight.end(), random);
      for (const Data& data : flight) {
        if (random() % 100 < loss_percent) continue;
        deliver(data);
        if (random() % 100 < loss_percent) deliver(data);
        if (random() % 100 >= loss_percent) out.on_ack(now, in.ack());
      }
    }
    return false;
  }

  void deliver(const Data& data) {
    auto taken = in.take(data);
    ASSERT_TRUE(taken) << taken.error().text();
    for (const WipedBytes& record : taken->records) {
      auto item = decode_item(record);
      ASSERT_TRUE(item && *item);
      ASSERT_TRUE(there.apply(std::move(**item), us));
    }
  }

  std::mt19937_64 random;
  TimePoint now{};
  Replica here{us}, there{peer};
  StreamSender out;
  StreamReceiver in;
  std::size_t outstanding = 0;
};

TEST(CoopStream, CarriesEverythingOverABadNetwork) {
  for (const unsigned loss : {0u, 10u, 40u}) {
    SCOPED_TRACE(loss);
    Pair pair(loss + 1);
    for (int i = 0; i < 1'000; ++i) pair.put(i);
    pair.out.restart(true);
    ASSERT_TRUE(pair.run(loss));
    EXPECT_EQ(pair.there.all(Kind::member).size(), 1'000u);
    EXPECT_LE(pair.outstanding, StreamSender::window);
  }
}

TEST(CoopStream, SendsDeltasAfterTheFullSynchronization) {
  Pair pair(1);
  for (int i = 0; i < 500; ++i) pair.put(i);
  pair.out.restart(true);
  ASSERT_TRUE(pair.run(0));
  pair.put(1'000);
  std::size_t octets = 0;
  pair.out.pump(pair.now, pair.here, peer, [&](const Data& data) { octets += data.octets.size(); });
  EXPECT_GT(octets, 0u);
  EXPECT_LT(octets, 100u);
}

TEST(CoopStream, ContinuesWhereThePeerWasAfterAPartition) {
  Pair pair(2);
  for (int i = 0; i < 500; ++i) pair.put(i);
  pair.out.restart(true);
  ASSERT_TRUE(pair.run(0));
  pair.out.stop();
  pair.put(1'000);
  pair.out.restart(false);
  std::size_t messages = 0;
  pair.out.pump(pair.now, pair.here, peer, [&](const Data&) { ++messages; });
  EXPECT_EQ(messages, 1u);
}

TEST(CoopStream, AValueLargerThanAMessageIsCutAndPutTogether) {
  Pair pair(3);
  const Bytes large(20'000, 0x5a);
  ASSERT_TRUE(pair.here.put({Kind::policy, Bytes(4, 1)}, large, 10));
  pair.out.restart(true);
  ASSERT_TRUE(pair.run(20));
  EXPECT_TRUE(equal(pair.there.find({Kind::policy, Bytes(4, 1)})->value.view(), large));
}

TEST(CoopStream, HoldsIsFalseUntilAcknowledged) {
  Pair pair(4);
  pair.put(1);
  pair.out.restart(true);
  EXPECT_FALSE(pair.out.holds(pair.here, peer, pair.here.last_change()));
  ASSERT_TRUE(pair.run(0));
  EXPECT_TRUE(pair.out.holds(pair.here, peer, pair.here.last_change()));
  pair.put(2);
  EXPECT_FALSE(pair.out.holds(pair.here, peer, pair.here.last_change()));
}

TEST(CoopStream, RetransmissionsBackOff) {
  Pair pair(5);
  pair.put(1);
  pair.out.restart(true);
  unsigned sent = 0;
  for (int second = 0; second < 120; ++second) {
    pair.now += std::chrono::seconds(1);
    pair.out.pump(pair.now, pair.here, peer, [&](const Data&) { ++sent; });
  }
  EXPECT_GE(sent, 5u);
  EXPECT_LE(sent, 12u);  // 1, 2, 4, 8, 16, then every 20 s
}

TEST(CoopStream, AnAbsurdRecordBreaksThatStreamOnly) {
  StreamReceiver in;
  const auto broken = in.take(Data{1, 0, {0xff, 0xff, 0xff, 0xff}});
  ASSERT_FALSE(broken);
  EXPECT_TRUE(broken.error().is(coop_record));
  const auto more = in.take(Data{1, 4, {1, 2, 3}});
  ASSERT_TRUE(more);
  EXPECT_FALSE(more->acknowledge);
  EXPECT_TRUE(in.take(Data{2, 0, {0, 0, 0, 1, 9}})->acknowledge);
}

TEST(CoopStream, AnAcknowledgementOfWhatWasNeverSentIsIgnored) {
  Pair pair(6);
  pair.put(1);
  pair.out.restart(true);
  pair.out.pump(pair.now, pair.here, peer, [](const Data&) {});
  pair.out.on_ack(pair.now, {1, 1'000'000});
  EXPECT_FALSE(pair.out.holds(pair.here, peer, 1));
  pair.out.on_ack(pair.now, {9, 10});
  EXPECT_FALSE(pair.out.holds(pair.here, peer, 1));
}

}  // namespace
}  // namespace cohort::coop
