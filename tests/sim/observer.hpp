#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/world/world.hpp"

namespace cohort::sim {

class Host;

/// A packet of the data network, as far as keys matter: who can read it and whether it is unique.
struct EspPacket {
  const Host* from = nullptr;
  bool clear = false;  ///< left unencrypted by policy
  std::uint32_t spi = 0;
  std::uint64_t key = 0;  ///< fingerprint of suite and keys
  bool aead = false;
  std::uint32_t sender_id = 0;
  std::uint64_t counter = 0;   ///< the rest of the IV of an AEAD packet
  std::uint32_t sequence = 0;  ///< ESP sequence number
  Duration time_window{0};     ///< of the SA at its sender, if it goes by time
  IpAddress source, destination;
  TimePoint sent;
};

/// What became of a packet at its sender or its receiver.
enum class Fate : std::uint8_t {
  accepted,
  bypassed,
  unknown_spi,
  authentication_failed,
  replayed,
  policy_mismatch,
  no_outbound_sa,
  no_sender_id,
  dropped_by_policy,
  clear_dropped,
  host_down,
  unreachable
};
inline constexpr std::size_t fate_count = 12;
[[nodiscard]] std::string_view name_of(Fate fate);

struct Violation {
  std::string_view oracle;
  TimePoint at;
  std::string text;
};

/// Sees what crosses the edges of the nodes; the oracles are observers. Knows nothing of what goes
/// on inside the code under test.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_boot(const Host&) {}
  virtual void on_crash(const Host&) {}
  virtual void on_sent(const Host&, const Datagram&) {}
  virtual void on_event(const Host&, const Event&) {}
  virtual void on_refusal(const Host&, const Refusal&) {}
  /// The workers of `host` have changed over to a snapshot.
  virtual void on_installed(const Host&, const dataplane::Snapshot&) {}
  virtual void on_packet_sent(const Host&, const EspPacket&) {}
  /// At the sender when it could not be sent (`at` is the sender), else at its receiver.
  virtual void on_packet_done(const Host& /*at*/, const EspPacket&, Fate) {}
  /// A packet came once more, long after it was sent.
  virtual void on_replay(const Host& /*at*/, const EspPacket&, Fate) {}
  /// About once a second of virtual time.
  virtual void on_tick(TimePoint) {}
};

/// Passes what is observed to every observer and collects what they object to.
class Judge final : public Observer {
 public:
  void add(Observer& observer) { observers_.push_back(&observer); }
  void remove_all() { observers_.clear(); }
  void accuse(std::string_view oracle, TimePoint at, std::string text);
  [[nodiscard]] const std::vector<Violation>& violations() const { return violations_; }
  [[nodiscard]] std::string text() const;

  void on_boot(const Host& host) override;
  void on_crash(const Host& host) override;
  void on_sent(const Host& host, const Datagram& datagram) override;
  void on_event(const Host& host, const Event& event) override;
  void on_refusal(const Host& host, const Refusal& refusal) override;
  void on_installed(const Host& host, const dataplane::Snapshot& snapshot) override;
  void on_packet_sent(const Host& host, const EspPacket& packet) override;
  void on_packet_done(const Host& at, const EspPacket& packet, Fate fate) override;
  void on_replay(const Host& at, const EspPacket& packet, Fate fate) override;
  void on_tick(TimePoint now) override;

 private:
  std::vector<Observer*> observers_;
  std::vector<Violation> violations_;
};

}  // namespace cohort::sim
