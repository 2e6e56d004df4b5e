#include <algorithm>
#include <gtest/gtest.h>
#include <set>

#include "tests/packets/lab.hpp"

/// The same packets through the pipeline and through the plain reference: sizes, suites, alignment,
/// segmented buffers, mixes within a burst, all drawn from a seed that a failure prints.
namespace cohort::test {
namespace {

using namespace dataplane;

constexpr unsigned sa_count = 6;
constexpr std::uint32_t first_spi = 0x2000;

struct Scene {
  explicit Scene(std::uint32_t seed) : random(seed) {
    for (unsigned i = 0; i < sa_count; ++i) {
      const auto& suites = all_suites();
      Sa sa = make_sa(suites[random() % suites.size()].suite, first_spi + i);
      sa.replay_window = static_cast<std::uint16_t>(1u << (random() % 13));
      if (random() % 3 == 0) {
        sa.replay = ReplayKind::time;
        sa.replay_window = static_cast<std::uint16_t>(100 + random() % 8000);
      }
      snapshot.policy.push_back(entry(Action::protect, "10.0.0.0/8", net(i, false), sa.spi));
      snapshot.policy.push_back(entry(Action::protect, "2001:db8::/32", net(i, true), sa.spi));
      snapshot.sas.push_back(std::move(sa));
    }
  }

  static std::string net(unsigned i, bool v6) {
    return v6 ? "fd00:" + std::to_string(i + 1) + "::/32" : "172.16." + std::to_string(i) + ".0/24";
  }
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); }

  /// A packet that belongs to SA `i`, or to none.
  Bytes packet(unsigned i, std::size_t longest) {
    const bool v6 = below(2) != 0;
    const std::size_t size = (v6 ? 48 : 28) + below(static_cast<std::uint32_t>(longest) - 48);
    const std::uint32_t seed = static_cast<std::uint32_t>(random());
    const std::string host = std::to_string(1 + below(3));
    if (v6) {
      Ipv6 header;
      header.source = "2001:db8::" + host;
      header.destination = i < sa_count ? "fd00:" + std::to_string(i + 1) + "::" + host : "fe00::1";
      header.traffic_class = static_cast<std::uint8_t>(random());
      header.hop_limit = static_cast<std::uint8_t>(1 + below(255));
      return sized_v6(size, seed, header);
    }
    Ipv4 header;
    header.source = "10.1.0." + host;
    header.destination =
        i < sa_count ? "172.16." + std::to_string(i) + "." + host : std::string("192.0.2.1");
    header.tos = static_cast<std::uint8_t>(random());
    header.ttl = static_cast<std::uint8_t>(1 + below(255));
    header.df = below(2) != 0;
    return sized_v4(size, seed, header);
  }

  /// Headroom of any alignment, enough for what encryption adds; one to five segments.
  Placement placement() {
    return {static_cast<std::uint16_t>(72 + below(128)), 1 + (below(3) == 0 ? below(5) : 0)};
  }

  [[nodiscard]] std::uint32_t tick() const {
    return static_cast<std::uint32_t>((now_ms + snapshot.group_time_offset_ms) / replay_tick_ms);
  }

  std::mt19937 random;
  Snapshot snapshot;
  std::int64_t now_ms = 1'000'000;
};

class Differential : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, Differential, testing::Range(1u, 21u));

TEST_P(Differential, Outbound) {
  SCOPED_TRACE(testing::Message() << "seed " << GetParam());
  Scene scene(GetParam());
  PipelineOptions options = Lab::defaults();
  const bool jumbo = GetParam() % 3 == 0;
  if (jumbo) options.mtu = 9000;
  Lab lab(options);
  lab.apply(scene.snapshot);
  std::vector<std::uint32_t> sequence(sa_count, 0);
  std::set<std::pair<std::uint32_t, Bytes>> ivs;
  for (int round = 0; round < 6; ++round) {
    std::vector<Bytes> inner;
    std::vector<unsigned> owner;
    const unsigned n = 1 + scene.below(burst_max);
    for (unsigned k = 0; k < n; ++k) {
      owner.push_back(scene.below(sa_count + 1));
      inner.push_back(scene.packet(owner.back(), jumbo ? 8800 : 1300));
    }
    std::vector<Bytes> frames;
    for (const Bytes& packet : inner) frames.push_back(frame(packet));
    lab.at(scene.now_ms += scene.below(5000));
    Placement placement = scene.placement();
    if (jumbo) placement.headroom = 128;
    const Outcome out = lab.inside(frames, placement);
    ASSERT_EQ(out.outside.size(), n);
    EXPECT_TRUE(out.drops.empty());
    for (unsigned k = 0; k < n; ++k) {
      if (owner[k] == sa_count) {
        EXPECT_TRUE(out.outside[k] == frames[k]);
        continue;
      }
      const Sa& sa = scene.snapshot.sas[owner[k]];
      const Bytes packet = packet_of(out.outside[k]);
      const auto opened = open(sa, packet);
      ASSERT_TRUE(opened) << shape_of(sa.suite).name << " packet " << k;
      EXPECT_EQ(opened->spi, sa.spi);
      const std::uint32_t counted = ++sequence[owner[k]];
      EXPECT_EQ(opened->sequence, sa.replay == ReplayKind::time ? scene.tick() : counted);
      // The reference makes the same packet of the same numbers, to the octet.
      const bool v6 = packet[0] >> 4 == 6;
      const ByteView iv = ByteView(packet).subspan((v6 ? 40u : 20u) + 8, shape_of(sa.suite).iv);
      EXPECT_TRUE(ivs.insert({sa.spi, to_bytes(iv)}).second) << "IV used twice";
      const auto id = static_cast<std::uint16_t>(packet[4] * 256 + packet[5]);
      EXPECT_TRUE(packet ==
                  seal(sa, inner[k], {.sequence = opened->sequence, .iv = to_bytes(iv)}, id));
    }
  }
}

