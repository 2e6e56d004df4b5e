#include "gdoi/algorithms.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <fmt/core.h>

#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using crypto::Cipher;
using crypto::Hash;
using crypto::KeyType;
using dataplane::Suite;

constexpr std::uint16_t kek_3des = 2, kek_aes = 3;

struct HashRow {
  std::uint16_t wire;
  Hash hash;
};
constexpr HashRow hash_rows[] = {
    {1, Hash::md5}, {2, Hash::sha1}, {3, Hash::sha256}, {4, Hash::sha384}, {5, Hash::sha512}};

struct SignatureRow {
  std::uint16_t wire;
  KeyType type;
  std::size_t ecdsa_octets;  ///< of r | s
};
constexpr SignatureRow signature_rows[] = {{1, KeyType::rsa, 0},
                                           {4, KeyType::ecdsa_p256, 64},
                                           {5, KeyType::ecdsa_p384, 96},
                                           {6, KeyType::ecdsa_p521, 132}};

constexpr std::uint8_t esp_aes_cbc = 12, esp_aes_gcm_16 = 20;
constexpr std::uint16_t auth_sha1 = 2, auth_sha256 = 5, auth_sha384 = 6, auth_sha512 = 7;

struct SuiteRow {
  Suite suite;
  std::uint8_t transform;
  std::uint16_t authentication;  ///< 0: none
  std::uint16_t key_bits;
};
constexpr SuiteRow suite_rows[] = {
    {Suite::aes_128_cbc_sha1_96, esp_aes_cbc, auth_sha1, 128},
    {Suite::aes_192_cbc_sha1_96, esp_aes_cbc, auth_sha1, 192},
    {Suite::aes_256_cbc_sha1_96, esp_aes_cbc, auth_sha1, 256},
    {Suite::aes_128_cbc_sha256_128, esp_aes_cbc, auth_sha256, 128},
    {Suite::aes_192_cbc_sha256_128, esp_aes_cbc, auth_sha256, 192},
    {Suite::aes_256_cbc_sha256_128, esp_aes_cbc, auth_sha256, 256},
    {Suite::aes_128_cbc_sha384_192, esp_aes_cbc, auth_sha384, 128},
    {Suite::aes_192_cbc_sha384_192, esp_aes_cbc, auth_sha384, 192},
    {Suite::aes_256_cbc_sha384_192, esp_aes_cbc, auth_sha384, 256},
    {Suite::aes_128_cbc_sha512_256, esp_aes_cbc, auth_sha512, 128},
    {Suite::aes_192_cbc_sha512_256, esp_aes_cbc, auth_sha512, 192},
    {Suite::aes_256_cbc_sha512_256, esp_aes_cbc, auth_sha512, 256},
    {Suite::aes_128_gcm_16, esp_aes_gcm_16, 0, 128},
    {Suite::aes_192_gcm_16, esp_aes_gcm_16, 0, 192},
    {Suite::aes_256_gcm_16, esp_aes_gcm_16, 0, 256},
};

/// Length of a contiguous mask of 4 or 16 octets.
std::optional<std::uint8_t> mask_length(ByteView mask) {
  unsigned length = 0;
  bool ended = false;
  for (const std::uint8_t octet : mask) {
    const auto ones = static_cast<unsigned>(std::countl_one(octet));
    if (ended ? octet != 0 : static_cast<std::uint8_t>(octet << ones) != 0) return std::nullopt;
    length += ended ? 0 : ones;
    ended = ended || ones < 8;
  }
  return static_cast<std::uint8_t>(length);
}

Result<Prefix> prefix_of(ByteView address, unsigned length) {
  COHORT_TRY(const IpAddress ip, IpAddress::from_bytes(address));
  Prefix prefix{ip, static_cast<std::uint8_t>(length)};
  // Host bits are cleared: implementations differ in whether they send them.
  Bytes octets = to_bytes(address);
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const unsigned kept = std::clamp<int>(static_cast<int>(length) - static_cast<int>(i * 8), 0, 8);
    octets[i] = static_cast<std::uint8_t>(octets[i] & (0xff00u >> kept));
  }
  COHORT_TRY(prefix.address, IpAddress::from_bytes(octets));
  return prefix;
}

