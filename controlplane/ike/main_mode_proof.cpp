#include <fmt/format.h>

#include "controlplane/crypto/reasons.hpp"
#include "controlplane/ike/identification.hpp"
#include "controlplane/ike/main_mode_handlers.hpp"
#include "controlplane/ike/proposal.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

constexpr std::size_t rsa_bits_min = 2048;

/// Puts what the message claims into the handshake; it counts once it is proven.
void remember_candidate(Step& step, PeerIdentity identity, const Identification& id) {
  Handshake& handshake = *step.sa.handshake;
  identity.address = step.remote.address;
  identity.id_text =
      static_cast<IdType>(id.type) == IdType::der_asn1_dn ? identity.subject : id.text();
  handshake.candidate = std::move(identity);
  handshake.candidate_last_block = step.last_block;
  handshake.candidate_local = step.local;
  handshake.candidate_remote = step.remote;
  handshake.candidate_initial_contact = false;
  for (const RawPayload& payload : step.payloads) {
    if (payload.type != PayloadType::notify) continue;
    const auto notify = Notify::parse(payload.body);
    if (notify && notify->type == NotifyType::initial_contact)
      handshake.candidate_initial_contact = true;
  }
  step.sa.peer_id = to_bytes(find_payload(step.payloads, PayloadType::id)->body);
}

Status check_key(const Step& step, const PeerIdentity& identity) {
  if (!identity.key) return fail(wrong_key_type, "the certificate's key is of no known type");
  const AuthMethod agreed = step.sa.info.transform.auth;
  if (method_of(identity.key->type()) != agreed) return fail(wrong_key_type, identity.subject);
  if (agreed == AuthMethod::rsa_signature && identity.key->bits() < rsa_bits_min &&
      !step.options.allow_weak)
    return fail(crypto::weak_key,
                fmt::format("{} has RSA of {} bits", identity.subject, identity.key->bits()));
  return {};
}

}  // namespace

Status begin_signing(Step& step) {
  if (step.sa.role == Role::initiator) derive(step, std::get<Secret>(step.value));
  const Phase1Policy& policy = step.sa.info.transform;
  const crypto::Hash hash = authentication_hash(policy);
  Bytes digest = own_hash(step);
  // Who answers does as the other did.
  const bool hash_again = policy.auth != AuthMethod::rsa_signature &&
                          (step.sa.role == Role::initiator ? step.options.ecdsa_signs_digest
                                                           : step.sa.handshake->proof_is_hashed);
  if (hash_again) digest = crypto::digest(hash, {digest});
  step.job = SignJob{step.sa.handshake->identity->key, signature_form(policy.auth), hash,
                     std::move(digest)};
  return {};
}

Status check_peer_hash(Step& step) {
  const ByteView id_octets = find_payload(step.payloads, PayloadType::id)->body;
  const ByteView hash = find_payload(step.payloads, PayloadType::hash)->body;
  if (!equal_constant_time(hash, peer_hash(step, id_octets)))
    return fail(authentication_failed, "HASH");
  COHORT_TRY(const Identification id, Identification::parse(id_octets));
  // Behind a NAT the peer names the address that it has, not the one that we see, and whether there
  // is a NAT is what the peer says. So it proves nothing then, as a name never does: the peer is
  // whoever has the key of the address that we see, and is called by that address.
  if (step.sa.handshake->nat)
    COHORT_CHECK(check_names_one_peer(id));
  else
    COHORT_CHECK(check_proven_by_address(id, step.remote.address));
  remember_candidate(step, PeerIdentity{}, id);
  step.sa.handshake->candidate.id_text = step.remote.address.text();
  adopt_candidate(step);
  return {};
}

Status check_peer_certificate(Step& step) {
  const ByteView id_octets = find_payload(step.payloads, PayloadType::id)->body;
  const ByteView signature = find_payload(step.payloads, PayloadType::sig)->body;
  COHORT_TRY(const Identification id, Identification::parse(id_octets));
  COHORT_TRY(const auto chain, certificates_of(step.payloads));
  if (chain.empty()) return fail(certificate_missing, id.text());
  COHORT_TRY(PeerIdentity identity, step.world.credentials.verify(step.options.trustpoint, chain));
  COHORT_CHECK(check_key(step, identity));
  COHORT_CHECK(check_proven_by_certificate(id, identity));
  const Phase1Policy& policy = step.sa.info.transform;
  VerifyJob job{*identity.key, signature_form(policy.auth), authentication_hash(policy),
                peer_hash(step, id_octets), to_bytes(signature)};
  Handshake& handshake = *step.sa.handshake;
  handshake.proof_is_hashed = false;
  handshake.other_reading.reset();
  // RFC 4754 names a hash with each curve, and HASH_x is made with it already (RFC 2409 section
  // 5.1). Most implementations sign HASH_x as the digest; others hash it once more.
  if (policy.auth != AuthMethod::rsa_signature) {
    handshake.other_reading = job;
    handshake.other_reading->digest = crypto::digest(job.hash, {job.digest});
  }
  step.job = std::move(job);
  remember_candidate(step, std::move(identity), id);
  return {};
}

Status take_verdict(Step& step) {
  adopt_candidate(step);
  return {};
}

}  // namespace cohort::ike
