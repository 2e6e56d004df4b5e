#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/bytes.hpp"
#include "controlplane/crypto/key.hpp"

namespace cohort {

/// One attribute of a distinguished name, in the order of the certificate: {"OU", "GETVPN_GM"}.
struct NameAttribute {
  std::string type;
  std::string value;
};

/// Who a peer has proven to be. With a pre-shared key only `address` and `id_text` are set.
struct PeerIdentity {
  bool by_certificate = false;
  Bytes subject_der;                      ///< DER Name, as in ID_DER_ASN1_DN
  std::string subject;                    ///< RFC 4514 text, for people
  std::vector<NameAttribute> attributes;  ///< of the subject
  std::string issuer;                     ///< RFC 4514 text
  std::vector<std::string> san_dns;
  std::vector<std::string> san_email;
  std::vector<IpAddress> san_addresses;
  std::string fingerprint_sha256;  ///< lower-case hex
  std::optional<crypto::PublicKey> key;
  IpAddress address;    ///< where its phase 1 came from
  std::string id_text;  ///< its ID payload, printed
};

/// What we prove our own identity with.
struct LocalIdentity {
  std::vector<Bytes> chain;  ///< DER certificates, ours first
  crypto::PrivateKey key;
  Bytes subject_der;
};

}  // namespace cohort
