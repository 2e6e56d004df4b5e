#include <fmt/format.h>
#include <gmock/gmock.h>

#include "tests/unit/config/files.hpp"

// Key servers that co-operate: the section `redundancy`.
namespace cohort::config {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

std::string file_with(const std::string& redundancy, const std::string& address = "10.0.0.1",
                      const std::string& authentication = "pre-share",
                      const std::string& profile = "{}") {
  return fmt::format(
      R"({{"state_directory": "/s", "keys": {{"k": {{}}, "sign": {{"source": "import"}}}},
          "trustpoints": {{"T": {{"key": "k"}}}},
          "pre_shared_keys": [{{"peer": "0.0.0.0/0", "key": "0123456789"}}],
          "isakmp": {{"policies": [{{"authentication": "{2}"}}]}},
          "access_lists": {{"all": ["permit ip any any"]}}, "profiles": {{"p": {3}}},
          "key_server": {{"address": "{1}", "trustpoint": "T", "groups": [
            {{"name": "G", "identity": 1, "rekey": {{"signing_key": "sign"}},
              "sas": [{{"access_list": "all", "profile": "p"}}],
              "authorization": [{{"address": "10.0.0.0/8"}}],
              "redundancy": {0}}}]}}}})",
      redundancy, address, authentication, profile);
}

std::vector<std::string> problems_of(const std::string& text) {
  std::vector<std::string> out;
  for (const Problem& problem : read_text(text, "f.json", MemoryFiles()).problems)
    out.push_back(problem.text());
  return out;
}

coop::Options options_of(const std::string& redundancy, const std::string& address = "10.0.0.1") {
  const Outcome outcome = read_text(file_with(redundancy, address), "f.json", MemoryFiles());
  for (const Problem& problem : outcome.problems) ADD_FAILURE() << problem.text();
  if (!outcome.configuration) return {};
  const auto& from = *outcome.configuration->key_server->groups.at(0).redundancy;
  coop::Options out;
  out.priority = from.priority;
  out.peers = from.peers;
  out.timers = from.timers;
  out.preempt = from.preempt;
  return out;
}

TEST(Redundancy, TimersGoDownToATenthOfASecond) {
  const coop::Options options =
      options_of(R"({"peers": ["10.0.0.2"], "announce": "100ms", "silent": "125ms",
                     "dead": "188ms", "preempt": true})");
  EXPECT_EQ(options.timers.announce, std::chrono::milliseconds(100));
  EXPECT_EQ(options.timers.silent, std::chrono::milliseconds(125));
  EXPECT_EQ(options.timers.dead, std::chrono::milliseconds(188));
  EXPECT_TRUE(options.preempt);
}

TEST(Redundancy, KeysThatAnElectionOutlastsAreNamed) {
  const auto problems = [](const std::string& lifetime) {
    return problems_of(file_with(R"({"peers": ["10.0.0.2"]})", "10.0.0.1", "pre-share",
                                 R"({"lifetime": ")" + lifetime + R"("})"));
  };
  // 90 s of activation delay, 60 s and 20 s for an election: twice that.
  EXPECT_THAT(problems("340s"), IsEmpty());
  EXPECT_THAT(problems("339s"),
              Contains(AllOf(HasSubstr("warning: at /key_server/groups/0/redundancy/dead"),
                             HasSubstr("a key of sa 10"))));
}

TEST(Redundancy, MoreMembersThanAreReplicatedAreRefused) {
  std::string text = file_with(R"({"peers": ["10.0.0.2"]})");
  const std::string_view before = R"("name": "G",)";
  text.insert(text.find(before) + before.size(), R"("members_max": 20000,)");
  EXPECT_THAT(problems_of(text), IsEmpty());
  text.replace(text.find("20000"), 5, "20001");
  EXPECT_THAT(problems_of(text), Contains(HasSubstr("/key_server/groups/0/members_max")));
}

