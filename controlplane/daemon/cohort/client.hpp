#pragma once

#include <string>

#include "controlplane/daemon/admin_protocol.hpp"

namespace cohort::daemon {

inline constexpr Reason no_daemon{
    "no_daemon",
    "no cohortd answers at the socket; is it running, and is it this one? (--socket PATH or "
    "COHORT_SOCKET)"};
inline constexpr Reason bad_answer{"bad_answer", "the daemon's answer is not understood"};

/// Asks one daemon, one question at a time.
class Client {
 public:
  explicit Client(std::string socket) : socket_(std::move(socket)) {}
  /// The data of the answer, or the text of the error, ready to print.
  [[nodiscard]] tl::expected<Json, std::string> ask(const std::string& command,
                                                    const Json& arguments = Json::object()) const;
  [[nodiscard]] const std::string& socket() const { return socket_; }

 private:
  [[nodiscard]] Result<std::string> exchange(const std::string& line) const;
  std::string socket_;
};

/// Waits without asking anybody; for the steps of an interactive command.
void pause_ms(int milliseconds);

}  // namespace cohort::daemon
