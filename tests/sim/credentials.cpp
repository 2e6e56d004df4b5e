#include "tests/sim/credentials.hpp"

#include <algorithm>

#include "controlplane/crypto/hash.hpp"
#include "tests/sim/keys.hpp"
#include "tests/sim/prng.hpp"

namespace cohort::sim {

namespace {

constexpr std::string_view magic = "SIMCERT1";
constexpr std::size_t mac_size = 32;
constexpr std::size_t certificate_size = 1100;  // as an X.509 one has, so that messages are long

Bytes tagged(std::uint8_t tag, ByteView content) {
  Writer out;
  out.u8(tag);
  if (content.size() < 128) {
    out.u8(static_cast<std::uint8_t>(content.size()));
  } else {
    out.u8(0x82).u16(static_cast<std::uint16_t>(content.size()));
  }
  return out.bytes(content).take();
}

// SET { SEQUENCE { OID 2.5.4.`last`, UTF8String } }
Bytes relative_name(std::uint8_t last, std::string_view value) {
  const std::uint8_t oid[] = {0x06, 0x03, 0x55, 0x04, last};
  Writer pair;
  pair.bytes(oid).bytes(tagged(0x0c, as_bytes(value)));
  return tagged(0x31, tagged(0x30, pair.view()));
}

void put_text(Writer& out, std::string_view text) {
  out.u16(static_cast<std::uint16_t>(text.size())).bytes(as_bytes(text));
}

std::string get_text(Reader& in) {
  const auto view = in.take(in.u16());
  return {view.begin(), view.end()};
}

}  // namespace

Bytes der_name(std::string_view organizational_unit, std::string_view common_name) {
  Writer sequence;
  if (!organizational_unit.empty()) sequence.bytes(relative_name(11, organizational_unit));
  sequence.bytes(relative_name(3, common_name));
  return tagged(0x30, sequence.view());
}

Authority::Authority(std::uint64_t seed) : name_(der_name("", "simulated authority")) {
  Bytes octets(32);
  Prng(seed).fork("authority").fill(octets);
  secret_ = Secret::take(std::move(octets));
  for (const auto pem : key_pems) keys_.push_back(crypto::PrivateKey::from_pem(pem, {}).value());
}

const crypto::PrivateKey& Authority::key_of(std::string_view common_name) const {
  return keys_[hash64(common_name) % (keys_.size() - 1)];
}

Bytes Authority::issue(const Grant& grant) const {
  Writer out;
  out.bytes(as_bytes(magic));
  put_text(out, grant.common_name);
  put_text(out, grant.organizational_unit);
  out.u64(static_cast<std::uint64_t>(grant.expires.time_since_epoch().count()));
  out.zeros(certificate_size - mac_size - out.size());
  const auto mac = crypto::hmac(crypto::Hash::sha256, secret_.view(), {out.view()});
  return out.bytes(mac).take();
}

Result<PeerIdentity> Authority::verify(WallTime now, ByteView certificate) const {
  if (certificate.size() < mac_size) return fail(sim_certificate_refused, "too short");
  const auto signed_part = certificate.first(certificate.size() - mac_size);
  const auto mac = crypto::hmac(crypto::Hash::sha256, secret_.view(), {signed_part});
  if (!equal_constant_time(mac, certificate.last(mac_size)))
    return fail(sim_certificate_refused, "forged");
  Reader in(signed_part);
  in.skip(magic.size());
  const auto common_name = get_text(in);
  const auto unit = get_text(in);
  const WallTime expires{std::chrono::seconds(static_cast<std::int64_t>(in.u64()))};
  if (!in.ok()) return fail(sim_certificate_refused, "malformed");
  if (now > expires) return fail(sim_certificate_refused, "expired");
  if (revoked_.contains(common_name)) return fail(sim_certificate_refused, "revoked");
  PeerIdentity identity;
  identity.by_certificate = true;
  identity.subject_der = der_name(unit, common_name);
  identity.subject = "CN=" + common_name + ",OU=" + unit;
  identity.attributes = {{"OU", unit}, {"CN", common_name}};
  identity.issuer = "CN=simulated authority";
  identity.fingerprint_sha256 = to_hex(crypto::digest(crypto::Hash::sha256, {certificate}));
  identity.key = key_of(common_name).public_key();
  return identity;
}

Secret Authority::pair_secret(const IpAddress& a, const IpAddress& b) const {
  const auto& low = std::min(a, b);
  const auto& high = std::max(a, b);
  return Secret::take(
      crypto::hmac(crypto::Hash::sha256, secret_.view(), {low.bytes(), high.bytes()}));
}

void SimCredentials::enrol(const Authority::Grant& grant) {
  identity_ = LocalIdentity{{authority_.issue(grant)},
                            authority_.key_of(grant.common_name),
                            der_name(grant.organizational_unit, grant.common_name)};
}

std::optional<LocalIdentity> SimCredentials::local(std::string_view) const {
  return identity_;
}

std::vector<Bytes> SimCredentials::issuers(std::string_view) const {
  return {authority_.name()};
}

Result<PeerIdentity> SimCredentials::verify(std::string_view, std::span<const Bytes> chain) const {
  if (chain.empty()) return fail(sim_certificate_refused, "no certificate");
  return authority_.verify(wall_(), chain.front());
}

std::optional<Secret> SimCredentials::pre_shared_key(const IpAddress& peer) const {
  if (!pre_shared_) return std::nullopt;
  return authority_.pair_secret(address_, peer);
}

}  // namespace cohort::sim
