#include "controlplane/daemon/http.hpp"

#include <algorithm>
#include <event2/buffer.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <list>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

#include "controlplane/daemon/reasons.hpp"
#include "pki/reasons.hpp"

namespace cohort::daemon {
namespace {

constexpr int server_timeout_s = 30;
constexpr Duration accept_pause = std::chrono::milliseconds(200);
constexpr std::size_t headers_max = pki::http_url_max + 16 * 1024;

Bytes take_body(evbuffer* buffer) {
  Bytes out(evbuffer_get_length(buffer));
  evbuffer_remove(buffer, out.data(), out.size());
  return out;
}

std::string header_of(evkeyvalq* headers, const char* name) {
  const char* value = evhttp_find_header(headers, name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

// ---- server ----

/// Connections come from anybody and this process has other work: once half of its descriptors are
/// in use, no more are accepted until silent ones have timed out. Without a descriptor nothing
/// could be stored, and no operator heard.
struct HttpServer::Impl {
  Impl(EventLoop& the_loop, HttpLimits limits) : loop(the_loop), connections(the_loop, limits) {
    again = loop.deadline([this] {
      if (listener != nullptr && !crowded()) {
        evconnlistener_enable(listener);
      } else {
        loop.arm(again, accept_pause);
      }
    });
  }
  EventLoop& loop;
  HttpConnections connections;
  evhttp* http = nullptr;
  evconnlistener* listener = nullptr;  ///< of `http`
  EventLoop::Watch again;
  Handle handle;

  ~Impl() {
    if (http != nullptr) evhttp_free(http);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// The kernel gives the lowest free number, which tells how many are in use.
  [[nodiscard]] bool crowded() const {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
    const int lowest = ::fcntl(evconnlistener_get_fd(listener), F_DUPFD_CLOEXEC, 0);
    if (lowest < 0) return true;
    ::close(lowest);
    return static_cast<rlim_t>(lowest) >= limit.rlim_cur / 2;
  }
  /// Called for each connection that was accepted.
  static bufferevent* on_connection(event_base*, void* self) {
    auto& server = *static_cast<Impl*>(self);
    if (server.listener != nullptr && server.crowded()) {
      evconnlistener_disable(server.listener);
      server.loop.arm(server.again, accept_pause);
    }
    return server.connections.add();
  }
  static void on_request(evhttp_request* request, void* self) {
    static_cast<Impl*>(self)->serve(request);
  }
  void serve(evhttp_request* request);
};

void HttpServer::Impl::serve(evhttp_request* request) {
  pki::HttpRequest in;
  in.method = evhttp_request_get_command(request) == EVHTTP_REQ_POST ? pki::HttpMethod::post
                                                                     : pki::HttpMethod::get;
  in.url = evhttp_request_get_uri(request);
  in.content_type = header_of(evhttp_request_get_input_headers(request), "Content-Type");
  in.body = take_body(evhttp_request_get_input_buffer(request));
  char* address = nullptr;
  std::uint16_t port = 0;
  evhttp_connection_get_peer(evhttp_request_get_connection(request), &address, &port);
  if (address != nullptr) in.peer = address;

  const pki::HttpResponse out =
      in.url.size() > pki::http_url_max ? pki::HttpResponse{414, "text/plain", {}} : handle(in);
  evkeyvalq* headers = evhttp_request_get_output_headers(request);
  if (!out.content_type.empty()) {
    evhttp_add_header(headers, "Content-Type", out.content_type.c_str());
  }
  // A connection that stays open would be a place held for nothing.
  evhttp_add_header(headers, "Connection", "close");
  evbuffer* body = evbuffer_new();
  if (body != nullptr) evbuffer_add(body, out.body.data(), out.body.size());
  const int status = out.status == 0 ? 500 : static_cast<int>(out.status);
  evhttp_send_reply(request, status, nullptr, body);
  if (body != nullptr) evbuffer_free(body);
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

const HttpConnectionCounters& HttpServer::connections() const {
  return impl_->connections.counters();
}

Result<std::unique_ptr<HttpServer>> HttpServer::open(EventLoop& loop, const Endpoint& listen,
                                                     Handle handle, HttpLimits limits) {
  auto impl = std::make_unique<Impl>(loop, limits);
  impl->http = evhttp_new(loop.base());
  impl->handle = std::move(handle);
  if (impl->http == nullptr) return fail(socket_failed, "HTTP: out of memory");
  evhttp_set_timeout(impl->http, server_timeout_s);
  evhttp_set_max_headers_size(impl->http, static_cast<ssize_t>(headers_max));
  evhttp_set_max_body_size(impl->http, static_cast<ssize_t>(pki::http_body_max));
  evhttp_set_allowed_methods(impl->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
  evhttp_set_gencb(impl->http, &Impl::on_request, impl.get());
  evhttp_set_bevcb(impl->http, &Impl::on_connection, impl.get());
  evhttp_bound_socket* bound =
      evhttp_bind_socket_with_handle(impl->http, listen.address.text().c_str(), listen.port);
  if (bound != nullptr) impl->listener = evhttp_bound_socket_get_listener(bound);
  if (bound == nullptr) {
    return fail(socket_failed, "HTTP " + listen.text() + ": " +
                                   evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

// ---- client ----

struct HttpClient::Exchange {
  Impl* owner = nullptr;
  evhttp_connection* connection = nullptr;
  EventLoop::Watch deadline;
  Done done;
  std::string what;
  bool finished = false;

  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() {
    finished = true;  // freeing a connection calls back
    if (connection != nullptr) evhttp_connection_free(connection);
  }
  static void on_answer(evhttp_request* request, void* self) {
    static_cast<Exchange*>(self)->answered(request);
  }
  void answered(evhttp_request* request);
  void finish(Result<pki::HttpResponse> result);
};

struct HttpClient::Impl {
  explicit Impl(EventLoop& the_loop) : loop(the_loop) {}
  ~Impl() {
    exchanges.clear();
    if (dns != nullptr) evdns_base_free(dns, 0);
  }
  EventLoop& loop;
  evdns_base* dns = nullptr;
  std::list<Exchange> exchanges;
  std::shared_ptr<int> alive = std::make_shared<int>(0);
};

void HttpClient::Exchange::answered(evhttp_request* request) {
  if (request == nullptr || evhttp_request_get_response_code(request) == 0) {
    finish(fail(pki::http_failed, what + ": no connection, or no answer"));
    return;
  }
  pki::HttpResponse out;
  out.status = static_cast<unsigned>(evhttp_request_get_response_code(request));
  out.content_type = header_of(evhttp_request_get_input_headers(request), "Content-Type");
  out.body = take_body(evhttp_request_get_input_buffer(request));
  finish(std::move(out));
}

void HttpClient::Exchange::finish(Result<pki::HttpResponse> result) {
  if (std::exchange(finished, true)) return;
  // The connection may not go away inside its own callback: that happens in a turn of its own.
  owner->loop.post([client = owner, alive = std::weak_ptr<int>(owner->alive), self = this,
                    done = std::exchange(done, nullptr), outcome = std::move(result)]() mutable {
    if (alive.expired()) return;
    client->exchanges.remove_if([self](const Exchange& one) { return &one == self; });
    if (done) done(std::move(outcome));
  });
}

HttpClient::HttpClient(EventLoop& loop) : impl_(std::make_unique<Impl>(loop)) {}
HttpClient::~HttpClient() = default;

void HttpClient::perform(const pki::HttpRequest& request, std::chrono::seconds timeout, Done done) {
  Exchange& exchange = impl_->exchanges.emplace_back();
  exchange.owner = impl_.get();
  exchange.done = std::move(done);
  const auto url = pki::parse_http_url(request.url);
  if (!url) {
    exchange.finish(fail(url.error()));
    return;
  }
  exchange.what = fmt::format("{}:{}", url->host, url->port);
  // Only a name needs a resolver; with it, waiting for one doesn't block the control plane.
  if (!IpAddress::parse(url->host) && impl_->dns == nullptr) {
    impl_->dns = evdns_base_new(impl_->loop.base(), EVDNS_BASE_INITIALIZE_NAMESERVERS);
  }
  evdns_base* dns = IpAddress::parse(url->host) ? nullptr : impl_->dns;
  exchange.connection =
      evhttp_connection_base_new(impl_->loop.base(), dns, url->host.c_str(), url->port);
  evhttp_request* out = evhttp_request_new(&Exchange::on_answer, &exchange);
  if (exchange.connection == nullptr || out == nullptr) {
    exchange.finish(fail(pki::http_failed, exchange.what + ": out of memory"));
    return;
  }
  evhttp_connection_set_max_headers_size(exchange.connection, 16 * 1024);
  evhttp_connection_set_max_body_size(exchange.connection,
                                      static_cast<ssize_t>(pki::http_body_max));
  evhttp_connection_set_timeout(exchange.connection, static_cast<int>(timeout.count()));
  const std::string host = url->host.find(':') == std::string::npos
                               ? exchange.what
                               : fmt::format("[{}]:{}", url->host, url->port);
  evkeyvalq* headers = evhttp_request_get_output_headers(out);
  evhttp_add_header(headers, "Host",
                    url->port == 80 ? host.substr(0, host.rfind(':')).c_str() : host.c_str());
  evhttp_add_header(headers, "Connection", "close");
  if (request.method == pki::HttpMethod::post) {
    evhttp_add_header(headers, "Content-Type", request.content_type.c_str());
    evbuffer_add(evhttp_request_get_output_buffer(out), request.body.data(), request.body.size());
  }
  // The timeout of the connection is one of silence; this one is of the whole.
  exchange.deadline = impl_->loop.deadline(
      [self = &exchange] { self->finish(fail(pki::http_timeout, self->what)); });
  impl_->loop.arm(exchange.deadline, timeout);
  const evhttp_cmd_type method =
      request.method == pki::HttpMethod::post ? EVHTTP_REQ_POST : EVHTTP_REQ_GET;
  if (evhttp_make_request(exchange.connection, out, method, url->target.c_str()) != 0) {
    exchange.finish(fail(pki::http_failed, exchange.what + ": can't begin a request"));
  }
}

}  // namespace cohort::daemon
