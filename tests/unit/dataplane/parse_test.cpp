#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <random>

#include "dataplane/classify.hpp"
#include "dataplane/flow_cache.hpp"
#include "dataplane/headers.hpp"
#include "dataplane/too_big.hpp"
#include "tests/packets/packet.hpp"

namespace cohort::dataplane {
namespace {

using test::Ipv4;
using test::Ipv6;

Note parsed(const Bytes& packet, bool expected = true) {
  Note note;
  EXPECT_EQ(parse_ip(packet.data(), static_cast<std::uint32_t>(packet.size()), note), expected);
  return note;
}

Bytes extension(std::uint8_t next, std::size_t octets) {
  Bytes out(octets);
  out[0] = next;
  out[1] = static_cast<std::uint8_t>(octets / 8 - 1);
  return out;
}
Bytes fragment(std::uint8_t next, std::uint16_t offset, bool more) {
  const std::uint16_t field = static_cast<std::uint16_t>(offset | (more ? 1 : 0));
  return {next, 0, static_cast<std::uint8_t>(field >> 8), static_cast<std::uint8_t>(field), 0, 0,
          0,    9};
}
Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

TEST(ParseIp, FindsPortsBehindOptions) {
  Ipv4 header;
  header.options = Bytes(40, 1);
  const Note note = parsed(test::ip(header, test::udp(0x1122, 0x3344, 5)));
  EXPECT_EQ(note.transport_offset, 60);
  EXPECT_EQ(rte_be_to_cpu_32(note.ports), 0x11223344u);
}

TEST(ParseIp, KnowsFragments) {
  Ipv4 first;
  first.mf = true;
  EXPECT_TRUE(parsed(test::ip(first, test::udp(1, 2, 8))).has(note_first_fragment));
  Ipv4 later;
  later.offset = 8;
  const Note note = parsed(test::ip(later, test::udp(1, 2, 8)));
  EXPECT_TRUE(note.has(note_later_fragment));
  EXPECT_EQ(note.ports, 0u);
}

TEST(ParseIp, WalksExtensionHeaders) {
  Ipv6 header;
  header.first_next = 0;
  header.extensions = joined({extension(43, 8), extension(60, 24), extension(17, 16)});
  const Note note = parsed(test::ip(header, test::udp(7, 8, 5)));
  EXPECT_EQ(note.protocol, 17);
  EXPECT_EQ(note.transport_offset, 40 + 48);
}

TEST(ParseIp, Ipv6Fragments) {
  Ipv6 header;
  header.first_next = 44;
  header.extensions = fragment(17, 0, true);
  EXPECT_TRUE(parsed(test::ip(header, test::udp(7, 8, 5))).has(note_first_fragment));
  header.extensions = fragment(17, 64, false);
  EXPECT_TRUE(parsed(test::ip(header, test::udp(7, 8, 5))).has(note_later_fragment));
  header.extensions = fragment(17, 0, false);  // "atomic" (RFC 6946)
  EXPECT_FALSE(
      parsed(test::ip(header, test::udp(7, 8, 5))).has(note_first_fragment | note_later_fragment));
}

TEST(ParseIp, RefusesBadExtensionChains) {
  Ipv6 header;
  header.first_next = 0;
  header.extensions = extension(0, 8);
  header.extensions[1] = 200;  // beyond the packet
  EXPECT_EQ(parsed(test::ip(header, test::raw(17, {})), false).reason,
            DropReason::bad_extension_headers);
  header.extensions.clear();
  for (int i = 0; i < 9; ++i) {
    const Bytes more = extension(i == 8 ? 17 : 60, 8);
    header.extensions.insert(header.extensions.end(), more.begin(), more.end());
  }
  header.first_next = 60;
  EXPECT_EQ(parsed(test::ip(header, test::udp(1, 2, 3)), false).reason,
            DropReason::bad_extension_headers);
  header.first_next = 44;
  header.extensions = joined({fragment(44, 0, true), fragment(17, 0, true)});
  EXPECT_EQ(parsed(test::ip(header, test::udp(1, 2, 3)), false).reason,
            DropReason::bad_extension_headers);
}

/// No read past the end, whatever the octets say (an address sanitizer watches).
TEST(ParseIp, TakesAnything) {
  std::mt19937 random(5);
  for (int i = 0; i < 200'000; ++i) {
    const std::size_t size = random() % 120;
    const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[size]);
    for (std::size_t k = 0; k < size; ++k) exact[k] = static_cast<std::uint8_t>(random());
    if (size > 0) exact[0] = static_cast<std::uint8_t>((random() % 2 != 0 ? 0x60 : 0x45));
    if (size > 5) exact[2] = exact[4] = 0;
    if (size > 6) exact[6] = static_cast<std::uint8_t>(std::array{0, 43, 44, 60, 17}[random() % 5]);
    Note note;
    if (!parse_ip(exact.get(), static_cast<std::uint32_t>(size), note)) continue;
    EXPECT_LE(note.ip_length, size);
    EXPECT_LE(note.transport_offset, note.ip_length);
  }
}

TEST(Checksum, AdjustsAsIfComputedAnew) {
  std::mt19937 random(6);
  for (int i = 0; i < 10'000; ++i) {
    Bytes data(20);
    for (auto& octet : data) octet = static_cast<std::uint8_t>(random() % 4 == 0 ? 0 : random());
    data[10] = data[11] = 0;
    const std::uint16_t before = test::internet_checksum(data);
    const auto old_word = load<std::uint16_t>(data.data() + 4);
    const auto new_word = static_cast<std::uint16_t>(random());
    store(data.data() + 4, new_word);
    const std::uint16_t after =
        rte_be_to_cpu_16(adjust_checksum(rte_cpu_to_be_16(before), old_word, new_word));
    const std::uint16_t anew = test::internet_checksum(data);
    // 0 and 0xffff are the same number.
    EXPECT_TRUE(after == anew || (after == 0xffff && anew == 0) || (after == 0 && anew == 0xffff));
  }
}

/// As a note has it, with a length and flags that say nothing about the flow.
std::uint64_t nature_of(std::uint32_t ports, std::uint8_t protocol) {
  static std::uint16_t other = 0;
  other = static_cast<std::uint16_t>(other + 77);
  return Note::nature_of(static_cast<std::uint8_t>(other), protocol, ports) | other;
}

TEST(FlowCache, FindsWhatWasPutUntilItForgets) {
  FlowCache cache;
  std::mt19937 random(7);
  const Bytes packet = test::sized_v4(100);
  for (std::uint32_t generation = 0; generation < 600; ++generation) {
    const auto key = cache.key4(packet.data(), nature_of(42, 17));
    std::uint16_t decision = 0;
    ASSERT_FALSE(FlowCache::find(key, *cache.set_of(key), decision)) << generation;
    cache.put(key, static_cast<std::uint16_t>(generation));
    ASSERT_TRUE(FlowCache::find(key, *cache.set_of(key), decision));
    EXPECT_EQ(decision, generation);
    cache.forget();
  }
}

// Whatever set a flow is in, and long after the number of its generation came round.
TEST(FlowCache, NoFlowOutlivesItsGeneration) {
  FlowCache cache;
  const Bytes packet4 = test::sized_v4(100);
  const Bytes packet6 = test::sized_v6(100);
  for (std::uint32_t generation = 0; generation < 600; ++generation) {
    for (std::uint32_t flow = 0; flow < 2000; ++flow) {
      std::uint16_t decision = 0;
      const auto key4 = cache.key4(packet4.data(), nature_of(flow, 17));
      ASSERT_FALSE(FlowCache::find(key4, *cache.set_of(key4), decision)) << generation;
      const auto key6 = cache.key6(packet6.data(), nature_of(flow, 17));
      ASSERT_FALSE(FlowCache::find(key6, *cache.set_of(key6), decision)) << generation;
      if (generation % 3 != 0) continue;
      cache.put(key4, 1);
      cache.put(key6, 1);
    }
    cache.forget();
  }
}

TEST(FlowCache, NeverTakesOneFlowForAnother) {
  FlowCache cache;
  std::mt19937 random(8);
  std::map<std::pair<std::uint32_t, std::uint8_t>, std::uint16_t> truth;
  Bytes packet = test::sized_v4(100);
  for (int i = 0; i < 100'000; ++i) {
    const auto ports = static_cast<std::uint32_t>(random() % 40'000);
    const auto protocol = static_cast<std::uint8_t>(random() % 3);
    const auto key = cache.key4(packet.data(), nature_of(ports, protocol));
    std::uint16_t decision = 0;
    if (FlowCache::find(key, *cache.set_of(key), decision)) {
      EXPECT_EQ(decision, truth.at({ports, protocol}));
      continue;
    }
    decision = static_cast<std::uint16_t>(random());
    truth[{ports, protocol}] = decision;
    cache.put(key, decision);
  }
}

TEST(RateLimit, AllowsTheRateAndABurst) {
  RateLimit limit(100, 1'000'000);  // one in 10'000 cycles
  std::uint64_t now = 50'000'000;
  int allowed = 0;
  for (int i = 0; i < 1000; ++i) allowed += limit.allow(now) ? 1 : 0;
  EXPECT_EQ(allowed, 10);
  now += 25'000;
  allowed = 0;
  for (int i = 0; i < 1000; ++i) allowed += limit.allow(now) ? 1 : 0;
  EXPECT_EQ(allowed, 2);
  RateLimit none(0, 1'000'000);
  EXPECT_FALSE(none.allow(now));
}

}  // namespace
}  // namespace cohort::dataplane