Result<Prefix> prefix_of_subnet(ByteView data) {
  const auto length = mask_length(data.subspan(data.size() / 2));
  if (!length) return fail(unsupported_policy, "a subnet mask with holes");
  return prefix_of(data.first(data.size() / 2), *length);
}

/// Adds the prefixes that make up what first..last has of the network `low`/`length`, in order.
void cover(Bytes low, unsigned length, ByteView first, ByteView last, std::vector<Prefix>& out) {
  Bytes high = low;
  for (std::size_t bit = length; bit < high.size() * 8; ++bit)
    high[bit / 8] = static_cast<std::uint8_t>(high[bit / 8] | (0x80u >> (bit % 8)));
  const auto below = [](ByteView a, ByteView b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  };
  if (below(high, first) || below(last, low) || out.size() > selectors_of_sat_max) return;
  if (!below(low, first) && !below(last, high)) {
    out.push_back({IpAddress::from_bytes(low).value(), static_cast<std::uint8_t>(length)});
    return;
  }
  cover(low, length + 1, first, last, out);
  low[length / 8] = static_cast<std::uint8_t>(low[length / 8] | (0x80u >> (length % 8)));
  cover(std::move(low), length + 1, first, last, out);
}

Result<std::vector<Prefix>> prefixes_of_range(ByteView data) {
  const ByteView first = data.first(data.size() / 2), last = data.subspan(data.size() / 2);
  std::vector<Prefix> out;
  cover(Bytes(first.size()), 0, first, last, out);
  if (out.empty()) return fail(unsupported_policy, "an address range whose end is below its start");
  return out;
}

/// RFC 6407 section 5.5.1: no data, or three zeros, is "any source".
bool is_any(const WireIdentity& id) {
  return id.data.empty() || (id.data.size() == 3 && id.data == Bytes(3, 0));
}

Result<std::vector<Prefix>> one(Result<Prefix> prefix) {
  return std::move(prefix).map([](Prefix only) { return std::vector<Prefix>{only}; });
}

Result<std::vector<Prefix>> prefixes_from_wire(const WireIdentity& id) {
  const auto sized = [&id](std::size_t octets) -> Status {
    if (id.data.size() != octets) return fail(ike::bad_length, fmt::format("ID type {}", id.type));
    return {};
  };
  switch (id.type) {
    case id_type::ipv4:
      COHORT_CHECK(sized(4));
      return one(prefix_of(id.data, 32));
    case id_type::ipv6:
      COHORT_CHECK(sized(16));
      return one(prefix_of(id.data, 128));
    case id_type::ipv4_subnet:
      COHORT_CHECK(sized(8));
      return one(prefix_of_subnet(id.data));
    case id_type::ipv6_subnet:
      COHORT_CHECK(sized(32));
      return one(prefix_of_subnet(id.data));
    case id_type::ipv4_range:
      COHORT_CHECK(sized(8));
      return prefixes_of_range(id.data);
    case id_type::ipv6_range:
      COHORT_CHECK(sized(32));
      return prefixes_of_range(id.data);
    default:
      return fail(unsupported_policy, fmt::format("ID type {} as selector", id.type));
  }
}

dataplane::PortRange port_from_wire(std::uint16_t port) {
  return port == 0 ? dataplane::PortRange{} : dataplane::PortRange{port, port};
}

}  // namespace

WireKekCipher kek_cipher_to_wire(Cipher cipher) {
  if (cipher == Cipher::triple_des) return {kek_3des, std::nullopt};
  return {kek_aes, static_cast<std::uint16_t>(crypto::key_size(cipher) * 8)};
}

