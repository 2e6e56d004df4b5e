#include "controlplane/ike/identification.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "controlplane/ike/message.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

constexpr std::uint8_t protocol_udp = 17;
constexpr std::size_t text_max = 64;

std::string printable(ByteView octets) {
  std::string text;
  for (const std::uint8_t octet : octets.first(std::min(octets.size(), text_max)))
    text.push_back(octet > 0x20 && octet < 0x7f ? static_cast<char>(octet) : '?');
  return text;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// DNS names and mail addresses compare without regard to ASCII case.
bool listed(const std::vector<std::string>& names, ByteView wanted) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return std::equal(
        name.begin(), name.end(), wanted.begin(), wanted.end(),
        [](char a, std::uint8_t b) { return lower(a) == lower(static_cast<char>(b)); });
  });
}

bool listed(const std::vector<IpAddress>& addresses, ByteView wanted) {
  return std::any_of(addresses.begin(), addresses.end(),
                     [&](const IpAddress& address) { return equal(address.bytes(), wanted); });
}

}  // namespace

//  !   ID Type     !  Protocol ID  !             Port              !   RFC 2407 section 4.6.2
//  ~                     Identification Data                       ~
Result<Identification> Identification::parse(ByteView body) {
  Reader in(body);
  Identification id;
  id.type = in.u8();
  const std::uint8_t protocol = in.u8();
  const std::uint16_t port = in.u16();
  id.data = in.rest();
  if (!in.ok() || id.data.empty()) return fail(bad_payload, "ID payload without data");
  if (protocol != protocol_udp && (protocol != 0 || port != 0))
    return fail(bad_payload, fmt::format("ID payload with protocol {}, port {}", protocol, port));
  const auto type = static_cast<IdType>(id.type);
  if ((type == IdType::ipv4_addr && id.data.size() != 4) ||
      (type == IdType::ipv6_addr && id.data.size() != 16))
    return fail(bad_payload, fmt::format("ID address of {} octets", id.data.size()));
  return id;
}

std::string Identification::text() const {
  switch (static_cast<IdType>(type)) {
    case IdType::ipv4_addr:
    case IdType::ipv6_addr:
      return IpAddress::from_bytes(data)
          .map([](const IpAddress& a) { return a.text(); })
          .value_or("?");
    case IdType::fqdn:
    case IdType::user_fqdn:
      return printable(data);
    case IdType::der_asn1_dn:
      return fmt::format("DN of {} octets", data.size());
    case IdType::key_id:
      return fmt::format("key id of {} octets", data.size());
  }
  return fmt::format("identity of type {}", type);
}

Bytes id_body(IdType type, ByteView data) {
  Writer out;
  out.u8(static_cast<std::uint8_t>(type)).u8(0).u16(0).bytes(data);
  return out.take();
}

Bytes id_body(const IpAddress& address) {
  return id_body(address.is_v4() ? IdType::ipv4_addr : IdType::ipv6_addr, address.bytes());
}

Status check_proven_by_certificate(const Identification& id, const PeerIdentity& certificate) {
  bool proven = false;
  switch (static_cast<IdType>(id.type)) {
    case IdType::der_asn1_dn:
      proven = equal(id.data, certificate.subject_der);
      break;
    case IdType::fqdn:
      proven = listed(certificate.san_dns, id.data);
      break;
    case IdType::user_fqdn:
      proven = listed(certificate.san_email, id.data);
      break;
    case IdType::ipv4_addr:
    case IdType::ipv6_addr:
      proven = listed(certificate.san_addresses, id.data);
      break;
    case IdType::key_id:
      break;
  }
  if (proven) return {};
  return fail(identity_mismatch,
              fmt::format("ID {}; certificate of {}", id.text(), certificate.subject));
}

Status check_names_one_peer(const Identification& id) {
  switch (static_cast<IdType>(id.type)) {
    case IdType::ipv4_addr:
    case IdType::ipv6_addr:
    case IdType::fqdn:
    case IdType::user_fqdn:
    case IdType::der_asn1_dn:
    case IdType::key_id:
      return {};
  }
  return fail(identity_mismatch,
              fmt::format("ID {}; an address or a name was expected", id.text()));
}

Status check_proven_by_address(const Identification& id, const IpAddress& remote) {
  COHORT_CHECK(check_names_one_peer(id));
  const auto type = static_cast<IdType>(id.type);
  const bool address = type == IdType::ipv4_addr || type == IdType::ipv6_addr;
  if (!address || equal(id.data, remote.bytes())) return {};
  return fail(identity_mismatch, fmt::format("ID {}; peer at {}", id.text(), remote.text()));
}

}  // namespace cohort::ike
