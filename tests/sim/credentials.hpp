#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/world/world.hpp"

namespace cohort::sim {

inline constexpr Reason sim_certificate_refused{
    "sim_certificate_refused", "the simulated certificate authority does not vouch for this chain"};

/// The certificate authority of a run. Its certificates are not X.509 but a name, the number of a
/// key and an expiry under the authority's MAC, so that a thousand members cost nothing; what they
/// prove is signed and verified with real RSA keys of a small pool.
class Authority {
 public:
  explicit Authority(std::uint64_t seed);

  struct Grant {
    std::string common_name;
    std::string organizational_unit;
    WallTime expires;
  };
  [[nodiscard]] Bytes issue(const Grant& grant) const;
  [[nodiscard]] const crypto::PrivateKey& key_of(std::string_view common_name) const;
  [[nodiscard]] Result<PeerIdentity> verify(WallTime now, ByteView certificate) const;
  void revoke(std::string common_name) { revoked_.insert(std::move(common_name)); }
  [[nodiscard]] const Bytes& name() const { return name_; }
  /// One secret for each pair of addresses.
  [[nodiscard]] Secret pair_secret(const IpAddress& a, const IpAddress& b) const;
  [[nodiscard]] const crypto::PrivateKey& rekey_key() const { return keys_.back(); }

 private:
  Secret secret_;
  Bytes name_;
  std::vector<crypto::PrivateKey> keys_;  ///< the last one signs rekeys only
  std::set<std::string, std::less<>> revoked_;
};

/// DER Name of "OU=…, CN=…" with UTF8String values.
[[nodiscard]] Bytes der_name(std::string_view organizational_unit, std::string_view common_name);

/// One host's view of the authority: an identity of its own, a pre-shared key with every peer, or
/// neither.
class SimCredentials final : public Credentials {
 public:
  /// `wall` tells the host's wall time.
  SimCredentials(const Authority& authority, IpAddress address, std::function<WallTime()> wall)
      : authority_(authority), address_(address), wall_(std::move(wall)) {}

  void enrol(const Authority::Grant& grant);
  void share_keys(bool on) { pre_shared_ = on; }

  [[nodiscard]] std::optional<LocalIdentity> local(std::string_view trustpoint) const override;
  [[nodiscard]] std::vector<Bytes> issuers(std::string_view trustpoint) const override;
  [[nodiscard]] Result<PeerIdentity> verify(std::string_view trustpoint,
                                            std::span<const Bytes> chain) const override;
  [[nodiscard]] std::optional<Secret> pre_shared_key(const IpAddress& peer) const override;

 private:
  const Authority& authority_;
  IpAddress address_;
  std::function<WallTime()> wall_;
  std::optional<LocalIdentity> identity_;
  bool pre_shared_ = true;
};

}  // namespace cohort::sim
