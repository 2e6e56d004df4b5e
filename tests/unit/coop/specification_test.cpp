#include <gtest/gtest.h>

#include "coop/authority.hpp"
#include "coop/key_schedule.hpp"
#include "coop/messages.hpp"
#include "coop/policy_digest.hpp"
#include "coop/replica.hpp"
#include "coop/sender_leases.hpp"

/// docs/coop-protocol.md, octet for octet: what another implementation would send and hash.
namespace cohort::coop {
namespace {

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}

Writer& v4(Writer& out, std::uint32_t value) {
  return out.u8(4).u32(value);
}

Writer header(std::uint8_t type, std::uint8_t flags) {
  Writer out;
  out.u8(1).u8(0).u8(type).u8(flags).u32(77);  // major, minor, type, flags; sequence
  out.u8(11).zeros(3).u32(484);                // group id
  out.u64(0x1111).u64(0x2222);                 // incarnations
  return out;
}

Message message(std::variant<Announce, Data, Ack> body) {
  Message out;
  out.sequence = 77;
  out.group = {std::uint32_t{484}};
  out.from = 0x1111;
  out.to = 0x2222;
  out.body = std::move(body);
  return out;
}

TEST(CoopSpecification, Announce) {
  Announce announce;
  announce.priority = 100;
  announce.role = Role::primary;
  announce.time_estimate = false;
  announce.drifted = announce.has_state = announce.wants_sender_ids = true;
  announce.epoch_number = 3;
  announce.epoch_id = {1, 2, 3, 4, 5, 6, 7, 8};
  announce.pseudotime_ms = 0x0102030405;
  announce.policy_hash.fill(0xaa);
  announce.servers_hash.fill(0xbb);
  announce.sender = address("10.0.0.1");
  announce.primary = address("2001:db8::1");
  announce.clients = our_clients();
  announce.heard = {address("10.0.0.2")};
  Message sent = message(announce);
  sent.reply_requested = sent.elect_now = true;
  Writer out = header(1, 0x03);
  out.u16(100).u8(4).u8(0x15).u32(3).u64(0x0102030405060708).u64(0x0102030405);
  out.bytes(Bytes(32, 0xaa)).bytes(Bytes(32, 0xbb));
  v4(out, 0x0a000001).u8(6).u32(0x20010db8).zeros(11).u8(1);
  out.u8(3).u32(0x01010000).u32(0x02010000).u32(0x03010000);
  v4(out.u8(1), 0x0a000002);
  EXPECT_EQ(to_hex(encode(sent)), to_hex(out.view()));
  for (const auto& [role, number] :
       {std::pair(Role::listening, 1), {Role::secondary, 2}, {Role::electing, 3}})
    EXPECT_EQ(static_cast<int>(role), number);
}

TEST(CoopSpecification, AnnounceOfAServerThatJustStarts) {
  Announce announce;
  announce.sender = address("10.0.0.1");
  announce.synchronized = true;
  Writer out = header(1, 0);
  out.u16(0).u8(1).u8(0x0a).zeros(4 + 8 + 8 + 32 + 32);
  v4(v4(out, 0x0a000001), 0).u8(0).u8(0);
  EXPECT_EQ(to_hex(encode(message(announce))), to_hex(out.view()));
}

TEST(CoopSpecification, DataAndAck) {
  Writer data = header(2, 0);
  data.u32(5).u64(1ull << 40).u8(1).u8(2).u8(3);
  EXPECT_EQ(to_hex(encode(message(Data{5, 1ull << 40, {1, 2, 3}}))), to_hex(data.view()));
  Writer ack = header(3, 0);
  ack.u32(5).u64(12345);
  EXPECT_EQ(to_hex(encode(message(Ack{5, 12345}))), to_hex(ack.view()));
  Bytes longer = to_bytes(ack.view());
  longer.push_back(0);
  EXPECT_FALSE(decode(longer));
}

TEST(CoopSpecification, Item) {
  const Item item{
      {Kind::seq, Bytes(16, 7)}, 0x99, address("10.0.0.1"), false, Secret(Writer().u32(41).view())};
  Writer out;
  v4(out.u8(4).u8(0).u8(16), 0x0a000001).u64(0x99).u32(4).bytes(Bytes(16, 7)).u32(41);
  EXPECT_EQ(to_hex(encode_item(item)), to_hex(out.view()));
  const Item gone{{Kind::member, {9}}, 0x99, address("10.0.0.1"), true, Secret()};
  Writer tomb;
  v4(tomb.u8(6).u8(1).u8(1), 0x0a000001).u64(0x99).u32(0).u8(9);
  EXPECT_EQ(to_hex(encode_item(gone)), to_hex(tomb.view()));
}

TEST(CoopSpecification, Epoch) {
  Epoch epoch;
  epoch.number = 3;
  epoch.id = {9};
  epoch.parent.fill(0x11);
  epoch.purge.fill(0x22);
  epoch.state = EpochState::committed;
  epoch.cause = EpochCause::sender_ids;
  epoch.sid_epoch = 2;
  epoch.start_ms = 1000;
  epoch.ancestors = {EpochId{0x33}};
  Chain chain;
  chain.line.fill(0x44);
  chain.spi_base = 0x55;
  chain.suite = 14;
  chain.start_ms = 1000;
  chain.period_ms = 60;
  chain.lifetime_ms = 100;
  chain.generation = 6;
  chain.secret = Secret(Bytes(32, 0x66));
  epoch.chains.push_back(std::move(chain));
  Writer out;
  out.u32(3).bytes(Bytes(8, 0x11)).bytes(Bytes(8, 0x22)).u8(2).u8(8).u16(1).u32(2).u64(1000);
  out.u8(1).u8(0x33).zeros(7);
  const std::size_t before = out.size();
  out.bytes(Bytes(16, 0x44)).u32(0x55).u8(14).zeros(3);
  out.u64(1000).u64(60).u64(100).u64(6).bytes(Bytes(32, 0x66)).zeros(4);
  EXPECT_EQ(out.size() - before, 92u);
  EXPECT_EQ(to_hex(encode_epoch(epoch)), to_hex(out.view()));
}

TEST(CoopSpecification, LeaseAndRemovedIdentity) {
  const Lease lease{2, 512, 256, 600, address("10.0.0.1"), 530};
  EXPECT_EQ(to_hex(lease_key(lease)), to_hex(Writer().u32(2).u32(512).view()));
  Writer out;
  v4(out.u32(256).u32(600).u32(530), 0x0a000001);
  EXPECT_EQ(to_hex(encode_lease(lease)), to_hex(out.view()));
  EXPECT_EQ(to_hex(encode_removed({true, "CN=a"})), "01434e3d61");
}

TEST(CoopSpecification, Member) {
  gdoi::Member member;
  member.identity = "CN=a";
  member.cohort = true;
  member.remote = {address("10.0.0.9"), 4500};
  member.registrations = 3;
  member.sender_ids = {7, 8};
  Writer out;
  out.u8(2).u8(1).u64(5000).u64(0x2222).u16(4).bytes(as_bytes("CN=a"));
  v4(out, 0x0a000009).u16(4500).u32(3).u8(2).u32(7).u32(8);
  EXPECT_EQ(to_hex(encode_member(member, 5000, 0x2222)), to_hex(out.view()));
}

TEST(CoopSpecification, LinesOfThePolicy) {
  gdoi::GroupPolicy policy;
  policy.id = {std::uint32_t{484}};
  policy.rekey.transport = gdoi::RekeyTransport::multicast;
  policy.rekey.multicast_destination = Endpoint{address("239.0.1.1"), 848};
  gdoi::SaPolicy sa;
  gdoi::AclEntry entry;
  entry.selector.protocol = 6;
  entry.selector.source = *Prefix::parse("10.0.0.0/24");
  entry.selector.source_ports = {443, 443};
  entry.selector.destination = *Prefix::parse("10.1.0.1/32");
  sa.acl.push_back(entry);
  entry.permit = false;
  entry.selector = {};
  entry.selector.source = entry.selector.destination = *Prefix::parse("0.0.0.0/0");
  sa.acl.push_back(entry);
  policy.sas.push_back(sa);
  EXPECT_EQ(policy_text(canonical(policy)),
            "group identity = 484\n"
            "rekey cipher = aes-256-cbc\n"
            "rekey signature-hash = sha256\n"
            "rekey lifetime = 86400\n"
            "rekey transport = multicast\n"
            "rekey address = 239.0.1.1:848\n"
            "rekey acknowledge = yes\n"
            "rekey retransmit = 40000 ms number 2\n"
            "activation-delay = 90\n"
            "deactivation-delay = 120\n"
            "sender-id-bits = 16\n"
            "send-exclusions = no\n"
            "sa 10 suite = aes-256-gcm\n"
            "sa 10 lifetime = 3600\n"
            "sa 10 replay = counter window 64\n"
            "sa 10 tek-per-entry = yes\n"
            "sa 10 acl 1 = permit tcp 10.0.0.0 0.0.0.255 eq 443 host 10.1.0.1\n"
            "sa 10 acl 2 = deny ip any any\n");
  sa.replay = dataplane::ReplayKind::time;
  EXPECT_EQ(tek_line(sa, {sa.acl[0]}),
            "sa 10 aes-256-gcm 3600 by time\npermit tcp 10.0.0.0 0.0.0.255 eq 443 host 10.1.0.1");
}

// They are part of what keys are derived from.
TEST(CoopSpecification, NumbersOfSuites) {
  constexpr std::string_view traffic[] = {"aes-128-cbc-hmac-sha1",
                                          "aes-192-cbc-hmac-sha1",
                                          "aes-256-cbc-hmac-sha1",
                                          "aes-128-cbc-hmac-sha256",
                                          "aes-192-cbc-hmac-sha256",
                                          "aes-256-cbc-hmac-sha256",
                                          "aes-128-cbc-hmac-sha384",
                                          "aes-192-cbc-hmac-sha384",
                                          "aes-256-cbc-hmac-sha384",
                                          "aes-128-cbc-hmac-sha512",
                                          "aes-192-cbc-hmac-sha512",
                                          "aes-256-cbc-hmac-sha512",
                                          "aes-128-gcm",
                                          "aes-192-gcm",
                                          "aes-256-gcm"};
  constexpr unsigned integrity[] = {20, 32, 48, 64, 0};
  for (std::uint8_t i = 0; i < std::size(traffic); ++i) {
    const auto& shape = dataplane::shape_of(static_cast<dataplane::Suite>(i));
    EXPECT_EQ(shape.name, traffic[i]);
    EXPECT_EQ(shape.cipher_key, 16 + i % 3 * 8) << shape.name;
    EXPECT_EQ(shape.integrity_key, integrity[i / 3]) << shape.name;
    EXPECT_EQ(shape.salt, i < 12 ? 0 : 4) << shape.name;
  }
  constexpr std::string_view rekey[] = {"aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "3des-cbc"};
  for (std::uint8_t i = 0; i < std::size(rekey); ++i)
    EXPECT_EQ(crypto::name_of(static_cast<crypto::Cipher>(i)), rekey[i]);
}

}  // namespace
}  // namespace cohort::coop
