#pragma once

#include <string_view>

namespace cohort::daemon {

inline constexpr std::string_view version_text = COHORT_VERSION;  // from meson.build

}  // namespace cohort::daemon
