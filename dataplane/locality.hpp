#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "controlplane/base/address.hpp"
#include "dataplane/burst.hpp"

namespace cohort::dataplane {

/// Who the member is and whom it talks to about keys: decisions that come before the policy's.
/// Consulted once per flow; the flow cache remembers.
class Locality {
 public:
  Locality() = default;
  Locality(std::vector<IpAddress> own, std::vector<IpAddress> control_peers)
      : own_(std::move(own)), control_peers_(std::move(control_peers)) {}

  /// The decision for a packet (its IP header at `ip`) that is not the policy's to make; empty: ask
  /// the policy. Neighbour discovery is the link's only between addresses that can be on one link:
  /// of link scope, or both of one /64. Control traffic is UDP from and to ports 848, 500 and 4500
  /// with a control peer at one end, or with the member itself at one end and such a port at
  /// either.
  [[nodiscard]] std::optional<std::uint16_t> decide(const std::uint8_t* ip, const Note& note) const;
  /// An address of the member of that family, if there is one.
  [[nodiscard]] const IpAddress* own_address(Family family) const;

 private:
  std::vector<IpAddress> own_;
  std::vector<IpAddress> control_peers_;
};

/// Whether a UDP packet of control ports is what its ports say: one ISAKMP message (RFC 2408
/// section 3.1) that fills it, behind the marker of RFC 3948 if a port is 4500, or a keepalive
/// there. Of a fragmented one the first fragment is looked at; later ones follow it.
[[nodiscard]] bool is_isakmp(const std::uint8_t* ip, const Note& note);

}  // namespace cohort::dataplane
