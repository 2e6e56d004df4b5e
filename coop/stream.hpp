#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/time.hpp"
#include "coop/messages.hpp"
#include "coop/replica.hpp"

/// Reliable, ordered transport of changed items between two servers: docs/coop-protocol.md section
/// 5.2. An acknowledged change is one that the peer has stored.
namespace cohort::coop {

/// Our stream to one peer.
class StreamSender {
 public:
  static constexpr std::size_t window = 16;  ///< DATA messages not yet acknowledged

  explicit StreamSender(Duration retransmit_first = std::chrono::seconds(1),
                        Duration retransmit_max = std::chrono::seconds(20))
      : first_(retransmit_first), max_(retransmit_max), wait_(retransmit_first) {}

  /// Begins a stream: with `from_scratch` at the first change, as the peer holds nothing, else at
  /// the last one that it acknowledged.
  void restart(bool from_scratch);
  /// Ends the stream: the peer can't be reached.
  void stop();
  [[nodiscard]] bool running() const { return running_; }

  using Send = std::function<void(Data)>;
  /// Sends what the window allows: first what timed out, then new changes.
  void pump(TimePoint now, const Replica& replica, const IpAddress& peer, const Send& send);
  void on_ack(TimePoint now, const Ack& ack);
  [[nodiscard]] TimePoint deadline() const { return deadline_; }

  /// Whether the peer has stored every change up to `change`, but those that came from it.
  [[nodiscard]] bool holds(const Replica& replica, const IpAddress& peer,
                           std::uint64_t change) const;
  [[nodiscard]] std::uint64_t acknowledged_change() const { return acknowledged_; }
  [[nodiscard]] std::uint64_t retransmissions() const { return retransmissions_; }

 private:
  struct Mark {
    std::uint64_t end;     // offset behind the record
    std::uint64_t change;  // that it carries
  };
  void fill(const Replica& replica, const IpAddress& peer);

  Duration first_, max_, wait_;
  /// An octet offset whose acknowledgement is timed, if nothing was sent again meanwhile.
  std::optional<std::pair<std::uint64_t, TimePoint>> timed_;
  bool running_ = false;
  std::uint32_t number_ = 0;
  std::uint64_t base_ = 0;     // offset of buffer_[0]: acknowledged
  std::uint64_t sent_ = 0;     // offset of the next octet to send
  std::uint64_t highest_ = 0;  // offset behind the last octet ever sent
  WipedBytes buffer_;
  std::deque<Mark> marks_;
  std::uint64_t acknowledged_ = 0, queued_ = 0;  // changes
  TimePoint deadline_ = never;
  std::uint64_t retransmissions_ = 0;
};

/// One peer's stream to us.
class StreamReceiver {
 public:
  /// The peer is a new incarnation.
  void reset();

  struct Taken {
    std::vector<WipedBytes> records;  ///< whole ones, in order
    bool acknowledge = false;
  };
  /// Fails with coop_record if the stream can't be what a sender makes; it is then dead until a
  /// higher number comes.
  Result<Taken> take(const Data& data);
  /// What to acknowledge once everything taken is stored.
  [[nodiscard]] Ack ack() const { return {number_, expected_}; }

 private:
  std::uint32_t number_ = 0;
  std::uint64_t expected_ = 0;
  bool broken_ = false;
  WipedBytes partial_;
  std::map<std::uint64_t, WipedBytes> early_;  ///< by offset, within the window
};

}  // namespace cohort::coop
