#pragma once

#include <gtest/gtest.h>

#include "controlplane/crypto/reasons.hpp"
#include "controlplane/ike/events.hpp"
#include "controlplane/ike/isakmp.hpp"
#include "controlplane/ike/reasons.hpp"
#include "tests/exchange/harness.hpp"

namespace cohort::harness {

inline constexpr std::uint16_t gdoi_port = 848;

/// Notes what an Isakmp tells the exchanges above it.
class Observer final : public ike::ExchangeHandler {
 public:
  void on_phase1_established(TimePoint, const ike::Phase1Info& info) override {
    established.push_back(info);
  }
  void on_phase1_closed(TimePoint, ike::Phase1Id id, const Error& why) override {
    closed.push_back({id, why});
  }
  void on_notify(TimePoint, const ike::Phase1Info&, ike::NotifyType type, ByteView,
                 ByteView) override {
    notifies.push_back(type);
  }
  void on_protected(TimePoint, const ike::Phase1Info&, const ike::Header&,
                    const Datagram& datagram) override {
    protected_messages.push_back(datagram.payload);
  }
  void on_unprotected(TimePoint, const ike::Header&, const Datagram& datagram) override {
    unprotected_messages.push_back(datagram.payload);
  }
  /// "" when nothing was closed.
  [[nodiscard]] std::string_view last_reason() const {
    return closed.empty() ? std::string_view() : closed.back().second.reason().name;
  }

  std::vector<ike::Phase1Info> established;
  std::vector<std::pair<ike::Phase1Id, Error>> closed;
  std::vector<ike::NotifyType> notifies;
  std::vector<Bytes> protected_messages;
  std::vector<Bytes> unprotected_messages;
};

/// A host that runs one Isakmp on UDP 848.
struct Peer {
  Peer(Net& net, std::string_view address, ike::IsakmpOptions options)
      : host(net.add_host(address)) {
    start(std::move(options));
  }
  ~Peer() { stop(); }
  void start(ike::IsakmpOptions options) {
    options.local = host.at(gdoi_port);
    isakmp = std::make_unique<ike::Isakmp>(host.world, std::move(options));
    isakmp->attach(ike::ExchangeType::groupkey_pull, observer);
    host.bind(gdoi_port, *isakmp);
    host.bind(4500, *isakmp);
  }
  void stop() {
    if (isakmp) host.unbind(*isakmp);
    isakmp.reset();
  }
  [[nodiscard]] Endpoint end() const { return host.at(gdoi_port); }

  Host& host;
  Observer observer;
  std::unique_ptr<ike::Isakmp> isakmp;
};

[[nodiscard]] inline ike::Phase1Policy fast_policy(ike::AuthMethod auth) {
  return {crypto::Cipher::aes_128, crypto::Hash::sha256, crypto::DhGroup::ecp256, auth,
          std::chrono::hours{24}};
}

[[nodiscard]] inline ike::IsakmpOptions options_with(std::vector<ike::Phase1Policy> policies) {
  ike::IsakmpOptions options;
  options.policies = std::move(policies);
  options.trustpoint = "GETVPN";
  return options;
}

/// A member and a key server that trust one CA and share a key.
class TwoPeers : public testing::Test {
 protected:
  void make(const ike::IsakmpOptions& options) { make(options, options); }
  void make(const ike::IsakmpOptions& member_options, const ike::IsakmpOptions& server_options) {
    member.emplace(net, "10.9.0.1", member_options);
    server.emplace(net, "10.9.0.2", server_options);
    member->host.credentials.share_key(server->host.address(), "the same at both ends");
    server->host.credentials.share_key(member->host.address(), "the same at both ends");
  }
  void certify(crypto::KeyType type) {
    enrol(*member, "member", "GETVPN_GM", type, 1);
    enrol(*server, "server", "GETVPN_KS", type, 2);
  }
  void enrol(Peer& peer, const std::string& name, const std::string& unit, crypto::KeyType type,
             unsigned which_key) {
    LeafOptions leaf{.common_name = name, .unit = unit};
    leaf.type = type;
    leaf.which_key = which_key;
    leaf.addresses = {peer.host.address()};
    peer.host.credentials.enrol("GETVPN", ca.issue(leaf));
    peer.host.credentials.trust("GETVPN", ca.certificate());
  }
  ike::Phase1Id go() { return member->isakmp->initiate(net.now(), server->end()); }
  [[nodiscard]] bool both_up() const {
    return !member->observer.established.empty() && !server->observer.established.empty();
  }
  /// Runs phase 1 to its end and says whether both are up.
  bool connect() {
    id = go();
    return net.run_until([&] { return both_up(); });
  }
  [[nodiscard]] ike::Phase1Id server_id() const { return server->observer.established.back().id; }

  Net net;
  TestCa ca{"Test CA"};
  std::optional<Peer> member;
  std::optional<Peer> server;
  ike::Phase1Id id;
};

}  // namespace cohort::harness
