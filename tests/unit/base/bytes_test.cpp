#include "controlplane/base/bytes.hpp"

#include <gtest/gtest.h>

namespace cohort {
namespace {

TEST(Reader, ReadsNetworkOrder) {
  const Bytes data = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  Reader reader(data);
  EXPECT_EQ(reader.u8(), 1);
  EXPECT_EQ(reader.u16(), 0x0203);
  EXPECT_EQ(reader.u32(), 0x04050607u);
  EXPECT_EQ(reader.u64(), 0x08090a0b0c0d0e0fu);
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.empty());
}

TEST(Reader, FailureSticks) {
  const Bytes data = {1, 2, 3};
  Reader reader(data);
  EXPECT_EQ(reader.u32(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0);
  EXPECT_TRUE(reader.rest().empty());
  EXPECT_FALSE(reader.ok());
}

TEST(Reader, EmptyInputIsNotAFailure) {
  Reader reader({});
  EXPECT_TRUE(reader.rest().empty());
  EXPECT_TRUE(reader.ok());
}

TEST(Writer, PatchesWhatWasWritten) {
  Writer out;
  out.u8(7).u16(0).u32(0).u64(1).zeros(2);
  out.patch_u16(1, 0xabcd);
  out.patch_u32(3, 0x01020304);
  EXPECT_EQ(to_hex(out.view()), "07abcd0102030400000000000000010000");
}

TEST(Hex, RoundTripAndRefusals) {
  EXPECT_EQ(to_hex(from_hex("AB:cd 01").value()), "abcd01");
  for (const char* bad : {"a", "abc", "zz", "a b", "0x01"}) {
    const auto result = from_hex(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_TRUE(result.error().is(bad_hex));
  }
}

TEST(Compare, ConstantTimeEquality) {
  EXPECT_TRUE(equal_constant_time({}, {}));
  EXPECT_TRUE(equal_constant_time(as_bytes("abc"), as_bytes("abc")));
  EXPECT_FALSE(equal_constant_time(as_bytes("abc"), as_bytes("abd")));
  EXPECT_FALSE(equal_constant_time(as_bytes("abc"), as_bytes("ab")));
}

}  // namespace
}  // namespace cohort
