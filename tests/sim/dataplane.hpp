#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/world/world.hpp"
#include "tests/sim/observer.hpp"
#include "tests/sim/prng.hpp"
#include "tests/sim/scheduler.hpp"

namespace cohort::sim {

/// Names a suite and its keys without holding them.
[[nodiscard]] std::uint64_t fingerprint(const dataplane::Sa& sa);

/// The workers of one member, as a model: what its snapshot lets it send and read. Like the real
/// ones it changes over a moment after apply() has returned, in order, and an SA that is in both
/// snapshots keeps its counters and its replay window.
class SimDataplane final : public Dataplane {
 public:
  /// `installed` is told each time the workers have changed over.
  /// `clock`: the host's monotonic one, by default the true time.
  SimDataplane(Scheduler& scheduler, Prng prng,
               std::function<void(const dataplane::Snapshot&)> installed,
               std::function<TimePoint()> clock = {});

  Status apply(std::string_view port_pair, dataplane::Snapshot snapshot) override;
  [[nodiscard]] dataplane::Usage usage(std::string_view port_pair) const override;

  /// A packet from the protected side. `fate` is `accepted` when `packet` is ready to go.
  struct Sent {
    Fate fate;
    EspPacket packet;
  };
  Sent send(const IpAddress& source, const IpAddress& destination);
  Fate receive(const EspPacket& packet);

  /// Power lost: nothing is installed, no counter remembered. The next packet is dropped.
  void reset();
  /// Where an SA's counters start when it is installed, to bring exhaustion near.
  void start_counters_at(std::uint64_t value) { counter_start_ = value; }

  [[nodiscard]] bool can_send() const;  ///< some protect entry has an SA to send with
  /// The SPIs that can be read now, and the one that the first protect entry sends with (0: none).
  [[nodiscard]] std::vector<std::uint32_t> spis() const;
  [[nodiscard]] std::uint32_t sending_spi() const;
  [[nodiscard]] const std::vector<dataplane::PolicyEntry>& policy() const;
  [[nodiscard]] std::uint64_t applied() const { return applied_; }

 private:
  struct State {
    std::uint64_t key = 0;
    bool aead = false;
    unsigned sid_bits = 0;
    dataplane::ReplayKind replay{};
    bool by_time = false;  ///< what is sent, also when nothing is checked any more
    std::uint32_t window = 64;
    std::vector<std::uint32_t> sender_ids;
    std::map<std::uint32_t, std::uint64_t> next_counter;  ///< by sender id
    std::size_t turn = 0;                                 ///< which worker's sender id is next
    std::uint32_t next_sequence = 1;
    std::uint32_t highest = 0;
    std::vector<bool> seen;  ///< ring over the window
    dataplane::SaUsage usage;
  };
  struct Table {
    std::vector<dataplane::PolicyEntry> policy;
    dataplane::Action otherwise = dataplane::Action::drop;
    std::map<std::uint32_t, std::shared_ptr<State>> sas;
    dataplane::Snapshot snapshot;  ///< as it came, for the observers
  };

  [[nodiscard]] const dataplane::PolicyEntry* match(const IpAddress& source,
                                                    const IpAddress& destination) const;
  [[nodiscard]] std::int64_t tick() const;
  bool replay_accepts(State& state, std::uint32_t sequence) const;
  void change_over(std::shared_ptr<const Table> table, std::uint64_t life);

  Scheduler& scheduler_;
  Prng prng_;
  std::function<void(const dataplane::Snapshot&)> installed_;
  std::function<TimePoint()> clock_;
  std::shared_ptr<const Table> newest_, active_;
  TimePoint last_change_{};
  std::uint64_t life_ = 0;  ///< changes at reset, so that what is under way is forgotten
  std::uint64_t counter_start_ = 0;
  std::uint64_t applied_ = 0;
  std::uint32_t unknown_spi_ = 0;
};

}  // namespace cohort::sim
