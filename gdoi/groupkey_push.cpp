#include "gdoi/groupkey_push.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "controlplane/crypto/cbc.hpp"
#include "controlplane/crypto/hash.hpp"
#include "controlplane/crypto/reasons.hpp"
#include "gdoi/algorithms.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using crypto::SignatureForm;
using ike::PayloadType;

ike::Header header_of(const Kek& kek, PayloadType first, std::size_t length) {
  ike::Header header;
  std::copy_n(kek.spi.begin(), 8, header.initiator.begin());
  std::copy_n(kek.spi.begin() + 8, 8, header.responder.begin());
  header.next = first;
  header.exchange = ike::ExchangeType::groupkey_push;
  header.flags = ike::flag_encryption;
  header.length = static_cast<std::uint32_t>(length);
  return header;
}

/// hash("rekey" | HDR | payloads before SIG); the prefix has no terminator.
Bytes signed_digest(const Kek& kek, PayloadType first, std::size_t length, ByteView payloads) {
  Writer header;
  header_of(kek, first, length).write(header);
  return crypto::digest(kek.signature_hash, {as_bytes("rekey"), header.view(), payloads});
}

/// The chain with a SIG of zeros at its end, so that the last payload's Next Payload is right.
ike::PayloadWriter write_chain(std::uint32_t seq, const PushContent& content, ByteView signature) {
  ike::PayloadWriter chain;
  chain.add(PayloadType::seq, encode_seq(seq));
  for (const DeletePayload& del : content.deletes) chain.add(PayloadType::del, encode_delete(del));
  if (content.sa) chain.add(PayloadType::sa, encode_sa(*content.sa));
  if (content.kd) {
    Bytes body = encode_kd(*content.kd);
    chain.add(PayloadType::kd, body);
    zeroize(body);
  }
  chain.add(PayloadType::sig, signature);
  return chain;
}

std::size_t padded(std::size_t size, std::size_t block) {
  return (size + block - 1) / block * block;
}

std::vector<PushForm> forms_for(crypto::KeyType type, const std::optional<PushForm>& likely) {
  std::vector<PushForm> forms;
  if (likely) forms.push_back(*likely);
  const auto add = [&forms](SignatureForm form, bool padded_length) {
    const PushForm candidate{form, padded_length};
    if (std::find(forms.begin(), forms.end(), candidate) == forms.end()) forms.push_back(candidate);
  };
  for (const bool padded_length : {false, true}) {
    if (type == crypto::KeyType::rsa) {
      add(SignatureForm::rsa_pkcs1, padded_length);
      add(SignatureForm::rsa_pkcs1_bare, padded_length);
    } else {
      add(SignatureForm::ecdsa_concatenated, padded_length);
    }
  }
  return forms;
}

}  // namespace

Result<PreparedPush> prepare_push(const Kek& kek, std::uint32_t seq, const PushContent& content,
                                  std::size_t signature_octets) {
  if (content.sa.has_value() != content.kd.has_value()) {
    return fail(malformed_push, "SA and KD come together");
  }
  Bytes chain = write_chain(seq, content, Bytes(signature_octets)).take();
  PreparedPush prepared;
  prepared.seq = seq;
  prepared.first = PayloadType::seq;
  prepared.signature_octets = signature_octets;
  const std::size_t length = ike::Header::size + chain.size();
  chain.resize(chain.size() - 4 - signature_octets);
  prepared.digest = signed_digest(kek, prepared.first, length, chain);
  prepared.signed_payloads = Secret::take(std::move(chain));
  return prepared;
}

Result<Bytes> finish_push(const Kek& kek, const PreparedPush& prepared, ByteView signature) {
  if (signature.size() != prepared.signature_octets) {
    return fail(malformed_push, "a signature of another length than announced");
  }
  Writer clear;
  clear.bytes(prepared.signed_payloads.view());
  clear.u8(0).u8(0).u16(static_cast<std::uint16_t>(4 + signature.size())).bytes(signature);
  clear.zeros(padded(clear.size(), crypto::block_size(kek.cipher)) - clear.size());
  Bytes plain = clear.take();
  auto encrypted = crypto::cbc_encrypt(kek.cipher, kek.key.view(), kek.iv.view(), plain);
  zeroize(plain);
  if (!encrypted) return fail(std::move(encrypted).error());
  Writer out;
  header_of(kek, prepared.first, ike::Header::size + encrypted->size()).write(out);
  out.bytes(*encrypted);
  return out.take();
}

