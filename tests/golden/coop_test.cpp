#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sstream>

#include "coop/key_schedule.hpp"
#include "coop/messages.hpp"
#include "coop/replica.hpp"
#include "coop/sender_leases.hpp"

// The bytes of docs/coop-protocol.md, as files: a change of the format must change them, on
// purpose.
namespace cohort::coop {
namespace {

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}

Message message(std::variant<Announce, Data, Ack> body) {
  Message out;
  out.sequence = 0x01020304;
  out.group = {std::uint32_t{484}};
  out.from = 0x1111111111111111;
  out.to = 0x2222222222222222;
  out.body = std::move(body);
  return out;
}

Message announce() {
  Announce body;
  body.priority = 100;
  body.role = Role::primary;
  body.time_estimate = false;
  body.has_state = true;
  body.epoch_number = 3;
  body.epoch_id = {1, 2, 3, 4, 5, 6, 7, 8};
  body.pseudotime_ms = 0x0000000100000000;
  body.policy_hash.fill(0xaa);
  body.servers_hash.fill(0xbb);
  body.sender = address("10.191.61.114");
  body.primary = address("10.191.61.114");
  body.clients = our_clients();
  body.heard = {address("10.191.61.115"), address("2001:db8::115")};
  Message out = message(std::move(body));
  out.reply_requested = true;
  return out;
}

Epoch epoch() {
  Epoch out;
  out.number = 2;
  out.id = {9, 9, 9, 9, 9, 9, 9, 9};
  out.parent = {1, 2, 3, 4, 5, 6, 7, 8};
  out.purge = out.id;
  out.state = EpochState::committed;
  out.cause = EpochCause::eviction;
  out.sid_epoch = 2;
  out.start_ms = 0x100000000;
  out.ancestors = {out.parent};
  Chain chain;
  chain.line = line_id("kek");
  chain.spi_base = 0x01020304;
  chain.suite = 2;
  chain.start_ms = 0x100000000;
  chain.period_ms = 77'760'000;
  chain.lifetime_ms = 86'400'000;
  chain.generation = 5;
  chain.secret = Secret(Bytes(32, 0x55));
  out.chains.push_back(std::move(chain));
  return out;
}

Bytes item(Kind kind, Bytes key, ByteView value, bool tombstone = false) {
  return encode_item(Item{
      {kind, std::move(key)}, 0x10000000000, address("10.191.61.114"), tombstone, Secret(value)});
}

std::map<std::string, Bytes> all() {
  const Lease lease{2, 32768, 32768, 33000, address("10.191.61.115")};
  const Bytes member = to_bytes(as_bytes("a member"));
  return {{"announce", encode(announce())},
          {"data", encode(message(Data{3, 4096, {1, 2, 3, 4, 5}}))},
          {"ack", encode(message(Ack{3, 4101}))},
          {"item-epoch", item(Kind::epoch, to_bytes(epoch().id), encode_epoch(epoch()))},
          {"item-lease", item(Kind::lease, lease_key(lease), encode_lease(lease))},
          {"item-seq", item(Kind::seq, Bytes(16, 7), Writer().u32(1000).view())},
          {"item-member", item(Kind::member, member, as_bytes("opaque"))},
          {"item-member-gone", item(Kind::member, member, {}, true)}};
}

TEST(CoopGolden, BytesAreThoseOfTheSpecification) {
  for (const auto& [name, octets] : all()) {
    std::ifstream file(std::string(GOLDEN_DATA) + "/coop/" + name + ".hex");
    std::stringstream text;
    std::string line;
    while (std::getline(file, line))
      if (line.rfind('#', 0) != 0) text << line;
    const auto expected = from_hex(text.str());
    ASSERT_TRUE(expected) << name;
    EXPECT_EQ(to_hex(octets), to_hex(*expected)) << name;
  }
}

TEST(CoopGolden, WhatIsWrittenCanBeRead) {
  for (const auto& [name, octets] : all()) {
    if (name.rfind("item", 0) == 0)
      EXPECT_TRUE(decode_item(octets).value().has_value()) << name;
    else
      EXPECT_TRUE(decode(octets).value().has_value()) << name;
  }
}

}  // namespace
}  // namespace cohort::coop
