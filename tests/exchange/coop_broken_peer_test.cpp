#include "coop/group.hpp"
#include "tests/exchange/coop_fixture.hpp"

// One group at one key server, whose only peer is authorised, and broken: what it says has the form
// of the protocol and numbers that no server comes to.
namespace cohort::harness {
namespace {

using coop::Kind;
using std::chrono::milliseconds;
using std::chrono::seconds;

class BrokenPeer : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(start());
    run_for(seconds(10));
    ASSERT_TRUE(group->primary());
    ASSERT_NE(group->epoch(), nullptr);
  }

  /// Boots the key server; what is on its disk stays.
  Status start() {
    coop::Options options;
    options.group_name = "GETVPN";
    options.group = {std::uint32_t{484}};
    options.local = {IpAddress::v4(0x0a090001), 848};
    options.peers = {{peer, 848}};
    options.timers = {milliseconds(1000), milliseconds(2000), milliseconds(4000)};
    group = std::make_unique<coop::Group>(host.world, std::move(options),
                                          [this](const IpAddress&, const coop::Message& message) {
                                            ours = message.from;
                                            return coop::Sent{100, ++sent};
                                          });
    COHORT_CHECK(group->start(net.now()));
    group->on_link(net.now(), peer, true);
    return group->set_policy(net.now(), {{"sa 10 lifetime", "20"}},
                             {{"kek", 1, 80'000, 100'000}, {"sa 10", 2, 16'000, 20'000}}, 16);
  }

  void run_for(Duration span) {
    const TimePoint end = net.now() + span;
    while (group->next_deadline() <= end) {
      net.clock.advance_to(std::max(net.now(), group->next_deadline()));
      group->on_timer(net.now());
    }
    net.clock.advance_to(end);
  }

  void say(std::variant<coop::Announce, coop::Data, coop::Ack> body) {
    coop::Message message;
    message.from = 77;
    message.to = ours;
    message.group = {std::uint32_t{484}};
    message.sequence = ++heard;
    message.body = std::move(body);
    group->on_message(net.now(), peer, message, 100);
  }

  void give(coop::ItemKey id, ByteView value, std::uint64_t stamp) {
    const Bytes record = coop::encode_item({std::move(id), stamp, peer, false, Secret(value)});
    Writer out;
    out.u32(static_cast<std::uint32_t>(record.size())).bytes(record);
    const ByteView octets = out.view();
    say(coop::Data{1, offset, WipedBytes(octets.begin(), octets.end())});
    offset += octets.size();
  }

  [[nodiscard]] coop::Epoch epoch(std::uint32_t number, std::uint64_t start_ms) const {
    coop::Epoch made = group->epoch()->clone();
    made.id = {9, 9};
    made.number = number;
    made.start_ms = start_ms;
    for (coop::Chain& chain : made.chains) chain.start_ms = start_ms;
    made.state = coop::EpochState::committed;
    return made;
  }

  /// What it stores it can read again, and it goes on to the next keys.
  void expect_sane() {
    const std::uint32_t before = group->epoch()->number;
    run_for(seconds(10));  // the peer is dead
    ASSERT_TRUE(group->refresh(net.now()));
    run_for(seconds(10));
    EXPECT_EQ(group->epoch()->number, before + 1);
    ASSERT_TRUE(group->put(net.now(), {Kind::member, {1}}, Bytes(10, 1)));
    EXPECT_LT(group->replica().last_stamp(), coop::heard_stamp_max);
    group.reset();
    const Status again = start();
    EXPECT_TRUE(again) << again.error().text();
  }

  Net net{11};
  Host& host = net.add_host("10.9.0.1");
  const IpAddress peer = IpAddress::v4(0x0a090002);
  std::unique_ptr<coop::Group> group;
  coop::Incarnation ours = 0;
  std::uint32_t sent = 0, heard = 0;
  std::uint64_t offset = 0;
};

TEST_F(BrokenPeer, AStampBehindWhichThereIsNoRoomIsRefused) {
  give({Kind::member, {7}}, Bytes(10, 1), ~std::uint64_t{0} >> 1);
  EXPECT_EQ(host.count(coop::coop_record), 1u);
  give({Kind::member, {8}}, Bytes(10, 1), 1);
  EXPECT_NE(group->replica().find({Kind::member, {8}}), nullptr);
  expect_sane();
}

TEST_F(BrokenPeer, AnEpochWithTheLastNumberIsRefused) {
  const coop::Epoch last = epoch(0xffffffff, group->epoch()->start_ms);
  give({Kind::epoch, to_bytes(last.id)}, coop::encode_epoch(last), 1);
  EXPECT_EQ(host.count(coop::coop_record), 1u);
  expect_sane();
}

TEST_F(BrokenPeer, AnEpochOfAnotherAgeIsRefused) {
  const coop::Epoch late = epoch(group->epoch()->number + 1, std::uint64_t{1} << 47);
  give({Kind::epoch, to_bytes(late.id)}, coop::encode_epoch(late), 1);
  EXPECT_EQ(host.count(coop::coop_record), 1u);
  expect_sane();
}

// Nothing is begun that the others would refuse.
TEST_F(BrokenPeer, NumbersOfEpochsEndWithAWord) {
  coop::Announce announce;
  announce.sender = peer;
  announce.epoch_id = {9, 9};
  announce.epoch_number = coop::heard_number_max;
  say(announce);
  const auto refused = group->refresh(net.now());
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(coop::coop_numbers_used_up));
}

TEST_F(BrokenPeer, ASeqBehindWhichThereIsNoRoomIsRefused) {
  const coop::KekSpi kek{1};
  give({Kind::seq, to_bytes(kek)}, Writer().u32(0xffffffff).view(), 1);
  run_for(seconds(10));
  const std::uint64_t begun = group->time().now_ms(net.now());
  for (std::uint32_t last = 0, i = 0; i < 4; ++i) {
    const auto next = group->take_seqs(net.now(), kek, last, 2, begun);
    ASSERT_TRUE(next) << next.error().text();
    EXPECT_GT(*next, last);
    EXPECT_LT(*next, 1000u);
    last = *next + coop::seq_slots;
    run_for(seconds(1));
  }
}

}  // namespace
}  // namespace cohort::harness
