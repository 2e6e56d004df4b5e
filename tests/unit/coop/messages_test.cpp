#include "coop/messages.hpp"

#include <gtest/gtest.h>

#include "coop/reasons.hpp"

namespace cohort::coop {
namespace {

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}

Announce sample_announce() {
  Announce out;
  out.priority = 100;
  out.role = Role::primary;
  out.has_state = true;
  out.time_estimate = false;
  out.synchronized = true;
  out.epoch_number = 3;
  out.epoch_id = {1, 2, 3, 4, 5, 6, 7, 8};
  out.pseudotime_ms = 0x0102030405;
  out.policy_hash.fill(0xaa);
  out.servers_hash.fill(0xbb);
  out.sender = address("10.191.61.114");
  out.primary = address("2001:db8::1");
  out.clients = our_clients();
  out.heard = {address("10.191.61.115"), address("2001:db8::2")};
  return out;
}

Message wrap(std::variant<Announce, Data, Ack> body) {
  Message message;
  message.reply_requested = true;
  message.sequence = 77;
  message.group = {std::uint32_t{484}};
  message.from = 0x1111;
  message.to = 0x2222;
  message.body = std::move(body);
  return message;
}

std::vector<Message> samples() {
  std::vector<Message> out{wrap(sample_announce()), wrap(Data{5, 1ull << 40, {1, 2, 3}}),
                           wrap(Ack{5, 12345})};
  out[1].group = {address("239.1.1.1")};
  out[2].elect_now = true;
  return out;
}

TEST(CoopMessages, RoundTrip) {
  for (const Message& message : samples()) {
    const auto back = decode(encode(message));
    ASSERT_TRUE(back) << back.error().text();
    ASSERT_TRUE(*back);
    EXPECT_EQ(**back, message);
  }
}

TEST(CoopMessages, EveryPrefixIsRefusedOrHarmless) {
  for (const Message& message : samples()) {
    const Bytes whole = encode(message);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const auto cut = decode(ByteView(whole).first(length));
      // Cut DATA is shorter DATA; everything else must fail.
      EXPECT_TRUE(!cut || std::holds_alternative<Data>(message.body)) << length;
    }
  }
}

struct Broken {
  const char* name;
  std::size_t offset;
  std::uint8_t value;
  const Reason* reason;
};

TEST(CoopMessages, RefusesWhatTheSpecificationDoesNotAllow) {
  const Broken table[] = {
      {"another major version", 0, 2, &coop_version},
      {"group id type", 8, 9, &coop_format},
      {"role 0", 34, 0, &coop_format},
      {"role 5", 34, 5, &coop_format},
      {"address family", 120, 5, &coop_format},
      {"17 clients", 142, 17, &coop_format},
      {"9 servers heard", 155, 9, &coop_format},
  };
  for (const Broken& row : table) {
    Bytes octets = encode(samples()[0]);
    ASSERT_LT(row.offset, octets.size());
    octets[row.offset] = row.value;
    const auto refused = decode(octets);
    ASSERT_FALSE(refused) << row.name;
    EXPECT_TRUE(refused.error().is(*row.reason)) << row.name << ": " << refused.error().text();
  }
}

TEST(CoopMessages, AcceptsAHigherMinorVersionWithMoreInIt) {
  Bytes octets = encode(samples()[0]);
  octets[1] = 7;
  octets.insert(octets.end(), {1, 2, 3});
  const auto read = decode(octets);
  ASSERT_TRUE(read && *read);
  EXPECT_EQ((*read)->version_minor, 7);
  EXPECT_EQ(std::get<Announce>((*read)->body), sample_announce());
}

TEST(CoopMessages, AnUnknownTypeIsNoError) {
  Bytes octets = encode(samples()[2]);
  octets[2] = 99;
  const auto read = decode(octets);
  ASSERT_TRUE(read);
  EXPECT_FALSE(*read);
}

TEST(CoopMessages, AnEpochNumberNeedsAnId) {
  Message message = samples()[0];
  std::get<Announce>(message.body).epoch_id = {};
  EXPECT_FALSE(decode(encode(message)));
  std::get<Announce>(message.body).epoch_number = 0;
  EXPECT_TRUE(decode(encode(message)));
}

// With the last number, nothing could follow.
TEST(CoopMessages, NumbersLeaveRoomForWhatFollows) {
  Message message = samples()[0];
  auto& announce = std::get<Announce>(message.body);
  announce.epoch_number = heard_number_max;
  announce.pseudotime_ms = heard_ms_max;
  EXPECT_TRUE(decode(encode(message)));
  announce.epoch_number = heard_number_max + 1;
  EXPECT_FALSE(decode(encode(message)));
  announce.epoch_number = 3;
  announce.pseudotime_ms = heard_ms_max + 1;
  EXPECT_FALSE(decode(encode(message)));
}

TEST(CoopMessages, DataIsBounded) {
  Message message = wrap(Data{1, 0, WipedBytes(data_octets_max)});
  EXPECT_TRUE(decode(encode(message)));
  message.body = Data{1, 0, WipedBytes(data_octets_max + 1)};
  EXPECT_FALSE(decode(encode(message)));
  message.body = Data{1, 0, {}};
  EXPECT_FALSE(decode(encode(message)));
}

TEST(CoopMessages, ASenderNeedsAnIncarnation) {
  Message message = samples()[2];
  message.from = 0;
  EXPECT_FALSE(decode(encode(message)));
}

}  // namespace
}  // namespace cohort::coop
