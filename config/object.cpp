#include "config/object.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <fmt/format.h>

namespace cohort::config {
namespace {

std::string quoted_list(const std::vector<std::pair<std::string_view, bool>>& names, bool weak) {
  std::string out;
  for (const auto& [name, is_weak] : names) {
    if (is_weak != weak) continue;
    out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", name);
  }
  return out;
}

}  // namespace

std::string found_text(const Json& value) {
  constexpr std::size_t length_max = 60;
  std::string out;
  if (value.is_object()) {
    out = "an object";
  } else if (value.is_array()) {
    out = fmt::format("a list of {}", value.size());
  } else {
    out = value.dump(-1, ' ', true, Json::error_handler_t::replace);
    if (out.size() > length_max) out = out.substr(0, length_max) + "…";
  }
  return out;
}

std::string with_article(std::string_view noun) {
  const bool vowel = noun.find_first_of("aeiou") == 0;
  return fmt::format("{} {}", vowel ? "an" : "a", noun);
}

std::string child_pointer(std::string_view parent, std::string_view key) {
  std::string out(parent);
  out += '/';
  for (const char c : key.substr(0, 100)) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += '?';  // a control character must not reach the terminal
    } else {
      out += c;
    }
  }
  return out;
}

std::string child_pointer(std::string_view parent, std::size_t index) {
  return fmt::format("{}/{}", parent, index);
}

