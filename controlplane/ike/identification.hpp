#pragma once

#include <cstdint>
#include <string>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/world/identity.hpp"

namespace cohort::ike {

/// Identification types (RFC 2407 section 4.6.2.1) that phase 1 can prove.
enum class IdType : std::uint8_t {
  ipv4_addr = 1,
  fqdn = 2,
  user_fqdn = 3,
  ipv6_addr = 5,
  der_asn1_dn = 9,
  key_id = 11
};

/// The body of an ID payload in phase 1. `data` is a view into the parsed octets.
struct Identification {
  std::uint8_t type = 0;  ///< IdType, or one that we know no rule for
  ByteView data;

  /// Protocol and port must be 0/0 or UDP with any port (RFC 2407 section 4.6.2 says 500; a peer
  /// on another port sends that).
  static Result<Identification> parse(ByteView body);
  /// For people; never more than 64 characters of what the peer chose, and only printable ones.
  [[nodiscard]] std::string text() const;
};

[[nodiscard]] Bytes id_body(IdType type, ByteView data);
[[nodiscard]] Bytes id_body(const IpAddress& address);

/// A certificate proves its subject (ID_DER_ASN1_DN, octet by octet) and its subjectAltNames.
[[nodiscard]] Status check_proven_by_certificate(const Identification& id,
                                                 const PeerIdentity& certificate);
/// The identity is of one peer: an address or a name, no subnet, no range. Which one is not looked
/// at.
[[nodiscard]] Status check_names_one_peer(const Identification& id);
/// A pre-shared key is found by address, and proves nothing else: an address must be that one. A
/// name claims nothing, as the peer is called by its address whatever it says.
[[nodiscard]] Status check_proven_by_address(const Identification& id, const IpAddress& remote);

}  // namespace cohort::ike
