#include <cstdlib>

#include "coop/messages.hpp"
#include "coop/policy_digest.hpp"
#include "coop/replica.hpp"
#include "coop/stream.hpp"

using namespace cohort;

namespace {

void check(bool ok) {
  if (!ok) std::abort();
}

/// A decoded message must survive being encoded again.
void message(ByteView input) {
  auto first = coop::decode(input);
  if (!first || !*first) return;
  (*first)->version_minor = coop::version_minor;  // what is sent has ours
  const auto second = coop::decode(coop::encode(**first));
  check(second && *second && **second == **first);
}

/// What a peer's stream can hold.
void stream(ByteView input) {
  coop::StreamReceiver receiver;
  coop::Replica replica{IpAddress::v4(1)};
  std::uint64_t offset = 0;
  while (!input.empty()) {
    const std::size_t length = std::min<std::size_t>(input.size(), coop::data_octets_max);
    const auto taken = receiver.take(
        {1, offset,
         WipedBytes(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(length))});
    if (!taken) return;
    offset += length;
    input = input.subspan(length);
    for (const WipedBytes& record : taken->records) {
      auto item = coop::decode_item(record);
      if (!item || !*item) continue;
      const auto again = coop::decode_item(coop::encode_item(**item));
      check(again && *again);
      check(equal(coop::encode_item(**again), coop::encode_item(**item)));
      if ((*item)->id.kind == coop::Kind::policy)
        (void)coop::parse_policy_text((*item)->value.view());
      (void)replica.apply(std::move(**item), IpAddress::v4(2));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest(data + 1, size - 1);
  if (data[0] % 2 == 0)
    message(rest);
  else
    stream(rest);
  return 0;
}
