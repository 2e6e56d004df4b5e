#include <gmock/gmock.h>

#include "tests/unit/config/files.hpp"

namespace cohort::config {
namespace {

/// A whole file that is right, with the part under test pasted in.
std::string ca_file(const std::string& more) {
  return R"({"state_directory": "/s", "certificate_authority": {"name": "ca"})" + more + "}";
}

std::vector<std::string> problems_of(const std::string& text, bool file_is_private = true) {
  MemoryFiles files;
  files.content["/good"] = "long enough\n";
  files.content["/empty"] = "\n";
  files.content["/open"] = "long enough";
  files.open.insert("/open");
  std::vector<std::string> out;
  const Outcome outcome = read_text(text, "f.json", files, file_is_private);
  for (const Problem& problem : outcome.problems) {
    out.push_back(problem.text());
    EXPECT_FALSE(problem.found.empty() || problem.fix.empty()) << "what to do? " << out.back();
  }
  // Never half a configuration.
  const bool errors =
      std::any_of(outcome.problems.begin(), outcome.problems.end(),
                  [](const Problem& problem) { return problem.kind == Problem::Kind::error; });
  EXPECT_EQ(outcome.configuration.has_value(), !errors);
  return out;
}

struct ErrorCase {
  const char* what;
  std::string json;
  std::vector<std::string> problems;
};

void PrintTo(const ErrorCase& one, std::ostream* out) {
  *out << one.what;
}

class ConfigErrors : public testing::TestWithParam<ErrorCase> {};

TEST_P(ConfigErrors, AreNamed) {
  EXPECT_THAT(problems_of(GetParam().json), testing::ElementsAreArray(GetParam().problems));
}

INSTANTIATE_TEST_SUITE_P(
    Syntax, ConfigErrors,
    testing::Values(
        ErrorCase{"a truncated file",
                  "{\n  \"state_directory\": \"/s\",\n",
                  {"f.json:3:1: error: found no valid JSON: object key - unexpected end of input; "
                   "expected string literal; expected JSON (RFC 8259); fix: look at this place and "
                   "just before it"}},
        ErrorCase{"a comma too many",
                  "{ \"state_directory\": \"/s\", }",
                  {"f.json:1:28: error: found no valid JSON: object key - unexpected '}'; expected "
                   "string literal; expected JSON (RFC 8259); fix: look at this place and just "
                   "before it"}},
        ErrorCase{"an empty file",
                  "",
                  {"f.json:1:1: error: found no valid JSON: value - unexpected end of input; "
                   "expected '[', '{', or a literal; expected JSON (RFC 8259); fix: look at this "
                   "place and just before it"}},
        ErrorCase{"a key twice",
                  R"({"state_directory": "/s", "state_directory": "/t",
                      "certificate_authority": {}})",
                  {"f.json: error: at /state_directory: found this key twice in one object; "
                   "expected each key once; fix: remove one of them"}},
        ErrorCase{"a key twice, deep inside",
                  ca_file(R"(, "access_lists": {"a~/b": ["permit ip any any", {"x": [{}, [1, 2]],
                      "source": {}, "source": 1}]})"),
                  {"f.json: error: at /access_lists/a~0~1b/1/source: found this key twice in one "
                   "object; expected each key once; fix: remove one of them",
                   "f.json: error: at /access_lists/a~0~1b: found a name that can't be one; "
                   "expected 1 to 64 of letters, digits, '.', '_' and '-', not a '.' first; fix: "
                   "rename it"}},
        ErrorCase{"no object",
                  "[]",
                  {"f.json: error: in the whole file: found a list of 0; expected an object; fix: "
                   "write { \"key\": value }"}},
        ErrorCase{"nesting",
                  std::string(100'000, '[') + std::string(100'000, ']'),
                  {"f.json: error: in the whole file: found nesting of more than 32 levels; "
                   "expected 32 levels at most; fix: remove the brackets too many"}}),
    [](const auto& one) { return "Case" + std::to_string(one.index); });

