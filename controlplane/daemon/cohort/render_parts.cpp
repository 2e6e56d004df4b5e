#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

#include "controlplane/base/printable.hpp"
#include "controlplane/daemon/cohort/render.hpp"

namespace cohort::daemon {

std::string clean(std::string_view text) {
  return printable(text);
}

std::string text_of(const Json& object, std::string_view key, std::string_view otherwise) {
  if (!object.is_object()) return std::string(otherwise);
  const auto at = object.find(key);
  if (at == object.end() || at->is_null() || *at == "") return std::string(otherwise);
  if (at->is_string()) return clean(at->get_ref<const std::string&>());
  return at->dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string raw_text_of(const Json& object, std::string_view key) {
  if (!object.is_object()) return {};
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

bool flag_of(const Json& object, std::string_view key) {
  if (!object.is_object()) return false;
  const auto at = object.find(key);
  return at != object.end() && at->is_boolean() && at->get<bool>();
}

std::uint64_t number_of(const Json& object, std::string_view key) {
  if (!object.is_object()) return 0;
  const auto at = object.find(key);
  return at != object.end() && at->is_number_unsigned() ? at->get<std::uint64_t>() : 0;
}

const Json& list_of(const Json& object, std::string_view key) {
  static const Json empty = Json::array();
  if (!object.is_object()) return empty;
  const auto at = object.find(key);
  return at != object.end() && at->is_array() ? *at : empty;
}

const Json& object_of(const Json& object, std::string_view key) {
  static const Json empty = Json::object();
  if (!object.is_object()) return empty;
  const auto at = object.find(key);
  return at != object.end() && at->is_object() ? *at : empty;
}

std::string fingerprint_text(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    if (i > 0 && i % 8 == 0) out += ' ';
    out += static_cast<char>(std::toupper(static_cast<unsigned char>(hex[i])));
  }
  return clean(out);
}

std::string date_text(std::string_view iso) {
  static constexpr std::array<std::string_view, 12> months{
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (iso.size() != 20 || iso[10] != 'T') return clean(iso);
  const auto digit = [&](std::size_t at) {
    return iso[at] >= '0' && iso[at] <= '9' ? static_cast<unsigned>(iso[at] - '0') : 0;
  };
  const unsigned month = digit(5) * 10 + digit(6);
  if (month < 1 || month > 12) return clean(iso);
  return fmt::format("{} UTC {} {} {}", clean(iso.substr(11, 8)), months[month - 1],
                     digit(8) * 10 + digit(9), clean(iso.substr(0, 4)));
}

std::string address_of(std::string_view endpoint) {
  const std::size_t colon = endpoint.rfind(':');
  std::string_view out = endpoint.substr(0, colon);
  if (!out.empty() && out.front() == '[') out = out.substr(1, out.size() - 2);
  return clean(out);
}

std::string port_of(std::string_view endpoint) {
  const std::size_t colon = endpoint.rfind(':');
  return colon == std::string_view::npos ? std::string() : clean(endpoint.substr(colon + 1));
}

std::string spi_text(std::uint64_t spi) {
  return fmt::format("0x{:08X}({})", spi, spi);
}

}  // namespace cohort::daemon
