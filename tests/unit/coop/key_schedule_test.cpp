#include "coop/key_schedule.hpp"

#include <gtest/gtest.h>
#include <random>
#include <set>

#include "coop/reasons.hpp"

namespace cohort::coop {
namespace {

class Seeded final : public Random {
 public:
  explicit Seeded(std::uint64_t seed) : engine_(seed) {}
  void fill(std::span<std::uint8_t> out) override {
    for (auto& octet : out) octet = static_cast<std::uint8_t>(engine_());
  }

 private:
  std::mt19937_64 engine_;
};

constexpr std::uint64_t start = std::uint64_t{1} << 32;

std::vector<LineSpec> two_lines() {
  return {{"kek", 1, 80'000'000, 86'400'000}, {"sa 10", 2, 3'000'000, 3'600'000}};
}

Epoch make(Random& random, EpochCause cause, const Epoch* parent, std::uint64_t at = start,
           const std::vector<LineSpec>& lines = two_lines()) {
  const std::vector<const Epoch*> others =
      parent == nullptr ? std::vector<const Epoch*>{} : std::vector{parent};
  return begin_epoch(random, cause, parent == nullptr ? 0 : parent->number, parent, lines, others,
                     at);
}

TEST(CoopKeySchedule, HkdfExpandKnownAnswer) {
  // RFC 5869 appendix A.1: PRK, info and the first 42 octets of OKM.
  const Secret prk(*from_hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"));
  const Bytes info = *from_hex("f0f1f2f3f4f5f6f7f8f9");
  EXPECT_EQ(to_hex(hkdf_expand(prk, {info}, 42).view()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST(CoopKeySchedule, KeysAreThoseOfTheSpecification) {
  // Computed by tests/golden/data/coop/derivation.py, which shares no code with this.
  Chain chain;
  chain.line = line_id("sa 10");
  chain.suite = 2;
  chain.spi_base = 0xfffffffe;
  chain.period_ms = 10;
  chain.lifetime_ms = 20;
  chain.secret = Secret(Bytes(32, 7));
  EXPECT_EQ(to_hex(chain.line), "02b45cc59b4be6c4c22ac62f251521eb");
  EXPECT_EQ(to_hex(chain.key(0, 36)->view()),
            "95b87596851fc8560c2e09bd179cbbd08c32194c014d11136bfab7296a3a03b179f8b48e");
  EXPECT_EQ(to_hex(chain.key(3, 36)->view()),
            "22d94158c8cc3253ba6d626fd67c9be378153ea293b52f03f9137ed9914b71bc81d1a108");
  EXPECT_EQ(to_hex(*chain.kek_spi(3)), "f68eea0e06a8e2eaa161d2d5f8ef87fd");
  EXPECT_EQ(chain.spi(0), 510u);
  EXPECT_EQ(chain.spi(3), 513u);
}

TEST(CoopKeySchedule, ServersWithTheSameEpochAgreeWithoutAMessage) {
  Seeded random(1);
  Epoch here = make(random, EpochCause::first, nullptr);
  const EpochId id = here.id;
  auto there = decode_epoch(id, encode_epoch(here));
  ASSERT_TRUE(there);
  // Ten lifetimes apart, one of them erasing as it goes.
  for (std::uint64_t at = start; at < start + 36'000'000; at += 1'000'000) {
    ASSERT_TRUE(here.ratchet(at));
    const Chain& a = *here.find(line_id("sa 10"));
    const Chain& b = *there->find(line_id("sa 10"));
    ASSERT_EQ(a.newest(at), b.newest(at));
    EXPECT_EQ(a.spi(a.newest(at)), b.spi(b.newest(at)));
    EXPECT_EQ(*a.key(a.newest(at), 36), *b.key(b.newest(at), 36));
  }
}

TEST(CoopKeySchedule, TheRatchetErasesWhatHasEnded) {
  Seeded random(2);
  Epoch epoch = make(random, EpochCause::first, nullptr);
  Chain& chain = epoch.chains[1];
  const Secret first = chain.secret.clone();
  const std::uint64_t later = start + 3'600'000;  // generation 0 has just ended, 1 is in use
  EXPECT_EQ(chain.oldest_alive(later - 1), 0u);
  EXPECT_EQ(chain.oldest_alive(later), 1u);
  ASSERT_TRUE(epoch.ratchet(later));
  EXPECT_EQ(chain.generation, 1u);
  EXPECT_FALSE(chain.secret == first);
  EXPECT_FALSE(chain.key(0, 16).has_value());
  EXPECT_TRUE(chain.key(1, 16).has_value());
}

TEST(CoopKeySchedule, GenerationsOverlapByLifetimeMinusPeriod) {
  Seeded random(3);
  const Epoch epoch = make(random, EpochCause::first, nullptr);
  const Chain& chain = epoch.chains[1];
  for (std::uint64_t at = start; at < start + 20'000'000; at += 77'777) {
    const std::uint64_t newest = chain.newest(at), oldest = chain.oldest_alive(at);
    EXPECT_LE(oldest, newest);
    EXPECT_LE(newest - oldest, 1u);
    EXPECT_LE(chain.distributed_ms(newest), at);
    EXPECT_GT(chain.ends_ms(oldest), at);
  }
}

TEST(CoopKeySchedule, SpisAreNeverReservedAndDoNotRepeat) {
  Chain chain;
  chain.spi_base = 0xffffffff - 256;  // the last of the space
  std::set<std::uint32_t> seen;
  for (std::uint64_t generation = 0; generation < 2'000; ++generation) {
    const std::uint32_t spi = chain.spi(generation);
    EXPECT_GE(spi, 256u);
    EXPECT_TRUE(seen.insert(spi).second);
  }
}

TEST(CoopKeySchedule, AnAbsurdJumpIsRefusedNotComputed) {
  Seeded random(4);
  Epoch epoch = make(random, EpochCause::first, nullptr);
  EXPECT_FALSE(epoch.chains[1].secret_of(ratchet_steps_max + 1).has_value());
  EXPECT_FALSE(epoch.ratchet(start + (ratchet_steps_max + 10) * 3'000'000));
}

TEST(CoopKeySchedule, TheStepsOfAnEpochAreBoundedTogether) {
  Seeded random(4);
  Epoch epoch = make(random, EpochCause::first, nullptr);
  const std::uint64_t each = ratchet_steps_max / epoch.chains.size() + 10;
  for (Chain& chain : epoch.chains) {
    chain.period_ms = 10;
    chain.lifetime_ms = 20;
    chain.start_ms = start;
  }
  EXPECT_EQ(epoch.steps_to(start + 1000 * 10), 1000 * epoch.chains.size() - epoch.chains.size());
  EXPECT_FALSE(epoch.ratchet(start + each * 10));
  EXPECT_EQ(epoch.chains[0].generation, 0u);
}

TEST(CoopKeySchedule, AnEvictionSharesNothingWithWhatWasBefore) {
  Seeded random(5);
  const Epoch before = make(random, EpochCause::first, nullptr);
  const Epoch after = make(random, EpochCause::eviction, &before, start + 1000);
  EXPECT_EQ(after.number, before.number + 1);
  EXPECT_EQ(after.purge, after.id);
  EXPECT_EQ(after.sid_epoch, after.number);
  EXPECT_TRUE(after.descends_from(before.id));
  for (const Chain& chain : after.chains) {
    const Chain* old = before.find(chain.line);
    ASSERT_NE(old, nullptr);
    EXPECT_FALSE(old->secret == chain.secret);
    EXPECT_FALSE(*old->key(0, 32) == *chain.key(0, 32));
  }
}

TEST(CoopKeySchedule, AChangeOfPolicyKeepsTheKeysOfUnchangedLines) {
  Seeded random(6);
  const Epoch before = make(random, EpochCause::first, nullptr);
  auto changed = two_lines();
  changed.push_back({"sa 20", 2, 3'000'000, 3'600'000});
  changed[0].lifetime_ms += 1000;  // the KEK's: its chain can't be kept
  const Epoch after = make(random, EpochCause::policy, &before, start + 5'000, changed);
  EXPECT_EQ(after.sid_epoch, before.sid_epoch);
  EXPECT_TRUE(after.chains[1].secret == before.chains[1].secret);
  EXPECT_EQ(after.chains[1].spi(4), before.chains[1].spi(4));
  EXPECT_FALSE(after.chains[0].secret == before.chains[0].secret);
  const Epoch refreshed = make(random, EpochCause::refresh, &before, start + 5'000);
  EXPECT_FALSE(refreshed.chains[1].secret == before.chains[1].secret);
}

TEST(CoopKeySchedule, SpiBasesKeepClearOfEachOther) {
  Seeded random(7);
  std::vector<LineSpec> many;
  for (int i = 0; i < 200; ++i) many.push_back({"line " + std::to_string(i), 1, 10, 20});
  const Epoch epoch = make(random, EpochCause::first, nullptr, start, many);
  for (std::size_t i = 0; i < many.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const std::uint32_t apart = epoch.chains[i].spi_base - epoch.chains[j].spi_base;
      EXPECT_GE(std::min(apart, 0u - apart), spi_window - 256);
    }
}

TEST(CoopKeySchedule, EpochRoundTrip) {
  Seeded random(8);
  const Epoch first = make(random, EpochCause::first, nullptr);
  const Epoch epoch = make(random, EpochCause::eviction, &first, start + 10);
  const auto back = decode_epoch(epoch.id, encode_epoch(epoch));
  ASSERT_TRUE(back);
  EXPECT_EQ(encode_epoch(*back), encode_epoch(epoch));
  EXPECT_EQ(back->purge, epoch.purge);
  EXPECT_EQ(back->ancestors, epoch.ancestors);
}

TEST(CoopKeySchedule, HostileEpochsAreRefused) {
  Seeded random(9);
  const Epoch epoch = make(random, EpochCause::first, nullptr);
  const Bytes good = encode_epoch(epoch);
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_FALSE(decode_epoch(epoch.id, ByteView(good).first(length))) << length;
  // A period of zero would divide by zero; one above the lifetime would leave gaps; of a short one
  // more keys are alive than anybody could derive in time.
  const std::size_t chain = good.size() - 2 * 92;
  for (const std::uint64_t period :
       {std::uint64_t{0}, std::uint64_t{86'400'000}, std::uint64_t{1}}) {
    Bytes bad = good;
    const Bytes octets = Writer().u64(period).take();
    std::copy(octets.begin(), octets.end(),
              bad.begin() + static_cast<std::ptrdiff_t>(chain + 24 + 8));
    EXPECT_FALSE(decode_epoch(epoch.id, bad)) << period;
  }
  EXPECT_FALSE(decode_epoch(EpochId{}, good));
}

TEST(CoopMerge, PlanIsSymmetricalAndNeverKeepsTwo) {
  Seeded random(10);
  const Epoch root = make(random, EpochCause::first, nullptr);
  const Epoch refresh_a = make(random, EpochCause::refresh, &root);
  const Epoch refresh_b = make(random, EpochCause::refresh, &root);
  const Epoch evict_a = make(random, EpochCause::eviction, &root);
  const Epoch evict_b = make(random, EpochCause::eviction, &root);
  const Epoch after_evict = make(random, EpochCause::refresh, &evict_a);
  const Epoch* const all[] = {&root, &refresh_a, &refresh_b, &evict_a, &evict_b, &after_evict};
  for (const Epoch* a : all) {
    for (const Epoch* b : all) {
      const MergePlan here = plan_merge(*a, *b), there = plan_merge(*b, *a);
      const auto adopts = [](MergePlan plan) {
        return plan == MergePlan::adopt_and_push || plan == MergePlan::adopt_and_purge;
      };
      const auto keeps = [](MergePlan plan) {
        return plan == MergePlan::keep || plan == MergePlan::keep_and_receive;
      };
      if (a == b) {
        EXPECT_EQ(here, MergePlan::same);
      } else if (here == MergePlan::begin_purging) {
        EXPECT_EQ(there, MergePlan::begin_purging);
      } else {
        EXPECT_TRUE((adopts(here) && keeps(there)) || (keeps(here) && adopts(there)));
      }
      // Whoever was excluded holds the old KEK: nothing may be pushed under it.
      EXPECT_TRUE(a->purge == b->purge ||
                  (here != MergePlan::adopt_and_push && here != MergePlan::keep_and_receive));
    }
  }
  EXPECT_EQ(plan_merge(root, evict_a), MergePlan::adopt_and_purge);
  EXPECT_EQ(plan_merge(refresh_a, evict_b), MergePlan::begin_purging);
  EXPECT_EQ(plan_merge(root, refresh_a), MergePlan::adopt_and_push);
}

TEST(CoopMerge, WhoWasAwayForLongIsNotASide) {
  Seeded random(11);
  Epoch old = make(random, EpochCause::first, nullptr);
  Epoch now = old.clone();
  for (std::size_t i = 0; i < ancestors_max + 3; ++i)
    now = make(random, i == 1 ? EpochCause::eviction : EpochCause::refresh, &now);
  ASSERT_FALSE(now.descends_from(old.id));
  EXPECT_EQ(plan_merge(now, old), MergePlan::keep);
  EXPECT_EQ(plan_merge(old, now), MergePlan::adopt_and_purge);
}

TEST(CoopMerge, AnExclusionIsNotForgottenHoweverLongThePartitionWas) {
  Seeded random(12);
  const Epoch root = make(random, EpochCause::first, nullptr);
  const Epoch excluding = make(random, EpochCause::eviction, &root);
  Epoch other = root.clone();
  for (std::size_t i = 0; i < ancestors_max + 3; ++i)
    other = make(random, EpochCause::generation, &other);
  EXPECT_EQ(plan_merge(other, excluding), MergePlan::begin_purging);
  EXPECT_EQ(plan_merge(excluding, other), MergePlan::begin_purging);
}

TEST(CoopMerge, GroupsThatBeganApartShareNoSenderIds) {
  Seeded random(13);
  const Epoch one = make(random, EpochCause::first, nullptr);
  const Epoch other = make(random, EpochCause::first, nullptr);
  const Epoch& lower = one.above(other) ? other : one;
  const Epoch& higher = one.above(other) ? one : other;
  EXPECT_EQ(plan_merge(lower, higher), MergePlan::adopt_and_purge);
  EXPECT_EQ(plan_merge(higher, lower), MergePlan::keep);
}

TEST(CoopSeq, RisesByItselfAndByTime) {
  EXPECT_EQ(next_seq(0, start, start, 1), 1u);
  EXPECT_EQ(next_seq(1, start, start, 1), 9u);
  EXPECT_EQ(next_seq(7, start, start, 0), 8u);
  EXPECT_EQ(next_seq(7, start, start + 250 * 100, 3), 803u);
  EXPECT_EQ(next_seq(1000, start, start + 250 * 100, 0), 1008u);
  EXPECT_EQ(next_seq(3, start, 0, 4), 4u);
}

TEST(CoopSeq, NoTwoServersUseTheSame) {
  std::set<std::uint32_t> used;
  for (std::uint32_t slot = 0; slot < seq_slots; ++slot) {
    std::uint32_t last = 0;
    for (std::uint64_t at = start; at < start + 10'000; at += 100) {
      const std::uint32_t seq = next_seq(last, start, at, slot);
      EXPECT_GT(seq, last);
      EXPECT_TRUE(used.insert(seq).second);
      last = seq;
    }
  }
}

TEST(CoopSeq, APrimaryThatHeardNothingIsAboveTheOther) {
  // The other one sent at most four a second until the partition began.
  std::uint32_t other = 0;
  for (std::uint64_t at = start; at < start + 60'000; at += 250)
    other = next_seq(other, start, at, 7);
  EXPECT_GT(next_seq(0, start, start + 60'250, 0), other);
}

TEST(CoopSeq, LastsForALifetimeOfAYear) {
  EXPECT_LT(next_seq(0, start, start + span_ms_max, 7), 0xfffffff0u);
}

}  // namespace
}  // namespace cohort::coop
