#pragma once

#include "controlplane/world/world.hpp"

namespace cohort {

/// What a store knows of a value's past, besides the value.
enum class Provenance : std::uint8_t {
  unknown,   ///< it may be a copy from anywhere
  original,  ///< this machine wrote it just there; but the whole disk may be a copy of before
  latest,    ///< it is what was put last
};

/// A Store that can tell whether it was put back to what it was before.
class TracedStore : public Store {
 public:
  /// Of what get() returns now; of a value that is not there, unknown.
  [[nodiscard]] virtual Provenance provenance(std::string_view name) const = 0;
};

/// Other stores know nothing of it.
[[nodiscard]] inline Provenance provenance_of(const Store& store, std::string_view name) {
  const auto* traced = dynamic_cast<const TracedStore*>(&store);
  return traced == nullptr ? Provenance::unknown : traced->provenance(name);
}

}  // namespace cohort
