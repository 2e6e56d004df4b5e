#pragma once

#include <gtest/gtest.h>

#include "gdoi/events.hpp"
#include "gdoi/group_member.hpp"
#include "gdoi/key_server.hpp"
#include "gdoi/reasons.hpp"
#include "tests/exchange/harness.hpp"

/// A key server and members in one process, whole: phase 1, PULL, PUSH, acknowledgements.
namespace cohort::harness {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

inline constexpr std::uint16_t gdoi_port = 848;

/// Isakmp and a role above it, driven as the daemon does.
template <typename Role>
class RoleNode final : public Node {
 public:
  RoleNode(Host& host, ike::IsakmpOptions options)
      : host_(host), isakmp(host.world, std::move(options)), role(host.world, isakmp) {
    host.bind(gdoi_port, *this);
    host.bind(4500, *this);
  }
  ~RoleNode() override { host_.unbind(*this); }

  void on_datagram(TimePoint now, const Datagram& datagram) override {
    isakmp.on_datagram(now, datagram);
  }
  void on_timer(TimePoint now) override {
    isakmp.on_timer(now);
    role.on_timer(now);
  }
  [[nodiscard]] TimePoint next_deadline() const override {
    return std::min(isakmp.next_deadline(), role.next_deadline());
  }
  void on_job_done(TimePoint now, JobId id, JobResult result) override {
    if (!role.on_job_done(now, id, result)) isakmp.on_job_done(now, id, std::move(result));
  }

 private:
  Host& host_;

 public:
  ike::Isakmp isakmp;
  Role role;
};

using ServerNode = RoleNode<gdoi::KeyServer>;
using MemberNode = RoleNode<gdoi::GroupMember>;

inline gdoi::AclEntry permit(std::string_view from, std::string_view to) {
  gdoi::AclEntry entry;
  entry.selector.source = Prefix::parse(from).value();
  entry.selector.destination = Prefix::parse(to).value();
  return entry;
}
inline gdoi::AclEntry deny(std::string_view from, std::string_view to) {
  gdoi::AclEntry entry = permit(from, to);
  entry.permit = false;
  return entry;
}

class GdoiDialogue : public testing::Test {
 protected:
  struct Server {
    Host* host = nullptr;
    std::unique_ptr<ServerNode> node;
    gdoi::KeyServer& role() { return node->role; }
  };
  struct Member {
    Host* host = nullptr;
    std::unique_ptr<MemberNode> node;
    gdoi::GroupMemberOptions options;
    gdoi::GroupMember& role() { return node->role; }
  };

  [[nodiscard]] ike::IsakmpOptions ike_options(Host& host) const {
    ike::IsakmpOptions options;
    options.nat_traversal = nat_traversal;
    options.local = host.at(gdoi_port);
    options.policies = {{crypto::Cipher::aes_128, crypto::Hash::sha256, crypto::DhGroup::ecp256,
                         ike::AuthMethod::ecdsa_256, std::chrono::hours{24}}};
    options.trustpoint = "GETVPN";
    return options;
  }

  static gdoi::GroupPolicy default_policy() {
    gdoi::GroupPolicy policy;
    policy.name = "GETVPN";
    policy.id.value = std::uint32_t{484};
    gdoi::SaPolicy sa;
    sa.number = 10;
    sa.suite = dataplane::Suite::aes_128_cbc_sha256_128;
    sa.acl = {permit("10.0.0.0/24", "172.16.0.0/16"), permit("172.16.0.0/16", "10.0.0.0/24")};
    policy.sas = {sa};
    gdoi::AuthorizationRule rule;
    rule.organizational_unit = "GETVPN_GM";
    policy.authorization = {rule};
    policy.activation_delay = 20s;
    policy.deactivation_delay = 40s;
    return policy;
  }

  gdoi::KeyServerOptions server_options(gdoi::GroupPolicy policy) const {
    return {std::move(policy), test_key(signing_type, 7), {}};
  }

  void enrol(Host& host, const std::string& name, const std::string& unit, unsigned which) {
    LeafOptions leaf{.common_name = name, .unit = unit};
    leaf.which_key = which;
    leaf.addresses = {host.address()};
    host.credentials.enrol("GETVPN", ca.issue(leaf));
    host.credentials.trust("GETVPN", ca.certificate());
  }

