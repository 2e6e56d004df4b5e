#pragma once

#include "controlplane/ike/options.hpp"
#include "controlplane/ike/secure_exchange.hpp"
#include "controlplane/world/world.hpp"

/// The key schedule of phase 1 (RFC 2409 section 5 and appendix B). prf is HMAC of the agreed hash.
namespace cohort::ike {

/// What both ends have said, as the key schedule and the authentication hashes see it.
struct KeyInputs {
  Cookie initiator_cookie{};
  Cookie responder_cookie{};
  ByteView initiator_public;  ///< g^xi
  ByteView responder_public;  ///< g^xr
  ByteView initiator_nonce;   ///< Ni_b
  ByteView responder_nonce;   ///< Nr_b
  ByteView initiator_sa;      ///< SAi_b
};

/// SKEYID = prf(pre-shared key, Ni_b | Nr_b).
[[nodiscard]] Secret skeyid_of_pre_shared_key(crypto::Hash hash, const Secret& key,
                                              const KeyInputs& inputs);
/// SKEYID = prf(Ni_b | Nr_b, g^xy), for signatures.
[[nodiscard]] Secret skeyid_of_signatures(crypto::Hash hash, const Secret& shared,
                                          const KeyInputs& inputs);

/// SKEYID_d, _a, _e, the cipher key, and the IV of the first encrypted message as last_block.
[[nodiscard]] Phase1Keys derive_keys(crypto::Cipher cipher, crypto::Hash hash, const Secret& skeyid,
                                     const Secret& shared, const KeyInputs& inputs);

/// HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)
[[nodiscard]] Bytes hash_i(crypto::Hash hash, const Secret& skeyid, const KeyInputs& inputs,
                           ByteView id_body);
/// HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)
[[nodiscard]] Bytes hash_r(crypto::Hash hash, const Secret& skeyid, const KeyInputs& inputs,
                           ByteView id_body);

/// The hash of HASH_I and HASH_R: the agreed one, except that a signature algorithm that is tied to
/// a hash uses that (RFC 2409 section 5.1, RFC 4754 section 4).
[[nodiscard]] crypto::Hash authentication_hash(const Phase1Policy& policy);
[[nodiscard]] crypto::SignatureForm signature_form(AuthMethod method);

}  // namespace cohort::ike
