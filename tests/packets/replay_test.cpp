#include <gtest/gtest.h>
#include <set>

#include "tests/packets/lab.hpp"

/// Anti-replay, sequence numbers, IVs and sender ids as the pipeline keeps them.
namespace cohort::test {
namespace {

using namespace dataplane;
using Drops = std::map<std::string, std::uint64_t>;

constexpr Suite suite = Suite::aes_128_gcm_16;

Bytes numbered(std::uint32_t sequence) {
  return frame(
      seal(make_sa(suite), sized_v4(100), {.sequence = sequence, .iv = iv_for(suite, sequence)}));
}

TEST(Replay, ADuplicateWithinOneBurstIsFoundAfterAuthentication) {
  Lab lab;
  lab.apply(protect_all(suite));
  const Outcome out = lab.outside({numbered(5), numbered(5), numbered(6)});
  EXPECT_EQ(out.inside.size(), 2u);
  EXPECT_EQ(out.drops, (Drops{{"replay_duplicate", 1}}));
  EXPECT_EQ(lab.sa(0).usage().replay_drops, 1u);
}

TEST(Replay, AForgedPacketMovesNoWindow) {
  Lab lab;
  lab.apply(protect_all(suite));
  Bytes forged = numbered(1'000'000);
  forged.back() ^= 1;
  EXPECT_EQ(lab.outside({numbered(1), forged, numbered(2)}).inside.size(), 2u);
  EXPECT_EQ(lab.outside({numbered(3)}).inside.size(), 1u);
  EXPECT_EQ(lab.sa(0).usage().auth_failures, 1u);
}

TEST(Replay, TheWindowSurvivesASnapshotThatKeepsTheSa) {
  Lab lab;
  lab.apply(protect_all(suite));
  EXPECT_EQ(lab.outside({numbered(9)}).inside.size(), 1u);
  lab.apply(protect_all(suite));
  EXPECT_EQ(lab.outside({numbered(9)}).drops, (Drops{{"replay_duplicate", 1}}));
}

TEST(Replay, NoneAcceptsAnySequence) {
  Lab lab;
  Snapshot snapshot = protect_all(suite);
  snapshot.sas[0].replay = ReplayKind::none;
  lab.apply(snapshot);
  EXPECT_EQ(lab.outside({numbered(9), numbered(9), numbered(0)}).inside.size(), 3u);
}

/// Another member has come to send on the SA: its numbers begin at 1.
TEST(Replay, EndsWhenASnapshotSaysSo) {
  Lab lab;
  Snapshot snapshot = protect_all(suite);
  lab.apply(snapshot);
  EXPECT_EQ(lab.outside({numbered(900)}).inside.size(), 1u);
  EXPECT_EQ(lab.outside({numbered(1)}).inside.size(), 0u);
  snapshot = protect_all(suite);
  snapshot.sas[0].replay = ReplayKind::none;
  lab.apply(snapshot);
  EXPECT_EQ(lab.outside({numbered(1), numbered(900)}).inside.size(), 2u);
  lab.apply(protect_all(suite));
  EXPECT_EQ(lab.outside({numbered(1)}).inside.size(), 1u);
}

/// A replay that is sent to another worker by another outer address reaches no host.
TEST(Replay, AnotherWorkersWindowIsNoWayIn) {
  Lab first(Lab::defaults(), 2, 0);
  Lab second(Lab::defaults(), 2, 1);
  first.apply(protect_all(suite));
  second.apply(protect_all(suite));
  EXPECT_EQ(first.outside({numbered(1)}).inside.size(), 1u);
  Bytes redirected = numbered(1);
  redirected[14 + 19] ^= 1;
  EXPECT_EQ(second.outside({redirected}).drops, (Drops{{"inner_address_mismatch", 1}}));
}

// ---- by time ------------------------------------------------------------------------------------

constexpr std::int64_t boot = 5'000'000;        // what the clock shows
constexpr std::int64_t offset = 7'000'000'000;  // and the group's time then is more by
constexpr std::uint32_t tick = 700'500'000;     // so this is the tick
constexpr std::uint16_t window = 4000;          // ms: 400 ticks

Snapshot protect_by_time(Suite which = suite) {
  Snapshot snapshot = protect_all(which);
  snapshot.sas[0].replay = ReplayKind::time;
  snapshot.sas[0].replay_window = window;
  snapshot.group_time_offset_ms = offset;
  return snapshot;
}

struct TimeCase {
  const char* name;
  std::uint32_t sequence;
  std::int64_t late_ms;   ///< the receiver's clock, after `boot`
  const char* drop = "";  ///< accepted
};

TEST(ReplayByTime, AcceptsTheWindowAndNothingElse) {
  const TimeCase cases[] = {
      {"now", tick, 0},
      {"the last tick before", tick - 400, 0},
      {"one older", tick - 401, 0, "replay_too_old"},
      {"the last tick ahead", tick + 400, 0},
      {"one more", tick + 401, 0, "replay_in_future"},
      {"a counter of another make", 1, 0, "replay_too_old"},
      {"nearly half the circle ahead", tick + 0x7fffffff, 0, "replay_in_future"},
      {"half the circle", tick + 0x80000000, 0, "replay_too_old"},
      {"a replay within the window", tick, 4000},
      {"a replay after it", tick, 4010, "replay_too_old"},
      {"part of a tick is no tick", tick, 4009},
  };
  for (const TimeCase& one : cases) {
    SCOPED_TRACE(one.name);
    Lab lab;
    lab.apply(protect_by_time());
    lab.at(boot + one.late_ms);
    const Outcome out = lab.outside({numbered(one.sequence)});
    const bool accepted = *one.drop == '\0';
    EXPECT_EQ(out.inside.size(), accepted ? 1u : 0u);
    EXPECT_EQ(out.drops, accepted ? Drops{} : (Drops{{one.drop, 1}}));
    EXPECT_EQ(lab.sa(0).usage().replay_drops, accepted ? 0u : 1u);
  }
}

/// After 497 days the ticks begin again at 0: no moment is special.
TEST(ReplayByTime, TicksComeRoundWithoutLoss) {
  Lab lab;
  Snapshot snapshot = protect_by_time();
  snapshot.group_time_offset_ms = (std::int64_t{1} << 32) * replay_tick_ms - boot;
  lab.apply(snapshot);
  lab.at(boot);
  EXPECT_EQ(lab.outside({numbered(0), numbered(0xffffffff), numbered(400)}).inside.size(), 3u);
  EXPECT_EQ(lab.outside({numbered(0xffffffff - 400)}).drops, (Drops{{"replay_too_old", 1}}));
  EXPECT_EQ(packet_of(lab.inside({frame(sized_v4(100))}).outside.at(0))[27], 0);
}

/// A packet carries the time of its burst; what tells two of a burst apart is in other fields.
TEST(ReplayByTime, SendersSayTheTime) {
  for (const Suite which : {Suite::aes_128_gcm_16, Suite::aes_128_cbc_sha256_128}) {
    Lab lab;
    lab.apply(protect_by_time(which));
    std::set<Bytes> ivs, ids;
    std::vector<std::uint32_t> ticks;
    for (const std::int64_t late : {0, 10, 12'345}) {
      lab.at(boot + late);
      for (const Bytes& sent : lab.inside(std::vector<Bytes>(3, frame(sized_v4(100)))).outside) {
        const Bytes packet = packet_of(sent);
        const auto opened = open(make_sa(which), packet);
        ASSERT_TRUE(opened);
        ticks.push_back(opened->sequence - tick);
        ids.insert(Bytes(packet.begin() + 4, packet.begin() + 6));
        ivs.insert(Bytes(packet.begin() + 28, packet.begin() + 28 + shape_of(which).iv));
      }
    }
    EXPECT_EQ(ticks, (std::vector<std::uint32_t>{0, 0, 0, 1, 1, 1, 1234, 1234, 1234}));
    EXPECT_EQ(ids.size(), 9u);
    EXPECT_EQ(ivs.size(), 9u);
  }
}

/// Two senders and two workers of a receiver, which share nothing: all is read, a late copy is not.
TEST(ReplayByTime, AnyNumberOfSendersAndWorkers) {
  Lab one, other, first(Lab::defaults(), 2, 0), second(Lab::defaults(), 2, 1);
  for (Lab* lab : {&one, &other, &first, &second}) {
    Snapshot snapshot = protect_by_time();
    if (lab == &other) snapshot.sas[0].sender_ids = {0x99};
    lab->apply(snapshot);
    lab->at(boot);
  }
  other.at(boot + 900);
  const Bytes packet = frame(sized_v4(100));
  const std::vector<Bytes> of_one = one.inside({packet, packet}).outside;
  const std::vector<Bytes> of_other = other.inside({packet, packet}).outside;
  for (Lab* worker : {&first, &second}) {
    EXPECT_EQ(worker->outside(of_one).inside.size(), 2u);
    EXPECT_EQ(worker->outside(of_other).inside.size(), 2u);
    worker->at(boot + 4500);
    EXPECT_EQ(worker->outside(of_one).drops, (Drops{{"replay_too_old", 2}}));
    EXPECT_EQ(worker->outside(of_other).inside.size(), 2u);
  }
}

/// What a packet says of its sender's clock counts if it is authentic, and moves nothing.
TEST(ReplayByTime, SkewIsMeasuredFromAuthenticPacketsAlone) {
  Lab lab;
  lab.apply(protect_by_time());
  lab.at(boot);
  Bytes forged = numbered(tick + 300);
  forged.back() ^= 1;
  EXPECT_EQ(lab.outside({forged}).drops, (Drops{{"bad_icv", 1}}));
  EXPECT_FALSE(lab.sa(0).usage().time_skew_ms);
  EXPECT_EQ(lab.outside({numbered(tick - 20)}).inside.size(), 1u);
  EXPECT_EQ(lab.sa(0).usage().time_skew_ms, -200);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(lab.outside({numbered(tick + 30)}).inside.size(), 1u);
  EXPECT_NEAR(*lab.sa(0).usage().time_skew_ms, 300, 10);
  EXPECT_EQ(lab.outside({numbered(tick + 401)}).inside.size(), 0u);
}

/// An SA stays what it was made: its sender's numbers may not change under a key.
TEST(ReplayByTime, AnSaKeepsItsKindOverSnapshots) {
  Lab lab;
  lab.apply(protect_by_time());
  lab.at(boot);
  lab.apply(protect_all(suite));
  lab.at(boot);
  EXPECT_EQ(lab.outside({numbered(1)}).inside.size(), 0u);
  Snapshot unchecked = protect_by_time();
  unchecked.sas[0].replay = ReplayKind::none;
  lab.apply(unchecked);
  EXPECT_EQ(lab.outside({numbered(1)}).inside.size(), 1u);
  const Bytes sent = packet_of(lab.inside({frame(sized_v4(100))}).outside.at(0));
  EXPECT_EQ(open(make_sa(suite), sent)->sequence, tick);
}

TEST(Sequence, StopsRatherThanWraps) {
  Lab lab;
  lab.apply(protect_all(suite));
  lab.sa(0).set_next_sequence(0xffffffff);
  const Outcome last = lab.inside({frame(sized_v4(100))});
  ASSERT_EQ(last.outside.size(), 1u);
  EXPECT_EQ(open(make_sa(suite), packet_of(last.outside[0]))->sequence, 0xffffffffu);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(lab.inside({frame(sized_v4(100))}).drops, (Drops{{"sequence_exhausted", 1}}));
  EXPECT_EQ(lab.sa(0).usage().exhausted_permille, 1000u);
}

TEST(Sequence, ARunThatDoesNotFitWholeIsNotSentInPart) {
  Lab lab;
  lab.apply(protect_all(suite));
  lab.sa(0).set_next_sequence(0xfffffffe);
  const Bytes packet = frame(sized_v4(100));
  EXPECT_EQ(lab.inside({packet, packet, packet}).drops, (Drops{{"sequence_exhausted", 3}}));
}

Snapshot protect_all_unchecked(Suite which) {
  Snapshot snapshot = protect_all(which);
  snapshot.sas[0].replay = ReplayKind::none;
  return snapshot;
}

// RFC 4303 section 3.3.3: without anti-replay "the counter rolls over back to zero".
TEST(Sequence, WrapsWhereNobodyChecksIt) {
  for (const Suite which : {Suite::aes_128_gcm_16, Suite::aes_128_cbc_sha256_128}) {
    Lab lab;
    lab.apply(protect_all_unchecked(which));
    lab.sa(0).set_next_sequence(0xfffffffe);
    const Bytes packet = frame(sized_v4(100));
    const Outcome out = lab.inside({packet, packet, packet, packet});
    ASSERT_EQ(out.outside.size(), 4u);
    std::vector<std::uint32_t> numbers;
    std::set<Bytes> ivs;
    for (const Bytes& one : out.outside) {
      const Bytes whole = packet_of(one);
      const auto opened = open(make_sa(which), whole);
      ASSERT_TRUE(opened);
      numbers.push_back(opened->sequence);
      ivs.insert(Bytes(whole.begin() + 28, whole.begin() + 28 + shape_of(which).iv));
    }
    EXPECT_EQ(numbers, (std::vector<std::uint32_t>{0xfffffffe, 0xffffffff, 0, 1}));
    EXPECT_EQ(ivs.size(), 4u);
    EXPECT_LT(lab.sa(0).usage().exhausted_permille, 10u);
    Lab receiver;
    receiver.apply(protect_all_unchecked(which));
    EXPECT_EQ(receiver.outside(out.outside).inside.size(), 4u);
  }
}

TEST(Sequence, EndsWithWhatAnUncheckedCbcKeyMayEncrypt) {
  Lab lab;
  lab.apply(protect_all_unchecked(Suite::aes_128_cbc_sha256_128));
  lab.sa(0).set_next_sequence(std::uint64_t{1} << 40);
  EXPECT_EQ(lab.inside({frame(sized_v4(100))}).outside.size(), 1u);
  EXPECT_EQ(lab.inside({frame(sized_v4(100))}).drops, (Drops{{"sequence_exhausted", 1}}));
  EXPECT_EQ(lab.sa(0).usage().exhausted_permille, 1000u);
}

TEST(Iv, IsSenderIdThenCounterAndStopsAtItsEnd) {
  Lab lab;
  Snapshot snapshot = protect_all(suite);
  snapshot.sas[0].sender_ids = {0xa5};
  snapshot.sas[0].sid_bits = 8;
  lab.apply(snapshot);
  const Bytes packet = packet_of(lab.inside({frame(sized_v4(100))}).outside.at(0));
  EXPECT_EQ(Bytes(packet.begin() + 28, packet.begin() + 36), (Bytes{0xa5, 0, 0, 0, 0, 0, 0, 1}));
  SenderIds* sender = lab.sa(0).worker(0).sender.load();
  ASSERT_NE(sender, nullptr);
  sender->next = sender->last;
  const Bytes final = packet_of(lab.inside({frame(sized_v4(100))}).outside.at(0));
  EXPECT_EQ(Bytes(final.begin() + 28, final.begin() + 36),
            (Bytes{0xa5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_EQ(lab.inside({frame(sized_v4(100))}).drops, (Drops{{"iv_exhausted", 1}}));
  EXPECT_EQ(lab.sa(0).usage().exhausted_permille, 1000u);
}

TEST(Iv, WithoutASenderIdNothingIsSentButAllIsReceived) {
  Lab lab;
  Snapshot snapshot = protect_all(suite);
  snapshot.sas[0].sender_ids.clear();
  lab.apply(snapshot);
  EXPECT_EQ(lab.inside({frame(sized_v4(100))}).drops, (Drops{{"no_sender_id", 1}}));
  EXPECT_EQ(lab.outside({numbered(1)}).inside.size(), 1u);
}

TEST(Iv, OfCbcIsDifferentForEachPacketAndWorker) {
  std::set<Bytes> seen;
  for (int k = 0; k < 3; ++k) {
    Lab lab;
    lab.apply(protect_all(Suite::aes_128_cbc_sha1_96));
    for (const Bytes& sent : lab.inside(std::vector<Bytes>(128, frame(sized_v4(100)))).outside) {
      const Bytes packet = packet_of(sent);
      EXPECT_TRUE(seen.insert(Bytes(packet.begin() + 28, packet.begin() + 44)).second);
    }
  }
  EXPECT_EQ(seen.size(), 3u * 128u);
}

}  // namespace
}  // namespace cohort::test
