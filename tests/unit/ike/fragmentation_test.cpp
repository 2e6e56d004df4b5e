#include "controlplane/ike/fragmentation.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {
namespace {

Bytes message_of(std::size_t size) {
  Header header;
  header.initiator = {1, 2, 3, 4, 5, 6, 7, 8};
  header.responder = {8, 7, 6, 5, 4, 3, 2, 1};
  header.exchange = ExchangeType::groupkey_pull;
  header.flags = flag_encryption;
  header.message_id = 5;
  header.length = static_cast<std::uint32_t>(size);
  Writer out;
  header.write(out);
  for (std::size_t i = out.size(); i < size; ++i) out.u8(static_cast<std::uint8_t>(i * 7));
  return out.take();
}

TEST(Fragmentation, any_order_and_duplicates) {
  std::mt19937 random(3);
  for (const std::size_t size : {600u, 1244u, 1245u, 5000u, 60000u}) {
    const Bytes message = message_of(size);
    auto slices = split(message, 1280, 9);
    for (const Bytes& slice : slices) {
      EXPECT_LE(slice.size(), 1280u);
      const auto header = Header::parse(slice);
      ASSERT_TRUE(header);
      EXPECT_EQ(header->next, PayloadType::fragment);
      EXPECT_FALSE(header->encrypted());
    }
    const auto doubled = slices;
    slices.insert(slices.end(), doubled.begin(), doubled.end());
    std::shuffle(slices.begin(), slices.end(), random);
    Reassembly reassembly;
    std::size_t whole = 0;
    for (const Bytes& slice : slices) {
      const auto result = reassembly.add(slice, 64 * 1024);
      ASSERT_TRUE(result);
      if (!*result) continue;
      EXPECT_EQ(**result, message);
      ++whole;
      EXPECT_EQ(reassembly.held(), 0u);
      break;
    }
    EXPECT_EQ(whole, 1u);
  }
}

TEST(Fragmentation, never_more_than_255_slices) {
  const auto slices = split(message_of(60000), 64, 1);
  EXPECT_LE(slices.size(), 255u);
  Reassembly reassembly;
  std::optional<Bytes> whole;
  for (const Bytes& slice : slices) whole = reassembly.add(slice, 96 * 1024).value();
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->size(), 60000u);
}

TEST(Fragmentation, many_small_slices_cost_what_they_take) {
  Bytes one = split(message_of(600), 600, 1)[0];
  one.resize(Header::size + 9);  // one octet of the message
  one[27] = static_cast<std::uint8_t>(one.size());
  one[26] = 0;
  one.at(Header::size + 2) = 0;
  one.at(Header::size + 3) = 9;
  one.at(Header::size + 7) = 0;  // not the last
  Reassembly reassembly;
  unsigned taken = 0;
  for (unsigned number = 1; number <= 255; ++number) {
    one.at(Header::size + 6) = static_cast<std::uint8_t>(number);
    if (!reassembly.add(one, 4096)) break;
    ++taken;
  }
  EXPECT_EQ(taken, 4096u / (Reassembly::slice_cost + 1));
}

TEST(Fragmentation, is_bounded_and_a_newer_message_replaces_an_older) {
  const auto old_slices = split(message_of(5000), 1280, 1);
  const auto new_slices = split(message_of(3000), 1280, 2);
  Reassembly reassembly;
  EXPECT_TRUE(reassembly.add(old_slices[0], 4096));
  std::optional<Bytes> whole;
  for (const Bytes& slice : new_slices) whole = reassembly.add(slice, 4096).value();
  EXPECT_EQ(whole, message_of(3000));
  std::optional<Error> refused;
  for (const Bytes& slice : old_slices) {
    const auto result = reassembly.add(slice, 4096);
    if (!result) refused = result.error();
    EXPECT_LE(reassembly.held(), 4096u);
  }
  ASSERT_TRUE(refused);
  EXPECT_TRUE(refused->is(bad_fragment));
}

TEST(Fragmentation, slices_of_several_messages_may_come_mixed) {
  std::vector<Bytes> slices;
  constexpr std::uint16_t count = Reassembly::messages_max;
  for (std::uint16_t id = 0; id < count; ++id) {
    const auto some = split(message_of(1000 + id), 600, id);
    slices.insert(slices.end(), some.begin(), some.end());
  }
  std::mt19937 random(7);
  std::shuffle(slices.begin(), slices.end(), random);
  Reassembly reassembly;
  std::size_t whole = 0;
  for (const Bytes& slice : slices) {
    const auto result = reassembly.add(slice, 64 * 1024);
    ASSERT_TRUE(result);
    if (*result) ++whole;
  }
  EXPECT_EQ(whole, count);
  EXPECT_EQ(reassembly.held(), 0u);
  // Beginnings of messages that never end are bounded too.
  for (std::uint16_t id = 0; id < 200; ++id) {
    ASSERT_TRUE(reassembly.add(split(message_of(1000), 600, id)[0], 64 * 1024));
    EXPECT_LE(reassembly.held(), (600u + Reassembly::slice_cost) * count);
  }
}

TEST(Fragmentation, refuses_what_does_not_add_up) {
  const auto slices = split(message_of(3000), 1280, 4);
  const auto changed = [&](std::size_t slice, std::size_t at, std::uint8_t value) {
    Bytes octets = slices[slice];
    octets.at(Header::size + at) = value;
    return octets;
  };
  Reassembly reassembly;
  EXPECT_FALSE(reassembly.add(changed(0, 6, 0), 9000));  // number 0
  EXPECT_FALSE(reassembly.add(changed(0, 3, 7), 9000));  // shorter than its fields
  ASSERT_TRUE(reassembly.add(slices[2], 9000));          // the last, number 3
  EXPECT_FALSE(reassembly.add(changed(0, 6, 9), 9000));  // number 9 of 3
  ASSERT_TRUE(reassembly.add(slices[1], 9000));
  EXPECT_FALSE(reassembly.add(changed(0, 7, 1), 9000));  // last, but before another
}

}  // namespace
}  // namespace cohort::ike
