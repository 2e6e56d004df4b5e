#pragma once

#include "controlplane/ike/main_mode.hpp"

/// The handlers of main mode's table, by role and topic. Only main_mode.cpp includes this.
namespace cohort::ike {

// main_mode_initiator.cpp
Status send_offer(Step& step);
Status take_choice(Step& step);
Status send_public_value(Step& step);
Status take_peer_public_value(Step& step);
Status send_proof_by_hash(Step& step);
Status send_proof_by_signature(Step& step);

// main_mode_responder.cpp
Status answer_offer(Step& step);
Status take_initiator_public_value(Step& step);
Status share(Step& step);
Status answer_public_value(Step& step);
Status answer_proof_by_hash(Step& step);
Status take_verdict_and_sign(Step& step);
Status answer_proof_by_signature(Step& step);

// main_mode_proof.cpp: both roles
Status begin_signing(Step& step);
Status check_peer_hash(Step& step);
Status check_peer_certificate(Step& step);
Status take_verdict(Step& step);

// main_mode_common.cpp
/// Picks pre-shared key or certificate for the agreed transform, and our ID payload.
Status choose_credentials(Step& step, const Phase1Policy& policy, Handshake& handshake);
void write_public_value(Step& step, ByteView own_nonce);
void note_vendor_ids(Step& step, PeerCapabilities& peer);
/// Compares the NAT-D payloads with what we see (RFC 3947 section 3.2).
[[nodiscard]] bool detects_nat(const Step& step);
/// SKEYID and all that follows from it; own key, nonces and g^xy are known.
void derive(Step& step, const Secret& shared);
/// The peer's proof holds: adopt identity, IV and endpoints.
void adopt_candidate(Step& step);
/// Our ID payload and HASH for it.
[[nodiscard]] Bytes own_hash(const Step& step);
[[nodiscard]] Bytes peer_hash(const Step& step, ByteView peer_id);
void write_hash_proof(Step& step);
void write_signature_proof(Step& step);

}  // namespace cohort::ike
