/// Frames from the outside port: whatever arrives is decrypted, forwarded, punted or dropped by
/// name, and no buffer is lost. The input is a list of frames, each behind a 16-bit length; the
/// first octet of each says whether it comes from outside, or from inside, and whether its ICV is
/// made right first, so that what lies behind authentication is reached too.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <rte_mbuf.h>

#include "tests/packets/lab.hpp"

namespace {

using namespace cohort;
using namespace cohort::dataplane;

enum Mode : std::uint8_t { outside = 0, inside = 1, sealed_gcm = 2, sealed_cbc = 3 };
constexpr std::size_t frame_max = 1514;
constexpr std::uint32_t spi_gcm = 0x1000;
constexpr std::uint32_t spi_cbc = 0x1001;

Snapshot policy() {
  Snapshot snapshot;
  snapshot.policy.push_back(test::entry(Action::drop, "10.0.0.66/32", "0.0.0.0/0"));
  snapshot.policy.push_back(test::entry(Action::bypass, "10.0.0.0/8", "10.0.0.0/8"));
  snapshot.policy.back().selector.protocol = 17;
  snapshot.policy.back().selector.destination_ports = {5000, 5010};
  snapshot.policy.push_back(test::entry(Action::protect, "0.0.0.0/0", "0.0.0.0/0", spi_gcm));
  snapshot.policy.push_back(test::entry(Action::protect, "::/0", "::/0", spi_cbc));
  for (PolicyEntry& entry : snapshot.policy) entry.receive_spis = {spi_gcm, spi_cbc};
  snapshot.sas.push_back(test::make_sa(Suite::aes_128_gcm_16, spi_gcm));
  snapshot.sas.push_back(test::make_sa(Suite::aes_256_cbc_sha256_128, spi_cbc));
  for (Sa& sa : snapshot.sas) sa.replay = ReplayKind::none;
  return snapshot;
}

/// The octets as the inner packet of an authentic ESP packet, with an outer header of its
/// addresses.
Bytes seal(const Bytes& inner, bool gcm) {
  const std::size_t header = !inner.empty() && inner[0] >> 4 == 6 ? 40 : 20;
  if (inner.size() < header || inner.size() > 1300) return inner;
  const Suite suite = gcm ? Suite::aes_128_gcm_16 : Suite::aes_256_cbc_sha256_128;
  return test::seal(test::make_sa(suite, gcm ? spi_gcm : spi_cbc), inner,
                    {.iv = test::iv_for(suite, 7)});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static test::Lab* lab = [] {
    PipelineOptions options = test::Lab::defaults();
    options.reassembly_flows = 16;
    options.check_checksums = true;
    auto* made = new test::Lab(options);
    made->apply(policy());
    return made;
  }();
  std::vector<Bytes> from_outside;
  std::vector<Bytes> from_inside;
  std::size_t at = 0;
  while (at + 3 <= size && from_outside.size() + from_inside.size() < 16) {
    const std::size_t length =
        std::min<std::size_t>((data[at] * 256u + data[at + 1]) % frame_max, size - at - 3);
    const auto mode = static_cast<Mode>(data[at + 2] & 3);
    const Bytes octets(data + at + 3, data + at + 3 + length);
    at += 3 + length;
    if (mode >= sealed_gcm)
      from_outside.push_back(test::frame(seal(octets, mode == sealed_gcm)));
    else
      (mode == outside ? from_outside : from_inside).push_back(octets);
  }
  for (auto* list : {&from_outside, &from_inside}) {
    std::erase_if(*list, [](const Bytes& frame) { return frame.empty(); });
    if (list->empty()) continue;
    const test::Outcome out = list == &from_outside ? lab->outside(*list) : lab->inside(*list);
    // Each frame is dropped by name, waits in reassembly, or leaves (perhaps in fragments).
    std::uint64_t accounted = out.inside.size() + out.outside.size() + out.punt.size();
    for (const auto& [name, count] : out.drops) accounted += count;
    // Up to eight fragments became one packet.
    if (out.forwards.contains("reassembled")) accounted += 7 * out.forwards.at("reassembled");
    if (accounted + lab->buffers_in_use() < list->size()) std::abort();
    // Sixteen packets of eight fragments at most.
    if (lab->buffers_in_use() > 16 * 9) std::abort();
  }
  return 0;
}