  Server& add_server(std::string_view address, const gdoi::GroupPolicy& policy) {
    Server& server = servers.emplace_back();
    server.host = &net.add_host(address);
    enrol(*server.host, "ks" + std::to_string(servers.size()), "GETVPN_KS", 1);
    start_server(server, server_options(policy));
    return server;
  }
  void start_server(Server& server, const gdoi::KeyServerOptions& options) {
    server.node = std::make_unique<ServerNode>(*server.host, ike_options(*server.host));
    const Status added = server.role().add_group(net.now(), options);
    ASSERT_TRUE(added) << added.error().text();
  }

  Member& add_member(std::string_view address, const std::string& unit = "GETVPN_GM") {
    Member& member = members.emplace_back();
    member.host = &net.add_host(address);
    enrol(*member.host, "gm" + std::to_string(members.size()), unit,
          2 + static_cast<unsigned>(members.size()));
    member.options.group_name = "GETVPN";
    member.options.id.value = std::uint32_t{484};
    for (const Server& server : servers) {
      member.options.servers.push_back(server.host->at(gdoi_port));
    }
    member.options.port_pair = "wan";
    return member;
  }
  void start(Member& member) {
    member.node = std::make_unique<MemberNode>(*member.host, ike_options(*member.host));
    const Status added = member.role().add_group(net.now(), member.options);
    ASSERT_TRUE(added) << added.error().text();
  }
  bool register_all(Duration limit = 30s) {
    for (Member& member : members) {
      if (!member.node) start(member);
    }
    return net.run_until(
        [&] {
          return std::all_of(members.begin(), members.end(), [&](Member& m) {
            return status(m).state == gdoi::MemberState::registered;
          });
        },
        limit);
  }

  [[nodiscard]] gdoi::GroupMemberStatus status(Member& member) const {
    return member.role().status(net.now()).at(0);
  }
  [[nodiscard]] gdoi::KsGroupStatus status(Server& server) const {
    return server.role().status(net.now()).at(0);
  }
  [[nodiscard]] static const dataplane::Snapshot& installed(Member& member) {
    return member.host->dataplane.snapshots.at("wan");
  }
  /// The TEKs that a server calls current.
  [[nodiscard]] std::vector<std::uint32_t> current_spis(Server& server) const {
    std::vector<std::uint32_t> spis;
    for (const auto& tek : status(server).teks) {
      if (!tek.superseded) spis.push_back(tek.spi);
    }
    return spis;
  }
  [[nodiscard]] static std::vector<std::uint32_t> sending(Member& member) {
    std::vector<std::uint32_t> spis;
    for (const auto& entry : installed(member).policy) {
      if (entry.action == dataplane::Action::protect) spis.push_back(entry.send_spi);
    }
    return spis;
  }
  [[nodiscard]] static bool receives(Member& member, std::uint32_t spi) {
    for (const auto& entry : installed(member).policy) {
      for (const std::uint32_t known : entry.receive_spis) {
        if (known == spi) return true;
      }
    }
    return false;
  }
  /// Everything that was reported, for the message of a failing test.
  [[nodiscard]] std::string log() const {
    std::string text;
    const auto add = [&text](const Host& host) {
      text += host.address().text() + "\n";
      for (const Event& event : host.events) text += "  " + event.text() + "\n";
      for (const Refusal& refusal : host.refusals) {
        text += "  refused " + refusal.where + " " + refusal.error.text() + "\n";
      }
    };
    for (const Server& server : servers) add(*server.host);
    for (const Member& member : members) add(*member.host);
    return text;
  }
  /// Datagrams of an exchange type sent so far.
  [[nodiscard]] std::vector<Datagram> sent(ike::ExchangeType type) const {
    std::vector<Datagram> found;
    for (const Datagram& datagram : net.sent) {
      const auto header = ike::Header::parse(datagram.payload);
      if (header && header->exchange == type) found.push_back(datagram);
    }
    return found;
  }

  Net net;
  TestCa ca{"Test CA"};
  crypto::KeyType signing_type = crypto::KeyType::rsa;
  bool nat_traversal = false;
  std::deque<Server> servers;
  std::deque<Member> members;
};

}  // namespace cohort::harness
