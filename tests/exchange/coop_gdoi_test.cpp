#include <random>

#include "coop/authority.hpp"
#include "coop/coop.hpp"
#include "coop/events.hpp"
#include "tests/exchange/gdoi_fixture.hpp"

// Key servers that co-operate, with members: the members must not notice what happens among them.
namespace cohort::harness {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// Phase 1, COOP and the key server behind one port.
class ServersNode final : public Node {
 public:
  ServersNode(Host& host, ike::IsakmpOptions options)
      : host_(host), isakmp(host.world, std::move(options)), coop(host.world, isakmp) {
    host.bind(gdoi_port, *this);
  }
  ~ServersNode() override { host_.unbind(*this); }

  Status serve(TimePoint now, coop::Options options, gdoi::KeyServerOptions group) {
    const std::string name = options.group_name;
    COHORT_CHECK(coop.add_group(now, std::move(options)));
    authority = std::make_unique<coop::Authority>(*coop.find(name));
    group.authority = authority.get();
    server = std::make_unique<gdoi::KeyServer>(host_.world, isakmp);
    return server->add_group(now, std::move(group));
  }

  void on_datagram(TimePoint now, const Datagram& datagram) override {
    isakmp.on_datagram(now, datagram);
  }
  void on_timer(TimePoint now) override {
    isakmp.on_timer(now);
    coop.on_timer(now);
    if (server) server->on_timer(now);
  }
  [[nodiscard]] TimePoint next_deadline() const override {
    return std::min(
        {isakmp.next_deadline(), coop.next_deadline(), server ? server->next_deadline() : never});
  }
  void on_job_done(TimePoint now, JobId id, JobResult result) override {
    if (!server || !server->on_job_done(now, id, result))
      isakmp.on_job_done(now, id, std::move(result));
  }

 private:
  Host& host_;

 public:
  ike::Isakmp isakmp;
  coop::Coop coop;
  std::unique_ptr<coop::Authority> authority;
  std::unique_ptr<gdoi::KeyServer> server;
};

class CoopGdoi : public GdoiDialogue {
 protected:
  struct Ks {
    Host* host = nullptr;
    std::unique_ptr<ServersNode> node;
    [[nodiscard]] coop::Group* group() const { return node->coop.find("GETVPN"); }
    [[nodiscard]] gdoi::KsGroupStatus status(TimePoint now) const {
      return node->server->status(now).at(0);
    }
  };

  CoopGdoi() {
    policy = default_policy();
    policy.sas[0].lifetime = 120s;
    policy.rekey.lifetime = 600s;
    policy.rekey.retransmit_interval = 2s;
    policy.rekey.acknowledge_wait = 2s;
    policy.activation_delay = 10s;
  }

  void make(std::size_t count, std::size_t members_count) {
    for (std::size_t i = 0; i < count; ++i) {
      ks.push_back({&net.add_host("10.8.0." + std::to_string(i + 1)), nullptr});
      enrol(*ks[i].host, "ks" + std::to_string(i + 1), "GETVPN_KS", static_cast<unsigned>(i + 1));
    }
    for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(start(i));
    ASSERT_TRUE(net.run_until([&] { return ready(); }, seconds(30)));
    for (std::size_t i = 0; i < members_count; ++i) {
      Member& member = add_member("10.7.0." + std::to_string(i + 1));
      // Half of them prefer the last server.
      for (std::size_t j = 0; j < count; ++j)
        member.options.servers.push_back(ks[i % 2 == 0 ? j : count - 1 - j].host->at(gdoi_port));
      GdoiDialogue::start(member);
    }
    net.fate = [this](const Datagram& datagram) {
      const bool cut = cuts.contains({datagram.local.address, datagram.remote.address});
      return Fate{cut ? 0u : 1u};
    };
    ASSERT_TRUE(net.run_until([&] { return all_registered(); }, seconds(60)));
  }

