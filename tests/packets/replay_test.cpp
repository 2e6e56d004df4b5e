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
