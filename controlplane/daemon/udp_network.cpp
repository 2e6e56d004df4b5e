#include "controlplane/daemon/udp_network.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

constexpr int receive_buffer = 4 * 1024 * 1024;  // a registration storm waits here
constexpr int multicast_hops = 64;               // rekeys cross a routed network
constexpr int datagrams_per_turn = 64;           // then timers and the operator get theirs

/// A socket address of either family.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress to_socket(const Endpoint& endpoint) {
  SocketAddress out;
  if (endpoint.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    std::memcpy(&in.sin_addr, endpoint.address.bytes().data(), 4);
    std::memcpy(&out.storage, &in, sizeof in);
    out.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(endpoint.port);
    std::memcpy(&in.sin6_addr, endpoint.address.bytes().data(), 16);
    std::memcpy(&out.storage, &in, sizeof in);
    out.size = sizeof in;
  }
  return out;
}

Endpoint from_socket(const sockaddr_storage& storage) {
  Endpoint out;
  if (storage.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof in);
    out.address = IpAddress::v4(ntohl(in.sin_addr.s_addr));
    out.port = ntohs(in.sin_port);
  } else if (storage.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &storage, sizeof in);
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), &in.sin6_addr, octets.size());
    out.address = IpAddress::v6(octets);
    out.port = ntohs(in.sin6_port);
  }
  return out;
}

/// The address that a datagram was sent to, out of its control messages.
void take_destination(msghdr& header, Endpoint& local) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      local.address = IpAddress::v4(ntohl(info.ipi_addr.s_addr));
    }
    if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(control), sizeof info);
      std::array<std::uint8_t, 16> octets{};
      std::memcpy(octets.data(), &info.ipi6_addr, octets.size());
      local.address = IpAddress::v6(octets);
    }
  }
}

void set_option(int fd, int level, int name, int value) {
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

tl::unexpected<Error> failed(const Endpoint& local) {
  return fail(socket_failed, "UDP " + local.text() + ": " + std::strerror(errno));
}

}  // namespace

struct UdpNetwork::Socket {
  Endpoint local;
  IpAddress group;  ///< of a socket that only listens to it
  int fd = -1;
  bool gone = false;  ///< its group was left: nothing more is read from it
  EventLoop::Watch watch;

  ~Socket() {
    watch = EventLoop::Watch();
    if (fd >= 0) ::close(fd);
  }
};

UdpNetwork::UdpNetwork(EventLoop& loop, Receive receive)
    : loop_(loop), receive_(std::move(receive)) {}
UdpNetwork::~UdpNetwork() = default;

Status UdpNetwork::bind(const Endpoint& local, bool& missing) {
  auto socket = std::make_unique<Socket>();
  socket->local = local;
  const bool v4 = local.address.is_v4();
  socket->fd = ::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket->fd < 0) return failed(local);
  const int fd = socket->fd;
  set_option(fd, SOL_SOCKET, SO_RCVBUF, receive_buffer);
  if (v4) {
    set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    // Messages larger than a link are fragmented rather than lost to a stale path MTU.
    set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    set_option(fd, IPPROTO_IP, IP_MULTICAST_TTL, multicast_hops);
    if (!local.address.is_unspecified()) {
      (void)::setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, local.address.bytes().data(), 4);
    }
  } else {
    set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
    set_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, multicast_hops);
  }
  SocketAddress address = to_socket(local);
  missing = false;
  if (::bind(fd, address.get(), address.size) != 0) {
    if (errno != EADDRNOTAVAIL) return failed(local);
    missing = true;
    set_option(fd, v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6}, v4 ? IP_FREEBIND : IPV6_FREEBIND, 1);
    if (::bind(fd, address.get(), address.size) != 0) return failed(local);
  }
  Socket* raw = socket.get();
  socket->watch = loop_.on_readable(fd, [this, raw] { drain(*raw); });
  sockets_.push_back(std::move(socket));
  return {};
}

// A socket that is bound to one address of ours hears no multicast, so each group has one of its
// own, bound to the group.
Status UdpNetwork::join(const Endpoint& local, const IpAddress& group) {
  if (group.family() != local.address.family())
    return fail(socket_failed, "join " + group.text() + " at " + local.text() + ": two families");
  for (const auto& known : groups_) {
    if (known->local == local && known->group == group) return {};
  }
  auto socket = std::make_unique<Socket>();
  socket->local = local;
  socket->group = group;
  const bool v4 = group.is_v4();
  socket->fd = ::socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket->fd < 0) return failed(local);
  set_option(socket->fd, SOL_SOCKET, SO_REUSEADDR, 1);
  SocketAddress address = to_socket({group, local.port});
  if (::bind(socket->fd, address.get(), address.size) != 0) return failed({group, local.port});
  int done = 0;
  if (v4) {
    ip_mreqn request{};
    std::memcpy(&request.imr_multiaddr, group.bytes().data(), 4);
    std::memcpy(&request.imr_address, local.address.bytes().data(), 4);
    done = ::setsockopt(socket->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request);
    set_option(socket->fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  } else {
    ipv6_mreq request{};
    std::memcpy(&request.ipv6mr_multiaddr, group.bytes().data(), 16);
    done = ::setsockopt(socket->fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request);
  }
  if (done != 0) return fail(socket_failed, "join " + group.text() + ": " + std::strerror(errno));
  Socket* raw = socket.get();
  socket->watch = loop_.on_readable(socket->fd, [this, raw] { drain(*raw); });
  groups_.push_back(std::move(socket));
  return {};
}

