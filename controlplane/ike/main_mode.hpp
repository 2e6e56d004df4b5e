#pragma once

#include <optional>
#include <span>
#include <vector>

#include "controlplane/ike/message_rules.hpp"
#include "controlplane/ike/payloads.hpp"
#include "controlplane/ike/sa.hpp"

/// Main mode of IKEv1 (RFC 2409 section 5): the table of its transitions and the engine that walks
/// it. Knows nothing of sockets, timers or other SAs.
namespace cohort::ike {

enum class Input : std::uint8_t { start, message, key, secret, signature, verified };
enum class Auth : std::uint8_t { any, pre_shared_key, signature };
enum class Sends : std::uint8_t { nothing, clear, encrypted };

/// One step, as its handler sees it, and what the handler wants done.
struct Step {
  World& world;
  const IsakmpOptions& options;
  TimePoint now;
  Phase1Sa& sa;
  bool first_contact = true;  ///< no other SA with this peer is known

  // For a message: whole, with its header and payloads, from where, to where.
  ByteView message = {};
  Header header = {};
  std::vector<RawPayload> payloads = {};
  Bytes last_block = {};  ///< of an encrypted message
  Endpoint local = {};
  Endpoint remote = {};
  // For a finished job.
  JobValue value = {};

  // Effects.
  PayloadWriter reply = {};
  std::optional<Job> job = {};
};
/// On failure the SA must be as it was.
using Handler = Status (*)(Step&);

struct Row {
  Role role;
  State state;
  Input input;
  Auth auth;
  Rule rule;  ///< for a message
  Handler handler;
  State next;
  Sends sends;
  State on_failure;  ///< where a failed handler or job leads; idle ends the SA
};
[[nodiscard]] std::span<const Row> main_mode_table();
[[nodiscard]] const Row* find_row(Role role, State state, Input input, Auth auth);

/// What a step has led to.
struct Outcome {
  std::optional<Bytes> send;  ///< a whole message for the peer
  std::optional<Job> job;     ///< to post; its result is the next input
  bool established = false;
  std::optional<Error> refused;    ///< the input was refused; the SA stands unless `ended`
  bool proven_peer_fault = false;  ///< refused after decryption: worth telling the peer, protected
  bool ended = false;
};

/// Starts as initiator.
[[nodiscard]] Outcome start(Step& step);
/// A message of main mode for this SA that is no duplicate.
[[nodiscard]] Outcome on_message(Step& step);
/// The job of this SA is done.
[[nodiscard]] Outcome on_job(Step& step, JobResult result);

/// The policies that can be used with a peer: strong enough, and with credentials at hand.
[[nodiscard]] std::vector<Phase1Policy> usable_policies(const World& world,
                                                        const IsakmpOptions& options,
                                                        const IpAddress& remote);

}  // namespace cohort::ike
