#include "controlplane/ike/secure_exchange.hpp"

#include <fmt/format.h>
#include <utility>

namespace cohort::ike {

namespace {

std::array<std::uint8_t, 4> octets_of(std::uint32_t value) {
  return {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
          static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}

Bytes last_block_of(ByteView cipher_text, std::size_t block) {
  return to_bytes(cipher_text.last(block));
}

}  // namespace

// RFC 2409 appendix B: the first IV of an exchange after phase 1 is
// hash(last CBC block of phase 1 | M-ID), cut to the cipher's block.
SecureExchange::SecureExchange(const Phase1Keys& keys, const Cookie& initiator,
                               const Cookie& responder, std::uint32_t message_id)
    : cipher_(keys.cipher),
      hash_(keys.hash),
      skeyid_a_(keys.skeyid_a.clone()),
      cipher_key_(keys.cipher_key.clone()),
      initiator_(initiator),
      responder_(responder),
      message_id_(message_id),
      iv_(crypto::digest(keys.hash, {keys.last_block, octets_of(message_id)})) {
  iv_.resize(crypto::block_size(cipher_));
}

Result<SecureExchange::Opened> SecureExchange::open(ByteView message) const {
  COHORT_TRY(const Header header, Header::parse(message));
  if (header.initiator != initiator_ || header.responder != responder_)
    return fail(bad_header, "the cookies are not those of the exchange");
  if (header.message_id != message_id_)
    return fail(bad_header, "the message id is not that of the exchange");
  if (!header.encrypted()) return fail(bad_header, "the message is not encrypted");
  const ByteView cipher_text = message.subspan(Header::size);
  COHORT_TRY(Bytes plain, crypto::cbc_decrypt(cipher_, cipher_key_.view(), iv_, cipher_text));
  return Opened{std::move(plain), last_block_of(cipher_text, iv_.size())};
}

Result<Bytes> SecureExchange::seal(ExchangeType exchange, PayloadType first, ByteView chain) {
  const std::size_t block = iv_.size();
  Bytes plain;
  plain.reserve(chain.size() + block);  // no copy stays behind when it is padded
  plain.assign(chain.begin(), chain.end());
  plain.resize((plain.size() + block - 1) / block * block);
  auto sealed = crypto::cbc_encrypt(cipher_, cipher_key_.view(), iv_, plain);
  zeroize(plain);
  COHORT_TRY(const Bytes cipher_text, std::move(sealed));
  Header header;
  header.initiator = initiator_;
  header.responder = responder_;
  header.next = first;
  header.exchange = exchange;
  header.flags = flag_encryption;
  header.message_id = message_id_;
  header.length = static_cast<std::uint32_t>(Header::size + cipher_text.size());
  Writer out;
  header.write(out);
  out.bytes(cipher_text);
  iv_ = last_block_of(cipher_text, block);
  return out.take();
}

Bytes SecureExchange::hash(std::initializer_list<ByteView> parts) const {
  // hmac() takes a list; the parts follow M-ID, so they are joined here once.
  Writer text;
  text.u32(message_id_);
  for (const ByteView part : parts) text.bytes(part);
  return crypto::hmac(hash_, skeyid_a_.view(), {text.view()});
}

}  // namespace cohort::ike
