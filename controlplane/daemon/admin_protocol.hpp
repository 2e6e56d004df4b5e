#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/base/result.hpp"

/// What is said over the admin socket: one JSON object a line each way. A request is
/// {"command": TEXT, "arguments": {…}}; an answer {"ok": true, "data": …} or
/// {"ok": false, "error": {"reason", "sentence", "detail"}}.
namespace cohort::daemon {

using Json = nlohmann::json;

inline constexpr std::size_t request_size_max = 64 * 1024;        ///< octets of a line
inline constexpr std::size_t answer_size_max = 64 * 1024 * 1024;  ///< for the reader of answers

struct AdminRequest {
  std::string command;
  Json arguments = Json::object();
};

/// Zeroizes every text in it: arguments may be passphrases. The parser's own copies are out of our
/// reach.
void wipe(Json& json);

/// Cuts a stream into lines. A line that is too long makes it failed for good. What it has given
/// out is zeroized here.
class LineReader {
 public:
  explicit LineReader(std::size_t size_max) : size_max_(size_max) {}
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  void append(std::string_view data);
  /// The next whole line without its end.
  [[nodiscard]] std::optional<std::string> next();
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  std::size_t size_max_;
  std::string buffer_;
  std::size_t looked_at_ = 0;
  bool failed_ = false;
};

/// bad_admin_request for anything but the form above. Never throws.
[[nodiscard]] Result<AdminRequest> parse_request(std::string_view line);
/// One line with its end.
[[nodiscard]] std::string request_line(const AdminRequest& request);
[[nodiscard]] std::string answer_line(const Result<Json>& answer);

/// Arguments of a command, by name and kind: bad_argument names what is wrong.
class Arguments {
 public:
  explicit Arguments(const Json& object) : object_(object) {}
  [[nodiscard]] bool has(std::string_view name) const;
  [[nodiscard]] Result<std::string> text(std::string_view name) const;
  [[nodiscard]] Result<std::string> text_or(std::string_view name, std::string otherwise) const;
  [[nodiscard]] Result<bool> flag(std::string_view name, bool otherwise) const;
  [[nodiscard]] Result<std::uint64_t> number(std::string_view name) const;
  [[nodiscard]] Result<std::uint64_t> number_or(std::string_view name,
                                                std::uint64_t otherwise) const;
  /// Fails if there is an argument that is not in `names`.
  [[nodiscard]] Status only(std::initializer_list<std::string_view> names) const;

 private:
  const Json& object_;
};

}  // namespace cohort::daemon
