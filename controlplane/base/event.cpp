#include "controlplane/base/event.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace cohort {

namespace {

bool named_in(std::string_view sentence, std::string_view key) {
  return sentence.find(fmt::format("{{{}}}", key)) != std::string_view::npos;
}

}  // namespace

std::string Event::sentence() const {
  std::string out;
  std::string_view rest = kind->sentence;
  // One pass over the kind's own text: a value is never searched for names.
  for (std::size_t at = rest.find('{'); at != std::string_view::npos; at = rest.find('{')) {
    const std::size_t end = rest.find('}', at);
    if (end == std::string_view::npos) break;
    const std::string_view name = rest.substr(at + 1, end - at - 1);
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& one) { return one.first == name; });
    out += rest.substr(0, at);
    out += field == fields.end() ? std::string_view("?") : std::string_view(field->second);
    rest.remove_prefix(end + 1);
  }
  return out.append(rest);
}

std::string Event::text() const {
  std::string out = fmt::format("%{}-{}-{}: {}", kind->facility, static_cast<int>(kind->severity),
                                kind->mnemonic, sentence());
  const char* separator = " (";
  for (const auto& [key, value] : fields) {
    if (named_in(kind->sentence, key)) continue;
    out += fmt::format("{}{}={}", separator, key, value);
    separator = ", ";
  }
  if (separator[0] == ',') out += ")";
  return out;
}

}  // namespace cohort
