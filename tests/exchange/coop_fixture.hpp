#pragma once

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "coop/coop.hpp"
#include "coop/events.hpp"
#include "coop/reasons.hpp"
#include "tests/exchange/phase1_fixture.hpp"

namespace cohort::harness {

/// One process of a key server as far as COOP goes: phase 1 and COOP behind one UDP port.
class CoopNode final : public Node {
 public:
  CoopNode(World& world, ike::IsakmpOptions options)
      : isakmp(world, std::move(options)), coop(world, isakmp) {}

  void on_datagram(TimePoint now, const Datagram& datagram) override {
    if (!paused) isakmp.on_datagram(now, datagram);
  }
  void on_timer(TimePoint now) override {
    isakmp.on_timer(now);
    coop.on_timer(now);
  }
  [[nodiscard]] TimePoint next_deadline() const override {
    return paused ? never : std::min(isakmp.next_deadline(), coop.next_deadline());
  }
  void on_job_done(TimePoint now, JobId id, JobResult result) override {
    isakmp.on_job_done(now, id, std::move(result));
  }

  ike::Isakmp isakmp;
  coop::Coop coop;
  bool paused = false;
};

/// A key server's machine: it can lose its process, and its disk.
struct CoopServer {
  CoopServer(Net& net, std::string_view address) : host(net.add_host(address)) {}
  ~CoopServer() { crash(); }
  void crash() {
    if (node) host.unbind(*node);
    node.reset();
  }
  [[nodiscard]] coop::Group* group() const { return node ? node->coop.find("GETVPN") : nullptr; }
  [[nodiscard]] coop::Role role() const {
    return group() == nullptr ? coop::Role::listening : group()->role();
  }
  [[nodiscard]] bool primary() const { return role() == coop::Role::primary; }
  [[nodiscard]] std::string epoch() const {
    return group() == nullptr || group()->epoch() == nullptr ? "" : to_hex(group()->epoch()->id);
  }
  Host& host;
  std::unique_ptr<CoopNode> node;
  coop::Options options;
};

/// Up to eight key servers 10.9.0.1, 10.9.0.2, … (or of another network) with priorities 100, 90,
/// …; timers 1 s, 2 s, 4 s.
class CoopGroup : public testing::Test {
 protected:
  using seconds = std::chrono::seconds;
  using milliseconds = std::chrono::milliseconds;

  void make(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      servers.push_back(std::make_unique<CoopServer>(net, network + std::to_string(i + 1)));
    for (std::size_t i = 0; i < count; ++i) {
      coop::Options& options = servers[i]->options;
      options.group_name = "GETVPN";
      options.group = {std::uint32_t{484}};
      options.local = servers[i]->host.at(gdoi_port);
      options.priority = static_cast<std::uint16_t>(100 - 10 * i);
      options.timers = {milliseconds(1000), milliseconds(2000), milliseconds(4000)};
      options.state_key = Secret(Bytes(32, 9));
      for (std::size_t j = 0; j < count; ++j) {
        if (i == j) continue;
        options.peers.push_back(servers[j]->host.at(gdoi_port));
        servers[i]->host.credentials.share_key(servers[j]->host.address(), "between servers");
      }
    }
    net.fate = [this](const Datagram& datagram) {
      const bool cut = cuts.contains({datagram.local.address, datagram.remote.address});
      return Fate{cut ? 0u : 1u};
    };
  }

  [[nodiscard]] static coop::Options copy(const coop::Options& from) {
    coop::Options out;
    out.group_name = from.group_name;
    out.group = from.group;
    out.local = from.local;
    out.priority = from.priority;
    out.peers = from.peers;
    out.authorization = from.authorization;
    out.timers = from.timers;
    out.preempt = from.preempt;
    out.lead_when_drifted = from.lead_when_drifted;
    out.key_source = from.key_source;
    out.evict_in_partition = from.evict_in_partition;
    out.refresh_after = from.refresh_after;
    out.state_trust = from.state_trust;
    out.state_key = from.state_key.clone();
    return out;
  }

  /// Boots one; what is on its disk stays.
  Status start(std::size_t i) {
    CoopServer& server = *servers[i];
    ike::IsakmpOptions options = options_with({fast_policy(auth)});
    options.local = server.host.at(gdoi_port);
    server.node = std::make_unique<CoopNode>(server.host.world, std::move(options));
    server.host.bind(gdoi_port, *server.node);
    COHORT_CHECK(server.node->coop.add_group(net.now(), copy(server.options)));
    return server.group()->set_policy(net.now(), policies[i], lines, sender_id_bits);
  }
  void start_all() {
    for (std::size_t i = 0; i < servers.size(); ++i) ASSERT_TRUE(start(i));
  }

  void erase_disk(std::size_t of) {
    for (int i = 0; i <= 65; ++i)
      ASSERT_TRUE(servers[of]->host.store.remove("coop/" + to_hex(as_bytes("GETVPN")) + "/" +
                                                 std::to_string(i)));
  }

  [[nodiscard]] std::vector<std::size_t> primaries() const {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < servers.size(); ++i)
      if (servers[i]->primary()) out.push_back(i);
    return out;
  }
  [[nodiscard]] bool one_primary(std::size_t who) const {
    return primaries() == std::vector<std::size_t>{who};
  }
  /// All that run have the same epoch, and one.
  [[nodiscard]] bool agree() const {
    std::set<std::string> epochs;
    for (const auto& server : servers)
      if (server->node) epochs.insert(server->epoch());
    return epochs.size() == 1 && !epochs.contains("");
  }
  bool settle(std::size_t primary, Duration limit = std::chrono::seconds(30)) {
    return net.run_until([&] { return one_primary(primary) && agree() && everybody_registers(); },
                         limit);
  }
  [[nodiscard]] bool everybody_registers() const {
    return std::all_of(servers.begin(), servers.end(), [](const auto& server) {
      return server->group() == nullptr || server->group()->may_register();
    });
  }

  void cut(std::size_t from, std::size_t to) {
    cuts.insert({servers[from]->host.address(), servers[to]->host.address()});
  }
  void part(std::size_t one, std::size_t other) {
    cut(one, other);
    cut(other, one);
  }
  void heal() { cuts.clear(); }

  /// The key that a server hands out now for the traffic line.
  [[nodiscard]] std::string key(std::size_t i) const {
    const coop::Group& group = *servers[i]->group();
    const coop::Epoch* epoch = group.epoch();
    if (epoch == nullptr) return "";
    const coop::Chain* chain = epoch->find(coop::line_id("sa 10"));
    const auto of = chain->newest(group.time().now_ms(net.now()));
    return std::to_string(chain->spi(of)) + ":" + to_hex(chain->key(of, 36)->view());
  }

  Net net{3};
  std::string network = "10.9.0.";
  std::vector<std::unique_ptr<CoopServer>> servers;
  std::set<std::pair<IpAddress, IpAddress>> cuts;
  std::uint8_t sender_id_bits = 16;
  ike::AuthMethod auth = ike::AuthMethod::pre_shared_key;
  std::vector<coop::LineSpec> lines{{"kek", 1, 80'000, 100'000}, {"sa 10", 2, 16'000, 20'000}};
  std::vector<std::vector<coop::PolicyEntry>> policies{8, {{"sa 10 lifetime", "20"}}};
};

}  // namespace cohort::harness
