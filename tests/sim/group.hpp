#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/ike/isakmp.hpp"
#include "coop/authority.hpp"
#include "coop/coop.hpp"
#include "gdoi/group_member.hpp"
#include "gdoi/key_server.hpp"
#include "tests/sim/host.hpp"
#include "tests/sim/traffic.hpp"

namespace cohort::sim {

inline constexpr std::string_view group_name = "SIM";

/// How several key servers co-operate.
struct CoopSettings {
  coop::Timers timers;
  coop::KeySource key_source = coop::KeySource::derived;
  coop::EvictInPartition evict_in_partition = coop::EvictInPartition::now;
  std::chrono::seconds refresh_after{86'400};
  bool preempt = false;
  std::vector<std::uint16_t> priorities;  ///< by server; empty: 100, 99, and so on
};

/// A whole group: what it is made of and how its parts are configured.
struct GroupOptions {
  std::uint64_t seed = 1;
  bool echo = false;  ///< print the event log as it grows
  unsigned key_servers = 1;
  unsigned members = 3;
  CoopSettings coop;  ///< with more than one key server
  std::chrono::seconds state_trust{0};
  bool certificates = false;  ///< else pre-shared keys
  crypto::DhGroup dh_group = crypto::DhGroup::ecp256;
  gdoi::GroupPolicy policy;  ///< name, id, authorization and signing key are filled in
  ike::DpdOptions dpd;
  std::size_t fragment_size = 1280;
  unsigned sender_ids = 1;
  std::chrono::seconds reregister_lead{60};
  LinkOptions link;
  Traffic::Options traffic;
  int drift_ppm_max = 0;
  Duration job_time_max = std::chrono::milliseconds(2);
};

/// A policy with short lives, one SA over all sites. Two members or fewer may use counter replay;
/// an SA with more senders can't.
[[nodiscard]] gdoi::GroupPolicy small_policy(unsigned members);

/// The nodes of one machine, wired as the daemon wires them: one Isakmp, and above it a key server
/// or a member.
class GroupProgram final : public Program, public Node {
 public:
  struct Role {
    ike::IsakmpOptions isakmp;
    std::optional<coop::Options> coop;
    std::optional<gdoi::KeyServerOptions> key_server;
    std::optional<gdoi::GroupMemberOptions> member;
  };
  GroupProgram(Host& host, Role role);
  ~GroupProgram() override;

  void on_datagram(TimePoint now, const Datagram& datagram) override;
  void on_timer(TimePoint now) override;
  [[nodiscard]] TimePoint next_deadline() const override;
  void on_job_done(TimePoint now, JobId id, JobResult result) override;

  /// Exchange handlers outlive the Isakmp that they are attached to: it is declared last.
  std::unique_ptr<coop::Coop> coop;
  std::unique_ptr<coop::Authority> key_authority;  ///< goes before the group that it speaks of
  std::unique_ptr<gdoi::KeyServer> key_server;
  std::unique_ptr<gdoi::GroupMember> member;
  std::unique_ptr<ike::Isakmp> isakmp;
  std::optional<Error> failed;  ///< why add_group refused
};

/// A group in its own outside, ready to boot.
class Group {
 public:
  explicit Group(GroupOptions options);
  ~Group();

  void boot_servers();
  void boot_members();
  void boot() { boot_servers(), boot_members(); }

  // ---- the parts -------------------------------------------------------------------------------
  [[nodiscard]] Outside& outside() { return outside_; }
  [[nodiscard]] Network& network() { return outside_.network; }
  [[nodiscard]] Judge& judge() { return outside_.judge; }
  [[nodiscard]] Traffic& traffic() { return *traffic_; }
  [[nodiscard]] const GroupOptions& options() const { return options_; }
  [[nodiscard]] Authority& authority() { return authority_; }
  [[nodiscard]] std::size_t servers() const { return servers_.size(); }
  [[nodiscard]] std::size_t members() const { return members_.size(); }
  [[nodiscard]] Host& server(std::size_t i = 0) { return *servers_[i]; }
  [[nodiscard]] Host& member(std::size_t i) { return *members_[i]; }
  [[nodiscard]] bool is_server(const Host& host) const;
  [[nodiscard]] std::optional<std::size_t> member_index(const Host& host) const;
  [[nodiscard]] static IpAddress server_address(std::size_t i);
  [[nodiscard]] static IpAddress member_address(std::size_t i);
  [[nodiscard]] static IpAddress inside_address(std::size_t i);  ///< of a host behind member i
  /// Null while the host is down.
  [[nodiscard]] static GroupProgram* program(Host& host);

  // ---- what it looks like from the operator's chair --------------------------------------------
  /// Empty while the server is down, or refused its stored state.
  [[nodiscard]] const gdoi::KsGroupStatus* server_status(std::size_t i = 0);
  /// Null while the server is down, or alone by configuration.
  [[nodiscard]] coop::Group* coop_group(std::size_t i);
  /// The servers that call themselves primary now; one that is paused says nothing.
  [[nodiscard]] std::vector<std::size_t> primaries();
  /// Where an operator would give a command: the primary, or else a server that is up.
  [[nodiscard]] std::size_t acting();
  /// Whether every key server is up and has a group.
  [[nodiscard]] bool all_servers_speak();
  /// One primary, which every server follows in one epoch and whose state every one has.
  [[nodiscard]] bool agreed() { return disagreement().empty(); }
  [[nodiscard]] std::string disagreement();
  [[nodiscard]] std::optional<gdoi::GroupMemberStatus> member_status(std::size_t i);
  /// The key servers agree, every member that is meant to be in has keys, and all send with an SPI
  /// that the primary knows and has not superseded.
  [[nodiscard]] bool converged();
  [[nodiscard]] std::string describe();  ///< why it has not converged