TEST(Redundancy, TimersThatContradictEachOtherAreNamed) {
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["10.0.0.2"], "announce": "99ms"})")),
              Contains(HasSubstr("/redundancy/announce")));
  EXPECT_THAT(
      problems_of(file_with(R"({"peers": ["10.0.0.2"], "announce": "1s", "silent": "1200ms"})")),
      Contains(HasSubstr("1.25 times \"announce\" at least; fix: write \"1250ms\" or more")));
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["10.0.0.2"], "announce": "1s",
                                        "silent": "2s", "dead": "2900ms"})")),
              Contains(HasSubstr("1.5 times \"silent\" at least; fix: write \"3s\" or more")));
}

TEST(Redundancy, SevenPeersOfEitherFamily) {
  const coop::Options options = options_of(
      R"({"peers": ["2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5", "2001:db8::6",
                    "2001:db8::7", "[2001:db8::8]:848"]})",
      "2001:db8::1");
  ASSERT_EQ(options.peers.size(), 7u);
  EXPECT_EQ(options.peers[6].text(), "[2001:db8::8]:848");
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5",
                                                 "10.0.0.6", "10.0.0.7", "10.0.0.8",
                                                 "10.0.0.9"]})")),
              Contains(AllOf(HasSubstr("/redundancy/peers"), HasSubstr("fix: remove some"))));
}

TEST(Redundancy, PeersThatCantBeAreNamed) {
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["10.0.0.1"]})")),
              Contains(HasSubstr("our own address")));
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["2001:db8::1"]})")),
              Contains(HasSubstr("of the family of")));
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["10.0.0.2", "10.0.0.2"]})")),
              Contains(HasSubstr("another key server")));
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["10.0.0.2"]})", "0.0.0.0")),
              Contains(HasSubstr("/key_server/address")));
}

// Else any member's certificate would make a key server.
TEST(Redundancy, CertificatesNeedARule) {
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["10.0.0.2"]})", "10.0.0.1", "rsa-sig")),
              Contains(HasSubstr("/redundancy/authorization")));
  EXPECT_THAT(problems_of(file_with(
                  R"({"peers": ["10.0.0.2"], "authorization": [{"organizational_unit": "KS"}]})",
                  "10.0.0.1", "rsa-sig")),
              IsEmpty());
}

// A rule is compared with what certificates print, letter by letter.
TEST(Redundancy, ARulesNameIsReadAsANameIs) {
  const auto rule_of = [](const std::string& name) {
    MemoryFiles files;
    const std::string text =
        file_with(R"({"peers": ["10.0.0.2"], "authorization": [{"subject": ")" + name + R"("}]})");
    const Outcome outcome = read_text(text, "f.json", files);
    if (!outcome.configuration) return outcome.problems.at(0).text();
    return outcome.configuration->key_server->groups.at(0)
        .redundancy->authorization.at(0)
        .subject.value();
  };
  EXPECT_EQ(rule_of("OU=GETVPN_KS,CN=ks1"), "OU=GETVPN_KS,CN=ks1");
  EXPECT_EQ(rule_of(" ou = GETVPN_KS ; cn=ks1 "), "OU=GETVPN_KS,CN=ks1");
  EXPECT_EQ(rule_of("OU=GETVPN_KS CN=ks1"), "OU=GETVPN_KS,CN=ks1");
  EXPECT_EQ(rule_of("1.2.3.4=#0c0161,CN=ks1"), "1.2.3.4=#0c0161,CN=ks1");
  EXPECT_EQ(rule_of("CN=ks1+UID=7"), "CN=ks1+UID=7");
  EXPECT_THAT(rule_of("GETVPN_KS"), HasSubstr("expected a distinguished name; fix: no TYPE=value"));
}

TEST(Redundancy, TheStateKeysPathIsAbsolute) {
  EXPECT_THAT(problems_of(file_with(R"({"peers": ["10.0.0.2"], "state_key_file": "k"})")),
              Contains(HasSubstr("an absolute path")));
}

// What is imported is never made, and can't be a trustpoint's.
TEST(Redundancy, AnImportedKeyPairSignsRekeysOnly) {
  std::string text = file_with(R"({"peers": ["10.0.0.2"]})");
  text.replace(text.find(R"("key": "k")"), 10, R"("key": "sign")");
  EXPECT_THAT(problems_of(text), Contains(HasSubstr("/trustpoints/T/key")));
}

}  // namespace
}  // namespace cohort::config
