// The dataplane of a group member, and the order of all sections.
#include <array>

#include "config/sections.hpp"

namespace cohort::config {
namespace {

constexpr auto dataplane_fields = std::to_array<FieldSpec>({
    {"port_pairs", "NAME → section", "required", "an inside and an outside port each"},
    {"hugepages", "true or false", "true",
     "packet memory in hugepages; false uses ordinary pages, for labs and small machines"},
    {"memory_mb", "64..1048576", "256", "memory for DPDK in MiB"},
    {"file_prefix", "name", "cohort", "unique for each daemon on a machine"},
    {"eal_arguments", "list of text", "", "passed on to DPDK's EAL after our own"},
    {"idle_sleep_max", "duration", "100us",
     "the longest sleep of a worker with nothing to do; 0s polls without pause"},
    {"packet_buffers", "1024..4194304", "8192", "for each port pair"},
    {"icmp_errors_per_second", "0..1000000", "100", "too-big messages a worker may send"},
    {"reassembly_flows", "0..65536", "256",
     "fragmented ESP packets in reassembly, per worker; 0: fragments are dropped"},
    {"reassembly_timeout", "duration", "2s", "then the fragments are dropped"},
});

constexpr auto port_pair_fields = std::to_array<FieldSpec>({
    {"inside", "DPDK device", "required",
     "the clear side, in EAL syntax: `0000:03:00.0`, `net_af_packet0,iface=eth1`, …"},
    {"outside", "DPDK device", "required", "the encrypted side"},
    {"punt", "DPDK device", "",
     "where packets for the member itself go, as `net_tap0,iface=gm1`; without it they are "
     "dropped"},
    {"mtu", "576..9600", "1500", "of both ports"},
    {"own_addresses", "list of addresses", "",
     "the member's own addresses behind `punt`; its control address is added when `punt` is there"},
    {"control_peers", "list of addresses", "",
     "besides the groups' servers: UDP 848, 500 and 4500 with them passes in clear"},
    {"df_bit", "copy, set or clear", "copy", "don't-fragment bit of the outer header"},
    {"clamp_mss", "true or false", "true", "lower the TCP MSS to what fits after encryption"},
    {"check_checksums", "automatic, on or off", "automatic",
     "verify checksums before encryption; automatic: on kernel interfaces"},
    {"workers", "1..63", "1", "threads, with a queue of each port"},
    {"cpus", "list of numbers", "", "pin each worker to one of these"},
    {"ring_size", "64..32768", "1024", "descriptors of a queue"},
});

}  // namespace

namespace sections {

const SectionSpec dataplane{"Dataplane", "/dataplane", "ports and workers of a group member",
                            dataplane_fields};
const SectionSpec port_pair{"Port pair", "/dataplane/port_pairs/NAME",
                            "frames pass between its ports with their MAC addresses",
                            port_pair_fields};

}  // namespace sections

std::span<const SectionSpec* const> all_sections() {
  using namespace sections;
  static constexpr const SectionSpec* all[] = {&file,
                                               &logging,
                                               &admin,
                                               &metrics,
                                               &lab,
                                               &key_pair,
                                               &trustpoint,
                                               &pre_shared_key,
                                               &isakmp,
                                               &isakmp_policy,
                                               &keepalive,
                                               &access_line,
                                               &profile,
                                               &certificate_authority,
                                               &key_server,
                                               &server_group,
                                               &rekey,
                                               &sa,
                                               &authorization,
                                               &redundancy,
                                               &redundancy_authorization,
                                               &group_member,
                                               &membership,
                                               &sections::dataplane,
                                               &port_pair};
  return all;
}

}  // namespace cohort::config
