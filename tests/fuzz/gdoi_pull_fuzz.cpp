#include <cstdlib>

#include "gdoi/groupkey_pull.hpp"
#include "gdoi/member_keys.hpp"

// GROUPKEY-PULL behind its encryption: the first octet chooses the message, the rest is what
// follows HASH (type of the first payload, then the chain). HASH is made right, so that what an
// authenticated but hostile peer can say reaches the parsers, and a member's policy and keys.
using namespace cohort;

namespace {

ike::SecureExchange exchange() {
  const ike::Phase1Keys keys{
      crypto::Cipher::aes_128, crypto::Hash::sha256, Secret(Bytes(32, 1)), Secret(Bytes(32, 2)),
      Secret(Bytes(32, 3)),    Secret(Bytes(16, 4)), Bytes(16, 5)};
  return {keys, ike::Cookie{1}, ike::Cookie{2}, 77};
}

const Bytes ni(16, 0x11), nr(16, 0x22);

Bytes both() {
  Bytes nonces = ni;
  nonces.insert(nonces.end(), nr.begin(), nr.end());
  return nonces;
}

/// A message with a right HASH over whatever chain.
Bytes seal(ike::SecureExchange& through, ByteView nonces, std::uint8_t first, ByteView chain) {
  const Bytes hash = through.hash({nonces, chain});
  Writer plain;
  plain.u8(first).u8(0).u16(static_cast<std::uint16_t>(4 + hash.size())).bytes(hash).bytes(chain);
  return through.seal(ike::ExchangeType::groupkey_pull, ike::PayloadType::hash, plain.view())
      .value();
}

gdoi::GroupMemberOptions options() {
  gdoi::GroupMemberOptions out;
  out.group_name = "fuzz";
  return out;
}

void member_keys(const gdoi::SaPayload& sa, const gdoi::KdPayload& kd) {
  static const gdoi::GroupMemberOptions accepted = options();
  const auto policy = gdoi::read_policy(sa, accepted);
  if (!policy) return;
  gdoi::MemberKeys keys(accepted);
  const TimePoint now{std::chrono::hours{1}};
  if (!keys.install(now, *policy, kd, 3)) return;
  (void)keys.snapshot(now);
  (void)keys.next_change(now);
}

/// The other messages are built by our own side, so that the fuzzed one is read in its state.
void server_reads(std::uint8_t which, std::uint8_t first, ByteView chain) {
  ike::SecureExchange peer = exchange();
  gdoi::PullResponder server(exchange(), nr);
  if (which == 0) {
    (void)server.read_request(seal(peer, {}, first, chain));
    return;
  }
  gdoi::PullInitiator member(exchange(), ni);
  const auto request = member.request({gdoi::id_type::key_id, 0, 0, {0, 0, 1, 0xe4}});
  if (!server.read_request(*request)) std::abort();
  gdoi::SaPayload sa;
  sa.sats.push_back({3, Bytes{1}});
  const auto offer = server.offer(sa);
  ike::SecureExchange continued = exchange();
  for (const Bytes& seen : {*request, *offer}) continued.commit(continued.open(seen).value());
  (void)server.read_proof(seal(continued, both(), first, chain));
}

void member_reads(std::uint8_t which, std::uint8_t first, ByteView chain) {
  gdoi::PullInitiator member(exchange(), ni);
  const auto request = member.request({gdoi::id_type::key_id, 0, 0, {0, 0, 1, 0xe4}});
  ike::SecureExchange peer = exchange();
  peer.commit(peer.open(*request).value());
  if (which == 1) {
    const auto offer = member.read_offer(seal(peer, ni, first, chain));
    if (offer) member_keys(*offer, {});
    return;
  }
  ike::PayloadWriter offered;
  offered.add(ike::PayloadType::nonce, nr);
  gdoi::SaPayload sa;
  sa.sats.push_back({3, Bytes{1}});
  offered.add(ike::PayloadType::sa, gdoi::encode_sa(sa));
  if (!member.read_offer(gdoi::seal_hashed(peer, gdoi::pull_2, ni, offered).value())) std::abort();
  const auto proof = member.prove(2);
  peer.commit(peer.open(*proof).value());
  const auto keys = member.read_keys(seal(peer, both(), first, chain));
  if (keys) (void)gdoi::read_sender_ids(keys->kd);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 60000) return 0;
  const std::uint8_t which = data[0] % 5;
  const ByteView chain(data + 2, size - 2);
  if (which == 4) {  // as it comes from the network
    gdoi::PullResponder server(exchange(), nr);
    (void)server.read_request(ByteView(data + 1, size - 1));
  } else if (which == 0 || which == 2) {
    server_reads(which, data[1], chain);
  } else {
    member_reads(which, data[1], chain);
  }
  return 0;
}
