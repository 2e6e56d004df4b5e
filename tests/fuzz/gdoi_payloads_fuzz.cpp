#include <cstdlib>

#include "gdoi/payloads.hpp"

// Bodies of GDOI payloads: the first octet chooses the payload. What decodes must encode to
// something that decodes to the same value.
using namespace cohort;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void sa(ByteView body) {
  const auto decoded = gdoi::decode_sa(body);
  if (!decoded) return;
  const auto again = gdoi::decode_sa(gdoi::encode_sa(*decoded));
  require(again.has_value() && *again == *decoded);
  for (const auto& sat : decoded->sats) require(gdoi::encoded_size(sat) >= 5);
}

void kd(ByteView body) {
  const auto decoded = gdoi::decode_kd(body);
  if (!decoded) return;
  const Bytes encoded = gdoi::encode_kd(*decoded);
  const auto again = gdoi::decode_kd(encoded);
  require(again.has_value() && gdoi::encode_kd(*again) == encoded);
  std::size_t size = 4;
  for (const auto& packet : decoded->packets) size += gdoi::encoded_size(packet);
  require(size == encoded.size());
}

void others(std::uint8_t which, ByteView body) {
  if (which == 2) {
    if (const auto gap = gdoi::decode_gap(body)) {
      require(gdoi::decode_gap(gdoi::encode_gap(*gap)).value() == *gap);
    }
  } else if (which == 3) {
    if (const auto id = gdoi::decode_id(body)) require(equal(gdoi::encode_id(*id), body));
  } else if (which == 4) {
    if (const auto del = gdoi::decode_delete(body)) require(equal(gdoi::encode_delete(*del), body));
  } else {
    (void)gdoi::decode_seq(body);
    (void)gdoi::decode_nonce(body);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView body(data + 1, size - 1);
  const std::uint8_t which = data[0] % 6;
  if (which == 0) {
    sa(body);
  } else if (which == 1) {
    kd(body);
  } else {
    others(which, body);
  }
  return 0;
}
