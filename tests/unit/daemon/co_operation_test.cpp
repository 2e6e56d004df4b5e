#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "controlplane/daemon/daemon.hpp"
#include "controlplane/daemon/reasons.hpp"
#include "coop/reasons.hpp"
#include "coop/sealed_state.hpp"

// Two daemons in one process that serve a group together.
namespace cohort::daemon {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

struct Server {
  std::string directory;
  std::unique_ptr<Daemon> daemon;
  EventLoop::Watch tick;
};

class CoOperation : public testing::Test {
 protected:
  void SetUp() override {
    for (unsigned i = 0; i < 2; ++i) {
      std::string pattern = testing::TempDir() + "cohort-coop-XXXXXX";
      ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
      servers_[i].directory = pattern;
      write(i);
    }
  }
  void TearDown() override {
    for (Server& server : servers_) stop(server);
    for (const Server& server : servers_) fs::remove_all(server.directory);
  }
  static void stop(Server& server) {
    server.tick = EventLoop::Watch();
    server.daemon.reset();
  }
  [[nodiscard]] std::string state(unsigned i) const { return servers_[i].directory + "/state"; }

  void write(unsigned i, const std::string& acl = "permit ip any any") const {
    const std::string& directory = servers_[i].directory;
    const std::string key = i == 0 ? R"({"type": "rsa", "modulus": 2048, "exportable": true})"
                                   : R"({"source": "import"})";
    const std::string text = fmt::format(
        R"({{"state_directory": "{0}/state", "runtime_directory": "{0}/run", "crypto_threads": 1,
            "logging": {{"event_log": "{0}/events.json", "standard_error": false,
                         "level": "informational"}},
            "metrics": {{"listen": "127.0.0.1:{5}"}},
            "admin": {{"socket": "{0}/s.sock"}}, "keys": {{"getKey": {1}}},
            "pre_shared_keys": [{{"peer": "127.0.0.0/8", "key": "a key of this test"}}],
            "isakmp": {{"policies": [{{"authentication": "pre-share"}}], "nat_traversal": false}},
            "access_lists": {{"all": ["{2}"]}}, "profiles": {{"default": {{}}}},
            "key_server": {{"address": "127.0.0.{3}", "port": 28891, "groups": [
              {{"name": "GETVPN", "identity": 484, "rekey": {{"signing_key": "getKey"}},
                "sas": [{{"number": 10, "access_list": "all", "profile": "default"}}],
                "authorization": [{{"address": "127.0.0.0/8"}}],
                "redundancy": {{"local_priority": {6}, "peers": ["127.0.0.{4}:28891"],
                  "announce": "100ms", "silent": "200ms", "dead": "400ms"}}}}]}}}})",
        directory, key, acl, i + 1, 2 - i, 28892 + i, i == 0 ? 100 : 75);
    std::ofstream(directory + "/config.json") << text;
    fs::permissions(directory + "/config.json", fs::perms::owner_read | fs::perms::owner_write);
  }

  Status start(unsigned i) {
    auto outcome = config::read_file(servers_[i].directory + "/config.json", config::DiskFiles{});
    if (!outcome.configuration) return fail(bad_argument, outcome.problems.front().text());
    COHORT_TRY(servers_[i].daemon, Daemon::start(std::move(*outcome.configuration)));
    EventLoop& loop = servers_[i].daemon->runtime().loop;
    servers_[i].tick = loop.every(std::chrono::milliseconds(2), [&loop] { loop.stop(); });
    servers_[i].daemon->touch();
    return {};
  }
  /// Both loops in turn; false if `done` takes longer than 20 s.
  bool run_until(const std::function<bool()>& done) {
    const SystemClock clock;
    const TimePoint limit = clock.now() + std::chrono::seconds(20);
    while (!done()) {
      if (clock.now() > limit) return false;
      for (Server& server : servers_)
        if (server.daemon) server.daemon->runtime().loop.run();
    }
    return true;
  }
  Result<Json> ask(unsigned i, const std::string& command, Json arguments = Json::object()) {
    std::optional<Result<Json>> out;
    servers_[i].daemon->handle({command, std::move(arguments)},
                               [&out](Result<Json> answer) { out = std::move(answer); });
    if (!run_until([&] { return out.has_value(); })) return fail(ended);
    return std::move(*out);
  }
  Json coop(unsigned i) {
    const auto shown = ask(i, "show crypto gkm ks coop");
    return shown && !shown->empty() ? shown->at(0) : Json::object();
  }
  /// KS1's signing key, encrypted, is taken to KS2.
  void take_key_over() {
    const auto exported =
        ask(0, "crypto key export", {{"label", "getKey"}, {"passphrase", "cisco12345"}});
    ASSERT_TRUE(exported) << exported.error().text();
    const auto imported = ask(1, "crypto key import",
                              {{"label", "getKey"},
                               {"passphrase", "cisco12345"},
                               {"pem", exported->at("pem").get<std::string>()},
                               {"exportable", true}});
    ASSERT_TRUE(imported) << imported.error().text();
  }
  bool settled(unsigned primary) {
    const Json one = coop(primary), other = coop(1 - primary);
    return one.value("role", "") == "Primary" && other.value("role", "") == "Secondary" &&
           one.value("epoch_id", "") == other.value("epoch_id", "-") && one.value("epoch", 0) > 0 &&
           one["peers"][0]["synchronized"] == true && other["peers"][0]["synchronized"] == true;
  }
  void start_both() {
    ASSERT_TRUE(start(0));
    ASSERT_TRUE(start(1));
    take_key_over();
    ASSERT_TRUE(run_until([&] { return settled(0); })) << coop(0).dump(2) << coop(1).dump(2);
  }
  [[nodiscard]] std::string events(unsigned i) const {
    std::ifstream in(servers_[i].directory + "/events.json");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::array<Server, 2> servers_;
};

