#include "controlplane/daemon/admin_server.hpp"

#include <cerrno>
#include <cstring>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <map>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "controlplane/base/secret.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

constexpr timeval silence_max{120, 0};
constexpr timeval unread_max{10, 0};  ///< an answer is kept so long for who does not read

tl::unexpected<Error> failed(const std::string& path) {
  return fail(socket_failed, path + ": " + std::strerror(errno));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  if (path.size() >= sizeof out.sun_path) return fail(socket_failed, path + ": too long");
  std::memcpy(out.sun_path, path.data(), path.size());
  return out;
}

/// The directory of the socket, with modes that keep others out.
void make_parent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    (void)::mkdir(path.substr(0, slash).c_str(), 0755);
  }
}

Result<int> listen_at(const std::string& path) {
  COHORT_TRY(const sockaddr_un address, address_of(path));
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  make_parent(path);
  Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return failed(path);
  {
    const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(probe.get(), name, sizeof address) == 0) {
      return fail(socket_failed, path + ": another cohortd answers there");
    }
  }
  // Only a socket is ours to replace: a slip in the configuration must not cost a file.
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return fail(socket_failed, path + ": a file that is no socket");
    (void)::unlink(path.c_str());
  }
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd.get(), name, sizeof address);
  ::umask(before);
  if (bound != 0 || ::listen(fd.get(), 16) != 0) return failed(path);
  return fd.release();
}

}  // namespace

struct AdminServer::Impl {
  Impl(EventLoop& the_loop, std::string the_path, Handle the_handle)
      : loop(the_loop), path(std::move(the_path)), handle(std::move(the_handle)) {}
  ~Impl();

  struct Connection {
    Impl* server = nullptr;
    std::uint64_t id = 0;
    bufferevent* stream = nullptr;
    LineReader lines{request_size_max};
    bool busy = false;  ///< a request is worked on, or its answer not yet taken

    ~Connection() {
      if (stream != nullptr) bufferevent_free(stream);
    }
  };

  void accept();
  void read(Connection& connection);
  void serve_next(Connection& connection);
  void answer(std::uint64_t id, const Result<Json>& answer);
  void answer_taken(Connection& connection);
  void close(std::uint64_t id) { connections.erase(id); }

  static void on_read(bufferevent*, void* self) {
    auto& connection = *static_cast<Connection*>(self);
    connection.server->read(connection);
  }
  static void on_drained(bufferevent*, void* self) {
    auto& connection = *static_cast<Connection*>(self);
    connection.server->answer_taken(connection);
  }
  static void on_event(bufferevent*, short, void* self) {
    // End of file, error or silence: a request under way has nobody left to answer to.
    auto& connection = *static_cast<Connection*>(self);
    connection.server->close(connection.id);
  }

  EventLoop& loop;
  std::string path;
  Handle handle;
  int fd = -1;
  EventLoop::Watch watch;
  std::uint64_t last_id = 0;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections;
  std::shared_ptr<Impl*> self = std::make_shared<Impl*>(this);  ///< for answers that come late
};

AdminServer::Impl::~Impl() {
  watch = EventLoop::Watch();
  connections.clear();
  if (fd >= 0) {
    ::close(fd);
    (void)::unlink(path.c_str());
  }
}

void AdminServer::Impl::accept() {
  const int peer = ::accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (peer < 0) return;
  if (connections.size() >= connections_max) {
    ::close(peer);
    return;
  }
  auto connection = std::make_unique<Connection>();
  connection->server = this;
  connection->id = ++last_id;
  connection->stream = bufferevent_socket_new(loop.base(), peer, BEV_OPT_CLOSE_ON_FREE);
  if (connection->stream == nullptr) {
    ::close(peer);
    return;
  }
  bufferevent_setcb(connection->stream, &Impl::on_read, &Impl::on_drained, &Impl::on_event,
                    connection.get());
  bufferevent_setwatermark(connection->stream, EV_READ, 0, request_size_max + 1);
  bufferevent_set_timeouts(connection->stream, &silence_max, &unread_max);
  bufferevent_enable(connection->stream, EV_READ | EV_WRITE);
  connections.emplace(connection->id, std::move(connection));
}

void AdminServer::Impl::read(Connection& connection) {
  // While one request is worked on or its answer unread, what follows waits in the kernel: who
  // sends requests and reads nothing costs one answer.
  if (connection.busy) {
    bufferevent_disable(connection.stream, EV_READ);
    return;
  }
  evbuffer* input = bufferevent_get_input(connection.stream);
  // There may be a passphrase in it.
  std::vector<evbuffer_iovec> parts(
      static_cast<std::size_t>(evbuffer_peek(input, -1, nullptr, nullptr, 0)));
  evbuffer_peek(input, -1, nullptr, parts.data(), static_cast<int>(parts.size()));
  for (const evbuffer_iovec& part : parts) {
    connection.lines.append({static_cast<const char*>(part.iov_base), part.iov_len});
    ::explicit_bzero(part.iov_base, part.iov_len);
  }
  evbuffer_drain(input, evbuffer_get_length(input));
  serve_next(connection);
}

void AdminServer::Impl::serve_next(Connection& connection) {
  const std::uint64_t id = connection.id;
  auto line = connection.lines.next();
  if (connection.lines.failed()) {
    close(id);
    return;
  }
  if (!line) return;
  connection.busy = true;
  auto request = parse_request(*line);
  zeroize(*line);
  const Answer reply = [weak = std::weak_ptr<Impl*>(self), id](Result<Json> out) {
    if (const auto server = weak.lock()) (*server)->answer(id, out);
  };
  if (!request) {
    reply(fail(request.error()));
    return;
  }
  handle(*request, reply);
  wipe(request->arguments);
}

void AdminServer::Impl::answer(std::uint64_t id, const Result<Json>& out) {
  const auto at = connections.find(id);
  if (at == connections.end() || !at->second->busy) return;
  const std::string line = answer_line(out);
  bufferevent_write(at->second->stream, line.data(), line.size());
}

void AdminServer::Impl::answer_taken(Connection& connection) {
  if (!std::exchange(connection.busy, false)) return;
  const std::uint64_t id = connection.id;
  bufferevent_enable(connection.stream, EV_READ);
  // The next request, if it is here already, gets a turn of its own.
  loop.post([weak = std::weak_ptr<Impl*>(self), id] {
    const auto server = weak.lock();
    if (!server) return;
    const auto next = (*server)->connections.find(id);
    if (next != (*server)->connections.end() && !next->second->busy) {
      (*server)->read(*next->second);
    }
  });
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AdminServer::~AdminServer() = default;

Result<std::unique_ptr<AdminServer>> AdminServer::open(EventLoop& loop, const std::string& path,
                                                       Handle handle) {
  auto impl = std::make_unique<Impl>(loop, path, std::move(handle));
  COHORT_TRY(impl->fd, listen_at(path));
  Impl* raw = impl.get();
  impl->watch = loop.on_readable(impl->fd, [raw] { raw->accept(); });
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

}  // namespace cohort::daemon
