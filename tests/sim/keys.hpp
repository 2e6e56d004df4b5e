#pragma once

#include <array>
#include <string_view>

namespace cohort::sim {

/// PKCS#8 PEM of the private keys that simulated machines share.
extern const std::array<std::string_view, 4> key_pems;

}  // namespace cohort::sim
