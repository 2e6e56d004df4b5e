#pragma once

#include <memory>
#include <optional>

#include "controlplane/ike/message.hpp"
#include "controlplane/ike/options.hpp"
#include "controlplane/ike/secure_exchange.hpp"
#include "controlplane/world/world.hpp"

namespace cohort::ike {

/// Names one phase 1 SA for its whole life; never reused.
struct Phase1Id {
  std::uint64_t value = 0;
  auto operator<=>(const Phase1Id&) const = default;
};

/// What upper exchanges may know of an established phase 1.
struct Phase1Info {
  Phase1Id id;
  Endpoint local;
  Endpoint remote;
  bool initiator = false;
  PeerIdentity peer;
  Phase1Policy transform;
  TimePoint established;
  TimePoint expires;
  /// The older SA with the same peer that this one re-keys; the old one lives on until it expires
  /// or is closed, so that exchanges under it can end.
  std::optional<Phase1Id> replaces;
  /// Sent our vendor id. Nothing authenticates a vendor id: to show, not to decide by.
  bool peer_is_cohort = false;
};

/// An exchange above phase 1 (GROUPKEY-PULL, COOP) or beside it (GROUPKEY-PUSH and its ACK).
class ExchangeHandler {
 public:
  virtual ~ExchangeHandler() = default;
  /// Phase 1 life, for every SA of the Isakmp it is attached to. `closed` also follows a failure
  /// before it was established, with its reason.
  virtual void on_phase1_established(TimePoint, const Phase1Info&) {}
  virtual void on_phase1_closed(TimePoint, Phase1Id, const Error&) {}
  /// An authenticated Notify from the peer of an established phase 1, other than DPD and
  /// INITIAL-CONTACT. `spi` and `data` are the payload's; views live for the call only.
  virtual void on_notify(TimePoint, const Phase1Info&, NotifyType, ByteView /*spi*/,
                         ByteView /*data*/) {}
  /// A datagram of the attached exchange type whose cookies name an established phase 1. Still
  /// encrypted: open it with the exchange's SecureExchange.
  virtual void on_protected(TimePoint, const Phase1Info&, const Header&, const Datagram&) {}
  /// A datagram of the attached exchange type whose cookies name no phase 1.
  virtual void on_unprotected(TimePoint, const Header&, const Datagram&) {}
};

/// IKEv1 phase 1 in both roles, its Informational exchange, DPD and fragmentation, over any number
/// of peers (RFC 2408, 2409, 3706); dispatches everything else to the attached handlers. One
/// control-plane thread.
class Isakmp final : public Node {
 public:
  Isakmp(World& world, IsakmpOptions options);
  ~Isakmp() override;

  /// Handlers outlive this object. Type 0 receives only the phase 1 events.
  void attach(ExchangeType type, ExchangeHandler& handler);

  /// Starts main mode towards `remote`, or finds the one that is established or under way. The
  /// outcome comes as an event to the handlers, never from within this call; for an SA that is
  /// established already (find() knows it) there is no further event.
  Phase1Id initiate(TimePoint now, const Endpoint& remote);
  /// Whether there is something to authenticate with towards `remote`: a certificate or a
  /// pre-shared key that a configured policy can use. Without it, initiate() can only fail.
  [[nodiscard]] bool can_initiate(const Endpoint& remote) const;
  [[nodiscard]] const Phase1Info* find(Phase1Id id) const;  ///< established ones only
  [[nodiscard]] std::vector<Phase1Info> established() const;

  /// The cryptographic state for one exchange with its own message id under a phase 1.
  [[nodiscard]] Result<SecureExchange> begin_exchange(Phase1Id id, std::uint32_t message_id) const;
  /// Sends a whole ISAKMP message to the phase 1's peer, in fragments if needed and agreed.
  void send(Phase1Id id, ByteView message);
  /// Sends a whole ISAKMP message that belongs to no phase 1 (GROUPKEY-PUSH and its answer), never
  /// in fragments; from the NAT traversal port with the marker that RFC 3948 section 2.2 wants
  /// there.
  void send_unprotected(const Endpoint& local, const Endpoint& remote, ByteView message);
  /// Whether datagrams at this end of ours carry that marker: its peer is behind a NAT, and reached
  /// from this port alone.
  [[nodiscard]] bool on_nat_port(const Endpoint& local) const;
  /// Sends an Informational with a Notify or Delete under the phase 1.
  void notify(TimePoint now, Phase1Id id, NotifyType type, ByteView data = {});
  /// Tells the peer (Delete) and forgets the SA; handlers get on_phase1_closed.
  void close(TimePoint now, Phase1Id id, const Reason& why);
  /// An answer is awaited from the peer: with on-demand DPD, ask whether it lives.
  void expect_answer(TimePoint now, Phase1Id id);
  /// An upper exchange has authenticated a message of the peer, which therefore lives (DPD).
  void heard(TimePoint now, Phase1Id id);

  void on_datagram(TimePoint now, const Datagram& datagram) override;
  void on_timer(TimePoint now) override;
  [[nodiscard]] TimePoint next_deadline() const override;
  void on_job_done(TimePoint now, JobId id, JobResult result) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cohort::ike
