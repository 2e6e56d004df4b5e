#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/crypto/key.hpp"
#include "gdoi/policy.hpp"

namespace cohort::gdoi {

/// A key server's part of one group.
struct KeyServerOptions {
  GroupPolicy policy;
  crypto::PrivateKey rekey_signing_key;
  Endpoint local;                    ///< source of GROUPKEY-PUSH
  std::size_t push_size_max = 1400;  ///< octets; larger updates are split
  /// How long before a TEK's end its successor is distributed; at least this share of its life.
  unsigned rekey_lead_permille = 100;
};

/// A group member's part of one group, bound to one port pair of the dataplane.
struct GroupMemberOptions {
  std::string group_name;
  GroupId id;
  std::vector<Endpoint> servers;  ///< in the order to try; not empty
  std::string port_pair;
  bool fail_close = true;                  ///< drop everything before the first registration
  std::vector<AclEntry> local_exclusions;  ///< our own deny entries, before the group's policy
  std::vector<dataplane::Suite> accepted_suites;  ///< empty: every suite
  unsigned sender_ids = 1;                        ///< how many to ask for: one a worker
  /// Register again this long before the last TEK ends if no rekey came, minus a random jitter.
  std::chrono::seconds reregister_lead{60};
  std::chrono::milliseconds registration_retry_initial{2000};
  std::chrono::milliseconds registration_retry_max{60'000};
};

}  // namespace cohort::gdoi
