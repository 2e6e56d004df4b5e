#pragma once

#include <functional>
#include <memory>
#include <string>

#include "controlplane/daemon/admin_protocol.hpp"
#include "controlplane/daemon/event_loop.hpp"

namespace cohort::daemon {

/// The operator's Unix socket, mode 0600. One request of a connection is worked on at a time, and
/// the next when its answer has been read; the number of connections, their silence, and what they
/// may send are bounded. What was received is wiped once it is parsed and answered.
class AdminServer {
 public:
  /// Answers once, now or later, from the loop's thread. An answer to a connection that is gone
  /// goes nowhere.
  using Answer = std::function<void(Result<Json>)>;
  using Handle = std::function<void(const AdminRequest&, Answer)>;

  static constexpr std::size_t connections_max = 32;

  /// A socket file that a dead daemon left behind is replaced; a live one is socket_failed.
  static Result<std::unique_ptr<AdminServer>> open(EventLoop& loop, const std::string& path,
                                                   Handle handle);
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

 private:
  struct Impl;
  explicit AdminServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cohort::daemon
