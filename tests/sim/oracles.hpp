#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gdoi/keys.hpp"
#include "tests/sim/group.hpp"

/// What must never happen in a group, checked from outside the code under test: from datagrams,
/// installed snapshots, packets and, where nothing else tells, the operator's status.
namespace cohort::sim {

namespace oracle {
inline constexpr std::string_view spi_two_keys = "spi_two_keys";
inline constexpr std::string_view nonce_reuse = "nonce_reuse";
inline constexpr std::string_view seq_back = "seq_back";
inline constexpr std::string_view unauthentic_key = "unauthentic_key";
inline constexpr std::string_view evicted_reads = "evicted_reads";
inline constexpr std::string_view lifetime = "lifetime";
inline constexpr std::string_view unreadable = "unreadable";
inline constexpr std::string_view packet_lost = "packet_lost";
inline constexpr std::string_view clear_leak = "clear_leak";
inline constexpr std::string_view held_by_peers = "held_by_peers";
inline constexpr std::string_view limits = "limits";
inline constexpr std::string_view storm = "storm";
inline constexpr std::string_view liveness = "liveness";
inline constexpr std::string_view replay_accepted = "replay_accepted";
}  // namespace oracle

/// An SPI never means two keys, anywhere, ever; and every installed one was made by a key server.
/// In a calm network with several of them, each holds a key before any member does.
class KeyOracle final : public Observer {
 public:
  explicit KeyOracle(Group& group) : group_(group) {}
  void on_event(const Host& host, const Event& event) override;
  void on_installed(const Host& host, const dataplane::Snapshot& snapshot) override;
  void on_tick(TimePoint now) override;
  /// The servers lost their memory: nobody can say any more what they made.
  void amnesty() { unknown_.clear(), forgiving_ = true; }
  /// The network is whole, and loses nothing.
  void expect_calm(bool on) { calm_ = on; }

 private:
  void learn();
  void check_held(std::uint32_t spi);
  [[nodiscard]] bool made_by_server(std::uint32_t spi);
  [[nodiscard]] bool held_at(std::size_t server, std::uint32_t spi);
  Group& group_;
  std::unordered_map<std::uint32_t, std::uint64_t> key_of_;
  std::set<std::uint32_t> genuine_;
  std::map<std::uint32_t, std::string> unknown_;  ///< SPI, and where it was installed
  bool forgiving_ = false;
  bool learning_ = false;
  bool calm_ = false;
};

/// (key, sender id, counter) is never sent twice, whoever sends it.
class NonceOracle final : public Observer {
 public:
  explicit NonceOracle(Group& group) : group_(group) {}
  void on_packet_sent(const Host& host, const EspPacket& packet) override;

 private:
  struct Last {
    std::uint64_t counter;
    const Host* host;
  };
  Group& group_;
  std::map<std::pair<std::uint64_t, std::uint32_t>, Last> last_;
};

/// GROUPKEY-PUSH: under one KEK a sequence number is never given to two messages, by whichever key
/// server, and never goes back, neither at a key server (also across its restarts), nor from one
/// primary to the next, nor in what a member acknowledges.
class SequenceOracle final : public Observer {
 public:
  explicit SequenceOracle(Group& group) : group_(group) {}
  void on_sent(const Host& host, const Datagram& datagram) override;
  void on_event(const Host& host, const Event& event) override;
  void on_boot(const Host& host) override;
  void on_tick(TimePoint now) override;
  /// What this host sends under the KEKs of until now may have any number.
  void pardon(const Host& host);
  [[nodiscard]] std::uint64_t pushes() const { return pushes_; }
  [[nodiscard]] std::uint64_t acknowledgements() const { return acknowledgements_; }
  [[nodiscard]] std::uint64_t read() const { return read_; }

