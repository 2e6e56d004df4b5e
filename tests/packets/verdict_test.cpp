#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <optional>
#include <ostream>

#include "tests/packets/lab.hpp"

/// What becomes of one frame: {name, where it comes from, frame, where it goes, or why it does
/// not}. The policy of these tables:
///   0 drop    10.0.0.66      → anywhere
///   1 bypass  10.0.0.0/24    → 172.16.0.0/16 udp 6000-6010 (destination)
///   2 protect 10.0.0.0/24    → 172.16.0.0/16
///   3 protect 172.16.0.0/16  → 10.0.0.0/24
///   4 protect 2001:db8:a::/48 → 2001:db8:b::/48
///   5 protect 10.0.0.0/24    → 239.1.0.0/16
///   6 protect 10.0.9.0/24    → 172.17.0.0/16, no SA yet
///   otherwise bypass.
namespace cohort::test {
namespace {

using namespace dataplane;

enum class Where { inside, outside, punt, nowhere };
enum class How {
  same,       ///< leaves as it came
  encrypted,  ///< leaves as ESP around what came
  decrypted,  ///< leaves as what was inside
  copied      ///< leaves as it came, and the kernel has a copy
};

struct Row {
  const char* name;
  Where from;
  Bytes frame;
  Where to;
  How how = How::same;
  const char* drop = "";
  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
};

constexpr std::uint32_t spi = 0x1000;

Snapshot table_policy() {
  Snapshot snapshot;
  auto& policy = snapshot.policy;
  policy.push_back(entry(Action::drop, "10.0.0.66/32", "0.0.0.0/0"));
  policy.push_back(entry(Action::bypass, "10.0.0.0/24", "172.16.0.0/16"));
  policy.back().selector.protocol = 17;
  policy.back().selector.destination_ports = {6000, 6010};
  policy.push_back(entry(Action::protect, "10.0.0.0/24", "172.16.0.0/16", spi));
  policy.push_back(entry(Action::protect, "172.16.0.0/16", "10.0.0.0/24", spi));
  policy.push_back(entry(Action::protect, "2001:db8:a::/48", "2001:db8:b::/48", spi));
  policy.push_back(entry(Action::protect, "10.0.0.0/24", "239.1.0.0/16", spi));
  policy.push_back(entry(Action::protect, "10.0.9.0/24", "172.17.0.0/16"));
  snapshot.sas.push_back(make_sa(Suite::aes_128_gcm_16, spi));
  return snapshot;
}

Ipv4 between(std::string source, std::string destination) {
  Ipv4 header;
  header.source = std::move(source);
  header.destination = std::move(destination);
  return header;
}
Ipv6 between6(std::string source, std::string destination, std::uint8_t hop_limit = 64) {
  Ipv6 header;
  header.source = std::move(source);
  header.destination = std::move(destination);
  header.hop_limit = hop_limit;
  return header;
}
Bytes cut(Bytes frame, std::size_t size) {
  frame.resize(size);
  return frame;
}
Bytes with(Bytes frame, std::size_t at, std::uint8_t value) {
  frame[at] = value;
  return frame;
}
Bytes sealed(const Bytes& inner, const SealOptions& options = {}) {
  SealOptions full = options;
  if (full.iv.empty()) full.iv = iv_for(Suite::aes_128_gcm_16, 99);
  return frame(seal(make_sa(Suite::aes_128_gcm_16, spi), inner, full));
}
Bytes changed_sealed(std::size_t from_end) {
  Bytes out = sealed(sized_v4(100));
  out[out.size() - from_end] ^= 1;
  return out;
}

const Bytes plain = frame(sized_v4(100));
const Bytes plain6 = frame(sized_v6(100));
const Ipv4 kernel = between("198.51.100.1", "10.191.61.116");
const Ipv4 key_server = between("10.191.61.114", "10.191.61.116");

std::vector<Row> rows() {
  const auto in = Where::inside;
  const auto out = Where::outside;
  const auto none = Where::nowhere;
  return {
      // -- clear side: policy
      {"protects_what_an_entry_permits", in, plain, out, How::encrypted},
      {"protects_ipv6", in, plain6, out, How::encrypted},
      {"protects_multicast", in, frame(ip(between("10.0.0.1", "239.1.2.3"), udp(1, 2, 30))), out,
       How::encrypted},
      {"protects_icmp", in, frame(ip(Ipv4{}, icmp_echo(56))), out, How::encrypted},
      {"protects_an_unknown_protocol", in, frame(ip(Ipv4{}, raw(99, Bytes(10)))), out,
       How::encrypted},
      {"keeps_one_tag", in, frame(sized_v4(100), {7}), out, How::encrypted},
      {"keeps_two_tags", in, frame(sized_v4(100), {7, 9}), out, How::encrypted},
      {"cuts_ethernet_padding", in, cut(frame(sized_v4(29)), 60), out, How::encrypted},
      {"bypasses_by_port_range_first", in, frame(ip(Ipv4{}, udp(9, 6000, 4))), out},
      {"bypasses_by_port_range_last", in, frame(ip(Ipv4{}, udp(9, 6010, 4))), out},
      {"port_below_the_range", in, frame(ip(Ipv4{}, udp(9, 5999, 4))), out, How::encrypted},
      {"port_above_the_range", in, frame(ip(Ipv4{}, udp(9, 6011, 4))), out, How::encrypted},
      {"tcp_is_not_udp", in, frame(ip(Ipv4{}, tcp(9, 6000, 0x10))), out, How::encrypted},
      {"drops_by_the_first_entry", in,
       frame(ip(between("10.0.0.66", "172.16.0.1"), udp(9, 6000, 4))), none, How::same,
       "policy_drop"},
      {"otherwise_bypass", in, frame(ip(between("192.0.2.1", "192.0.2.2"), udp(1, 2, 3))), out},
      {"no_sa_to_send_with", in, frame(ip(between("10.0.9.1", "172.17.0.1"), udp(1, 2, 3))), none,
       How::same, "no_outbound_sa"},
      // -- clear side: link and control
      {"arp_passes", in, arp_request("10.0.0.2"), out, How::copied},
      {"neighbour_solicitation_passes", in,
       frame(ip(between6("2001:db8:a::1", "ff02::1:ff00:9", 255), icmp6(135, 20))), out,
       How::copied},
      {"a_probe_of_a_neighbour_passes", in,
       frame(ip(between6("2001:db8:a::1", "2001:db8:a::9", 255), icmp6(135, 20))), out,
       How::copied},
      {"an_answer_from_a_link_local_address_passes", in,
       frame(ip(between6("fe80::1", "2001:db8:b::9", 255), icmp6(136, 20))), out, How::copied},
      {"a_neighbour_in_another_network_is_traffic", in,
       frame(ip(between6("2001:db8:a::1", "2001:db8:b::9", 255), icmp6(135, 20))), out,
       How::encrypted},
      {"a_routed_neighbour_solicitation_is_traffic", in,
       frame(ip(between6("2001:db8:a::1", "2001:db8:b::9", 254), icmp6(135, 20))), out,
       How::encrypted},
      {"echo_request_is_traffic", in,
       frame(ip(between6("2001:db8:a::1", "2001:db8:b::9", 255), icmp6(128, 20))), out,
       How::encrypted},
      {"to_the_member_itself", in, frame(ip(between("10.0.0.1", "10.191.61.116"), udp(1, 2, 3))),
       Where::punt},
      {"key_server_behind_us", in,
       frame(ip(between("10.191.61.114", "172.16.0.9"), isakmp(848, 848, 9))), out},
      {"key_server_from_another_port", in,
       frame(ip(between("10.191.61.114", "172.16.0.9"), udp(999, 848, 9))), out},
      {"igmp_reaches_the_kernel", in,
       frame(ip(between("192.0.2.1", "224.0.0.1"), raw(2, Bytes(8)))), out, How::copied},
      {"other_link_protocols_do_not_pass", in, with(with(plain, 12, 0x88), 13, 0xcc), none,
       How::same, "not_ip"},
      // -- clear side: malformed
      {"shorter_than_ethernet", in, cut(plain, 13), none, How::same, "truncated_frame"},
      {"no_ip_header", in, cut(plain, 14), none, How::same, "truncated_frame"},
      {"half_an_ip_header", in, cut(plain, 33), none, How::same, "truncated_frame"},
      {"ip_length_beyond_the_frame", in, cut(plain, 113), none, How::same, "truncated_frame"},
      {"tag_cut_off", in, cut(frame(sized_v4(100), {7}), 15), none, How::same, "truncated_frame"},
      {"three_tags", in, frame(sized_v4(100), {7, 8, 9}), none, How::same, "too_many_tags"},
      {"version_5", in, with(plain, 14, 0x55), none, How::same, "bad_ip_header"},
      {"ipv6_in_an_ipv4_frame", in, with(plain, 14, 0x65), none, How::same, "bad_ip_header"},
      {"header_length_4", in, with(plain, 14, 0x44), none, How::same, "bad_ip_header"},
      {"total_length_under_header", in, with(with(plain, 16, 0), 17, 19), none, How::same,
       "bad_ip_header"},
      {"udp_without_ports", in, frame(ip(Ipv4{}, raw(17, Bytes(3)))), none, How::same,
       "transport_truncated"},
      {"half_an_ipv6_header", in, cut(plain6, 53), none, How::same, "truncated_frame"},
      {"ipv6_length_beyond_the_frame", in, cut(plain6, 113), none, How::same, "truncated_frame"},
      {"longer_than_the_mtu", in, frame(sized_v4(1501)), none, How::same, "frame_over_mtu"},
      {"ping_of_death", in, frame(ip(Ipv4{.offset = 65512}, raw(1, Bytes(1000)))), none, How::same,
       "bad_ip_header"},
      // -- encrypted side
      {"decrypts", out, sealed(sized_v4(100)), in, How::decrypted},
      {"decrypts_ipv6", out, sealed(sized_v6(100)), in, How::decrypted},
      {"decrypts_with_more_padding", out, sealed(sized_v4(100), {.extra_pad = 50}), in,
       How::decrypted},
      {"decrypts_with_flow_padding", out, sealed(sized_v4(100), {.tfc = Bytes(333)}), in,
       How::decrypted},
      {"clear_where_it_must_be_encrypted", out, plain, none, How::same, "clear_not_allowed"},
      {"clear_ipv6_where_it_must_be_encrypted", out, plain6, none, How::same, "clear_not_allowed"},
      {"clear_by_a_bypass_entry", out, frame(ip(Ipv4{}, udp(9, 6001, 4))), in},
      {"clear_otherwise", out, frame(ip(between("192.0.2.1", "192.0.2.2"), udp(1, 2, 3))), in},
      {"clear_from_a_dropped_source", out,
       frame(ip(between("10.0.0.66", "172.16.0.1"), udp(1, 2, 3))), none, How::same, "policy_drop"},
      {"arp_from_outside", out, arp_request("10.0.0.2"), in, How::copied},
      {"unknown_spi", out,
       frame(seal(make_sa(Suite::aes_128_gcm_16, 0x7777), sized_v4(100), {.iv = Bytes(8)})), none,
       How::same, "unknown_spi"},
      {"esp_of_others", out, frame(ip(between("192.0.2.1", "192.0.2.2"), raw(50, Bytes(60)))), in},
      {"esp_without_a_header", out, frame(ip(Ipv4{}, raw(50, Bytes(7)))), none, How::same,
       "esp_truncated"},
      {"esp_without_an_icv", out, frame(ip(Ipv4{}, raw(50, {0, 0, 0x10, 0, 0, 0, 0, 1,  1,  2,
                                                            3, 4, 5,    6, 7, 8, 9, 10, 11, 12}))),
       none, How::same, "esp_truncated"},
      {"esp_of_no_whole_block", out,
       [] {
         Bytes esp(8 + 8 + 17 + 16);
         esp[2] = 0x10;
         return frame(ip(Ipv4{}, raw(50, esp)));
       }(),
       none, How::same, "esp_bad_length"},
      {"forged_icv", out, changed_sealed(1), none, How::same, "bad_icv"},
      {"forged_text", out, changed_sealed(40), none, How::same, "bad_icv"},
      {"forged_sequence", out,
       [] {
         Bytes esp = sealed(sized_v4(100));
         esp[14 + 20 + 7] ^= 4;
         return esp;
       }(),
       none, How::same, "bad_icv"},
      {"sequence_zero", out, sealed(sized_v4(100), {.sequence = 0}), none, How::same,
       "replay_too_old"},
      {"wrong_padding", out, sealed(sized_v4(100), {.padding = Bytes{1, 9}}), none, How::same,
       "bad_padding"},
      {"pad_length_beyond_the_text", out, sealed(sized_v4(100), {.pad_length = 255}), none,
       How::same, "bad_padding"},
      {"ipv6_in_ipv4", out, sealed(sized_v4(100), {.next_header = 41}), none, How::same,
       "bad_next_header"},
      {"transport_mode", out, sealed(sized_v4(100), {.next_header = 17}), none, How::same,
       "bad_next_header"},
      {"dummy", out, sealed(sized_v4(100), {.next_header = 59}), none, How::same, "dummy_packet"},
      {"inner_longer_than_the_text", out, sealed(with(sized_v4(100), 2, 9)), none, How::same,
       "inner_malformed"},
      {"other_inner_destination", out,
       [] {
         Bytes esp = sealed(sized_v4(100));
         esp[14 + 19] ^= 1;
         return esp;
       }(),
       none, How::same, "inner_address_mismatch"},
      {"other_inner_source", out,
       [] {
         Bytes esp = sealed(sized_v4(100));
         esp[14 + 15] ^= 1;
         return esp;
       }(),
       none, How::same, "inner_address_mismatch"},
      {"inner_that_the_sa_is_not_for", out,
       sealed(ip(between("192.0.2.1", "192.0.2.2"), udp(1, 2, 3))), none, How::same,
       "inner_selector_mismatch"},
      {"inner_that_bypasses", out, sealed(ip(Ipv4{}, udp(9, 6001, 4))), none, How::same,
       "inner_selector_mismatch"},
      {"inner_that_is_dropped", out, sealed(ip(between("10.0.0.66", "172.16.0.1"), udp(1, 2, 3))),
       none, How::same, "inner_selector_mismatch"},
      // -- for the member
      {"control_from_the_key_server", out, frame(ip(key_server, udp(848, 848, 50))), Where::punt},
      {"control_from_anybody", out, frame(ip(kernel, udp(500, 500, 50))), Where::punt},
      {"clear_for_the_member", out, frame(ip(kernel, tcp(5, 80, 0x10))), Where::punt},
      {"multicast_rekey", out,
       frame(ip(between("10.191.61.114", "239.9.9.9"), isakmp(848, 848, 50))), in, How::copied},
      {"multicast_rekey_from_a_stranger", out,
       frame(ip(between("10.0.0.1", "239.1.9.9"), udp(848, 848, 50))), none, How::same,
       "clear_not_allowed"},
      // -- from the member
      {"control_to_the_key_server", Where::punt,
       frame(ip(between("10.191.61.116", "10.191.61.114"), udp(848, 848, 50))), out},
      {"enrolment", Where::punt,
       frame(ip(between("10.191.61.116", "10.191.61.120"), tcp(40000, 80, 2))), out},
      {"arp_of_the_member", Where::punt, arp_request("10.191.61.1"), out},
      {"member_to_a_protected_host", Where::punt, plain, out, How::encrypted},
  };
}

class Verdicts : public testing::TestWithParam<Row> {};
INSTANTIATE_TEST_SUITE_P(Table, Verdicts, testing::ValuesIn(rows()),
                         [](const auto& row) { return row.param.name; });

Bytes trimmed(const Bytes& sent) {
  const std::size_t l2 = sent.size() - packet_of(sent).size();
  Bytes out = sent;
  const Bytes packet = packet_of(sent);
  out.resize(l2 + (packet[0] >> 4 == 6 ? 40u + packet[4] * 256u + packet[5]
                                       : packet[2] * 256u + packet[3]));
  return out;
}

TEST_P(Verdicts, Hold) {
  const Row& row = GetParam();
  Lab lab;
  lab.apply(table_policy());
  const Outcome outcome = row.from == Where::inside    ? lab.inside({row.frame})
                          : row.from == Where::outside ? lab.outside({row.frame})
                                                       : lab.punt({row.frame});
  const std::map<std::string, std::uint64_t> no_drops;
  EXPECT_EQ(outcome.drops, row.to == Where::nowhere
                               ? (std::map<std::string, std::uint64_t>{{row.drop, 1}})
                               : no_drops);
  const bool copied = row.how == How::copied;
  EXPECT_EQ(outcome.inside.size(), row.to == Where::inside ? 1u : 0u);
  EXPECT_EQ(outcome.outside.size(), row.to == Where::outside ? 1u : 0u);
  ASSERT_EQ(outcome.punt.size(), row.to == Where::punt || copied ? 1u : 0u);
  if (copied) {
    EXPECT_EQ(outcome.punt[0], row.frame);
  }
  const auto& list = row.to == Where::inside    ? outcome.inside
                     : row.to == Where::outside ? outcome.outside
                                                : outcome.punt;
  if (list.empty()) return;
  switch (row.how) {
    case How::same:
    case How::copied:
      EXPECT_EQ(list[0], row.frame);
      break;
    case How::encrypted: {
      const auto opened = open(make_sa(Suite::aes_128_gcm_16, spi), packet_of(list[0]));
      ASSERT_TRUE(opened);
      EXPECT_EQ(opened->inner, packet_of(trimmed(row.frame)));
      break;
    }
    case How::decrypted: {
      const auto opened = open(make_sa(Suite::aes_128_gcm_16, spi), packet_of(row.frame));
      ASSERT_TRUE(opened);
      const Bytes inner = packet_of(list[0]);
      EXPECT_TRUE(std::equal(inner.begin(), inner.end(), opened->inner.begin()));
      break;
    }
  }
}

/// Fail-close: nothing but the control protocols, ARP and ND.
TEST(FailClose, DropsWhatNoEntryNames) {
  Lab lab;
  Snapshot closed;
  closed.otherwise = Action::drop;
  lab.apply(closed);
  EXPECT_EQ(lab.inside({plain, plain6}).drops.at("no_policy_match"), 2u);
  EXPECT_EQ(lab.outside({plain, plain6}).drops.at("no_policy_match"), 2u);
  EXPECT_EQ(lab.inside({arp_request("10.0.0.2")}).outside.size(), 1u);
  EXPECT_EQ(lab.outside({frame(ip(key_server, udp(848, 848, 9)))}).punt.size(), 1u);
  EXPECT_EQ(lab.punt({frame(ip(between("10.191.61.116", "10.191.61.120"), tcp(4, 80, 2)))})
                .outside.size(),
            1u);
}

/// What has a right of way while everything else is dropped: {name, packet, whether it passes}.
struct Passage {
  const char* name;
  Bytes packet;
  bool passes;
};

TEST(FailClose, NeighbourDiscoveryStaysOnItsLink) {
  Lab lab;
  Snapshot closed;
  closed.otherwise = Action::drop;
  lab.apply(closed);
  const auto says = [](const char* source, const char* destination, std::uint8_t type,
                       std::size_t octets) {
    return ip(between6(source, destination, 255), icmp6(type, octets - 4));
  };
  Bytes code = says("fe80::1", "ff02::1", 136, 24);
  code[41] = 1;
  Bytes fragmented = says("fe80::1", "fe80::2", 135, 24);
  fragmented.insert(fragmented.begin() + 40, {58, 0, 0, 1, 0, 0, 0, 7});
  fragmented[5] = static_cast<std::uint8_t>(fragmented.size() - 40);
  fragmented[6] = 44;
  const std::vector<Passage> passages{
      {"router solicitation", says("fe80::1", "ff02::2", 133, 8), true},
      {"of who has no address yet", says("::", "ff02::2", 133, 8), true},
      {"router advertisement", says("fe80::1", "ff02::1", 134, 16), true},
      {"to whom asked", says("fe80::1", "2001:db8:a::9", 134, 16), true},
      {"of no router of this link", says("2001:db8:a::1", "2001:db8:a::9", 134, 16), false},
      {"duplicate address detection", says("::", "ff02::1:ff00:9", 135, 24), true},
      {"solicitation to a wider group", says("2001:db8:a::1", "ff05::2", 135, 24), false},
      {"solicitation of a neighbour", says("2001:db8:a::1", "2001:db8:a::9", 135, 24), true},
      {"solicitation of somebody far", says("2001:db8:a::1", "2001:db8:b::9", 135, 24), false},
      {"answer to a neighbour", says("2001:db8:a::1", "2001:db8:a::9", 136, 24), true},
      {"answer to somebody far", says("2001:db8:a::1", "2001:db8:b::9", 136, 24), false},
      {"redirect", says("fe80::1", "2001:db8:a::9", 137, 40), true},
      {"redirect of somebody far", says("2001:db8:b::1", "2001:db8:a::9", 137, 40), false},
      {"from a group", says("ff02::1", "fe80::1", 136, 24), false},
      {"too short a solicitation", says("fe80::1", "fe80::2", 135, 23), false},
      {"too short a redirect", says("fe80::1", "fe80::2", 137, 39), false},
      {"with a code", code, false},
      {"a fragment of one", fragmented, false},
      {"echo request", says("fe80::1", "fe80::2", 128, 24), false},
      {"another type", says("fe80::1", "fe80::2", 138, 24), false},
  };
  for (const Passage& passage : passages) {
    const Outcome in = lab.inside({frame(passage.packet)});
    const Outcome out = lab.outside({frame(passage.packet)});
    EXPECT_EQ(in.outside.size(), passage.passes ? 1u : 0u) << passage.name;
    EXPECT_EQ(out.inside.size(), passage.passes ? 1u : 0u) << passage.name;
    EXPECT_EQ(in.drops.contains("no_policy_match"), !passage.passes) << passage.name;
  }
}

TEST(FailClose, KeyServersSpeakIsakmpAndNothingElse) {
  Lab lab;
  Snapshot closed;
  closed.otherwise = Action::drop;
  lab.apply(closed);
  const auto says = [](const Transport& what) {
    return ip(between("10.191.61.114", "172.16.0.9"), what);
  };
  Transport longer = isakmp(848, 848, 20);
  longer.octets[8 + 27] = 49;  // more than the datagram holds
  Transport version = isakmp(848, 848, 20);
  version.octets[8 + 17] = 0x30;
  Transport keepalive = udp(4500, 4500, 1);
  keepalive.octets[8] = 0xff;
  Transport no_keepalive = udp(4500, 4500, 1);
  no_keepalive.octets[8] = 0xfe;
  Transport esp = isakmp(4500, 4500, 20);
  esp.octets[8] = 1;
  const std::vector<Passage> passages{
      {"GDOI", says(isakmp(848, 848, 20)), true},
      {"a bare header", says(isakmp(848, 848, 0)), true},
      {"IKE", says(isakmp(500, 500, 20)), true},
      {"IKE behind a NAT", says(isakmp(4500, 4500, 20)), true},
      {"keepalive", says(keepalive), true},
      {"something else there", says(no_keepalive), false},
      {"ESP in UDP", says(esp), false},
      {"anything at port 848", says(udp(848, 848, 50)), false},
      {"nothing at port 848", says(udp(848, 848, 0)), false},
      {"a length that is not the datagram's", says(longer), false},
      {"a version that nobody has", says(version), false},
      {"a port of no key server", says(isakmp(53, 848, 20)), false},
      {"somebody else", ip(between("10.191.61.113", "172.16.0.9"), isakmp(848, 848, 20)), false},
  };
  for (const Passage& passage : passages) {
    EXPECT_EQ(lab.inside({frame(passage.packet)}).outside.size(), passage.passes ? 1u : 0u)
        << passage.name;
    EXPECT_EQ(lab.outside({frame(passage.packet)}).inside.size(), passage.passes ? 1u : 0u)
        << passage.name;
  }
}

/// The member's address and a control port open no door for others: not from outside into the site,
/// and not from the site out in clear.
TEST(FailClose, TheMembersAddressIsNoPass) {
  Lab lab;
  Snapshot closed;
  closed.otherwise = Action::drop;
  lab.apply(closed);
  const Bytes forged = frame(ip(between("10.191.61.116", "10.0.0.1"), udp(500, 53, 9)));
  EXPECT_EQ(lab.outside({forged, forged}).drops.at("no_policy_match"), 2u);
  EXPECT_EQ(lab.inside({forged, forged}).drops.at("no_policy_match"), 2u);
  EXPECT_EQ(lab.punt({forged}).outside.size(), 1u) << "our own kernel may";
}

TEST(FailOpen, LetsEverythingPass) {
  Lab lab;
  lab.apply(Snapshot{});
  EXPECT_EQ(lab.inside({plain}).outside, (std::vector<Bytes>{plain}));
  EXPECT_EQ(lab.outside({plain6}).inside, (std::vector<Bytes>{plain6}));
}

TEST(Punt, WithoutAPortIsANamedDrop) {
  PipelineOptions options = Lab::defaults();
  options.has_punt = false;
  Lab lab(options);
  lab.apply(Snapshot{});
  EXPECT_EQ(lab.outside({frame(ip(kernel, udp(500, 500, 9)))}).drops.at("no_punt_port"), 1u);
}

TEST(Policy, AChangeIsForgottenByNoFlow) {
  Lab lab;
  lab.apply(table_policy());
  EXPECT_EQ(lab.inside({plain}).forwards.at("encrypted"), 1u);
  lab.apply(Snapshot{});
  EXPECT_EQ(lab.inside({plain}).forwards.at("bypassed"), 1u);
  // More changes than the flow cache has generations.
  for (unsigned i = 0; i < 300; ++i) {
    Snapshot other;
    other.policy.push_back(entry(Action::drop, fmt::format("192.0.2.{}/32", i % 2), "0.0.0.0/0"));
    lab.apply(other);
  }
  lab.apply(table_policy());
  EXPECT_EQ(lab.inside({plain}).forwards.at("encrypted"), 1u);
}

// The selectors are then shared by both policies.
TEST(Policy, AKnownFlowFollowsAnotherActionUnderTheSameSelectors) {
  Lab lab;
  lab.apply(table_policy());
  EXPECT_EQ(lab.inside({plain}).forwards.at("encrypted"), 1u);
  Snapshot closed = table_policy();
  for (PolicyEntry& entry : closed.policy) entry.action = Action::drop;
  lab.apply(closed);
  EXPECT_EQ(lab.inside({plain}).drops.at("policy_drop"), 1u);
  Snapshot swapped = table_policy();
  std::swap(swapped.policy.front().selector, swapped.policy[2].selector);
  lab.apply(swapped);
  EXPECT_EQ(lab.inside({plain}).drops.at("policy_drop"), 1u);
  lab.apply(table_policy());
  EXPECT_EQ(lab.inside({plain}).forwards.at("encrypted"), 1u);
}

TEST(UnknownSpi, IsReported) {
  Lab lab;
  lab.apply(table_policy());
  lab.outside(
      {frame(seal(make_sa(Suite::aes_128_gcm_16, 0x7777), sized_v4(100), {.iv = Bytes(8)}))});
  EXPECT_EQ(lab.last_unknown_spi(), 0x7777u);
}

}  // namespace
}  // namespace cohort::test
