#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cohort::config {

/// One key of one section: what the reader knows, what `did you mean` offers, and what
/// docs/configuration.md says, so that the three can't disagree.
struct FieldSpec {
  std::string_view key;
  std::string_view type;           ///< "duration", "text", "list of text", …
  std::string_view default_value;  ///< "required" when the key must be there
  std::string_view sentence;
};

struct SectionSpec {
  std::string_view title;
  std::string_view pointer;  ///< with capitals for what the operator names: /trustpoints/NAME
  std::string_view sentence;
  std::span<const FieldSpec> fields;
};

/// Every section, in the order of the reference.
[[nodiscard]] std::span<const SectionSpec* const> all_sections();

/// The reference in Markdown: docs/configuration.md holds exactly this.
[[nodiscard]] std::string reference_markdown();

}  // namespace cohort::config
