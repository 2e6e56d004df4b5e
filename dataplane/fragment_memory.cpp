#include "dataplane/fragment_memory.hpp"

#include <nmmintrin.h>

#include "dataplane/headers.hpp"

namespace cohort::dataplane {

FragmentMemory::Key FragmentMemory::key_of(const std::uint8_t* ip, const Note& note) {
  Key key;
  key.protocol = note.protocol;
  if (note.has(note_v6)) {
    key.version = 6;
    std::memcpy(key.addresses.data(), ip + 8, 32);
    // The fragment header is the last before the transport in what we take for a fragment.
    key.id = load<std::uint32_t>(ip + note.transport_offset - 4);
  } else {
    key.version = 4;
    std::memcpy(key.addresses.data(), ip + 12, 8);
    key.id = load<std::uint16_t>(ip + 4);
  }
  return key;
}

std::size_t FragmentMemory::slot_of(const Key& key) {
  std::uint64_t hash = key.id;
  for (std::size_t i = 0; i < key.addresses.size(); i += 8)
    hash = _mm_crc32_u64(hash, load<std::uint64_t>(key.addresses.data() + i));
  return hash & (slot_count - 1);
}

void FragmentMemory::remember(const std::uint8_t* ip, const Note& note) {
  const Key key = key_of(ip, note);
  slots_[slot_of(key)] = {key, note.decision};
}

std::uint16_t FragmentMemory::recall(const std::uint8_t* ip, const Note& note) const {
  const Key key = key_of(ip, note);
  const Slot& slot = slots_[slot_of(key)];
  return slot.key == key ? slot.decision : unknown;
}

}  // namespace cohort::dataplane
