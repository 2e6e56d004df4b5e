#include <map>

#include "tests/exchange/gdoi_fixture.hpp"

/// Members behind a translator of addresses, and members that move.
namespace cohort::harness {
namespace {

using ike::ExchangeType;

/// Everybody in 192.168.0.0/16 is seen as 203.0.113.7, at a port of its own for each of its ports,
/// and reached from outside only from where it has sent to, as most translators do.
class BehindNat : public GdoiDialogue {
 protected:
  void SetUp() override {
    nat_traversal = true;
    net.fate = [this](const Datagram& datagram) { return translate(datagram); };
  }
  Fate translate(const Datagram& datagram) {
    const Prefix inside = Prefix::parse("192.168.0.0/16").value();
    if (inside.contains(datagram.local.address)) {
      net.inject(mapping(datagram.local, datagram.remote), datagram.remote, datagram.payload);
      return Fate{.copies = 0};
    }
    if (datagram.remote.address != outside) return Fate{};
    const auto open = inward.find({datagram.remote.port, datagram.local});
    if (open != inward.end() && net.now() - open->second.used < memory)
      net.inject(datagram.local, open->second.inside, datagram.payload);
    return Fate{.copies = 0};
  }
  Endpoint mapping(const Endpoint& from, const Endpoint& to) {
    const auto [at, fresh] = ports.try_emplace(from, next_port);
    if (fresh) ++next_port;
    inward[{at->second, to}] = {from, net.now()};
    return {outside, at->second};
  }
  /// The translator has restarted: what comes from inside gets another port.
  void forget() {
    ports.clear();
    inward.clear();
  }
  /// Datagrams of a type from an end, markers removed; each must have one.
  [[nodiscard]] std::vector<Datagram> marked(ExchangeType type) const {
    std::vector<Datagram> found;
    for (const Datagram& datagram : net.sent) {
      if (datagram.local.port != 4500 || datagram.payload.size() < 4) continue;
      EXPECT_EQ(to_hex(ByteView(datagram.payload).first(4)), "00000000");
      const auto header = ike::Header::parse(ByteView(datagram.payload).subspan(4));
      if (header && header->exchange == type) found.push_back(datagram);
    }
    return found;
  }

  const IpAddress outside = IpAddress::parse("203.0.113.7").value();
  std::map<Endpoint, std::uint16_t> ports;
  struct Mapping {
    Endpoint inside;
    TimePoint used;  ///< from inside
  };
  static constexpr Duration memory = 30s;
  std::map<std::pair<std::uint16_t, Endpoint>, Mapping> inward;
  std::uint16_t next_port = 40'000;
};

TEST_F(BehindNat, members_are_rekeyed_and_acknowledge_over_4500) {
  Server& server = add_server("198.51.100.2", default_policy());
  add_member("192.168.1.5");
  add_member("192.168.1.6");
  ASSERT_TRUE(register_all()) << log();
  ASSERT_EQ(status(server).members.size(), 2u);
  for (const auto& member : status(server).members) EXPECT_EQ(member.remote.address, outside);
  for (const bool kek : {false, true}) {
    net.run_for(300s);  // only keepalives keep the way in open
    ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN", kek));
    net.run_for(30s);
  }
  EXPECT_EQ(marked(ExchangeType::groupkey_push).size(), 4u) << "no retransmission";
  EXPECT_EQ(marked(ExchangeType::groupkey_push_ack).size(), 4u);
  EXPECT_EQ(sent(ExchangeType::groupkey_push).size(), 0u) << "none without a marker";
  EXPECT_EQ(status(server).acks_received, 4u) << log();
  for (const auto& member : status(server).members) EXPECT_EQ(member.unanswered_rekeys, 0u);
  for (Member& member : members) {
    EXPECT_EQ(sending(member), current_spis(server));
    EXPECT_EQ(status(member).rekeys_received, 2u);
    EXPECT_TRUE(member.host->refusals.empty()) << log();
  }
  EXPECT_TRUE(server.host->refusals.empty()) << log();
}

TEST_F(BehindNat, a_configured_source_port_is_not_what_the_translator_lets_in) {
  Server& server = servers.emplace_back();
  server.host = &net.add_host("198.51.100.2");
  enrol(*server.host, "ks1", "GETVPN_KS", 1);
  auto options = server_options(default_policy());
  options.local = server.host->at(gdoi_port);
  start_server(server, options);
  add_member("192.168.1.5");
  ASSERT_TRUE(register_all()) << log();
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(30s);
  EXPECT_EQ(status(server).acks_received, 1u) << log();
}

TEST_F(BehindNat, a_member_that_registers_from_another_port_is_owed_nothing_more) {
  auto policy = default_policy();
  policy.rekey.evict_after_unanswered = 1;
  policy.rekey.retransmit_interval = 10s;
  Server& server = add_server("198.51.100.2", policy);
  add_member("192.168.1.5");
  add_member("192.168.1.6");
  ASSERT_TRUE(register_all()) << log();
  forget();  // no rekey gets in any more
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(5s);
  EXPECT_EQ(status(server).acks_received, 0u);
  for (Member& member : members) {
    member.node.reset();
    start(member);
  }
  ASSERT_TRUE(register_all()) << log();
  net.run_for(60s);
  EXPECT_EQ(status(server).evictions, 0u) << log();
  EXPECT_EQ(status(server).members.size(), 2u);
  const auto before = status(server).acks_received;
  ASSERT_TRUE(server.role().rekey_now(net.now(), "GETVPN"));
  net.run_for(30s);
  EXPECT_EQ(status(server).acks_received, before + 2) << log();
}

}  // namespace
}  // namespace cohort::harness
