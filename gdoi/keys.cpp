#include "gdoi/keys.hpp"

#include "gdoi/algorithms.hpp"

namespace cohort::gdoi {

GroupTek* GroupKeys::find(std::uint32_t spi) {
  for (GroupTek& tek : teks) {
    if (tek.tek.spi == spi) return &tek;
  }
  return nullptr;
}

const GroupTek* GroupKeys::find(std::uint32_t spi) const {
  for (const GroupTek& tek : teks) {
    if (tek.tek.spi == spi) return &tek;
  }
  return nullptr;
}

std::vector<std::vector<AclEntry>> key_shares(const SaPolicy& sa) {
  std::vector<std::vector<AclEntry>> out;
  for (const AclEntry& entry : sa.acl) {
    if (!entry.permit) continue;
    if (sa.tek_per_entry || out.empty()) out.emplace_back();
    out.back().push_back(entry);
  }
  return out;
}

Tek make_tek(Random& random, const SaPolicy& sa, TimePoint now,
             const std::function<bool(std::uint32_t)>& taken) {
  const dataplane::SuiteShape& shape = dataplane::shape_of(sa.suite);
  Tek tek;
  do {
    tek.spi = random.u32();
  } while (tek.spi < 256 || taken(tek.spi));
  tek.suite = sa.suite;
  tek.cipher_key = random.secret(shape.cipher_key);
  if (shape.integrity_key != 0) tek.integrity_key = random.secret(shape.integrity_key);
  if (shape.salt != 0) tek.salt = random.secret(shape.salt);
  tek.replay = sa.replay;
  tek.replay_window = sa.replay_window;
  tek.send_from = now;
  tek.expires = now + sa.lifetime;
  return tek;
}

std::shared_ptr<RekeySa> make_rekey_sa(Random& random, const RekeyPolicy& policy,
                                       const crypto::PublicKey& signing_key, TimePoint now) {
  auto sa = std::make_shared<RekeySa>();
  random.fill(sa->kek.spi);
  sa->kek.cipher = policy.cipher;
  sa->kek.iv = random.secret(crypto::block_size(policy.cipher));
  sa->kek.key = random.secret(crypto::key_size(policy.cipher));
  sa->kek.signature_hash = hash_for(signing_key.type(), policy.signature_hash);
  sa->kek.signature_key_spki = signing_key.spki();
  sa->kek.expires = now + policy.lifetime;
  sa->made = now;
  sa->lifetime = policy.lifetime;
  if (policy.transport == RekeyTransport::multicast) sa->multicast = policy.multicast_destination;
  return sa;
}

}  // namespace cohort::gdoi