  Status start(std::size_t i) {
    coop::Options options;
    options.group_name = "GETVPN";
    options.group = policy.id;
    options.local = ks[i].host->at(gdoi_port);
    options.priority = static_cast<std::uint16_t>(100 - i);
    options.timers = {milliseconds(1000), milliseconds(2000), milliseconds(4000)};
    options.key_source = key_source;
    gdoi::AuthorizationRule rule;
    rule.organizational_unit = "GETVPN_KS";
    options.authorization = {rule};
    for (std::size_t j = 0; j < ks.size(); ++j)
      if (i != j) options.peers.push_back(ks[j].host->at(gdoi_port));
    gdoi::KeyServerOptions group = server_options(policy);
    group.local = ks[i].host->at(gdoi_port);
    if (adjust) adjust(i, options, group);
    ks[i].node = std::make_unique<ServersNode>(*ks[i].host, ike_options(*ks[i].host));
    return ks[i].node->serve(net.now(), std::move(options), std::move(group));
  }

  [[nodiscard]] bool ready() const {
    std::size_t primaries = 0;
    std::set<std::uint64_t> epochs;
    for (const Ks& one : ks) {
      if (!one.node) continue;
      if (one.group()->epoch() == nullptr || !one.group()->may_register()) return false;
      primaries += one.group()->primary() ? 1 : 0;
      epochs.insert(Reader(one.group()->epoch()->id).u64());
    }
    return primaries == 1 && epochs.size() == 1;
  }
  [[nodiscard]] bool all_registered() {
    return std::all_of(members.begin(), members.end(), [&](Member& member) {
      return member.role().status(net.now()).at(0).registered;
    });
  }
  [[nodiscard]] std::uint64_t registrations() {
    std::uint64_t sum = 0;
    for (Member& member : members)
      sum += member.role().status(net.now()).at(0).registrations_succeeded;
    return sum;
  }

  /// The keys that a server hands out.
  [[nodiscard]] std::set<std::uint32_t> spis(std::size_t i) const {
    std::set<std::uint32_t> out;
    for (const auto& tek : ks[i].status(net.now()).teks) out.insert(tek.spi);
    return out;
  }
  /// What every member sends with, every other member must be able to read.
  void check_readable() {
    for (Member& from : members) {
      const auto& sends = from.host->dataplane.snapshots["wan"];
      for (const auto& line : sends.policy) {
        if (line.action != dataplane::Action::protect || line.send_spi == 0) continue;
        const auto* sa = find(sends, line.send_spi);
        ASSERT_NE(sa, nullptr);
        for (Member& to : members) {
          const auto* other = find(to.host->dataplane.snapshots["wan"], line.send_spi);
          ASSERT_NE(other, nullptr)
              << from.host->address().text() << " sends with " << line.send_spi << ", which "
              << to.host->address().text() << " lacks at " << net.now().time_since_epoch().count();
          ASSERT_TRUE(other->cipher_key == sa->cipher_key);
          const bool by_time = sa->replay == dataplane::ReplayKind::time;
          ASSERT_EQ(other->replay == dataplane::ReplayKind::time, by_time);
          ASSERT_TRUE(!by_time || apart(from, to) < 1000) << apart(from, to) << " ms";
        }
      }
    }
  }
  /// How far the members' clocks of the group differ, in ms.
  [[nodiscard]] static std::int64_t apart(Member& one, Member& other) {
    return std::abs(installed(one).group_time_offset_ms - installed(other).group_time_offset_ms);
  }
  static const dataplane::Sa* find(const dataplane::Snapshot& snapshot, std::uint32_t spi) {
    for (const auto& sa : snapshot.sas)
      if (sa.spi == spi) return &sa;
    return nullptr;
  }
  /// Runs, and looks every 100 ms.
  void watch(Duration span) {
    for (const TimePoint end = net.now() + span; net.now() < end;) {
      net.run_for(milliseconds(100));
      check_readable();
      if (HasFatalFailure()) return;
    }
  }
  void part(std::size_t one, std::size_t other) {
    cuts.insert({ks[one].host->address(), ks[other].host->address()});
    cuts.insert({ks[other].host->address(), ks[one].host->address()});
  }

