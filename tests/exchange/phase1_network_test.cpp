#include <algorithm>
#include <list>
#include <map>
#include <string>

#include "controlplane/ike/payloads.hpp"
#include "controlplane/ike/proposal.hpp"
#include "tests/exchange/phase1_fixture.hpp"

/// Phase 1 over a network that loses, doubles, reorders and forges.
namespace cohort::harness {
namespace {

using ike::AuthMethod;
using ike::ExchangeType;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class Network : public TwoPeers {
 protected:
  void SetUp() override { make(options_with({fast_policy(AuthMethod::pre_shared_key)})); }
};

class EachMessageLost : public Network, public testing::WithParamInterface<std::size_t> {};

TEST_P(EachMessageLost, is_repeated) {
  std::size_t n = 0;
  net.fate = [&](const Datagram&) { return Fate{.copies = n++ == GetParam() ? 0u : 1u}; };
  ASSERT_TRUE(connect());
  EXPECT_EQ(server->observer.established.size(), 1u);
  net.run_for(minutes{5});
  EXPECT_TRUE(member->observer.closed.empty());
  EXPECT_TRUE(server->observer.closed.empty());
  EXPECT_TRUE(member->host.refusals.empty());
  EXPECT_TRUE(server->host.refusals.empty());
}

INSTANTIATE_TEST_SUITE_P(of_six, EachMessageLost, testing::Range<std::size_t>(0, 6));

TEST_F(Network, duplicates_die_out) {
  net.fate = [](const Datagram&) { return Fate{.copies = 3}; };
  ASSERT_TRUE(connect());
  net.run_for(minutes{5});
  EXPECT_EQ(member->observer.established.size(), 1u);
  EXPECT_EQ(server->observer.established.size(), 1u);
  // Three of the initiator's, each answered at most three times.
  EXPECT_LE(net.sent.size(), 3u + 3u * 3u);
}

TEST_F(Network, survives_every_seed_of_loss_duplication_and_reordering) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    net.sent.clear();
    net.fate = [&](const Datagram&) {
      return Fate{.copies = static_cast<unsigned>(random() % 4 == 0 ? 0 : 1 + random() % 2),
                  .extra_delay = milliseconds{random() % 300}};
    };
    member->observer.established.clear();
    server->observer.established.clear();
    const auto first = go();
    // Five repetitions of each message get through a quarter of loss nearly always; when not, the
    // caller tries again.
    bool up = net.run_until([&] { return both_up(); }, minutes{4});
    if (!up) {
      (void)go();
      up = net.run_until([&] { return both_up(); }, minutes{4});
    }
    ASSERT_TRUE(up);
    net.fate = nullptr;
    for (const auto& info : member->isakmp->established())
      member->isakmp->close(net.now(), info.id, ike::phase1_expired);
    net.run_for(minutes{3});
    EXPECT_TRUE(server->isakmp->established().empty());
    EXPECT_EQ(member->isakmp->find(first), nullptr);
  }
}

TEST_F(Network, back_off_doubles_and_ends) {
  net.fate = [](const Datagram&) { return Fate{.copies = 0}; };
  std::vector<TimePoint> times;
  net.fate = [&](const Datagram&) {
    times.push_back(net.now());
    return Fate{.copies = 0};
  };
  go();
  net.run_for(minutes{5});
  ASSERT_EQ(times.size(), 6u);
  for (std::size_t i = 1; i < times.size(); ++i)
    EXPECT_EQ(times[i] - times[i - 1], seconds{1 << (i - 1)});
  EXPECT_EQ(member->observer.last_reason(), ike::peer_unreachable.name);
  EXPECT_EQ(member->host.count(ike::phase1_failed), 1u);
  EXPECT_EQ(member->isakmp->next_deadline(), never);
}

TEST_F(Network, initiate_finds_what_is_there) {
  const auto first = go();
  EXPECT_EQ(go(), first);
  ASSERT_TRUE(net.run_until([&] { return both_up(); }));
  EXPECT_EQ(go(), first);
  EXPECT_NE(member->isakmp->find(first), nullptr);
  // The responder needs no second one in the other direction either.
  EXPECT_EQ(server->isakmp->initiate(net.now(), member->end()), server_id());
}

TEST_F(Network, both_call_at_once) {
  const auto a = go();
  const auto b = server->isakmp->initiate(net.now(), member->end());
  net.run_for(seconds{5});
  EXPECT_NE(member->isakmp->find(a), nullptr);
  EXPECT_NE(server->isakmp->find(b), nullptr);
  EXPECT_EQ(member->isakmp->established().size(), 2u);
  EXPECT_EQ(server->isakmp->established().size(), 2u);
}

