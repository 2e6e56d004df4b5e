#include "controlplane/crypto/dh.hpp"

#include <gtest/gtest.h>

#include "controlplane/crypto/reasons.hpp"

namespace cohort::crypto {
namespace {

constexpr DhGroup all_groups[] = {DhGroup::modp1024, DhGroup::modp1536, DhGroup::modp2048,
                                  DhGroup::modp3072, DhGroup::modp4096, DhGroup::ecp256,
                                  DhGroup::ecp384,   DhGroup::ecp521};

TEST(Dh, BothSidesAgreeInEveryGroup) {
  for (const DhGroup group : all_groups) {
    const DhKey a = DhKey::generate(group).value();
    const DhKey b = DhKey::generate(group).value();
    EXPECT_EQ(a.public_value().size(), public_size(group));
    EXPECT_EQ(a.shared(b.public_value()).value(), b.shared(a.public_value()).value());
    EXPECT_NE(to_hex(a.public_value()), to_hex(b.public_value()));
  }
}

// RFC 5903 section 8.1.
TEST(Dh, Rfc5903Ecp256) {
  const Secret i(
      from_hex("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433").value());
  const DhKey key = DhKey::from_private(DhGroup::ecp256, i).value();
  EXPECT_EQ(to_hex(key.public_value()),
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
            "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3");
  const Bytes peer = from_hex(
                         "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
                         "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB")
                         .value();
  EXPECT_EQ(to_hex(key.shared(peer)->view()),
            "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de");
}

TEST(Dh, RefusesDegenerateModpValues) {
  const DhKey key = DhKey::generate(DhGroup::modp2048).value();
  Bytes zero(256), one(256);
  one.back() = 1;
  const Bytes top(256, 0xff);  // above p
  for (const Bytes& bad : {zero, one, top, Bytes(255, 2), Bytes{}})
    EXPECT_TRUE(key.shared(bad).error().is(bad_public_value));
}

TEST(Dh, RefusesPointsOffTheCurve) {
  const DhKey key = DhKey::generate(DhGroup::ecp256).value();
  Bytes point = to_bytes(DhKey::generate(DhGroup::ecp256)->public_value());
  point[63] = static_cast<std::uint8_t>(point[63] ^ 1);
  EXPECT_TRUE(key.shared(point).error().is(bad_public_value));
  EXPECT_TRUE(key.shared(Bytes(64)).error().is(bad_public_value));
}

}  // namespace
}  // namespace cohort::crypto
