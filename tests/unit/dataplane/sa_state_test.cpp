#include "dataplane/sa_state.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "dataplane/reasons.hpp"
#include "tests/packets/lab.hpp"

namespace cohort::dataplane {
namespace {

using test::make_sa;

class SaStateTest : public testing::Test {
 protected:
  std::unique_ptr<Cipher> cipher_ = Cipher::create().value();
};

TEST_F(SaStateTest, EachWorkerHasASenderIdOfItsOwn) {
  Sa sa = make_sa(Suite::aes_128_gcm_16);
  sa.sender_ids = {7, 8, 9};
  SaState state(cipher_->manager(), sa, 3, 1500);
  state.assign_senders(sa);
  std::set<std::uint32_t> ids;
  for (unsigned w = 0; w < 3; ++w) ids.insert(state.worker(w).sender.load()->id);
  EXPECT_EQ(ids, (std::set<std::uint32_t>{7, 8, 9}));
}

TEST_F(SaStateTest, AWorkerBeyondTheIdsHasNone) {
  Sa sa = make_sa(Suite::aes_128_gcm_16);
  sa.sender_ids = {7};
  SaState state(cipher_->manager(), sa, 2, 1500);
  state.assign_senders(sa);
  EXPECT_NE(state.worker(0).sender.load(), nullptr);
  EXPECT_EQ(state.worker(1).sender.load(), nullptr);
}

TEST_F(SaStateTest, NewIdsReplaceTheOldAndAnOldOneGoesOnWhereItWas) {
  Sa sa = make_sa(Suite::aes_128_gcm_16);
  sa.sender_ids = {7};
  SaState state(cipher_->manager(), sa, 2, 1500);
  state.assign_senders(sa);
  EXPECT_EQ(SaState::draw_ivs(*state.worker(0).sender.load(), 10), 1u);
  sa.sender_ids = {9};
  state.assign_senders(sa);
  EXPECT_EQ(state.worker(0).sender.load()->id, 9u);
  EXPECT_EQ(SaState::draw_ivs(*state.worker(0).sender.load(), 1), 1u);
  // The id that worker 0 had comes back: worker 0 may go on with it, worker 1 may not begin.
  sa.sender_ids = {7};
  state.assign_senders(sa);
  EXPECT_EQ(state.worker(0).sender.load()->id, 7u);
  EXPECT_EQ(SaState::draw_ivs(*state.worker(0).sender.load(), 1), 11u);
  EXPECT_EQ(state.worker(1).sender.load(), nullptr);
}

// Id 1 of 8 bits and id 256 of 16 bits are the same leading octets of an IV.
TEST_F(SaStateTest, IdsOfAnotherWidthSendNothing) {
  Sa sa = make_sa(Suite::aes_128_gcm_16);
  sa.sid_bits = 8;
  sa.sender_ids = {1};
  SaState state(cipher_->manager(), sa, 1, 1500);
  state.assign_senders(sa);
  ASSERT_NE(state.worker(0).sender.load(), nullptr);
  sa.sid_bits = 16;
  sa.sender_ids = {256};
  state.assign_senders(sa);
  EXPECT_EQ(state.worker(0).sender.load(), nullptr);
  sa.sid_bits = 8;
  sa.sender_ids = {1};
  state.assign_senders(sa);
  EXPECT_NE(state.worker(0).sender.load(), nullptr);
}

TEST_F(SaStateTest, WorkersNeverDrawTheSameSequenceNumber) {
  SaState state(cipher_->manager(), make_sa(Suite::aes_128_gcm_16), 4, 1500);
  std::vector<std::thread> workers;
  std::mutex lock;
  std::set<std::uint32_t> all;
  for (unsigned w = 0; w < 4; ++w)
    workers.emplace_back([&, w] {
      std::vector<std::uint32_t> mine;
      for (std::uint32_t i = 0; i < 2000; ++i) {
        const std::uint32_t n = 1 + (i + w) % 3;
        const std::uint32_t first = state.draw_sequence(n).value();
        for (std::uint32_t k = 0; k < n; ++k) mine.push_back(first + k);
      }
      const std::lock_guard guard(lock);
      for (const std::uint32_t s : mine) EXPECT_TRUE(all.insert(s).second);
    });
  for (auto& worker : workers) worker.join();
  EXPECT_EQ(*all.begin(), 1u);
  EXPECT_EQ(*all.rbegin(), all.size());
}

TEST_F(SaStateTest, KnowsItsKeyWithoutKeepingIt) {
  const Sa sa = make_sa(Suite::aes_256_cbc_sha256_128);
  SaState state(cipher_->manager(), sa, 1, 1500);
  EXPECT_TRUE(state.same_key(sa));
  for (int part = 0; part < 2; ++part) {
    Sa other = test::clone(sa);
    Secret& secret = part == 0 ? other.cipher_key : other.integrity_key;
    Bytes octets = to_bytes(secret.view());
    octets.back() ^= 1;
    secret = Secret(octets);
    EXPECT_FALSE(state.same_key(other));
  }
  EXPECT_TRUE(state.has_keys());
  state.wipe();
  EXPECT_FALSE(state.has_keys());
  EXPECT_TRUE(state.same_key(sa));
}

TEST_F(SaStateTest, TheInnerMtuIsTheLongestThatFits) {
  for (const SuiteShape& shape : all_suites())
    for (const std::uint32_t mtu : {576u, 1400u, 1500u, 9000u})
      for (const bool v6 : {false, true}) {
        const SaState state(cipher_->manager(), make_sa(shape.suite), 1, mtu);
        const auto length = [&](std::uint32_t inner) {
          return (v6 ? 40 : 20) + state.esp_header() + state.text_length(inner) + shape.icv;
        };
        EXPECT_LE(length(state.inner_mtu(v6)), mtu);
        EXPECT_GT(length(state.inner_mtu(v6) + 1), mtu);
      }
}

TEST(CheckSa, NamesWhatIsWrong) {
  EXPECT_TRUE(check_sa(make_sa(Suite::aes_128_gcm_16)));
  const auto refused = [](Sa sa) { return check_sa(sa).error().is(bad_sa); };
  Sa sa = make_sa(Suite::aes_128_gcm_16);
  sa.spi = 255;
  EXPECT_TRUE(refused(std::move(sa)));
  sa = make_sa(Suite::aes_128_gcm_16);
  sa.salt = Secret(Bytes(3));
  EXPECT_TRUE(refused(std::move(sa)));
  sa = make_sa(Suite::aes_128_gcm_16);
  sa.sid_bits = 9;
  EXPECT_TRUE(refused(std::move(sa)));
  sa = make_sa(Suite::aes_128_gcm_16);
  sa.sender_ids = {0x10000};
  EXPECT_TRUE(refused(std::move(sa)));
  sa = make_sa(Suite::aes_128_gcm_16);
  sa.replay_window = 4097;
  EXPECT_TRUE(refused(std::move(sa)));
  for (const std::uint16_t ms : {std::uint16_t{99}, std::uint16_t{60'001}}) {
    sa = make_sa(Suite::aes_128_gcm_16);
    sa.replay = ReplayKind::time;
    sa.replay_window = ms;
    EXPECT_TRUE(refused(std::move(sa))) << ms;
  }
  sa = make_sa(Suite::aes_128_cbc_sha1_96);
  sa.integrity_key = Secret(Bytes(19));
  EXPECT_TRUE(refused(std::move(sa)));
}

}  // namespace
}  // namespace cohort::dataplane