INSTANTIATE_TEST_SUITE_P(
    Keys, ConfigErrors,
    testing::Values(
        ErrorCase{"an unknown key with a near one",
                  ca_file(R"(, "loging": {})"),
                  {"f.json: error: at /loging: found an unknown key; fix: did you mean "
                   "\"logging\"?"}},
        ErrorCase{"an unknown key far from all",
                  ca_file(R"(, "lab": {"zebra": 1})"),
                  {"f.json: error: at /lab/zebra: found an unknown key; expected one of: "
                   "export_keys; fix: remove it"}},
        ErrorCase{
            "an unknown section",
            ca_file(R"(, "firewall": {})"),
            {"f.json: error: at /firewall: found an unknown key; expected one of: "
             "state_directory, runtime_directory, hostname, allow_weak, crypto_threads, logging, "
             "admin, "
             "metrics, lab, keys, trustpoints, pre_shared_keys, isakmp, access_lists, profiles, "
             "certificate_authority, key_server, group_member, dataplane; fix: remove it"}},
        ErrorCase{"no role",
                  R"({"state_directory": "/s"})",
                  {"f.json: error: in the whole file: found no role; expected one at least of "
                   "certificate_authority, key_server and group_member; fix: add the section of a "
                   "role"}},
        ErrorCase{"a missing key",
                  R"({"certificate_authority": {}})",
                  {"f.json: error: at /state_directory: found nothing; expected an absolute path; "
                   "fix: add the key \"state_directory\""}},
        ErrorCase{
            "a name that can't be one",
            ca_file(R"(, "keys": {"../up": {}})"),
            {"f.json: error: at /keys/..~1up: found a name that can't be one; expected 1 to 64 "
             "of letters, digits, '.', '_' and '-', not a '.' first; fix: rename it"}},
        ErrorCase{
            "every error of a file",
            R"({"allow_weak": "yes", "logging": {"level": "loud", "syslog": 1},
                      "certificate_authority": {"grant": "Auto", "pending_max": 0}})",
            {"f.json: error: at /allow_weak: found \"yes\"; expected true or false; fix: write "
             "true or false without quotes",
             "f.json: error: at /state_directory: found nothing; expected an absolute path; fix: "
             "add the key \"state_directory\"",
             "f.json: error: at /logging/level: found \"loud\"; expected one of \"emergency\", "
             "\"alert\", \"critical\", \"error\", \"warning\", \"notice\", \"informational\", "
             "\"debug\"; fix: choose one of these",
             "f.json: error: at /logging/syslog: found 1; expected true or false; fix: write "
             "true or false without quotes",
             "f.json: error: at /certificate_authority/grant: found \"Auto\"; expected one of "
             "\"auto\", \"manual\"; fix: did you mean \"auto\"?",
             "f.json: error: at /certificate_authority/pending_max: found 0; expected a whole "
             "number from 1 to 100000; fix: choose a number in that range"}}),
    [](const auto& one) { return "Case" + std::to_string(one.index); });

