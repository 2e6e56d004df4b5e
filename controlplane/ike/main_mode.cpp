#include "controlplane/ike/main_mode.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "controlplane/ike/main_mode_handlers.hpp"
#include "controlplane/ike/proposal.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

/// What one SA may cost us in public-key work before it is left to time out.
constexpr unsigned failures_max = 5;

constexpr Role I = Role::initiator;
constexpr Role R = Role::responder;

// RFC 2409 sections 5, 5.1 and 5.4; * is encrypted. A row is: in this role and state, on this
// input, this kind of authentication and with this message rule (first line), the handler runs and
// leads to the next state, sends an answer or not, or, if it fails, leads to the last state.
//
//      Initiator                                   Responder
//   1  HDR, SA [, VID]                       -->
//   2                                        <--   HDR, SA [, VID]
//   3  HDR, KE, Ni [, CERTREQ] [, NAT-D]     -->
//   4                                        <--   HDR, KE, Nr [, CERTREQ] [, NAT-D]
//   5  HDR*, IDii, [CERT,] SIG_I | HASH_I    -->
//   6                                        <--   HDR*, IDir, [CERT,] SIG_R | HASH_R
using S = State;
using In = Input;
using A = Auth;
// clang-format off
constexpr std::array table{
    //  --> 1
    Row{I, S::idle,       In::start,      A::any,            Rule::none,
        send_offer,                  S::sa_sent,     Sends::clear,     S::idle},
    //  <-- 2
    Row{I, S::sa_sent,    In::message,    A::any,            Rule::sa,
        take_choice,                 S::generating,  Sends::nothing,   S::sa_sent},
    //  --> 3
    Row{I, S::generating, In::key,        A::any,            Rule::none,
        send_public_value,           S::ke_sent,     Sends::clear,     S::idle},
    //  <-- 4
    Row{I, S::ke_sent,    In::message,    A::any,            Rule::ke,
        take_peer_public_value,      S::sharing,     Sends::nothing,   S::ke_sent},
    //  --> 5
    Row{I, S::sharing,    In::secret,     A::pre_shared_key, Rule::none,
        send_proof_by_hash,          S::auth_sent,   Sends::encrypted, S::ke_sent},
    Row{I, S::sharing,    In::secret,     A::signature,      Rule::none,
        begin_signing,               S::signing,     Sends::nothing,   S::ke_sent},
    Row{I, S::signing,    In::signature,  A::signature,      Rule::none,
        send_proof_by_signature,     S::auth_sent,   Sends::encrypted, S::idle},
    //  <-- 6
    Row{I, S::auth_sent,  In::message,    A::pre_shared_key, Rule::hash,
        check_peer_hash,             S::established, Sends::nothing,   S::auth_sent},
    Row{I, S::auth_sent,  In::message,    A::signature,      Rule::signature,
        check_peer_certificate,      S::verifying,   Sends::nothing,   S::auth_sent},
    Row{I, S::verifying,  In::verified,   A::signature,      Rule::none,
        take_verdict,                S::established, Sends::nothing,   S::auth_sent},

    //  --> 1, <-- 2
    Row{R, S::idle,       In::message,    A::any,            Rule::sa,
        answer_offer,                S::sa_sent,     Sends::clear,     S::idle},
    //  --> 3
    Row{R, S::sa_sent,    In::message,    A::any,            Rule::ke,
        take_initiator_public_value, S::generating,  Sends::nothing,   S::sa_sent},
    Row{R, S::generating, In::key,        A::any,            Rule::none,
        share,                       S::sharing,     Sends::nothing,   S::idle},
    //  <-- 4
    Row{R, S::sharing,    In::secret,     A::any,            Rule::none,
        answer_public_value,         S::ke_sent,     Sends::clear,     S::sa_sent},
    //  --> 5, <-- 6
    Row{R, S::ke_sent,    In::message,    A::pre_shared_key, Rule::hash,
        answer_proof_by_hash,        S::established, Sends::encrypted, S::ke_sent},
    Row{R, S::ke_sent,    In::message,    A::signature,      Rule::signature,
        check_peer_certificate,      S::verifying,   Sends::nothing,   S::ke_sent},
    Row{R, S::verifying,  In::verified,   A::signature,      Rule::none,
        take_verdict_and_sign,       S::signing,     Sends::nothing,   S::ke_sent},
    Row{R, S::signing,    In::signature,  A::signature,      Rule::none,
        answer_proof_by_signature,   S::established, Sends::encrypted, S::idle},
};
// clang-format on

