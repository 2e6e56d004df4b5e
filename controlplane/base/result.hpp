#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace cohort {

/// Why something failed or was refused: a stable name (for counters, logs and tests) and a
/// sentence for the operator. Each module defines its own as constexpr objects with static
/// storage, in its reasons.hpp; the object's address is its identity.
struct Reason {
  std::string_view name;      ///< snake_case, unique in the program, never changes meaning
  std::string_view sentence;  ///< what happened and, where one can act, what to do
};

/// A failure as a value: its reason and what was found where. Never holds a secret.
class [[nodiscard]] Error {
 public:
  explicit Error(const Reason& reason, std::string detail = {})
      : reason_(&reason), detail_(std::move(detail)) {}

  [[nodiscard]] const Reason& reason() const { return *reason_; }
  [[nodiscard]] const std::string& detail() const { return detail_; }
  [[nodiscard]] bool is(const Reason& reason) const { return reason_ == &reason; }

  /// "name: sentence (detail)", for logs and the operator.
  [[nodiscard]] std::string text() const;

 private:
  const Reason* reason_;
  std::string detail_;
};

template <typename T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

/// The unexpected half of a Result.
[[nodiscard]] inline tl::unexpected<Error> fail(const Reason& reason, std::string detail = {}) {
  return tl::unexpected<Error>(Error(reason, std::move(detail)));
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace cohort

/// Unwraps a Result into `var`, or returns its error from the enclosing function.
#define COHORT_CONCAT_(a, b) a##b
#define COHORT_CONCAT(a, b) COHORT_CONCAT_(a, b)
#define COHORT_TRY(var, expr) COHORT_TRY_(COHORT_CONCAT(cohort_try_, __LINE__), var, expr)
#define COHORT_TRY_(tmp, var, expr)                        \
  auto tmp = (expr);                                       \
  if (!tmp) return ::cohort::fail(std::move(tmp).error()); \
  var = std::move(*tmp)
/// Returns the error of a Status from the enclosing function, if it is one.
#define COHORT_CHECK(expr)                                     \
  do {                                                         \
    if (auto cohort_status = (expr); !cohort_status)           \
      return ::cohort::fail(std::move(cohort_status).error()); \
  } while (false)