/// Every datagram of a whole exchange, as somebody on the path has seen it.
class Forgery : public Network {
 protected:
  void expect_unmoved() {
    net.run_for(minutes{2});
    ASSERT_EQ(member->isakmp->established().size(), 1u);
    ASSERT_EQ(server->isakmp->established().size(), 1u);
    EXPECT_TRUE(member->observer.closed.empty());
    for (const auto& [closed, why] : server->observer.closed) EXPECT_NE(closed, server_id());
    // The keys still work.
    auto a = member->isakmp->begin_exchange(id, 5).value();
    auto b = server->isakmp->begin_exchange(server_id(), 5).value();
    EXPECT_EQ(to_hex(a.hash({})), to_hex(b.hash({})));
  }
  [[nodiscard]] Bytes clear_informational(ike::PayloadType type, ByteView body) const {
    ike::PayloadWriter chain;
    chain.add(type, body);
    ike::Header header = ike::Header::parse(net.sent.at(1).payload).value();
    header.next = chain.first();
    header.exchange = ExchangeType::informational;
    header.message_id = 77;
    header.length = static_cast<std::uint32_t>(ike::Header::size + chain.view().size());
    Writer out;
    header.write(out);
    out.bytes(chain.view());
    return out.take();
  }
  [[nodiscard]] Bytes delete_body() const {
    const auto header = ike::Header::parse(net.sent.at(1).payload).value();
    const auto spi = ike::phase1_spi(header.initiator, header.responder);
    ike::Delete del;
    del.spis.emplace_back(spi);
    return del.body();
  }
};

TEST_F(Forgery, a_delete_in_the_clear) {
  ASSERT_TRUE(connect());
  net.inject(server->end(), member->end(),
             clear_informational(ike::PayloadType::del, delete_body()));
  expect_unmoved();
  EXPECT_EQ(member->host.count(ike::unauthenticated_notify), 1u);
}

TEST_F(Forgery, a_delete_encrypted_under_other_keys) {
  ASSERT_TRUE(connect());
  ike::Phase1Keys keys;
  keys.cipher = crypto::Cipher::aes_128;
  keys.hash = crypto::Hash::sha256;
  keys.skeyid_a = Secret(Bytes(32, 1));
  keys.cipher_key = Secret(Bytes(16, 2));
  keys.last_block = Bytes(16, 3);
  const auto header = ike::Header::parse(net.sent.at(1).payload).value();
  ike::SecureExchange exchange(keys, header.initiator, header.responder, 9);
  ike::PayloadWriter hashed;
  hashed.add(ike::PayloadType::del, delete_body());
  ike::PayloadWriter chain;
  chain.add(ike::PayloadType::hash, exchange.hash({hashed.view()}));
  chain.add(ike::PayloadType::del, delete_body());
  net.inject(server->end(), member->end(),
             exchange.seal(ExchangeType::informational, chain.first(), chain.view()).value());
  expect_unmoved();
  EXPECT_EQ(member->host.count(ike::undecryptable), 1u);
}

TEST_F(Forgery, a_delete_with_the_right_cipher_key_and_a_wrong_hash) {
  ASSERT_TRUE(connect());
  auto exchange = server->isakmp->begin_exchange(server_id(), 9).value();
  ike::PayloadWriter chain;
  chain.add(ike::PayloadType::hash, Bytes(32, 0));
  chain.add(ike::PayloadType::del, delete_body());
  net.inject(server->end(), member->end(),
             exchange.seal(ExchangeType::informational, chain.first(), chain.view()).value());
  expect_unmoved();
  EXPECT_EQ(member->host.count(ike::bad_hash), 1u);
}

TEST_F(Forgery, replaying_all_that_was_said) {
  ASSERT_TRUE(connect());
  member->isakmp->notify(net.now(), id, ike::NotifyType::invalid_id_information);
  net.run_for(seconds{1});
  EXPECT_EQ(server->observer.notifies.size(), 1u);
  const auto seen = net.sent;
  for (int round = 0; round < 2; ++round)
    for (const Datagram& datagram : seen)
      net.inject(datagram.local, datagram.remote, datagram.payload);
  expect_unmoved();
  EXPECT_EQ(server->observer.notifies.size(), 1u);
  EXPECT_EQ(server->host.count(ike::replayed_message), 2u);
}

