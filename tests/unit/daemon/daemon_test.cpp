#include "controlplane/daemon/daemon.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gmock/gmock.h>

#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

/// A key server with pre-shared keys in a directory of its own, driven by the test.
class Reload : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "cohort-daemon-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    write(keys({}), "[" + group("A", 1, "first") + "]");
    auto outcome = config::read_file(file(), config::DiskFiles{});
    ASSERT_TRUE(outcome.configuration) << outcome.problems.front().text();
    auto started = Daemon::start(std::move(*outcome.configuration));
    ASSERT_TRUE(started) << started.error().text();
    daemon_ = std::move(*started);
  }
  void TearDown() override {
    daemon_.reset();
    std::filesystem::remove_all(directory_);
  }
  [[nodiscard]] std::string file() const { return directory_ + "/config.json"; }
  static std::string keys(const std::vector<std::string>& further) {
    std::string out = R"("first": {"type": "rsa", "modulus": 2048})";
    for (const auto& label : further) {
      out += fmt::format(R"(, "{}": {{"type": "rsa", "modulus": 2048}})", label);
    }
    return "{" + out + "}";
  }
  static std::string group(const std::string& name, unsigned identity, const std::string& key) {
    return fmt::format(R"({{"name": "{}", "identity": {}, "rekey": {{"signing_key": "{}"}},)"
                       R"( "sas": [{{"number": 10, "access_list": "all", "profile": "default"}}],)"
                       R"( "authorization": [{{"address": "127.0.0.0/8"}}]}})",
                       name, identity, key);
  }
  void write(const std::string& keys, const std::string& groups) const {
    const std::string text = fmt::format(
        R"({{"state_directory": "{0}/state", "runtime_directory": "{0}/run", "crypto_threads": 1,
            "logging": {{"event_log": "{0}/events.json", "standard_error": false}},
            "admin": {{"socket": "{0}/s.sock"}}, "keys": {1},
            "pre_shared_keys": [{{"peer": "127.0.0.0/8", "key": "a key of this test"}}],
            "isakmp": {{"policies": [{{"authentication": "pre-share"}}], "nat_traversal": false}},
            "access_lists": {{"all": ["permit ip any any"]}}, "profiles": {{"default": {{}}}},
            "key_server": {{"address": "127.0.0.1", "port": 28890, "groups": {2}}}}})",
        directory_, keys, groups);
    std::ofstream(file()) << text;
    std::filesystem::permissions(
        file(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  Status reload() {
    std::optional<Status> out;
    daemon_->reload([&](Status done) {
      out = std::move(done);
      daemon_->runtime().loop.stop();
    });
    if (!out) daemon_->runtime().loop.run();
    return *out;
  }
  [[nodiscard]] std::vector<std::string> groups() const {
    std::vector<std::string> out;
    for (const auto& each : daemon_->server()->server()->status(daemon_->runtime().clock.now())) {
      out.push_back(each.name);
    }
    return out;
  }
  std::string directory_;
  std::unique_ptr<Daemon> daemon_;
};

// A key of many bits takes seconds, in which rekeys and sessions must go on.
TEST_F(Reload, MakesKeysBesideTheLoopAndThenTheGroupsThatSignWithThem) {
  write(keys({"second"}), "[" + group("A", 1, "first") + "," + group("B", 2, "second") + "]");
  std::optional<Status> done;
  daemon_->reload([&](Status status) {
    done = std::move(status);
    daemon_->runtime().loop.stop();
  });
  EXPECT_FALSE(done) << "it is made by a thread";
  EXPECT_THAT(groups(), testing::ElementsAre("A"));
  const Status second = reload();
  ASSERT_FALSE(second);
  EXPECT_TRUE(second.error().is(reload_under_way));
  while (!done) daemon_->runtime().loop.run();
  EXPECT_TRUE(*done);
  EXPECT_THAT(groups(), testing::UnorderedElementsAre("A", "B"));
}

TEST_F(Reload, WhatFailedIsTriedAgain) {
  // A folder where the key's file should be: the group can't be signed for.
  const std::string obstacle = directory_ + "/state/keys/second.key";
  std::filesystem::create_directories(obstacle);
  write(keys({"second"}), "[" + group("A", 1, "first") + "," + group("B", 2, "second") + "]");
  EXPECT_TRUE(reload());
  EXPECT_THAT(groups(), testing::ElementsAre("A"));
  std::filesystem::remove_all(obstacle);
  EXPECT_TRUE(reload());
  EXPECT_THAT(groups(), testing::UnorderedElementsAre("A", "B"));
}

TEST_F(Reload, AFileWithAnErrorChangesNothing) {
  write(keys({}), "[" + group("A", 1, "nobody") + "," + group("B", 2, "first") + "]");
  const Status done = reload();
  ASSERT_FALSE(done);
  EXPECT_TRUE(done.error().is(config_refused));
  EXPECT_THAT(done.error().text(),
              testing::HasSubstr("at /key_server/groups/0/rekey/signing_key: found \"nobody\""));
  EXPECT_THAT(groups(), testing::ElementsAre("A"));
}

// Another one would be made at the next start, which neither members nor other servers know.
TEST_F(Reload, AKeyPairThatAGroupSignsWithIsNotRemovedByTheWay) {
  const auto remove = [&](bool in_use) {
    std::optional<Result<Json>> out;
    daemon_->handle({"crypto key remove", {{"label", "first"}, {"in_use", in_use}}},
                    [&](Result<Json> answer) { out = std::move(answer); });
    return std::move(*out);
  };
  const auto refused = remove(false);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(key_in_use));
  EXPECT_THAT(refused.error().text(), testing::HasSubstr("rekeys of group A"));
  EXPECT_TRUE(remove(true));
}

TEST_F(Reload, AStateDirectoryThatOthersCanWriteIsRefused) {
  daemon_.reset();
  const std::string state = directory_ + "/state";
  std::filesystem::permissions(state, std::filesystem::perms::others_write,
                               std::filesystem::perm_options::add);
  auto outcome = config::read_file(file(), config::DiskFiles{});
  const auto started = Daemon::start(std::move(*outcome.configuration));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text(), testing::HasSubstr("chmod 700"));
}

}  // namespace
}  // namespace cohort::daemon
