#include "gdoi/policy_wire.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "controlplane/crypto/hash.hpp"
#include "gdoi/algorithms.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

constexpr std::uint16_t encapsulation_tunnel = 1;
constexpr std::uint16_t preserve_both = 4;
constexpr std::uint16_t direction_receiver = 2;
constexpr std::uint16_t direction_symmetric = 3;
constexpr std::chrono::seconds tick_span{(std::uint64_t{1} << 32) * dataplane::replay_tick_ms /
                                         1000};

std::uint32_t seconds_left(TimePoint expires, TimePoint now) {
  if (expires <= now) return 0;
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(expires - now).count());
}

Status check_entry(const AclEntry& entry) {
  const dataplane::Selector& selector = entry.selector;
  if (selector.source.address.family() != selector.destination.address.family()) {
    return fail(bad_group_policy, entry.text() + ": addresses of two families");
  }
  if (entry.permit && !expressible(selector)) {
    return fail(bad_group_policy,
                entry.text() + ": GDOI can say one port or any, not a range; split the entry");
  }
  return {};
}

Status check_sa(const SaPolicy& sa) {
  std::size_t permits = 0;
  for (const AclEntry& entry : sa.acl) {
    COHORT_CHECK(check_entry(entry));
    permits += entry.permit ? 1 : 0;
  }
  if (permits == 0) {
    return fail(bad_group_policy, fmt::format("sa {}: no permit entry", sa.number));
  }
  if (sa.lifetime < std::chrono::seconds{10}) {
    return fail(bad_group_policy, fmt::format("sa {}: lifetime below 10 s", sa.number));
  }
  if (sa.replay != dataplane::ReplayKind::time) return {};
  if (sa.replay_window < time_window_min_ms || sa.replay_window > time_window_max_ms) {
    return fail(bad_group_policy,
                fmt::format("sa {}: a time window of {} ms; {} to {} fit", sa.number,
                            sa.replay_window, time_window_min_ms, time_window_max_ms));
  }
  // Before its ticks come round again the key has ended.
  if (sa.lifetime > tick_span / 2) {
    return fail(
        bad_group_policy,
        fmt::format("sa {}: with anti-replay by time a key lives for 248 days at most", sa.number));
  }
  return {};
}

Status check_rekey(const KeyServerOptions& options) {
  const RekeyPolicy& rekey = options.policy.rekey;
  if (rekey.transport == RekeyTransport::multicast &&
      (!rekey.multicast_destination || !rekey.multicast_destination->address.is_multicast())) {
    return fail(bad_group_policy, "multicast rekeys need a multicast destination");
  }
  if (rekey.lifetime < std::chrono::seconds{10}) {
    return fail(bad_group_policy, "KEK lifetime below 10 s");
  }
  if (signature_algorithm_to_wire(options.rekey_signing_key.type()) == 0) {
    return fail(bad_group_policy, "GDOI has no signature algorithm for the rekey key");
  }
  return {};
}

Secret joined(const Secret& a, const Secret& b) {
  Writer both;
  both.bytes(a.view()).bytes(b.view());
  return Secret::take(both.take());
}

/// As many octets as keys have, and none that is secret.
GroupTek sample_tek(const SaPolicy& sa) {
  const dataplane::SuiteShape& shape = dataplane::shape_of(sa.suite);
  GroupTek tek;
  tek.tek.spi = 256;
  tek.tek.suite = sa.suite;
  tek.tek.replay = sa.replay;
  tek.tek.replay_window = sa.replay_window;
  tek.tek.cipher_key = Secret(Bytes(shape.cipher_key));
  tek.tek.integrity_key = Secret(Bytes(shape.integrity_key));
  tek.tek.salt = Secret(Bytes(shape.salt));
  tek.tek.expires = TimePoint{sa.lifetime};
  return tek;
}

std::shared_ptr<RekeySa> sample_rekey_sa(const KeyServerOptions& options) {
  const RekeyPolicy& policy = options.policy.rekey;
  const crypto::PublicKey signer = options.rekey_signing_key.public_key();
  auto sa = std::make_shared<RekeySa>();
  sa->kek.cipher = policy.cipher;
  sa->kek.iv = Secret(Bytes(crypto::block_size(policy.cipher)));
  sa->kek.key = Secret(Bytes(crypto::key_size(policy.cipher)));
  sa->kek.signature_hash = hash_for(signer.type(), policy.signature_hash);
  sa->kek.signature_key_spki = signer.spki();
  sa->kek.expires = TimePoint{policy.lifetime};
  return sa;
}

