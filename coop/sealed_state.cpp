#include "coop/sealed_state.hpp"

#include <fmt/format.h>

#include "controlplane/crypto/cbc.hpp"
#include "controlplane/crypto/hash.hpp"
#include "coop/key_schedule.hpp"
#include "coop/reasons.hpp"
#include "coop/replica.hpp"

namespace cohort::coop {

namespace {

constexpr std::string_view magic = "COHCOOP2";
constexpr std::uint8_t form_clear = 0;
constexpr std::uint8_t form_sealed = 1;
constexpr std::size_t block = 16;
constexpr std::size_t head_octets = 8 + 1 + block;
constexpr std::size_t tag_octets = 32;

Bytes tag_of(const Secret& state_key, std::string_view name, ByteView covered) {
  if (state_key.empty()) return crypto::digest(crypto::Hash::sha256, {as_bytes(name), covered});
  const Secret key = hkdf_expand(state_key, {as_bytes("cohort coop v1 state mac")}, 32);
  return crypto::hmac(crypto::Hash::sha256, key.view(), {as_bytes(name), covered});
}

Secret cipher_key(const Secret& state_key) {
  return hkdf_expand(state_key, {as_bytes("cohort coop v1 state cipher")}, 32);
}

}  // namespace

std::string state_name(std::string_view group, unsigned bucket) {
  return fmt::format("coop/{}/{}", to_hex(as_bytes(group)), bucket);
}

std::string state_head_name(std::string_view group) {
  return state_name(group, Replica::buckets);
}

Result<Bytes> seal_state(Random& random, const Secret& state_key, std::string_view name,
                         ByteView octets) {
  Writer out;
  out.bytes(as_bytes(magic)).u8(state_key.empty() ? form_clear : form_sealed);
  const Bytes iv = random.bytes(block);
  out.bytes(iv);
  if (state_key.empty()) {
    out.bytes(octets);
  } else {
    // Length in front, zeros behind, since the cipher has no padding of its own.
    Writer plain;
    plain.u32(static_cast<std::uint32_t>(octets.size())).bytes(octets);
    plain.zeros((block - plain.size() % block) % block);
    Bytes padded = plain.take();
    auto sealed =
        crypto::cbc_encrypt(crypto::Cipher::aes_256, cipher_key(state_key).view(), iv, padded);
    zeroize(padded);
    COHORT_TRY(const Bytes text, std::move(sealed));
    out.bytes(text);
  }
  const Bytes tag = tag_of(state_key, name, out.view());
  out.bytes(tag);
  return out.take();
}

Result<Secret> open_state(const Secret& state_key, std::string_view name, ByteView blob) {
  const std::string where(name);
  if (blob.size() < head_octets + tag_octets || !equal(blob.first(8), as_bytes(magic)))
    return fail(coop_corrupt_state, where + " is no state of this version");
  if ((blob[8] == form_sealed) == state_key.empty())
    return fail(coop_corrupt_state,
                where + (state_key.empty() ? " is sealed and no state key is configured"
                                           : " is not sealed though a state key is configured"));
  const ByteView covered = blob.first(blob.size() - tag_octets);
  if (!equal_constant_time(tag_of(state_key, name, covered), blob.last(tag_octets)))
    return fail(coop_corrupt_state, where + " is damaged, or sealed with another key");
  const ByteView body = covered.subspan(head_octets);
  if (state_key.empty()) return Secret(body);
  auto plain = crypto::cbc_decrypt(crypto::Cipher::aes_256, cipher_key(state_key).view(),
                                   covered.subspan(9, block), body);
  if (!plain) return fail(coop_corrupt_state, where + " has an impossible length");
  const Secret opened = Secret::take(std::move(*plain));
  Reader in(opened.view());
  const std::size_t length = in.u32();
  const ByteView octets = in.take(length);
  if (!in.ok()) return fail(coop_corrupt_state, where + " has an impossible length");
  return Secret(octets);
}

}  // namespace cohort::coop
