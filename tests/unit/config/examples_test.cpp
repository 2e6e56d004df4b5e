#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <iterator>

#include "config/schema.hpp"
#include "tests/unit/config/files.hpp"

namespace cohort::config {
namespace {

const std::string root = COHORT_SOURCE_ROOT;

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Reads an example with the secrets that its reader would have put in place.
Configuration load(const std::string& name) {
  MemoryFiles files;
  files.content["/etc/cohort/challenge.secret"] = "Challenge-1\n";
  files.content["/etc/cohort/archive.secret"] = "Archive-1\n";
  const std::string path = root + "/config/examples/" + name;
  Outcome outcome = read_text(content_of(path), path, files);
  for (const Problem& problem : outcome.problems) ADD_FAILURE() << problem.text();
  if (!outcome.configuration) return {};
  return std::move(*outcome.configuration);
}

TEST(Examples, EachIsReadWithoutAProblem) {
  unsigned count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(root + "/config/examples")) {
    if (entry.path().extension() != ".json") continue;
    (void)load(entry.path().filename());
    ++count;
  }
  EXPECT_GE(count, 4u);
}

// The authority of the seed lab.
TEST(Examples, CertificateAuthorityOfTheSeedLab) {
  const Configuration ca = load("ca.json");
  ASSERT_TRUE(ca.certificate_authority);
  const auto& options = ca.certificate_authority->options;
  EXPECT_EQ(ca.certificate_authority->listen.text(), "10.191.61.120:80");
  EXPECT_EQ(options.name, "ca-server");
  EXPECT_EQ(options.grant, pki::Grant::automatic);
  EXPECT_EQ(options.hash, crypto::Hash::sha256);
  EXPECT_EQ(options.certificate_lifetime, pki::Days(5000));
  EXPECT_EQ(options.ca_lifetime.count(), 7300);
  EXPECT_THAT(options.eku, testing::ElementsAre(pki::ExtendedKeyUsage::server_auth,
                                                pki::ExtendedKeyUsage::client_auth));
  EXPECT_EQ(options.database, "/var/lib/cohort/ca/ca.sqlite");
  EXPECT_EQ(options.archive_password, Secret::of_text("Archive-1"));
  ASSERT_EQ(options.challenge_passwords.size(), 1u);
  EXPECT_EQ(options.challenge_passwords[0], Secret::of_text("Challenge-1"));
}
TEST(Examples, KeyServerOfTheSeedLab) {
  const Configuration ks = load("ks1.json");
  ASSERT_TRUE(ks.key_server);
  ASSERT_EQ(ks.trustpoints.size(), 1u);
  EXPECT_EQ(ks.trustpoints[0].key.bits, 2049u);
  EXPECT_FALSE(ks.trustpoints[0].key.exportable);
  EXPECT_EQ(ks.trustpoints[0].auto_enroll_percent, 70u);
  EXPECT_EQ(ks.trustpoints[0].hostname, "get-KS");
  ASSERT_EQ(ks.isakmp.policies.size(), 1u);
  EXPECT_EQ(ks.isakmp.policies[0].lifetime.count(), 3600);
  EXPECT_EQ(ks.isakmp.dpd.mode, ike::DpdOptions::Mode::periodic);
  EXPECT_EQ(ks.key_server->local.text(), "10.191.61.114:848");
  ASSERT_EQ(ks.key_server->groups.size(), 1u);
  const gdoi::GroupPolicy& policy = ks.key_server->groups[0].policy;
  EXPECT_EQ(policy.id, gdoi::GroupId{484u});
  EXPECT_EQ(policy.rekey.lifetime.count(), 86400);
  EXPECT_EQ(policy.rekey.retransmit_interval, std::chrono::seconds(40));
  EXPECT_EQ(policy.rekey.retransmit_number, 2u);
  EXPECT_EQ(policy.rekey.signing_key, "getKey");
  ASSERT_EQ(policy.sas.size(), 1u);
  EXPECT_EQ(policy.sas[0].number, 10u);
  EXPECT_EQ(policy.sas[0].suite, dataplane::Suite::aes_128_cbc_sha1_96);
  EXPECT_EQ(policy.sas[0].lifetime.count(), 7200);
  ASSERT_EQ(policy.sas[0].acl.size(), 2u);
  EXPECT_EQ(access_text(policy.sas[0].acl[0]),
            "permit ip 10.0.0.0 0.0.0.255 172.16.0.0 0.0.255.255");
  ASSERT_EQ(policy.authorization.size(), 1u);
  EXPECT_EQ(policy.authorization[0].organizational_unit, "GETVPN_GM");
}
TEST(Examples, TwoKeyServersOfTheSeedLabCoOperate) {
  const Configuration one = load("ks1.json"), two = load("ks2.json");
  ASSERT_TRUE(one.key_server && two.key_server);
  const KeyServerGroup& first = one.key_server->groups.at(0);
  const KeyServerGroup& second = two.key_server->groups.at(0);
  ASSERT_TRUE(first.redundancy && second.redundancy);
  EXPECT_EQ(first.redundancy->priority, 100);
  EXPECT_EQ(second.redundancy->priority, 75);
  EXPECT_EQ(first.redundancy->peers.at(0).address, two.key_server->local.address);
  EXPECT_EQ(second.redundancy->peers.at(0).address, one.key_server->local.address);
  EXPECT_EQ(first.redundancy->timers.announce, std::chrono::seconds(20));
  EXPECT_EQ(first.redundancy->timers.silent, std::chrono::seconds(30));
  EXPECT_EQ(first.redundancy->timers.dead, std::chrono::seconds(60));
  // The signing key is made once, and taken to the other one.
  EXPECT_TRUE(one.keys.at(0).exportable);
  EXPECT_TRUE(two.keys.at(0).imported);
  EXPECT_EQ(first.policy.sas.at(0).acl, second.policy.sas.at(0).acl);
}
TEST(Examples, GroupMemberOfTheSeedLab) {
  const Configuration gm = load("gm1.json");
  ASSERT_TRUE(gm.group_member);
  ASSERT_TRUE(gm.dataplane);
  ASSERT_EQ(gm.group_member->groups.size(), 1u);
  EXPECT_EQ(gm.group_member->groups[0].servers[0].text(), "10.191.61.114:848");
  EXPECT_TRUE(gm.group_member->groups[0].fail_close);
  ASSERT_EQ(gm.dataplane->port_pairs.size(), 1u);
  EXPECT_FALSE(gm.dataplane->eal.hugepages);
  // The servers are told to the dataplane without saying them twice.
  ASSERT_EQ(gm.dataplane->port_pairs[0].control_peers.size(), 2u);
  EXPECT_EQ(gm.dataplane->port_pairs[0].control_peers[0].text(), "10.191.61.114");
}

TEST(Reference, IsWhatTheCommandPrints) {
  EXPECT_TRUE(content_of(root + "/docs/configuration.md") == reference_markdown())
      << "write it anew: cohort config reference > docs/configuration.md";
}

}  // namespace
}  // namespace cohort::config
