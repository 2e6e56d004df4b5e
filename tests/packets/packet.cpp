#include "tests/packets/packet.hpp"

#include <algorithm>
#include <random>

namespace cohort::test {
namespace {

void put16(Bytes& out, std::size_t at, std::uint32_t value) {
  out[at] = static_cast<std::uint8_t>(value >> 8);
  out[at + 1] = static_cast<std::uint8_t>(value);
}
std::uint32_t get16(ByteView in, std::size_t at) {
  return in[at] * 256u + in[at + 1];
}
void append(Bytes& out, ByteView more) {
  out.insert(out.end(), more.begin(), more.end());
}

Bytes pattern(std::size_t size, std::uint32_t seed) {
  std::mt19937 random(seed);
  Bytes octets(size);
  for (auto& octet : octets) octet = static_cast<std::uint8_t>(random());
  return octets;
}

std::size_t checksum_at(std::uint8_t protocol) {
  switch (protocol) {
    case 6:
      return 16;
    case 17:
      return 6;
    case 1:
    case 58:
      return 2;
  }
  return 0;
}

std::uint32_t sum_words(ByteView data) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < data.size(); i += 2)
    sum += data[i] * 256u + (i + 1 < data.size() ? data[i + 1] : 0u);
  return sum;
}

/// The transport's checksum over pseudo header and octets, with its field zero.
void finish(Bytes& transport, std::uint8_t protocol, ByteView addresses) {
  const std::size_t at = checksum_at(protocol);
  if (at == 0 || transport.size() < at + 2) return;
  put16(transport, at, 0);
  std::uint32_t start = 0;
  if (protocol != 1)
    start = sum_words(addresses) + protocol + static_cast<std::uint32_t>(transport.size());
  put16(transport, at, internet_checksum(transport, start));
}

}  // namespace