/// A rekey is divided between SAs; a new KEK with the key that signs, or one SA, must fit whole.
Status check_push_size(const KeyServerOptions& options) {
  const auto rekey_sa = sample_rekey_sa(options);
  const crypto::PublicKey signer = options.rekey_signing_key.public_key();
  const auto fits = [&](const PushPlan& plan, const GroupKeys& keys,
                        const std::string& what) -> Status {
    const Endpoint widest{IpAddress::v6({}), 0};
    const PushContext context{options.policy,     keys,       widest, widest,
                              Extras{true, true}, TimePoint{}};
    const auto content = make_push(plan, context);
    if (!content) return {};
    const std::size_t size = push_size(rekey_sa->kek, *content, signature_size(signer));
    if (size <= options.push_size_max) return {};
    return fail(bad_group_policy,
                fmt::format("a rekey with {} takes {} octets and message_size_max is {}; raise it, "
                            "or sign with a shorter key than one of {} bits",
                            what, size, options.push_size_max, signer.bits()));
  };
  PushPlan kek;
  kek.new_kek = rekey_sa;
  COHORT_CHECK(fits(kek, {}, "a new KEK"));
  for (const SaPolicy& sa : options.policy.sas) {
    GroupKeys keys;
    keys.teks.push_back(sample_tek(sa));
    for (const AclEntry& entry : sa.acl) {
      PushPlan one;
      one.sats.push_back({entry.permit ? std::uint32_t{256} : 0, entry});
      COHORT_CHECK(fits(one, keys, entry.text()));
    }
  }
  return {};
}

}  // namespace

Status check_policy(const KeyServerOptions& options) {
  const GroupPolicy& policy = options.policy;
  if (policy.name.empty() || policy.sas.empty()) {
    return fail(bad_group_policy, "a group has a name and at least one SA");
  }
  const std::uint8_t bits = policy.sender_id_bits;
  if (bits != 8 && bits != 12 && bits != 16) {
    return fail(bad_group_policy, "sender_id_bits is 8, 12 or 16");
  }
  if (policy.activation_delay.count() > 65535 || policy.deactivation_delay.count() > 65535) {
    return fail(bad_group_policy, "delays have 16 bits of seconds");
  }
  std::size_t entries = 0;
  std::vector<std::uint32_t> numbers;
  for (const SaPolicy& sa : policy.sas) {
    COHORT_CHECK(check_sa(sa));
    if (std::find(numbers.begin(), numbers.end(), sa.number) != numbers.end()) {
      return fail(bad_group_policy, fmt::format("sa {} is there twice", sa.number));
    }
    numbers.push_back(sa.number);
    entries += sa.acl.size();
  }
  // A rekey shows each entry twice for a while.
  if (entries * 2 > sa_teks_max) {
    return fail(bad_group_policy, fmt::format("{} entries; {} fit", entries, sa_teks_max / 2));
  }
  COHORT_CHECK(check_rekey(options));
  return check_push_size(options);
}

bool in_use(const GroupTek& tek, const GroupPolicy& policy, TimePoint now) {
  if (tek.tek.expires <= now) return false;
  if (!tek.superseded || tek.receive_only) return true;
  // One second more than the delay: members count from when the rekey reached them.
  return now < *tek.superseded + policy.activation_delay + std::chrono::seconds{1};
}

std::vector<SatPlan> plan_policy(const GroupPolicy& policy, const GroupKeys& keys, TimePoint now) {
  std::vector<SatPlan> plan;
  for (const SaPolicy& sa : policy.sas) {
    for (const AclEntry& entry : sa.acl) {
      if (!entry.permit) {
        plan.push_back({0, entry});
        continue;
      }
      for (const GroupTek& tek : keys.teks) {
        const bool covers =
            tek.sa_number == sa.number &&
            std::find(tek.entries.begin(), tek.entries.end(), entry) != tek.entries.end();
        if (covers && in_use(tek, policy, now)) plan.push_back({tek.tek.spi, entry});
      }
    }
  }
  return plan;
}

std::uint32_t exclusion_id(const AclEntry& entry) {
  const Bytes digest = crypto::digest(crypto::Hash::sha256, {as_bytes(entry.text())});
  return Reader(digest).u32() | 1u;  // never 0, which means all
}

SakPayload make_sak(const RekeyPolicy& policy, const RekeySa& sa, const Endpoint& from,
                    const Endpoint& to, TimePoint now) {
  SakPayload sak;
  sak.source = identity_to_wire(from);
  sak.destination = identity_to_wire(to);
  sak.spi = sa.kek.spi;
  const WireKekCipher cipher = kek_cipher_to_wire(sa.kek.cipher);
  sak.algorithm = cipher.algorithm;
  sak.key_bits = cipher.key_bits;
  sak.lifetime_s = WireNumber{seconds_left(sa.kek.expires, now), false};
  sak.signature_hash = signature_hash_to_wire(sa.kek.signature_hash);
  if (const auto key = crypto::PublicKey::from_spki(sa.kek.signature_key_spki)) {
    sak.signature_algorithm = signature_algorithm_to_wire(key->type());
    sak.signature_key_bits = static_cast<std::uint16_t>(key->bits());
  }
  // Multicast would bring every acknowledgement at once: RFC 8263 leaves it to policy.
  if (policy.acknowledge && policy.transport == RekeyTransport::unicast) {
    sak.ack_requested = static_cast<std::uint16_t>(AckType::kek_sha256);
  }
  return sak;
}

