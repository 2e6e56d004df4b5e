#include "controlplane/base/address.hpp"

#include <gtest/gtest.h>

namespace cohort {
namespace {

TEST(IpAddress, TextRoundTrip) {
  for (const char* text : {"0.0.0.0", "10.191.61.114", "2001:db8::1", "::", "ff02::1"})
    EXPECT_EQ(IpAddress::parse(text).value().text(), text);
  for (const char* bad : {"", "10.0.0", "10.0.0.256", "1.2.3.4.5", "2001:::1", "10.0.0.0/8"})
    EXPECT_FALSE(IpAddress::parse(bad)) << bad;
}

TEST(IpAddress, Kinds) {
  EXPECT_TRUE(IpAddress::parse("239.1.1.1")->is_multicast());
  EXPECT_TRUE(IpAddress::parse("ff02::1")->is_multicast());
  EXPECT_FALSE(IpAddress::parse("223.1.1.1")->is_multicast());
  EXPECT_TRUE(IpAddress{}.is_unspecified());
  EXPECT_EQ(IpAddress::v4(0x0a000001).text(), "10.0.0.1");
}

TEST(Prefix, BothNotations) {
  EXPECT_EQ(Prefix::parse("10.0.0.0/24").value(), Prefix::parse("10.0.0.0 0.0.0.255").value());
  EXPECT_EQ(Prefix::parse("172.16.0.0 0.0.255.255")->text(), "172.16.0.0/16");
  EXPECT_EQ(Prefix::parse("10.1.1.1")->length, 32);
  EXPECT_EQ(Prefix::parse("2001:db8::/32")->text(), "2001:db8::/32");
}

TEST(Prefix, RefusesWhatCannotBeMeant) {
  for (const char* bad : {"10.0.0 0.0.0.255", "10.0.0.0/33", "10.0.0.1/24", "10.0.0.0/",
                          "10.0.0.0 0.0.255.0", "10.0.0.0/24x", "2001:db8::1/32", "/8", ""})
    EXPECT_FALSE(Prefix::parse(bad)) << bad;
  EXPECT_NE(Prefix::parse("10.0.0.1/24").error().detail().find("10.0.0.0/24"), std::string::npos);
}

TEST(Prefix, Contains) {
  const Prefix prefix = Prefix::parse("10.0.0.0/23").value();
  EXPECT_TRUE(prefix.contains(IpAddress::parse("10.0.1.255").value()));
  EXPECT_FALSE(prefix.contains(IpAddress::parse("10.0.2.0").value()));
  EXPECT_FALSE(prefix.contains(IpAddress::parse("a00::").value()));
  EXPECT_TRUE(Prefix::any(Family::v6).contains(IpAddress::parse("2001:db8::1").value()));
  EXPECT_FALSE(Prefix::any(Family::v6).contains(IpAddress::parse("1.2.3.4").value()));
}

}  // namespace
}  // namespace cohort
