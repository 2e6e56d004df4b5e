#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cohort {

/// What others wrote, as a log line or a terminal may have it: UTF-8 without control characters
/// (C0, DEL, C1), without what changes the order of the line's text, and without broken sequences,
/// each of which becomes a '?'. At most `length_max` octets, and then an ellipsis.
[[nodiscard]] std::string printable(std::string_view text,
                                    std::size_t length_max = std::string::npos);

}  // namespace cohort