  // ---- an operator's commands, on the acting key server ----------------------------------------
  void rekey(bool kek = false, std::optional<std::size_t> at_server = {});
  /// At every key server. Identity fields are filled in.
  void update_policy(const gdoi::GroupPolicy& policy);
  /// False if the server does not know the member now. Whether it took effect, which a disk error
  /// or a death in the middle leaves open, is what the server says afterwards: removed().
  bool remove_member(std::size_t i, std::optional<std::size_t> at_server = {});
  void admit_member(std::size_t i);
  void clear_members();
  void elect(std::size_t at_server);
  /// The way out when a server refuses its damaged state: starts it with an empty disk. Keys of
  /// before are as good as deleted, and what was removed may come back.
  void start_anew(std::size_t i);
  /// To be called before it comes to that.
  void note_disk_loss(std::size_t i);
  [[nodiscard]] const gdoi::GroupPolicy& policy() const { return options_.policy; }
  [[nodiscard]] const std::set<std::size_t>& removed() const { return removed_; }
  /// SPIs that were deleted before their end, by an operator's command: readable no longer.
  [[nodiscard]] const std::set<std::uint32_t>& withdrawn() const { return withdrawn_; }
  /// A key server has said that it deletes every key.
  void withdraw_all() { withdrawn_.insert(known_.begin(), known_.end()); }
  /// A key server's wall clock was stepped: what it estimates after a restart may be wrong.
  void bend_time() { time_bent_ = true; }
  [[nodiscard]] bool time_bent() const { return time_bent_; }
  /// How long servers were down, all together.
  [[nodiscard]] Duration downtime() const;
  /// When a member was removed, and the SPIs that the group had until then.
  struct Removal {
    TimePoint at;
    std::set<std::uint32_t> known;
  };
  [[nodiscard]] const std::map<std::size_t, Removal>& removals() const { return removals_; }
  /// Of a member that one tried to remove; empty for others.
  [[nodiscard]] std::string identity_of(std::size_t member) const {
    const auto known = identities_.find(member);
    return known == identities_.end() ? std::string() : known->second;
  }

  // ---- time ------------------------------------------------------------------------------------
  [[nodiscard]] TimePoint now() const { return outside_.scheduler.now(); }
  /// Runs on; stops early when an oracle objects.
  void run_for(Duration span);
  /// True as soon as `condition` holds (asked about every 100 ms of virtual time).
  bool run_until(const std::function<bool()>& condition, Duration limit);

 private:
  [[nodiscard]] gdoi::GroupPolicy complete(gdoi::GroupPolicy policy) const;
  [[nodiscard]] coop::Options coop_options(std::size_t i) const;
  [[nodiscard]] GroupProgram::Role server_role(std::size_t i) const;
  [[nodiscard]] GroupProgram::Role member_role(std::size_t i) const;
  [[nodiscard]] ike::IsakmpOptions isakmp_options(const IpAddress& local) const;
  std::unique_ptr<Host> make_host(const std::string& name, const IpAddress& address,
                                  const std::string& unit, ProgramFactory factory);
  void learn_removals(std::size_t i, const gdoi::KsGroupStatus& status);
  void command(std::size_t i, const std::function<void(GroupProgram&, TimePoint)>& action);
  [[nodiscard]] std::string describe_member(std::size_t i, const gdoi::KsGroupStatus& primary,
                                            const std::set<std::uint32_t>& newest);
  [[nodiscard]] static bool lists(const std::vector<gdoi::KsMemberStatus>& listed, std::size_t i);
  [[nodiscard]] bool unknown_by_loss(std::size_t m);
  [[nodiscard]] std::optional<gdoi::KsGroupStatus> ask_server(std::size_t i);
  void set_policy(std::size_t i);
  void tick();

  /// A status of a large group costs more than many events: kept until the next event.
  struct Kept {
    std::uint64_t executed = ~std::uint64_t{0};
    std::optional<gdoi::KsGroupStatus> status;
  };

  GroupOptions options_;
  Outside outside_;
  std::vector<Kept> kept_;
  Authority authority_;
  std::vector<std::unique_ptr<Host>> servers_;
  std::vector<std::unique_ptr<Host>> members_;
  std::unique_ptr<Traffic> traffic_;
  std::set<std::size_t> removed_;
  std::map<std::size_t, Removal> removals_;  ///< tried, and not known to have failed
  std::set<std::uint32_t> withdrawn_;
  std::set<std::uint32_t> known_;                  ///< every SPI that a server has shown
  std::map<std::size_t, std::string> identities_;  ///< of members that one tried to remove
  std::vector<std::set<std::size_t>> removed_at_;  ///< by server: the removed members that it lists
  std::set<std::size_t> policy_due_;               ///< servers that missed a change of policy
  bool time_bent_ = false;
  /// Members that no server lists any more: boots and registrations when that came about.
  std::map<std::size_t, std::pair<std::uint64_t, std::uint64_t>> lost_;
};

}  // namespace cohort::sim