INSTANTIATE_TEST_SUITE_P(
    Values, ConfigErrors,
    testing::Values(
        ErrorCase{"sha255",
                  ca_file(R"(, "isakmp": {"policies": [{"hash": "sha255"}]})"),
                  {"f.json: error: at /isakmp/policies/0/hash: found \"sha255\"; expected one of "
                   "\"sha256\", \"sha384\", \"sha512\"; fix: did you mean \"sha256\"?"}},
        ErrorCase{"a weak algorithm",
                  ca_file(R"(, "isakmp": {"policies": [{"group": 2}]})"),
                  {"f.json: error: at /isakmp/policies/0/group: found 2; expected one of \"14\", "
                   "\"15\", \"16\", \"19\", \"20\", \"21\"; fix: choose one of these, or set "
                   "\"allow_weak\": true at the top of the file"}},
        ErrorCase{"a weak algorithm that is admitted",
                  ca_file(R"(, "allow_weak": true, "isakmp": {"policies": [{"group": 2}]})"),
                  {"f.json: warning: at /isakmp/policies/0/group: found 2; expected an algorithm "
                   "that withstands today's attacks; fix: use it only with peers that know no "
                   "better"}},
        ErrorCase{"a short rekey key, as older guides make it",
                  ca_file(R"(, "keys": {"getKey": {"modulus": 1024}})"),
                  {"f.json: error: at /keys/getKey/modulus: found 1024; expected 2048 bits at "
                   "least: shorter keys can be broken; fix: choose 2048 or more, or set "
                   "\"allow_weak\": true at the top of the file"}},
        ErrorCase{"a short rekey key, admitted",
                  ca_file(R"(, "allow_weak": true, "keys": {"getKey": {"modulus": 1024}})"),
                  {"f.json: warning: at /keys/getKey/modulus: found 1024; expected 2048 bits at "
                   "least: shorter keys can be broken; fix: use it only with peers that know no "
                   "better"}},
        ErrorCase{"a key that is too short for anything",
                  ca_file(R"(, "allow_weak": true, "keys": {"k": {"modulus": 1023}})"),
                  {"f.json: error: at /keys/k/modulus: found 1023; expected a whole number from "
                   "1024 to 8192; fix: choose a number in that range"}},
        ErrorCase{
            "no password where one is needed",
            R"({"state_directory": "/s",
                      "certificate_authority": {"challenge_passwords": []}})",
            {"f.json: error: at /certificate_authority/challenge_passwords: found a list of 0; "
             "expected one password at least; fix: remove the key if requests need none"}},
        ErrorCase{"a duration without a unit",
                  ca_file(R"(, "profiles": {"p": {"lifetime": 7200}})"),
                  {"f.json: error: at /profiles/p/lifetime: found 7200; expected a duration from "
                   "\"10s\" to \"30d\"; fix: say the unit: \"7200s\""}},
        ErrorCase{"a duration out of range",
                  ca_file(R"(, "profiles": {"p": {"lifetime": "1s"}})"),
                  {"f.json: error: at /profiles/p/lifetime: found \"1s\"; expected a duration from "
                   "\"10s\" to \"30d\"; fix: choose a duration in that range"}},
        ErrorCase{"a window of packets where time is looked at",
                  ca_file(R"(, "profiles": {"p": {"replay": "time", "replay_window": 64}})"),
                  {"f.json: error: at /profiles/p/replay_window: found 64; expected "
                   "replay_time_window, since \"replay\" is \"time\"; fix: a window of packets has "
                   "no meaning there"}},
        ErrorCase{"a window of time where packets are counted",
                  ca_file(R"(, "profiles": {"p": {"replay_time_window": "2s"}})"),
                  {"f.json: error: at /profiles/p/replay_time_window: found \"2s\"; expected "
                   "\"replay\": \"time\" beside it; fix: a window of time has no meaning without"}},
        ErrorCase{
            "a truncated address",
            ca_file(R"(, "access_lists": {"data_plane":
                      ["permit ip 10.0.0 0.0.0.255 172.16.0.0 0.0.255.255"]})"),
            {"f.json: error: at /access_lists/data_plane/0: found \"permit ip 10.0.0 0.0.0.255 "
             "172.16.0.0 0.0.255.255\"; expected a line such as \"permit ip 10.0.0.0 0.0.0.255 "
             "172.16.0.0 0.0.255.255\"; fix: in the source \"10.0.0 0.0.0.255\": \"10.0.0\" "
             "has 3 of the 4 parts of an IPv4 address; write all four"}},
        ErrorCase{
            "a truncated address in a prefix",
            ca_file(R"(, "pre_shared_keys": [{"peer": "10.0.0 0.0.0.255", "key": "12345678"}])"),
            {"f.json: error: at /pre_shared_keys/0/peer: found \"10.0.0 0.0.0.255\"; expected a "
             "prefix (\"10.0.0.0/24\", \"10.0.0.0 0.0.0.255\" or \"2001:db8::/32\"); fix: "
             "\"10.0.0\" has 3 of the 4 parts of an IPv4 address; write all four"}},
        ErrorCase{
            "a SHA-1 fingerprint",
            ca_file(R"(, "keys": {"k": {}}, "trustpoints": {"T": {"key": "k",
                      "ca_fingerprint_sha256": "3F0C3A05 9BC786B4 8828007A 78A3973D B507F9C4"}})"),
            {"f.json: error: at /trustpoints/T/ca_fingerprint_sha256: found \"3F0C3A05 9BC786B4 "
             "8828007A 78A3973D B507F9C4\"; expected 64 hexadecimal digits; fix: this is a "
             "SHA-1 fingerprint; print it on the authority with `cohort show crypto pki "
             "server`"}},
        ErrorCase{"an empty text",
                  ca_file(R"(, "hostname": "")"),
                  {"f.json: error: at /hostname: found \"\"; expected text; fix: write something, "
                   "or remove the key"}},
        ErrorCase{
            "a path that goes by where the program is started",
            R"({"state_directory": "state", "certificate_authority": {}})",
            {"f.json: error: at /state_directory: found \"state\"; expected an absolute path; "
             "fix: write it from / on"}},
        ErrorCase{"a hostname that no certificate can hold",
                  ca_file(R"(, "hostname": "büro 1")"),
                  {"f.json: error: at /hostname: found \"b\\u00fcro 1\"; expected the name of a "
                   "machine; fix: write letters, digits, '-' and '_' with dots between, at most 63 "
                   "in a row and 253 in all"}},
        ErrorCase{"an attribute that names do not have",
                  R"({"state_directory": "/s", "certificate_authority": {"issuer_name": "XY=a"}})",
                  {"f.json: error: at /certificate_authority/issuer_name: found \"XY=a\"; expected "
                   "a distinguished name; fix: unknown attribute type XY: write it as in \"CN=gm1, "
                   "OU=GETVPN_GM\""}},
        ErrorCase{"a list that is too long",
                  ca_file(R"(, "keys": {"k": {}}, "trustpoints": {"T": {"key": "k",
                      "peer_extended_key_usage": ["any", "any", "any", "any", "any", "any", "any",
                      "any", "any", "any", "any", "any", "any", "any", "any", "any", "any"]}})"),
                  {"f.json: error: at /trustpoints/T/peer_extended_key_usage: found a list of 17; "
                   "expected a list of at most 16; fix: remove some"}},
        ErrorCase{"an interface of the kernel in a device's place",
                  ca_file(R"(, "dataplane": {"port_pairs": {"wan": {"inside": "eth0",
                      "outside": "0000:03:00.0", "punt": "net_tap0"}}})"),
                  {"f.json: warning: at /dataplane/port_pairs/wan/inside: found \"eth0\"; expected "
                   "a device of DPDK; fix: if it is an interface of the kernel, write "
                   "\"net_af_packet0,iface=eth0\"",
                   "f.json: warning: at /dataplane: found an object; expected a group member; fix: "
                   "without one no port is opened"}},
        ErrorCase{"a device twice, and one that is empty: one problem each",
                  ca_file(R"(, "dataplane": {"port_pairs": {"wan": {"inside": "",
                      "outside": "net_tap0", "punt": "net_tap0"}}})"),
                  {"f.json: error: at /dataplane/port_pairs/wan/inside: found \"\"; expected text; "
                   "fix: write something, or remove the key",
                   "f.json: error: at /dataplane/port_pairs/wan/punt: found \"net_tap0\"; expected "
                   "a device of its own; fix: another port of the pair has it; name another",
                   "f.json: warning: at /dataplane: found an object; expected a group member; fix: "
                   "without one no port is opened"}},
        ErrorCase{"a role without groups",
                  ca_file(R"(, "key_server": {"address": "192.0.2.1", "groups": []})"),
                  {"f.json: error: at /key_server/groups: found a list of 0; expected one group at "
                   "least; fix: add one, or remove the section"}},
        ErrorCase{"a reference to nothing",
                  ca_file(R"(, "keys": {"pkikey": {}}, "trustpoints": {"T": {"key": "pkikei"}})"),
                  {"f.json: error: at /trustpoints/T/key: found \"pkikei\"; expected the name of a "
                   "key pair of this file; fix: did you mean \"pkikey\"?"}},
        ErrorCase{
            "HTTPS",
            ca_file(R"(, "keys": {"k": {}}, "trustpoints": {"T": {"key": "k",
                      "enrollment_url": "https://ca/"}})"),
            {"f.json: error: at /trustpoints/T/enrollment_url: found \"https://ca/\"; expected "
             "an http:// URL; fix: SCEP protects its messages itself: write http://"}},
        ErrorCase{
            "a URL with a port that is none",
            ca_file(R"(, "keys": {"k": {}}, "trustpoints": {"T": {"key": "k",
                      "enrollment_url": "http://ca:99999"}})"),
            {"f.json: error: at /trustpoints/T/enrollment_url: found \"http://ca:99999\"; expected "
             "an http:// URL; fix: the port is not 1 to 65535: write it as in "
             "\"http://192.0.2.1:80/path\""}}),
    [](const auto& one) { return "Case" + std::to_string(one.index); });

