#include "perf/traffic.hpp"

#include <fmt/format.h>
#include <fstream>
#include <stdexcept>

namespace cohort::perf {

std::vector<std::uint32_t> sizes_of(const std::string& name, unsigned count) {
  constexpr std::uint32_t imix[] = {64, 576, 64, 64, 576, 64, 1420, 64, 576, 64, 64, 576};
  std::vector<std::uint32_t> sizes(count);
  for (unsigned i = 0; i < count; ++i)
    sizes[i] = name == "imix" ? imix[i % 12] : static_cast<std::uint32_t>(std::stoul(name));
  return sizes;
}

std::string network(Ip ip, unsigned number) {
  if (ip == Ip::v6) return fmt::format("fd00:2:0:{:x}::/64", number);
  return fmt::format("172.{}.{}.0/24", 16 + number / 256, number % 256);
}

std::string all_networks(Ip ip) {
  return ip == Ip::v6 ? "fd00:2::/32" : "172.16.0.0/12";
}

std::string sources(Ip ip) {
  return ip == Ip::v6 ? "fd00:1::/32" : "10.0.0.0/8";
}

namespace {

void put_ipv4(Writer& out, std::uint32_t size, unsigned number, unsigned net) {
  out.u8(0x45).u8(0).u16(static_cast<std::uint16_t>(size)).u16(0).u16(0).u8(64).u8(17).u16(0);
  // The checksum does not matter here.
  out.u32(0x0a000000u + number % 61).u32(0xac100000u + (net << 8) + number % 53);
}

void put_ipv6(Writer& out, std::uint32_t size, unsigned number, unsigned net) {
  out.u32(0x60000000u).u16(static_cast<std::uint16_t>(size - 40)).u8(17).u8(64);
  out.u32(0xfd000001u).u32(0).u32(0).u32(number % 61);
  out.u32(0xfd000002u).u32(net).u32(0).u32(number % 53);
}

}  // namespace

std::vector<Bytes> clear_frames(std::span<const std::uint32_t> inner_sizes, Ip ip,
                                unsigned networks) {
  std::vector<Bytes> frames;
  for (unsigned number = 0; number < inner_sizes.size(); ++number) {
    const std::uint32_t size = inner_sizes[number];
    Writer out;
    out.bytes(Bytes{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}).u16(ip == Ip::v6 ? 0x86dd : 0x0800);
    // Sources and destinations vary as in a site of hosts.
    if (ip == Ip::v6)
      put_ipv6(out, size, number, number % networks);
    else
      put_ipv4(out, size, number, number % networks);
    const std::uint32_t around = ip == Ip::v6 ? 40 : 20;
    out.u16(static_cast<std::uint16_t>(1024 + number)).u16(5001);
    out.u16(static_cast<std::uint16_t>(size - around)).u16(0);
    while (out.size() < 14 + size) out.u8(static_cast<std::uint8_t>(out.size() * 31));
    frames.push_back(out.take());
  }
  return frames;
}

void write_pcap(const std::string& path, std::span<const Bytes> frames) {
  std::ofstream file(path, std::ios::binary);
  const auto put32 = [&](std::uint32_t value) {
    file.write(reinterpret_cast<const char*>(&value), sizeof value);
  };
  put32(0xa1b2c3d4);
  put32(0x00040002);
  put32(0);
  put32(0);
  put32(65535);
  put32(1);  // Ethernet
  for (const Bytes& frame : frames) {
    put32(0);
    put32(0);
    put32(static_cast<std::uint32_t>(frame.size()));
    put32(static_cast<std::uint32_t>(frame.size()));
    file.write(reinterpret_cast<const char*>(frame.data()),
               static_cast<std::streamsize>(frame.size()));
  }
  if (!file.flush()) throw std::runtime_error("can't write " + path);
}

}  // namespace cohort::perf