TEST_F(Forgery, changing_any_octet_of_any_message_while_it_runs) {
  // A changed copy arrives before the real message: the exchange must not die of it, save where
  // nothing can tell them apart (the responder's cookie in message 2; values in KE and Nonce).
  for (std::size_t n = 0; n < 6; ++n) {
    for (const std::size_t at : {0u, 7u, 8u, 16u, 17u, 18u, 19u, 23u, 27u, 30u, 31u, 45u}) {
      if (n == 1 && at == 8) continue;
      SCOPED_TRACE(testing::Message() << "message " << n + 1 << " octet " << at);
      std::size_t count = 0;
      net.fate = [&](const Datagram& datagram) {
        if (count++ == n) {
          Bytes changed = datagram.payload;
          changed.at(at) ^= 0x20;
          net.inject(datagram.local, datagram.remote, std::move(changed));
        }
        return Fate{.extra_delay = milliseconds{5}};
      };
      member->observer.established.clear();
      server->observer.established.clear();
      const auto one = go();
      EXPECT_TRUE(net.run_until([&] { return both_up(); }, minutes{1}));
      net.fate = nullptr;
      member->isakmp->close(net.now(), one, ike::phase1_expired);
      net.run_for(minutes{1});
    }
  }
}

TEST_F(Forgery, garbage_and_truncation_at_both_ends) {
  ASSERT_TRUE(connect());
  std::mt19937_64 random(7);
  const auto seen = net.sent;
  const auto throw_at_both = [&](const Bytes& octets) {
    net.inject(server->end(), member->end(), octets);
    net.inject(member->end(), server->end(), octets);
  };
  for (const Datagram& datagram : seen) {
    for (std::size_t n = 0; n < datagram.payload.size(); n += 3)
      throw_at_both(to_bytes(ByteView(datagram.payload).first(n)));
    Bytes longer = datagram.payload;
    longer.resize(longer.size() + 9);
    throw_at_both(longer);
  }
  for (int i = 0; i < 500; ++i) {
    Bytes noise(random() % 200);
    for (auto& octet : noise) octet = static_cast<std::uint8_t>(random());
    throw_at_both(noise);
    Bytes known_cookies = seen.at(1).payload;
    for (std::size_t at = 16; at < known_cookies.size(); ++at)
      known_cookies[at] = static_cast<std::uint8_t>(random());
    throw_at_both(known_cookies);
  }
  expect_unmoved();
}

TEST_F(Forgery, from_another_address) {
  ASSERT_TRUE(connect());
  Host& stranger = net.add_host("10.9.0.66");
  const auto seen = net.sent;
  for (const Datagram& datagram : seen)
    net.inject(stranger.at(gdoi_port), datagram.remote, datagram.payload);
  expect_unmoved();
  EXPECT_GE(server->host.count(ike::wrong_endpoint), 2u);
}

class Flood : public TwoPeers {
 protected:
  void make_small(std::size_t in_all, std::size_t by_address) {
    ike::IsakmpOptions options = options_with({fast_policy(AuthMethod::pre_shared_key)});
    options.half_open_max = in_all;
    options.half_open_max_per_address = by_address;
    make(options);
    // A well-formed first message to send over and over with other cookies.
    net.fate = [&](const Datagram& datagram) {
      if (first.empty()) first = datagram.payload;
      return Fate{.copies = 0};
    };
    const auto probe = go();
    member->isakmp->close(net.now(), probe, ike::phase1_expired);
    net.fate = nullptr;
    net.sent.clear();
  }
  void send_first(const Endpoint& from, std::uint32_t number) {
    Bytes message = first;
    for (std::size_t i = 0; i < 4; ++i) message[i] = static_cast<std::uint8_t>(number >> (8 * i));
    server->host.credentials.share_key(from.address, "whatever");
    net.inject(from, server->end(), std::move(message));
  }
  Bytes first;
};

TEST_F(Flood, one_address_is_held_to_its_limit) {
  make_small(1000, 8);
  const Endpoint attacker{IpAddress::parse("10.9.9.9").value(), gdoi_port};
  for (std::uint32_t i = 1; i <= 50; ++i) send_first(attacker, i);
  net.run_for(seconds{1});
  EXPECT_EQ(net.sent.size(), 8u);
  EXPECT_EQ(server->host.count(ike::half_open_limit), 42u);
  EXPECT_TRUE(connect());  // others are not concerned
  net.run_for(minutes{1});
  EXPECT_EQ(server->observer.closed.size(), 8u);
  for (std::uint32_t i = 100; i <= 103; ++i) send_first(attacker, i);
  net.run_for(seconds{1});
  EXPECT_EQ(server->host.count(ike::half_open_limit), 42u);  // there is room again
}

TEST_F(Flood, an_answer_to_a_forged_address_is_hardly_longer_than_the_question) {
  make_small(1000, 8);
  ike::PayloadWriter chain;
  chain.add(ike::PayloadType::sa,
            ike::offer_body(ike::doi_gdoi, ike::situation_gdoi,
                            std::vector{fast_policy(AuthMethod::pre_shared_key)}));
  ike::Header header;
  header.initiator = {1};
  header.next = chain.first();
  header.exchange = ExchangeType::identity_protection;
  header.length = static_cast<std::uint32_t>(ike::Header::size + chain.view().size());
  Writer bare;
  header.write(bare);
  bare.bytes(chain.view());
  for (const Bytes& question : {to_bytes(bare.view()), first}) {
    net.sent.clear();
    const Endpoint victim{IpAddress::parse("10.9.9.9").value(), gdoi_port};
    server->host.credentials.share_key(victim.address, "whatever");
    net.inject(victim, server->end(), question);
    net.run_for(seconds{1});
    ASSERT_EQ(net.sent.size(), 1u);
    EXPECT_LE(net.sent[0].payload.size(), question.size() + 20);
  }
}

