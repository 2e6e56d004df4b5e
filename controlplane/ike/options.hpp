#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/crypto/cbc.hpp"
#include "controlplane/crypto/dh.hpp"
#include "controlplane/crypto/hash.hpp"

namespace cohort::ike {

/// Authentication methods of phase 1 (IANA "IPSEC Authentication Methods").
enum class AuthMethod : std::uint16_t {
  pre_shared_key = 1,
  rsa_signature = 3,
  ecdsa_256 = 9,
  ecdsa_384 = 10,
  ecdsa_521 = 11
};

/// One acceptable phase 1 transform, with the priority by its place in the list.
struct Phase1Policy {
  crypto::Cipher cipher = crypto::Cipher::aes_256;
  crypto::Hash hash = crypto::Hash::sha256;
  crypto::DhGroup group = crypto::DhGroup::modp2048;
  AuthMethod auth = AuthMethod::rsa_signature;
  std::chrono::seconds lifetime{86400};
};

/// Dead peer detection (RFC 3706).
struct DpdOptions {
  enum class Mode : std::uint8_t { off, on_demand, periodic };
  Mode mode = Mode::off;
  std::chrono::seconds interval{15};
  std::chrono::seconds retry{3};
  unsigned retries = 5;  ///< unanswered R-U-THERE before the peer is dead
};

struct IsakmpOptions {
  Endpoint local;                      ///< an unspecified address means any
  std::vector<Phase1Policy> policies;  ///< by priority; not empty
  std::string trustpoint;              ///< for the signature methods
  bool allow_weak = false;             ///< admit 3DES, SHA-1, MD5, groups 2 and 5, RSA < 2048
  /// An initiator's ECDSA signature is of the digest of HASH_I, not of HASH_I itself (RFC 4754).
  bool ecdsa_signs_digest = false;
  DpdOptions dpd;
  /// First retransmission; doubles each time.
  std::chrono::milliseconds retransmit_initial{1000};
  unsigned retransmit_tries = 5;
  /// ISAKMP messages longer than this are sent as fragments when the peer can; 0 = never.
  std::size_t fragment_size = 1280;
  bool nat_traversal = false;     ///< send the RFC 3947 vendor id and NAT-D, detect a NAT
  std::uint16_t nat_port = 4500;  ///< where an SA moves when there is one, at both ends
  /// A responder forgets an exchange that is not finished after this.
  std::chrono::seconds half_open_timeout{30};
  bool rekey = true;  ///< as initiator, make a new phase 1 before the old one expires
  std::size_t half_open_max = 1000;           ///< responder SAs not yet authenticated, in all
  std::size_t half_open_max_per_address = 8;  ///< and from one address
  std::size_t established_max = 20000;
};

}  // namespace cohort::ike