std::optional<std::chrono::microseconds> parse_duration(std::string_view text) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 7> units{
      {{"us", 1},
       {"ms", 1000},
       {"s", 1'000'000},
       {"m", 60'000'000},
       {"h", 3'600'000'000},
       {"d", 86'400'000'000},
       {"w", 604'800'000'000}}};
  for (const auto& [name, factor] : units) {
    // 2^53 us are 285 years: past any range, and no product overflows.
    if (unit == name && count <= (1ull << 53) / factor) {
      return std::chrono::microseconds(count * factor);
    }
  }
  return std::nullopt;
}

std::string duration_text(std::chrono::microseconds duration) {
  const auto count = duration.count();
  if (count == 0) return "0s";
  if (count % 86'400'000'000 == 0) return fmt::format("{}d", count / 86'400'000'000);
  if (count % 3'600'000'000 == 0) return fmt::format("{}h", count / 3'600'000'000);
  if (count % 1'000'000 == 0) return fmt::format("{}s", count / 1'000'000);
  if (count % 1000 == 0) return fmt::format("{}ms", count / 1000);
  return fmt::format("{}us", count);
}

Object::Object(ReadContext& context, const Json& value, std::string pointer,
               const SectionSpec& section)
    : context_(context), value_(&value), pointer_(std::move(pointer)), section_(section) {
  if (value.is_object()) return;
  context_.diagnostics.error(pointer_, found_text(value), "an object", "write { \"key\": value }");
  static const Json empty = Json::object();
  value_ = &empty;
  // What is missing from a thing that is no object needs no mention of its own.
  for (const FieldSpec& field : section_.fields) asked_.insert(field.key);
  not_an_object_ = true;
}

const Json* Object::find(std::string_view key) {
  [[maybe_unused]] const bool known =
      std::any_of(section_.fields.begin(), section_.fields.end(),
                  [&](const FieldSpec& field) { return field.key == key; });
  assert(known && "the section's table lacks a key that its reader asks for");
  asked_.insert(key);
  const auto at = value_->find(key);
  return at == value_->end() ? nullptr : &*at;
}

bool Object::has(std::string_view key) {
  return find(key) != nullptr;
}

std::string Object::pointer_to(std::string_view key) const {
  return child_pointer(pointer_, key);
}

void Object::reject(std::string_view key, std::string expected, std::string fix) {
  const auto at = value_->find(key);
  context_.diagnostics.error(pointer_to(key), at == value_->end() ? "nothing" : found_text(*at),
                             std::move(expected), std::move(fix));
}

void Object::missing(std::string_view key, std::string expected) {
  if (not_an_object_) return;
  context_.diagnostics.error(pointer_to(key), "nothing", std::move(expected),
                             fmt::format("add the key \"{}\"", key));
}

void Object::warn(std::string_view key, std::string expected, std::string fix) {
  const auto at = value_->find(key);
  context_.diagnostics.warning(pointer_to(key), at == value_->end() ? "nothing" : found_text(*at),
                               std::move(expected), std::move(fix));
}

void Object::reject_unknown_name(std::string_view key, std::string_view kind,
                                 const std::vector<std::string_view>& known) {
  const auto at = value_->find(key);
  const std::string name = at != value_->end() && at->is_string() ? at->get<std::string>() : "";
  const std::string_view near = did_you_mean(name, known);
  std::string fix;
  if (!near.empty()) {
    fix = fmt::format("did you mean \"{}\"?", near);
  } else if (known.empty()) {
    fix = fmt::format("define one; the file has no {}", kind);
  } else {
    fix = fmt::format("name one of: {}", fmt::join(known, ", "));
  }
  reject(key, fmt::format("the name of {} of this file", with_article(kind)), std::move(fix));
}

std::optional<std::string> Object::text(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string() || value->get_ref<const std::string&>().empty()) {
    reject(key, "text",
           value->is_string() ? "write something, or remove the key" : "write it in double quotes");
    return std::nullopt;
  }
  const auto& out = value->get_ref<const std::string&>();
  const bool printable = std::none_of(out.begin(), out.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (!printable || out.size() > 4096) {
    reject(key, "text of at most 4096 octets without control characters", "remove them");
    return std::nullopt;
  }
  return out;
}

std::string Object::text_or(std::string_view key, std::string_view otherwise) {
  return text(key).value_or(std::string(otherwise));
}

std::string Object::required_text(std::string_view key) {
  if (!has(key)) {
    missing(key, "text");
    return {};
  }
  return text(key).value_or(std::string());
}

std::string Object::path_or(std::string_view key, std::string_view otherwise) {
  const auto path = text(key);
  if (path && path->front() != '/') reject(key, "an absolute path", "write it from / on");
  return path.value_or(std::string(otherwise));
}

bool Object::flag(std::string_view key, bool otherwise) {
  const Json* value = find(key);
  if (value == nullptr) return otherwise;
  if (value->is_boolean()) return value->get<bool>();
  reject(key, "true or false", "write true or false without quotes");
  return otherwise;
}

std::uint64_t Object::number(std::string_view key, std::uint64_t otherwise, std::uint64_t min,
                             std::uint64_t max) {
  const Json* value = find(key);
  if (value == nullptr) return otherwise;
  if (value->is_number_unsigned()) {
    const auto out = value->get<std::uint64_t>();
    if (out >= min && out <= max) return out;
  }
  reject(key, fmt::format("a whole number from {} to {}", min, max),
         value->is_string() ? "write it without quotes" : "choose a number in that range");
  return otherwise;
}

std::chrono::microseconds Object::duration(std::string_view key,
                                           std::chrono::microseconds otherwise,
                                           std::chrono::microseconds min,
                                           std::chrono::microseconds max) {
  const Json* value = find(key);
  if (value == nullptr) return otherwise;
  const std::string range =
      fmt::format("a duration from \"{}\" to \"{}\"", duration_text(min), duration_text(max));
  if (value->is_number_unsigned()) {
    reject(key, range, fmt::format("say the unit: \"{}s\"", value->get<std::uint64_t>()));
    return otherwise;
  }
  const auto out =
      value->is_string() ? parse_duration(value->get_ref<const std::string&>()) : std::nullopt;
  if (!out) {
    reject(key, range, "write a whole number and one of us, ms, s, m, h, d, w, as in \"20s\"");
    return otherwise;
  }
  if (*out < min || *out > max) {
    reject(key, range, "choose a duration in that range");
    return otherwise;
  }
  return *out;
}

std::chrono::milliseconds Object::milliseconds(std::string_view key,
                                               std::chrono::milliseconds otherwise,
                                               std::chrono::milliseconds min,
                                               std::chrono::milliseconds max) {
  const auto out = duration(key, otherwise, min, max);
  if (out.count() % 1000 != 0) reject(key, "whole milliseconds", "drop the part below one");
  return std::chrono::duration_cast<std::chrono::milliseconds>(out);
}

std::chrono::seconds Object::seconds(std::string_view key, std::chrono::seconds otherwise,
                                     std::chrono::seconds min, std::chrono::seconds max) {
  const auto out = duration(key, otherwise, min, max);
  if (out.count() % 1'000'000 != 0) reject(key, "whole seconds", "drop the part below one");
  return std::chrono::duration_cast<std::chrono::seconds>(out);
}

std::vector<std::string> Object::text_list(std::string_view key) {
  std::vector<std::string> out;
  each_item(key, 1000, [&](const Json& item, const std::string& pointer) {
    if (item.is_string() && !item.get_ref<const std::string&>().empty()) {
      out.push_back(item.get<std::string>());
    } else {
      context_.diagnostics.error(pointer, found_text(item), "text", "write it in double quotes");
    }
  });
  return out;
}

std::optional<std::size_t> Object::choice_index(
    std::string_view key, const std::vector<std::pair<std::string_view, bool>>& names) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  // 14 and "14" are the same choice: group numbers read best without quotes.
  std::string word;
  if (value->is_string()) word = value->get<std::string>();
  if (value->is_number_unsigned()) word = std::to_string(value->get<std::uint64_t>());
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].first != word) continue;
    if (!names[i].second) return i;
    if (context_.allow_weak) {
      warn(key, "an algorithm that withstands today's attacks",
           "use it only with peers that know no better");
      return i;
    }
    reject(key, fmt::format("one of {}", quoted_list(names, false)),
           "choose one of these, or set \"allow_weak\": true at the top of the file");
    return std::nullopt;
  }
  std::vector<std::string_view> all;
  all.reserve(names.size());
  for (const auto& name : names) all.push_back(name.first);
  const std::string_view near = did_you_mean(word, all);
  reject(key, fmt::format("one of {}", quoted_list(names, false)),
         near.empty() ? "choose one of these" : fmt::format("did you mean \"{}\"?", near));
  return std::nullopt;
}