std::size_t push_size(const Kek& kek, const PushContent& content, std::size_t signature_octets) {
  Bytes chain = write_chain(0, content, Bytes(signature_octets)).take();
  const std::size_t size = chain.size();
  zeroize(chain);
  return ike::Header::size + padded(size, crypto::block_size(kek.cipher));
}

Result<OpenedPush> open_push(const Kek& kek, ByteView datagram) {
  COHORT_TRY(const ike::Header header, ike::Header::parse(datagram));
  if (header.exchange != ike::ExchangeType::groupkey_push || header.flags != ike::flag_encryption ||
      header.message_id != 0) {
    return fail(malformed_push, "header");
  }
  COHORT_TRY(Bytes plain, crypto::cbc_decrypt(kek.cipher, kek.key.view(), kek.iv.view(),
                                              datagram.subspan(ike::Header::size)));
  OpenedPush opened;
  opened.plain = Secret::take(std::move(plain));
  opened.first = header.next;
  opened.sent_length = datagram.size();
  auto payloads = ike::walk(header.next, opened.plain.view(), true);
  if (!payloads) return fail(malformed_push, payloads.error().text());
  opened.payloads = std::move(*payloads);
  COHORT_CHECK(check_message(push, opened.payloads));
  const bool has_sa = find_payload(opened.payloads, PayloadType::sa) != nullptr;
  if (has_sa != (find_payload(opened.payloads, PayloadType::kd) != nullptr)) {
    return fail(malformed_push, "SA and KD come together");
  }
  if (opened.payloads.size() < 3) return fail(malformed_push, "neither Delete nor SA");
  COHORT_TRY(opened.seq, decode_seq(opened.payloads.front().body));
  const ByteView sig = opened.payloads.back().whole;
  opened.signed_octets = static_cast<std::size_t>(sig.data() - opened.plain.view().data());
  opened.unpadded_length = ike::Header::size + opened.signed_octets + sig.size();
  return opened;
}

std::string text(const PushForm& form) {
  const std::string_view length = form.padded_length ? "padded length" : "unpadded length";
  switch (form.signature) {
    case SignatureForm::rsa_pkcs1:
      return fmt::format("RSA with DigestInfo, {}", length);
    case SignatureForm::rsa_pkcs1_bare:
      return fmt::format("RSA over the bare digest, {}", length);
    case SignatureForm::ecdsa_concatenated:
      return fmt::format("ECDSA, {}", length);
  }
  return {};
}

Result<PushForm> verify_push(const Kek& kek, const crypto::PublicKey& key, const OpenedPush& opened,
                             const std::optional<PushForm>& likely) {
  const ByteView signature = opened.payloads.back().body;
  const ByteView image = opened.plain.view().first(opened.signed_octets);
  for (const PushForm& form : forms_for(key.type(), likely)) {
    // Without padding both lengths are the same, and so are their digests.
    if (form.padded_length && opened.sent_length == opened.unpadded_length) continue;
    const std::size_t length = form.padded_length ? opened.sent_length : opened.unpadded_length;
    const Bytes digest = signed_digest(kek, opened.first, length, image);
    if (key.verify(form.signature, kek.signature_hash, digest, signature)) return form;
  }
  return fail(bad_push_signature, fmt::format("SEQ {}", opened.seq));
}

Result<PushContent> read_push(const OpenedPush& opened) {
  PushContent content;
  for (const ike::RawPayload& payload : opened.payloads) {
    if (payload.type == PayloadType::del) {
      COHORT_TRY(DeletePayload del, decode_delete(payload.body));
      content.deletes.push_back(std::move(del));
    } else if (payload.type == PayloadType::sa) {
      COHORT_TRY(content.sa, decode_sa(payload.body));
    } else if (payload.type == PayloadType::kd) {
      COHORT_TRY(content.kd, decode_kd(payload.body));
      for (const KeyPacket& packet : content.kd->packets) {
        // Section 5.6.4.4: one sender id for many members would repeat nonces.
        if (std::holds_alternative<SenderIdKeys>(packet.keys)) {
          return fail(malformed_push, "sender ids in a GROUPKEY-PUSH");
        }
      }
    }
  }
  return content;
}

}  // namespace cohort::gdoi