INSTANTIATE_TEST_SUITE_P(
    Secrets, ConfigErrors,
    testing::Values(
        ErrorCase{
            "a secret that is a number is not printed",
            ca_file(R"(, "pre_shared_keys": [{"peer": "0.0.0.0/0", "key": 31415926}])"),
            {"f.json: error: at /pre_shared_keys/0/key: found a JSON number; expected text, or "
             "{\"file\": PATH}; fix: write the secret in double quotes, or name the file it "
             "stands in"}},
        ErrorCase{
            "a short pre-shared key",
            ca_file(R"(, "pre_shared_keys": [{"peer": "0.0.0.0/0", "key": "cisco"}])"),
            {"f.json: error: at /pre_shared_keys/0/key: found a key of under 8 octets; expected "
             "8 octets at least; fix: choose a longer one"}},
        ErrorCase{
            "a file that is not there",
            ca_file(R"(, "pre_shared_keys": [{"peer": "0.0.0.0/0", "key": {"file": "/no"}}])"),
            {"f.json: error: at /pre_shared_keys/0/key/file: found \"/no\" (No such file or "
             "directory); expected a file that can be read; fix: write the secret into it, and let "
             "only its owner read it"}},
        ErrorCase{"a challenge password in a file that is not there: one problem",
                  R"({"state_directory": "/s",
                "certificate_authority": {"challenge_passwords": [{"file": "/no"}]}})",
                  {"f.json: error: at /certificate_authority/challenge_passwords/0/file: found "
                   "\"/no\" (No "
                   "such file or directory); expected a file that can be read; fix: write the "
                   "secret into "
                   "it, and let only its owner read it"}},
        ErrorCase{
            "an empty file",
            ca_file(R"(, "pre_shared_keys": [{"peer": "0.0.0.0/0", "key": {"file": "/empty"}}])"),
            {"f.json: error: at /pre_shared_keys/0/key/file: found an empty file; expected the "
             "secret in it; fix: write the secret into /empty"}},
        ErrorCase{
            "a file that others can read",
            ca_file(R"(, "pre_shared_keys": [{"peer": "0.0.0.0/0", "key": {"file": "/open"}}])"),
            {"f.json: warning: at /pre_shared_keys/0/key/file: found \"/open\", which others "
             "can read; expected a file that only its owner can read; fix: chmod 600 "
             "/open"}}),
    [](const auto& one) { return "Case" + std::to_string(one.index); });

