#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/ike/isakmp.hpp"
#include "coop/channel.hpp"
#include "coop/group.hpp"

namespace cohort::coop {

/// Co-operation of key servers for any number of groups, above one Isakmp: keeps a phase 1 with
/// each peer, lets only authorised key servers speak, and hands each group its messages
/// (docs/coop-protocol.md). One control-plane thread.
class Coop final : public ike::ExchangeHandler {
 public:
  /// Attaches itself to `isakmp` for exchange 245; outlives it.
  Coop(World& world, ike::Isakmp& isakmp);
  ~Coop() override;

  /// Reads the group's stored state and begins to look for its peers. Fails for bad options and
  /// damaged state.
  Status add_group(TimePoint now, Options options);
  Status remove_group(std::string_view name);
  /// Null if there is no such group. Lives until remove_group.
  [[nodiscard]] Group* find(std::string_view name);
  [[nodiscard]] std::vector<GroupStatus> status(TimePoint now) const;

  // ---- driven by the node ----------------------------------------------------------------------
  void on_timer(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

  void on_phase1_established(TimePoint now, const ike::Phase1Info& info) override;
  void on_phase1_closed(TimePoint now, ike::Phase1Id id, const Error& why) override;
  void on_protected(TimePoint now, const ike::Phase1Info& info, const ike::Header& header,
                    const Datagram& datagram) override;
  void on_unprotected(TimePoint now, const ike::Header& header, const Datagram& datagram) override;

 private:
  struct Line {  // the way to one peer, shared by all groups
    Endpoint remote;
    TimePoint next_try = never;
    Duration retry{};
    Duration silence{};  ///< after so long without a word a phase 1 is thought to be stale
  };

  [[nodiscard]] Status authorized(const Options& options, const PeerIdentity& peer,
                                  const IpAddress& from) const;
  /// Whether a group takes the peer of a session for a key server.
  [[nodiscard]] bool trusted(const Session& session) const;
  /// The session to send under: the newest with that key server, in that group or else in any.
  [[nodiscard]] Session* session_to(const IpAddress& peer, const Options* group = nullptr);
  Sent transmit(const Options& options, const IpAddress& peer, Message message);
  void refuse_stranger(Session& session, const Error& why, std::string_view group);
  void update_lines(TimePoint now);
  void drop_stale(TimePoint now);
  [[nodiscard]] TimePoint stale_at(const Session& session, const Line& line) const;

  World& world_;
  ike::Isakmp& isakmp_;
  std::map<std::string, std::unique_ptr<Group>, std::less<>> groups_;
  std::map<std::string, unsigned, std::less<>> handles_;
  std::map<IpAddress, Line> lines_;
  std::map<ike::Phase1Id, Session> sessions_;
  unsigned last_handle_ = 0;
};

}  // namespace cohort::coop
