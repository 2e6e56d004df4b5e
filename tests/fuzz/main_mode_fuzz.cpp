#include <cstdlib>

#include "controlplane/ike/identification.hpp"
#include "controlplane/ike/keying.hpp"
#include "controlplane/ike/main_mode.hpp"
#include "controlplane/ike/proposal.hpp"
#include "tests/exchange/phase1_fixture.hpp"

/// One message of main mode at each place of its table where one is taken, the last ones under keys
/// that the fuzzer has: the first octet says where, the second is the type of the first payload,
/// the rest is the chain. A right HASH can be asked for, so that what lies behind it is reached. A
/// refused message must leave the SA as it was.
namespace cohort::harness {
namespace {

using ike::Phase1Sa;
using ike::State;

constexpr std::uint8_t as_initiator = 1, with_certificates = 2, right_hash = 16;
enum class Stage : std::uint8_t { offer, public_value, proof };

struct Stage0 {
  Stage0() {
    const Endpoint peer = theirs();
    host.credentials.share_key(peer.address, "k");
    const TestCa ca("Fuzz CA");
    LeafOptions leaf{.common_name = "us"};
    host.credentials.enrol("GETVPN", ca.issue(leaf));
    host.credentials.trust("GETVPN", ca.certificate());
    options = options_with(
        {fast_policy(ike::AuthMethod::pre_shared_key), fast_policy(ike::AuthMethod::ecdsa_256)});
    options.nat_traversal = true;
  }
  [[nodiscard]] static Endpoint theirs() { return {IpAddress::v4(0x0a090002), gdoi_port}; }

  Net net{5};
  Host& host = net.add_host("10.9.0.1");
  ike::IsakmpOptions options;
};

Stage0& stage() {
  static Stage0 once;
  return once;
}

std::shared_ptr<const crypto::DhKey> fixed_key(std::uint8_t octet) {
  return std::make_shared<const crypto::DhKey>(
      crypto::DhKey::from_private(crypto::DhGroup::ecp256, Secret(Bytes(32, octet))).value());
}

/// An SA that waits for the message.
Phase1Sa sa_at(Stage where, std::uint8_t how) {
  static const auto ours = fixed_key(3), peers = fixed_key(4);
  Phase1Sa sa;
  const bool initiator = (how & as_initiator) != 0;
  const bool certificates = (how & with_certificates) != 0;
  sa.role = initiator ? ike::Role::initiator : ike::Role::responder;
  sa.state = where == Stage::offer          ? (initiator ? State::sa_sent : State::idle)
             : where == Stage::public_value ? (initiator ? State::ke_sent : State::sa_sent)
                                            : (initiator ? State::auth_sent : State::ke_sent);
  sa.initiator_cookie = {1};
  sa.responder_cookie = {2};
  sa.info.local = stage().host.at(gdoi_port);
  sa.info.remote = Stage0::theirs();
  sa.info.transform = stage().options.policies[certificates ? 1 : 0];
  sa.peer.nat_traversal = true;
  sa.handshake = std::make_unique<ike::Handshake>();
  ike::Handshake& handshake = *sa.handshake;
  handshake.offered = stage().options.policies;
  handshake.initiator_sa = ike::offer_body(ike::doi_gdoi, ike::situation_gdoi, handshake.offered);
  if (where == Stage::offer) return sa;
  handshake.own_key = ours;
  handshake.initiator_nonce = Bytes(32, 5);
  handshake.own_id = ike::id_body(sa.info.local.address);
  if (certificates)
    handshake.identity = stage().host.credentials.local("GETVPN");
  else
    handshake.pre_shared_key = Secret::of_text("k");
  if (where == Stage::public_value) return sa;
  handshake.responder_nonce = Bytes(32, 6);
  handshake.peer_public = to_bytes(peers->public_value());
  const Secret shared(Bytes(32, 7));
  handshake.skeyid = ike::skeyid_of_pre_shared_key(crypto::Hash::sha256, shared, sa.key_inputs());
  sa.keys = ike::derive_keys(crypto::Cipher::aes_128, crypto::Hash::sha256, handshake.skeyid,
                             shared, sa.key_inputs());
  return sa;
}

/// The chain with its first HASH made right for its first ID.
Bytes with_hash(const Phase1Sa& sa, std::uint8_t first, ByteView chain) {
  Bytes out = to_bytes(chain);
  const auto payloads = ike::walk(static_cast<ike::PayloadType>(first), out, true);
  if (!payloads) return out;
  const auto* id = ike::find_payload(*payloads, ike::PayloadType::id);
  const auto* hash = ike::find_payload(*payloads, ike::PayloadType::hash);
  if (id == nullptr || hash == nullptr || hash->body.size() != 32) return out;
  const auto make = sa.role == ike::Role::initiator ? ike::hash_r : ike::hash_i;
  const Bytes right = make(crypto::Hash::sha256, sa.handshake->skeyid, sa.key_inputs(), id->body);
  std::copy(right.begin(), right.end(), out.begin() + (hash->body.data() - out.data()));
  return out;
}

Bytes message_for(const Phase1Sa& sa, Stage where, std::uint8_t first, ByteView chain) {
  Bytes body = to_bytes(chain);
  ike::Header header;
  header.initiator = sa.initiator_cookie;
  if (where != Stage::offer || sa.role == ike::Role::initiator)
    header.responder = sa.responder_cookie;
  header.next = static_cast<ike::PayloadType>(first);
  header.exchange = ike::ExchangeType::identity_protection;
  if (where == Stage::proof) {
    body.resize((body.size() + 15) / 16 * 16);
    body = crypto::cbc_encrypt(sa.keys.cipher, sa.keys.cipher_key.view(), sa.keys.last_block, body)
               .value_or(Bytes(16));
    header.flags = ike::flag_encryption;
  }
  header.length = static_cast<std::uint32_t>(ike::Header::size + body.size());
  Writer out;
  header.write(out);
  out.bytes(body);
  return out.take();
}

void run(std::uint8_t how, std::uint8_t first, ByteView rest) {
  const auto where = static_cast<Stage>((how >> 2 & 3) % 3);
  Phase1Sa sa = sa_at(where, how);
  const bool hashed = where == Stage::proof && (how & right_hash) != 0;
  const Bytes chain = hashed ? with_hash(sa, first, rest) : to_bytes(rest);
  const Bytes message = message_for(sa, where, first, chain);
  const auto header = ike::Header::parse(message);
  if (!header) return;
  const State before = sa.state;
  const Bytes iv = sa.keys.last_block;
  ike::Step step{stage().host.world, stage().options, stage().net.now(), sa};
  step.message = message;
  step.header = *header;
  step.local = sa.info.local;
  step.remote = sa.info.remote;
  ike::Outcome outcome = ike::on_message(step);
  if (outcome.refused && (sa.state != before || sa.keys.last_block != iv)) std::abort();
  if (outcome.established && where != Stage::proof) std::abort();
  for (int jobs = 0; outcome.job && jobs < 4; ++jobs) {
    ike::Step next{stage().host.world, stage().options, stage().net.now(), sa};
    next.last_block = sa.handshake->candidate_last_block;
    outcome = ike::on_job(next, run_job(*outcome.job));
  }
}

}  // namespace
}  // namespace cohort::harness

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= 2) cohort::harness::run(data[0], data[1], {data + 2, size - 2});
  return 0;
}
