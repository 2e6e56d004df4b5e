#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>

#include "controlplane/daemon/event_loop.hpp"

struct bufferevent;

namespace cohort::daemon {

/// What an HTTP server grants to strangers.
struct HttpLimits {
  /// Open at once. One more ends the oldest: honest requests are done within milliseconds, so that
  /// it is one of those that only hold their place.
  std::size_t connections_max = 256;
  /// Open at once from one IPv4 address or one IPv6 /64; one more is hung up on.
  std::size_t connections_per_source_max = 16;
  /// From the accept to the last octet of the answer: whoever drips a request, or an answer, is
  /// hung up on.
  Duration lifetime = std::chrono::seconds(30);
};

struct HttpConnectionCounters {
  std::uint64_t accepted = 0;
  std::uint64_t ended_late = 0;     ///< over the lifetime
  std::uint64_t ended_crowded = 0;  ///< over one of the two numbers
};

/// The connections of an HTTP server, which the library accepts, serves and frees. This follows
/// them and hangs up on those that are over the limits. Loop's thread only.
class HttpConnections {
 public:
  HttpConnections(EventLoop& loop, HttpLimits limits);
  /// Before that, the library must have freed all of them (evhttp_free).
  ~HttpConnections();
  HttpConnections(const HttpConnections&) = delete;
  HttpConnections& operator=(const HttpConnections&) = delete;

  /// The stream for a connection that was accepted just now; the library gives it its socket right
  /// after this. Null without memory.
  bufferevent* add();
  [[nodiscard]] const HttpConnectionCounters& counters() const { return counters_; }
  [[nodiscard]] std::size_t open() const { return connections_.size(); }

 private:
  struct Connection;
  void look();
  void end_late();
  void end_crowded();
  void end(Connection& connection, std::uint64_t& counter);

  EventLoop& loop_;
  HttpLimits limits_;
  HttpConnectionCounters counters_;
  std::list<Connection> connections_;  ///< the oldest first
  EventLoop::Watch look_;
};

}  // namespace cohort::daemon