TEST_F(CoOperation, TheSigningKeyIsImportedAndTheGroupThatWaitedIsServed) {
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(start(1));
  EXPECT_THAT(events(1), HasSubstr("KS_NO_RSA_KEYS"));
  EXPECT_TRUE(ask(1, "show crypto gkm ks coop")->empty());
  take_key_over();
  ASSERT_TRUE(run_until([&] { return settled(0); })) << coop(0).dump(2) << coop(1).dump(2);
  EXPECT_THAT(events(0), HasSubstr("KS 127.0.0.1 in group GETVPN transitioned to Primary"));
}

TEST_F(CoOperation, WhatTheOperatorSees) {
  start_both();
  const Json primary = coop(0), secondary = coop(1);
  EXPECT_EQ(primary["local_address"], "127.0.0.1");
  EXPECT_EQ(primary["local_priority"], 100);
  EXPECT_EQ(secondary["primary"], "127.0.0.1");
  EXPECT_EQ(primary["peers"][0]["address"], "127.0.0.2");
  EXPECT_EQ(primary["peers"][0]["priority"], 75);
  EXPECT_EQ(primary["peers"][0]["status"], "Alive");
  EXPECT_EQ(primary["peers"][0]["ike"], "Established");
  EXPECT_GT(primary["peers"][0]["announces_sent"], 0);
  EXPECT_EQ(primary["peers"][0]["clients"]["sid"], "1.0.0");
  EXPECT_EQ(primary["local_handle"], 1);
  EXPECT_EQ(primary["peers"][0]["handle"], 2);
  EXPECT_EQ(primary["per_user_remaining_s"], 0) << "no member is awaited";
  EXPECT_TRUE(ask(1, "coop elect", {{"group", "GETVPN"}}));
  EXPECT_TRUE(run_until([&] { return coop(0)["elections"] > primary["elections"] && settled(0); }));
  EXPECT_FALSE(ask(1, "coop elect", {{"group", "other"}}));
  const auto refused = ask(1, "coop compromise", {{"group", "GETVPN"}});
  ASSERT_FALSE(refused);  // only the primary begins keys
  EXPECT_TRUE(refused.error().is(coop::coop_not_primary));
  EXPECT_TRUE(ask(0, "coop compromise", {{"group", "GETVPN"}}));
  EXPECT_TRUE(run_until([&] { return coop(1)["epoch"] > primary["epoch"] && settled(0); }));
}

