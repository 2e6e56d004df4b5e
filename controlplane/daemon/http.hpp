#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "controlplane/base/address.hpp"
#include "controlplane/daemon/event_loop.hpp"
#include "controlplane/daemon/http_connections.hpp"
#include "pki/http.hpp"

struct evdns_base;

namespace cohort::daemon {

/// An HTTP/1.1 server on one endpoint, one request a connection. Requests that are too large never
/// reach the handler; connections are bounded in number, for each source and in time (HttpLimits),
/// and take no more than half of the process's descriptors.
class HttpServer {
 public:
  using Handle = std::function<pki::HttpResponse(const pki::HttpRequest&)>;

  static Result<std::unique_ptr<HttpServer>> open(EventLoop& loop, const Endpoint& listen,
                                                  Handle handle, HttpLimits limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  [[nodiscard]] const HttpConnectionCounters& connections() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// HTTP/1.1 requests, each on a connection of its own and with a timeout for the whole.
class HttpClient {
 public:
  using Done = std::function<void(Result<pki::HttpResponse>)>;

  explicit HttpClient(EventLoop& loop);
  /// What is under way ends without a call of its `done`.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// `done` is called once, from the loop and never before perform() has returned.
  void perform(const pki::HttpRequest& request, std::chrono::seconds timeout, Done done);

 private:
  struct Exchange;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cohort::daemon