std::vector<std::uint32_t> spis_of(const SaPayload& sa) {
  std::vector<std::uint32_t> spis;
  for (const SatPayload& sat : sa.sats) {
    const auto* esp = std::get_if<EspSat>(&sat.body);
    if (esp && std::find(spis.begin(), spis.end(), esp->spi) == spis.end()) {
      spis.push_back(esp->spi);
    }
  }
  return spis;
}

bool goes_by_time(const SaPayload& sa) {
  return std::any_of(sa.sats.begin(), sa.sats.end(), [](const SatPayload& sat) {
    const auto* esp = std::get_if<EspSat>(&sat.body);
    return esp != nullptr && esp->time_window;
  });
}

bool goes_by_time(const GroupPolicy& policy) {
  return std::any_of(policy.sas.begin(), policy.sas.end(),
                     [](const SaPolicy& sa) { return sa.replay == dataplane::ReplayKind::time; });
}

GapPayload make_gap(const GroupPolicy& policy, const GroupKeys& keys,
                    const std::vector<std::uint32_t>& spis, TimePoint now) {
  GapPayload gap;
  Duration delay{0};
  for (const std::uint32_t spi : spis) {
    if (const GroupTek* tek = keys.find(spi)) delay = std::max(delay, tek->activate - now);
  }
  gap.activation_delay_s =
      static_cast<std::uint16_t>(std::chrono::ceil<std::chrono::seconds>(delay).count());
  gap.deactivation_delay_s = static_cast<std::uint16_t>(policy.deactivation_delay.count());
  return gap;
}

std::optional<SatPayload> make_sat(const SatPlan& plan, const GroupKeys& keys, const Extras& extras,
                                   TimePoint now) {
  const dataplane::Selector& selector = plan.entry.selector;
  if (plan.spi == 0) {
    if (!extras.exclusions) return std::nullopt;
    ExclusionSat body;
    body.ip_protocol = selector.protocol;
    body.source = identity_to_wire(selector.source, selector.source_ports.first);
    body.destination = identity_to_wire(selector.destination, selector.destination_ports.first);
    body.source_port_last = selector.source_ports.last;
    body.destination_port_last = selector.destination_ports.last;
    body.id = exclusion_id(plan.entry);
    return SatPayload{protocol_exclusion, std::move(body)};
  }
  const GroupTek* tek = keys.find(plan.spi);
  // In its last second it has no life to announce; 0 would be no lifetime at all.
  if (tek == nullptr || seconds_left(tek->tek.expires, now) == 0) return std::nullopt;
  const auto port = [](const dataplane::PortRange& ports) -> std::uint16_t {
    return ports.any() ? std::uint16_t{0} : ports.first;
  };
  EspSat body;
  body.ip_protocol = selector.protocol;
  body.source = identity_to_wire(selector.source, port(selector.source_ports));
  body.destination = identity_to_wire(selector.destination, port(selector.destination_ports));
  const WireSuite suite = suite_to_wire(tek->tek.suite);
  body.transform = suite.transform;
  body.spi = plan.spi;
  body.encapsulation = encapsulation_tunnel;
  body.authentication = suite.authentication;
  const std::uint32_t left = seconds_left(tek->tek.expires, now);
  body.lifetime_s = WireNumber{left, left <= 0xffff};
  body.key_bits = suite.key_bits;
  body.address_preservation = preserve_both;
  const bool hear_only = tek->receive_only || (extras.superseded_to_hear && tek->superseded);
  body.direction = hear_only ? direction_receiver : direction_symmetric;
  if (extras.replay_windows) {
    const bool none = extras.many_senders && !tek->single_sender;
    if (tek->by_time())
      body.time_window = tek->tek.replay_window;
    else
      body.replay_window = none ? std::uint16_t{0} : tek->window();
  }
  return SatPayload{protocol_esp, std::move(body)};
}

Bytes spi_octets(std::uint32_t spi) {
  Writer out;
  out.u32(spi);
  return out.take();
}

KeyPacket make_key_packet(const Tek& tek) {
  KeyPacket packet;
  packet.spi = spi_octets(tek.spi);
  TekKeys keys;
  keys.algorithm_key = joined(tek.cipher_key, tek.salt);
  keys.integrity_key = tek.integrity_key.clone();
  packet.keys = std::move(keys);
  return packet;
}

KeyPacket make_key_packet(const Kek& kek) {
  KeyPacket packet;
  packet.spi = to_bytes(kek.spi);
  KekKeys keys;
  keys.algorithm_key = joined(kek.iv, kek.key);
  keys.signature_key = kek.signature_key_spki;
  packet.keys = std::move(keys);
  return packet;
}

KeyPacket make_key_packet(const std::vector<std::uint32_t>& sender_ids, std::uint8_t bits) {
  KeyPacket packet;
  SenderIdKeys keys;
  keys.bits = bits;
  for (const std::uint32_t id : sender_ids) keys.values.push_back(sender_id_to_wire(id, bits));
  packet.keys = std::move(keys);
  return packet;
}

}  // namespace cohort::gdoi
