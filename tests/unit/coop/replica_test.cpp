#include "coop/replica.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

#include "coop/key_schedule.hpp"
#include "coop/reasons.hpp"
#include "coop/sender_leases.hpp"

namespace cohort::coop {
namespace {

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}
const IpAddress a = address("10.0.0.1"), b = address("10.0.0.2"), c = address("10.0.0.3");

ItemKey member(std::uint8_t which) {
  return {Kind::member, {which}};
}
Bytes octets(std::string_view text) {
  return to_bytes(as_bytes(text));
}

std::string text_of(const Item* item) {
  if (item == nullptr) return "gone";
  const ByteView view = item->value.view();
  return {view.begin(), view.end()};
}

/// Everything that `from` has and `to` lacks, as a stream would carry it.
void sync(const Replica& from, Replica& to, const IpAddress& from_address,
          const IpAddress& to_address) {
  for (std::uint64_t at = 0;;) {
    const auto change = from.next_after(at, to_address);
    if (!change) return;
    at = change->number;
    auto item = decode_item(encode_item(*change->item));
    ASSERT_TRUE(item && *item) << item.error().text();
    ASSERT_TRUE(to.apply(std::move(**item), from_address));
  }
}

TEST(CoopReplica, LaterStampWinsWhateverTheOrder) {
  Replica one(a), two(b);
  ASSERT_TRUE(one.put(member(1), octets("old"), 100));
  ASSERT_TRUE(two.put(member(1), octets("new"), 200));
  sync(one, two, a, b);
  sync(two, one, b, a);
  EXPECT_EQ(text_of(one.find(member(1))), "new");
  EXPECT_EQ(text_of(two.find(member(1))), "new");
}

TEST(CoopReplica, AStampIsAboveEveryStampSeen) {
  Replica one(a), two(b);
  ASSERT_TRUE(one.put(member(1), octets("from the future"), 1'000'000));
  sync(one, two, a, b);
  ASSERT_TRUE(two.put(member(1), octets("said later"), 5));  // its clock is far behind
  sync(two, one, b, a);
  EXPECT_EQ(text_of(one.find(member(1))), "said later");
}

// In the order of their numbers, whoever they came from; and what is changed again comes once.
TEST(CoopReplica, APeerLacksWhatDidNotComeFromIt) {
  Replica one(a), two(b), three(c);
  ASSERT_TRUE(two.put(member(1), octets("from b"), 100));
  ASSERT_TRUE(three.put(member(2), octets("from c"), 100));
  ASSERT_TRUE(two.put(member(4), octets("from b"), 100));
  ASSERT_TRUE(one.put(member(3), octets("ours"), 100));
  sync(two, one, b, a);
  sync(three, one, c, a);
  ASSERT_TRUE(two.put(member(1), octets("from b, again"), 200));
  ASSERT_TRUE(one.put(member(4), octets("ours now"), 300));
  sync(two, one, b, a);
  const auto lacks = [&one](const IpAddress& peer) {
    std::vector<std::uint8_t> which;
    for (auto next = one.next_after(0, peer); next; next = one.next_after(next->number, peer))
      which.push_back(next->item->id.key[0]);
    return which;
  };
  EXPECT_EQ(lacks(b), (std::vector<std::uint8_t>{3, 2, 4}));
  EXPECT_EQ(lacks(c), (std::vector<std::uint8_t>{3, 4, 1}));
  one.forget_source(c);
  EXPECT_EQ(lacks(c), (std::vector<std::uint8_t>{3, 2, 4, 1}));
}

TEST(CoopReplica, DeletionsTravelAndDoNotComeBack) {
  Replica one(a), two(b);
  ASSERT_TRUE(one.put(member(1), octets("x"), 100));
  sync(one, two, a, b);
  two.erase(member(1), 200);
  sync(one, two, a, b);  // the old value again
  EXPECT_EQ(two.find(member(1)), nullptr);
  sync(two, one, b, a);
  EXPECT_EQ(one.find(member(1)), nullptr);
  EXPECT_EQ(one.count(Kind::member), 1u);  // the tombstone
  one.drop_tombstones(200 + 1'000, 2'000);
  EXPECT_EQ(one.count(Kind::member), 1u);
  one.drop_tombstones(200 + 2'001, 2'000);
  EXPECT_EQ(one.count(Kind::member), 1u);  // it has not been here for so long
  one.drop_tombstones(200 + 3'000, 2'000);
  EXPECT_EQ(one.count(Kind::member), 0u);
}

TEST(CoopReplica, ARetractionLeavesWhatWasPutSince) {
  Replica one(a), two(b);
  ASSERT_TRUE(one.put(member(1), octets("x"), 100));
  sync(one, two, a, b);
  ASSERT_TRUE(one.put(member(1), octets("again"), 300));
  two.retract(member(1));  // later, but it has not heard of that
  EXPECT_EQ(two.find(member(1)), nullptr);
  sync(two, one, b, a);
  sync(one, two, a, b);
  EXPECT_EQ(text_of(one.find(member(1))), "again");
  EXPECT_EQ(text_of(two.find(member(1))), "again");
  two.retract(member(1));
  sync(one, two, a, b);  // the old value again
  sync(two, one, b, a);
  EXPECT_EQ(one.find(member(1)), nullptr);
  EXPECT_EQ(two.find(member(1)), nullptr);
}

TEST(CoopReplica, RemovedIdentities) {
  for (const bool excluded : {false, true}) {
    const auto back = decode_removed(encode_removed({excluded, "CN=gm1"}));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->excluded, excluded);
    EXPECT_EQ(back->identity, "CN=gm1");
  }
  EXPECT_FALSE(decode_removed({}));
  const ItemKey id{Kind::removed_identity, Bytes(16, 1)};
  EXPECT_FALSE(decode_item(encode_item(Item{id, 5, a, false, Secret()})));
  EXPECT_TRUE(decode_item(encode_item(Item{id, 5, a, true, Secret()})));
}

