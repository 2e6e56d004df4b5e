#pragma once

#include <optional>
#include <string>

#include "controlplane/daemon/cohort/client.hpp"

/// Commands that ask back.
namespace cohort::daemon {

/// `crypto pki authenticate`: fetches the authority's certificate, shows its fingerprints, asks yes
/// or no. `assume` answers for the operator. Returns the process status.
int pki_authenticate(const Client& client, const std::string& trustpoint,
                     std::optional<bool> assume);
/// `crypto pki enroll`: the same if need be, then waits for the certificate.
int pki_enroll(const Client& client, const std::string& trustpoint, std::optional<bool> assume);

/// A passphrase from the terminal without showing it, or from the file; twice when `confirm`.
[[nodiscard]] std::optional<std::string> ask_passphrase(const std::string& file,
                                                        const std::string& prompt, bool confirm);

}  // namespace cohort::daemon
