#pragma once

#include <span>
#include <vector>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"
#include "controlplane/base/time.hpp"
#include "pki/certificate.hpp"
#include "pki/options.hpp"

namespace cohort::pki {

inline constexpr std::size_t peer_chain_max = 10;  ///< certificates taken from a peer

/// Which certificates are believed: anchors, what helps to reach them, and the rules. A value;
/// verification is pure.
struct Trust {
  std::vector<Certificate> anchors;        ///< believed as they are, self-signed or not
  std::vector<Certificate> intermediates;  ///< of our own CA; peers may send more
  std::vector<Crl> crls;
  RevocationCheck revocation_check = RevocationCheck::crl;
  std::vector<ExtendedKeyUsage> peer_eku;  ///< empty: not looked at
  bool allow_weak = false;

  /// Checks a peer's chain, leaf first, at the time `now`: signatures up to an anchor, validity,
  /// basic constraints, key usage (RFC 4945 section 5.1.3.2), extended key usage, revocation of
  /// each certificate below the anchor. Returns the leaf. DER in hostile hands: at most
  /// peer_chain_max certificates of certificate_size_max.
  [[nodiscard]] Result<Certificate> verify(std::span<const Bytes> chain, WallTime now) const;
  /// The same for certificates that are parsed; without the leaf's usage rules if not wanted.
  [[nodiscard]] Result<std::vector<Certificate>> build_chain(const Certificate& leaf,
                                                             std::span<const Certificate> others,
                                                             WallTime now) const;
};

[[nodiscard]] std::string_view object_id(ExtendedKeyUsage usage);  ///< dotted OID
/// True if one of `certificate`'s extended key usages is in `accepted` or "any", or it has none.
[[nodiscard]] bool has_usage(const Certificate& certificate,
                             std::span<const ExtendedKeyUsage> accepted);

}  // namespace cohort::pki