/// Each row but the starts is entered from another of its role; what comes after the keys is
/// encrypted; a message never loses more than itself.
constexpr bool table_is_sound() {
  for (const Row& row : table) {
    bool entered = row.state == State::idle;
    for (const Row& other : table)
      entered = entered || (other.role == row.role && other.next == row.state);
    if (!entered) return false;
    if ((row.input == Input::message) != (row.rule != Rule::none)) return false;
    if (row.input == Input::message && row.on_failure != row.state) return false;
    const bool keys_known =
        row.state == State::auth_sent || (row.role == R && row.state == State::ke_sent);
    if (row.rule != Rule::none && rule_of(row.rule).encrypted != keys_known) return false;
    if (row.next == State::established && row.role == R && row.sends != Sends::encrypted)
      return false;
  }
  return true;
}
static_assert(table_is_sound());

Auth auth_of(const Phase1Sa& sa) {
  return is_signature(sa.info.transform.auth) ? Auth::signature : Auth::pre_shared_key;
}

/// Decrypts if the rule says so, walks the chain, applies the rule.
Status open(Step& step, const MessageRule& rule, Bytes& plain) {
  ByteView chain = step.message.subspan(Header::size);
  if (rule.encrypted != step.header.encrypted())
    return rule.encrypted ? fail(not_encrypted, std::string(rule.name))
                          : fail(bad_header, "encrypted before there are keys");
  if (rule.encrypted) {
    const Phase1Keys& keys = step.sa.keys;
    COHORT_TRY(plain,
               crypto::cbc_decrypt(keys.cipher, keys.cipher_key.view(), keys.last_block, chain));
    step.last_block = to_bytes(chain.last(crypto::block_size(keys.cipher)));
    chain = plain;
  }
  auto payloads = walk(step.header.next, chain, rule.encrypted);
  const Status fits = payloads ? check(rule, *payloads) : fail(payloads.error());
  if (!fits) return rule.encrypted ? fail(undecryptable, fits.error().text()) : fail(fits.error());
  step.payloads = std::move(*payloads);
  return {};
}

Result<Bytes> build(Step& step, Sends how) {
  Phase1Sa& sa = step.sa;
  Header header;
  header.initiator = sa.initiator_cookie;
  header.responder = sa.responder_cookie;
  header.next = step.reply.first();
  header.exchange = ExchangeType::identity_protection;
  Bytes body = to_bytes(step.reply.view());
  if (how == Sends::encrypted) {
    const std::size_t block = crypto::block_size(sa.keys.cipher);
    body.resize((body.size() + block - 1) / block * block);
    COHORT_TRY(body, crypto::cbc_encrypt(sa.keys.cipher, sa.keys.cipher_key.view(),
                                         sa.keys.last_block, body));
    sa.keys.last_block = to_bytes(ByteView(body).last(block));
    header.flags = flag_encryption;
  }
  header.length = static_cast<std::uint32_t>(Header::size + body.size());
  Writer out;
  header.write(out);
  out.bytes(body);
  return out.take();
}

Outcome refused(Step& step, const Row& row, Error error) {
  Outcome outcome;
  step.sa.state = row.on_failure;
  outcome.ended = row.on_failure == State::idle;
  step.sa.handshake->hint = error;
  outcome.refused = std::move(error);
  return outcome;
}

