#pragma once

#include <string>

#include "controlplane/base/secret.hpp"
#include "controlplane/daemon/file_store.hpp"

namespace cohort::daemon {

/// The key that seals replicated state on the disk: 32 octets, as 64 hexadecimal digits in a file
/// of mode 0600. Made, durably, if it is not there and `may_make`; otherwise what is missing,
/// damaged or readable by others is refused with state_key_unusable.
[[nodiscard]] Result<Secret> load_state_key(Disk& disk, Random& random, const std::string& path,
                                            bool may_make);

}  // namespace cohort::daemon
