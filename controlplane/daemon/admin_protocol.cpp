#include "controlplane/daemon/admin_protocol.hpp"

#include <algorithm>

#include "controlplane/base/secret.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

constexpr int depth_max = 8;

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace

void wipe(Json& json) {
  if (json.is_string()) zeroize(json.get_ref<std::string&>());
  if (json.is_structured())
    for (Json& part : json) wipe(part);
}

LineReader::~LineReader() {
  zeroize(buffer_);
}

void LineReader::append(std::string_view data) {
  if (failed_) return;
  if (buffer_.size() + data.size() > buffer_.capacity()) {
    // Growing must not leave a copy behind.
    std::string larger;
    larger.reserve(std::max(2 * buffer_.capacity(), buffer_.size() + data.size()));
    larger = buffer_;
    zeroize(buffer_);
    buffer_.swap(larger);
  }
  buffer_ += data;
  // Whole lines may wait here; only the unfinished one counts.
  const std::size_t last = buffer_.rfind('\n');
  const std::size_t unfinished =
      last == std::string::npos ? buffer_.size() : buffer_.size() - last - 1;
  if (unfinished > size_max_) {
    failed_ = true;
    zeroize(buffer_);
  }
}

std::optional<std::string> LineReader::next() {
  const std::size_t end = buffer_.find('\n', looked_at_);
  if (end == std::string::npos) {
    looked_at_ = buffer_.size();
    return std::nullopt;
  }
  std::string line = buffer_.substr(0, end);
  const auto rest = std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(end) + 1, buffer_.end(),
                              buffer_.begin());
  std::fill(rest, buffer_.end(), '\0');
  buffer_.erase(rest, buffer_.end());
  looked_at_ = 0;
  if (line.size() > size_max_) {
    failed_ = true;
    return std::nullopt;
  }
  return line;
}

Result<AdminRequest> parse_request(std::string_view line) {
  if (line.size() > request_size_max) return fail(bad_admin_request, "too long");
  bool too_deep = false;
  const Json json = Json::parse(
      line,
      [&](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > depth_max;
        return !too_deep;
      },
      false);
  if (json.is_discarded() || too_deep) return fail(bad_admin_request, "not JSON");
  if (!json.is_object()) return fail(bad_admin_request, "not an object");
  AdminRequest out;
  for (const auto& [key, value] : json.items()) {
    if (key == "command" && value.is_string()) {
      out.command = value.get<std::string>();
    } else if (key == "arguments" && value.is_object()) {
      out.arguments = value;
    } else {
      return fail(bad_admin_request, "something besides a command and its arguments");
    }
  }
  if (out.command.empty()) return fail(bad_admin_request, "no command");
  return out;
}

std::string request_line(const AdminRequest& request) {
  return line_of({{"command", request.command}, {"arguments", request.arguments}});
}

std::string answer_line(const Result<Json>& answer) {
  if (answer) return line_of({{"ok", true}, {"data", *answer}});
  const Error& error = answer.error();
  return line_of({{"ok", false},
                  {"error",
                   {{"reason", error.reason().name},
                    {"sentence", error.reason().sentence},
                    {"detail", error.detail()}}}});
}

Result<std::string> Arguments::text(std::string_view name) const {
  const auto at = object_.find(name);
  if (at == object_.end() || !at->is_string()) {
    return fail(bad_argument, std::string(name) + " must be text");
  }
  return at->get<std::string>();
}

bool Arguments::has(std::string_view name) const {
  return object_.contains(name);
}

Result<std::string> Arguments::text_or(std::string_view name, std::string otherwise) const {
  if (!object_.contains(name) || object_.at(std::string(name)).is_null()) return otherwise;
  return text(name);
}

Result<bool> Arguments::flag(std::string_view name, bool otherwise) const {
  const auto at = object_.find(name);
  if (at == object_.end()) return otherwise;
  if (!at->is_boolean()) return fail(bad_argument, std::string(name) + " must be true or false");
  return at->get<bool>();
}

Result<std::uint64_t> Arguments::number(std::string_view name) const {
  const auto at = object_.find(name);
  if (at == object_.end() || !at->is_number_unsigned()) {
    return fail(bad_argument, std::string(name) + " must be a whole number");
  }
  return at->get<std::uint64_t>();
}

Result<std::uint64_t> Arguments::number_or(std::string_view name, std::uint64_t otherwise) const {
  if (!object_.contains(name)) return otherwise;
  return number(name);
}

Status Arguments::only(std::initializer_list<std::string_view> names) const {
  for (const auto& [key, value] : object_.items()) {
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      return fail(bad_argument, "there is no argument " + key.substr(0, 64));
    }
  }
  return {};
}

}  // namespace cohort::daemon
