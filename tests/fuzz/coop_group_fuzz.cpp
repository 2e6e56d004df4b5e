#include <cstdlib>

#include "coop/group.hpp"
#include "tests/exchange/harness.hpp"

/// One group at one key server whose only peer is hostile, or broken: each step of the input has a
/// kind and a length (2 octets) before it. Records of its stream and announcements are put into
/// messages that fit, so that what they say is acted on. No table grows over its limit, whatever is
/// said, and time goes on.
namespace cohort::harness {
namespace {

enum class Kind : std::uint8_t { message, announce, record, data, wait };

const IpAddress us = IpAddress::v4(0x0a090001), peer = IpAddress::v4(0x0a090002);

struct Stage {
  Stage() {
    coop::Options options;
    options.group_name = "fuzz";
    options.group = {std::uint32_t{484}};
    options.local = {us, 848};
    options.peers = {{peer, 848}};
    options.timers = {std::chrono::milliseconds(1000), std::chrono::milliseconds(2000),
                      std::chrono::milliseconds(4000)};
    group.emplace(host.world, std::move(options), [this](const IpAddress&, coop::Message message) {
      ours = message.from;
      return coop::Sent{100, ++sent};
    });
    must(group->start(now).has_value());
    group->on_link(now, peer, true);
    must(group
             ->set_policy(now, {{"sa 10 lifetime", "20"}},
                          {{"kek", 1, 80'000, 100'000}, {"sa 10", 2, 16'000, 20'000}}, 16)
             .has_value());
  }
  static void must(bool holds) {
    if (!holds) std::abort();
  }

  void say(coop::Message message) {
    if (message.from == 0) message.from = 77;
    message.to = ours;
    message.group = {std::uint32_t{484}};
    message.sequence = ++heard;
    group->on_message(now, peer, message, 100);
  }
  void record(ByteView octets) {
    Writer out;
    out.u32(static_cast<std::uint32_t>(octets.size())).bytes(octets);
    data(out.view());
  }
  void data(ByteView octets) {
    while (!octets.empty()) {
      const ByteView slice = octets.first(std::min(octets.size(), coop::data_octets_max));
      octets = octets.subspan(slice.size());
      coop::Message message;
      message.body = coop::Data{1, offset, WipedBytes(slice.begin(), slice.end())};
      offset += slice.size();
      say(std::move(message));
    }
  }
  /// The body of an announcement behind a header that fits.
  void announce(ByteView body) {
    coop::Message header;
    header.from = 77;
    header.body = coop::Announce{};
    Bytes octets = coop::encode(header);
    octets.resize(4 + 4 + 8 + 8 + 8);
    octets.insert(octets.end(), body.begin(), body.end());
    const auto read = coop::decode(octets);
    if (read && *read) say(std::move(**read));
  }
  void wait(std::chrono::milliseconds span) {
    const TimePoint end = now + span;
    for (int turns = 0; turns < 200 && group->next_deadline() <= end; ++turns) {
      now = std::max(now, group->next_deadline());
      net.clock.advance_to(now);
      group->on_timer(now);
    }
    now = end;
    net.clock.advance_to(now);
  }
  void check() const {
    for (std::uint8_t kind = 1; kind <= coop::kind_last; ++kind)
      must(group->replica().count(static_cast<coop::Kind>(kind)) <=
           coop::limit_of(static_cast<coop::Kind>(kind)));
    (void)group->status(now);
  }

  Net net{11};
  Host& host = net.add_host("10.9.0.1");
  TimePoint now = net.now();
  std::optional<coop::Group> group;
  coop::Incarnation ours = 0;
  std::uint32_t sent = 0, heard = 0;
  std::uint64_t offset = 0;
};

}  // namespace
}  // namespace cohort::harness

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cohort;
  using namespace cohort::harness;
  Stage stage;
  Reader in(ByteView(data, size));
  for (int i = 0; i < 32 && in.remaining() >= 3; ++i) {
    const auto kind = static_cast<harness::Kind>(in.u8() % 5);
    const std::size_t wanted = in.u16();
    if (kind == harness::Kind::wait) {
      stage.wait(std::chrono::milliseconds(wanted));
      continue;
    }
    const ByteView body = in.take(std::min<std::size_t>(wanted, in.remaining()));
    if (kind == harness::Kind::announce) stage.announce(body);
    if (kind == harness::Kind::record) stage.record(body);
    if (kind == harness::Kind::data) stage.data(body);
    if (kind == harness::Kind::message) {
      auto message = coop::decode(body);
      if (message && *message) stage.say(std::move(**message));
    }
    stage.check();
  }
  stage.wait(std::chrono::seconds(30));
  stage.check();
  return 0;
}
