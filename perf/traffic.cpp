#include "perf/traffic.hpp"

#include <fstream>
#include <stdexcept>

namespace cohort::perf {

std::vector<std::uint32_t> sizes_of(const std::string& name) {
  constexpr std::uint32_t imix[] = {64, 576, 64, 64, 576, 64, 1420, 64, 576, 64, 64, 576};
  std::vector<std::uint32_t> sizes(lap);
  for (unsigned i = 0; i < lap; ++i)
    sizes[i] = name == "imix" ? imix[i % 12] : static_cast<std::uint32_t>(std::stoul(name));
  return sizes;
}

std::vector<Bytes> clear_frames(std::span<const std::uint32_t> inner_sizes) {
  std::vector<Bytes> frames;
  std::uint16_t port = 1024;
  for (const std::uint32_t size : inner_sizes) {
    Writer out;
    out.bytes(Bytes{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}).u16(0x0800);
    out.u8(0x45).u8(0).u16(static_cast<std::uint16_t>(size)).u16(0).u16(0).u8(64).u8(17).u16(0);
    // Sources and destinations vary as in a site of hosts; the checksum does not matter here.
    out.u32(0x0a000000u + port % 61).u32(0xac100000u + port % 53);
    out.u16(port++).u16(5001).u16(static_cast<std::uint16_t>(size - 20)).u16(0);
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