 private:
  using KekSpi = gdoi::KekSpi;
  struct Sent {
    std::uint32_t highest = 0;  ///< by anybody
    TimePoint at;               ///< when that was sent
    std::uint32_t settled = 0;  ///< the highest that everybody has had time to go beyond
    std::map<const Host*, std::uint32_t> by_host;
  };
  void on_push(const Host& host, ByteView message);
  void on_ack(const Host& host, ByteView message);
  void check_order(const Host& host, const KekSpi& spi, std::uint32_t seq);
  [[nodiscard]] std::optional<std::uint32_t> seq_of(const KekSpi& spi, ByteView message) const;
  void learn_keks();
  void check_server();
  [[nodiscard]] Duration margin() const;
  Group& group_;
  std::map<Bytes, std::uint64_t> push_of_;  ///< KEK SPI and first cipher block -> whole datagram
  std::map<std::pair<KekSpi, std::uint32_t>, std::uint64_t> message_of_;  ///< where SEQ is read
  std::map<KekSpi, gdoi::Kek> keks_;
  std::map<KekSpi, Sent> sent_;
  std::set<std::pair<const Host*, Bytes>> pardoned_;  ///< with their KEK SPIs
  std::map<std::pair<const Host*, Bytes>, std::uint32_t> acknowledged_;
  std::map<Bytes, std::uint32_t> highest_;  ///< acknowledged by anybody, by KEK SPI
  std::uint64_t pushes_ = 0, read_ = 0;
  std::uint64_t acknowledgements_ = 0;
  bool learning_ = false;
};

/// No key is installed past its hard end, on a member with or without contact to its key server.
class LifetimeOracle final : public Observer {
 public:
  explicit LifetimeOracle(Group& group) : group_(group) {}
  void on_installed(const Host& host, const dataplane::Snapshot& snapshot) override;
  void on_tick(TimePoint now) override;
  /// When the key ends, by what its server said when it was first seen; never if unknown.
  [[nodiscard]] TimePoint end_of(std::uint32_t spi) const;
  /// Nobody who could say it was up: end_of() is the latest that it can be.
  [[nodiscard]] bool guessed(std::uint32_t spi) const { return guessed_.contains(spi); }
  /// How far from that a key server's idea may be, since it knows the time of before its restarts
  /// to the second only.
  [[nodiscard]] Duration restart_error() const;

 private:
  void ask_again(TimePoint now);

  Group& group_;
  std::map<std::uint32_t, TimePoint> ends_;
  std::set<std::uint32_t> guessed_;
};

/// What a member could read once it can read until the key's end, unless the key was withdrawn:
/// a packet under it must not be lost at that member. In strict mode, no packet may be lost at all
/// between members that can send.
class TrafficOracle final : public Observer {
 public:
  TrafficOracle(Group& group, const LifetimeOracle& lifetimes)
      : group_(group), lifetimes_(lifetimes) {}
  void on_boot(const Host& host) override { held_.erase(&host); }
  void on_crash(const Host& host) override { held_.erase(&host); }
  void on_event(const Host& host, const Event& event) override;
  void on_installed(const Host& host, const dataplane::Snapshot& snapshot) override;
  void on_packet_done(const Host& at, const EspPacket& packet, Fate fate) override;
  void on_replay(const Host& at, const EspPacket& packet, Fate fate) override;
  void strict(bool on) { strict_ = on; }

 private:
  Group& group_;
  const LifetimeOracle& lifetimes_;
  std::map<const Host*, std::set<std::uint32_t>> held_;
  bool strict_ = false;
};

/// A member that was removed gets none of the keys made after its removal. With several key
/// servers, one that has not heard of the removal goes on with the keys that it has, and with those
/// that follow from them; what counts is that no key that came after an exclusion gets to it. Keys
/// that a server held together are of one family; an exclusion begins another.
class EvictionOracle final : public Observer {
 public:
  explicit EvictionOracle(Group& group) : group_(group) {}
  void on_installed(const Host& host, const dataplane::Snapshot& snapshot) override;
  void on_event(const Host& host, const Event& event) override;
  void on_tick(TimePoint) override { learn(); }

 private:
  struct Origin {
    std::uint64_t family = 0;
    std::set<std::string> barred;  ///< whom all servers that had it first had removed
  };
  void learn();
  Group& group_;
  std::map<std::uint32_t, Origin> origin_;
  std::uint64_t last_family_ = 0;
  bool learning_ = false;
};

/// Queues and tables stay under their limits; a host does not send without end.
class LimitsOracle final : public Observer {
 public:
  explicit LimitsOracle(Group& group) : group_(group) {}
  void on_tick(TimePoint now) override;
  /// From now on the network is healthy: more than a modest rate of datagrams is a storm.
  void expect_quiet(bool on);

 private:
  static constexpr std::size_t window = 10;  // seconds
  struct Rate {
    std::array<std::uint64_t, window> sent{};
    std::size_t at = 0;
    bool full = false;
  };
  void check_replica(std::size_t i, TimePoint now);
  void check_rate(Host& host, std::uint64_t allowed, TimePoint now);
  Group& group_;
  std::map<const Host*, Rate> rates_;
  bool quiet_ = false;
};

/// All of them, watching one group, which outlives them.
struct Oracles {
  explicit Oracles(Group& group);
  ~Oracles() { group_.judge().remove_all(); }
  Oracles(const Oracles&) = delete;
  Oracles& operator=(const Oracles&) = delete;

  KeyOracle keys;
  NonceOracle nonces;
  SequenceOracle sequence;
  LifetimeOracle lifetimes;
  TrafficOracle traffic;
  EvictionOracle eviction;
  LimitsOracle limits;

 private:
  Group& group_;
};

}  // namespace cohort::sim
