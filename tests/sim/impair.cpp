#include "tests/sim/impair.hpp"

namespace cohort::sim {

dataplane::Sa clone(const dataplane::Sa& sa) {
  dataplane::Sa copy;
  copy.spi = sa.spi;
  copy.suite = sa.suite;
  copy.cipher_key = sa.cipher_key.clone();
  copy.integrity_key = sa.integrity_key.clone();
  copy.salt = sa.salt.clone();
  copy.sender_ids = sa.sender_ids;
  copy.sid_bits = sa.sid_bits;
  copy.replay = sa.replay;
  copy.replay_window = sa.replay_window;
  return copy;
}

dataplane::Snapshot clone(const dataplane::Snapshot& snapshot) {
  dataplane::Snapshot copy;
  copy.policy = snapshot.policy;
  copy.otherwise = snapshot.otherwise;
  copy.group_time_offset_ms = snapshot.group_time_offset_ms;
  for (const auto& sa : snapshot.sas) copy.sas.push_back(clone(sa));
  return copy;
}

}  // namespace cohort::sim