// A rekey that came to the group may be what makes us leave it: the socket stays until whoever
// reads from it has returned.
void UdpNetwork::leave(const Endpoint& local, const IpAddress& group) {
  const auto left = std::find_if(groups_.begin(), groups_.end(), [&](const auto& known) {
    return known->local == local && known->group == group;
  });
  if (left == groups_.end()) return;
  (*left)->gone = true;
  left_.push_back(std::move(*left));
  groups_.erase(left);
  loop_.post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) left_.clear();
  });
}

std::optional<Endpoint> UdpNetwork::local_at(const IpAddress& address) const {
  for (const auto& socket : sockets_) {
    if (socket->local.address == address) return socket->local;
    if (socket->local.address.is_unspecified() &&
        socket->local.address.family() == address.family()) {
      return Endpoint{address, socket->local.port};
    }
  }
  return std::nullopt;
}

void UdpNetwork::drain(Socket& socket) {
  static thread_local std::array<std::uint8_t, 65536> buffer;
  for (int i = 0; i < datagrams_per_turn && !socket.gone; ++i) {
    SocketAddress from;
    alignas(cmsghdr) std::array<char, 256> control{};
    iovec part{buffer.data(), buffer.size()};
    msghdr header{};
    header.msg_name = from.get();
    header.msg_namelen = from.size;
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(socket.fd, &header, 0);
    // An error here is one that ICMP reported for something sent before; it is not about the next.
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (size < 0) continue;
    ++counters_.received;
    Datagram datagram;
    datagram.remote = from_socket(from.storage);
    datagram.local = socket.local;
    take_destination(header, datagram.local);
    // Multicast comes to the group's address; what we are called is our own.
    if (datagram.local.address.is_multicast()) datagram.local = socket.local;
    datagram.payload.assign(buffer.begin(), buffer.begin() + size);
    receive_(datagram);
  }
}

UdpNetwork::Socket* UdpNetwork::socket_for(const Datagram& datagram) const {
  Socket* fallback = nullptr;
  for (const auto& socket : sockets_) {
    if (socket->local.address.family() != datagram.remote.address.family()) continue;
    if (datagram.local.port != 0 && socket->local.port != datagram.local.port) continue;
    if (socket->local.address == datagram.local.address) return socket.get();
    if (socket->local.address.is_unspecified() || datagram.local.address.is_unspecified()) {
      fallback = socket.get();
    }
  }
  return fallback;
}

Status UdpNetwork::send(const Datagram& datagram) {
  const Socket* socket = socket_for(datagram);
  if (socket == nullptr) {
    ++counters_.send_failed;
    return fail(send_failed, "no socket at " + datagram.local.text());
  }
  SocketAddress to = to_socket(datagram.remote);
  iovec part{const_cast<std::uint8_t*>(datagram.payload.data()), datagram.payload.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
  msghdr header{};
  header.msg_name = to.get();
  header.msg_namelen = to.size;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (socket->local.address.is_unspecified() && !datagram.local.address.is_unspecified()) {
    // Answer from the address that was asked.
    header.msg_control = control.data();
    const bool v4 = datagram.local.address.is_v4();
    header.msg_controllen = v4 ? CMSG_SPACE(sizeof(in_pktinfo)) : CMSG_SPACE(sizeof(in6_pktinfo));
    cmsghdr* message = CMSG_FIRSTHDR(&header);
    message->cmsg_level = v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6};
    message->cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
    message->cmsg_len = v4 ? CMSG_LEN(sizeof(in_pktinfo)) : CMSG_LEN(sizeof(in6_pktinfo));
    if (v4) {
      in_pktinfo info{};
      std::memcpy(&info.ipi_spec_dst, datagram.local.address.bytes().data(), 4);
      std::memcpy(CMSG_DATA(message), &info, sizeof info);
    } else {
      in6_pktinfo info{};
      std::memcpy(&info.ipi6_addr, datagram.local.address.bytes().data(), 16);
      std::memcpy(CMSG_DATA(message), &info, sizeof info);
    }
  }
  ssize_t done = ::sendmsg(socket->fd, &header, MSG_NOSIGNAL);
  // A pending ICMP error of an earlier datagram is reported once and says nothing about this one.
  if (done < 0 && (errno == ECONNREFUSED || errno == EHOSTUNREACH)) {
    done = ::sendmsg(socket->fd, &header, MSG_NOSIGNAL);
  }
  if (done < 0) {
    ++counters_.send_failed;
    return fail(
        errno == EMSGSIZE ? too_large_datagram : send_failed,
        datagram.local.text() + " to " + datagram.remote.text() + ": " + std::strerror(errno));
  }
  ++counters_.sent;
  return {};
}

}  // namespace cohort::daemon
