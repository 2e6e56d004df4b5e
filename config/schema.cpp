#include "config/schema.hpp"

#include <array>
#include <fmt/format.h>

#include "config/sections.hpp"

namespace cohort::config {
namespace {

/// '|' would end a table's cell.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string default_cell(std::string_view text) {
  if (text.empty()) return "none";
  if (text == "required") return "**required**";
  return fmt::format("`{}`", cell(text));
}

constexpr std::string_view introduction = R"(# Configuration

One JSON file per daemon. `cohortd FILE` runs the roles whose sections are there:
`certificate_authority`, `key_server`, `group_member`, in any combination.
`cohort config check FILE` reads a file as the daemon would and reports every problem, each with
the file, the JSON pointer, what was found, what was expected and what to do. An unknown key is an
error. A file with an error is refused as a whole: nothing of it is applied, at start or on reload.

`SIGHUP` reads the file again. Group policy of the key server (lifetimes, selectors, suites,
authorization) and logging are applied at once; what else has changed is named in the log and needs
a restart.

Conventions:

- A *duration* is text with a unit: `"500ms"`, `"20s"`, `"30m"`, `"2h"`, `"7d"`, `"1w"`.
- A *prefix* is `"10.0.0.0/24"`, `"10.0.0.0 0.0.0.255"` (wildcard mask) or `"2001:db8::/32"`.
- An *endpoint* is `"192.0.2.1:848"` or `"[2001:db8::1]:848"`.
- A *secret* is text, or `{"file": "/path"}` whose content (without the last line end) is the
  secret. A secret in a file that others than its owner can read is warned of.
- Weak algorithms are refused unless `"allow_weak": true` stands at the top of the file; then each
  use is warned of.
- Examples that are read by the tests: `config/examples/`.

This page is printed by `cohort config reference`; a test compares the two.
)";

}  // namespace

std::string reference_markdown() {
  std::string out(introduction);
  for (const SectionSpec* section : all_sections()) {
    out +=
        fmt::format("\n## {}\n\n`{}` – {}\n\n", section->title,
                    section->pointer.empty() ? "(the file)" : section->pointer, section->sentence);
    out += "| key | type | default | meaning |\n| --- | --- | --- | --- |\n";
    for (const FieldSpec& field : section->fields) {
      out += fmt::format("| `{}` | {} | {} | {} |\n", field.key, cell(field.type),
                         default_cell(field.default_value), cell(field.sentence));
    }
  }
  return out;
}

}  // namespace cohort::config
