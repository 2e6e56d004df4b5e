#include <gmock/gmock.h>

#include "config/object.hpp"
#include "config/text_values.hpp"

namespace cohort::config {
namespace {

using std::chrono::microseconds;

TEST(Duration, Units) {
  EXPECT_EQ(parse_duration("20s"), std::chrono::seconds(20));
  EXPECT_EQ(parse_duration("1500ms"), std::chrono::milliseconds(1500));
  EXPECT_EQ(parse_duration("100us"), microseconds(100));
  EXPECT_EQ(parse_duration("2h"), std::chrono::hours(2));
  EXPECT_EQ(parse_duration("5000d"), std::chrono::hours(24 * 5000));
  EXPECT_EQ(parse_duration("0s"), microseconds(0));
  for (const char* bad : {"", "s", "20", "20 s", "-1s", "+1s", "1.5s", "20S", "20sec", "0x10s",
                          "99999999999999999999s", "9007199254740993us", "1s "}) {
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
  }
}

TEST(Duration, TextIsReadBack) {
  for (const char* text : {"0s", "1us", "1500ms", "20s", "61s", "2h", "1d", "5000d"}) {
    EXPECT_EQ(duration_text(*parse_duration(text)), text);
  }
}

struct LineCase {
  const char* line;
  const char* printed;  ///< or, with an '!' in front, the reason of refusal
};

class AccessLineText : public testing::TestWithParam<LineCase> {};

TEST_P(AccessLineText, ReadsOrSaysWhy) {
  const auto& [line, printed] = GetParam();
  const auto out = read_access_line(line, 10);
  if (printed[0] == '!') {
    ASSERT_FALSE(out) << access_text(out->entry);
    EXPECT_EQ(out.error(), printed + 1);
  } else {
    ASSERT_TRUE(out) << out.error();
    EXPECT_EQ(access_text(out->entry), printed);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lines, AccessLineText,
    testing::Values(
        LineCase{"permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255",
                 "permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255"},
        LineCase{"20 deny tcp 10.0.0.0/24 any eq 22", "deny tcp 10.0.0.0 0.0.0.255 any eq 22"},
        LineCase{"permit udp host 10.0.0.1 range 5000 5010 any",
                 "permit udp host 10.0.0.1 range 5000 5010 any"},
        LineCase{"permit ip 2001:db8:1::/48 2001:db8:2::/48",
                 "permit ipv6 2001:db8:1::/48 2001:db8:2::/48"},
        LineCase{"permit ip any any", "permit ip any any"},
        LineCase{"permit ipv6 any any", "permit ipv6 any any"},
        LineCase{"permit 253 any host 10.9.9.9", "permit 253 any host 10.9.9.9"},
        // A truncated address.
        LineCase{"permit ip 10.0.0 0.0.0.255 172.16.0.0 0.0.255.255",
                 "!in the source \"10.0.0 0.0.0.255\": \"10.0.0\" has 3 of the 4 parts of an IPv4 "
                 "address; write all four"},
        LineCase{"permit ip 10.0.0.1 0.0.0.255 any",
                 "!in the source \"10.0.0.1 0.0.0.255\": it has bits set behind the prefix; did "
                 "you mean 10.0.0.0/24?"},
        LineCase{"permit ip 10.0.0.0 255.255.255.0 any",
                 "!in the source \"10.0.0.0 255.255.255.0\": the second part must be a wildcard "
                 "mask whose ones are all at the end, as in 0.0.0.255"},
        LineCase{"permit ip 10.0.0.0/24 2001:db8::/32",
                 "!source and destination must be of one family, IPv4 or IPv6"},
        LineCase{"permit ip 10.0.0.0/24", "!the destination is missing"},
        LineCase{"permit ip any any any", "!\"any\" is one word too many"},
        LineCase{"permit ip any eq 22 any", "!ports need the protocol tcp, udp or sctp"},
        LineCase{"permit tcp any any range 10 5", "!write one port (443) or a range (1024-65535)"},
        LineCase{"allow ip any any", "!begin with permit or deny, not \"allow\""},
        LineCase{"", "!begin with permit or deny, not \"\""}));

TEST(Endpoint, WithAndWithoutPort) {
  EXPECT_EQ(read_endpoint("192.0.2.1", 848)->text(), "192.0.2.1:848");
  EXPECT_EQ(read_endpoint("192.0.2.1:500", 848)->text(), "192.0.2.1:500");
  EXPECT_EQ(read_endpoint("2001:db8::1", 848)->text(), "[2001:db8::1]:848");
  EXPECT_EQ(read_endpoint("[2001:db8::1]:500", 848)->text(), "[2001:db8::1]:500");
  for (const char* bad : {"192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:", "[2001:db8::1", ":80",
                          "[2001:db8::1]80", "host:80", ""}) {
    EXPECT_FALSE(read_endpoint(bad, 848)) << bad;
  }
  EXPECT_FALSE(read_endpoint("192.0.2.1", 0));
}

TEST(DidYouMean, NearWordsOnly) {
  EXPECT_EQ(did_you_mean("sha255", {"sha256", "sha384"}), "sha256");
  EXPECT_EQ(did_you_mean("lifetiem", {"lifetime", "level"}), "lifetime");
  EXPECT_EQ(did_you_mean("auto_enroll", {"auto_enroll_percent"}), "auto_enroll_percent");
  EXPECT_EQ(did_you_mean("zebra", {"sha256", "sha384"}), "");
  EXPECT_EQ(did_you_mean(std::string(100'000, 'a'), {"sha256"}), "");
}

}  // namespace
}  // namespace cohort::config