TEST(CoopReplica, ConvergesInAnyOrderWithCopies) {
  // Three servers change at random and exchange at random; in the end all are equal.
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Replica servers[3] = {Replica(a), Replica(b), Replica(c)};
    const IpAddress at[3] = {a, b, c};
    for (int step = 0; step < 200; ++step) {
      const std::size_t who = random() % 3, other = random() % 3;
      const auto which = static_cast<std::uint8_t>(random() % 10);
      const std::uint64_t now = 1'000 + random() % 50;
      switch (random() % 3) {
        case 0:
          ASSERT_TRUE(servers[who].put(member(which), octets(std::to_string(step)), now));
          break;
        case 1:
          servers[who].erase(member(which), now);
          break;
        default:
          if (who != other) sync(servers[who], servers[other], at[who], at[other]);
      }
    }
    for (int round = 0; round < 3; ++round)
      for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j)
          if (i != j) sync(servers[i], servers[j], at[i], at[j]);
    for (std::uint8_t which = 0; which < 10; ++which) {
      EXPECT_EQ(text_of(servers[0].find(member(which))), text_of(servers[1].find(member(which))));
      EXPECT_EQ(text_of(servers[1].find(member(which))), text_of(servers[2].find(member(which))));
    }
  }
}

TEST(CoopReplica, SeqOnlyRises) {
  Replica one(a), two(b);
  const ItemKey seq{Kind::seq, Bytes(16, 1)};
  ASSERT_TRUE(one.put(seq, Writer().u32(500).view(), 10));
  ASSERT_TRUE(two.put(seq, Writer().u32(90).view(), 999));  // later, but lower
  sync(two, one, b, a);
  sync(one, two, a, b);
  EXPECT_EQ(Reader(one.find(seq)->value.view()).u32(), 500u);
  EXPECT_EQ(Reader(two.find(seq)->value.view()).u32(), 500u);
}

