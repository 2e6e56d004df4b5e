#pragma once

#include "controlplane/base/result.hpp"

namespace cohort::dataplane {

inline constexpr Reason eal_failed{"eal_failed",
                                   "DPDK's environment did not start; is there memory (hugepages, "
                                   "or hugepages off), and is the file prefix unique?"};
inline constexpr Reason port_failed{"port_failed",
                                    "a port could not be set up; check the device string and that "
                                    "the device is free"};
inline constexpr Reason port_queues_short{
    "port_queues_short",
    "a port has fewer queues than the pair has workers; configure fewer workers"};
inline constexpr Reason no_packet_memory{"no_packet_memory",
                                         "there is not enough memory for packet buffers; raise "
                                         "memory_mb or lower packet_buffers"};
inline constexpr Reason no_such_pair{"no_such_pair", "there is no port pair of this name"};
inline constexpr Reason bad_port_pair{
    "bad_port_pair", "a port pair's options contradict each other or are out of range"};
inline constexpr Reason bad_sa{"bad_sa", "an SA's keys or parameters do not fit its suite"};
inline constexpr Reason bad_policy{"bad_policy", "a policy entry can't be compiled"};
inline constexpr Reason policy_too_large{
    "policy_too_large", "the policy has more entries or SAs than the dataplane takes"};
inline constexpr Reason workers_busy{
    "workers_busy", "the workers have not taken the previous policies yet; try again"};
inline constexpr Reason no_multi_buffer{"no_multi_buffer",
                                        "IPsec-MB did not start on this CPU (it needs AES-NI)"};

}  // namespace cohort::dataplane
