#pragma once

#include "dataplane/burst.hpp"
#include "dataplane/cipher.hpp"
#include "dataplane/options.hpp"
#include "dataplane/sa_state.hpp"

namespace cohort::dataplane {

/// What a worker brings to encryption and decryption.
struct EspContext {
  Cipher* cipher = nullptr;
  unsigned worker = 0;  ///< index among the pair's workers
  DfBit df_bit = DfBit::copy;
  std::uint32_t tick = 0;          ///< the group's time at this burst
  std::uint64_t mixed_bursts = 0;  ///< those with several SAs, so far
};

/// Encrypts every packet of the burst whose verdict is protect, in tunnel mode with both addresses
/// preserved (RFC 4303, RFC 5374 section 3.1). They fit: see SaState::inner_mtu. Afterwards their
/// verdict is forward, or drop. All go through the cipher together; packets of one SA have its
/// sequence numbers in their order. Returns how many were encrypted. `sa_of_all`: all packets of
/// the burst are to be encrypted, with this SA; null if not so.
unsigned esp_out(EspContext& context, Burst& burst, SaState* sa_of_all);

}  // namespace cohort::dataplane
