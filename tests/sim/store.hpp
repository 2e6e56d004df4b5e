#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "controlplane/world/provenance.hpp"
#include "tests/sim/prng.hpp"

namespace cohort::sim {

inline constexpr Reason disk_error{"sim_disk_error", "the simulated disk refused the operation"};
inline constexpr Reason torn_value{"sim_torn_value",
                                   "the simulated disk lost power while this value was written"};

/// A Store whose faults are asked for. As world.hpp demands, a write is durable when put()
/// returns; what a crash can leave is the old value, the new one, or, with torn writes, a value
/// that is there and can't be read.
class SimStore final : public TracedStore {
 public:
  struct Faults {
    unsigned put_error_permille = 0;     ///< put and remove fail and change nothing
    unsigned crash_at_put_permille = 0;  ///< the machine dies inside a put
    unsigned torn_permille = 0;          ///< of those crashes: the value is torn
  };
  struct Value {
    std::optional<Bytes> octets;  ///< nullopt: torn
    bool original = true;         ///< this machine wrote it, and nobody has copied it since
  };
  using Image = std::map<std::string, Value, std::less<>>;

  explicit SimStore(Prng prng) : prng_(prng) {}

  Status put(std::string_view name, ByteView value) override;
  [[nodiscard]] Result<std::optional<Bytes>> get(std::string_view name) const override;
  Status remove(std::string_view name) override;
  [[nodiscard]] Provenance provenance(std::string_view name) const override;

  void set_faults(const Faults& faults) { faults_ = faults; }
  /// Called when the machine dies inside a put; its effects must be ignored from then on.
  void on_crash(std::function<void()> handler) { crash_ = std::move(handler); }
  /// A dead machine writes nothing more.
  void freeze(bool frozen) { frozen_ = frozen; }
  /// What is on the disk now, to be put back later (an old backup) or onto another machine.
  [[nodiscard]] Image image() const { return values_; }
  /// The files come back one by one.
  void restore(Image image);
  /// The disk comes back below the file system, as a snapshot does: nothing shows that.
  void roll_back(Image image);
  void wipe() { values_.clear(), witnessed_.clear(); }
  /// The machine itself was off: nobody remembers what was put last.
  void lose_witness() { witnessed_.clear(); }
  [[nodiscard]] bool has_witness() const { return !witnessed_.empty(); }
  void tear(std::string_view name);  ///< makes a value unreadable
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] std::size_t octets() const;

 private:
  Prng prng_;
  Faults faults_;
  Image values_;
  std::set<std::string, std::less<>> witnessed_;  ///< put since the machine came up
  std::function<void()> crash_;
  bool frozen_ = false;
};

}  // namespace cohort::sim
