#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/crypto/key.hpp"
#include "gdoi/policy.hpp"

namespace cohort::gdoi {

class KeyAuthority;

/// A key server's part of one group.
struct KeyServerOptions {
  GroupPolicy policy;
  /// Signs GROUPKEY-PUSH: RSA or ECDSA. Not the key of phase 1 (RFC 6407 section 4.1).
  crypto::PrivateKey rekey_signing_key;
  /// Source of GROUPKEY-PUSH; an unspecified address means the one that the member registered at.
  Endpoint local;
  std::size_t push_size_max = 1400;  ///< octets of UDP payload; larger updates are split
  /// How long before a TEK's end its successor is distributed; at least this share of its life, and
  /// never less than the activation delay.
  unsigned rekey_lead_permille = 100;
  std::size_t pulls_max = 4096;            ///< GROUPKEY-PULLs under way in all groups
  std::size_t pulls_max_per_phase1 = 8;    ///< and under one phase 1
  std::chrono::seconds pull_lifetime{60};  ///< from message 1, also for cached answers
  /// How old a copy of our disk is trusted at least, when a start finds nothing better to go by,
  /// for which the sender ids that are lent in such a time are limited. 0: it never is.
  std::chrono::seconds state_trust{0};
  /// With several key servers: decides what the keys are (authority.hpp). Outlives the group.
  KeyAuthority* authority = nullptr;
};

/// A group member's part of one group, bound to one port pair of the dataplane.
struct GroupMemberOptions {
  std::string group_name;
  GroupId id;
  std::vector<Endpoint> servers;  ///< in the order to try; not empty
  std::string port_pair;
  bool fail_close = true;  ///< drop everything before the first registration
  /// With fail_close: drop everything again when the last key has ended. Without it, what the
  /// policy has encrypted is dropped then, and the rest passes.
  bool fail_close_revert = false;
  std::vector<AclEntry> local_exclusions;  ///< our own deny entries, before the group's policy
  std::vector<dataplane::Suite> accepted_suites;  ///< empty: every suite
  /// Tell key servers that we understand the private use numbers of README.md. Without it we look
  /// like any other implementation: no exclusions, and a window only as configured here.
  bool private_use = true;
  bool allow_weak = false;  ///< accept a Rekey SA with 3DES, SHA-1, MD5 or RSA < 2048
  unsigned sender_ids = 1;  ///< how many to ask for: one a worker
  /// Anti-replay window in packets where the key server does not say (only ours does): 0 for none.
  /// Anything else is right only if every SA has one sender for each receiver: a group of two.
  std::uint16_t replay_window = 0;
  /// Register again this long before the last TEK ends if no rekey came, minus a random jitter of
  /// up to half of it; never more than a twentieth of the key's life.
  std::chrono::seconds reregister_lead{60};
  std::chrono::milliseconds registration_retry_initial{2000};  ///< after every server has failed
  std::chrono::milliseconds registration_retry_max{60'000};    ///< it doubles up to this
  std::chrono::milliseconds pull_retransmit_initial{1000};     ///< doubles each time
  unsigned pull_retransmit_tries = 4;
  std::chrono::milliseconds phase1_timeout{60'000};  ///< then the next server is tried
  /// Members that were told to register again wait a random time up to this, so that they don't
  /// come all at once.
  std::chrono::milliseconds reregister_jitter{2000};
  /// Random delay of an acknowledgement: multicast rekeys only; RFC 8263 section 6 allows 5 s.
  std::chrono::milliseconds acknowledge_jitter{2000};
  std::chrono::seconds usage_poll{5};  ///< how often the dataplane's counters are looked at
  /// Packets of the group under an SPI that we don't have: register again after a random time up to
  /// this (0: never), then not before a pause that begins with this and doubles up to the maximum
  /// while registering does not help.
  /// The same when packets say that our clock of the group's time is wrong.
  std::chrono::milliseconds unknown_spi_wait{10'000};
  std::chrono::milliseconds unknown_spi_wait_max{3'600'000};
  unsigned exhausted_permille = 900;  ///< register again when a key is used up this far
};

}  // namespace cohort::gdoi
