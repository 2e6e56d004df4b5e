#include "pki/keyring.hpp"

#include "pki/reasons.hpp"

namespace cohort::pki {

Trustpoint& Keyring::add(TrustpointOptions options) {
  std::string name = options.name;
  auto made = std::make_unique<Trustpoint>(std::move(options), store_, clock_);
  return *trustpoints_.emplace(std::move(name), std::move(made)).first->second;
}

Trustpoint* Keyring::find(std::string_view name) {
  const auto found = trustpoints_.find(name);
  return found == trustpoints_.end() ? nullptr : found->second.get();
}

const Trustpoint* Keyring::find(std::string_view name) const {
  const auto found = trustpoints_.find(name);
  return found == trustpoints_.end() ? nullptr : found->second.get();
}

std::vector<const Trustpoint*> Keyring::trustpoints() const {
  std::vector<const Trustpoint*> out;
  for (const auto& [name, trustpoint] : trustpoints_) out.push_back(trustpoint.get());
  return out;
}

void Keyring::add_pre_shared_key(const Prefix& peers, Secret key) {
  pre_shared_keys_.push_back({peers, std::move(key)});
}

std::optional<LocalIdentity> Keyring::local(std::string_view trustpoint) const {
  const Trustpoint* found = find(trustpoint);
  return found == nullptr ? std::nullopt : found->identity();
}

std::vector<Bytes> Keyring::issuers(std::string_view trustpoint) const {
  const Trustpoint* found = find(trustpoint);
  return found == nullptr ? std::vector<Bytes>{} : found->issuers();
}

Result<PeerIdentity> Keyring::verify(std::string_view trustpoint,
                                     std::span<const Bytes> chain) const {
  const Trustpoint* found = find(trustpoint);
  if (found == nullptr) return fail(unknown_trustpoint, std::string(trustpoint));
  return found->verify(chain);
}

std::optional<Secret> Keyring::pre_shared_key(const IpAddress& address) const {
  const PreSharedKey* best = nullptr;
  for (const auto& entry : pre_shared_keys_) {
    if (!entry.peers.contains(address)) continue;
    if (best == nullptr || entry.peers.length > best->peers.length) best = &entry;
  }
  if (best == nullptr) return std::nullopt;
  return best->key.clone();
}

}  // namespace cohort::pki
