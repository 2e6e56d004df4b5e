#include <algorithm>
#include <functional>
#include <gtest/gtest.h>

#include "tests/packets/lab.hpp"

/// Nothing dies of the ESP overhead: fragmentation before encryption, too-big reports, MSS
/// clamping, reassembly before decryption; and header fields that cross the tunnel.
namespace cohort::test {
namespace {

using namespace dataplane;
using Drops = std::map<std::string, std::uint64_t>;

constexpr Suite suite = Suite::aes_128_cbc_sha256_128;

std::size_t be16(const Bytes& packet, std::size_t at) {
  return packet[at] * 256u + packet[at + 1];
}

/// Puts IPv4 fragments together, plainly.
Bytes reassembled(std::vector<Bytes> pieces) {
  std::ranges::sort(pieces, {}, [](const Bytes& p) { return be16(p, 6) & 0x1fff; });
  Bytes whole = pieces[0];
  for (std::size_t i = 1; i < pieces.size(); ++i) {
    EXPECT_EQ((be16(pieces[i], 6) & 0x1fff) * 8, whole.size() - 20);
    whole.insert(whole.end(), pieces[i].begin() + 20, pieces[i].end());
  }
  EXPECT_EQ(be16(pieces.back(), 6) & 0x2000, 0u);
  whole[2] = static_cast<std::uint8_t>(whole.size() >> 8);
  whole[3] = static_cast<std::uint8_t>(whole.size());
  whole[6] = whole[7] = whole[10] = whole[11] = 0;
  const std::uint16_t sum = internet_checksum(ByteView(whole).first(20));
  whole[10] = static_cast<std::uint8_t>(sum >> 8);
  whole[11] = static_cast<std::uint8_t>(sum);
  return whole;
}

/// Cuts an IP packet as a router would.
std::vector<Bytes> routers_fragments(const Bytes& packet, std::size_t share) {
  std::vector<Bytes> out;
  for (std::size_t from = 20; from < packet.size(); from += share) {
    const std::size_t n = std::min(share, packet.size() - from);
    Bytes piece(packet.begin(), packet.begin() + 20);
    piece.insert(piece.end(), packet.begin() + static_cast<std::ptrdiff_t>(from),
                 packet.begin() + static_cast<std::ptrdiff_t>(from + n));
    const std::size_t field = (from - 20) / 8 | (from + n < packet.size() ? 0x2000u : 0u);
    piece[2] = static_cast<std::uint8_t>(piece.size() >> 8);
    piece[3] = static_cast<std::uint8_t>(piece.size());
    piece[6] = static_cast<std::uint8_t>(field >> 8);
    piece[7] = static_cast<std::uint8_t>(field);
    piece[10] = piece[11] = 0;
    const std::uint16_t sum = internet_checksum(ByteView(piece).first(20));
    piece[10] = static_cast<std::uint8_t>(sum >> 8);
    piece[11] = static_cast<std::uint8_t>(sum);
    out.push_back(frame(piece));
  }
  return out;
}

class Fit : public testing::TestWithParam<Suite> {};
INSTANTIATE_TEST_SUITE_P(Suites, Fit,
                         testing::Values(Suite::aes_128_cbc_sha1_96, Suite::aes_256_cbc_sha512_256,
                                         Suite::aes_256_gcm_16));

TEST_P(Fit, TheLongestThatFitsFitsAndOneMoreDoesNot) {
  Lab lab;
  lab.apply(protect_all(GetParam()));
  for (const bool v6 : {false, true}) {
    const std::size_t longest = lab.sa(0).inner_mtu(v6);
    Ipv4 with_df;
    with_df.df = true;
    const auto packet = [&](std::size_t size) {
      return frame(v6 ? sized_v6(size) : sized_v4(size, 1, with_df));
    };
    const Outcome fits = lab.inside({packet(longest)});
    ASSERT_EQ(fits.outside.size(), 1u);
    EXPECT_LE(packet_of(fits.outside[0]).size(), 1500u);
    EXPECT_GT(packet_of(fits.outside[0]).size() + shape_of(GetParam()).block, 1500u);
    const Outcome too_big = lab.inside({packet(longest + 1)});
    EXPECT_TRUE(too_big.outside.empty());
    EXPECT_EQ(too_big.drops, (Drops{{"too_big_reported", 1}}));
    ASSERT_EQ(too_big.inside.size(), 1u);
    const Bytes report = packet_of(too_big.inside[0]);
    EXPECT_TRUE(checksums_right(report));
    const Bytes cause = packet_of(packet(longest + 1));
    const std::size_t icmp = v6 ? 40 : 20;
    EXPECT_EQ(report[icmp], v6 ? 2 : 3);
    EXPECT_EQ(report[icmp + 1], v6 ? 0 : 4);
    EXPECT_EQ(be16(report, icmp + 6), longest);
    EXPECT_TRUE(std::equal(report.begin() + static_cast<std::ptrdiff_t>(icmp) + 8, report.end(),
                           cause.begin()));
    EXPECT_LE(report.size(), v6 ? 1280u : 576u);
    // From our own address, to the sender, and back on Ethernet.
    EXPECT_TRUE(std::equal(too_big.inside[0].begin(), too_big.inside[0].begin() + 6,
                           packet(longest).begin() + 6));
  }
}

TEST_P(Fit, FragmentsBeforeEncryption) {
  Lab lab;
  lab.apply(protect_all(GetParam()));
  const Bytes before = sized_v4(100, 1);
  const Bytes big = sized_v4(1500, 2);
  const Bytes after = sized_v4(100, 3);
  const Outcome out = lab.inside({frame(before, {5}), frame(big, {5}), frame(after, {5})});
  EXPECT_TRUE(out.drops.empty());
  ASSERT_EQ(out.outside.size(), 4u);
  std::vector<Bytes> inner;
  std::uint32_t sequence = 0;
  for (const Bytes& sent : out.outside) {
    EXPECT_LE(packet_of(sent).size(), 1500u);
    const auto opened = open(make_sa(GetParam()), packet_of(sent));
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->sequence, ++sequence);
    EXPECT_TRUE(opened->inner.size() < 30 ||
                internet_checksum(ByteView(opened->inner).first(20)) == 0);
    inner.push_back(opened->inner);
  }
  EXPECT_EQ(inner[0], before);
  EXPECT_EQ(reassembled({inner[1], inner[2]}), big);
  EXPECT_EQ(inner[3], after);
}

TEST(Fit, AWholeBurstOfOversizedPackets) {
  Lab lab;
  lab.apply(protect_all(suite));
  std::vector<Bytes> frames;
  for (unsigned i = 0; i < burst_max; ++i) frames.push_back(frame(sized_v4(1500, i)));
  const Outcome out = lab.inside(frames);
  EXPECT_TRUE(out.drops.empty());
  ASSERT_EQ(out.outside.size(), 2 * burst_max);
  for (unsigned i = 0; i < burst_max; ++i) {
    const auto first = open(make_sa(suite), packet_of(out.outside[2 * i]));
    const auto second = open(make_sa(suite), packet_of(out.outside[2 * i + 1]));
    ASSERT_TRUE(first && second);
    EXPECT_EQ(reassembled({first->inner, second->inner}), sized_v4(1500, i));
  }
}

TEST(Fit, ReportsAreSilentWhereTheyMustBe) {
  Lab lab;
  lab.apply(protect_all(suite));
  Ipv4 multicast;
  multicast.destination = "239.1.1.1";
  multicast.df = true;
  EXPECT_EQ(lab.inside({frame(sized_v4(1500, 1, multicast))}).drops,
            (Drops{{"too_big_silent", 1}}));
  Ipv4 df;
  df.df = true;
  Bytes error{3, 4, 0, 0, 0, 0, 0, 0};
  error.resize(1480);
  EXPECT_EQ(lab.inside({frame(ip(df, raw(1, error)))}).drops, (Drops{{"too_big_silent", 1}}));
  Ipv4 nobody = df;
  nobody.source = "0.0.0.0";
  EXPECT_EQ(lab.inside({frame(sized_v4(1500, 1, nobody))}).drops, (Drops{{"too_big_silent", 1}}));
  EXPECT_EQ(lab.inside({frame(ip(Ipv6{}, icmp6(1, 1450)))}).drops, (Drops{{"too_big_silent", 1}}));
  PipelineOptions quiet = Lab::defaults();
  quiet.icmp_errors_per_second = 0;
  Lab limited(quiet);
  limited.apply(protect_all(suite));
  EXPECT_EQ(limited.inside({frame(sized_v4(1500, 1, df))}).drops, (Drops{{"too_big_silent", 1}}));
}

TEST(Fit, OptionsSurviveFragmentationAsTheirCopyFlagSays) {
  Lab lab;
  lab.apply(protect_all(suite));
  Ipv4 header;
  // Record route (7, not copied), then a stream identifier (136, copied).
  header.options = {7, 7, 4, 0, 0, 0, 0, 136, 4, 1, 2, 0};
  const Outcome out = lab.inside({frame(sized_v4(1500, 2, header))});
  ASSERT_EQ(out.outside.size(), 2u);
  const auto first = open(make_sa(suite), packet_of(out.outside[0]));
  const auto second = open(make_sa(suite), packet_of(out.outside[1]));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(Bytes(first->inner.begin() + 20, first->inner.begin() + 32), header.options);
  EXPECT_EQ(Bytes(second->inner.begin() + 20, second->inner.begin() + 32),
            (Bytes{1, 1, 1, 1, 1, 1, 1, 136, 4, 1, 2, 0}));
}

TEST(Mss, IsClampedBothWaysAndNothingElse) {
  Lab lab;
  lab.apply(protect_all(suite));
  const Bytes option_at_even{2, 4, 0x05, 0xb4};
  const Bytes option_at_odd{1, 2, 4, 0x05, 0xb4, 1, 1, 1};
  for (const Bytes& options : {option_at_even, option_at_odd}) {
    for (const bool v6 : {false, true}) {
      const Bytes syn = v6 ? ip(Ipv6{}, tcp(1, 2, 2, options)) : ip(Ipv4{}, tcp(1, 2, 2, options));
      const std::size_t limit = lab.sa(0).inner_mtu(v6) - (v6 ? 60 : 40);
      const std::size_t at = (v6 ? 40u : 20u) + 20 + (options[0] == 1 ? 3 : 2);
      const Outcome sent = lab.inside({frame(syn)});
      const auto opened = open(make_sa(suite), packet_of(sent.outside.at(0)));
      ASSERT_TRUE(opened);
      EXPECT_EQ(be16(opened->inner, at), limit);
      EXPECT_TRUE(checksums_right(opened->inner));
      static std::uint32_t sequence = 0;
      const Outcome received = lab.outside({frame(
          seal(make_sa(suite), syn, {.sequence = ++sequence, .iv = iv_for(suite, sequence)}))});
      const Bytes inner = packet_of(received.inside.at(0));
      EXPECT_EQ(be16(inner, at), limit);
      EXPECT_TRUE(checksums_right(inner));
    }
  }
  const Bytes small = ip(Ipv4{}, tcp(1, 2, 2, {2, 4, 0x02, 0x18}));
  const Bytes no_syn = ip(Ipv4{}, tcp(1, 2, 0x10, option_at_even));
  const Bytes broken = ip(Ipv4{}, tcp(1, 2, 2, {2, 0, 0x05, 0xb4}));
  const Outcome out = lab.inside({frame(small), frame(no_syn), frame(broken)});
  EXPECT_FALSE(out.forwards.contains("mss_clamped"));
  EXPECT_EQ(open(make_sa(suite), packet_of(out.outside.at(0)))->inner, small);
}

TEST(Reassembly, AFragmentedEspPacketIsPutTogether) {
  Lab lab;
  lab.apply(protect_all(suite));
  const Bytes inner = sized_v4(1400);
  const auto pieces =
      routers_fragments(seal(make_sa(suite), inner, {.iv = iv_for(suite, 1)}, 7), 576);
  ASSERT_EQ(pieces.size(), 3u);
  const Outcome out = lab.outside({pieces[2], pieces[0], pieces[1]});
  EXPECT_TRUE(out.drops.empty());
  ASSERT_EQ(out.inside.size(), 1u);
  EXPECT_EQ(out.inside[0], frame(inner));
  EXPECT_EQ(out.forwards.at("reassembled"), 1u);
}

TEST(Reassembly, Ipv6) {
  Lab lab;
  lab.apply(protect_all(suite));
  const Bytes inner = sized_v6(1300);
  const Bytes packet = seal(make_sa(suite), inner, {.iv = iv_for(suite, 1)});
  std::vector<Bytes> pieces;
  for (std::size_t from = 40; from < packet.size(); from += 640) {
    const std::size_t n = std::min<std::size_t>(640, packet.size() - from);
    Writer out;
    out.bytes(ByteView(packet).first(4)).u16(static_cast<std::uint16_t>(8 + n)).u8(44).u8(60);
    out.bytes(ByteView(packet).subspan(8, 32)).u8(50).u8(0);
    out.u16(static_cast<std::uint16_t>((from - 40) | (from + n < packet.size() ? 1u : 0u)));
    out.u32(77).bytes(ByteView(packet).subspan(from, n));
    pieces.push_back(frame(out.take()));
  }
  const Outcome out = lab.outside(pieces);
  EXPECT_TRUE(out.drops.empty());
  ASSERT_EQ(out.inside.size(), 1u);
  EXPECT_EQ(packet_of(out.inside[0]), inner);
}

TEST(Reassembly, AttacksStayWithinTheirBounds) {
  PipelineOptions options = Lab::defaults();
  options.reassembly_flows = 32;
  options.reassembly_timeout = std::chrono::milliseconds(1);
  Lab lab(options);
  lab.apply(protect_all(suite));
  std::mt19937 random(11);
  // First fragments of packets that never end, overlaps, gaps, and floods of one packet.
  for (int round = 0; round < 400; ++round) {
    std::vector<Bytes> frames;
    for (int k = 0; k < 32; ++k) {
      Ipv4 header;
      header.id = static_cast<std::uint16_t>(random() % 2000);
      header.mf = random() % 4 != 0;
      header.offset = static_cast<std::uint16_t>(random() % 100 * 8);
      if (!header.mf && header.offset == 0) header.mf = true;
      frames.push_back(frame(ip(header, raw(50, Bytes(8 + random() % 64 * 8)))));
    }
    lab.outside(frames);
    EXPECT_LE(lab.buffers_in_use(), 32u * 8u + 32u);
  }
  // And an honest packet gets through afterwards.
  const Bytes inner = sized_v4(1400);
  Lab fresh(options);
  fresh.apply(protect_all(suite));
  const auto pieces = routers_fragments(seal(make_sa(suite), inner, {.iv = iv_for(suite, 1)}), 800);
  EXPECT_EQ(fresh.outside(pieces).inside.size(), 1u);
}

/// What nobody ever completes: a fragment of an ESP packet, the first or a later one.
Bytes lone_fragment(const std::string& source, std::uint16_t id, bool first,
                    std::uint32_t spi = 0x1000) {
  Ipv4 header;
  header.source = source;
  header.id = id;
  header.mf = first;
  header.offset = first ? 0 : 800;
  Writer out;
  out.u32(spi).u32(1).bytes(Bytes(792));
  return frame(ip(header, raw(50, out.take())));
}

std::string scattered(unsigned i) {
  return "198." + std::to_string(18 + i % 2) + "." + std::to_string(i / 2 % 256) + "." +
         std::to_string(1 + i / 512);
}

/// A table that a flood has filled, and an honest packet in two fragments, with more of the flood
/// between them.
class Flood : public testing::Test {
 protected:
  static constexpr std::uint32_t flows = 64;
  Flood() : lab_(options()) { lab_.apply(protect_all(suite)); }
  static PipelineOptions options() {
    PipelineOptions out = Lab::defaults();
    out.reassembly_flows = flows;
    out.reassembly_timeout = std::chrono::hours(1);  // nothing goes by itself
    return out;
  }
  void flood(unsigned number, const std::function<Bytes(unsigned)>& fragment) {
    for (unsigned i = 0; i < number; ++i) {
      lab_.outside({fragment(sent_++)});
      ASSERT_LE(lab_.buffers_in_use(), 4 * flows + 1);
    }
  }
  /// Whether an honest packet gets through when so much of the flood comes amid it.
  bool honest(unsigned amid, bool in_order, const std::function<Bytes(unsigned)>& fragment) {
    const Bytes inner = sized_v4(1400, ++sequence_);
    auto pieces = routers_fragments(
        seal(make_sa(suite), inner, {.sequence = sequence_, .iv = iv_for(suite, sequence_)},
             static_cast<std::uint16_t>(50'000 + sequence_)),
        800);
    if (!in_order) std::swap(pieces[0], pieces[1]);
    EXPECT_TRUE(lab_.outside({pieces[0]}).inside.empty());
    flood(amid, fragment);
    return lab_.outside({pieces[1]}).inside.size() == 1;
  }
  Lab lab_;
  unsigned sent_ = 0;
  std::uint32_t sequence_ = 0;
};

TEST_F(Flood, WhoReadsNoSpiDisplacesNothingThatIsProven) {
  const auto later = [](unsigned i) {
    return lone_fragment(scattered(i), static_cast<std::uint16_t>(i), false);
  };
  flood(1000, later);
  EXPECT_TRUE(honest(0, true, later));
  EXPECT_TRUE(honest(1000, true, later));
  // Out of order its first fragment does not vouch for it yet: its share is at least a quarter.
  EXPECT_TRUE(honest(flows / 4 - 1, false, later));
}

TEST_F(Flood, AFirstFragmentOfAnUnknownSpiTakesNoPlace) {
  const auto unknown = [](unsigned i) {
    return lone_fragment(scattered(i), static_cast<std::uint16_t>(i), true, 0x9999);
  };
  const Outcome out = lab_.outside({unknown(0)});
  EXPECT_EQ(out.drops, (Drops{{"unknown_spi", 1}}));
  EXPECT_EQ(lab_.buffers_in_use(), 0u);
  EXPECT_TRUE(honest(1000, true, unknown));
  EXPECT_TRUE(honest(1000, false, unknown));
}

TEST_F(Flood, OneSourceHasAQuarter) {
  for (const bool first : {true, false}) {
    const auto one_network = [first](unsigned i) {
      return lone_fragment("198.18.0." + std::to_string(1 + i % 250), static_cast<std::uint16_t>(i),
                           first);
    };
    flood(1000, one_network);
    EXPECT_LE(lab_.buffers_in_use(), 2 * flows / 4);
    EXPECT_TRUE(honest(1000, true, one_network));
    EXPECT_TRUE(honest(1000, false, one_network));
  }
}

TEST_F(Flood, WhoReadsAnSpiMustOutrunThePacket) {
  const auto proven = [](unsigned i) {
    return lone_fragment(scattered(i), static_cast<std::uint16_t>(i), true);
  };
  flood(1000, proven);
  EXPECT_TRUE(honest(flows / 2, true, proven));
  EXPECT_TRUE(honest(1000, false, proven)) << "the quarter of what is unproven is not his";
  EXPECT_FALSE(honest(flows, true, proven)) << "the test floods";
}

TEST(Reassembly, DuplicatesAreHarmlessAndOverlapsEndThePacket) {
  Lab lab;
  lab.apply(protect_all(suite));
  std::uint32_t sequence = 0;
  const auto make = [&] {
    ++sequence;
    return routers_fragments(seal(make_sa(suite), sized_v4(1400, sequence),
                                  {.sequence = sequence, .iv = iv_for(suite, sequence)},
                                  static_cast<std::uint16_t>(sequence)),
                             504);
  };
  auto pieces = make();
  ASSERT_EQ(pieces.size(), 3u);
  Outcome out = lab.outside({pieces[0], pieces[0], pieces[2], pieces[2], pieces[1]});
  EXPECT_EQ(out.inside.size(), 1u);
  EXPECT_EQ(out.drops, (Drops{{"reassembly_failed", 2}}));
  // One that begins eight octets early.
  pieces = make();
  Bytes overlap = packet_of(pieces[1]);
  overlap[7] = static_cast<std::uint8_t>(overlap[7] - 1);
  overlap[10] = overlap[11] = 0;
  const std::uint16_t sum = internet_checksum(ByteView(overlap).first(20));
  overlap[10] = static_cast<std::uint8_t>(sum >> 8);
  overlap[11] = static_cast<std::uint8_t>(sum);
  out = lab.outside({pieces[0], frame(overlap), pieces[1], pieces[2]});
  EXPECT_TRUE(out.inside.empty());
  EXPECT_EQ(out.drops.at("reassembly_failed"), 2u);
  EXPECT_EQ(lab.buffers_in_use(), 2u);  // the later two, of a packet without a begin
}

TEST(Reassembly, CongestionOfAFragmentIsThePackets) {
  Lab lab;
  lab.apply(protect_all(suite));
  std::uint32_t sequence = 0;
  const auto arrives = [&](std::uint8_t inner, std::uint8_t first, std::uint8_t second) {
    ++sequence;
    Ipv4 header;
    header.tos = inner;
    auto pieces = routers_fragments(seal(make_sa(suite), sized_v4(1400, sequence, header),
                                         {.sequence = sequence, .iv = iv_for(suite, sequence)},
                                         static_cast<std::uint16_t>(sequence)),
                                    800);
    pieces[0][15] = first;
    pieces[1][15] = second;
    return lab.outside(pieces);
  };
  const auto tos_of = [](const Outcome& out) {
    const Bytes packet = packet_of(out.inside.at(0));
    EXPECT_TRUE(checksums_right(packet));
    return packet[1];
  };
  EXPECT_EQ(tos_of(arrives(2, 2, 2)), 2);
  EXPECT_EQ(tos_of(arrives(2, 3, 2)), 3);
  EXPECT_EQ(tos_of(arrives(2, 2, 3)), 3);
  EXPECT_EQ(tos_of(arrives(1, 1, 3)), 3);
  EXPECT_EQ(arrives(0, 0, 3).drops, (Drops{{"ecn_violation", 2}}));
}

TEST(Ipv6, NobodyIsToldToSendLessThan1280) {
  for (const std::uint16_t mtu : {std::uint16_t{1280}, std::uint16_t{1300}}) {
    PipelineOptions options = Lab::defaults();
    options.mtu = mtu;
    Lab lab(options);
    lab.apply(protect_all(suite));
    ASSERT_LT(lab.sa(0).inner_mtu(true), 1280u);
    // What everybody may send is cut when it is encrypted, and put together by the far member.
    for (const std::size_t size : {std::size_t{lab.sa(0).inner_mtu(true)} + 1, std::size_t{1280}}) {
      const Bytes inner = sized_v6(size);
      const Outcome sent = lab.inside({frame(inner, {5})});
      EXPECT_TRUE(sent.drops.empty());
      ASSERT_EQ(sent.outside.size(), 2u);
      for (const Bytes& piece : sent.outside) {
        EXPECT_LE(packet_of(piece).size(), mtu);
        EXPECT_EQ(packet_of(piece)[6], 44);
        EXPECT_EQ(be16(packet_of(piece), 4) + 40, packet_of(piece).size());
      }
      EXPECT_NE(Bytes(sent.outside[0].begin() + 58 + 4, sent.outside[0].begin() + 58 + 8),
                Bytes(4));
      const Outcome received = lab.outside({sent.outside[1], sent.outside[0]});
      EXPECT_TRUE(received.drops.empty());
      ASSERT_EQ(received.inside.size(), 1u);
      EXPECT_EQ(received.inside[0], frame(inner, {5}));
    }
    if (mtu == 1280) continue;
    // More can be too big, but not because of us below 1280.
    const Outcome too_big = lab.inside({frame(sized_v6(1281))});
    EXPECT_EQ(too_big.drops, (Drops{{"too_big_reported", 1}}));
    EXPECT_EQ(be16(packet_of(too_big.inside.at(0)), 46), 1280u);
  }
}

TEST(Ipv6, AWholeBurstThatMustBeCut) {
  PipelineOptions options = Lab::defaults();
  options.mtu = 1280;
  Lab lab(options);
  lab.apply(protect_all(suite));
  std::vector<Bytes> frames;
  for (unsigned i = 0; i < burst_max; ++i) frames.push_back(frame(sized_v6(1280, i)));
  const Outcome sent = lab.inside(frames);
  ASSERT_EQ(sent.outside.size(), 2 * burst_max);
  EXPECT_EQ(lab.outside(sent.outside).inside, frames);
}

TEST(Reassembly, NoneIsANumberToo) {
  PipelineOptions options = Lab::defaults();
  options.reassembly_flows = 0;
  Lab lab(options);
  lab.apply(protect_all(suite));
  const auto pieces =
      routers_fragments(seal(make_sa(suite), sized_v4(1400), {.iv = iv_for(suite, 1)}), 800);
  const Outcome out = lab.outside(pieces);
  EXPECT_TRUE(out.inside.empty());
  EXPECT_EQ(out.drops.at("reassembly_failed"), pieces.size());
  EXPECT_EQ(lab.buffers_in_use(), 0u);
  lab.pipeline().tidy();
}

TEST(Reassembly, FragmentsOfOthersEspPassAsTheyAre) {
  Lab lab;
  lab.apply(Snapshot{});
  const Bytes packet = seal(make_sa(suite), sized_v4(1400), {.iv = iv_for(suite, 1)});
  const auto pieces = routers_fragments(packet, 800);
  EXPECT_EQ(lab.outside(pieces).inside, pieces);
}

TEST(Header, FieldsCrossTheTunnelAsRfc4301Says) {
  Lab lab;
  lab.apply(protect_all(suite));
  for (const bool df : {false, true}) {
    Ipv4 header;
    header.tos = 0xb9;  // EF, ECT(1)
    header.ttl = 17;
    header.df = df;
    header.options = {1, 1, 1, 0};
    const Outcome out = lab.inside({frame(sized_v4(100, 1, header))});
    const Bytes outer = packet_of(out.outside.at(0));
    EXPECT_EQ(outer[0], 0x45);
    EXPECT_EQ(outer[1], 0xb9);
    EXPECT_EQ(outer[6], df ? 0x40 : 0);
    EXPECT_EQ(outer[7], 0);
    EXPECT_EQ(outer[8], 17);
    EXPECT_EQ(outer[9], 50);
    EXPECT_EQ(be16(outer, 2), outer.size());
    EXPECT_EQ(internet_checksum(ByteView(outer).first(20)), 0);
  }
  Ipv6 header;
  header.traffic_class = 0xb9;
  header.flow_label = 0xabcde;
  header.hop_limit = 9;
  const Bytes outer = packet_of(lab.inside({frame(sized_v6(100, 1, header))}).outside.at(0));
  EXPECT_TRUE(std::equal(outer.begin(), outer.begin() + 4, sized_v6(100, 1, header).begin()));
  EXPECT_EQ(outer[6], 50);
  EXPECT_EQ(outer[7], 9);
  EXPECT_EQ(be16(outer, 4), outer.size() - 40);
}

TEST(Header, DfIsSetOrClearedByConfiguration) {
  for (const auto& [bit, expected] : {std::pair{DfBit::set, 0x40}, std::pair{DfBit::clear, 0}}) {
    PipelineOptions options = Lab::defaults();
    options.df_bit = bit;
    Lab lab(options);
    lab.apply(protect_all(suite));
    Ipv4 header;
    header.df = bit == DfBit::clear;
    EXPECT_EQ(packet_of(lab.inside({frame(sized_v4(99, 1, header))}).outside.at(0))[6], expected);
  }
}

TEST(Header, CongestionMarksReachTheInnerPacket) {
  Lab lab;
  lab.apply(protect_all(suite));
  std::uint32_t sequence = 0;
  const auto arrives = [&](std::uint8_t inner_tos, std::uint8_t outer_tos, bool v6) {
    Ipv4 four;
    four.tos = inner_tos;
    Ipv6 six;
    six.traffic_class = inner_tos;
    const Bytes inner = v6 ? sized_v6(100, 1, six) : sized_v4(100, 1, four);
    ++sequence;
    Bytes packet =
        seal(make_sa(suite), inner, {.sequence = sequence, .iv = iv_for(suite, sequence)});
    if (v6) {
      packet[0] = static_cast<std::uint8_t>(0x60 | outer_tos >> 4);
      packet[1] = static_cast<std::uint8_t>((outer_tos << 4) | (packet[1] & 0xf));
    } else {
      packet[1] = outer_tos;
    }
    return lab.outside({frame(packet)});
  };
  for (const bool v6 : {false, true}) {
    const auto tos_of = [&](const Outcome& out) {
      const Bytes inner = packet_of(out.inside.at(0));
      EXPECT_TRUE(checksums_right(inner));
      return v6 ? static_cast<std::uint8_t>((inner[0] << 4) | (inner[1] >> 4)) : inner[1];
    };
    EXPECT_EQ(tos_of(arrives(0xba, 0xbb, v6)), 0xbb);  // ECT(0), congestion on the way
    EXPECT_EQ(tos_of(arrives(0x01, 0x03, v6)), 0x03);  // ECT(1)
    EXPECT_EQ(tos_of(arrives(0x03, 0x02, v6)), 0x03);  // was marked before
    EXPECT_EQ(tos_of(arrives(0xb8, 0x02, v6)), 0xb8);  // DSCP of the outer header does not enter
    EXPECT_EQ(arrives(0x00, 0x03, v6).drops, (Drops{{"ecn_violation", 1}}));
  }
}

TEST(Checksums, AreVerifiedAndUnfinishedOnesCompleted) {
  PipelineOptions options = Lab::defaults();
  options.check_checksums = true;
  Lab lab(options);
  lab.apply(Snapshot{});
  for (const Bytes& good :
       {sized_v4(101), sized_v6(101), ip(Ipv4{}, tcp(1, 2, 2)), ip(Ipv4{}, icmp_echo(9)),
        ip(Ipv6{}, icmp6(128, 9)), ip(Ipv4{}, raw(99, Bytes(5)))}) {
    EXPECT_EQ(lab.inside({frame(good)}).outside, (std::vector<Bytes>{frame(good)}));
    Bytes bad = good;
    if (bad[bad[0] >> 4 == 6 ? 6 : 9] == 99) continue;
    bad.back() ^= 1;
    EXPECT_EQ(lab.inside({frame(bad)}).drops, (Drops{{"bad_transport_checksum", 1}}));
  }
  Bytes bad_header = sized_v4(100);
  bad_header[8] ^= 1;
  EXPECT_EQ(lab.inside({frame(bad_header)}).drops, (Drops{{"bad_ip_checksum", 1}}));
  // What Linux leaves to a device: the sum of the pseudo header, not complemented.
  for (const Bytes& good : {ip(Ipv4{}, tcp(1, 2, 0x18, {}, 33)), sized_v6(101)}) {
    const bool v6 = good[0] >> 4 == 6;
    const std::size_t at = v6 ? 40 + 6 : 20 + 16;
    const std::size_t length = good.size() - (v6 ? 40 : 20);
    const auto pseudo = static_cast<std::uint16_t>(
        ~internet_checksum(ByteView(good).subspan(v6 ? 8 : 12, v6 ? 32 : 8),
                           static_cast<std::uint32_t>(length) + (v6 ? 17u : 6u)));
    Bytes unfinished = good;
    unfinished[at] = static_cast<std::uint8_t>(pseudo >> 8);
    unfinished[at + 1] = static_cast<std::uint8_t>(pseudo);
    const Outcome out = lab.inside({frame(unfinished)});
    EXPECT_EQ(out.outside, (std::vector<Bytes>{frame(good)}));
    EXPECT_EQ(out.forwards.at("checksum_completed"), 1u);
  }
}

}  // namespace
}  // namespace cohort::test
