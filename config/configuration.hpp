#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/problem.hpp"
#include "config/text_values.hpp"
#include "controlplane/base/address.hpp"
#include "controlplane/base/event.hpp"
#include "controlplane/base/secret.hpp"
#include "controlplane/ike/options.hpp"
#include "coop/options.hpp"
#include "dataplane/options.hpp"
#include "gdoi/options.hpp"
#include "gdoi/policy.hpp"
#include "pki/options.hpp"

/// One daemon's configuration as values, each in the options struct of the module that it is for.
namespace cohort::config {

struct LoggingOptions {
  Severity level = Severity::notice;  ///< events less severe are not logged
  bool standard_error = true;
  bool syslog = false;
  std::string event_log;           ///< path of a file of JSON lines; empty is none
  std::vector<std::string> debug;  ///< categories that are on from the start
};

struct PreSharedKey {
  Prefix peers;
  Secret key;
};

struct AccessList {
  std::string name;
  std::vector<AccessLine> lines;  ///< by number, ascending
  [[nodiscard]] std::vector<gdoi::AclEntry> entries() const;
};

/// One group as this key server serves it.
struct KeyServerGroup {
  gdoi::GroupPolicy policy;
  std::vector<std::string> access_lists;  ///< name of each SA's list, in the order of policy.sas
  std::size_t push_size_max = 1400;
  unsigned rekey_lead_permille = 100;
  /// The other key servers of the group; null: it has none. Without what the policy says.
  std::shared_ptr<const coop::Options> redundancy;
  std::string state_key_file;     ///< seals the replicated state; empty: the state directory's
  std::string redundancy_digest;  ///< of the section's text, to see whether a reload changed it
};

struct CertificateAuthorityRole {
  Endpoint listen;
  pki::CaOptions options;  ///< `database` is made of the state directory
};

struct KeyServerRole {
  Endpoint local;
  std::string trustpoint;  ///< empty with pre-shared keys only
  std::chrono::seconds state_trust{600};
  std::vector<KeyServerGroup> groups;
};

struct GroupMemberRole {
  Endpoint local;
  std::string trustpoint;
  std::vector<gdoi::GroupMemberOptions> groups;
  std::vector<IpAddress> multicast;  ///< groups that rekeys come to
};

/// A debug category: an operator switches it on and off while the daemon runs.
struct DebugCategory {
  std::string_view name;      ///< "crypto gdoi ks"
  std::string_view sentence;  ///< what it shows
};
[[nodiscard]] const std::vector<DebugCategory>& debug_categories();

struct Configuration {
  std::string file;
  /// A digest for each section by its pointer (those of the group roles one level deeper), so that
  /// a reload can tell what has changed.
  std::map<std::string, std::string> digests;
  std::string hostname;  ///< empty: the system's
  std::string state_directory;
  std::string runtime_directory;
  bool allow_weak = false;
  bool lab_export_keys = false;
  LoggingOptions logging;
  std::string admin_socket;
  std::optional<Endpoint> metrics;
  unsigned crypto_threads = 0;            ///< 0: one a processor
  std::vector<pki::KeyPairOptions> keys;  ///< made at start if they are not there
  std::vector<pki::TrustpointOptions> trustpoints;
  std::vector<PreSharedKey> pre_shared_keys;
  ike::IsakmpOptions isakmp;  ///< without `local` and `trustpoint`, which the roles have
  std::vector<AccessList> access_lists;
  std::optional<CertificateAuthorityRole> certificate_authority;
  std::optional<KeyServerRole> key_server;
  std::optional<GroupMemberRole> group_member;
  std::optional<dataplane::DataplaneOptions> dataplane;  ///< there with a group member only

  [[nodiscard]] const AccessList* find_access_list(std::string_view name) const;
};

/// What became of a file: a configuration when there is no error, and every problem found.
struct Outcome {
  std::optional<Configuration> configuration;
  std::vector<Problem> problems;
};

/// Never throws; never half a configuration. `name` stands in the messages.
[[nodiscard]] Outcome read_text(std::string_view text, const std::string& name, const Files& files,
                                bool file_is_private = true);
[[nodiscard]] Outcome read_file(const std::string& path, const Files& files);

}  // namespace cohort::config
