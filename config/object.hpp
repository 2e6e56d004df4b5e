#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/problem.hpp"
#include "config/schema.hpp"
#include "controlplane/base/address.hpp"
#include "controlplane/base/secret.hpp"

namespace cohort::config {

using Json = nlohmann::json;

/// What all sections share while one file is read.
struct ReadContext {
  Diagnostics& diagnostics;
  const Files& files;
  bool allow_weak = false;
  bool file_is_private = false;  ///< only its owner can read the configuration file
};

/// The names that a choice accepts, with their values; weak ones need allow_weak.
template <typename T>
struct Choice {
  std::string_view name;
  T value;
  bool weak = false;
};

/// What was found, for a message: the JSON text, cut to a line.
[[nodiscard]] std::string found_text(const Json& value);
/// "a trustpoint", "an access list".
[[nodiscard]] std::string with_article(std::string_view noun);
/// The JSON pointer of a member of `parent`, escaped (RFC 6901 section 3).
[[nodiscard]] std::string child_pointer(std::string_view parent, std::string_view key);
[[nodiscard]] std::string child_pointer(std::string_view parent, std::size_t index);
/// "20s", "100us", "1500ms", "30m", "2h", "7d", "1w"; empty when it is none of these.
[[nodiscard]] std::optional<std::chrono::microseconds> parse_duration(std::string_view text);
[[nodiscard]] std::string duration_text(std::chrono::microseconds duration);
/// Inline text, or {"file": PATH}; reports what is neither.
[[nodiscard]] std::optional<Secret> read_secret(ReadContext& context, const Json& value,
                                                const std::string& pointer);

/// One JSON object while it is read. Each key is asked for by name and type; a value of the wrong
/// kind or out of range is reported and the default returned, so that one pass finds every error.
/// finish() reports keys that the section does not have. Asking for a key that the section's
/// specification lacks, or forgetting one that it has, is a bug of ours and aborts.
class Object {
 public:
  /// `value` may be anything; what is no object is reported, and reads as an empty one.
  Object(ReadContext& context, const Json& value, std::string pointer, const SectionSpec& section);

  [[nodiscard]] bool has(std::string_view key);
  [[nodiscard]] std::optional<std::string> text(std::string_view key);
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view otherwise);
  [[nodiscard]] std::string required_text(std::string_view key);
  /// Of a file or a directory, from the root on: where a program is started must not matter.
  [[nodiscard]] std::string path_or(std::string_view key, std::string_view otherwise);
  [[nodiscard]] bool flag(std::string_view key, bool otherwise);
  [[nodiscard]] std::uint64_t number(std::string_view key, std::uint64_t otherwise,
                                     std::uint64_t min, std::uint64_t max);
  [[nodiscard]] std::chrono::microseconds duration(std::string_view key,
                                                   std::chrono::microseconds otherwise,
                                                   std::chrono::microseconds min,
                                                   std::chrono::microseconds max);
  /// The same in whole milliseconds, and for what the wire carries in whole seconds.
  [[nodiscard]] std::chrono::milliseconds milliseconds(std::string_view key,
                                                       std::chrono::milliseconds otherwise,
                                                       std::chrono::milliseconds min,
                                                       std::chrono::milliseconds max);
  [[nodiscard]] std::chrono::seconds seconds(std::string_view key, std::chrono::seconds otherwise,
                                             std::chrono::seconds min, std::chrono::seconds max);
  [[nodiscard]] std::optional<IpAddress> address(std::string_view key);
  [[nodiscard]] std::optional<Prefix> prefix(std::string_view key);
  /// ADDRESS:PORT or, where `default_port` is not 0, ADDRESS alone.
  [[nodiscard]] std::optional<Endpoint> endpoint(std::string_view key, std::uint16_t default_port);
  /// Inline text, or {"file": PATH}.
  [[nodiscard]] std::optional<Secret> secret(std::string_view key);
  [[nodiscard]] std::vector<std::string> text_list(std::string_view key);

  template <typename T>
  [[nodiscard]] T choice(std::string_view key, T otherwise,
                         std::initializer_list<Choice<T>> choices) {
    return choice(key, otherwise, std::vector<Choice<T>>(choices));
  }
  template <typename T>
  [[nodiscard]] T choice(std::string_view key, T otherwise, const std::vector<Choice<T>>& choices) {
    std::vector<std::pair<std::string_view, bool>> names;
    names.reserve(choices.size());
    for (const auto& one : choices) names.emplace_back(one.name, one.weak);
    const std::optional<std::size_t> index = choice_index(key, names);
    return index ? choices[*index].value : otherwise;
  }

  /// The member's value for a section of its own; null when it is missing.
  [[nodiscard]] const Json* child(std::string_view key);
  /// Each item of a list, with its pointer.
  void each_item(std::string_view key, std::size_t items_max,
                 const std::function<void(const Json&, const std::string&)>& read);
  /// Each member of an object whose keys are names given by the operator.
  void each_named(
      std::string_view key, std::size_t items_max,
      const std::function<void(const std::string&, const Json&, const std::string&)>& read);

  /// Reports what `key` holds as wrong.
  void reject(std::string_view key, std::string expected, std::string fix);
  void missing(std::string_view key, std::string expected);
  void warn(std::string_view key, std::string expected, std::string fix);
  /// Reports a name that `key` holds and that is none of `known`.
  void reject_unknown_name(std::string_view key, std::string_view kind,
                           const std::vector<std::string_view>& known);
  [[nodiscard]] std::string pointer_to(std::string_view key) const;
  [[nodiscard]] const std::string& pointer() const { return pointer_; }
  [[nodiscard]] ReadContext& context() { return context_; }

  void finish();

 private:
  const Json* find(std::string_view key);
  std::optional<std::size_t> choice_index(
      std::string_view key, const std::vector<std::pair<std::string_view, bool>>& names);

  ReadContext& context_;
  const Json* value_;
  std::string pointer_;
  const SectionSpec& section_;
  std::set<std::string_view> asked_;
  bool not_an_object_ = false;
};

/// A name that the operator gives: 1..64 of [A-Za-z0-9._-], not beginning with a dot. Reports.
[[nodiscard]] bool check_name(ReadContext& context, const std::string& name,
                              const std::string& pointer);

}  // namespace cohort::config