std::uint16_t internet_checksum(ByteView data, std::uint32_t start) {
  std::uint64_t sum = start + std::uint64_t{sum_words(data)};
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

Transport udp(std::uint16_t source, std::uint16_t destination, std::size_t payload) {
  Bytes octets(8 + payload);
  put16(octets, 0, source);
  put16(octets, 2, destination);
  put16(octets, 4, static_cast<std::uint32_t>(octets.size()));
  const Bytes data = pattern(payload, static_cast<std::uint32_t>(payload));
  std::ranges::copy(data, octets.begin() + 8);
  return {17, octets};
}

Transport tcp(std::uint16_t source, std::uint16_t destination, std::uint8_t flags,
              const Bytes& options, std::size_t payload) {
  Bytes octets(20);
  put16(octets, 0, source);
  put16(octets, 2, destination);
  octets[12] = static_cast<std::uint8_t>((20 + options.size()) / 4 << 4);
  octets[13] = flags;
  put16(octets, 14, 65535);
  append(octets, options);
  append(octets, pattern(payload, 7));
  return {6, octets};
}

Transport icmp_echo(std::size_t payload) {
  Bytes octets{8, 0, 0, 0, 0, 1, 0, 1};
  append(octets, pattern(payload, 3));
  return {1, octets};
}

Transport isakmp(std::uint16_t source, std::uint16_t destination, std::size_t payload) {
  const std::size_t marker = source == 4500 || destination == 4500 ? 4 : 0;
  Transport out = udp(source, destination, marker + 28 + payload);
  const auto at = out.octets.begin() + 8 + static_cast<std::ptrdiff_t>(marker);
  std::fill(out.octets.begin() + 8, at, std::uint8_t{0});
  at[17] = 0x10;
  const std::size_t length = 28 + payload;
  at[24] = at[25] = 0;
  at[26] = static_cast<std::uint8_t>(length >> 8);
  at[27] = static_cast<std::uint8_t>(length);
  return out;
}

Transport icmp6(std::uint8_t type, std::size_t payload) {
  Bytes octets{type, 0, 0, 0};
  append(octets, pattern(payload, 4));
  return {58, octets};
}

Transport raw(std::uint8_t protocol, Bytes octets) {
  return {protocol, std::move(octets)};
}

Bytes ip(const Ipv4& header, const Transport& transport) {
  const Bytes source = to_bytes(IpAddress::parse(header.source).value().bytes());
  const Bytes destination = to_bytes(IpAddress::parse(header.destination).value().bytes());
  Bytes addresses = source;
  append(addresses, destination);
  Bytes body = transport.octets;
  if (!header.mf && header.offset == 0) finish(body, transport.protocol, addresses);
  Writer out;
  out.u8(static_cast<std::uint8_t>(0x45 + header.options.size() / 4)).u8(header.tos);
  out.u16(static_cast<std::uint16_t>(20 + header.options.size() + body.size())).u16(header.id);
  out.u16(static_cast<std::uint16_t>((header.df ? 0x4000u : 0u) | (header.mf ? 0x2000u : 0u) |
                                     header.offset / 8u));
  out.u8(header.ttl).u8(transport.protocol).u16(0).bytes(addresses).bytes(header.options);
  out.patch_u16(10, internet_checksum(out.view()));
  return out.bytes(body).take();
}

Bytes ip(const Ipv6& header, const Transport& transport) {
  Bytes addresses = to_bytes(IpAddress::parse(header.source).value().bytes());
  append(addresses, IpAddress::parse(header.destination).value().bytes());
  Bytes body = transport.octets;
  finish(body, transport.protocol, addresses);
  Writer out;
  out.u32(0x60000000u | std::uint32_t{header.traffic_class} << 20 | header.flow_label);
  out.u16(static_cast<std::uint16_t>(header.extensions.size() + body.size()));
  out.u8(header.extensions.empty() ? transport.protocol : header.first_next).u8(header.hop_limit);
  return out.bytes(addresses).bytes(header.extensions).bytes(body).take();
}

Bytes frame(const Bytes& packet, const std::vector<std::uint16_t>& tags) {
  Bytes out{0x02, 0, 0, 0, 0, 0xbb, 0x02, 0, 0, 0, 0, 0xaa};
  for (const std::uint16_t tag : tags) {
    out.push_back(0x81);
    out.push_back(0x00);
    out.push_back(static_cast<std::uint8_t>(tag >> 8));
    out.push_back(static_cast<std::uint8_t>(tag));
  }
  const bool v6 = !packet.empty() && packet[0] >> 4 == 6;
  out.push_back(v6 ? 0x86 : 0x08);
  out.push_back(v6 ? 0xdd : 0x00);
  append(out, packet);
  return out;
}

Bytes arp_request(std::string_view target) {
  Bytes out(12, 0xff);
  const Bytes sender{0x02, 0, 0, 0, 0, 0xaa};
  std::ranges::copy(sender, out.begin() + 6);
  append(out, Bytes{0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1});
  append(out, sender);
  append(out, Bytes{10, 0, 0, 1, 0, 0, 0, 0, 0, 0});
  append(out, IpAddress::parse(target).value().bytes());
  out.resize(60);
  return out;
}

Bytes sized_v4(std::size_t size, std::uint32_t seed, const Ipv4& header) {
  const std::size_t headers = 20 + header.options.size() + 8;
  auto transport = udp(static_cast<std::uint16_t>(1024 + seed % 60000), 5001, size - headers);
  const Bytes data = pattern(size - headers, seed);
  std::ranges::copy(data, transport.octets.begin() + 8);
  return ip(header, transport);
}

Bytes sized_v6(std::size_t size, std::uint32_t seed, const Ipv6& header) {
  const std::size_t headers = 40 + header.extensions.size() + 8;
  auto transport = udp(static_cast<std::uint16_t>(1024 + seed % 60000), 5001, size - headers);
  const Bytes data = pattern(size - headers, seed);
  std::ranges::copy(data, transport.octets.begin() + 8);
  return ip(header, transport);
}

Bytes packet_of(const Bytes& frame) {
  std::size_t at = 12;
  while (at + 4 < frame.size() && get16(frame, at) == 0x8100) at += 4;
  return {frame.begin() + static_cast<std::ptrdiff_t>(at + 2), frame.end()};
}

bool checksums_right(const Bytes& packet) {
  const bool v6 = packet[0] >> 4 == 6;
  const std::size_t header = v6 ? 40 : (packet[0] & 15u) * 4;
  const std::uint8_t protocol = packet[v6 ? 6 : 9];
  const ByteView all(packet);
  if (!v6 && internet_checksum(all.first(header)) != 0) return false;
  if (checksum_at(protocol) == 0) return true;
  const ByteView addresses = v6 ? all.subspan(8, 32) : all.subspan(12, 8);
  const ByteView body = all.subspan(header);
  const std::uint32_t start =
      protocol == 1 ? 0u
                    : sum_words(addresses) + protocol + static_cast<std::uint32_t>(body.size());
  return internet_checksum(body, start) == 0;
}

}  // namespace cohort::test
