#include "dataplane/selector.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <random>

#include "dataplane/headers.hpp"
#include "dataplane/reasons.hpp"
#include "tests/packets/lab.hpp"

namespace cohort::dataplane {
namespace {

/// A packet as the policy sees it.
struct Packet {
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
};

/// The policy by the book: one entry after the other.
bool matches(const Selector& selector, const Packet& packet) {
  if (selector.protocol != 0 && selector.protocol != packet.protocol) return false;
  if (!selector.source.contains(packet.source)) return false;
  if (!selector.destination.contains(packet.destination)) return false;
  const bool with_ports = packet.protocol == 6 || packet.protocol == 17 || packet.protocol == 132;
  const bool asks_ports = !selector.source_ports.any() || !selector.destination_ports.any();
  if (!asks_ports) return true;
  // Ports are looked at for TCP, UDP and SCTP only: an entry that names another protocol has none.
  if (!with_ports) return selector.protocol != 0;
  return packet.source_port >= selector.source_ports.first &&
         packet.source_port <= selector.source_ports.last &&
         packet.destination_port >= selector.destination_ports.first &&
         packet.destination_port <= selector.destination_ports.last;
}

std::uint16_t first_match(const std::vector<PolicyEntry>& entries, const Packet& packet) {
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (matches(entries[i].selector, packet)) return static_cast<std::uint16_t>(i);
  return decision_none;
}

class Draw {
 public:
  explicit Draw(std::uint32_t seed) : random_(seed) {}
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  bool v6() { return below(2) != 0; }

  /// Few networks and lengths, so that entries overlap and packets hit.
  IpAddress address(bool six) {
    if (!six) return IpAddress::v4(0x0a000000u | below(4) << 16 | below(4) << 8 | below(8));
    std::array<std::uint8_t, 16> octets{0x20, 0x01, 0x0d, 0xb8};
    for (const std::size_t at : {5u, 7u, 9u, 15u}) octets[at] = static_cast<std::uint8_t>(below(4));
    return IpAddress::v6(octets);
  }
  Prefix prefix(bool six) {
    const std::uint32_t lengths4[] = {0, 8, 13, 16, 24, 29, 31, 32};
    const std::uint32_t lengths6[] = {0, 32, 47, 48, 63, 64, 65, 96, 127, 128};
    Prefix out;
    out.length = static_cast<std::uint8_t>(six ? lengths6[below(10)] : lengths4[below(8)]);
    Bytes octets = to_bytes(address(six).bytes());
    for (std::size_t bit = out.length; bit < octets.size() * 8; ++bit)
      octets[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> bit % 8));
    out.address = IpAddress::from_bytes(octets).value();
    return out;
  }
  PortRange ports() {
    if (below(3) != 0) return {};
    const std::uint16_t first = static_cast<std::uint16_t>(below(40));
    return {first, static_cast<std::uint16_t>(first + below(20))};
  }
  std::uint8_t protocol() {
    const std::uint8_t protocols[] = {6, 17, 132, 1, 58, 50, 99};
    return protocols[below(7)];
  }
  PolicyEntry entry() {
    const bool six = v6();
    PolicyEntry out;
    out.action = Action::bypass;
    out.selector = {prefix(six), prefix(six), below(2) != 0 ? protocol() : std::uint8_t{0}, ports(),
                    ports()};
    return out;
  }
  Packet packet() {
    const bool six = v6();
    Packet out{address(six), address(six), protocol(), 0, 0};
    if (has_ports(out.protocol)) {
      out.source_port = static_cast<std::uint16_t>(below(64));
      out.destination_port = static_cast<std::uint16_t>(below(64));
    }
    return out;
  }

 private:
  std::mt19937 random_;
};

template <typename Key>
Key key_of(const Packet& packet) {
  Key key;
  key.protocol = packet.protocol;
  const auto source = packet.source.bytes();
  const auto destination = packet.destination.bytes();
  std::ranges::copy(source, key.addresses.begin());
  std::ranges::copy(destination, key.addresses.begin() + source.size());
  key.ports = std::uint32_t{rte_cpu_to_be_16(packet.source_port)} |
              std::uint32_t{rte_cpu_to_be_16(packet.destination_port)} << 16;
  return key;
}

std::uint16_t find(const SelectorTable& table, const Packet& packet) {
  std::uint16_t decision = 0;
  if (packet.source.is_v4()) {
    const auto key = key_of<SelectorKey4>(packet);
    table.find(std::span(&key, 1), &decision);
  } else {
    const auto key = key_of<SelectorKey6>(packet);
    table.find(std::span(&key, 1), &decision);
  }
  return decision;
}

SelectorTable build(const std::vector<PolicyEntry>& entries) {
  static int number = 0;
  return std::move(SelectorTable::build(entries, fmt::format("test{}-", number++)).value());
}

class Selectors : public testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override { test::start_test_eal(); }
};
INSTANTIATE_TEST_SUITE_P(Seeds, Selectors, testing::Range(1u, 25u));

