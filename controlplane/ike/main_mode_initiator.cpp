#include <fmt/format.h>

#include "controlplane/ike/main_mode_handlers.hpp"
#include "controlplane/ike/proposal.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

constexpr std::size_t nonce_size = 32;

}  // namespace

// --> HDR, SA, VID…
Status send_offer(Step& step) {
  Handshake& handshake = *step.sa.handshake;
  handshake.offered = usable_policies(step.world, step.options, step.sa.info.remote.address);
  if (handshake.offered.empty()) return fail(no_usable_policy, step.sa.info.remote.text());
  handshake.initiator_sa = offer_body(doi_gdoi, situation_gdoi, handshake.offered);
  step.reply.add(PayloadType::sa, handshake.initiator_sa);
  for (const ByteView id : own_vendor_ids(step.options)) step.reply.add(PayloadType::vendor_id, id);
  return {};
}

// <-- HDR, SA, VID…
Status take_choice(Step& step) {
  Phase1Sa& sa = step.sa;
  COHORT_TRY(
      const Accepted accepted,
      accept_answer(find_payload(step.payloads, PayloadType::sa)->body, sa.handshake->offered));
  if (sa.info.local.address.is_unspecified()) sa.info.local.address = step.local.address;
  COHORT_CHECK(choose_credentials(step, accepted.policy, *sa.handshake));
  sa.responder_cookie = step.header.responder;
  sa.doi = accepted.doi;
  sa.info.transform = accepted.policy;
  note_vendor_ids(step, sa.peer);
  step.job = DhGenerateJob{accepted.policy.group};
  return {};
}

// --> HDR, KE, Ni, [CERTREQ], [NAT-D, NAT-D]
Status send_public_value(Step& step) {
  Handshake& handshake = *step.sa.handshake;
  handshake.own_key = std::get<std::shared_ptr<const crypto::DhKey>>(step.value);
  handshake.initiator_nonce = step.world.random.bytes(nonce_size);
  write_public_value(step, handshake.initiator_nonce);
  return {};
}

// <-- HDR, KE, Nr, [CERTREQ], [NAT-D, NAT-D]
Status take_peer_public_value(Step& step) {
  Handshake& handshake = *step.sa.handshake;
  COHORT_TRY(Bytes value, public_value_of(step.payloads, step.sa.info.transform.group));
  COHORT_TRY(Bytes nonce, nonce_of(step.payloads));
  handshake.peer_public = std::move(value);
  handshake.responder_nonce = std::move(nonce);
  handshake.nat = detects_nat(step);
  step.job = DhSharedJob{handshake.own_key, handshake.peer_public};
  return {};
}

// --> HDR*, IDii, HASH_I [, N(INITIAL-CONTACT)]
Status send_proof_by_hash(Step& step) {
  derive(step, std::get<Secret>(step.value));
  write_hash_proof(step);
  return {};
}

// --> HDR*, IDii, CERT…, SIG_I [, N(INITIAL-CONTACT)]
Status send_proof_by_signature(Step& step) {
  write_signature_proof(step);
  return {};
}

}  // namespace cohort::ike
