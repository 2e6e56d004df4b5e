#include <algorithm>
#include <gtest/gtest.h>

#include "tests/packets/lab.hpp"

namespace cohort::test {
namespace {

using namespace dataplane;

class EspSuite : public testing::TestWithParam<Suite> {};

std::string suite_name(const testing::TestParamInfo<Suite>& info) {
  std::string name(shape_of(info.param).name);
  std::ranges::replace(name, '-', '_');
  return name;
}

std::vector<Suite> suites() {
  std::vector<Suite> all;
  for (const SuiteShape& shape : all_suites()) all.push_back(shape.suite);
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, EspSuite, testing::ValuesIn(suites()), suite_name);

TEST_P(EspSuite, WhatWeSealTheReferenceOpens) {
  Lab lab;
  lab.apply(protect_all(GetParam()));
  std::vector<Bytes> inner;
  for (const std::size_t size : {29u, 30u, 31u, 32u, 33u, 64u, 65u, 576u, 1300u, 1420u})
    inner.push_back(sized_v4(size, static_cast<std::uint32_t>(size)));
  inner.push_back(sized_v6(49));
  inner.push_back(sized_v6(1280));
  std::vector<Bytes> frames;
  for (const Bytes& packet : inner) frames.push_back(frame(packet));
  const Outcome out = lab.inside(frames);
  ASSERT_EQ(out.outside.size(), inner.size());
  EXPECT_TRUE(out.drops.empty());
  const Sa sa = make_sa(GetParam());
  for (std::size_t i = 0; i < inner.size(); ++i) {
    const Bytes packet = packet_of(out.outside[i]);
    EXPECT_TRUE(
        std::ranges::equal(ByteView(out.outside[i]).first(12), ByteView(frames[i]).first(12)));
    const auto opened = open(sa, packet);
    ASSERT_TRUE(opened) << "packet " << i;
    EXPECT_EQ(opened->inner, inner[i]);
    EXPECT_EQ(opened->sequence, i + 1);
    EXPECT_EQ(opened->next_header, inner[i][0] >> 4 == 6 ? 41 : 4);
    for (std::size_t k = 0; k < opened->padding.size(); ++k) EXPECT_EQ(opened->padding[k], k + 1);
  }
}

TEST_P(EspSuite, WhatTheReferenceSealsWeOpen) {
  Lab lab;
  lab.apply(protect_all(GetParam()));
  const Sa sa = make_sa(GetParam());
  std::vector<Bytes> inner{sized_v4(29), sized_v4(64), sized_v4(1411), sized_v6(49),
                           sized_v6(1300)};
  std::vector<Bytes> frames;
  for (std::size_t i = 0; i < inner.size(); ++i)
    frames.push_back(
        frame(seal(sa, inner[i],
                   {.sequence = static_cast<std::uint32_t>(i + 1), .iv = iv_for(sa.suite, i)}),
              {7}));
  const Outcome out = lab.outside(frames);
  EXPECT_TRUE(out.drops.empty());
  ASSERT_EQ(out.inside.size(), inner.size());
  for (std::size_t i = 0; i < inner.size(); ++i) EXPECT_EQ(out.inside[i], frame(inner[i], {7}));
}

}  // namespace
}  // namespace cohort::test
