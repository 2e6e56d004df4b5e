#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>

#include "controlplane/ike/isakmp.hpp"
#include "gdoi/group_member.hpp"
#include "gdoi/groupkey_pull.hpp"
#include "gdoi/member_keys.hpp"
#include "gdoi/member_states.hpp"
#include "gdoi/time_doubt.hpp"
#include "gdoi/unknown_spi.hpp"

namespace cohort::gdoi {

/// One group at one member: registers with one of its key servers, takes its rekeys, and tells the
/// dataplane. GroupMember dispatches to it.
class MemberGroup {
 public:
  MemberGroup(World& world, ike::Isakmp& isakmp, GroupMemberOptions options);

  Status start(TimePoint now);
  void stop(TimePoint now);
  void register_now(TimePoint now, std::string_view why);

  void on_phase1_established(TimePoint now, const ike::Phase1Info& info);
  void on_phase1_closed(TimePoint now, ike::Phase1Id id, const Error& why);
  void on_notify(TimePoint now, const ike::Phase1Info& info, ike::NotifyType type, ByteView data);
  /// Whether a PULL message is for us; then it is taken.
  bool on_pull(TimePoint now, const ike::Phase1Info& info, const ike::Header& header,
               const Datagram& datagram);
  /// Whether a PUSH came under a KEK of ours; then it is taken.
  bool on_push(TimePoint now, const ike::Header& header, const Datagram& datagram);
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

  [[nodiscard]] GroupMemberStatus status(TimePoint now) const;
  [[nodiscard]] const GroupMemberOptions& options() const { return options_; }

 private:
  struct Counters {
    std::uint64_t attempted = 0, succeeded = 0;
    std::uint64_t rekeys = 0, unicast_rekeys = 0, since_registration = 0, refused = 0, acks = 0;
    std::uint64_t unknown_spi = 0, time_asked = 0, pfs_rekeys = 0;
  };
  struct Attempt {
    std::optional<ike::Phase1Id> phase1;
    std::optional<PullInitiator> pull;
    std::optional<OfferedPolicy> offer;
    TimePoint asked{}, offered{};  ///< message 1, for the first time; message 2
    Bytes message;                 ///< to send again
    TimePoint resend_at = never, give_up_at = never;
    Duration interval{0};
    unsigned tries_left = 0;
    bool reused = false;     ///< over a phase 1 that was there already
    bool overtaken = false;  ///< by a rekey that came since we asked
  };

  // Registration (member_group.cpp).
  void advance(MemberEvent event);
  void begin_attempt(TimePoint now);
  [[nodiscard]] bool lacks_credentials() const;
  void wait_for_credentials(TimePoint now);
  void begin_pull(TimePoint now, const ike::Phase1Info& info, bool reused);
  void send_pull(TimePoint now, Bytes message);
  void fail_attempt(TimePoint now, const Error& why);
  void ask_again(TimePoint now, const Error& why);
  void take_offer(TimePoint now, const Datagram& datagram);
  void take_keys(TimePoint now, const ike::Phase1Info& info, const Datagram& datagram);
  void unreadable(TimePoint now, const Error& why);
  void reject(TimePoint now, const Error& why);
  void plan_reregistration(TimePoint now);
  [[nodiscard]] Duration attempt_limit(TimePoint now) const;
  void resend_or_give_up(TimePoint now);

  // Rekeys (member_rekey.cpp).
  Status take_push(TimePoint now, MemberKek& kek, const ike::Header& header,
                   const Datagram& datagram);
  Status apply_push(TimePoint now, const OpenedPush& opened, const MemberKek& under,
                    const Datagram& datagram);
  void after_change(TimePoint now, const MemberKeys::Change& change);
  void acknowledge(TimePoint now, const MemberKek& kek, std::uint32_t seq,
                   const Datagram& datagram);
  void send_due_acks(TimePoint now);

  // The dataplane (member_dataplane.cpp).
  void install(TimePoint now);
  void on_keys_timer(TimePoint now);
  void look_at_usage(TimePoint now);
  void look_at_unknown_spis(TimePoint now, const dataplane::Usage& usage);
  void follow_unknown_spi(TimePoint now);
  void look_at_time(TimePoint now, const dataplane::Usage& usage);
  void ask_for_time(TimePoint now);
  void follow_multicast();
  [[nodiscard]] std::vector<GmTekStatus> tek_status(TimePoint now) const;
  [[nodiscard]] std::optional<GmTimeStatus> time_status(TimePoint now) const;
  void report(const EventKind& kind,
              std::vector<std::pair<std::string_view, std::string>> fields = {}) const;

  World& world_;
  ike::Isakmp& isakmp_;
  GroupMemberOptions options_;
  MemberKeys keys_;
  MemberState state_ = MemberState::stopped;
  Attempt attempt_;
  std::size_t server_ = 0;         ///< index of the one being tried
  std::size_t failed_in_row_ = 0;  ///< servers, since the walk over the list began
  Duration backoff_{0};
  unsigned overtaken_ = 0;           ///< attempts in a row that a change of the group has overtaken
  TimePoint attempt_at_ = never;     ///< start of the next attempt
  TimePoint reregister_at_ = never;  ///< before the keys end
  TimePoint install_retry_at_ = never;
  TimePoint keys_next_ = never;  ///< when the keys change by themselves
  TimePoint usage_at_ = never;
  std::set<std::uint32_t> exhausted_;  ///< SPIs whose exhaustion was acted upon
  UnknownSpiWatch unknown_spis_;
  TimeDoubt time_doubt_;
  bool had_keys_ = false;
  bool awaits_credentials_ = false;  ///< and has said so

  struct PendingAck {
    TimePoint when;
    Datagram datagram;
  };
  std::deque<PendingAck> acks_;
  std::optional<IpAddress> joined_;  ///< multicast group of the rekeys

  Counters counters_;
  Endpoint local_, remote_;
  std::optional<Endpoint> registered_with_, last_rekey_from_;
  std::uint32_t last_rekey_seq_ = 0;
  std::optional<TimePoint> last_rekey_at_;
  std::string last_failure_;
};

}  // namespace cohort::gdoi
