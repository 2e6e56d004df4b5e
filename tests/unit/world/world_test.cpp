#include "controlplane/world/world.hpp"

#include <array>
#include <deque>
#include <gtest/gtest.h>

#include "controlplane/crypto/reasons.hpp"

namespace cohort {
namespace {

/// Gives out prepared octets, one after the other.
class ScriptedRandom final : public Random {
 public:
  explicit ScriptedRandom(std::initializer_list<std::uint8_t> octets) : octets_(octets) {}
  void fill(std::span<std::uint8_t> out) override {
    for (auto& octet : out) {
      ASSERT_FALSE(octets_.empty()) << "more randomness drawn than expected";
      octet = octets_.front();
      octets_.pop_front();
    }
  }
  [[nodiscard]] std::size_t left() const { return octets_.size(); }

 private:
  std::deque<std::uint8_t> octets_;
};

TEST(Random, ReadsIntegersInNetworkOrder) {
  ScriptedRandom random{1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(random.u32(), 0x01020304u);
  EXPECT_EQ(random.u64(), 0x0102030405060708u);
}

TEST(Random, GivesAsManyOctetsAsAsked) {
  ScriptedRandom random{9, 8, 7, 6, 5};
  EXPECT_EQ(random.bytes(2), (Bytes{9, 8}));
  EXPECT_TRUE(random.bytes(0).empty());
  EXPECT_TRUE(equal(random.secret(3).view(), Bytes{7, 6, 5}));
}

TEST(Random, BelowDrawsAgainWhereTheRemainderWouldBeUneven) {
  // 2^64 - 1 is divisible by 3: every draw below it counts, and it alone is drawn again.
  ScriptedRandom random{255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 8};
  EXPECT_EQ(random.below(3), 2u);
  EXPECT_EQ(random.left(), 0u);
}

TEST(Random, BelowOneIsZero) {
  ScriptedRandom random{1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(random.below(1), 0u);
}

TEST(RunJob, MakesKeysOnWhichBothSidesAgree) {
  for (const auto group : {crypto::DhGroup::modp2048, crypto::DhGroup::ecp256}) {
    const auto a = run_job(DhGenerateJob{group}).value();
    const auto b = run_job(DhGenerateJob{group}).value();
    const auto& key_a = std::get<std::shared_ptr<const crypto::DhKey>>(a);
    const auto& key_b = std::get<std::shared_ptr<const crypto::DhKey>>(b);
    const auto ab = run_job(DhSharedJob{key_a, to_bytes(key_b->public_value())});
    const auto ba = run_job(DhSharedJob{key_b, to_bytes(key_a->public_value())});
    ASSERT_TRUE(ab && ba);
    EXPECT_EQ(std::get<Secret>(*ab), std::get<Secret>(*ba));
  }
}

TEST(RunJob, RefusesABadPublicValueByName) {
  const auto key = std::get<std::shared_ptr<const crypto::DhKey>>(
      run_job(DhGenerateJob{crypto::DhGroup::ecp256}).value());
  for (const auto& peer : {Bytes{}, Bytes(63, 1), Bytes(64, 0), Bytes(64, 0xff)}) {
    const auto result = run_job(DhSharedJob{key, peer});
    ASSERT_FALSE(result) << peer.size();
    EXPECT_TRUE(result.error().is(crypto::bad_public_value)) << result.error().text();
  }
}

TEST(RunJob, VerifiesWhatItSignedAndNothingElse) {
  const auto key = crypto::PrivateKey::generate_ec(crypto::KeyType::ecdsa_p256).value();
  const auto digest = crypto::digest(crypto::Hash::sha256, {as_bytes("rekey")});
  constexpr auto form = crypto::SignatureForm::ecdsa_concatenated;
  const auto made = run_job(SignJob{key, form, crypto::Hash::sha256, digest});
  ASSERT_TRUE(made);
  auto signature = std::get<Bytes>(*made);
  const auto verify = [&](const Bytes& over) {
    return run_job(VerifyJob{key.public_key(), form, crypto::Hash::sha256, over, signature});
  };
  EXPECT_TRUE(verify(digest));
  auto other = digest;
  other[0] ^= 1;
  ASSERT_FALSE(verify(other));
  EXPECT_TRUE(verify(other).error().is(crypto::bad_signature));
  signature.back() ^= 1;
  EXPECT_FALSE(verify(digest));
}

}  // namespace
}  // namespace cohort
