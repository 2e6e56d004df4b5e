#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "controlplane/base/time.hpp"
#include "controlplane/ike/secure_exchange.hpp"
#include "gdoi/message_rules.hpp"
#include "gdoi/payloads.hpp"

/// GROUPKEY-PULL (RFC 6407 section 3.2), the protocol alone: both roles as values that build and
/// check messages, know no group and no policy. key_server and group_member own them.
///
///     GM                                     KS
///     (1) HDR*, HASH(1), Ni, ID      -->           HASH(1) = prf(a, M-ID | Ni | ID)
///     (2)                            <--     HDR*, HASH(2), Nr, SA
///                                                  HASH(2) = prf(a, M-ID | Ni_b | Nr | SA)
///     (3) HDR*, HASH(3) [, GAP]      -->           HASH(3) = prf(a, M-ID | Ni_b | Nr_b [| GAP])
///     (4)                            <--     HDR*, HASH(4), [SEQ,] KD
///                                                  HASH(4) = prf(a, M-ID | Ni_b | Nr_b [|SEQ] |
///                                                  KD)
namespace cohort::gdoi {

/// A decrypted message whose HASH is right and whose payloads follow its rule. Wiped when it goes.
struct HashedMessage {
  ike::SecureExchange::Opened opened;
  std::vector<ike::RawPayload> payloads;  ///< views into `opened`

  HashedMessage() = default;
  HashedMessage(HashedMessage&&) = default;
  HashedMessage& operator=(HashedMessage&&) = default;
  ~HashedMessage() { zeroize(opened.plain); }
  [[nodiscard]] ByteView body(ike::PayloadType type) const;  ///< empty if absent
};

/// HASH over `nonces` and the chain, then everything sealed. `nonces` is what stands between M-ID
/// and the chain.
[[nodiscard]] Result<Bytes> seal_hashed(ike::SecureExchange& exchange, const MessageRule& rule,
                                        ByteView nonces, const ike::PayloadWriter& chain);
/// Decrypts, checks the rule and the HASH. Does not advance the exchange: commit() does.
[[nodiscard]] Result<HashedMessage> open_hashed(const ike::SecureExchange& exchange,
                                                const MessageRule& rule, ByteView nonces,
                                                ByteView datagram);

enum class PullState : std::uint8_t {
  idle,
  // the member's
  requesting,  ///< message 1 sent
  deciding,    ///< message 2 read: is the policy acceptable?
  proving,     ///< message 3 sent
  // the key server's
  offering,        ///< message 1 read
  awaiting_proof,  ///< message 2 sent
  granting,        ///< message 3 read: now the group's state may change
  done
};

enum class PullEvent : std::uint8_t {
  send_1,
  read_1,
  send_2,
  read_2,
  send_3,
  read_3,
  send_4,
  read_4
};

struct PullRow {
  PullState from;
  PullEvent event;
  PullState to;
};
inline constexpr PullRow pull_table[] = {
    // HDR*, HASH(1), Ni, ID
    {PullState::idle, PullEvent::send_1, PullState::requesting},
    {PullState::idle, PullEvent::read_1, PullState::offering},
    // HDR*, HASH(2), Nr, SA
    {PullState::offering, PullEvent::send_2, PullState::awaiting_proof},
    {PullState::requesting, PullEvent::read_2, PullState::deciding},
    // HDR*, HASH(3) [, GAP]
    {PullState::deciding, PullEvent::send_3, PullState::proving},
    {PullState::awaiting_proof, PullEvent::read_3, PullState::granting},
    // HDR*, HASH(4), [SEQ,] KD
    {PullState::granting, PullEvent::send_4, PullState::done},
    {PullState::proving, PullEvent::read_4, PullState::done},
};
/// The state that `event` leads to, if it may happen in `from`.
[[nodiscard]] std::optional<PullState> pull_next(PullState from, PullEvent event);

/// The member's side.
class PullInitiator {
 public:
  /// `nonce`: Ni_b, 8 to 128 octets, fresh.
  PullInitiator(ike::SecureExchange exchange, Bytes nonce)
      : exchange_(std::move(exchange)), ni_(std::move(nonce)) {}

  [[nodiscard]] Result<Bytes> request(const IdPayload& group);  ///< message 1
  /// Message 2: the offered policy. A refused message changes nothing.
  [[nodiscard]] Result<SaPayload> read_offer(ByteView datagram);
  /// Message 3, with a request for sender ids if the policy needs several.
  [[nodiscard]] Result<Bytes> prove(std::optional<std::uint16_t> sender_ids);
  struct Keys {
    std::optional<std::uint32_t> seq;
    KdPayload kd;
  };
  /// Message 4.
  [[nodiscard]] Result<Keys> read_keys(ByteView datagram);
  /// An already accepted message has arrived again.
  [[nodiscard]] bool is_repeated(ByteView datagram) const { return equal(last_read_, datagram); }
  [[nodiscard]] PullState state() const { return state_; }
  [[nodiscard]] std::uint32_t message_id() const { return exchange_.message_id(); }

 private:
  ike::SecureExchange exchange_;
  PullState state_ = PullState::idle;
  Bytes ni_, nr_;
  Bytes last_read_;
};

/// The key server's side. Holds nothing that the group would notice before message 3 is right.
class PullResponder {
 public:
  /// `nonce`: Nr_b.
  PullResponder(ike::SecureExchange exchange, Bytes nonce)
      : exchange_(std::move(exchange)), nr_(std::move(nonce)) {}

  /// Message 1: the group that is asked for.
  [[nodiscard]] Result<IdPayload> read_request(ByteView datagram);
  [[nodiscard]] Result<Bytes> offer(const SaPayload& policy);  ///< message 2
  /// Message 3: proof of liveness, and how many sender ids the member wants.
  [[nodiscard]] Result<GapPayload> read_proof(ByteView datagram);
  /// Message 4.
  [[nodiscard]] Result<Bytes> grant(std::optional<std::uint32_t> seq, const KdPayload& kd);
  /// The answer given to this very datagram before, to send again; null if it is new.
  [[nodiscard]] const Bytes* cached_answer(ByteView datagram) const;
  /// Ni_b, once message 1 is read: HASH(1) has covered it.
  [[nodiscard]] ByteView member_nonce() const { return ni_; }
  [[nodiscard]] PullState state() const { return state_; }

 private:
  ike::SecureExchange exchange_;
  PullState state_ = PullState::idle;
  Bytes ni_, nr_;
  Bytes last_read_, last_sent_;
};

}  // namespace cohort::gdoi
