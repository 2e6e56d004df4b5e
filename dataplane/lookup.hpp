#pragma once

#include "dataplane/burst.hpp"
#include "dataplane/flow_cache.hpp"
#include "dataplane/fragment_memory.hpp"
#include "dataplane/locality.hpp"
#include "dataplane/policy.hpp"

namespace cohort::dataplane {

/// What a lookup reads, and the memories that it keeps up to date.
struct LookupContext {
  const CompiledPolicy* policy = nullptr;
  const Locality* locality = nullptr;
  FlowCache cache;
  FragmentMemory fragments;

  /// Another policy is in force.
  void forget() {
    cache.forget();
    fragments.forget();
  }
};

/// Sets the decision of every packet of the burst whose verdict is undecided: from the flow cache,
/// else from locality and policy (all misses of a burst at once).
void look_up(LookupContext& context, Burst& burst);

/// The policy's own decision for one packet, whatever locality says; for the rare packets that need
/// both.
[[nodiscard]] std::uint16_t policy_decision(const LookupContext& context, const std::uint8_t* ip,
                                            const Note& note);

/// Whether the packet, decrypted under `sa`, is one that the policy expects under it.
[[nodiscard]] bool expected_under(const LookupContext& context, const SaState& sa,
                                  const std::uint8_t* ip, const Note& note);

}  // namespace cohort::dataplane