Result<Cipher> kek_cipher_from_wire(const SakPayload& sak) {
  if (sak.algorithm == kek_3des) return Cipher::triple_des;
  if (sak.algorithm == kek_aes) {
    switch (sak.key_bits.value_or(128)) {
      case 128:
        return Cipher::aes_128;
      case 192:
        return Cipher::aes_192;
      case 256:
        return Cipher::aes_256;
      default:
        break;
    }
  }
  return fail(unsupported_policy, fmt::format("KEK_ALGORITHM {} with {} bits", sak.algorithm,
                                              sak.key_bits.value_or(0)));
}

std::uint16_t signature_hash_to_wire(Hash hash) {
  for (const HashRow& row : hash_rows) {
    if (row.hash == hash) return row.wire;
  }
  return 0;
}

Result<Hash> signature_hash_from_wire(const SakPayload& sak) {
  COHORT_TRY(const KeyType type, signature_algorithm_from_wire(sak.signature_algorithm));
  if (type != KeyType::rsa || !sak.signature_hash) return hash_for(type, Hash::sha256);
  for (const HashRow& row : hash_rows) {
    if (row.wire == *sak.signature_hash) return row.hash;
  }
  return fail(unknown_attribute, fmt::format("SIG_HASH_ALGORITHM {}", *sak.signature_hash));
}

std::uint16_t signature_algorithm_to_wire(KeyType type) {
  for (const SignatureRow& row : signature_rows) {
    if (row.type == type) return row.wire;
  }
  return 0;
}

Result<KeyType> signature_algorithm_from_wire(std::uint16_t value) {
  for (const SignatureRow& row : signature_rows) {
    if (row.wire == value) return row.type;
  }
  return fail(unsupported_policy, fmt::format("SIG_ALGORITHM {}", value));
}

Hash hash_for(KeyType type, Hash rsa_hash) {
  switch (type) {
    case KeyType::rsa:
      return rsa_hash;
    case KeyType::ecdsa_p256:
      return Hash::sha256;
    case KeyType::ecdsa_p384:
      return Hash::sha384;
    case KeyType::ecdsa_p521:
      return Hash::sha512;
  }
  return rsa_hash;
}

std::size_t signature_size(const crypto::PublicKey& key) {
  for (const SignatureRow& row : signature_rows) {
    if (row.type == key.type() && row.ecdsa_octets != 0) return row.ecdsa_octets;
  }
  return (key.bits() + 7) / 8;
}

WireSuite suite_to_wire(Suite suite) {
  for (const SuiteRow& row : suite_rows) {
    if (row.suite != suite) continue;
    WireSuite wire{row.transform, std::nullopt, row.key_bits};
    if (row.authentication != 0) wire.authentication = row.authentication;
    return wire;
  }
  return {};
}

Result<Suite> suite_from_wire(const EspSat& sat) {
  // RFC 3602 section 5.4 and RFC 4106 section 8.2: 128 bits where no Key Length is given.
  const std::uint16_t bits = sat.key_bits.value_or(128);
  for (const SuiteRow& row : suite_rows) {
    if (row.transform == sat.transform && row.key_bits == bits &&
        row.authentication == sat.authentication.value_or(0)) {
      return row.suite;
    }
  }
  return fail(unsupported_policy, fmt::format("ESP transform {} with authentication {} and {} bits",
                                              sat.transform, sat.authentication.value_or(0), bits));
}

Result<std::vector<dataplane::Selector>> selectors_from_wire(std::uint8_t ip_protocol,
                                                             const WireIdentity& source,
                                                             const WireIdentity& destination) {
  std::vector<Prefix> sources, destinations;
  if (!is_any(source)) {
    COHORT_TRY(sources, prefixes_from_wire(source));
  }
  if (!is_any(destination)) {
    COHORT_TRY(destinations, prefixes_from_wire(destination));
  }
  const auto any_as = [](const std::vector<Prefix>& other) {
    return Prefix::any(other.empty() ? Family::v4 : other.front().address.family());
  };
  if (sources.empty()) sources = {any_as(destinations)};
  if (destinations.empty()) destinations = {any_as(sources)};
  if (sources.front().address.family() != destinations.front().address.family()) {
    return fail(unsupported_policy, "a selector with addresses of two families");
  }
  if (sources.size() * destinations.size() > selectors_of_sat_max) {
    return fail(unsupported_policy,
                fmt::format("ranges of addresses that make more than {} pairs of prefixes; let the "
                            "key server name prefixes",
                            selectors_of_sat_max));
  }
  std::vector<dataplane::Selector> out;
  for (const Prefix& from : sources) {
    for (const Prefix& to : destinations) {
      dataplane::Selector selector;
      selector.protocol = ip_protocol;
      selector.source = from;
      selector.destination = to;
      selector.source_ports = port_from_wire(source.port);
      selector.destination_ports = port_from_wire(destination.port);
      out.push_back(selector);
    }
  }
  return out;
}

