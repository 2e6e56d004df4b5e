#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// Why a packet went no further. One list: workers count by it, the operator and the tests read it.
namespace cohort::dataplane {

// clang-format off
#define COHORT_DROP_REASONS(X)                                                                     \
  /* what arrives */                                                                               \
  X(truncated_frame, "the frame ends before its headers or the IP length say")                     \
  X(not_ip, "neither IP nor ARP: it can't be protected, so it does not pass")                      \
  X(too_many_tags, "more than two 802.1Q tags")                                                    \
  X(bad_ip_header, "an IP header that contradicts itself")                                         \
  X(bad_ip_checksum, "the IPv4 header checksum is wrong")                                          \
  X(bad_extension_headers, "IPv6 extension headers that are malformed or too many")                \
  X(transport_truncated, "too short for the transport header that it claims")                      \
  X(bad_transport_checksum, "the TCP, UDP or ICMP checksum is wrong; does the sender leave it to"  \
    " an offload? (ethtool -K IF tx off)")                                                         \
  X(frame_over_mtu, "longer than the port's MTU; does the sender segment by offload?"              \
    " (ethtool -K IF tso off gso off gro off)")                                                    \
  X(segments_too_long, "a chain of buffers that is longer than one buffer")                        \
  /* policy */                                                                                     \
  X(policy_drop, "a policy entry says drop")                                                       \
  X(no_policy_match, "no entry matches and the policy drops the rest (fail-close)")                \
  X(fragment_undecided, "a fragment without ports, where the policy looks at ports, and its first" \
    " fragment was not seen")                                                                      \
  X(clear_not_allowed, "arrived in clear, but the policy wants it encrypted")                      \
  /* sending */                                                                                    \
  X(no_outbound_sa, "to be encrypted, but there is no SA to send with")                            \
  X(no_sender_id, "to be encrypted with AES-GCM, but this worker has no sender id")                \
  X(sequence_exhausted, "the SA's sequence numbers are used up")                                   \
  X(iv_exhausted, "the sender id's IVs are used up")                                               \
  X(too_big_reported, "too big once encrypted and not to be fragmented; the sender was told")      \
  X(too_big_silent, "too big once encrypted and not to be fragmented; the sender could not be"     \
    " told (multicast, an ICMP error, or the rate limit)")                                         \
  X(no_buffer, "no packet buffer left")                                                            \
  X(no_room, "the buffer has no room for the ESP header or trailer")                               \
  /* receiving */                                                                                  \
  X(unknown_spi, "no SA has this SPI")                                                             \
  X(esp_truncated, "too short for the SA's ESP header, IV and ICV")                                \
  X(esp_bad_length, "the ciphertext is not a whole number of blocks")                              \
  X(replay_too_old, "left of the anti-replay window: by its sequence number, or by the group's"    \
    " time")                                                                                       \
  X(replay_in_future, "its time is ahead of the group's by more than the anti-replay window; is a" \
    " clock wrong?")                                                                               \
  X(replay_duplicate, "the sequence number was received before")                                   \
  X(bad_icv, "authentication failed: forged, damaged, or another key")                             \
  X(bad_padding, "authentic, but the padding is not 1, 2, 3, …")                                   \
  X(bad_next_header, "authentic, but it does not hold an IP packet of the outer family")           \
  X(dummy_packet, "a dummy packet (RFC 4303 section 2.6), meant to be dropped")                    \
  X(inner_malformed, "authentic, but the inner IP packet is malformed")                            \
  X(inner_address_mismatch, "authentic, but inner and outer addresses differ")                     \
  X(inner_selector_mismatch, "authentic, but the policy does not expect it under this SA")         \
  X(ecn_violation, "congestion was marked on a packet that does not take part in ECN (RFC 6040)")  \
  X(reassembly_failed, "fragments of an ESP packet that overlap, time out or find no room")        \
  X(reassembly_too_long, "a reassembled ESP packet longer than a buffer")                          \
  /* where it should go */                                                                         \
  X(no_punt_port, "for the member itself, but the pair has no punt port")                          \
  X(punt_full, "for the member itself, but the punt port took no more")                            \
  X(tx_full, "the port to leave by took no more")
// clang-format on

enum class DropReason : std::uint8_t {
#define COHORT_ENUM(name, sentence) name,
  COHORT_DROP_REASONS(COHORT_ENUM)
#undef COHORT_ENUM
};

struct DropReasonText {
  std::string_view name;
  std::string_view sentence;
};

/// In the order of DropReason.
inline constexpr std::array drop_reasons{
#define COHORT_TEXT(name, sentence) DropReasonText{#name, sentence},
    COHORT_DROP_REASONS(COHORT_TEXT)
#undef COHORT_TEXT
};
inline constexpr std::size_t drop_reason_count = drop_reasons.size();

[[nodiscard]] constexpr const DropReasonText& text_of(DropReason reason) {
  return drop_reasons[static_cast<std::size_t>(reason)];
}

}  // namespace cohort::dataplane
