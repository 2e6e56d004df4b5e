#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "controlplane/base/bytes.hpp"

namespace cohort::perf {

/// Frames in a lap of the source: two gathered bursts.
inline constexpr unsigned lap = 256;

/// Inner packet sizes by name: "64", "576", "1420", …, or "imix" (7:4:1 of 64, 576 and 1420).
std::vector<std::uint32_t> sizes_of(const std::string& name);

/// One Ethernet frame for each size: IPv4 UDP, every frame a flow of its own.
std::vector<Bytes> clear_frames(std::span<const std::uint32_t> inner_sizes);

/// Writes a capture file for net_pcap.
void write_pcap(const std::string& path, std::span<const Bytes> frames);

}  // namespace cohort::perf