const Json* Object::child(std::string_view key) {
  return find(key);
}

void Object::each_item(std::string_view key, std::size_t items_max,
                       const std::function<void(const Json&, const std::string&)>& read) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_array() || value->size() > items_max) {
    reject(key, fmt::format("a list of at most {}", items_max),
           value->is_array() ? "remove some" : "write [ … ]");
    return;
  }
  const std::string pointer = pointer_to(key);
  for (std::size_t i = 0; i < value->size(); ++i) read((*value)[i], child_pointer(pointer, i));
}

void Object::each_named(
    std::string_view key, std::size_t items_max,
    const std::function<void(const std::string&, const Json&, const std::string&)>& read) {
  const Json* value = find(key);
  if (value == nullptr) return;
  if (!value->is_object() || value->size() > items_max) {
    reject(key, fmt::format("an object of at most {} named members", items_max),
           value->is_object() ? "remove some" : "write { \"NAME\": … }");
    return;
  }
  const std::string pointer = pointer_to(key);
  for (const auto& [name, member] : value->items()) {
    const std::string at = child_pointer(pointer, std::string_view(name));
    if (check_name(context_, name, at)) read(name, member, at);
  }
}

void Object::finish() {
  std::vector<std::string_view> known;
  for (const FieldSpec& field : section_.fields) {
    known.push_back(field.key);
    assert(asked_.contains(field.key) && "the reader ignores a key of its section's table");
  }
  for (const auto& [key, member] : value_->items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string_view near = did_you_mean(key, known);
    context_.diagnostics.error(
        pointer_to(key), "an unknown key",
        near.empty() ? fmt::format("one of: {}", fmt::join(known, ", ")) : std::string(),
        near.empty() ? "remove it" : fmt::format("did you mean \"{}\"?", near));
  }
}

bool check_name(ReadContext& context, const std::string& name, const std::string& pointer) {
  const bool good = !name.empty() && name.size() <= 64 && name[0] != '.' &&
                    std::all_of(name.begin(), name.end(), [](char c) {
                      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                             (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
                    });
  if (!good) {
    context.diagnostics.error(pointer, "a name that can't be one",
                              "1 to 64 of letters, digits, '.', '_' and '-', not a '.' first",
                              "rename it");
  }
  return good;
}

}  // namespace cohort::config
