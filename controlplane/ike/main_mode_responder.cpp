#include <fmt/format.h>

#include "controlplane/ike/main_mode_handlers.hpp"
#include "controlplane/ike/proposal.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

constexpr std::size_t nonce_size = 32;

}  // namespace

// --> HDR, SA, VID…      <-- HDR, SA, VID…
Status answer_offer(Step& step) {
  Phase1Sa& sa = step.sa;
  const ByteView body = find_payload(step.payloads, PayloadType::sa)->body;
  COHORT_TRY(const Offer offer, parse_offer(body));
  const auto policies = usable_policies(step.world, step.options, sa.info.remote.address);
  if (policies.empty()) return fail(no_usable_policy, sa.info.remote.text());
  COHORT_TRY(const Choice choice, choose(offer, policies));
  COHORT_CHECK(choose_credentials(step, choice.policy, *sa.handshake));
  sa.handshake->initiator_sa = to_bytes(body);
  sa.doi = offer.doi;
  sa.info.transform = choice.policy;
  note_vendor_ids(step, sa.peer);
  step.reply.add(PayloadType::sa, choice.body);
  for (const ByteView id : answering_vendor_ids(step.options, sa.peer))
    step.reply.add(PayloadType::vendor_id, id);
  return {};
}

// --> HDR, KE, Ni, [CERTREQ], [NAT-D, NAT-D]
Status take_initiator_public_value(Step& step) {
  Handshake& handshake = *step.sa.handshake;
  COHORT_TRY(Bytes value, public_value_of(step.payloads, step.sa.info.transform.group));
  COHORT_TRY(Bytes nonce, nonce_of(step.payloads));
  handshake.peer_public = std::move(value);
  handshake.initiator_nonce = std::move(nonce);
  handshake.nat = detects_nat(step);
  step.job = DhGenerateJob{step.sa.info.transform.group};
  return {};
}

Status share(Step& step) {
  Handshake& handshake = *step.sa.handshake;
  handshake.own_key = std::get<std::shared_ptr<const crypto::DhKey>>(step.value);
  step.job = DhSharedJob{handshake.own_key, handshake.peer_public};
  return {};
}

// <-- HDR, KE, Nr, [CERTREQ], [NAT-D, NAT-D]
Status answer_public_value(Step& step) {
  Handshake& handshake = *step.sa.handshake;
  handshake.responder_nonce = step.world.random.bytes(nonce_size);
  derive(step, std::get<Secret>(step.value));
  write_public_value(step, handshake.responder_nonce);
  return {};
}

// --> HDR*, IDii, HASH_I      <-- HDR*, IDir, HASH_R
Status answer_proof_by_hash(Step& step) {
  COHORT_CHECK(check_peer_hash(step));
  write_hash_proof(step);
  return {};
}

Status take_verdict_and_sign(Step& step) {
  COHORT_CHECK(take_verdict(step));
  return begin_signing(step);
}

// <-- HDR*, IDir, CERT…, SIG_R
Status answer_proof_by_signature(Step& step) {
  write_signature_proof(step);
  return {};
}

}  // namespace cohort::ike
