#include "controlplane/ike/secure_exchange.hpp"

#include <gtest/gtest.h>

namespace cohort::ike {
namespace {

const Cookie initiator{1, 1, 1, 1, 1, 1, 1, 1};
const Cookie responder{2, 2, 2, 2, 2, 2, 2, 2};

Phase1Keys keys() {
  Phase1Keys keys;
  keys.cipher = crypto::Cipher::aes_256;
  keys.hash = crypto::Hash::sha256;
  keys.skeyid_a = Secret(Bytes(32, 0xa));
  keys.cipher_key = Secret(Bytes(32, 0xe));
  keys.last_block = Bytes(16, 0x5);
  return keys;
}

class TwoEnds : public testing::Test {
 protected:
  SecureExchange a{keys(), initiator, responder, 77};
  SecureExchange b{keys(), initiator, responder, 77};
};

TEST_F(TwoEnds, running_iv_follows_the_messages) {
  for (int i = 0; i < 3; ++i) {
    SecureExchange& from = i % 2 == 0 ? a : b;
    SecureExchange& to = i % 2 == 0 ? b : a;
    PayloadWriter chain;
    chain.add(PayloadType::hash, Bytes(static_cast<std::size_t>(20 + i), 1));
    const auto sealed = from.seal(ExchangeType::groupkey_pull, chain.first(), chain.view());
    ASSERT_TRUE(sealed);
    EXPECT_EQ((sealed->size() - Header::size) % 16, 0u);
    const auto opened = to.open(*sealed);
    ASSERT_TRUE(opened);
    to.commit(*opened);
    EXPECT_TRUE(equal(ByteView(opened->plain).first(chain.view().size()), chain.view()));
  }
}

TEST_F(TwoEnds, opening_without_commit_changes_nothing) {
  PayloadWriter chain;
  chain.add(PayloadType::hash, Bytes(32, 1));
  const Bytes good = a.seal(ExchangeType::groupkey_pull, chain.first(), chain.view()).value();
  Bytes forged = good;
  forged.back() ^= 1;
  ASSERT_TRUE(b.open(forged));
  const auto opened = b.open(good);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(equal(ByteView(opened->plain).first(chain.view().size()), chain.view()));
}

TEST_F(TwoEnds, refuses_foreign_messages) {
  PayloadWriter chain;
  chain.add(PayloadType::hash, Bytes(32, 1));
  const Bytes good = a.seal(ExchangeType::groupkey_pull, chain.first(), chain.view()).value();
  const auto with = [&](std::size_t at, std::uint8_t value) {
    Bytes changed = good;
    changed[at] = value;
    return b.open(changed);
  };
  EXPECT_FALSE(with(0, 9));    // initiator cookie
  EXPECT_FALSE(with(15, 9));   // responder cookie
  EXPECT_FALSE(with(23, 76));  // message id
  EXPECT_FALSE(with(19, 0));   // not encrypted
  EXPECT_FALSE(b.open(ByteView(good).first(28)));
  Bytes odd = good;
  odd.push_back(0);
  odd[27] = static_cast<std::uint8_t>(odd.size());
  EXPECT_FALSE(b.open(odd));
  EXPECT_TRUE(b.open(good));
}

TEST_F(TwoEnds, hash_begins_with_the_message_id) {
  const Bytes id{0, 0, 0, 77};
  const Bytes text{1, 2, 3};
  EXPECT_EQ(to_hex(a.hash({ByteView(text).first(1), ByteView(text).subspan(1)})),
            to_hex(crypto::hmac(crypto::Hash::sha256, Bytes(32, 0xa), {id, text})));
}

}  // namespace
}  // namespace cohort::ike