/// What the receiver should do, by the book: RFC 4303 section 3.4.3 with a set instead of a bitmap.
class PlainWindow {
 public:
  explicit PlainWindow(const Sa& sa) : size_(sa.replay_window), by_time_(is_by_time(sa)) {}
  static bool is_by_time(const Sa& sa) { return sa.replay == ReplayKind::time; }
  bool fresh(std::uint32_t sequence, std::uint32_t tick) const {
    if (by_time_) return std::abs(std::int64_t{sequence} - tick) <= size_ / replay_tick_ms;
    return sequence != 0 && std::uint64_t{sequence} + size_ > top_ && !seen_.contains(sequence);
  }
  void commit(std::uint32_t sequence) {
    seen_.insert(sequence);
    top_ = std::max(top_, sequence);
  }

 private:
  std::uint32_t size_;
  bool by_time_;
  std::uint32_t top_ = 0;
  std::set<std::uint32_t> seen_;
};

TEST_P(Differential, Inbound) {
  SCOPED_TRACE(testing::Message() << "seed " << GetParam());
  Scene scene(GetParam());
  Lab lab;
  lab.apply(scene.snapshot);
  std::vector<PlainWindow> windows;
  std::vector<std::uint32_t> base(sa_count, 1);
  for (const Sa& sa : scene.snapshot.sas) windows.emplace_back(sa);
  for (int round = 0; round < 6; ++round) {
    std::vector<Bytes> frames;
    std::vector<Bytes> expected;
    std::uint64_t bad_icv = 0;
    std::uint64_t replayed = 0;
    lab.at(scene.now_ms += scene.below(5000));
    const unsigned n = 1 + scene.below(burst_max);
    for (unsigned k = 0; k < n; ++k) {
      const unsigned i = scene.below(sa_count);
      const Sa& sa = scene.snapshot.sas[i];
      // Mostly forward, sometimes far back, sometimes a leap.
      const std::uint32_t leap = scene.below(50) == 0 ? scene.below(9000) : scene.below(3);
      base[i] += leap;
      const std::uint32_t back = scene.below(4) == 0 ? scene.below(5000) : 0;
      std::uint32_t sequence = back < base[i] ? base[i] - back : 0;
      if (PlainWindow::is_by_time(sa)) sequence = scene.tick() - 1000 + scene.below(2000);
      const Bytes inner = scene.packet(i, 1100);
      SealOptions seal_options;
      seal_options.sequence = sequence;
      seal_options.iv = iv_for(sa.suite, scene.random());
      seal_options.extra_pad = scene.below(4) == 0 ? scene.below(15) : 0;
      Bytes packet = seal(sa, inner, seal_options);
      const bool forged = scene.below(8) == 0;
      const std::size_t header = packet[0] >> 4 == 6 ? 40 : 20;
      // Behind SPI and sequence number, so that nothing but authentication can notice.
      if (forged)
        packet[header + 8 + scene.below(static_cast<std::uint32_t>(packet.size() - header - 8))] ^=
            static_cast<std::uint8_t>(1u << scene.below(8));
      frames.push_back(frame(packet));
      if (forged) {
        // A window may refuse it before authentication is asked.
        ++bad_icv;
      } else if (!windows[i].fresh(sequence, scene.tick())) {
        ++replayed;
      } else {
        windows[i].commit(sequence);
        expected.push_back(frame(inner));
      }
    }
    const Outcome out = lab.outside(frames, scene.placement());
    // SAs are handled one after the other, so packets keep their places in the burst all the same.
    ASSERT_EQ(out.inside.size(), expected.size());
    EXPECT_TRUE(out.inside == expected);
    const auto count = [&](const char* name) {
      return out.drops.contains(name) ? out.drops.at(name) : 0;
    };
    const std::uint64_t refused =
        count("replay_too_old") + count("replay_duplicate") + count("replay_in_future");
    EXPECT_EQ(count("bad_icv") + refused, bad_icv + replayed);
    EXPECT_LE(count("bad_icv"), bad_icv);
    EXPECT_GE(refused, replayed);
  }
}

/// Frames of noise, and noise behind valid headers: everything is accounted for, nothing leaks.
TEST_P(Differential, NoiseIsDroppedOrForwardedWhole) {
  SCOPED_TRACE(testing::Message() << "seed " << GetParam());
  Scene scene(GetParam());
  Lab lab;
  lab.apply(scene.snapshot);
  for (int round = 0; round < 20; ++round) {
    std::vector<Bytes> frames;
    for (unsigned k = 0; k < burst_max; ++k) {
      Bytes noise = frame(scene.packet(scene.below(sa_count + 1), 200));
      for (unsigned flips = scene.below(20); flips > 0; --flips)
        noise[scene.below(static_cast<std::uint32_t>(std::min<std::size_t>(noise.size(), 64)))] =
            static_cast<std::uint8_t>(scene.random());
      noise.resize(1 + scene.below(static_cast<std::uint32_t>(noise.size())));
      frames.push_back(noise);
    }
    for (const bool from_inside : {true, false}) {
      const Outcome out = from_inside ? lab.inside(frames) : lab.outside(frames);
      std::uint64_t sum = out.inside.size() + out.outside.size();
      for (const auto& [name, count] : out.drops) sum += count;
      EXPECT_GE(sum + out.punt.size() + lab.buffers_in_use(), frames.size());
      EXPECT_LE(out.outside.size() + out.inside.size(), 2 * frames.size());
    }
  }
}

}  // namespace
}  // namespace cohort::test
