#include <cstdlib>

#include "controlplane/ike/isakmp.hpp"
#include "tests/exchange/phase1_fixture.hpp"

/// Datagrams into a responder that has one established and one half-open phase 1. Each datagram of
/// the input has a length (2 octets, big-endian) and a mode before it: as it stands, with the
/// established SA's cookies put in, with the half-open one's, or sealed under the established keys,
/// so that what is behind the encryption is reached too. The established SA must survive all but a
/// properly sealed Delete, and no table may grow over its limit.
namespace cohort::harness {
namespace {

enum class Mode : std::uint8_t { raw, established, half_open, sealed };

struct Stage {
  Stage() {
    auto options = options_with({fast_policy(ike::AuthMethod::pre_shared_key)});
    options.nat_traversal = true;
    server.emplace(net, "10.9.0.2", options);
    member.emplace(net, "10.9.0.1", options);
    server->host.credentials.share_key(member->host.address(), "k");
    member->host.credentials.share_key(server->host.address(), "k");
    id = member->isakmp->initiate(net.now(), server->end());
    net.run_for(std::chrono::seconds{1});
    server_id = server->observer.established.at(0).id;
    standing = ike::Header::parse(net.sent.at(1).payload).value();
    // A second one stops before its last pair of messages.
    ike::IsakmpOptions other = options;
    stranger.emplace(net, "10.9.0.3", other);
    stranger->host.credentials.share_key(server->host.address(), "k");
    server->host.credentials.share_key(stranger->host.address(), "k");
    const std::size_t before = net.sent.size();
    net.fate = [](const Datagram& d) {
      return Fate{.copies = ike::Header::parse(d.payload).value().encrypted() ? 0u : 1u};
    };
    stranger->isakmp->initiate(net.now(), server->end());
    net.run_for(std::chrono::milliseconds{500});
    stranger->stop();
    half_open = ike::Header::parse(net.sent.at(before + 1).payload).value();
    net.fate = [](const Datagram&) { return Fate{.copies = 0}; };
  }

  /// True when it may end the established SA: only what the keys' owner could have made.
  bool feed(Mode mode, ByteView octets) {
    Bytes message = to_bytes(octets);
    const ike::Header& header = mode == Mode::half_open ? half_open : standing;
    if (mode == Mode::sealed) {
      message = sealed(octets);
    } else if (mode != Mode::raw && message.size() >= 16) {
      std::copy(header.initiator.begin(), header.initiator.end(), message.begin());
      std::copy(header.responder.begin(), header.responder.end(), message.begin() + 8);
    }
    const Endpoint from = mode == Mode::half_open ? stranger_end : member->end();
    const std::uint16_t port = message.size() % 7 == 0 ? 4500 : gdoi_port;
    net.inject(from, server->host.at(port), std::move(message));
    net.run_for(std::chrono::milliseconds{10});
    return mode == Mode::sealed;
  }

  /// An Informational with a right HASH over whatever follows.
  Bytes sealed(ByteView octets) {
    auto exchange = member->isakmp->begin_exchange(id, ++message_id).value();
    const std::uint8_t next = octets.empty() ? 0 : octets.front();
    const ByteView rest = octets.empty() ? octets : octets.subspan(1);
    const Bytes hash = exchange.hash({rest});
    Writer chain;
    chain.u8(next).u8(0).u16(static_cast<std::uint16_t>(4 + hash.size())).bytes(hash).bytes(rest);
    return exchange.seal(ike::ExchangeType::informational, ike::PayloadType::hash, chain.view())
        .value();
  }

  Net net{7};
  std::optional<Peer> server, member, stranger;
  Endpoint stranger_end{IpAddress::v4(0x0a090003), gdoi_port};
  ike::Phase1Id id, server_id;
  std::uint32_t message_id = 1;
  ike::Header standing, half_open;
};

}  // namespace
}  // namespace cohort::harness

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cohort;
  using namespace cohort::harness;
  Stage stage;
  Reader in(ByteView(data, size));
  bool may_end = false;
  for (int i = 0; i < 16 && in.remaining() >= 3; ++i) {
    const std::size_t wanted = in.u16();
    const auto mode = static_cast<Mode>(in.u8() % 4);
    may_end = stage.feed(mode, in.take(std::min(wanted, in.remaining()))) || may_end;
  }
  if (!may_end && stage.server->isakmp->find(stage.server_id) == nullptr) std::abort();
  if (stage.server->isakmp->established().size() > 1) std::abort();
  return 0;
}
