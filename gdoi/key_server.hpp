#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/isakmp.hpp"
#include "gdoi/options.hpp"
#include "gdoi/payloads.hpp"
#include "gdoi/policy.hpp"

namespace cohort::gdoi {

/// Names a member within its group; never reused while the group's state lives.
using MemberId = std::uint32_t;

/// `show crypto gkm ks members`.
struct KsMemberStatus {
  MemberId id = 0;
  bool cohort = false;   ///< one of our own programs
  std::string identity;  ///< subject DN, or the ID payload with a pre-shared key
  Endpoint remote;
  std::chrono::seconds registered_ago{0};
  std::uint64_t registrations = 0;
  std::vector<std::uint32_t> sender_ids;  ///< of its latest registration
  std::uint64_t rekeys_sent = 0, rekey_retries = 0;
  std::uint64_t acks_received = 0, acks_missed = 0;
  unsigned unanswered_rekeys = 0;  ///< whole ones in a row
  std::uint32_t last_seq_sent = 0, last_seq_acknowledged = 0;
};

/// One SA of `show crypto gkm ks policy`.
struct KsTekStatus {
  std::uint32_t spi = 0;
  std::uint32_t sa_number = 0;   ///< `sa ipsec N`
  std::vector<std::string> acl;  ///< the entries that it protects
  dataplane::Suite suite{};
  dataplane::ReplayKind replay{};
  std::uint16_t replay_window = 0;  ///< counter: packets; time: ms
  std::chrono::seconds lifetime{0}, remaining{0}, elapsed{0};
  bool superseded = false;  ///< a newer key has been distributed
};

struct KsKekStatus {
  KekSpi spi{};
  crypto::Cipher cipher{};
  crypto::Hash signature_hash{};
  std::size_t signature_key_bits = 0;
  std::chrono::seconds lifetime{0}, remaining{0};
  std::uint32_t seq = 0;  ///< last one sent
};

struct KsGroupStatus {
  std::string name;
  GroupId id;
  RekeyTransport transport{};
  bool acknowledge = false;
  std::optional<KsKekStatus> kek;
  std::vector<KsTekStatus> teks;
  std::vector<KsMemberStatus> members;
  std::vector<std::string> acl;      ///< the whole policy, in order
  std::vector<std::string> removed;  ///< identities that may not come back
  std::uint8_t sender_id_bits = 0;
  std::uint64_t sender_ids_used = 0, sender_ids_left = 0;
  std::optional<std::uint64_t> group_time_ms;  ///< where some SA goes by it
  std::chrono::seconds activation_delay{0}, deactivation_delay{0};
  std::optional<std::chrono::seconds> next_rekey, next_kek_rekey;
  /// Until a rekey is repeated for members that have not answered, or they count as silent.
  std::optional<std::chrono::seconds> next_member_timer;
  unsigned retransmit_number = 0;
  std::chrono::milliseconds retransmit_interval{0};
  std::uint64_t registrations = 0, refused = 0;
  std::uint64_t rekeys = 0, kek_rekeys = 0, pushes_sent = 0, retransmissions = 0;
  std::uint64_t acks_received = 0, evictions = 0;
};

/// The GDOI key server (GCKS) of any number of groups, above one Isakmp: answers GROUPKEY-PULL,
/// makes and replaces keys, sends GROUPKEY-PUSH and takes its acknowledgements (RFC 6407, 8263).
/// State that must survive (keys, SEQ, sender ids, members) is in World.store before anything that
/// depends on it is sent. One control-plane thread.
class KeyServer final : public ike::ExchangeHandler {
 public:
  /// Attaches itself to `isakmp` for exchanges 32 and 35; outlives it.
  KeyServer(World& world, ike::Isakmp& isakmp);
  ~KeyServer() override;

  /// Starts serving a group: continues with the stored keys if there are any that still live, else
  /// makes new ones. Fails for a policy that can't be distributed and for damaged stored state.
  Status add_group(TimePoint now, KeyServerOptions options);
  /// Deletes the group's keys at its members, then forgets the group and its stored state.
  Status remove_group(TimePoint now, std::string_view name);

  // ---- what an operator can do -----------------------------------------------------------------
  /// New TEKs for every SA at once; with `kek` a new KEK too.
  Status rekey_now(TimePoint now, std::string_view group, bool kek = false);
  /// Replaces a group's policy (the name stays): distributes the new SAs and exclusions, and
  /// deletes what is gone after the deactivation delay. Entries that did not change keep their
  /// keys.
  Status update_policy(TimePoint now, GroupPolicy policy);
  /// Removes a member: deletes all keys of the group, so that everybody registers again for new
  /// ones; the removed identity is refused until admit_member.
  Status remove_member(TimePoint now, std::string_view group, MemberId member);
  Status admit_member(TimePoint now, std::string_view group, std::string_view identity);
  /// Deletes all keys; every member registers again (`clear crypto gdoi ks members`).
  Status clear_members(TimePoint now, std::string_view group);

  [[nodiscard]] std::vector<KsGroupStatus> status(TimePoint now) const;

  // ---- driven by the node ----------------------------------------------------------------------
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;
  /// True if the job was ours; `result` is then used up.
  bool on_job_done(TimePoint now, JobId id, JobResult& result);

  void on_phase1_closed(TimePoint now, ike::Phase1Id id, const Error& why) override;
  void on_protected(TimePoint now, const ike::Phase1Info& info, const ike::Header& header,
                    const Datagram& datagram) override;
  void on_unprotected(TimePoint now, const ike::Header& header, const Datagram& datagram) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cohort::gdoi