TEST(ConfigSecrets, InlineInAnOpenFileIsWarnedOf) {
  const std::string json =
      ca_file(R"(, "pre_shared_keys": [{"peer": "0.0.0.0/0", "key": "12345678"}])");
  EXPECT_THAT(problems_of(json, true), testing::IsEmpty());
  EXPECT_THAT(
      problems_of(json, false),
      testing::ElementsAre(
          "f.json: warning: at /pre_shared_keys/0/key: found a secret in a file that others "
          "can read; expected a file that only its owner can read; fix: chmod 600 the file, "
          "or write {\"file\": \"/path/of/the/secret\"}"));
}

// What one section owes another.
std::string ks_file(const std::string& group, const std::string& isakmp = R"([{}])") {
  return R"({"state_directory": "/s", "keys": {"k": {}, "r": {}, "e": {"type": "ecdsa-p256"}},
    "trustpoints": {"T": {"key": "k"}, "E": {"key": "e"}}, "isakmp": {"policies": )" +
         isakmp + R"(},
    "access_lists": {"a": ["permit ip any any"], "d": ["deny ip any any"]},
    "profiles": {"p": {}},
    "key_server": {"address": "192.0.2.1", "trustpoint": "T", "groups": [)" +
         group + "]}}";
}

constexpr const char* good_group = R"({"name": "G", "identity": 1, "rekey": {"signing_key": "r"},
    "sas": [{"access_list": "a", "profile": "p"}], "authorization": [{"common_name": "x"}]})";

