#include "gdoi/member_policy.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "gdoi/policy_wire.hpp"
#include "gdoi/reasons.hpp"
#include "gdoi/sender_id.hpp"

namespace cohort::gdoi {
namespace {

using std::chrono::seconds;

constexpr seconds default_tek_lifetime{28'800};  // RFC 2407 section 4.5
constexpr seconds default_kek_lifetime{86'400};
constexpr std::size_t lines_max = 1024;
constexpr std::uint16_t encapsulation_tunnel = 1, preserve_both = 4;
constexpr std::uint16_t direction_send = 1, direction_receive = 2, direction_symmetric = 3;

Status check_weak(const OfferedKek& kek, const GroupMemberOptions& options) {
  if (options.allow_weak || !has_weak_algorithm(kek)) return {};
  return fail(weak_rekey_policy, fmt::format("{} with {}", crypto::name_of(kek.cipher),
                                             crypto::name_of(kek.signature_hash)));
}

Result<OfferedKek> read_offered_kek(const SakPayload& sak, const GroupMemberOptions& options) {
  OfferedKek kek;
  kek.spi = sak.spi;
  COHORT_TRY(kek.cipher, kek_cipher_from_wire(sak));
  COHORT_TRY(kek.signature_hash, signature_hash_from_wire(sak));
  COHORT_TRY(kek.signature_type, signature_algorithm_from_wire(sak.signature_algorithm));
  kek.signature_key_bits = sak.signature_key_bits.value_or(0);
  kek.lifetime = sak.lifetime_s ? seconds(sak.lifetime_s->value) : default_kek_lifetime;
  if (kek.lifetime == seconds{0}) return fail(unsupported_policy, "a KEK without a life");
  // LKH types need keys that we don't have: no acknowledgement then, and no failure either
  // (RFC 8263 section 4).
  if (sak.ack_requested == static_cast<std::uint16_t>(AckType::kek_sha256) ||
      sak.ack_requested == static_cast<std::uint16_t>(AckType::kek_sha512)) {
    kek.acknowledge = static_cast<AckType>(*sak.ack_requested);
  }
  const auto destination = IpAddress::from_bytes(sak.destination.data);
  if (destination && destination->is_multicast()) {
    kek.transport = RekeyTransport::multicast;
    kek.destination = *destination;
  }
  COHORT_CHECK(check_weak(kek, options));
  return kek;
}

Status check_suite(dataplane::Suite suite, const GroupMemberOptions& options) {
  const auto& accepted = options.accepted_suites;
  if (accepted.empty() || std::find(accepted.begin(), accepted.end(), suite) != accepted.end()) {
    return {};
  }
  return fail(unacceptable_suite, std::string(dataplane::shape_of(suite).name));
}

/// Without its selector.
Result<OfferedSa> read_offered_sa(const EspSat& sat, const GroupMemberOptions& options) {
  OfferedSa sa;
  sa.spi = sat.spi;
  if (sat.spi < 256) return fail(unsupported_policy, fmt::format("reserved SPI {}", sat.spi));
  COHORT_TRY(sa.suite, suite_from_wire(sat));
  COHORT_CHECK(check_suite(sa.suite, options));
  if (sat.encapsulation.value_or(encapsulation_tunnel) != encapsulation_tunnel) {
    return fail(unsupported_policy, fmt::format("encapsulation mode {}", *sat.encapsulation));
  }
  if (sat.address_preservation.value_or(preserve_both) != preserve_both) {
    return fail(unsupported_policy,
                fmt::format("address preservation {}", *sat.address_preservation));
  }
  const std::uint16_t direction = sat.direction.value_or(direction_symmetric);
  if (direction < direction_send || direction > direction_symmetric) {
    return fail(unknown_attribute, fmt::format("SA direction {}", direction));
  }
  sa.may_send = direction != direction_receive;
  sa.may_receive = direction != direction_send;
  sa.lifetime = sat.lifetime_s ? seconds(sat.lifetime_s->value) : default_tek_lifetime;
  if (sa.lifetime == seconds{0}) return fail(unsupported_policy, "an SA without a life");
  sa.replay_window = sat.replay_window;
  if (sat.time_window.value_or(time_window_min_ms) < time_window_min_ms ||
      sat.time_window.value_or(0) > time_window_max_ms) {
    return fail(unsupported_policy, fmt::format("a time window of {} ms", *sat.time_window));
  }
  sa.time_window = sat.time_window;
  return sa;
}

Status add_sas(const EspSat& sat, const GroupMemberOptions& options, OfferedPolicy& policy) {
  COHORT_TRY(OfferedSa sa, read_offered_sa(sat, options));
  COHORT_TRY(const auto selectors,
             selectors_from_wire(sat.ip_protocol, sat.source, sat.destination));
  for (const dataplane::Selector& selector : selectors) {
    sa.entry.selector = selector;
    policy.items.emplace_back(sa);
  }
  return {};
}

Status add_exclusions(const ExclusionSat& sat, OfferedPolicy& policy) {
  COHORT_TRY(const auto selectors,
             selectors_from_wire(sat.ip_protocol, sat.source, sat.destination));
  OfferedExclusion exclusion;
  exclusion.id = sat.id;
  exclusion.entry.permit = false;
  for (const dataplane::Selector& one : selectors) {
    dataplane::Selector& selector = exclusion.entry.selector;
    selector = one;
    selector.source_ports = {sat.source.port, sat.source_port_last};
    selector.destination_ports = {sat.destination.port, sat.destination_port_last};
    if (selector.source_ports.first > selector.source_ports.last ||
        selector.destination_ports.first > selector.destination_ports.last) {
      return fail(ike::bad_payload, "an exclusion with a reversed port range");
    }
    policy.items.emplace_back(exclusion);
  }
  return {};
}

const TekKeys* find_tek_keys(const KdPayload& kd, std::uint32_t spi) {
  for (const KeyPacket& packet : kd.packets) {
    const auto* keys = std::get_if<TekKeys>(&packet.keys);
    if (keys && Reader(packet.spi).u32() == spi) return keys;
  }
  return nullptr;
}

}  // namespace

bool has_weak_algorithm(const OfferedKek& kek) {
  return kek.signature_hash == crypto::Hash::md5 || kek.signature_hash == crypto::Hash::sha1 ||
         kek.cipher == crypto::Cipher::triple_des;
}

bool OfferedPolicy::counter_mode() const {
  return std::any_of(items.begin(), items.end(), [](const auto& item) {
    const auto* sa = std::get_if<OfferedSa>(&item);
    return sa && sa->may_send && dataplane::shape_of(sa->suite).aead;
  });
}

Duration OfferedPolicy::time_tolerance() const {
  Duration least = Duration::max();
  for (const auto& item : items) {
    const auto* sa = std::get_if<OfferedSa>(&item);
    if (sa == nullptr || !sa->time_window) continue;
    least = std::min<Duration>(least, std::chrono::milliseconds(*sa->time_window) / 4);
  }
  return least;
}

Result<OfferedPolicy> read_policy(const SaPayload& sa, const GroupMemberOptions& options) {
  OfferedPolicy policy;
  if (sa.sak) {
    COHORT_TRY(policy.kek, read_offered_kek(*sa.sak, options));
  }
  if (sa.gap) {
    if (sa.gap->activation_delay_s) policy.activation_delay = seconds(*sa.gap->activation_delay_s);
    if (sa.gap->deactivation_delay_s) {
      policy.deactivation_delay = seconds(*sa.gap->deactivation_delay_s);
    }
    policy.group_time_ms = sa.gap->group_time_ms;
  }
  if (goes_by_time(sa) && !policy.group_time_ms) {
    return fail(unsupported_policy, "anti-replay by time without the group's time");
  }
  for (const SatPayload& sat : sa.sats) {
    const auto* esp = std::get_if<EspSat>(&sat.body);
    const auto* exclusion = std::get_if<ExclusionSat>(&sat.body);
    if (exclusion) {
      COHORT_CHECK(add_exclusions(*exclusion, policy));
    } else if (esp && sat.protocol == protocol_esp) {
      COHORT_CHECK(add_sas(*esp, options, policy));
    } else {
      return fail(unsupported_policy, fmt::format("SAT protocol {}", sat.protocol));
    }
    if (policy.items.size() > lines_max) {
      return fail(too_many_items, fmt::format("more than {} lines of policy", lines_max));
    }
  }
  return policy;
}

Result<Tek> read_tek(const OfferedSa& sa, const KdPayload& kd) {
  const TekKeys* keys = find_tek_keys(kd, sa.spi);
  if (keys == nullptr) return fail(missing_key, fmt::format("SPI 0x{:08x}", sa.spi));
  const dataplane::SuiteShape& shape = dataplane::shape_of(sa.suite);
  const std::size_t cipher_key = shape.cipher_key;
  if (keys->algorithm_key.size() != cipher_key + shape.salt ||
      keys->integrity_key.size() != shape.integrity_key) {
    return fail(wrong_key_size,
                fmt::format("SPI 0x{:08x}: {} and {} octets for {}", sa.spi,
                            keys->algorithm_key.size(), keys->integrity_key.size(), shape.name));
  }
  Tek tek;
  tek.spi = sa.spi;
  tek.suite = sa.suite;
  tek.cipher_key = Secret(keys->algorithm_key.view().first(cipher_key));
  tek.salt = Secret(keys->algorithm_key.view().subspan(cipher_key));
  tek.integrity_key = keys->integrity_key.clone();
  return tek;
}

Result<Kek> read_kek(const OfferedKek& offered, const KdPayload& kd,
                     const std::optional<KekSpi>& older) {
  for (const KeyPacket& packet : kd.packets) {
    const auto* keys = std::get_if<KekKeys>(&packet.keys);
    if (keys == nullptr) continue;
    if (!equal(packet.spi, offered.spi) && !(older && equal(packet.spi, *older))) continue;
    const std::size_t iv = crypto::block_size(offered.cipher);
    if (keys->algorithm_key.size() != iv + crypto::key_size(offered.cipher)) {
      return fail(wrong_key_size,
                  fmt::format("KEK of {} octets with its IV for {}", keys->algorithm_key.size(),
                              crypto::name_of(offered.cipher)));
    }
    Kek kek;
    kek.spi = offered.spi;
    kek.cipher = offered.cipher;
    kek.iv = Secret(keys->algorithm_key.view().first(iv));
    kek.key = Secret(keys->algorithm_key.view().subspan(iv));
    kek.signature_hash = offered.signature_hash;
    kek.signature_key_spki = keys->signature_key;
    return kek;
  }
  return fail(missing_key, "KEK");
}

Result<GrantedSenderIds> read_sender_ids(const KdPayload& kd) {
  GrantedSenderIds granted;
  for (const KeyPacket& packet : kd.packets) {
    const auto* keys = std::get_if<SenderIdKeys>(&packet.keys);
    if (keys == nullptr) continue;
    if (keys->bits > 24) return fail(unsupported_policy, fmt::format("{} SID bits", keys->bits));
    granted.bits = static_cast<std::uint8_t>(keys->bits);
    for (const Bytes& value : keys->values) {
      COHORT_TRY(const std::uint32_t id, sender_id_from_wire(value, keys->bits));
      granted.ids.push_back(id);
    }
  }
  return granted;
}

}  // namespace cohort::gdoi