/// Runs a row's handler and turns what it left in the step into an outcome.
Outcome run(Step& step, const Row& row) {
  if (Status done = row.handler(step); !done) {
    ++step.sa.handshake->failures;
    return refused(step, row, std::move(done).error());
  }
  Outcome outcome;
  if (row.sends != Sends::nothing) {
    auto message = build(step, row.sends);
    if (!message) return refused(step, row, std::move(message).error());
    outcome.send = std::move(*message);
  }
  step.sa.state = row.next;
  outcome.job = std::move(step.job);
  outcome.established = row.next == State::established;
  return outcome;
}

/// The peer's signature does not hold in the usual reading; our own will follow the peer's.
Outcome read_again(Step& step) {
  Handshake& handshake = *step.sa.handshake;
  Outcome outcome;
  outcome.job = std::move(*handshake.other_reading);
  handshake.other_reading.reset();
  handshake.proof_is_hashed = true;
  return outcome;
}

std::optional<Input> input_of(State state) {
  switch (state) {
    case State::generating:
      return Input::key;
    case State::sharing:
      return Input::secret;
    case State::signing:
      return Input::signature;
    case State::verifying:
      return Input::verified;
    case State::idle:
    case State::sa_sent:
    case State::ke_sent:
    case State::auth_sent:
    case State::established:
      break;
  }
  return std::nullopt;
}

}  // namespace

KeyInputs Phase1Sa::key_inputs() const {
  const bool initiator = role == Role::initiator;
  const ByteView ours = handshake->own_key->public_value();
  const ByteView theirs = handshake->peer_public;
  return {initiator_cookie,          responder_cookie,           initiator ? ours : theirs,
          initiator ? theirs : ours, handshake->initiator_nonce, handshake->responder_nonce,
          handshake->initiator_sa};
}

std::span<const Row> main_mode_table() {
  return table;
}

const Row* find_row(Role role, State state, Input input, Auth auth) {
  const auto* found = std::find_if(table.begin(), table.end(), [&](const Row& row) {
    return row.role == role && row.state == state && row.input == input &&
           (row.auth == Auth::any || row.auth == auth);
  });
  return found == table.end() ? nullptr : found;
}

Outcome start(Step& step) {
  return run(step, *find_row(Role::initiator, State::idle, Input::start, Auth::any));
}

Outcome on_message(Step& step) {
  const Row* row = find_row(step.sa.role, step.sa.state, Input::message, auth_of(step.sa));
  if (row == nullptr) {
    Outcome outcome;
    outcome.refused = Error(unexpected_message, "main mode is not waiting for a message");
    return outcome;
  }
  if (step.sa.handshake->failures >= failures_max) {
    Outcome outcome;
    outcome.refused = Error(unexpected_message, "too many failed attempts");
    return outcome;
  }
  Bytes plain;
  if (Status opened = open(step, rule_of(row->rule), plain); !opened)
    return refused(step, *row, std::move(opened).error());
  Outcome outcome = run(step, *row);
  outcome.proven_peer_fault = outcome.refused && rule_of(row->rule).encrypted;
  return outcome;
}

Outcome on_job(Step& step, JobResult result) {
  const auto input = input_of(step.sa.state);
  if (!input) return {};
  const Row* row = find_row(step.sa.role, step.sa.state, *input, auth_of(step.sa));
  if (!result) {
    if (*input == Input::verified && step.sa.handshake->other_reading) return read_again(step);
    ++step.sa.handshake->failures;
    Outcome outcome = refused(step, *row, std::move(result).error());
    outcome.proven_peer_fault = *input == Input::verified;
    return outcome;
  }
  step.value = std::move(*result);
  return run(step, *row);
}

std::vector<Phase1Policy> usable_policies(const World& world, const IsakmpOptions& options,
                                          const IpAddress& remote) {
  const auto identity = world.credentials.local(options.trustpoint);
  const bool shared_key = world.credentials.pre_shared_key(remote).has_value();
  std::vector<Phase1Policy> usable;
  for (const Phase1Policy& policy : options.policies) {
    if (is_weak(policy) && !options.allow_weak) continue;
    const bool credentials = is_signature(policy.auth)
                                 ? identity && method_of(identity->key.type()) == policy.auth
                                 : shared_key;
    if (credentials) usable.push_back(policy);
  }
  return usable;
}

}  // namespace cohort::ike
