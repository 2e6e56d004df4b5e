#include "controlplane/daemon/http_connections.hpp"

#include <algorithm>
#include <event2/bufferevent.h>
#include <map>
#include <netinet/in.h>
#include <sys/socket.h>

#include "controlplane/daemon/system.hpp"

namespace cohort::daemon {
namespace {

constexpr Duration look_period = std::chrono::milliseconds(250);

/// Who connected, as far as the limits tell people apart: an IPv4 address, an IPv6 /64. Empty when
/// the peer has gone again.
std::string source_of(evutil_socket_t fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return {};
  const auto octets = [](const void* from, std::size_t n) {
    return std::string(static_cast<const char*>(from), n);
  };
  if (peer.ss_family == AF_INET)
    return octets(&reinterpret_cast<const sockaddr_in*>(&peer)->sin_addr, 4);
  if (peer.ss_family == AF_INET6)
    return octets(&reinterpret_cast<const sockaddr_in6*>(&peer)->sin6_addr, 8);
  return {};
}

}  // namespace

/// The library frees the stream whenever it likes; our reference keeps the object, and with it the
/// descriptor, until we have noticed. Freed is a stream that has lost its callbacks.
struct HttpConnections::Connection {
  Connection(bufferevent* made, TimePoint now) : stream(made), since(now) {
    bufferevent_incref(stream);
  }
  ~Connection() { bufferevent_decref(stream); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  [[nodiscard]] bool is_freed() const {
    bufferevent_event_cb on_event = nullptr;
    bufferevent_getcb(stream, nullptr, nullptr, &on_event, nullptr);
    return on_event == nullptr;
  }

  bufferevent* stream;
  TimePoint since;
  std::string source;
  bool looked_at = false;
  bool ended = false;
};

HttpConnections::HttpConnections(EventLoop& loop, HttpLimits limits)
    : loop_(loop), limits_(limits) {
  look_ = loop_.deadline([this] { look(); });
}

HttpConnections::~HttpConnections() = default;

bufferevent* HttpConnections::add() {
  // Closing is left to the last reference: a descriptor that was closed before could be another
  // connection's by the time we look at it.
  bufferevent* stream = bufferevent_socket_new(loop_.base(), -1, BEV_OPT_CLOSE_ON_FREE);
  if (stream == nullptr) return nullptr;
  ++counters_.accepted;
  connections_.emplace_back(stream, SystemClock{}.now());
  loop_.arm(look_, Duration::zero());  // it has no socket yet, so no peer either
  return stream;
}

void HttpConnections::look() {
  connections_.remove_if([](const Connection& one) { return one.is_freed(); });
  end_late();
  end_crowded();
  if (!connections_.empty()) loop_.arm(look_, std::min(look_period, limits_.lifetime));
}

/// The library sees the end of the stream and frees the connection.
void HttpConnections::end(Connection& connection, std::uint64_t& counter) {
  connection.ended = true;
  ++counter;
  (void)::shutdown(bufferevent_getfd(connection.stream), SHUT_RDWR);
}

void HttpConnections::end_late() {
  const TimePoint now = SystemClock{}.now();
  for (Connection& one : connections_) {
    if (now - one.since < limits_.lifetime) return;  // the rest is younger
    if (!one.ended) end(one, counters_.ended_late);
  }
}

void HttpConnections::end_crowded() {
  std::map<std::string, std::size_t> count;
  std::size_t all = 0;
  for (Connection& one : connections_) {
    if (one.ended) continue;
    if (!one.looked_at) one.source = source_of(bufferevent_getfd(one.stream));
    one.looked_at = true;
    if (++count[one.source] > limits_.connections_per_source_max) {
      end(one, counters_.ended_crowded);
    } else {
      ++all;
    }
  }
  for (Connection& one : connections_) {
    if (all <= limits_.connections_max) return;
    if (one.ended) continue;
    end(one, counters_.ended_crowded);
    --all;
  }
}

}  // namespace cohort::daemon
