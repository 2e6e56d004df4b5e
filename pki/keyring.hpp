#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/world/world.hpp"
#include "pki/trustpoint.hpp"

namespace cohort::pki {

/// The World's Credentials: any number of trustpoints, and pre-shared keys by address prefix.
/// Control-plane thread only.
class Keyring final : public Credentials {
 public:
  /// Keeps both by reference.
  Keyring(Store& store, const Clock& clock) : store_(store), clock_(clock) {}

  /// Adds a trustpoint; the reference stays good as long as the keyring. A second one of the same
  /// name replaces nothing and is an error of the caller (the configuration's names are unique).
  Trustpoint& add(TrustpointOptions options);
  [[nodiscard]] Trustpoint* find(std::string_view name);
  [[nodiscard]] const Trustpoint* find(std::string_view name) const;
  [[nodiscard]] std::vector<const Trustpoint*> trustpoints() const;
  /// The longest matching prefix wins.
  void add_pre_shared_key(const Prefix& peers, Secret key);

  [[nodiscard]] std::optional<LocalIdentity> local(std::string_view trustpoint) const override;
  [[nodiscard]] std::vector<Bytes> issuers(std::string_view trustpoint) const override;
  [[nodiscard]] Result<PeerIdentity> verify(std::string_view trustpoint,
                                            std::span<const Bytes> chain) const override;
  [[nodiscard]] std::optional<Secret> pre_shared_key(const IpAddress& address) const override;

 private:
  struct PreSharedKey {
    Prefix peers;
    Secret key;
  };
  Store& store_;
  const Clock& clock_;
  std::map<std::string, std::unique_ptr<Trustpoint>, std::less<>> trustpoints_;
  std::vector<PreSharedKey> pre_shared_keys_;
};

}  // namespace cohort::pki
