#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/sim/faults.hpp"
#include "tests/sim/group.hpp"

namespace cohort::sim {

/// One run: a group, what goes wrong in it, and for how long.
struct RunOptions {
  GroupOptions group;
  FaultOptions faults;
  Duration safety = std::chrono::minutes(20);

  /// Everything drawn from the seed. `members`: instead of a drawn number.
  static RunOptions draw(std::uint64_t seed, std::optional<unsigned> members = {});
  /// The same with two to eight key servers, and with what can go wrong among them.
  static RunOptions draw_coop(std::uint64_t seed, std::optional<unsigned> servers = {},
                              std::optional<unsigned> members = {});
  /// One of both: a quarter of all seeds have a lone key server.
  static RunOptions draw_any(std::uint64_t seed, std::optional<unsigned> servers = {},
                             std::optional<unsigned> members = {});
  [[nodiscard]] std::string text() const;
};

struct Outcome {
  bool ok = false;
  std::string text;         ///< violations, and the last lines of the log
  std::string summary;      ///< one line of what happened
  std::uint64_t hash = 0;   ///< of the event log
  std::uint64_t lines = 0;  ///< of the event log
};

/// Safety: boot everybody under faults, and nothing wrong may happen. Then heal. Liveness: within
/// bounds all are registered and on the newest keys, and rekeys lose no packet.
[[nodiscard]] Outcome run(const RunOptions& options);

/// The same, twice; not ok either if the two differ.
[[nodiscard]] Outcome run_twice(const RunOptions& options);

/// Shorter lives of keys, and shorter delays, in the same proportions.
void shorten(GroupOptions& group, Prng& prng);

/// After a heal, how long it may take until everybody is on the newest keys: whoever missed all
/// rekeys registers again before its last key ends.
[[nodiscard]] Duration convergence_bound(const GroupOptions& options);
/// After a heal, how long it may take until the key servers have one primary, one epoch and all of
/// each other's state.
[[nodiscard]] Duration agreement_bound(const GroupOptions& options);
/// After a rekey in a healthy network: distributed, acknowledged and activated.
[[nodiscard]] Duration rekey_bound(const GroupOptions& options);

}  // namespace cohort::sim
