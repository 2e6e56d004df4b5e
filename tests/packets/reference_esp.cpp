#include "tests/packets/reference_esp.hpp"

#include <memory>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdexcept>

#include "tests/packets/packet.hpp"

namespace cohort::test {
namespace {

using dataplane::Sa;
using dataplane::SuiteShape;
using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

void need(int code) {
  if (code != 1) throw std::runtime_error("OpenSSL refused");
}
void append(Bytes& out, ByteView more) {
  out.insert(out.end(), more.begin(), more.end());
}

const EVP_CIPHER* cipher_of(const SuiteShape& shape) {
  if (shape.aead)
    return shape.cipher_key == 16   ? EVP_aes_128_gcm()
           : shape.cipher_key == 24 ? EVP_aes_192_gcm()
                                    : EVP_aes_256_gcm();
  return shape.cipher_key == 16   ? EVP_aes_128_cbc()
         : shape.cipher_key == 24 ? EVP_aes_192_cbc()
                                  : EVP_aes_256_cbc();
}

const EVP_MD* hash_of(const SuiteShape& shape) {
  return shape.integrity_key == 20   ? EVP_sha1()
         : shape.integrity_key == 32 ? EVP_sha256()
         : shape.integrity_key == 48 ? EVP_sha384()
                                     : EVP_sha512();
}

Bytes gcm(const Sa& sa, bool encrypt, ByteView iv, ByteView aad, ByteView in, Bytes& tag) {
  Bytes nonce = to_bytes(sa.salt.view());
  append(nonce, iv);
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  need(EVP_CipherInit_ex(context.get(), cipher_of(shape_of(sa.suite)), nullptr,
                         sa.cipher_key.view().data(), nonce.data(), encrypt ? 1 : 0));
  int n = 0;
  need(EVP_CipherUpdate(context.get(), nullptr, &n, aad.data(), static_cast<int>(aad.size())));
  Bytes out(in.size());
  need(EVP_CipherUpdate(context.get(), out.data(), &n, in.data(), static_cast<int>(in.size())));
  if (!encrypt) need(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, 16, tag.data()));
  if (EVP_CipherFinal_ex(context.get(), out.data(), &n) != 1) return {};
  if (encrypt) {
    tag.resize(16);
    need(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, 16, tag.data()));
  }
  return out;
}

Bytes cbc(const Sa& sa, bool encrypt, ByteView iv, ByteView in) {
  const Context context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  need(EVP_CipherInit_ex(context.get(), cipher_of(shape_of(sa.suite)), nullptr,
                         sa.cipher_key.view().data(), iv.data(), encrypt ? 1 : 0));
  need(EVP_CIPHER_CTX_set_padding(context.get(), 0));
  Bytes out(in.size());
  int n = 0;
  need(EVP_CipherUpdate(context.get(), out.data(), &n, in.data(), static_cast<int>(in.size())));
  return out;
}

Bytes hmac(const Sa& sa, ByteView data) {
  const SuiteShape& shape = shape_of(sa.suite);
  Bytes out(64);
  unsigned size = 0;
  HMAC(hash_of(shape), sa.integrity_key.view().data(), static_cast<int>(sa.integrity_key.size()),
       data.data(), data.size(), out.data(), &size);
  out.resize(shape.icv);
  return out;
}

Bytes outer_header(const Bytes& inner, std::size_t payload, std::uint16_t id) {
  Writer out;
  const ByteView view(inner);
  if (inner[0] >> 4 == 6) {
    out.bytes(view.first(4)).u16(static_cast<std::uint16_t>(payload)).u8(50).u8(inner[7]);
    out.bytes(view.subspan(8, 32));
    return out.take();
  }
  out.u8(0x45).u8(inner[1]).u16(static_cast<std::uint16_t>(20 + payload)).u16(id);
  out.u8(inner[6] & 0x40).u8(0).u8(inner[8]).u8(50).u16(0).bytes(view.subspan(12, 8));
  out.patch_u16(10, internet_checksum(out.view()));
  return out.take();
}

}  // namespace

Bytes seal(const Sa& sa, const Bytes& inner, const SealOptions& options, std::uint16_t id) {
  const SuiteShape& shape = shape_of(sa.suite);
  Bytes text = inner;
  append(text, options.tfc);
  std::size_t pad = (shape.block - (text.size() + 2) % shape.block) % shape.block;
  pad += options.extra_pad * shape.block;
  if (options.padding) {
    append(text, *options.padding);
    pad = options.padding->size();
  } else {
    for (std::size_t i = 1; i <= pad; ++i) text.push_back(static_cast<std::uint8_t>(i));
  }
  text.push_back(options.pad_length.value_or(static_cast<std::uint8_t>(pad)));
  text.push_back(
      options.next_header.value_or(inner[0] >> 4 == 6 ? std::uint8_t{41} : std::uint8_t{4}));
  Writer esp;
  esp.u32(sa.spi).u32(options.sequence);
  const Bytes aad = to_bytes(esp.view());
  esp.bytes(options.iv);
  Bytes tag;
  if (shape.aead) {
    esp.bytes(gcm(sa, true, options.iv, aad, text, tag));
  } else {
    esp.bytes(cbc(sa, true, options.iv, text));
    tag = hmac(sa, esp.view());
  }
  esp.bytes(tag);
  const Bytes body = esp.take();
  Bytes out = outer_header(inner, body.size(), id);
  append(out, body);
  return out;
}

std::optional<Sealed> open(const Sa& sa, const Bytes& packet) {
  const SuiteShape& shape = shape_of(sa.suite);
  const std::size_t header = packet[0] >> 4 == 6 ? 40 : (packet[0] & 15u) * 4;
  Sealed out;
  const ByteView all(packet);
  out.outer = to_bytes(all.first(header));
  const ByteView esp = all.subspan(header);
  if (esp.size() < 8u + shape.iv + shape.icv + shape.block) return std::nullopt;
  Reader reader(esp);
  out.spi = reader.u32();
  out.sequence = reader.u32();
  const ByteView iv = reader.take(shape.iv);
  const ByteView cipher_text = reader.take(reader.remaining() - shape.icv);
  Bytes tag = to_bytes(reader.rest());
  if (cipher_text.size() % shape.block != 0) return std::nullopt;
  Bytes text;
  if (shape.aead) {
    text = gcm(sa, false, iv, esp.first(8), cipher_text, tag);
    if (text.empty()) return std::nullopt;
  } else {
    if (hmac(sa, esp.first(esp.size() - shape.icv)) != tag) return std::nullopt;
    text = cbc(sa, false, iv, cipher_text);
  }
  out.next_header = text.back();
  const std::size_t pad = text[text.size() - 2];
  if (pad + 2 > text.size()) return std::nullopt;
  const auto pad_from = text.end() - 2 - static_cast<std::ptrdiff_t>(pad);
  out.padding.assign(pad_from, text.end() - 2);
  out.inner.assign(text.begin(), pad_from);
  return out;
}

}  // namespace cohort::test
