#include "controlplane/ike/payloads.hpp"
#include "tests/exchange/phase1_fixture.hpp"

/// What happens to a phase 1 once it stands: Informationals, dead peers, re-keying, restarts,
/// fragments, NAT.
namespace cohort::harness {
namespace {

using ike::AuthMethod;
using ike::DpdOptions;
using ike::ExchangeType;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class Life : public TwoPeers {
 protected:
  [[nodiscard]] static ike::IsakmpOptions options() {
    return options_with({fast_policy(AuthMethod::pre_shared_key)});
  }
  [[nodiscard]] std::size_t sent_by(const Peer& peer) const {
    std::size_t count = 0;
    for (const Datagram& datagram : net.sent) count += datagram.local == peer.end();
    return count;
  }
};

TEST_F(Life, close_tells_the_peer) {
  make(options());
  ASSERT_TRUE(connect());
  member->isakmp->close(net.now(), id, ike::phase1_expired);
  net.run_for(seconds{1});
  EXPECT_EQ(member->observer.last_reason(), ike::phase1_expired.name);
  EXPECT_EQ(server->observer.last_reason(), ike::peer_deleted.name);
  EXPECT_FALSE(member->isakmp->begin_exchange(id, 1));
  EXPECT_EQ(server->host.count(ike::phase1_down), 1u);
}

TEST_F(Life, notify_reaches_the_handlers) {
  make(options());
  ASSERT_TRUE(connect());
  server->isakmp->notify(net.now(), server_id(), ike::NotifyType::authentication_failed);
  net.run_for(seconds{1});
  ASSERT_EQ(member->observer.notifies.size(), 1u);
  EXPECT_EQ(member->observer.notifies[0], ike::NotifyType::authentication_failed);
  EXPECT_NE(member->isakmp->find(id), nullptr);  // it says something, it does not end anything
}

TEST_F(Life, expires_and_is_rekeyed_before) {
  auto with_short_life = options();
  with_short_life.policies[0].lifetime = hours{1};
  make(with_short_life);
  ASSERT_TRUE(connect());
  net.run_for(minutes{50});
  EXPECT_EQ(member->observer.established.size(), 1u);
  net.run_for(minutes{9});
  // A new main mode took place before the hour was over.
  ASSERT_EQ(member->observer.established.size(), 2u);
  EXPECT_EQ(member->observer.established[1].replaces, id);
  EXPECT_EQ(member->observer.last_reason(), ike::phase1_replaced.name);
  EXPECT_EQ(server->observer.last_reason(), ike::peer_deleted.name);
  EXPECT_EQ(go(), member->observer.established[1].id);
  net.run_for(hours{24});
  EXPECT_GE(member->observer.established.size(), 24u);
  EXPECT_EQ(member->isakmp->established().size(), 1u);
  EXPECT_EQ(server->isakmp->established().size(), 1u);
}

TEST_F(Life, a_rekey_that_fails_is_tried_again_and_the_old_one_lives_on) {
  auto with_short_life = options();
  with_short_life.policies[0].lifetime = hours{10};
  make(with_short_life);
  ASSERT_TRUE(connect());
  net.fate = [](const Datagram&) { return Fate{.copies = 0}; };
  net.run_for(hours{9} + minutes{34});
  EXPECT_NE(member->isakmp->find(id), nullptr);
  EXPECT_EQ(member->observer.last_reason(), ike::peer_unreachable.name);
  net.fate = nullptr;
  net.run_for(minutes{25});
  EXPECT_EQ(member->observer.established.size(), 2u);
}

TEST_F(Life, without_rekey_it_ends_when_its_time_is_over) {
  auto once = options();
  once.rekey = false;
  once.policies[0].lifetime = hours{1};
  make(once);
  ASSERT_TRUE(connect());
  net.run_for(hours{2});
  // The server's began, and so ends, half a round trip earlier; it says so.
  EXPECT_EQ(server->observer.last_reason(), ike::phase1_expired.name);
  EXPECT_EQ(member->observer.last_reason(), ike::peer_deleted.name);
  EXPECT_EQ(member->isakmp->next_deadline(), never);
  EXPECT_EQ(server->isakmp->next_deadline(), never);
}

TEST_F(Life, a_restarted_member_is_known_again_and_its_past_forgotten) {
  make(options());
  ASSERT_TRUE(connect());
  member->stop();
  member->start(options());
  net.run_for(minutes{1});
  go();
  net.run_for(seconds{5});
  EXPECT_EQ(server->observer.established.size(), 2u);
  EXPECT_EQ(server->isakmp->established().size(), 1u);
  EXPECT_EQ(server->observer.last_reason(), ike::peer_restarted.name);
}

class DeadPeer : public Life {
 protected:
  [[nodiscard]] static ike::IsakmpOptions with(DpdOptions::Mode mode) {
    auto result = options();
    result.dpd = {mode, seconds{15}, seconds{3}, 5};
    return result;
  }
};

TEST_F(DeadPeer, periodic_questions_are_answered) {
  make(with(DpdOptions::Mode::periodic), options());
  ASSERT_TRUE(connect());
  net.sent.clear();
  net.run_for(minutes{10});
  // A question each 15 s and its answer.
  EXPECT_GE(sent_by(*member), 38u);
  EXPECT_LE(sent_by(*member), 41u);
  EXPECT_EQ(sent_by(*member), sent_by(*server));
  EXPECT_TRUE(member->observer.closed.empty());
  EXPECT_TRUE(member->host.refusals.empty());
  EXPECT_TRUE(server->host.refusals.empty());
}

TEST_F(DeadPeer, both_ask) {
  make(with(DpdOptions::Mode::periodic));
  ASSERT_TRUE(connect());
  net.sent.clear();
  net.run_for(minutes{10});
  // Who has just been asked knows that the other lives: no doubled traffic.
  EXPECT_LE(net.sent.size(), 170u);
  EXPECT_TRUE(member->observer.closed.empty());
  EXPECT_TRUE(server->observer.closed.empty());
}

TEST_F(DeadPeer, is_found_dead) {
  make(with(DpdOptions::Mode::periodic), options());
  ASSERT_TRUE(connect());
  const TimePoint silent_since = net.now();
  net.fate = [](const Datagram&) { return Fate{.copies = 0}; };
  ASSERT_TRUE(net.run_until([&] { return !member->observer.closed.empty(); }));
  EXPECT_EQ(member->observer.last_reason(), ike::peer_dead.name);
  EXPECT_NEAR(static_cast<double>((net.now() - silent_since).count()), 30e6, 1e6);
  EXPECT_EQ(member->host.count(ike::dead_peer), 1u);
}

TEST_F(DeadPeer, four_lost_questions_are_survived_the_fifth_answer_counts) {
  make(with(DpdOptions::Mode::periodic), options());
  ASSERT_TRUE(connect());
  std::size_t lost = 0;
  net.fate = [&](const Datagram&) { return Fate{.copies = lost++ < 4 ? 0u : 1u}; };
  net.run_for(minutes{5});
  EXPECT_TRUE(member->observer.closed.empty());
}

TEST_F(DeadPeer, on_demand_asks_only_when_an_answer_is_awaited) {
  make(with(DpdOptions::Mode::on_demand), options());
  ASSERT_TRUE(connect());
  net.sent.clear();
  net.run_for(minutes{10});
  EXPECT_TRUE(net.sent.empty());
  member->isakmp->expect_answer(net.now(), id);
  net.run_for(seconds{1});
  EXPECT_EQ(net.sent.size(), 2u);
  // Soon after that it waits for the silence to last an interval.
  member->isakmp->expect_answer(net.now(), id);
  net.run_for(seconds{13});
  EXPECT_EQ(net.sent.size(), 2u);
  member->isakmp->heard(net.now(), id);  // the awaited answer came
  net.run_for(minutes{1});
  EXPECT_EQ(net.sent.size(), 2u);
  net.fate = [](const Datagram&) { return Fate{.copies = 0}; };
  member->isakmp->expect_answer(net.now(), id);
  net.run_for(minutes{1});
  EXPECT_EQ(member->observer.last_reason(), ike::peer_dead.name);
}

TEST_F(DeadPeer, replayed_answers_do_not_keep_it_alive) {
  make(with(DpdOptions::Mode::periodic), options());
  ASSERT_TRUE(connect());
  net.run_for(minutes{1});
  const auto seen = net.sent;
  net.fate = [](const Datagram&) { return Fate{.copies = 0}; };
  for (int i = 0; i < 60; ++i) {
    for (const Datagram& datagram : seen)
      if (datagram.remote == member->end())
        net.inject(datagram.local, datagram.remote, datagram.payload);
    net.run_for(seconds{1});
  }
  EXPECT_EQ(member->observer.last_reason(), ike::peer_dead.name);
}

/// A chain of RSA certificates does not fit into small datagrams.
class Fragments : public TwoPeers {
 protected:
  void make_fragmenting(std::size_t size) {
    auto small = options_with({fast_policy(AuthMethod::rsa_signature)});
    small.fragment_size = size;
    make(small);
    certify(crypto::KeyType::rsa);
  }
  [[nodiscard]] std::size_t longest() const {
    std::size_t size = 0;
    for (const Datagram& datagram : net.sent) size = std::max(size, datagram.payload.size());
    return size;
  }
};

TEST_F(Fragments, carry_long_messages) {
  make_fragmenting(600);
  ASSERT_TRUE(connect());
  EXPECT_LE(longest(), 600u);
  EXPECT_GT(net.sent.size(), 6u);
  Bytes long_chain(20'000, 7);
  long_chain[0] = 0;
  auto exchange = member->isakmp->begin_exchange(id, 3).value();
  const Bytes sealed =
      exchange.seal(ExchangeType::groupkey_pull, ike::PayloadType::hash, long_chain).value();
  member->isakmp->send(id, sealed);
  net.run_for(seconds{1});
  ASSERT_EQ(server->observer.protected_messages.size(), 1u);
  EXPECT_EQ(server->observer.protected_messages[0], sealed);
}

TEST_F(Fragments, are_not_sent_to_who_did_not_agree) {
  auto none = options_with({fast_policy(AuthMethod::rsa_signature)});
  none.fragment_size = 0;
  auto small = none;
  small.fragment_size = 600;
  make(small, none);
  certify(crypto::KeyType::rsa);
  ASSERT_TRUE(connect());
  EXPECT_EQ(net.sent.size(), 6u);
  EXPECT_GT(longest(), 600u);
}

TEST_F(Fragments, lost_doubled_and_out_of_order) {
  make_fragmenting(600);
  std::mt19937_64 random(11);
  net.fate = [&](const Datagram&) {
    return Fate{.copies = static_cast<unsigned>(random() % 5 == 0 ? 0 : 1 + random() % 2),
                .extra_delay = std::chrono::milliseconds{random() % 50}};
  };
  EXPECT_TRUE(connect());
}

TEST_F(Fragments, forged_ones_do_not_end_anything_and_are_bounded) {
  make_fragmenting(600);
  ASSERT_TRUE(connect());
  ike::Header header = ike::Header::parse(net.sent.at(1).payload).value();
  std::mt19937_64 random(5);
  for (int i = 0; i < 400; ++i) {
    ike::PayloadWriter chain;
    Writer body;
    body.u16(static_cast<std::uint16_t>(i < 300 ? 9 : random()))
        .u8(static_cast<std::uint8_t>(i < 300 ? 1 + i % 255 : random()))
        .u8(static_cast<std::uint8_t>(random() % 16 == 0))
        .bytes(Bytes(1200, 0x11));
    chain.add(ike::PayloadType::fragment, body.view());
    header.next = chain.first();
    header.flags = 0;
    header.length = static_cast<std::uint32_t>(ike::Header::size + chain.view().size());
    Writer out;
    header.write(out);
    out.bytes(chain.view());
    net.inject(server->end(), member->end(), out.take());
  }
  net.run_for(seconds{1});
  EXPECT_GE(member->host.count(ike::bad_fragment), 1u);
  EXPECT_NE(member->isakmp->find(id), nullptr);
  EXPECT_TRUE(member->observer.closed.empty());
}

TEST_F(Fragments, of_a_message_that_never_ends_are_forgotten) {
  make_fragmenting(600);
  ASSERT_TRUE(connect());
  const ike::Header header = ike::Header::parse(net.sent.back().payload).value();
  const auto slice = [&](std::uint8_t number) {
    ike::PayloadWriter chain;
    Writer body;
    body.u16(77).u8(number).u8(number == 2 ? 1 : 0).bytes(Bytes(500, 0x11));
    chain.add(ike::PayloadType::fragment, body.view());
    ike::Header outer = header;
    outer.next = chain.first();
    outer.flags = 0;
    outer.length = static_cast<std::uint32_t>(ike::Header::size + chain.view().size());
    Writer out;
    outer.write(out);
    out.bytes(chain.view());
    return out.take();
  };
  net.inject(server->end(), member->end(), slice(1));
  net.run_for(seconds{29});
  EXPECT_EQ(member->host.count(ike::bad_fragment), 0u);
  net.run_for(seconds{2});
  EXPECT_EQ(member->host.count(ike::bad_fragment), 1u);
  net.inject(server->end(), member->end(), slice(2));  // alone it is no message
  net.run_for(seconds{60});
  EXPECT_EQ(member->host.count(ike::bad_fragment), 2u);
  EXPECT_EQ(member->host.refusals.size(), 2u);
  EXPECT_NE(member->isakmp->find(id), nullptr);
}

TEST_F(Life, one_peer_does_not_take_the_room_of_all) {
  make(options());
  // It never says that it began anew, nor that it closes anything.
  (void)member->isakmp->initiate(net.now(), server->host.at(849));
  net.fate = [&](const Datagram& datagram) {
    const auto header = ike::Header::parse(datagram.payload);
    return header && header->exchange == ike::ExchangeType::informational ? Fate{.copies = 0}
                                                                          : Fate{};
  };
  for (std::size_t i = 1; i <= 20; ++i) {
    const ike::Phase1Id one = go();
    ASSERT_TRUE(
        net.run_until([&] { return server->observer.established.size() == i; }, seconds{1}));
    member->isakmp->close(net.now(), one, ike::peer_unreachable);
    EXPECT_EQ(server->isakmp->established().size(), std::min<std::size_t>(i, 16));
  }
  EXPECT_EQ(server->host.count(ike::peer_limit), 4u);
  EXPECT_EQ(server->observer.closed.front().first, server->observer.established.front().id);
}

/// A translator between the two: the server sees the member at another address.
class Nat : public Life {
 protected:
  void SetUp() override {
    auto nat = options();
    nat.nat_traversal = true;
    make(nat);
    server->host.credentials.share_key(outside, "the same at both ends");
    net.fate = [&](const Datagram& datagram) {
      if (datagram.remote == member->end() || datagram.remote == member->host.at(4500))
        return Fate{};
      if (datagram.local.address == member->host.address()) {
        ports.push_back(datagram.remote.port);
        net.inject({outside, static_cast<std::uint16_t>(40000 + datagram.local.port % 1000)},
                   datagram.remote, datagram.payload);
      } else {
        const std::uint16_t inside = datagram.remote.port == 40848 ? gdoi_port : 4500;
        ports.push_back(datagram.local.port);
        net.inject(datagram.local, member->host.at(inside), datagram.payload);
      }
      return Fate{.copies = 0};
    };
  }
  const IpAddress outside = IpAddress::parse("203.0.113.7").value();
  std::vector<std::uint16_t> ports;
};

TEST_F(Nat, moves_the_control_plane_to_4500) {
  ASSERT_TRUE(connect());
  EXPECT_EQ(ports, (std::vector<std::uint16_t>{848, 848, 848, 848, 4500, 4500}));
  EXPECT_EQ(member->host.count(ike::nat_detected), 1u);
  EXPECT_EQ(server->observer.established[0].remote, (Endpoint{outside, 40500}));
  EXPECT_EQ(server->observer.established[0].local.port, 4500);
  // Each datagram there begins with the marker.
  EXPECT_EQ(to_hex(ByteView(net.sent.at(4).payload).first(4)), "00000000");
  server->isakmp->notify(net.now(), server_id(), ike::NotifyType::payload_malformed);
  net.run_for(seconds{1});
  EXPECT_EQ(member->observer.notifies.size(), 1u);
  EXPECT_EQ(go(), id);
}

// Whether there is a translator is what the peer says: then any name could be claimed.
TEST_F(Nat, a_pre_shared_key_is_the_identity_of_the_address_that_it_is_for) {
  ASSERT_TRUE(connect());
  const ike::Phase1Info& seen = server->observer.established[0];
  EXPECT_FALSE(seen.peer.by_certificate);
  EXPECT_EQ(seen.peer.id_text, "203.0.113.7");
  EXPECT_EQ(seen.peer.address, outside);
}

TEST_F(Life, without_a_nat_nothing_moves) {
  auto nat = options();
  nat.nat_traversal = true;
  make(nat);
  ASSERT_TRUE(connect());
  EXPECT_EQ(server->observer.established[0].remote, member->end());
  EXPECT_EQ(member->host.count(ike::nat_detected), 0u);
}

TEST_F(Life, handlers_may_close_and_call_back_from_an_event) {
  class Impatient final : public ike::ExchangeHandler {
   public:
    explicit Impatient(TwoPeers&, ike::Isakmp& isakmp, Endpoint to) : isakmp_(isakmp), to_(to) {}
    void on_phase1_established(TimePoint now, const ike::Phase1Info& info) override {
      isakmp_.close(now, info.id, ike::phase1_expired);
    }
    void on_phase1_closed(TimePoint now, ike::Phase1Id, const Error&) override {
      if (++closed < 5) isakmp_.initiate(now, to_);
    }
    int closed = 0;

   private:
    ike::Isakmp& isakmp_;
    Endpoint to_;
  };
  make(options());
  Impatient impatient(*this, *member->isakmp, server->end());
  member->isakmp->attach(ExchangeType::coop, impatient);
  go();
  net.run_for(minutes{1});
  EXPECT_EQ(impatient.closed, 5);
  EXPECT_TRUE(member->isakmp->established().empty());
  EXPECT_TRUE(server->isakmp->established().empty());
}

}  // namespace
}  // namespace cohort::harness
