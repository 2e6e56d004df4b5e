#pragma once

#include <deque>
#include <map>
#include <variant>
#include <vector>

#include "controlplane/ike/isakmp.hpp"
#include "controlplane/ike/main_mode.hpp"
#include "controlplane/ike/sa_store.hpp"

namespace cohort::ike {

inline constexpr std::uint8_t nat_keepalive = 0xff;  ///< RFC 3948 section 2.3, the whole datagram

/// The inside of Isakmp, over several sources: isakmp.cpp (entries and dispatch), phase1_life.cpp
/// (from the first message to the end of an SA, timers), informational.cpp, transmission.cpp.
struct Isakmp::Impl {
  Impl(World& world_in, IsakmpOptions options_in)
      : world(world_in), options(std::move(options_in)) {}

  /// What handlers have to be told, after the work that led to it is done.
  struct Established {
    Phase1Id id;
  };
  struct Closed {
    Phase1Id id;
    Error why;
  };
  using Notice = std::variant<Established, Closed>;

  /// Marks one entry from outside. The outermost one tells the handlers what has happened, so that
  /// a handler can call back without finding anything half done, and then lets go of closed SAs.
  class Entry {
   public:
    Entry(Impl& impl, TimePoint now) : impl_(impl), now_(now) { ++impl_.depth; }
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    Impl& impl_;
    TimePoint now_;
  };

  // isakmp.cpp
  void dispatch(TimePoint now, const Datagram& datagram);
  void on_exchange(TimePoint now, const Header& header, const Datagram& datagram);
  void on_fragment(TimePoint now, const Header& header, const Datagram& datagram);
  void refuse(Error error, const Endpoint& peer);
  void tell_handlers(TimePoint now);

  // phase1_life.cpp
  Phase1Id begin(TimePoint now, const Endpoint& remote, std::optional<Phase1Id> replaces);
  void on_main_mode(TimePoint now, const Header& header, const Datagram& datagram);
  void on_first_message(TimePoint now, const Header& header, const Datagram& datagram);
  [[nodiscard]] Status make_room(TimePoint now, const IpAddress& address);
  void on_job(TimePoint now, Phase1Sa& sa, JobResult result);
  void apply(TimePoint now, Step& step, Outcome outcome);
  void establish(TimePoint now, Phase1Sa& sa);
  void forget_older(TimePoint now, const Phase1Sa& newest);
  void bound_peer(TimePoint now, const Phase1Sa& newest);
  void drop(TimePoint now, Phase1Sa& sa, Error why, bool tell_peer);
  void on_due(TimePoint now, Phase1Sa& sa);
  void repeat(TimePoint now, Phase1Sa& sa);
  void ask_if_alive(TimePoint now, Phase1Sa& sa);
  void schedule(Phase1Sa& sa);
  [[nodiscard]] bool knows_peer(const Phase1Sa& except) const;

  // informational.cpp
  void on_informational(TimePoint now, const Header& header, const Datagram& datagram);
  void on_unprotected_informational(const Header& header, const Datagram& datagram, Phase1Sa* sa);
  void on_notify(TimePoint now, Phase1Sa& sa, const Notify& notify);
  void on_verdict(TimePoint now, Phase1Sa& sa, std::string said);
  void on_dpd(TimePoint now, Phase1Sa& sa, const Notify& notify);
  void on_delete(TimePoint now, Phase1Sa& sa, const Delete& del);
  void send_notify(Phase1Sa& sa, NotifyType type, ByteView data);
  void send_delete(Phase1Sa& sa);
  void send_protected(Phase1Sa& sa, PayloadType type, ByteView body);
  void send_clear_notify(const Header& about, const Datagram& from, NotifyType type);
  void tell_failure(Step& step, const Error& why, bool and_delete);

  // transmission.cpp
  void transmit(Phase1Sa& sa, ByteView message);
  void send_datagram(const Endpoint& local, const Endpoint& remote, Bytes payload);
  [[nodiscard]] bool has_marker(const Endpoint& local) const;
  /// The ISAKMP message in a datagram, without a marker.
  [[nodiscard]] Result<ByteView> message_in(const Datagram& datagram) const;

  World& world;
  IsakmpOptions options;
  SaStore sas;
  std::map<ExchangeType, ExchangeHandler*> by_type;
  std::vector<ExchangeHandler*> handlers;  // each once
  std::map<JobId, Phase1Id> jobs;
  std::uint64_t last_id = 0;
  unsigned depth = 0;
  std::deque<Notice> notices;
  std::vector<std::unique_ptr<Phase1Sa>> closed;  // until the outermost entry ends
};

}  // namespace cohort::ike
