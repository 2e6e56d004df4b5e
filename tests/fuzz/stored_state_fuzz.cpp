#include <cstdlib>

#include "controlplane/crypto/hash.hpp"
#include "coop/replica.hpp"
#include "coop/sealed_state.hpp"
#include "gdoi/ks_state.hpp"
#include "pki/keyring.hpp"
#include "pki/scep_client.hpp"
#include "tests/exchange/harness.hpp"

/// What lies on the disk: a file may be damaged, old, or put there by somebody. The first octet
/// says which one the rest is. Checksums and seals that do not need a secret are made right, so
/// that what lies behind them is read.
namespace cohort::harness {
namespace {

constexpr std::string_view group = "fuzz";

void require(bool holds) {
  if (!holds) std::abort();
}

gdoi::KsGroupState empty_state() {
  static const crypto::PrivateKey key = test_key(crypto::KeyType::ecdsa_p256, 7);
  return {gdoi::KeyServerOptions{{}, key, {}}, {}, gdoi::Membership{}, {}, {}, nullptr, {}};
}

Bytes summed(ByteView octets) {
  Bytes out = to_bytes(octets);
  const Bytes sum = crypto::digest(crypto::Hash::sha256, {octets});
  out.insert(out.end(), sum.begin(), sum.end());
  return out;
}

/// A key server's keys, or its members beside good keys.
void key_server(Host& host, bool members, ByteView rest) {
  const std::string prefix =
      "gdoi/" + to_hex(crypto::digest(crypto::Hash::sha256, {as_bytes(group)})).substr(0, 16);
  gdoi::KsStore store(host.world, std::string(group));
  const TimePoint now = host.world.clock.now();
  require(store.save_keys(now, empty_state()).has_value());
  require(host.store.put(prefix + (members ? "/members.0" : "/keys"), summed(rest)).has_value());
  gdoi::KsGroupState state = empty_state();
  if (!store.load(now, state)) return;
  // What was accepted is accepted again.
  require(store.save_keys(now, state) && store.save_all_members(now, state));
  gdoi::KsGroupState again = empty_state();
  require(store.load(now, again).has_value());
  require(again.keys.teks.size() == state.keys.teks.size() &&
          again.members.all().size() == state.members.all().size());
}

void replica(Host& host, ByteView rest) {
  const Secret key(Bytes(32, 9));
  const auto blob = coop::seal_state(host.world.random, key, "name", rest);
  require(blob.has_value());
  const auto opened = coop::open_state(key, "name", *blob);
  require(opened && equal(opened->view(), rest));
  coop::Replica read{IpAddress::v4(1)};
  if (!read.restore_bucket(opened->view())) return;
  for (unsigned bucket = 0; bucket < coop::Replica::buckets; ++bucket) {
    coop::Replica again{IpAddress::v4(1)};
    require(again.restore_bucket(read.encode_bucket(bucket).view()).has_value());
  }
}

void trustpoint(Host& host, std::string_view what, ByteView rest) {
  require(host.store.put("trustpoints/tp/" + std::string(what), rest).has_value());
  pki::KeyPairs keys(host.store);
  pki::TrustpointOptions options;
  options.name = "tp";
  pki::Trustpoint read(std::move(options), host.store, host.world.clock);
  if (!read.load(keys)) return;
  (void)read.ca_certificates();
  (void)read.identity();
}

void transaction(ByteView rest) {
  const auto read = pki::ScepTransaction::parse(rest);
  if (!read) return;
  const auto again = pki::ScepTransaction::parse(read->encode());
  require(again && again->encode() == read->encode());
}

void run(std::uint8_t which, ByteView rest) {
  Net net{9};
  Host& host = net.add_host("10.9.0.1");
  switch (which % 8) {
    case 0:
    case 1:
      return key_server(host, which % 8 == 1, rest);
    case 2:
      return replica(host, rest);
    case 3:  // as it stands: sealed with a key that nobody else has, and in clear
      require(!coop::open_state(Secret(Bytes(32, 9)), "name", rest));
      (void)coop::open_state(Secret(), "name", rest);
      return;
    case 4:
      return transaction(rest);
    case 5:
      return trustpoint(host, "ca.pem", rest);
    case 6:
      return trustpoint(host, "crls.der", rest);
    default: {
      require(host.store.put("keys/k.key", rest).has_value());
      (void)pki::KeyPairs(host.store).find("k");
      require(host.store.put("keys/index", rest).has_value());
      (void)pki::KeyPairs(host.store).labels();
    }
  }
}

}  // namespace
}  // namespace cohort::harness

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= 1) cohort::harness::run(data[0], {data + 1, size - 1});
  return 0;
}
