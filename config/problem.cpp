#include "config/problem.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cohort::config {

std::string Problem::text() const {
  std::string out = file;
  if (line != 0) out += fmt::format(":{}:{}", line, column);
  out += kind == Kind::error ? ": error: " : ": warning: ";
  if (line == 0) out += pointer.empty() ? "in the whole file: " : "at " + pointer + ": ";
  out += "found " + found;
  if (!expected.empty()) out += "; expected " + expected;
  if (!fix.empty()) out += "; fix: " + fix;
  return out;
}

void Diagnostics::error(std::string pointer, std::string found, std::string expected,
                        std::string fix) {
  problems_.push_back({Problem::Kind::error, file_, 0, 0, std::move(pointer), std::move(found),
                       std::move(expected), std::move(fix)});
}

void Diagnostics::warning(std::string pointer, std::string found, std::string expected,
                          std::string fix) {
  problems_.push_back({Problem::Kind::warning, file_, 0, 0, std::move(pointer), std::move(found),
                       std::move(expected), std::move(fix)});
}

void Diagnostics::syntax_error(unsigned line, unsigned column, std::string found,
                               std::string expected, std::string fix) {
  problems_.push_back({Problem::Kind::error,
                       file_,
                       line,
                       column,
                       {},
                       std::move(found),
                       std::move(expected),
                       std::move(fix)});
}

bool Diagnostics::has_errors() const {
  return std::any_of(problems_.begin(), problems_.end(),
                     [](const Problem& problem) { return problem.kind == Problem::Kind::error; });
}

Result<Bytes> DiskFiles::read(const std::string& path, std::size_t size_max) const {
  // O_NONBLOCK: a FIFO named by mistake must not hang the program.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(unreadable_file, std::strerror(errno));
  struct stat info {};
  Bytes content;
  int error = 0;
  bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  while (regular && content.size() <= size_max) {
    std::uint8_t block[16384];
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    content.insert(content.end(), block, block + got);
  }
  ::close(fd);
  if (!regular) return fail(unreadable_file, "it is not a regular file");
  if (error != 0) return fail(unreadable_file, std::strerror(error));
  if (content.size() > size_max) {
    return fail(unreadable_file, fmt::format("it is larger than {} octets", size_max));
  }
  return content;
}

bool DiskFiles::readable_by_others(const std::string& path) const {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

namespace {

/// Levenshtein distance with transpositions of neighbours ("shaa" for what a finger does).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> rows(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) rows[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.size()][b.size()];
}

}  // namespace

std::string_view did_you_mean(std::string_view word,
                              const std::vector<std::string_view>& candidates) {
  if (word.size() > 64) return {};  // bounds the work that a hostile file can ask for
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > 64) continue;
    // A word that is the beginning of just one key is what was meant, however short.
    const bool prefix = word.size() >= 3 && candidate.substr(0, word.size()) == word;
    const std::size_t here = prefix ? 1 : distance(word, candidate);
    if (here < best_distance && here < candidate.size()) {
      best = candidate;
      best_distance = here;
    }
  }
  return best;
}

}  // namespace cohort::config