WireIdentity identity_to_wire(const Prefix& prefix, std::uint16_t port) {
  const bool v4 = prefix.address.is_v4();
  WireIdentity id;
  id.port = port;
  id.data = to_bytes(prefix.address.bytes());
  if (prefix.length == id.data.size() * 8) {
    id.type = v4 ? id_type::ipv4 : id_type::ipv6;
    return id;
  }
  id.type = v4 ? id_type::ipv4_subnet : id_type::ipv6_subnet;
  const std::size_t octets = id.data.size();
  for (std::size_t i = 0; i < octets; ++i) {
    const int kept = std::clamp(static_cast<int>(prefix.length) - static_cast<int>(i * 8), 0, 8);
    id.data.push_back(static_cast<std::uint8_t>(0xff00u >> kept));
  }
  return id;
}

WireIdentity identity_to_wire(const Endpoint& end) {
  return {end.address.is_v4() ? id_type::ipv4 : id_type::ipv6, end.port,
          to_bytes(end.address.bytes())};
}

bool expressible(const dataplane::Selector& selector) {
  const auto single_or_any = [](const dataplane::PortRange& ports) {
    return ports.any() || (ports.first == ports.last && ports.first != 0);
  };
  return single_or_any(selector.source_ports) && single_or_any(selector.destination_ports);
}

// RFC 6407 section 5.1: ID_KEY_ID with a 4-octet group identifier, or an address.
Result<IdPayload> group_id_to_wire(const GroupId& id) {
  IdPayload payload;
  if (const auto* number = std::get_if<std::uint32_t>(&id.value)) {
    Writer data;
    data.u32(*number);
    payload.type = id_type::key_id;
    payload.data = data.take();
    return payload;
  }
  const IpAddress& address = std::get<IpAddress>(id.value);
  payload.type = address.is_v4() ? id_type::ipv4 : id_type::ipv6;
  payload.data = to_bytes(address.bytes());
  return payload;
}

Result<GroupId> group_id_from_wire(const IdPayload& id) {
  if (id.type == id_type::key_id) {
    if (id.data.size() != 4) return fail(ike::bad_length, "a group's ID_KEY_ID is 4 octets");
    return GroupId{Reader(id.data).u32()};
  }
  const bool v4 = id.type == id_type::ipv4 && id.data.size() == 4;
  const bool v6 = id.type == id_type::ipv6 && id.data.size() == 16;
  if (!v4 && !v6) return fail(unknown_group, fmt::format("group identity of type {}", id.type));
  COHORT_TRY(const IpAddress address, IpAddress::from_bytes(id.data));
  return GroupId{address};
}

std::string transform_text(Suite suite) {
  for (const SuiteRow& row : suite_rows) {
    if (row.suite != suite) continue;
    if (row.authentication == 0) return fmt::format("esp-gcm {}", row.key_bits);
    const std::string cipher =
        row.key_bits == 128 ? "esp-aes" : fmt::format("esp-{}-aes", row.key_bits);
    switch (row.authentication) {
      case auth_sha1:
        return cipher + " esp-sha-hmac";
      case auth_sha256:
        return cipher + " esp-sha256-hmac";
      case auth_sha384:
        return cipher + " esp-sha384-hmac";
      default:
        return cipher + " esp-sha512-hmac";
    }
  }
  return "unknown";
}

}  // namespace cohort::gdoi