TEST(CoopReplica, NextOfALeaseNeverGoesDown) {
  Replica one(a), two(b);
  const Lease lease{1, 0, 100, 60, a};
  const ItemKey id{Kind::lease, lease_key(lease)};
  ASSERT_TRUE(one.put(id, encode_lease(lease), 10));
  sync(one, two, a, b);
  // The owner is restored from an old image, and writes with a later stamp.
  Replica restored(a);
  Lease old = lease;
  old.next = 20;
  ASSERT_TRUE(restored.put(id, encode_lease(old), 5'000));
  sync(restored, two, a, b);
  EXPECT_EQ(decode_lease(id.key, two.find(id)->value.view())->next, 60u);
  sync(two, restored, b, a);
  EXPECT_EQ(decode_lease(id.key, restored.find(id)->value.view())->next, 60u);
}

TEST(CoopReplica, ACommittedEpochStaysCommitted) {
  Epoch epoch;
  epoch.number = 1;
  epoch.id = {1};
  const ItemKey id{Kind::epoch, to_bytes(epoch.id)};
  Replica one(a), two(b);
  ASSERT_TRUE(one.put(id, encode_epoch(epoch), 10));
  sync(one, two, a, b);
  epoch.state = EpochState::committed;
  ASSERT_TRUE(one.put(id, encode_epoch(epoch), 11));
  sync(one, two, a, b);
  EXPECT_EQ(decode_epoch(epoch.id, two.find(id)->value.view())->state, EpochState::committed);
  epoch.state = EpochState::prepared;
  Replica late(c);
  ASSERT_TRUE(late.put(id, encode_epoch(epoch), 99));
  sync(late, two, c, b);
  EXPECT_EQ(decode_epoch(epoch.id, two.find(id)->value.view())->state, EpochState::committed);
}

TEST(CoopReplica, WhatAPeerGaveIsNotSentBackButAfterItLostItAll) {
  Replica one(a);
  auto item = decode_item(encode_item(Item{member(1), 5, b, false, Secret(octets("x"))}));
  ASSERT_TRUE(one.apply(std::move(**item), b));
  EXPECT_FALSE(one.next_after(0, b));
  EXPECT_TRUE(one.next_after(0, c));
  one.forget_source(b);
  EXPECT_TRUE(one.next_after(0, b));
}

TEST(CoopReplica, LimitsHold) {
  Replica one(a);
  for (std::uint8_t i = 0; i < 8; ++i)
    ASSERT_TRUE(one.put({Kind::policy, Bytes(16, i)}, octets("policy"), i));
  const auto refused = one.put({Kind::policy, Bytes(16, 64)}, octets("policy"), 99);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(coop_limit));
  EXPECT_TRUE(one.put({Kind::policy, Bytes(16, 3)}, octets("other"), 99));  // there already
}

TEST(CoopReplica, TheSeqThatWasUsedLongestAgoGivesWay) {
  Replica one(a);
  const auto seq = [](std::uint8_t of) { return ItemKey{Kind::seq, Bytes(16, of)}; };
  for (std::uint8_t i = 0; i < 64; ++i)
    ASSERT_TRUE(one.put(seq(i), Writer().u32(1).view(), i + std::uint64_t{1}));
  ASSERT_TRUE(one.put(seq(0), Writer().u32(2).view(), 90));  // used again
  ASSERT_TRUE(one.put(seq(64), Writer().u32(1).view(), 99));
  EXPECT_EQ(one.count(Kind::seq), 64u);
  EXPECT_NE(one.find(seq(0)), nullptr);
  EXPECT_EQ(one.find(seq(1)), nullptr);
  // What is older than all that is there does not come back, so two servers come to the same.
  ASSERT_TRUE(one.apply(Item{seq(1), 1, b, false, Secret(Writer().u32(1).view())}, b));
  EXPECT_EQ(one.find(seq(1)), nullptr);
}

TEST(CoopReplica, HostileRecordsAreRefused) {
  const Item good{member(1), 5, a, false, Secret(octets("value"))};
  const Bytes record = encode_item(good);
  for (std::size_t length = 0; length < record.size(); ++length)
    EXPECT_FALSE(decode_item(ByteView(record).first(length))) << length;
  Bytes longer = record;
  longer.push_back(0);
  EXPECT_FALSE(decode_item(longer));
  // Behind the last of all stamps no change of ours would ever count.
  EXPECT_TRUE(decode_item(encode_item(Item{member(1), ~0ull >> 1, b, false, Secret()})));
  EXPECT_FALSE(decode_item(encode_item(Item{member(1), ~0ull, b, false, Secret()})));
  for (const int kind : {0, 3, 8, 200}) {
    Bytes unknown = record;
    unknown[0] = static_cast<std::uint8_t>(kind);
    const auto skipped = decode_item(unknown);
    ASSERT_TRUE(skipped);
    EXPECT_FALSE(*skipped) << kind;
  }
  EXPECT_FALSE(decode_item(encode_item(Item{{Kind::seq, Bytes(15, 1)}, 5, a, false, Secret()})));
  EXPECT_FALSE(decode_item(
      encode_item(Item{member(1), 5, a, false, Secret(Bytes(member_value_octets_max + 1))})));
  Item tomb{member(1), 5, a, true, Secret(octets("v"))};
  EXPECT_FALSE(decode_item(encode_item(tomb)));
}

TEST(CoopReplica, RestoresFromItsBuckets) {
  Replica one(a);
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(one.put({Kind::member, octets(std::to_string(i))}, octets("v"), 10));
  ASSERT_TRUE(one.put({Kind::seq, Bytes(16, 1)}, Writer().u32(7).view(), 20));
  Replica two(a);
  unsigned used = 0;
  for (unsigned bucket = 0; bucket < Replica::buckets; ++bucket) {
    const Secret blob = one.encode_bucket(bucket);
    used += blob.empty() ? 0 : 1;
    ASSERT_TRUE(two.restore_bucket(blob.view()));
    if (blob.empty()) continue;
    EXPECT_FALSE(two.restore_bucket(blob.view().first(blob.size() - 1)));
  }
  EXPECT_GT(used, 40u);  // the members are spread
  EXPECT_EQ(two.all(Kind::member).size(), 300u);
  EXPECT_EQ(two.last_stamp(), one.last_stamp());
}

}  // namespace
}  // namespace cohort::coop
