#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/bytes.hpp"
#include "controlplane/base/result.hpp"

namespace cohort::config {

/// One thing that is wrong, or unwise, in a configuration file. Never holds a secret: where the
/// value is one, `found` names its kind only.
struct Problem {
  enum class Kind : std::uint8_t { error, warning };
  Kind kind = Kind::error;
  std::string file;
  unsigned line = 0;    ///< from 1; syntax errors only, else 0
  unsigned column = 0;  ///< from 1
  std::string pointer;  ///< RFC 6901; empty is the whole file
  std::string found;
  std::string expected;
  std::string fix;

  /// One line: "FILE[:LINE:COLUMN]: error: at POINTER: found …; expected …; fix: …".
  [[nodiscard]] std::string text() const;
};

/// Collects the problems of one file, in the order of finding.
class Diagnostics {
 public:
  explicit Diagnostics(std::string file) : file_(std::move(file)) {}

  void error(std::string pointer, std::string found, std::string expected, std::string fix);
  void warning(std::string pointer, std::string found, std::string expected, std::string fix);
  void syntax_error(unsigned line, unsigned column, std::string found, std::string expected,
                    std::string fix);

  [[nodiscard]] bool has_errors() const;
  [[nodiscard]] std::size_t count() const { return problems_.size(); }
  [[nodiscard]] const std::string& file() const { return file_; }
  [[nodiscard]] std::vector<Problem> take() { return std::move(problems_); }

 private:
  std::string file_;
  std::vector<Problem> problems_;
};

/// How the reader reaches the files that a configuration names, and the file itself.
class Files {
 public:
  virtual ~Files() = default;
  /// The whole file, up to `size_max` octets.
  [[nodiscard]] virtual Result<Bytes> read(const std::string& path, std::size_t size_max) const = 0;
  /// Group or others may read it.
  [[nodiscard]] virtual bool readable_by_others(const std::string& path) const = 0;
};

/// The file system.
class DiskFiles final : public Files {
 public:
  [[nodiscard]] Result<Bytes> read(const std::string& path, std::size_t size_max) const override;
  [[nodiscard]] bool readable_by_others(const std::string& path) const override;
};

inline constexpr Reason unreadable_file{"unreadable_file", "the file can't be read"};

/// The candidate nearest to `word`, if it is near enough to be what was meant; else empty.
[[nodiscard]] std::string_view did_you_mean(std::string_view word,
                                            const std::vector<std::string_view>& candidates);

}  // namespace cohort::config
