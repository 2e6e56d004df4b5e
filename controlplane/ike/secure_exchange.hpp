#pragma once

#include "controlplane/base/secret.hpp"
#include "controlplane/crypto/cbc.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/ike/message.hpp"

namespace cohort::ike {

/// The keys of an established phase 1 (RFC 2409 section 5 and appendix B).
struct Phase1Keys {
  crypto::Cipher cipher;
  crypto::Hash hash;  ///< also the prf, as HMAC
  Secret skeyid_d, skeyid_a, skeyid_e;
  Secret cipher_key;
  Bytes last_block;  ///< last CBC block of phase 1, from which each exchange's first IV is made
};

/// A phase-2 style exchange under a phase 1: its message id and running IV. A value; the owner of
/// the exchange keeps it.
class SecureExchange {
 public:
  SecureExchange(const Phase1Keys& keys, const Cookie& initiator, const Cookie& responder,
                 std::uint32_t message_id);

  /// Wiped when it goes: a chain may carry keys.
  struct Opened {
    Opened() = default;
    Opened(Bytes plain_in, Bytes next_iv_in)
        : plain(std::move(plain_in)), next_iv(std::move(next_iv_in)) {}
    Opened(Opened&&) noexcept = default;
    Opened& operator=(Opened&&) noexcept = default;
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
    ~Opened() { zeroize(plain); }
    Bytes plain;  ///< payload chain with its padding
    Bytes next_iv;
  };
  /// Decrypts a message without changing the running IV; authenticate it, then commit().
  [[nodiscard]] Result<Opened> open(ByteView message) const;
  void commit(const Opened& opened) { iv_ = opened.next_iv; }

  /// Header, zero padding, encryption; advances the IV. The result is ready to send.
  [[nodiscard]] Result<Bytes> seal(ExchangeType exchange, PayloadType first, ByteView chain);

  /// prf(SKEYID_a, M-ID | parts…), which every HASH(n) begins with.
  [[nodiscard]] Bytes hash(std::initializer_list<ByteView> parts) const;
  [[nodiscard]] std::uint32_t message_id() const { return message_id_; }

 private:
  crypto::Cipher cipher_;
  crypto::Hash hash_;
  Secret skeyid_a_;
  Secret cipher_key_;
  Cookie initiator_, responder_;
  std::uint32_t message_id_;
  Bytes iv_;
};

}  // namespace cohort::ike
