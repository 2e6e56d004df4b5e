#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "controlplane/ike/dpd.hpp"
#include "controlplane/ike/fragmentation.hpp"
#include "controlplane/ike/isakmp.hpp"
#include "controlplane/ike/keying.hpp"
#include "controlplane/ike/vendor_ids.hpp"

/// The state of one phase 1 SA. Plain data: main_mode changes it until it is established, Isakmp
/// after that, and only those two.
namespace cohort::ike {

enum class Role : std::uint8_t { initiator, responder };

/// Where main mode stands. `idle` is both before the first message and after a failure.
enum class State : std::uint8_t {
  idle,
  sa_sent,     ///< the proposal is out (initiator) or the choice (responder)
  generating,  ///< our key pair is being made
  ke_sent,     ///< our public value is out
  sharing,     ///< g^xy is being computed
  signing,     ///< our signature is being made
  auth_sent,   ///< our proof is out (initiator)
  verifying,   ///< the peer's signature is being checked
  established
};

/// What is needed only until the SA is established.
struct Handshake {
  std::vector<Phase1Policy> offered;
  Bytes initiator_sa;  ///< SAi_b
  std::shared_ptr<const crypto::DhKey> own_key;
  Bytes peer_public;
  Bytes initiator_nonce, responder_nonce;
  Secret skeyid;
  std::optional<LocalIdentity> identity;  ///< for signatures
  std::optional<Secret> pre_shared_key;
  Bytes own_id;  ///< body of our ID payload

  // Of a message that has been accepted, but is not yet proven.
  PeerIdentity candidate;
  Bytes candidate_last_block;
  Endpoint candidate_local, candidate_remote;
  bool candidate_initial_contact = false;
  Bytes accepted_digest;                   ///< of the peer's last message that a handler took
  std::optional<VerifyJob> other_reading;  ///< of the peer's signature, if the first one fails
  bool proof_is_hashed = false;            ///< the peer's signature held in that reading

  unsigned failures = 0;      ///< messages or jobs that failed after their form was right
  unsigned verdicts = 0;      ///< protected notifications that the peer does not take our proof
  unsigned hints_sent = 0;    ///< unprotected notifications to the peer
  std::optional<Error> hint;  ///< the last thing that went wrong, for the reason of giving up
  bool nat = false;           ///< NAT-D says that an address was translated
};

/// Repetition of our last message, with back-off.
struct Retransmission {
  TimePoint due = never;
  Duration wait{};
  unsigned sent = 0;
};

struct Phase1Sa {
  Phase1Info info;  ///< transform, remote and local from the start; the rest once established
  Role role = Role::initiator;
  State state = State::idle;
  Cookie initiator_cookie{};
  Cookie responder_cookie{};
  std::uint32_t doi = doi_gdoi;
  PeerCapabilities peer;
  Phase1Keys keys{};  ///< last_block is the running IV until established
  Bytes peer_id;      ///< body of its ID payload
  std::unique_ptr<Handshake> handshake;
  TimePoint created{};
  TimePoint answered{};  ///< when `sent` was sent first
  JobId job = 0;         ///< the one whose result is awaited

  Bytes sent;             ///< our last message of main mode
  Bytes answered_digest;  ///< of the peer's message that `sent` answers
  Retransmission retransmission;
  TimePoint give_up = never;       ///< of a responder that is not established
  TimePoint forget_sent = never;   ///< when the last answer need not be repeated any more
  std::optional<Error> stillborn;  ///< failed before the first message; told by the next timer

  Endpoint requested;       ///< as initiate() was asked; info.remote may move behind a NAT
  bool superseded = false;  ///< a newer SA with the peer has replaced it
  TimePoint rekey_at = never;
  Reassembly reassembly;
  TimePoint keepalive_at = never;     ///< as initiator behind a NAT (RFC 3948 section 4)
  TimePoint fragments_until = never;  ///< then what is unfinished is forgotten
  std::uint16_t last_fragment_id = 0;
  Dpd dpd;
  std::optional<std::uint32_t> peer_dpd_sequence;
  std::vector<std::uint32_t> seen_message_ids;  ///< of Informationals, a ring
  std::size_t seen_at = 0;

  [[nodiscard]] bool established() const { return state == State::established; }
  [[nodiscard]] const Cookie& own_cookie() const {
    return role == Role::initiator ? initiator_cookie : responder_cookie;
  }
  [[nodiscard]] KeyInputs key_inputs() const;  ///< views into the handshake
};

}  // namespace cohort::ike
