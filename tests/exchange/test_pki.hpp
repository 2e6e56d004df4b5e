#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/world/world.hpp"

typedef struct x509_st X509;

/// Certificates made in the process, and credentials that check chains against them.
namespace cohort::harness {

/// Key pairs of a type, made once for the whole process since RSA takes its time: `which` picks
/// one of several that differ.
[[nodiscard]] const crypto::PrivateKey& test_key(crypto::KeyType type, unsigned which = 0);
[[nodiscard]] const crypto::PrivateKey& weak_rsa_key();  ///< 1024 bits

struct LeafOptions {
  std::string common_name;
  std::string unit = "GETVPN_GM";  ///< OU
  std::vector<std::string> dns;    ///< subjectAltName
  std::vector<std::string> email;
  std::vector<IpAddress> addresses;
  std::chrono::hours valid_from{-24};  ///< against start_of_tests
  std::chrono::hours valid_to{24 * 365};
  crypto::KeyType type = crypto::KeyType::ecdsa_p256;
  unsigned which_key = 1;
  std::optional<crypto::PrivateKey> key = {};  ///< in place of type and which_key
};

/// A certificate with its key; a copy shares both.
class Certified {
 public:
  Certified(std::shared_ptr<X509> certificate, crypto::PrivateKey key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}
  [[nodiscard]] Bytes der() const;
  [[nodiscard]] Bytes subject_der() const;
  [[nodiscard]] const crypto::PrivateKey& key() const { return key_; }
  [[nodiscard]] X509* handle() const { return certificate_.get(); }

 private:
  std::shared_ptr<X509> certificate_;
  crypto::PrivateKey key_;
};

/// From a PEM certificate and its private key.
[[nodiscard]] Certified certified_from_pem(std::string_view certificate,
                                           const crypto::PrivateKey& key);

/// A certificate authority, self-signed or below another.
class TestCa {
 public:
  explicit TestCa(const std::string& common_name,
                  crypto::KeyType type = crypto::KeyType::ecdsa_p256, unsigned which_key = 0);
  TestCa(const std::string& common_name, const TestCa& parent, unsigned which_key);

  [[nodiscard]] Certified issue(const LeafOptions& options) const;
  [[nodiscard]] const Certified& certificate() const { return self_; }

 private:
  Certified self_;
};

/// Ours and the peers' credentials; trustpoint names are whatever the test says.
class TestCredentials final : public Credentials {
 public:
  explicit TestCredentials(const Clock& clock) : clock_(clock) {}

  void enrol(std::string_view trustpoint, const Certified& leaf,
             const std::vector<Certified>& intermediates = {});
  void forget(std::string_view trustpoint) { local_.erase(std::string(trustpoint)); }
  void trust(std::string_view trustpoint, const Certified& root);
  void share_key(const IpAddress& peer, std::string_view key);

  [[nodiscard]] std::optional<LocalIdentity> local(std::string_view trustpoint) const override;
  [[nodiscard]] std::vector<Bytes> issuers(std::string_view trustpoint) const override;
  [[nodiscard]] Result<PeerIdentity> verify(std::string_view trustpoint,
                                            std::span<const Bytes> chain) const override;
  [[nodiscard]] std::optional<Secret> pre_shared_key(const IpAddress& address) const override;

 private:
  const Clock& clock_;
  std::map<std::string, LocalIdentity> local_;
  std::map<std::string, std::vector<Certified>> roots_;
  std::map<IpAddress, std::string> shared_keys_;
};

inline constexpr Reason untrusted_certificate{"untrusted_certificate",
                                              "the chain does not lead to a trusted certificate"};

}  // namespace cohort::harness
