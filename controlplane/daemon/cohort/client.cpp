#include "controlplane/daemon/cohort/client.hpp"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "controlplane/daemon/cohort/render.hpp"

namespace cohort::daemon {
namespace {

constexpr timeval answer_wait{150, 0};

class Connection {
 public:
  Connection() : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

Result<std::string> Client::exchange(const std::string& line) const {
  const Connection connection;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof address.sun_path) return fail(no_daemon, socket_);
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (::connect(connection.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
      0) {
    return fail(no_daemon, socket_ + ": " + std::strerror(errno));
  }
  (void)::setsockopt(connection.fd(), SOL_SOCKET, SO_RCVTIMEO, &answer_wait, sizeof answer_wait);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = ::send(connection.fd(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return fail(no_daemon, socket_ + ": " + std::strerror(errno));
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  LineReader lines(answer_size_max);
  for (;;) {
    if (auto answer = lines.next()) return *answer;
    if (lines.failed()) return fail(bad_answer, "it is too long");
    char block[65536];
    const ssize_t got = ::recv(connection.fd(), block, sizeof block, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(no_daemon, socket_ + ": the daemon closed the connection");
    lines.append(std::string_view(block, static_cast<std::size_t>(got)));
  }
}

tl::expected<Json, std::string> Client::ask(const std::string& command,
                                            const Json& arguments) const {
  const auto line = exchange(request_line({command, arguments}));
  if (!line) return tl::unexpected(line.error().text());
  const Json answer = Json::parse(*line, nullptr, false);
  if (answer.is_object() && flag_of(answer, "ok") && answer.contains("data")) {
    return answer["data"];
  }
  if (answer.is_object() && answer.contains("error") && answer["error"].is_object()) {
    const Json& error = answer["error"];
    const std::string detail = text_of(error, "detail");
    return tl::unexpected(fmt::format("{}: {}{}", text_of(error, "reason", "error"),
                                      text_of(error, "sentence"),
                                      detail.empty() ? "" : " (" + detail + ")"));
  }
  return tl::unexpected(Error(bad_answer).text());
}

void pause_ms(int milliseconds) {
  (void)::poll(nullptr, 0, milliseconds);
}

}  // namespace cohort::daemon