TEST_F(CoOperation, MetricsComeFromLiveState) {
  start_both();
  const std::string text = servers_[0].daemon->runtime().metrics.text();
  for (const char* line :
       {R"(cohort_coop_role{group="GETVPN",role="Primary"} 1)",
        R"(cohort_coop_role{group="GETVPN",role="Secondary"} 0)",
        R"(cohort_coop_peer_state{group="GETVPN",peer="127.0.0.2",state="Alive"} 1)",
        R"(cohort_coop_peer_synchronized{group="GETVPN",peer="127.0.0.2"} 1)",
        R"(cohort_coop_peer_lag_changes{group="GETVPN",peer="127.0.0.2"} 0)",
        R"(cohort_coop_epoch{group="GETVPN"} 1)",
        R"(cohort_coop_announcements_total{group="GETVPN",peer="127.0.0.2",direction="in"})"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(servers_[1].daemon->runtime().metrics.text(),
              HasSubstr(R"(cohort_coop_role{group="GETVPN",role="Secondary"} 1)"));
  const auto seen = coop(0)["peers"][0]["announces_received"].get<unsigned>();
  ASSERT_TRUE(run_until([&] { return coop(0)["peers"][0]["announces_received"] > seen; }));
}

TEST_F(CoOperation, StateOnTheDiskIsSealedAndBothComeBackWithTheGroup) {
  start_both();
  const Json before = coop(0);
  struct stat info {};
  ASSERT_EQ(::stat((state(0) + "/coop/state.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  std::ifstream in(state(0) + "/" + coop::state_name("GETVPN", 0), std::ios::binary);
  const std::string blob{std::istreambuf_iterator<char>(in), {}};
  ASSERT_GT(blob.size(), 9u);
  EXPECT_EQ(blob[8], 1) << "sealed";
  for (Server& server : servers_) stop(server);
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(run_until([&] { return settled(0) || settled(1); }));
  EXPECT_EQ(coop(0)["epoch_id"], before["epoch_id"]);
}

TEST_F(CoOperation, DamagedStateIsRefusedByItsPathAndTakenFromThePeerOnceRemoved) {
  start_both();
  const std::string epoch = coop(0)["epoch_id"];
  stop(servers_[1]);
  const std::string torn = state(1) + "/" + coop::state_name("GETVPN", 0);
  fs::resize_file(torn, fs::file_size(torn) / 2);
  const Status refused = start(1);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(coop::coop_corrupt_state));
  EXPECT_THAT(refused.error().text(), HasSubstr(torn));
  EXPECT_THAT(refused.error().text(), HasSubstr("remove it"));
  fs::remove_all(fs::path(torn).parent_path());
  ASSERT_TRUE(start(1));
  ASSERT_TRUE(run_until([&] { return settled(0); }));
  EXPECT_EQ(coop(1)["epoch_id"], epoch);
}

TEST_F(CoOperation, StateIsNotOpenedWithoutItsKeyNorWithOneThatOthersRead) {
  start_both();
  stop(servers_[1]);
  const std::string key = state(1) + "/coop/state.key";
  fs::permissions(key, fs::perms::group_read, fs::perm_options::add);
  Status refused = start(1);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(state_key_unusable));
  EXPECT_THAT(refused.error().text(), HasSubstr("chmod 600"));
  fs::rename(key, key + ".away");
  refused = start(1);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(state_key_unusable));
  fs::rename(key + ".away", key);
  fs::permissions(key, fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_TRUE(start(1));
}

// The entry that differs is named on both sides.
TEST_F(CoOperation, ADifferenceIsNamedToTheEntry) {
  write(1, "permit ip 10.0.0.0/8 10.0.0.0/8");
  ASSERT_TRUE(start(0));
  ASSERT_TRUE(start(1));
  take_key_over();
  const auto differs = [&](unsigned i) {
    const Json peers = coop(i).value("peers", Json::array());
    if (peers.empty()) return false;
    for (const Json& one : peers[0]["differences"])
      if (one["name"] == "sa 10 acl 1") return true;
    return false;
  };
  ASSERT_TRUE(run_until([&] { return differs(0) && differs(1); }));
  for (const unsigned i : {0u, 1u}) {
    EXPECT_THAT(events(i), HasSubstr("COOP_CONFIG_MISMATCH"));
    EXPECT_THAT(events(i), HasSubstr("sa 10 acl 1"));
  }
}

}  // namespace
}  // namespace cohort::daemon
