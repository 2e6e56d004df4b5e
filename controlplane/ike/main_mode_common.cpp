#include "controlplane/crypto/reasons.hpp"
#include "controlplane/ike/identification.hpp"
#include "controlplane/ike/main_mode_handlers.hpp"
#include "controlplane/ike/proposal.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

/// NAT-D: HASH(CKY-I | CKY-R | IP | Port), RFC 3947 section 3.2.
Bytes nat_d(const Phase1Sa& sa, const Endpoint& end) {
  Writer port;
  port.u16(end.port);
  return crypto::digest(sa.info.transform.hash, {sa.initiator_cookie, sa.responder_cookie,
                                                 end.address.bytes(), port.view()});
}

bool uses_nat_traversal(const Step& step) {
  return step.options.nat_traversal && step.sa.peer.nat_traversal;
}

void add_certificate_requests(Step& step) {
  if (!is_signature(step.sa.info.transform.auth)) return;
  const auto issuers = step.world.credentials.issuers(step.options.trustpoint);
  constexpr std::size_t requests_max = 16;
  for (std::size_t i = 0; i < issuers.size() && i < requests_max; ++i)
    step.reply.add(PayloadType::cert_request, cert_request_body(issuers[i]));
  if (issuers.empty()) step.reply.add(PayloadType::cert_request, cert_request_body({}));
}

/// Tells the peer to forget what it still has of us (RFC 2407 section 4.6.3.3).
void add_initial_contact(Step& step) {
  if (step.sa.role != Role::initiator || !step.first_contact) return;
  const auto spi = phase1_spi(step.sa.initiator_cookie, step.sa.responder_cookie);
  Notify notify;
  notify.doi = step.sa.doi;
  notify.type = NotifyType::initial_contact;
  notify.spi = spi;
  step.reply.add(PayloadType::notify, notify.body());
}

}  // namespace

Status choose_credentials(Step& step, const Phase1Policy& policy, Handshake& handshake) {
  if (is_signature(policy.auth)) {
    handshake.identity = step.world.credentials.local(step.options.trustpoint);
    if (!handshake.identity || method_of(handshake.identity->key.type()) != policy.auth)
      return fail(no_usable_policy, "the local certificate has changed");
    handshake.own_id = id_body(IdType::der_asn1_dn, handshake.identity->subject_der);
    return {};
  }
  handshake.pre_shared_key = step.world.credentials.pre_shared_key(step.sa.info.remote.address);
  if (!handshake.pre_shared_key) return fail(no_usable_policy, "the pre-shared key is gone");
  handshake.own_id = id_body(step.sa.info.local.address);
  return {};
}

void note_vendor_ids(Step& step, PeerCapabilities& peer) {
  for (const RawPayload& payload : step.payloads)
    if (payload.type == PayloadType::vendor_id) peer.note(payload.body);
}

void write_public_value(Step& step, ByteView own_nonce) {
  step.reply.add(PayloadType::ke, step.sa.handshake->own_key->public_value());
  step.reply.add(PayloadType::nonce, own_nonce);
  add_certificate_requests(step);
  if (!uses_nat_traversal(step)) return;
  step.reply.add(PayloadType::nat_d, nat_d(step.sa, step.sa.info.remote));
  step.reply.add(PayloadType::nat_d, nat_d(step.sa, step.sa.info.local));
}

bool detects_nat(const Step& step) {
  if (!uses_nat_traversal(step)) return false;
  // The first NAT-D is about our end as the peer sees it, the others about the peer's own ends.
  bool first = true;
  bool ours_matches = false;
  bool theirs_matches = false;
  for (const RawPayload& payload : step.payloads) {
    if (payload.type != PayloadType::nat_d) continue;
    if (first)
      ours_matches = equal(payload.body, nat_d(step.sa, step.local));
    else
      theirs_matches = theirs_matches || equal(payload.body, nat_d(step.sa, step.remote));
    first = false;
  }
  return !first && (!ours_matches || !theirs_matches);
}

void derive(Step& step, const Secret& shared) {
  Phase1Sa& sa = step.sa;
  Handshake& handshake = *sa.handshake;
  const Phase1Policy& policy = sa.info.transform;
  const KeyInputs inputs = sa.key_inputs();
  handshake.skeyid = handshake.pre_shared_key
                         ? skeyid_of_pre_shared_key(policy.hash, *handshake.pre_shared_key, inputs)
                         : skeyid_of_signatures(policy.hash, shared, inputs);
  sa.keys = derive_keys(policy.cipher, policy.hash, handshake.skeyid, shared, inputs);
}

void adopt_candidate(Step& step) {
  Phase1Sa& sa = step.sa;
  Handshake& handshake = *sa.handshake;
  sa.keys.last_block = handshake.candidate_last_block;
  sa.info.peer = handshake.candidate;
  if (sa.role == Role::responder && handshake.candidate_local.port != 0) {
    sa.info.local = handshake.candidate_local;
    sa.info.remote = handshake.candidate_remote;
  }
}

Bytes own_hash(const Step& step) {
  const Phase1Sa& sa = step.sa;
  const auto make = sa.role == Role::initiator ? hash_i : hash_r;
  return make(authentication_hash(sa.info.transform), sa.handshake->skeyid, sa.key_inputs(),
              sa.handshake->own_id);
}

Bytes peer_hash(const Step& step, ByteView peer_id) {
  const Phase1Sa& sa = step.sa;
  const auto make = sa.role == Role::initiator ? hash_r : hash_i;
  return make(authentication_hash(sa.info.transform), sa.handshake->skeyid, sa.key_inputs(),
              peer_id);
}

void write_hash_proof(Step& step) {
  step.reply.add(PayloadType::id, step.sa.handshake->own_id);
  step.reply.add(PayloadType::hash, own_hash(step));
  add_initial_contact(step);
}

void write_signature_proof(Step& step) {
  step.reply.add(PayloadType::id, step.sa.handshake->own_id);
  for (const Bytes& certificate : step.sa.handshake->identity->chain)
    step.reply.add(PayloadType::cert, cert_body(certificate));
  step.reply.add(PayloadType::sig, std::get<Bytes>(step.value));
  add_initial_contact(step);
}

}  // namespace cohort::ike