TEST_P(Selectors, AgreeWithAWalkThroughTheList) {
  SCOPED_TRACE(testing::Message() << "seed " << GetParam());
  Draw draw(GetParam());
  std::vector<PolicyEntry> entries(1 + draw.below(60));
  std::ranges::generate(entries, [&] { return draw.entry(); });
  const SelectorTable table = build(entries);
  for (int i = 0; i < 500; ++i) {
    const Packet packet = draw.packet();
    EXPECT_EQ(find(table, packet), first_match(entries, packet))
        << packet.source.text() << " > " << packet.destination.text() << " protocol "
        << int{packet.protocol} << " ports " << packet.source_port << " "
        << packet.destination_port;
  }
}

/// A fragment without ports: certain only if no entry that looks at ports might come first.
TEST_P(Selectors, FragmentsAreCertainOnlyWhereTheyCanBe) {
  SCOPED_TRACE(testing::Message() << "seed " << GetParam());
  Draw draw(GetParam() + 1000);
  std::vector<PolicyEntry> entries(1 + draw.below(30));
  std::ranges::generate(entries, [&] { return draw.entry(); });
  const SelectorTable table = build(entries);
  for (int i = 0; i < 300; ++i) {
    const Packet packet = draw.packet();
    std::uint16_t expected = decision_none;
    for (std::size_t e = 0; e < entries.size(); ++e) {
      Selector any_port = entries[e].selector;
      any_port.source_ports = any_port.destination_ports = {};
      const bool by_ports = looks_at_ports(entries[e].selector);
      if (!matches(any_port, packet) || (by_ports && !has_ports(packet.protocol))) continue;
      expected = static_cast<std::uint16_t>(e + (by_ports ? decision_maybe : 0));
      break;
    }
    const std::uint16_t found = packet.source.is_v4()
                                    ? table.find_fragment(key_of<SelectorKey4>(packet))
                                    : table.find_fragment(key_of<SelectorKey6>(packet));
    EXPECT_EQ(found, expected);
  }
}

TEST(SelectorTable, AThousandEntriesKeepTheirOrder) {
  test::start_test_eal();
  std::vector<PolicyEntry> entries;
  for (std::uint32_t i = 0; i < 1000; ++i)
    entries.push_back(
        test::entry(Action::bypass, fmt::format("10.{}.{}.0/24", i / 250, i % 250), "0.0.0.0/0"));
  entries.push_back(test::entry(Action::drop, "10.0.0.0/8", "0.0.0.0/0"));
  const SelectorTable table = build(entries);
  Packet packet{IpAddress::v4(0x0a010203), IpAddress::v4(1), 17, 1, 1};
  EXPECT_EQ(find(table, packet), 252u);
  packet.source = IpAddress::v4(0x0aff0203);
  EXPECT_EQ(find(table, packet), 1000u);
  packet.source = IpAddress::v4(0x0bff0203);
  EXPECT_EQ(find(table, packet), decision_none);
}

TEST(SelectorTable, RefusesWhatMakesNoSense) {
  test::start_test_eal();
  PolicyEntry mixed = test::entry(Action::drop, "10.0.0.0/8", "0.0.0.0/0");
  mixed.selector.destination = Prefix::any(Family::v6);
  EXPECT_TRUE(SelectorTable::build(std::vector{mixed}, "x").error().is(bad_policy));
  PolicyEntry ports = test::entry(Action::drop, "10.0.0.0/8", "0.0.0.0/0");
  ports.selector.source_ports = {9, 8};
  EXPECT_TRUE(SelectorTable::build(std::vector{ports}, "x").error().is(bad_policy));
}

}  // namespace
}  // namespace cohort::dataplane
