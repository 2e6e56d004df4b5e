#include "controlplane/ike/keying.hpp"

#include <array>

namespace cohort::ike {

namespace {

Secret prf(crypto::Hash hash, const Secret& key, std::initializer_list<ByteView> parts) {
  return Secret::take(crypto::hmac(hash, key.view(), parts));
}

Bytes joined(ByteView a, ByteView b) {
  Writer out;
  out.bytes(a).bytes(b);
  return out.take();
}

/// RFC 2409 appendix B: SKEYID_e itself when it is long enough, else K1 | K2 | … with
/// K1 = prf(SKEYID_e, 0), Kn = prf(SKEYID_e, Kn-1); the first octets of either.
Secret cipher_key_of(crypto::Cipher cipher, crypto::Hash hash, const Secret& skeyid_e) {
  const std::size_t wanted = crypto::key_size(cipher);
  if (skeyid_e.size() >= wanted) return Secret(skeyid_e.view().first(wanted));
  const std::array<std::uint8_t, 1> zero{0};
  Bytes key;
  key.reserve(wanted + skeyid_e.size());  // so that no copy stays behind when it grows
  Secret block = prf(hash, skeyid_e, {zero});
  for (;;) {
    key.insert(key.end(), block.view().begin(), block.view().end());
    if (key.size() >= wanted) break;
    block = prf(hash, skeyid_e, {block.view()});
  }
  const Secret whole = Secret::take(std::move(key));
  return Secret(whole.view().first(wanted));
}

}  // namespace

Secret skeyid_of_pre_shared_key(crypto::Hash hash, const Secret& key, const KeyInputs& inputs) {
  return prf(hash, key, {inputs.initiator_nonce, inputs.responder_nonce});
}

Secret skeyid_of_signatures(crypto::Hash hash, const Secret& shared, const KeyInputs& inputs) {
  const Bytes nonces = joined(inputs.initiator_nonce, inputs.responder_nonce);
  return Secret::take(crypto::hmac(hash, nonces, {shared.view()}));
}

Phase1Keys derive_keys(crypto::Cipher cipher, crypto::Hash hash, const Secret& skeyid,
                       const Secret& shared, const KeyInputs& inputs) {
  const std::array<std::uint8_t, 1> zero{0};
  const std::array<std::uint8_t, 1> one{1};
  const std::array<std::uint8_t, 1> two{2};
  const Cookie& i = inputs.initiator_cookie;
  const Cookie& r = inputs.responder_cookie;
  Phase1Keys keys;
  keys.cipher = cipher;
  keys.hash = hash;
  keys.skeyid_d = prf(hash, skeyid, {shared.view(), i, r, zero});
  keys.skeyid_a = prf(hash, skeyid, {keys.skeyid_d.view(), shared.view(), i, r, one});
  keys.skeyid_e = prf(hash, skeyid, {keys.skeyid_a.view(), shared.view(), i, r, two});
  keys.cipher_key = cipher_key_of(cipher, hash, keys.skeyid_e);
  keys.last_block = crypto::digest(hash, {inputs.initiator_public, inputs.responder_public});
  keys.last_block.resize(crypto::block_size(cipher));
  return keys;
}

Bytes hash_i(crypto::Hash hash, const Secret& skeyid, const KeyInputs& inputs, ByteView id_body) {
  return crypto::hmac(hash, skeyid.view(),
                      {inputs.initiator_public, inputs.responder_public, inputs.initiator_cookie,
                       inputs.responder_cookie, inputs.initiator_sa, id_body});
}

Bytes hash_r(crypto::Hash hash, const Secret& skeyid, const KeyInputs& inputs, ByteView id_body) {
  return crypto::hmac(hash, skeyid.view(),
                      {inputs.responder_public, inputs.initiator_public, inputs.responder_cookie,
                       inputs.initiator_cookie, inputs.initiator_sa, id_body});
}

crypto::Hash authentication_hash(const Phase1Policy& policy) {
  switch (policy.auth) {
    case AuthMethod::ecdsa_256:
      return crypto::Hash::sha256;
    case AuthMethod::ecdsa_384:
      return crypto::Hash::sha384;
    case AuthMethod::ecdsa_521:
      return crypto::Hash::sha512;
    case AuthMethod::pre_shared_key:
    case AuthMethod::rsa_signature:
      break;
  }
  return policy.hash;
}

crypto::SignatureForm signature_form(AuthMethod method) {
  return method == AuthMethod::rsa_signature ? crypto::SignatureForm::rsa_pkcs1_bare
                                             : crypto::SignatureForm::ecdsa_concatenated;
}

}  // namespace cohort::ike
