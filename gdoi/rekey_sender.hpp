#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/ike/isakmp.hpp"
#include "gdoi/ks_state.hpp"
#include "gdoi/policy_wire.hpp"

namespace cohort::gdoi {

/// Brings rekeys to a group's members: signs, sends, sends again, counts acknowledgements.
///
/// Each transmission takes a new SEQ and is signed anew. RFC 6407 section 4.3 wants SEQ to grow by
/// one with each rekey datagram; a member that only lost its acknowledgement would discard a
/// repeated SEQ without a word; and of a rekey in several datagrams the first, once lost, could not
/// be repaired at all under its old SEQ. A member that has taken a rekey finds nothing new in the
/// repetition and acknowledges it. The price is a signature per round, not per member.
class RekeySender {
 public:
  RekeySender(World& world, ike::Isakmp& isakmp, KsGroupState& state, KsStore& store)
      : world_(world), isakmp_(isakmp), state_(state), store_(store) {}

  /// Sends `whole`, in as many datagrams as it takes, to every member of now (or the multicast
  /// address) under `under`. Stores the group's keys, with the SEQs, before anything is sent.
  Status start(TimePoint now, PushPlan whole, std::shared_ptr<RekeySa> under,
               std::string_view why) {
    return start(now, std::move(whole), std::move(under), why, false);
  }
  /// The same to those members only that know our private use numbers, which it may then carry; it
  /// says nothing that is new to the others.
  Status start_to_ours(TimePoint now, PushPlan whole, std::shared_ptr<RekeySa> under,
                       std::string_view why) {
    return start(now, std::move(whole), std::move(under), why, true);
  }
  /// A member has registered again, or was removed: nothing more is owed to it.
  void settle(MemberId member);

  /// The Rekey SA that these cookies name, if a rekey went out under it.
  [[nodiscard]] std::shared_ptr<RekeySa> sent_under(const ike::Header& header) const;
  Status on_ack(TimePoint now, const ike::Header& header, const Datagram& datagram);

  bool on_job_done(TimePoint now, JobId id, JobResult& result);
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;
  [[nodiscard]] bool idle() const { return rekeys_.empty(); }
  /// Members that have not answered as many whole rekeys as policy allows; given once.
  [[nodiscard]] std::vector<MemberId> take_silent() { return std::exchange(silent_, {}); }

 private:
  struct Recipient {
    MemberId id = 0;
    Endpoint remote, local;
    std::vector<bool> acknowledged;  ///< per datagram of the plan
    bool beyond = false;  ///< has answered under a newer KEK: it may not be able to read this one
    [[nodiscard]] bool complete() const;
  };
  struct Rekey {
    std::uint64_t id = 0;
    std::string why;  ///< for the operator
    std::shared_ptr<RekeySa> under;
    std::vector<PushPlan> plans;
    std::vector<Recipient> recipients;
    std::vector<std::pair<std::uint32_t, std::size_t>> sent;  ///< SEQ and index of its plan
    unsigned rounds_left = 0, rounds_done = 0;
    TimePoint started;
    TimePoint last_round{};
    TimePoint next = never;     ///< the next round, or the verdict
    bool acknowledged = false;  ///< are acknowledgements asked for?
    bool to_ours = false;
    /// Where it goes, empty for to each member. A rekey for ours alone spares the others of a mixed
    /// multicast group, who would refuse it, and perhaps register again.
    std::optional<Endpoint> multicast;
    [[nodiscard]] bool carries_kek() const;
  };
  struct Outgoing {
    std::uint64_t rekey = 0;
    std::size_t plan = 0;
    PreparedPush push;
    std::shared_ptr<RekeySa> under;
    JobId job = 0;
    std::optional<Bytes> signature;
    bool failed = false;
    bool again = false;
  };

  Status start(TimePoint now, PushPlan whole, std::shared_ptr<RekeySa> under, std::string_view why,
               bool to_ours);
  [[nodiscard]] TimePoint clear_of_others(const Rekey& rekey) const;
  [[nodiscard]] PushContext context(TimePoint now, bool to_ours) const;
  [[nodiscard]] Result<std::vector<std::uint32_t>> take_seqs(TimePoint now, const RekeySa& under,
                                                             std::size_t count) const;
  void round(TimePoint now, Rekey& rekey);
  [[nodiscard]] Result<std::vector<Outgoing>> prepare(TimePoint now, Rekey& rekey);
  [[nodiscard]] bool store_seqs(TimePoint now, Rekey& rekey, std::uint32_t seq_before,
                                std::size_t sent_before);
  void delay_activation(TimePoint now, const Rekey& rekey);
  void finish(Rekey& rekey);
  void flush();
  void deliver(const Outgoing& out, const Bytes& payload);
  [[nodiscard]] Endpoint source_for(const Endpoint& local) const;
  [[nodiscard]] Endpoint multicast_source(const Rekey& rekey) const;
  [[nodiscard]] static Recipient* recipient_of(Rekey& rekey, const Endpoint& from,
                                               const IpAddress& claimed);
  void announce(const Rekey& rekey) const;
  [[nodiscard]] bool everybody_answered(const Rekey& rekey) const;
  void note_beyond(MemberId member);

  World& world_;
  ike::Isakmp& isakmp_;
  KsGroupState& state_;
  KsStore& store_;
  std::deque<Rekey> rekeys_;
  std::deque<Outgoing> outgoing_;  ///< in the order of SEQ: signatures may come in another
  std::set<Bytes> recent_acks_;    ///< verified ones, for cheap refusal of copies
  std::deque<std::set<Bytes>::iterator> ack_order_;
  std::vector<MemberId> silent_;
  std::uint64_t last_id_ = 0;
};

}  // namespace cohort::gdoi
