#include "gdoi/member_claim.hpp"

#include <string_view>

#include "controlplane/crypto/hash.hpp"

namespace cohort::gdoi {
namespace {

constexpr std::size_t random_octets = 24, mark_octets = 8;
constexpr std::string_view holds_keys = "cohort member 1: holds keys of the group";
constexpr std::string_view without_keys = "cohort member 1: starts anew";

Bytes mark_of(std::string_view claim, ByteView random) {
  Bytes mark = crypto::digest(crypto::Hash::sha256, {as_bytes(claim), random});
  mark.resize(mark_octets);
  return mark;
}

}  // namespace

Bytes make_member_nonce(Random& random, bool starts_anew) {
  Bytes nonce = random.bytes(random_octets);
  const Bytes mark = mark_of(starts_anew ? without_keys : holds_keys, nonce);
  nonce.insert(nonce.end(), mark.begin(), mark.end());
  return nonce;
}

MemberClaim read_member_nonce(ByteView nonce) {
  constexpr MemberClaim stranger{false, true};
  if (nonce.size() != random_octets + mark_octets) return stranger;
  const ByteView random = nonce.first(random_octets), mark = nonce.last(mark_octets);
  if (equal(mark, mark_of(holds_keys, random))) return {true, false};
  if (equal(mark, mark_of(without_keys, random))) return {true, true};
  return stranger;
}

}  // namespace cohort::gdoi
