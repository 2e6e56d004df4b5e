#include <cstdlib>

#include "gdoi/groupkey_push.hpp"
#include "gdoi/member_keys.hpp"

// GROUPKEY-PUSH behind its encryption. An even first octet: type of the first payload and the chain
// in clear, encrypted here as any member could (they all hold the KEK), then taken as if its
// signature had verified. An odd one: the datagram as it comes.
using namespace cohort;

namespace {

gdoi::Kek kek() {
  gdoi::Kek out;
  out.spi.fill(0x5a);
  out.cipher = crypto::Cipher::aes_128;
  out.iv = Secret(Bytes(16, 1));
  out.key = Secret(Bytes(16, 2));
  return out;
}

Bytes encrypted(const gdoi::Kek& under, std::uint8_t first, ByteView chain) {
  Bytes plain = to_bytes(chain);
  plain.resize((plain.size() + 15) / 16 * 16);
  if (plain.empty()) plain.resize(16);
  const Bytes body =
      crypto::cbc_encrypt(under.cipher, under.key.view(), under.iv.view(), plain).value();
  Writer out;
  out.bytes(under.spi).u8(first).u8(0x10).u8(33).u8(1).u32(0);
  out.u32(static_cast<std::uint32_t>(ike::Header::size + body.size())).bytes(body);
  return out.take();
}

void take(const gdoi::Kek& under, const gdoi::OpenedPush& opened) {
  static const gdoi::GroupMemberOptions options = [] {
    gdoi::GroupMemberOptions out;
    out.allow_weak = true;
    return out;
  }();
  const auto content = gdoi::read_push(opened);
  if (!content) return;
  std::optional<gdoi::OfferedPolicy> policy;
  if (content->sa) {
    auto read = gdoi::read_policy(*content->sa, options);
    if (!read) return;
    policy = std::move(*read);
  }
  gdoi::MemberKeys keys(options);
  const TimePoint now{std::chrono::hours{1}};
  for (int twice = 0; twice < 2; ++twice) {
    (void)keys.update(now, policy, *content, under.spi);
    (void)keys.snapshot(now);
  }
  const TimePoint later = keys.next_change(now);
  if (later != never && later > now) {
    keys.expire(later);
    if (keys.next_change(later) <= later) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 60000) return 0;
  const gdoi::Kek under = kek();
  const ByteView rest(data + 1, size - 1);
  const auto opened = data[0] % 2 == 0
                          ? gdoi::open_push(under, encrypted(under, rest[0], rest.subspan(1)))
                          : gdoi::open_push(under, rest);
  if (opened) take(under, *opened);
  return 0;
}
