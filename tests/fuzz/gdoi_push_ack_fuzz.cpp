#include "gdoi/groupkey_push.hpp"

// GROUPKEY-PUSH-ACK as it comes from the network.
using namespace cohort;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gdoi::Kek kek;
  kek.spi.fill(0x5a);
  kek.key = Secret(Bytes(16, 2));
  (void)gdoi::read_push_ack(gdoi::AckType::kek_sha256, kek, ByteView(data, size));
  (void)gdoi::read_push_ack(gdoi::AckType::kek_sha512, kek, ByteView(data, size));
  return 0;
}
