#include "controlplane/ike/identification.hpp"

#include <gtest/gtest.h>

#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {
namespace {

PeerIdentity certificate() {
  PeerIdentity identity;
  identity.by_certificate = true;
  identity.subject_der = {0x30, 0x03, 1, 2, 3};
  identity.san_dns = {"Branch.example"};
  identity.san_email = {"ops@branch.example"};
  identity.san_addresses = {IpAddress::parse("10.0.0.1").value(),
                            IpAddress::parse("2001:db8::1").value()};
  return identity;
}

bool proven(IdType type, ByteView data) {
  const Bytes body = id_body(type, data);
  return check_proven_by_certificate(*Identification::parse(body), certificate()).has_value();
}

TEST(Identification, a_certificate_proves_its_own_names_only) {
  EXPECT_TRUE(proven(IdType::der_asn1_dn, Bytes{0x30, 0x03, 1, 2, 3}));
  EXPECT_FALSE(proven(IdType::der_asn1_dn, Bytes{0x30, 0x03, 1, 2, 4}));
  EXPECT_TRUE(proven(IdType::fqdn, as_bytes("branch.EXAMPLE")));
  EXPECT_FALSE(proven(IdType::fqdn, as_bytes("branch.example.org")));
  EXPECT_FALSE(proven(IdType::fqdn, as_bytes("ops@branch.example")));
  EXPECT_TRUE(proven(IdType::user_fqdn, as_bytes("ops@branch.example")));
  EXPECT_TRUE(proven(IdType::ipv4_addr, Bytes{10, 0, 0, 1}));
  EXPECT_FALSE(proven(IdType::ipv4_addr, Bytes{10, 0, 0, 2}));
  EXPECT_FALSE(proven(IdType::key_id, as_bytes("branch.example")));
  EXPECT_FALSE(proven(static_cast<IdType>(4), Bytes{10, 0, 0, 0, 255, 0, 0, 0}));
  const auto v6 = IpAddress::parse("2001:db8::1").value();
  EXPECT_TRUE(proven(IdType::ipv6_addr, v6.bytes()));
}

TEST(Identification, a_shared_key_proves_the_address_only) {
  const auto remote = IpAddress::parse("10.0.0.1").value();
  const Bytes right = id_body(remote);
  const Bytes wrong = id_body(IpAddress::parse("10.0.0.2").value());
  const Bytes name = id_body(IdType::fqdn, as_bytes("10.0.0.1"));
  EXPECT_TRUE(check_proven_by_address(*Identification::parse(right), remote));
  EXPECT_FALSE(check_proven_by_address(*Identification::parse(wrong), remote));
  // A name is no claim: the peer is called by its address.
  EXPECT_TRUE(check_proven_by_address(*Identification::parse(name), remote));
  const Bytes subnet = id_body(static_cast<IdType>(4), Bytes{10, 0, 0, 1, 255, 255, 255, 255});
  EXPECT_FALSE(check_proven_by_address(*Identification::parse(subnet), remote));
}

TEST(Identification, form) {
  const auto parses = [](const char* hex) {
    return Identification::parse(from_hex(hex).value()).has_value();
  };
  EXPECT_TRUE(parses("010000000a000001"));
  EXPECT_TRUE(parses("011101f40a000001"));   // UDP 500
  EXPECT_TRUE(parses("011103500a000001"));   // UDP 848
  EXPECT_FALSE(parses("010601f40a000001"));  // TCP
  EXPECT_FALSE(parses("010000010a000001"));  // port without protocol
  EXPECT_FALSE(parses("010000000a0000"));    // three octets of address
  EXPECT_FALSE(parses("050000000a000001"));  // four of IPv6
  EXPECT_FALSE(parses("02000000"));          // nothing
  EXPECT_FALSE(parses("020000"));
}

TEST(Identification, text_is_bounded_and_printable) {
  const Bytes hostile = id_body(IdType::fqdn, Bytes{'a', '\n', 0x1b, '[', 0xff, 0});
  EXPECT_EQ(Identification::parse(hostile)->text(), "a??[??");
  const Bytes endless = id_body(IdType::fqdn, Bytes(5000, 'x'));
  EXPECT_EQ(Identification::parse(endless)->text().size(), 64u);
}

}  // namespace
}  // namespace cohort::ike
