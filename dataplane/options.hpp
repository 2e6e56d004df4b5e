#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/base/address.hpp"

/// What a member's dataplane is made of. Plain values; the daemon fills them from its
/// configuration.
namespace cohort::dataplane {

/// How DPDK's environment is started, once in a process.
struct EalOptions {
  bool hugepages = true;  ///< false: ordinary pages (--no-huge --no-shconf), for labs and tests
  unsigned memory_mb = 256;
  std::string file_prefix = "cohort";  ///< unique per process on a machine
  /// Look for PCI devices. Set by Manager::create if a port's device is a PCI address.
  bool pci = false;
  std::vector<std::string> extra;  ///< passed on verbatim, after ours
};

/// What to do with the DF bit of the outer IPv4 header (RFC 4301 section 8.1).
enum class DfBit : std::uint8_t { copy, set, clear };

/// Whether TCP, UDP and ICMP checksums of packets from the inside port are verified before
/// encryption. A peer that leaves them to an offload (veth) sends packets that nobody can repair
/// once they are encrypted.
enum class ChecksumCheck : std::uint8_t {
  automatic,  ///< on for kernel devices (net_af_packet, net_tap, net_af_xdp), else off
  on,
  off
};

/// A member's place in the network: two ports, frames pass between them with their MAC addresses.
struct PortPairOptions {
  std::string name;  ///< as the control plane says it in Manager::apply
  /// Devices in EAL syntax: "net_af_packet0,iface=gm1-in", "0000:03:00.0", "net_memif0,role=…".
  /// The name alone ("net_ring_x") takes a port that is already there.
  std::string inside;   ///< clear side
  std::string outside;  ///< encrypted side
  /// The kernel's way in: "net_tap0,iface=gm1" or any other port; empty: nothing is punted, and
  /// packets for own_addresses are dropped as no_punt_port.
  std::string punt;
  std::uint16_t mtu = 1500;  ///< of both ports, IP octets: 576..9600
  /// Addresses of the member itself; packets to them are punted.
  std::vector<IpAddress> own_addresses;
  /// Key servers and other members of the control plane: UDP 848, 500 and 4500 between one of them
  /// and anybody, from such a port to such a port, passes in clear.
  std::vector<IpAddress> control_peers;
  DfBit df_bit = DfBit::copy;
  bool clamp_mss = true;
  ChecksumCheck check_checksums = ChecksumCheck::automatic;
  /// One worker thread (and one queue of each port) per entry; the number is the CPU to pin it to,
  /// or nothing for no pinning. Devices with one queue take one worker.
  std::vector<std::optional<unsigned>> workers{std::nullopt};
  std::uint16_t ring_size = 1024;  ///< descriptors per queue, rounded up to a power of two
};

struct DataplaneOptions {
  EalOptions eal;
  std::vector<PortPairOptions> port_pairs;
  /// The longest sleep of a worker whose ports are idle; zero polls without pause (lowest latency,
  /// a whole core each).
  std::chrono::microseconds idle_sleep_max{100};
  /// Off: workers wait for Manager::start(), so that the first packet finds a policy (bench,
  /// tests).
  bool start_workers = true;
  std::uint32_t mbufs_per_pair = 8192;         ///< packet buffers, each of MTU + 256 octets or 2304
  std::uint32_t icmp_errors_per_second = 100;  ///< per worker
  std::uint32_t reassembly_flows = 256;        ///< ESP packets in reassembly at once, per worker
  std::chrono::milliseconds reassembly_timeout{2000};
};

}  // namespace cohort::dataplane
