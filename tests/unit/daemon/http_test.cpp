#include "controlplane/daemon/http.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/daemon/reasons.hpp"
#include "pki/reasons.hpp"

namespace cohort::daemon {
namespace {

/// A port of the loopback interface that nobody listens on at the moment.
std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

class Http : public testing::Test {
 protected:
  /// Serves with `handle`, asks once, and returns what came.
  Result<pki::HttpResponse> round_trip(HttpServer::Handle handle, pki::HttpRequest request,
                                       std::chrono::seconds timeout = std::chrono::seconds(20)) {
    const Endpoint listen{IpAddress::v4(0x7f000001), free_port()};
    auto server = HttpServer::open(loop_, listen, std::move(handle));
    if (!server) return fail(server.error());
    request.url = "http://" + listen.text() + request.url;
    return ask(request, timeout);
  }
  Result<pki::HttpResponse> ask(const pki::HttpRequest& request, std::chrono::seconds timeout) {
    HttpClient client(loop_);
    Result<pki::HttpResponse> out = fail(pki::http_failed, "never called");
    bool returned = false;
    client.perform(request, timeout, [&](Result<pki::HttpResponse> response) {
      EXPECT_TRUE(returned) << "called before perform() had returned";
      out = std::move(response);
      loop_.stop();
    });
    returned = true;
    loop_.run();
    return out;
  }
  EventLoop loop_;
};

TEST_F(Http, GetAndPost) {
  pki::HttpRequest seen;
  const auto handle = [&](const pki::HttpRequest& request) {
    seen = request;
    return pki::HttpResponse{200, "application/x-pki-message", request.body};
  };
  const auto got = round_trip(handle, {pki::HttpMethod::get, "/scep?operation=GetCACaps", "", {}});
  ASSERT_TRUE(got) << got.error().text();
  EXPECT_EQ(got->status, 200u);
  EXPECT_EQ(got->content_type, "application/x-pki-message");
  EXPECT_EQ(seen.method, pki::HttpMethod::get);
  EXPECT_EQ(seen.url, "/scep?operation=GetCACaps");
  EXPECT_EQ(seen.peer, "127.0.0.1");

  const Bytes body{0, 1, 2, 255, 10, 13, 0};
  const auto posted = round_trip(handle, {pki::HttpMethod::post, "/?operation=PKIOperation",
                                          "application/x-pki-message", body});
  ASSERT_TRUE(posted) << posted.error().text();
  EXPECT_EQ(posted->body, body);
  EXPECT_EQ(seen.method, pki::HttpMethod::post);
  EXPECT_EQ(seen.content_type, "application/x-pki-message");
}

TEST_F(Http, RefusalsOfTheHandlerArrive) {
  const auto got = round_trip(
      [](const pki::HttpRequest&) {
        return pki::HttpResponse{404, "text/plain", to_bytes(as_bytes("no"))};
      },
      {pki::HttpMethod::get, "/x", "", {}});
  ASSERT_TRUE(got);
  EXPECT_EQ(got->status, 404u);
}

TEST_F(Http, TooLargeABodyNeverReachesTheHandler) {
  bool called = false;
  const auto got = round_trip(
      [&](const pki::HttpRequest&) {
        called = true;
        return pki::HttpResponse{200, "", {}};
      },
      {pki::HttpMethod::post, "/", "x/y", Bytes(pki::http_body_max + 1)},
      // The server hangs up amid the body, which the client may notice only by its own deadline.
      std::chrono::seconds(1));
  EXPECT_FALSE(called);
  EXPECT_TRUE(!got || got->status == 413);
}

/// Connects without waiting for it.
int begin_connection(const Endpoint& to) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(to.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  (void)::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  return fd;
}

// Whoever opens connections and says nothing must not take the descriptors that the rest needs.
TEST_F(Http, SilentConnectionsLeaveDescriptorsToTheRest) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{128, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const Endpoint listen{IpAddress::v4(0x7f000001), free_port()};
  HttpLimits limits;
  limits.connections_per_source_max = 1000;
  const auto server = HttpServer::open(
      loop_, listen,
      [](const pki::HttpRequest&) {
        return pki::HttpResponse{200, "", {}};
      },
      limits);
  ASSERT_TRUE(server);
  std::vector<int> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(begin_connection(listen));
  // Each turn of the loop accepts all that it may.
  int turns = 0;
  std::function<void()> turn = [&] {
    if (++turns == 20) return loop_.stop();
    loop_.post(turn);
  };
  loop_.post(turn);
  loop_.run();
  const int lowest = ::dup(0);
  EXPECT_GE(lowest, 60) << "they were accepted while there was room";
  EXPECT_LE(lowest, 70) << "and no further";
  ::close(lowest);
  // They go, and others are served.
  for (const int fd : silent) ::close(fd);
  const auto got = ask({pki::HttpMethod::get, "http://" + listen.text() + "/", "", {}},
                       std::chrono::seconds(20));
  EXPECT_TRUE(got && got->status == 200);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

/// Whether the other end has hung up; what it has sent before is skipped.
bool is_over(int fd) {
  std::array<char, 512> skipped{};
  ssize_t got = 1;
  while (got > 0) got = ::recv(fd, skipped.data(), skipped.size(), MSG_DONTWAIT);
  return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

std::size_t count_over(const std::vector<int>& connections) {
  return static_cast<std::size_t>(
      std::count_if(connections.begin(), connections.end(), [](int fd) { return is_over(fd); }));
}

/// Servers that strangers crowd: silent connections, some of which are hung up on.
class Crowd : public Http {
 protected:
  void serve(HttpLimits limits) {
    listen_ = Endpoint{IpAddress::v4(0x7f000001), free_port()};
    auto server = HttpServer::open(
        loop_, listen_,
        [](const pki::HttpRequest&) {
          return pki::HttpResponse{200, "", {}};
        },
        limits);
    ASSERT_TRUE(server) << server.error().text();
    server_ = std::move(*server);
  }
  void TearDown() override {
    for (const int fd : crowd_) ::close(fd);
  }
  /// Opens so many connections, and says on each the beginning of a request.
  void come(std::size_t number) {
    for (std::size_t i = 0; i < number; ++i) crowd_.push_back(begin_connection(listen_));
    run_until([&] { return server_->connections().accepted >= crowd_.size(); });
  }
  /// Turns the loop until `done`, or for as long as a broken server deserves.
  void run_until(const std::function<bool()>& done) {
    int left = 20'000;
    const auto watch = loop_.every(std::chrono::milliseconds(1), [&] {
      if (done() || --left == 0) loop_.stop();
    });
    loop_.run();
    EXPECT_GT(left, 0) << "it never came to that";
  }
  [[nodiscard]] bool is_served() {
    const auto got = ask({pki::HttpMethod::get, "http://" + listen_.text() + "/", "", {}},
                         std::chrono::seconds(20));
    return got && got->status == 200;
  }

  Endpoint listen_;
  std::unique_ptr<HttpServer> server_;
  std::vector<int> crowd_;
};

TEST_F(Crowd, OneSourceHasItsShareAndNoMore) {
  HttpLimits limits;
  limits.connections_per_source_max = 5;
  serve(limits);
  come(12);
  run_until([&] { return count_over(crowd_) == 7; });
  EXPECT_EQ(server_->connections().ended_crowded, 7u);
  EXPECT_FALSE(is_over(crowd_.front())) << "who came first stays";
  for (int i = 0; i < 2; ++i) {
    ::close(crowd_.back());
    crowd_.pop_back();
  }
  ::close(crowd_.front());
  crowd_.erase(crowd_.begin());
  EXPECT_TRUE(is_served()) << "there is a place again";
}

TEST_F(Crowd, OneTooManyEndsTheOldest) {
  HttpLimits limits;
  limits.connections_max = 8;
  limits.connections_per_source_max = 1000;
  serve(limits);
  come(8);
  EXPECT_TRUE(is_served());
  run_until([&] { return is_over(crowd_.front()); });
  EXPECT_EQ(count_over(crowd_), 1u);
  EXPECT_EQ(server_->connections().ended_crowded, 1u);
}

TEST_F(Crowd, WhoDripsARequestIsHungUpOn) {
  HttpLimits limits;
  limits.lifetime = std::chrono::milliseconds(200);
  serve(limits);
  come(1);
  // An octet now and then: never silent for long, never done.
  const std::string request = "GET /" + std::string(100'000, 'x');
  std::size_t said = 0;
  run_until([&] {
    said += ::send(crowd_[0], request.data() + said, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 1 : 0;
    return is_over(crowd_[0]);
  });
  EXPECT_GT(said, 1u);
  EXPECT_EQ(server_->connections().ended_late, 1u);
  EXPECT_TRUE(is_served());
}

TEST_F(Http, NobodyThereIsAnError) {
  const auto got =
      ask({pki::HttpMethod::get, "http://127.0.0.1:" + std::to_string(free_port()) + "/", "", {}},
          std::chrono::seconds(20));
  ASSERT_FALSE(got);
  EXPECT_TRUE(got.error().is(pki::http_failed));
}

TEST_F(Http, ABadUrlIsAnErrorAndComesLater) {
  const auto got = ask({pki::HttpMethod::get, "nonsense", "", {}}, std::chrono::seconds(1));
  ASSERT_FALSE(got);
  EXPECT_TRUE(got.error().is(pki::bad_url));
}

TEST_F(Http, AnAddressInUseIsAnErrorWithTheAddress) {
  const Endpoint listen{IpAddress::v4(0x7f000001), free_port()};
  const auto handle = [](const pki::HttpRequest&) { return pki::HttpResponse{}; };
  const auto first = HttpServer::open(loop_, listen, handle);
  ASSERT_TRUE(first);
  const auto second = HttpServer::open(loop_, listen, handle);
  ASSERT_FALSE(second);
  EXPECT_TRUE(second.error().is(socket_failed));
  EXPECT_THAT(second.error().detail(), testing::HasSubstr(listen.text()));
}

}  // namespace
}  // namespace cohort::daemon