  [[nodiscard]] std::string all_events() {
    std::string text;
    const auto add = [&text](const Host& host) {
      text += host.address().text() + "\n";
      for (const Event& event : host.events) text += "  " + event.text() + "\n";
      for (const Refusal& refusal : host.refusals)
        text +=
            "  refused " + refusal.where + " " + refusal.peer + " " + refusal.error.text() + "\n";
    };
    for (const Ks& one : ks) add(*one.host);
    for (const Member& member : members) add(*member.host);
    return text;
  }
  void TearDown() override {
    if (HasFailure() && ::getenv("COOP_LOG") != nullptr) std::fputs(all_events().c_str(), stderr);
  }

  gdoi::GroupPolicy policy;
  coop::KeySource key_source = coop::KeySource::derived;
  std::function<void(std::size_t, coop::Options&, gdoi::KeyServerOptions&)> adjust;
  std::vector<Ks> ks;
  std::set<std::pair<IpAddress, IpAddress>> cuts;
};

// Each new primary would make keys of its own, for its own times.
TEST_F(CoopGdoi, DifferentTimesOfRekeysAreNamed) {
  adjust = [](std::size_t i, coop::Options& options, gdoi::KeyServerOptions& group) {
    if (i == 0) return;
    options.timers.dead = milliseconds(5000);
    group.rekey_lead_permille = 400;
  };
  make(2, 2);
  net.run_for(seconds(3));
  for (const Ks& one : ks) {
    const auto status = one.group()->status(net.now());
    std::set<std::string> names;
    for (const auto& difference : status.peers.at(0).differences) names.insert(difference.name);
    EXPECT_EQ(names, (std::set<std::string>{"redundancy dead", "rekey lead", "sa 10 lead"}));
    EXPECT_FALSE(status.drifted);  // members get the same policy of both
  }
}

TEST_F(CoopGdoi, MembersOfTwoServersHaveTheSameKeys) {
  make(2, 4);
  check_readable();
  EXPECT_EQ(ks[0].status(net.now()).members.size(), 4u);
  net.run_for(seconds(3));
  EXPECT_EQ(ks[1].status(net.now()).members.size(), 4u);
}

// SEQ comes from the pseudotime here: what the log says must be what went out.
TEST_F(CoopGdoi, TheLogNamesTheSeqThatMembersGet) {
  make(2, 2);
  ASSERT_TRUE(ks[0].node->server->rekey_now(net.now(), "GETVPN", false));
  net.run_for(seconds(2));
  std::string logged;
  for (const Event& event : ks[0].host->events)
    if (event.kind == &gdoi::events::ks_send_unicast_rekey) logged = event.text();
  const auto status = members[0].role().status(net.now()).at(0);
  ASSERT_GT(status.last_rekey_seq, 0u);
  EXPECT_NE(logged.find("seq=" + std::to_string(status.last_rekey_seq) + ")"), std::string::npos)
      << logged;
  EXPECT_LE(ks[0].status(net.now()).kek_rekeys, ks[0].status(net.now()).rekeys);
}

TEST_F(CoopGdoi, RekeysReachEverybodyFromThePrimaryAlone) {
  make(2, 4);
  watch(seconds(400));
  EXPECT_EQ(registrations(), 4u);
  EXPECT_GT(ks[0].status(net.now()).pushes_sent, 8u);
  EXPECT_EQ(ks[1].status(net.now()).pushes_sent, 0u);
  EXPECT_EQ(ks[0].status(net.now()).evictions, 0u);
}

TEST_F(CoopGdoi, FailoverIsInvisible) {
  make(2, 4);
  watch(seconds(50));
  ks[0].node.reset();
  watch(seconds(400));
  EXPECT_EQ(registrations(), 4u);
  EXPECT_TRUE(ks[1].group()->primary());
  EXPECT_GT(ks[1].status(net.now()).pushes_sent, 8u);
}

// The group's time is COOP's pseudotime: it goes on as one, whoever tells it.
TEST_F(CoopGdoi, AntiReplayByTimeOutlivesThePrimary) {
  policy.sas[0].replay = dataplane::ReplayKind::time;
  policy.sas[0].replay_window = 4000;
  make(2, 4);
  const auto told = [&](std::size_t i) {
    return static_cast<std::int64_t>(ks[i].status(net.now()).group_time_ms.value());
  };
  EXPECT_LT(std::abs(told(0) - told(1)), 100);
  watch(seconds(50));
  ks[0].node.reset();
  watch(seconds(300));
  Member& late = add_member("10.7.0.99");
  late.options.servers = {ks[1].host->at(gdoi_port)};
  GdoiDialogue::start(late);
  ASSERT_TRUE(net.run_until([&] { return all_registered(); }, seconds(30)));
  ASSERT_TRUE(start(0));
  watch(seconds(300));
  EXPECT_LT(std::abs(told(0) - told(1)), 100);
  EXPECT_EQ(registrations(), 5u);
}

// Another kind of sequence numbers is another line of keys, at every server alike.
TEST_F(CoopGdoi, APolicyTurnsToAntiReplayByTime) {
  make(2, 3);
  watch(seconds(20));
  policy.sas[0].replay = dataplane::ReplayKind::time;
  policy.sas[0].replay_window = 4000;
  for (std::size_t i : {0u, 1u}) {
    ASSERT_TRUE(ks[i].node->server->update_policy(net.now(), policy));
    watch(seconds(1));
  }
  watch(seconds(300));
  EXPECT_EQ(registrations(), 3u);
  for (Member& member : members)
    for (const auto& sa : installed(member).sas) EXPECT_EQ(sa.replay, dataplane::ReplayKind::time);
}

class PrimaryDies : public CoopGdoi, public testing::WithParamInterface<int> {};

TEST_P(PrimaryDies, WhenItShouldDistribute) {
  make(2, 2);
  const TimePoint next = ks[0].node->authority->next_change(net.now());
  watch(next - net.now() + milliseconds(GetParam()));
  ks[0].node.reset();
  watch(seconds(200));
  EXPECT_EQ(registrations(), 2u);
}
INSTANTIATE_TEST_SUITE_P(AroundTheMoment, PrimaryDies,
                         testing::Values(-3000, -1000, -100, 0, 100, 1000, 5000, 12000));

// The secondary hands out the keys of before, and the primary hears of the member only after it has
// brought everybody the next ones.
TEST_F(CoopGdoi, AMemberRegisteredElsewhereInMidRekeyGetsTheNewKeys) {
  make(2, 2);
  const TimePoint next = ks[0].node->authority->next_change(net.now());
  watch(next - net.now() - seconds(1));
  cuts.insert({ks[1].host->address(), ks[0].host->address()});
  Member& late = add_member("10.7.0.99");
  late.options.servers = {ks[1].host->at(gdoi_port)};
  GdoiDialogue::start(late);
  ASSERT_TRUE(net.run_until([&] { return all_registered(); }, next - net.now()));
  watch(next - net.now() + seconds(1));
  ASSERT_EQ(ks[0].status(net.now()).members.size(), 2u);
  cuts.clear();
  watch(seconds(200));
  EXPECT_EQ(ks[0].status(net.now()).members.size(), 3u);
  EXPECT_EQ(registrations(), 3u);
}

TEST_F(CoopGdoi, AMemberWhoseServerDiesRegistersWithTheNext) {
  make(2, 2);
  ks[0].node.reset();
  net.run_for(seconds(10));
  Member& late = add_member("10.7.0.99");
  late.options.servers = {ks[0].host->at(gdoi_port), ks[1].host->at(gdoi_port)};
  GdoiDialogue::start(late);
  ASSERT_TRUE(net.run_until([&] { return all_registered(); }, seconds(120)));
  check_readable();
}

TEST_F(CoopGdoi, PartitionForTenLifetimesAndMerge) {
  make(2, 4);
  watch(seconds(20));
  part(0, 1);
  // Members of one side can't hear the other side's server either.
  for (std::size_t i = 0; i < members.size(); ++i) {
    const IpAddress far = ks[i % 2 == 0 ? 1 : 0].host->address();
    cuts.insert({far, members[i].host->address()});
    cuts.insert({members[i].host->address(), far});
  }
  watch(seconds(1200));
  EXPECT_TRUE(ks[0].group()->primary() && ks[1].group()->primary());
  EXPECT_EQ(registrations(), 4u);
  cuts.clear();
  watch(seconds(300));
  EXPECT_TRUE(ready());
  EXPECT_EQ(registrations(), 4u);
}

TEST_F(CoopGdoi, AnEvictedMemberReadsNothingMoreOnAnySide) {
  make(2, 3);
  net.run_for(seconds(3));
  const auto before = ks[1].status(net.now());
  const auto victim = ks[0].status(net.now()).members.at(0);
  ASSERT_TRUE(ks[0].node->server->remove_member(net.now(), "GETVPN", victim.id));
  net.run_for(seconds(30));
  EXPECT_FALSE(ks[1].status(net.now()).removed.empty());
  for (const auto& old : before.teks)
    for (const Ks& one : ks)
      for (const auto& now_there : one.status(net.now()).teks) EXPECT_NE(now_there.spi, old.spi);
  // The others are back, with keys that the victim lacks.
  std::size_t registered = 0;
  for (Member& member : members) {
    const bool is_victim = member.host->address() == victim.remote.address;
    const auto& snapshot = member.host->dataplane.snapshots["wan"];
    const bool has = find(snapshot, ks[1].status(net.now()).teks.at(0).spi) != nullptr;
    EXPECT_EQ(has, !is_victim);
    registered += has ? 1 : 0;
  }
  EXPECT_EQ(registered, 2u);
}

TEST_F(CoopGdoi, SenderIdsOfMembersAreUniqueAcrossServersAndRestarts) {
  policy.sas[0].suite = dataplane::Suite::aes_128_gcm_16;
  make(2, 6);
  ks[0].node.reset();
  net.run_for(seconds(10));
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(net.run_until([&] { return ready(); }, seconds(30)));
  std::set<std::uint32_t> seen;
  for (Member& member : members) {
    const auto& sas = member.host->dataplane.snapshots["wan"].sas;
    ASSERT_FALSE(sas.empty());
    for (const std::uint32_t id : sas[0].sender_ids) EXPECT_TRUE(seen.insert(id).second) << id;
  }
  for (int i = 0; i < 6; ++i) {
    Member& late = add_member("10.7.1." + std::to_string(i + 1));
    late.options.servers = {ks[static_cast<std::size_t>(i) % 2].host->at(gdoi_port)};
    GdoiDialogue::start(late);
  }
  ASSERT_TRUE(net.run_until([&] { return all_registered(); }, seconds(60)));
  for (std::size_t i = 6; i < members.size(); ++i)
    for (const std::uint32_t id : members[i].host->dataplane.snapshots["wan"].sas.at(0).sender_ids)
      EXPECT_TRUE(seen.insert(id).second) << id;
}

TEST_F(CoopGdoi, AllServersRestartAndTheGroupGoesOn) {
  make(2, 4);
  watch(seconds(20));
  const auto spi = ks[0].status(net.now()).teks.back().spi;
  ks[0].node.reset();
  ks[1].node.reset();
  net.run_for(seconds(5));
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(net.run_until([&] { return ready(); }, seconds(30)));
  EXPECT_EQ(ks[0].status(net.now()).teks.back().spi, spi);
  EXPECT_EQ(ks[1].status(net.now()).members.size(), 4u);
  watch(seconds(300));
  EXPECT_EQ(registrations(), 4u);
}

// A server that comes back with an estimate far below the group's time has keys that are over.
TEST_F(CoopGdoi, AKeyEndsWhenThePseudotimeIsPutRight) {
  make(2, 2);
  net.run_for(seconds(30));
  ks[1].node.reset();
  net.run_for(seconds(100));  // the first key's life is over
  net.clock.step_wall(-seconds(200));
  ks[1].host->store.past = Provenance::original;  // so its clock has begun again with the machine
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(net.run_until([&] { return ready(); }, seconds(30)));
  net.run_for(seconds(1));
  EXPECT_EQ(spis(1), spis(0));
}

// What it had as the KEK becomes the one before, whose end is put right as well.
TEST_F(CoopGdoi, ARekeySaEndsWhenThePseudotimeIsPutRight) {
  policy.rekey.lifetime = 100s;
  policy.sas[0].lifetime = 400s;
  make(2, 2);
  const auto kek = *ks[0].status(net.now()).kek;
  const auto first = kek.spi;
  const TimePoint over = net.now() + kek.remaining + seconds(2);
  ks[1].node.reset();
  ASSERT_TRUE(net.run_until([&] { return ks[0].status(net.now()).kek->spi != first; }, 100s));
  net.clock.step_wall(-seconds(200));
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(net.run_until([&] { return ready(); }, seconds(30)));
  net.run_for(over - net.now());
  const auto before = net.sent.size();
  ks[0].node.reset();
  ASSERT_TRUE(net.run_until([&] { return ks[1].group()->primary(); }, seconds(30)));
  net.run_for(seconds(5));
  std::size_t pushes = 0;
  for (std::size_t i = before; i < net.sent.size(); ++i) {
    const ByteView octets(net.sent[i].payload);
    const auto header = ike::Header::parse(octets);
    if (!header || header->exchange != ike::ExchangeType::groupkey_push) continue;
    ++pushes;
    EXPECT_FALSE(equal(octets.first(first.size()), first)) << "under a KEK that has ended";
  }
  EXPECT_GT(pushes, 0u);
}

// Generations of an epoch that would have come after it was left are nobody's keys.
TEST_F(CoopGdoi, ARestartedServerMakesNoKeysOfAnEpochThatIsOver) {
  make(2, 2);
  for (int i = 0; i < 3; ++i) {
    net.run_for(seconds(15));
    ASSERT_TRUE(ks[0].group()->refresh(net.now()));
  }
  net.run_for(seconds(70));
  ks[1].node.reset();
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(net.run_until([&] { return ready(); }, seconds(30)));
  net.run_for(seconds(1));
  EXPECT_EQ(spis(1), spis(0));
}

// A line that was missing here for a moment: its key must not be deleted everywhere.
TEST_F(CoopGdoi, ALineThatComesBackKeepsItsKey) {
  policy.sas.push_back(policy.sas[0]);
  policy.sas[1].number = 20;
  policy.sas[1].acl = {permit("10.3.0.0/24", "10.4.0.0/24")};
  for (gdoi::SaPolicy& sa : policy.sas) sa.lifetime = 600s;
  make(2, 2);
  const auto keys = spis(0);
  gdoi::GroupPolicy less = policy;
  less.sas.pop_back();
  ASSERT_TRUE(ks[1].node->server->update_policy(net.now(), less));
  net.run_for(seconds(2));
  ASSERT_TRUE(ks[1].node->server->update_policy(net.now(), policy));
  net.run_for(seconds(2));
  ks[0].node.reset();
  net.run_for(seconds(90));
  ASSERT_TRUE(ks[1].group()->primary());
  EXPECT_EQ(spis(1), keys);
  for (Member& member : members) EXPECT_EQ(member.host->count(gdoi::events::gm_delete), 0u);
}

TEST_F(CoopGdoi, RandomKeysMergeByTheUnion) {
  key_source = coop::KeySource::random;
  make(2, 4);
  watch(seconds(200));
  EXPECT_EQ(registrations(), 4u);
  part(0, 1);
  net.run_for(seconds(150));
  cuts.clear();
  ASSERT_TRUE(net.run_until([&] { return ready(); }, seconds(60)));
  net.run_for(seconds(30));
  watch(seconds(200));
}

}  // namespace
}  // namespace cohort::harness
