#include "controlplane/ike/message.hpp"

#include <gtest/gtest.h>

namespace cohort::ike {
namespace {

Bytes header_octets(std::uint32_t length) {
  Header header;
  header.initiator = {1, 2, 3, 4, 5, 6, 7, 8};
  header.responder = {8, 7, 6, 5, 4, 3, 2, 1};
  header.next = PayloadType::sa;
  header.exchange = ExchangeType::identity_protection;
  header.flags = flag_encryption;
  header.message_id = 0x01020304;
  header.length = length;
  Writer out;
  header.write(out);
  return out.take();
}

TEST(Header, round_trip) {
  const Bytes octets = header_octets(28);
  EXPECT_EQ(to_hex(octets),
            "010203040506070808070605040302010110020101020304"
            "0000001c");
  const auto header = Header::parse(octets);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->initiator, (Cookie{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(header->responder, (Cookie{8, 7, 6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(header->exchange, ExchangeType::identity_protection);
  EXPECT_TRUE(header->encrypted());
  EXPECT_EQ(header->message_id, 0x01020304u);
}

TEST(Header, refuses_every_truncation) {
  const Bytes octets = header_octets(28);
  for (std::size_t n = 0; n < octets.size(); ++n) {
    const auto header = Header::parse(ByteView(octets).first(n));
    ASSERT_FALSE(header) << n;
    EXPECT_TRUE(header.error().is(truncated_message));
  }
}

TEST(Header, refuses_other_lengths_versions_and_a_zero_cookie) {
  for (const std::uint32_t length : {0u, 27u, 29u, 0xffffffffu}) {
    const auto header = Header::parse(header_octets(length));
    ASSERT_FALSE(header);
    EXPECT_TRUE(header.error().is(bad_length));
  }
  Bytes version2 = header_octets(28);
  version2[17] = 0x20;
  ASSERT_FALSE(Header::parse(version2));
  EXPECT_TRUE(Header::parse(version2).error().is(bad_header));
  Bytes no_cookie = header_octets(28);
  std::fill_n(no_cookie.begin(), 8, std::uint8_t{0});
  ASSERT_FALSE(Header::parse(no_cookie));
  EXPECT_TRUE(Header::parse(no_cookie).error().is(bad_header));
}

TEST(PayloadChain, written_then_walked) {
  PayloadWriter writer;
  EXPECT_EQ(writer.first(), PayloadType::none);
  writer.add(PayloadType::ke, Bytes{1, 2, 3});
  writer.add(PayloadType::nonce, Bytes{});
  writer.add(PayloadType::fragment, Bytes{9});
  EXPECT_EQ(to_hex(writer.view()),
            "0a0000070102038400000400000005"
            "09");
  const auto payloads = walk(writer.first(), writer.view(), false);
  ASSERT_TRUE(payloads);
  ASSERT_EQ(payloads->size(), 3u);
  EXPECT_EQ((*payloads)[0].type, PayloadType::ke);
  EXPECT_EQ(to_hex((*payloads)[0].body), "010203");
  EXPECT_EQ(to_hex((*payloads)[0].whole), "0a000007010203");
  EXPECT_TRUE((*payloads)[1].body.empty());
  EXPECT_EQ((*payloads)[2].type, PayloadType::fragment);
}

TEST(PayloadChain, padding_only_where_it_may_be) {
  PayloadWriter writer;
  writer.add(PayloadType::hash, Bytes{1});
  Bytes padded = to_bytes(writer.view());
  padded.resize(16);
  EXPECT_TRUE(walk(PayloadType::hash, padded, true));
  const auto refused = walk(PayloadType::hash, padded, false);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(bad_length));
}

TEST(PayloadChain, refuses_lengths_that_lie) {
  const auto reason = [](const char* hex) {
    return walk(PayloadType::ke, from_hex(hex).value(), true).error().reason().name;
  };
  EXPECT_EQ(reason(""), truncated_message.name);
  EXPECT_EQ(reason("000000"), truncated_message.name);
  EXPECT_EQ(reason("00000003"), bad_length.name);
  EXPECT_EQ(reason("00000000"), bad_length.name);
  EXPECT_EQ(reason("00000005"), bad_length.name);
  EXPECT_EQ(reason("0000ffff00"), bad_length.name);
  EXPECT_EQ(reason("0a000004"), truncated_message.name);
}

TEST(PayloadChain, is_bounded) {
  PayloadWriter writer;
  for (int i = 0; i < 64; ++i) writer.add(PayloadType::vendor_id, Bytes{});
  EXPECT_TRUE(walk(writer.first(), writer.view(), false));
  writer.add(PayloadType::vendor_id, Bytes{});
  const auto refused = walk(writer.first(), writer.view(), false);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(too_many_payloads));
}

TEST(Attributes, both_forms) {
  Writer out;
  write_basic(out, 1, 7);
  write_variable(out, 12, Bytes{0, 1, 0x51, 0x80});
  EXPECT_EQ(to_hex(out.view()), "80010007000c000400015180");
  const auto attributes = parse_attributes(out.view());
  ASSERT_TRUE(attributes);
  ASSERT_EQ(attributes->size(), 2u);
  EXPECT_EQ((*attributes)[0].number().value(), 7u);
  EXPECT_EQ((*attributes)[1].number().value(), 86400u);
}

TEST(Attributes, zeros_in_front_make_no_number_huge) {
  const Bytes octets{0, 12, 0, 8, 0, 0, 0, 0, 0, 1, 0x51, 0x80};
  const auto wide = parse_attributes(octets);
  ASSERT_TRUE(wide);
  EXPECT_EQ(wide->front().number().value(), 86400u);
}

TEST(Attributes, refuses_truncation_and_huge_numbers) {
  EXPECT_FALSE(parse_attributes(Bytes{0x80, 1, 0}));
  EXPECT_FALSE(parse_attributes(Bytes{0, 1, 0, 2, 9}));
  const Bytes octets{0, 1, 0, 5, 1, 0, 0, 0, 0};
  const auto wide = parse_attributes(octets);
  ASSERT_TRUE(wide);
  EXPECT_FALSE(wide->front().number());
  EXPECT_FALSE(Attribute{.basic = false}.number());
}

}  // namespace
}  // namespace cohort::ike
