#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <random>
#include <set>

#include "tests/packets/lab.hpp"

/// Anti-replay where several workers send on one SA and several receive on it: the senders draw
/// numbers in runs that overlap, the network reorders and repeats, and the receiver's device
/// spreads by addresses.
namespace cohort::test {
namespace {

using namespace dataplane;

constexpr Suite suite = Suite::aes_128_gcm_16;
constexpr unsigned hosts = 40;

struct Sent {
  std::uint32_t sequence;
  unsigned host;  ///< which says the flow, and thus the receiving worker
  bool again;     ///< a copy of one that was sent before
  Bytes frame;
};

struct Network {
  unsigned senders = 4;      ///< workers
  unsigned displaced = 100;  ///< places that a packet may fall back by
  unsigned copies_in_100 = 10;
};

/// Packets in the order of arrival.
std::vector<Sent> traffic(const Network& network, unsigned count, std::mt19937& random) {
  struct Placed {
    std::uint64_t place;
    Sent sent;
  };
  std::vector<Placed> placed;
  // Each worker has drawn the numbers of a burst. They are equally fast: in turns of 16 packets, in
  // an order that changes.
  std::vector<std::vector<std::uint32_t>> runs(network.senders);
  std::vector<unsigned> order;
  for (unsigned i = 0; i < network.senders; ++i) order.push_back(i);
  std::uint32_t next = 1;
  for (std::uint64_t place = 0; placed.size() < count; ++place) {
    if (place % (16 * network.senders) == 0) std::ranges::shuffle(order, random);
    auto& run = runs[order[place / 16 % network.senders]];
    if (run.empty())
      for (std::uint32_t n = 1 + static_cast<std::uint32_t>(random() % 64); n > 0; --n)
        run.insert(run.begin(), next++);
    const std::uint32_t sequence = run.back();
    run.pop_back();
    const auto host = static_cast<unsigned>(random() % hosts);
    Ipv4 header;
    header.source = fmt::format("10.0.0.{}", host + 1);
    const Bytes packet = frame(seal(make_sa(suite), sized_v4(60, sequence, header),
                                    {.sequence = sequence, .iv = iv_for(suite, sequence)}));
    placed.push_back({place + random() % (network.displaced + 1), {sequence, host, false, packet}});
    if (random() % 100 < network.copies_in_100)
      placed.push_back(
          {place + network.displaced + 1 + random() % 1000, {sequence, host, true, packet}});
  }
  std::ranges::stable_sort(placed, {}, &Placed::place);
  std::vector<Sent> out;
  for (Placed& one : placed) out.push_back(std::move(one.sent));
  return out;
}

/// RFC 4303 section 3.4.3 with all that was ever received in a set.
class Plain {
 public:
  explicit Plain(std::uint32_t size) : size_(size) {}
  bool is_fresh(std::uint32_t sequence) {
    if (sequence + std::uint64_t{size_} <= top_ || !seen_.insert(sequence).second) return false;
    top_ = std::max(top_, sequence);
    return true;
  }

 private:
  std::uint32_t size_;
  std::uint32_t top_ = 0;
  std::set<std::uint32_t> seen_;
};

struct Counts {
  unsigned accepted = 0;
  unsigned lost_first = 0;       ///< first copies that were refused
  unsigned accepted_copies = 0;  ///< second ones that were not
};

/// The packets through `receivers` workers of a member with that window, each against Plain.
Counts receive(const std::vector<Sent>& packets, unsigned receivers, std::uint16_t window,
               std::mt19937& random) {
  std::vector<std::unique_ptr<Lab>> labs;
  std::vector<Plain> plain;
  for (unsigned i = 0; i < receivers; ++i) {
    labs.push_back(std::make_unique<Lab>(Lab::defaults(), receivers, i));
    Snapshot snapshot = protect_all(suite);
    snapshot.sas[0].replay_window = window;
    labs.back()->apply(snapshot);
    plain.emplace_back(window);
  }
  Counts counts;
  std::vector<std::vector<const Sent*>> queues(receivers);
  const auto drain = [&](unsigned worker) {
    std::vector<Bytes> burst;
    unsigned fresh = 0;
    for (const Sent* sent : queues[worker]) {
      burst.push_back(sent->frame);
      const bool is_fresh = plain[worker].is_fresh(sent->sequence);
      fresh += is_fresh ? 1 : 0;
      counts.lost_first += !is_fresh && !sent->again ? 1 : 0;
      counts.accepted_copies += is_fresh && sent->again ? 1 : 0;
    }
    queues[worker].clear();
    const Outcome out = labs[worker]->outside(burst);
    EXPECT_EQ(out.inside.size(), fresh);
    // Which of the two it is called may differ: the window moves within a burst.
    std::uint64_t refused = 0;
    for (const char* reason : {"replay_too_old", "replay_duplicate"})
      if (const auto found = out.drops.find(reason); found != out.drops.end())
        refused += found->second;
    EXPECT_EQ(refused, burst.size() - fresh);
    counts.accepted += static_cast<unsigned>(out.inside.size());
  };
  for (const Sent& sent : packets) {
    const unsigned worker = sent.host % receivers;
    queues[worker].push_back(&sent);
    if (queues[worker].size() >= 1 + random() % 64) drain(worker);
  }
  for (unsigned worker = 0; worker < receivers; ++worker)
    if (!queues[worker].empty()) drain(worker);
  return counts;
}

class Reorder : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Receivers, Reorder, testing::Values(1u, 2u, 4u));

// 128 for each sending worker is what dataplane/README.md says: numbers are out by less than a
// burst of each, and what the network adds.
TEST_P(Reorder, AWideWindowLosesNothingAndTakesNothingTwice) {
  std::mt19937 random(GetParam());
  const Network network;
  const std::vector<Sent> packets = traffic(network, 4000, random);
  const Counts counts =
      receive(packets, GetParam(), static_cast<std::uint16_t>(128 * network.senders), random);
  EXPECT_EQ(counts.lost_first, 0u);
  EXPECT_EQ(counts.accepted_copies, 0u);
  EXPECT_EQ(counts.accepted,
            static_cast<unsigned>(std::ranges::count(packets, false, &Sent::again)));
}

// The generator does reorder: a window that is too small loses first copies, and still takes
// nothing twice.
TEST_P(Reorder, ANarrowWindowLosesButTakesNothingTwice) {
  std::mt19937 random(100 + GetParam());
  Network network;
  network.displaced = 300;
  const Counts counts = receive(traffic(network, 4000, random), GetParam(), 64, random);
  EXPECT_GT(counts.lost_first, 0u);
  EXPECT_EQ(counts.accepted_copies, 0u);
}

}  // namespace
}  // namespace cohort::test
