#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/world/world.hpp"
#include "pki/certificate.hpp"
#include "pki/key_pair.hpp"
#include "pki/options.hpp"
#include "pki/trust.hpp"

namespace cohort::pki {

/// What an operator may be asked before a certificate is requested.
struct OpenQuestions {
  bool challenge_password = false;
  bool serial_number = false;
  bool ip_address = false;
};

/// What he answered; an empty answer leaves the thing out.
struct RequestAnswers {
  Secret challenge_password;
  std::optional<std::string> serial_number;
  std::optional<IpAddress> ip_address;
};

/// One trustpoint: the CA that we believe, our certificate by it, its revocation list; kept in the
/// World's Store under "trustpoints/NAME/". Each change is one atomic write, and the old identity
/// serves until the new one is written. Control-plane thread only.
class Trustpoint {
 public:
  /// Keeps store and clock by reference; reads nothing yet.
  Trustpoint(TrustpointOptions options, Store& store, const Clock& clock);

  /// Reads what is stored; nothing stored is fine. trustpoint_damaged or key_pair_missing else.
  [[nodiscard]] Status load(const KeyPairs& keys);

  [[nodiscard]] const TrustpointOptions& options() const { return options_; }
  /// What the configuration leaves to the operator's answers.
  [[nodiscard]] const OpenQuestions& open_questions() const { return open_; }
  /// The operator's answers, for the requests of this process; they are kept nowhere else. What
  /// the configuration says stands. bad_name: these values do not fit into a request; nothing
  /// is changed then.
  [[nodiscard]] Status use(RequestAnswers answers);
  [[nodiscard]] const std::string& name() const { return options_.name; }
  [[nodiscard]] bool is_authenticated() const { return !trust_.anchors.empty(); }
  [[nodiscard]] const Trust& trust() const { return trust_; }
  /// The certificates that GetCACert gave: anchors, then registration authorities and others.
  [[nodiscard]] std::vector<Certificate> ca_certificates() const;
  /// Our own certificate, also when it has expired; for show commands and renewal.
  [[nodiscard]] const std::optional<Certificate>& certificate() const { return certificate_; }
  [[nodiscard]] const std::string& key_label() const { return key_label_; }
  /// What we authenticate with: only while our certificate is valid by the clock.
  [[nodiscard]] std::optional<LocalIdentity> identity() const;
  /// Issuers that we accept, for CERTREQ.
  [[nodiscard]] std::vector<Bytes> issuers() const;
  [[nodiscard]] Result<PeerIdentity> verify(std::span<const Bytes> chain) const;

  /// Believes these CA certificates from now on. `anchors` must all be CAs.
  [[nodiscard]] Status accept_ca(std::vector<Certificate> anchors, std::vector<Certificate> others);
  /// Takes our certificate (it must belong to `pair`) with any intermediates above it.
  [[nodiscard]] Status install(const KeyPair& pair, Certificate certificate,
                               std::vector<Certificate> intermediates);
  /// Takes a CRL that one of the known CA certificates has signed; an older one than what we have
  /// is ignored.
  [[nodiscard]] Status install_crl(Crl crl);
  /// Forgets CA, certificate and CRL.
  [[nodiscard]] Status clear();

  /// The name in the store of "identity.pem" (our certificate), "ca.pem" or "crls.der".
  [[nodiscard]] std::string blob(std::string_view what) const;

 private:
  [[nodiscard]] Status load_ca();
  [[nodiscard]] Status load_identity(const KeyPairs& keys);
  [[nodiscard]] Status load_crls();

  TrustpointOptions options_;
  OpenQuestions open_;
  Store& store_;
  const Clock& clock_;
  Trust trust_;
  std::optional<Certificate> certificate_;
  std::vector<Certificate> chain_;  ///< above certificate_, without the anchor
  std::optional<crypto::PrivateKey> key_;
  std::string key_label_;
};

}  // namespace cohort::pki