// An SA takes its profile's anti-replay, with the window in the unit of its kind.
TEST(Config, AntiReplayOfAProfile) {
  using dataplane::ReplayKind;
  const struct {
    const char* profile;
    ReplayKind kind;
    std::uint16_t window;
  } cases[] = {
      {R"("p": {})", ReplayKind::counter, 64},
      {R"("p": {"replay_window": 4096})", ReplayKind::counter, 4096},
      {R"("p": {"replay": "none"})", ReplayKind::none, 64},
      {R"("p": {"replay": "time"})", ReplayKind::time, 4000},
      {R"("p": {"replay": "time", "replay_time_window": "60s"})", ReplayKind::time, 60'000}};
  for (const auto& one : cases) {
    std::string text = ks_file(good_group);
    text.replace(text.find(R"("p": {})"), 7, one.profile);
    const Outcome outcome = read_text(text, "f.json", MemoryFiles(), true);
    ASSERT_TRUE(outcome.configuration) << one.profile;
    const auto& sa = outcome.configuration->key_server->groups.at(0).policy.sas.at(0);
    EXPECT_EQ(sa.replay, one.kind) << one.profile;
    EXPECT_EQ(sa.replay_window, one.window) << one.profile;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Groups, ConfigErrors,
    testing::Values(
        ErrorCase{"a group that is right", ks_file(good_group), {}},
        ErrorCase{"two groups of one identity",
                  ks_file(std::string(good_group) + "," + good_group),
                  {"f.json: error: at /key_server/groups/1: found a name that another group has; "
                   "expected a name of its own; fix: rename one of them",
                   "f.json: error: at /key_server/groups/1: found an identity that another group "
                   "has; expected an identity of its own; fix: change one of them"}},
        ErrorCase{
            "the trustpoint's key signs rekeys",
            ks_file(R"({"name": "G", "identity": 1, "rekey": {"signing_key": "k"},
                    "sas": [{"access_list": "a", "profile": "p"}], "authorization": [{"common_name":
                    "x"}]})"),
            {"f.json: error: at /key_server/groups/0/rekey/signing_key: found \"k\"; expected a "
             "key pair that no trustpoint uses (RFC 6407 section 4.1); fix: add a key pair of "
             "its own under /keys"}},
        ErrorCase{
            "nothing is encrypted, a rule without condition, multicast without destination",
            ks_file(R"({"name": "G", "identity": "x", "rekey": {"signing_key": "r",
                    "transport": "multicast"},
                    "sas": [{"access_list": "d", "profile": "p"}], "authorization": [{}]})"),
            {"f.json: error: at /key_server/groups/0/identity: found \"x\"; expected a number "
             "from 0 to 4294967295, or an IPv4 address; fix: write it as in 484 or "
             "\"192.0.2.1\"",
             "f.json: error: at /key_server/groups/0/rekey/multicast_destination: found "
             "nothing; expected a multicast address; fix: add the key "
             "\"multicast_destination\"",
             "f.json: error: at /key_server/groups/0/sas/0/access_list: found \"d\"; expected a "
             "list with one permit line at least; fix: nothing would be encrypted; add a "
             "permit line",
             "f.json: error: at /key_server/groups/0/authorization/0: found a rule without a "
             "condition; expected one condition at least; fix: it would admit everybody; add "
             "\"organizational_unit\" or another"}},
        ErrorCase{"nobody may register",
                  ks_file(R"({"name": "G", "identity": 1, "rekey": {"signing_key": "r"},
                    "sas": [{"access_list": "a", "profile": "p"}], "authorization": []})"),
                  {"f.json: warning: at /key_server/groups/0/authorization: found a list of 0; "
                   "expected a rule; fix: as it is nobody may register"}},
        ErrorCase{
            "a signature method that the key can't",
            ks_file(good_group, R"([{"authentication": "ecdsa-256-sig"}])"),
            {"f.json: error: at /isakmp/policies/0/authentication: found a signature by another "
             "kind of key than the trustpoint's; expected a method that fits the key pair "
             "\"k\"; fix: change the method or the type of the key pair"}},
        ErrorCase{
            "pre-share without a key",
            ks_file(good_group, R"([{"authentication": "pre-share"}])"),
            {"f.json: error: at /isakmp/policies/0/authentication: found pre-share; expected a "
             "pre-shared key in this file; fix: add one under /pre_shared_keys"}}),
    [](const auto& one) { return "Case" + std::to_string(one.index); });

TEST(ConfigFile, ThatIsNotThere) {
  const Outcome outcome = read_file("/no/such.json", MemoryFiles{});
  ASSERT_EQ(outcome.problems.size(), 1u);
  EXPECT_EQ(outcome.problems[0].text(),
            "/no/such.json: error: in the whole file: found no readable file (No such file or "
            "directory); expected a configuration file; fix: check the path and its permissions");
}

}  // namespace
}  // namespace cohort::config
