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

/// Where a member is with its registration; gdoi/member_states.hpp has the table.
enum class MemberState : std::uint8_t {
  stopped,     ///< not yet started, or left
  connecting,  ///< phase 1 under way
  requesting,  ///< GROUPKEY-PULL message 1 sent
  proving,     ///< message 3 sent
  registered,
  waiting  ///< every server failed: backing off
};
[[nodiscard]] std::string_view name_of(MemberState state);  ///< "Registered", …

/// One SA under "TEK POLICY".
struct GmTekStatus {
  std::uint32_t spi = 0;
  dataplane::Suite suite{};
  std::string transform;  ///< "esp-256-aes esp-sha256-hmac", "esp-gcm 256"
  std::chrono::seconds remaining{0};
  dataplane::ReplayKind replay{};
  std::uint16_t replay_window = 0;  ///< counter: packets; time: ms
  unsigned cipher_key_octets = 0, integrity_key_octets = 0;
  bool sending = false;  ///< at least one entry sends with it now
  std::vector<std::uint32_t> sender_ids;
  std::vector<std::string> acl;  ///< the entries that it protects
};

/// The group's time, where an SA goes by it.
struct GmTimeStatus {
  std::int64_t group_time_ms = 0;
  std::chrono::seconds told_ago{0};     ///< by the key server
  std::int64_t correction_ms = 0;       ///< by which that moved our clock
  std::optional<std::int32_t> skew_ms;  ///< of authentic packets against our clock
};

struct GmKekStatus {
  KekSpi spi{};
  RekeyTransport transport{};
  std::chrono::seconds remaining{0};
  crypto::Cipher cipher{};
  crypto::Hash signature_hash{};
  std::size_t signature_key_bits = 0;
  std::uint32_t seq = 0;  ///< last accepted
  bool acknowledge = false;
};

/// `show crypto gkm group NAME` on a member.
struct GroupMemberStatus {
  std::string name;
  GroupId id;
  std::string group_type = "GDOI (ISAKMP)";
  std::string crypto_path = "ipv4", key_management_path = "ipv4";
  std::string sa_direction = "Both";
  std::vector<Endpoint> servers;
  std::string port_pair;
  MemberState state = MemberState::stopped;
  bool registered = false;  ///< holds usable keys, also while it registers again
  Endpoint local, remote;   ///< of the latest phase 1
  std::string version;
  std::optional<Endpoint> registered_with;
  std::optional<std::chrono::seconds> reregisters_in;
  std::uint64_t registrations_succeeded = 0, registrations_attempted = 0;
  std::optional<Endpoint> last_rekey_from;
  std::uint32_t last_rekey_seq = 0;
  std::optional<std::chrono::seconds> last_rekey_ago;
  std::uint64_t rekeys_received = 0, unicast_rekeys_received = 0, rekey_acks_sent = 0;
  std::uint64_t rekeys_since_registration = 0;
  std::uint64_t rekeys_refused = 0;  ///< PUSHes that failed a check
  std::uint64_t pfs_rekeys = 0;      ///< that replaced the KEK and brought new TEKs at once
  std::string last_failure;          ///< of a registration, empty after a success
  bool fail_close = true;
  bool fail_close_revert = false;
  bool dp_error_monitoring = false;
  std::uint32_t unknown_spi = 0;  ///< the last one that came, 0 for none
  std::uint64_t unknown_spi_registrations = 0;
  std::uint64_t unknown_spi_postponed = 0;  ///< a reason to register that met a pause
  std::uint64_t time_registrations = 0;     ///< to ask for the group's time
  std::optional<GmTimeStatus> time;
  std::string allowed_rekey_cipher = "any", allowed_rekey_hash = "any";
  std::string allowed_transforms = "any ESP";
  std::vector<std::string> acl;        ///< downloaded, in order
  std::vector<std::string> local_acl;  ///< our own exclusions
  std::optional<GmKekStatus> kek;
  std::vector<GmTekStatus> teks;
};

/// The GDOI member of any number of groups, above one Isakmp: registers (GROUPKEY-PULL), takes
/// rekeys (GROUPKEY-PUSH), acknowledges them (RFC 8263), and keeps the dataplane's policy and SAs
/// right: a new SA is received on at once, sent with after the activation delay, and an old one
/// received on until its end. One control-plane thread.
class GroupMember final : public ike::ExchangeHandler {
 public:
  /// Attaches itself to `isakmp` for exchanges 32 and 33; outlives it.
  GroupMember(World& world, ike::Isakmp& isakmp);
  ~GroupMember() override;

  /// Applies the policy of "before the first registration" to the port pair and starts to register.
  Status add_group(TimePoint now, GroupMemberOptions options);
  /// Leaves a group: its keys are wiped and the port pair goes back to "before registration".
  Status remove_group(TimePoint now, std::string_view name);
  /// Registers again now, from the first server of the list (`clear crypto gkm`). Old keys serve
  /// until the new ones are there.
  Status register_now(TimePoint now, std::string_view name);

  [[nodiscard]] std::vector<GroupMemberStatus> status(TimePoint now) const;

  // ---- driven by the node ----------------------------------------------------------------------
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;
  /// True if the job was ours. A member posts none today; the node asks everybody alike.
  bool on_job_done(TimePoint now, JobId id, JobResult& result);

  void on_phase1_established(TimePoint now, const ike::Phase1Info& info) override;
  void on_phase1_closed(TimePoint now, ike::Phase1Id id, const Error& why) override;
  void on_notify(TimePoint now, const ike::Phase1Info& info, ike::NotifyType type, ByteView spi,
                 ByteView data) override;
  void on_protected(TimePoint now, const ike::Phase1Info& info, const ike::Header& header,
                    const Datagram& datagram) override;
  void on_unprotected(TimePoint now, const ike::Header& header, const Datagram& datagram) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cohort::gdoi
