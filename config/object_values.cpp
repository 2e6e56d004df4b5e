// The members of Object that read network values and secrets.
#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "config/object.hpp"
#include "config/text_values.hpp"

namespace cohort::config {

std::optional<IpAddress> Object::address(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::string text = value->is_string() ? value->get<std::string>() : std::string();
  auto out = read_address(text);
  if (out) return *out;
  reject(key, "an IPv4 or IPv6 address", out.error());
  return std::nullopt;
}

std::optional<Prefix> Object::prefix(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::string text = value->is_string() ? value->get<std::string>() : std::string();
  auto out = read_prefix(text);
  if (out) return *out;
  reject(key, "a prefix (\"10.0.0.0/24\", \"10.0.0.0 0.0.0.255\" or \"2001:db8::/32\")",
         out.error());
  return std::nullopt;
}

std::optional<Endpoint> Object::endpoint(std::string_view key, std::uint16_t default_port) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const std::string text = value->is_string() ? value->get<std::string>() : std::string();
  auto out = read_endpoint(text, default_port);
  if (out) return *out;
  reject(key,
         default_port == 0
             ? "ADDRESS:PORT (\"192.0.2.1:9100\" or \"[2001:db8::1]:9100\")"
             : fmt::format("an address, or ADDRESS:PORT where the port is not {}", default_port),
         out.error());
  return std::nullopt;
}

std::optional<Secret> Object::secret(std::string_view key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  return read_secret(context_, *value, pointer_to(key));
}

namespace {

constexpr std::size_t secret_size_max = 4096;

std::optional<Secret> inline_secret(ReadContext& context, const std::string& text,
                                    const std::string& pointer) {
  if (text.empty() || text.size() > secret_size_max) {
    context.diagnostics.error(pointer, "a secret of no or too much text",
                              fmt::format("1 to {} octets", secret_size_max), "choose another");
    return std::nullopt;
  }
  if (!context.file_is_private) {
    context.diagnostics.warning(pointer, "a secret in a file that others can read",
                                "a file that only its owner can read",
                                "chmod 600 the file, or write {\"file\": \"/path/of/the/secret\"}");
  }
  return Secret::of_text(text);
}

std::optional<Secret> secret_of_file(ReadContext& context, const Json& name,
                                     const std::string& pointer) {
  const auto& path = name.get_ref<const std::string&>();
  auto content = context.files.read(path, secret_size_max);
  if (!content) {
    context.diagnostics.error(pointer, found_text(name) + " (" + content.error().detail() + ")",
                              "a file that can be read",
                              "write the secret into it, and let only its owner read it");
    return std::nullopt;
  }
  if (context.files.readable_by_others(path)) {
    context.diagnostics.warning(pointer, found_text(name) + ", which others can read",
                                "a file that only its owner can read", "chmod 600 " + path);
  }
  while (!content->empty() && (content->back() == '\n' || content->back() == '\r')) {
    content->pop_back();
  }
  if (content->empty()) {
    context.diagnostics.error(pointer, "an empty file", "the secret in it",
                              "write the secret into " + path);
    return std::nullopt;
  }
  return Secret::take(std::move(*content));
}

}  // namespace

std::optional<Secret> read_secret(ReadContext& context, const Json& value,
                                  const std::string& pointer) {
  if (value.is_string()) {
    return inline_secret(context, value.get_ref<const std::string&>(), pointer);
  }
  if (value.is_object() && value.size() == 1 && value.contains("file") &&
      value["file"].is_string()) {
    return secret_of_file(context, value["file"], child_pointer(pointer, "file"));
  }
  // What stands there may be a secret in the wrong clothes: name its kind only.
  context.diagnostics.error(pointer, fmt::format("a JSON {}", value.type_name()),
                            "text, or {\"file\": PATH}",
                            "write the secret in double quotes, or name the file it stands in");
  return std::nullopt;
}

}  // namespace cohort::config
