#include "controlplane/ike/vendor_ids.hpp"

#include <array>

namespace cohort::ike {

namespace {

constexpr std::array<std::uint8_t, 16> dpd_id{0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9,
                                              0x6b, 0x86, 0x96, 0xfc, 0x77, 0x57, 0x01, 0x00};
// MD5("FRAGMENTATION"), then four octets of which peers send 80000000 or c0000000.
constexpr std::array<std::uint8_t, 20> fragmentation_id{0x40, 0x48, 0xb7, 0xd5, 0x6e, 0xbc, 0xe8,
                                                        0x85, 0x25, 0xe7, 0xde, 0x7f, 0x00, 0xd6,
                                                        0xc2, 0xd3, 0x80, 0x00, 0x00, 0x00};
// MD5("RFC 3947").
constexpr std::array<std::uint8_t, 16> nat_traversal_id{
    0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28, 0xf2, 0x0e, 0x95, 0x45, 0x2f};
// "cohort group key", then the version of the private attributes.
constexpr std::array<std::uint8_t, 20> cohort_id{0x63, 0x6f, 0x68, 0x6f, 0x72, 0x74, 0x20,
                                                 0x67, 0x72, 0x6f, 0x75, 0x70, 0x20, 0x6b,
                                                 0x65, 0x79, 0x00, 0x00, 0x00, 0x01};
constexpr std::size_t hash_part = 16;

bool begins_with(ByteView vendor_id, ByteView known) {
  return vendor_id.size() >= hash_part && equal(vendor_id.first(hash_part), known.first(hash_part));
}

}  // namespace

void PeerCapabilities::note(ByteView vendor_id) {
  dpd = dpd || equal(vendor_id, dpd_id);
  fragmentation = fragmentation || begins_with(vendor_id, fragmentation_id);
  nat_traversal = nat_traversal || equal(vendor_id, nat_traversal_id);
  cohort = cohort || begins_with(vendor_id, cohort_id);
}

std::vector<ByteView> own_vendor_ids(const IsakmpOptions& options) {
  std::vector<ByteView> ids{dpd_id, cohort_id};
  if (options.fragment_size != 0) ids.emplace_back(fragmentation_id);
  if (options.nat_traversal) ids.emplace_back(nat_traversal_id);
  return ids;
}

std::vector<ByteView> answering_vendor_ids(const IsakmpOptions& options,
                                           const PeerCapabilities& peer) {
  std::vector<ByteView> ids{dpd_id};
  if (peer.cohort) ids.emplace_back(cohort_id);
  if (peer.fragmentation && options.fragment_size != 0) ids.emplace_back(fragmentation_id);
  if (peer.nat_traversal && options.nat_traversal) ids.emplace_back(nat_traversal_id);
  return ids;
}

}  // namespace cohort::ike
