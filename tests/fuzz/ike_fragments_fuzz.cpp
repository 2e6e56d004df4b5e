#include <cstdlib>

#include "controlplane/ike/fragmentation.hpp"
#include "controlplane/ike/reasons.hpp"

/// Fragments of IKE messages, in any order and mixture: each of the input has a length (2 octets)
/// before it and is the body of a fragment payload. What is held stays in its bounds, and a whole
/// message is never longer than allowed.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cohort;
  constexpr std::size_t limit = 4096;
  ike::Reassembly reassembly;
  Reader in(ByteView(data, size));
  for (int i = 0; i < 600 && in.remaining() >= 2; ++i) {
    const std::size_t wanted = in.u16() % 2048;
    const ByteView body = in.take(std::min<std::size_t>(wanted, in.remaining()));
    ike::Header header;
    header.initiator = {1};
    header.next = ike::PayloadType::fragment;
    header.length = static_cast<std::uint32_t>(ike::Header::size + 4 + body.size());
    Writer datagram;
    header.write(datagram);
    datagram.u8(0).u8(0).u16(static_cast<std::uint16_t>(4 + body.size())).bytes(body);
    const auto whole = reassembly.add(datagram.view(), limit);
    if (reassembly.held() > limit) std::abort();
    if (whole && *whole && (*whole)->size() > limit) std::abort();
  }
  reassembly.clear();
  if (reassembly.held() != 0) std::abort();
  return 0;
}
