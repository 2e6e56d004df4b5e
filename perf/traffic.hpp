#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "controlplane/base/bytes.hpp"

namespace cohort::perf {

/// Frames in a lap of the source, unless there are more SAs: two gathered bursts.
inline constexpr unsigned lap = 256;
inline constexpr unsigned networks_max = 4096;
/// A lap meets every SA, and ends where a gathered burst ends.
[[nodiscard]] constexpr unsigned frames_for(unsigned sas) {
  return sas <= lap ? lap : (sas + 127) / 128 * 128;
}

enum class Ip : std::uint8_t { v4, v6 };

/// Inner packet sizes by name: "64", "576", "1420", …, or "imix" (7:4:1 of 64, 576 and 1420).
std::vector<std::uint32_t> sizes_of(const std::string& name, unsigned count = lap);

/// The prefix that destinations in network `number` (below networks_max) have, and that of all.
std::string network(Ip ip, unsigned number);
std::string all_networks(Ip ip);
/// What sources have.
std::string sources(Ip ip);

/// One Ethernet frame for each size: UDP, every frame a flow of its own, destinations in each of
/// `networks` networks in turn.
std::vector<Bytes> clear_frames(std::span<const std::uint32_t> inner_sizes, Ip ip,
                                unsigned networks);

/// Writes a capture file for net_pcap.
void write_pcap(const std::string& path, std::span<const Bytes> frames);

}  // namespace cohort::perf