TEST_F(Flood, of_forged_addresses_gives_way_to_a_real_peer) {
  make_small(64, 4);
  // Forged first messages all the time, faster than they time out; the real exchange runs through.
  std::uint32_t number = 1;
  net.fate = [&](const Datagram& datagram) {
    if (datagram.local == member->end() || datagram.remote == member->end()) {
      for (int i = 0; i < 10; ++i, ++number)
        send_first({IpAddress::v4(0x0b000000 + number), gdoi_port}, number);
    }
    return Fate{};
  };
  for (; number <= 200; ++number)
    send_first({IpAddress::v4(0x0b000000 + number), gdoi_port}, number);
  EXPECT_TRUE(connect());
  EXPECT_GE(server->observer.closed.size(), 150u);
  EXPECT_EQ(server->observer.last_reason(), ike::half_open_evicted.name);
}

TEST_F(Flood, from_a_whole_network_that_answers_leaves_room_for_the_others) {
  make_small(8, 4);
  std::map<IpAddress, unsigned> said;
  net.fate = [&](const Datagram& datagram) {
    const bool stranger = datagram.local.address.bytes()[2] == 8;
    return Fate{.copies = stranger && ++said[datagram.local.address] > 2 ? 0u : 1u};
  };
  std::list<Peer> strangers;  // each goes as far as its address is proven
  for (int i = 1; i <= 8; ++i) {
    Peer& one = strangers.emplace_back(net, "10.9.8." + std::to_string(i),
                                       options_with({fast_policy(AuthMethod::pre_shared_key)}));
    one.host.credentials.share_key(server->host.address(), "whatever");
    server->host.credentials.share_key(one.host.address(), "whatever");
    one.isakmp->initiate(net.now(), server->end());
    net.run_for(milliseconds{50});
  }
  EXPECT_GE(server->host.count(ike::half_open_limit), 6u);
  id = go();
  EXPECT_TRUE(net.run_until([&] { return both_up(); }, seconds{5}));
}

TEST_F(Flood, from_many_networks_that_answer_gives_way_once_they_have_fallen_silent) {
  make_small(8, 4);
  std::map<IpAddress, unsigned> said;
  net.fate = [&](const Datagram& datagram) {
    const bool stranger = datagram.local.address.bytes()[1] == 10;
    return Fate{.copies = stranger && ++said[datagram.local.address] > 2 ? 0u : 1u};
  };
  std::list<Peer> strangers;  // from as many networks; each goes as far as its address is proven
  for (int i = 1; i <= 8; ++i) {
    Peer& one = strangers.emplace_back(net, "10.10." + std::to_string(i) + ".1",
                                       options_with({fast_policy(AuthMethod::pre_shared_key)}));
    one.host.credentials.share_key(server->host.address(), "whatever");
    server->host.credentials.share_key(one.host.address(), "whatever");
    one.isakmp->initiate(net.now(), server->end());
    net.run_for(milliseconds{50});
  }
  id = go();
  net.run_for(milliseconds{500});
  EXPECT_FALSE(both_up()) << "they may still be about to go on";
  EXPECT_GE(server->host.count(ike::half_open_limit), 1u);
  EXPECT_TRUE(net.run_until([&] { return both_up(); }, seconds{10}));
  EXPECT_EQ(server->observer.last_reason(), ike::half_open_evicted.name);
}

TEST_F(Flood, does_not_evict_who_has_answered) {
  make_small(4, 4);
  // The member stops after its third message, which proves its address.
  std::size_t from_member = 0;
  net.fate = [&](const Datagram& datagram) {
    return Fate{.copies = datagram.local == member->end() && ++from_member > 2 ? 0u : 1u};
  };
  const auto one = go();
  net.run_for(milliseconds{500});
  for (std::uint32_t i = 1; i <= 30; ++i)
    send_first({IpAddress::v4(0x0b000001 + (i << 8)), gdoi_port}, i);
  net.run_for(milliseconds{100});
  EXPECT_EQ(server->observer.closed.size(), 27u);
  net.fate = nullptr;
  EXPECT_TRUE(net.run_until([&] { return member->isakmp->find(one) != nullptr; }, seconds{10}));
}

}  // namespace
}  // namespace cohort::harness
