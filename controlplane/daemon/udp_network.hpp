#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/daemon/event_loop.hpp"
#include "controlplane/world/world.hpp"

namespace cohort::daemon {

/// The UDP sockets of a daemon, one for each local endpoint. A datagram leaves by the socket of its
/// `local` end, from that very address; one that arrives says which of our addresses it came to.
class UdpNetwork {
 public:
  using Receive = std::function<void(const Datagram&)>;

  struct Counters {
    std::uint64_t received = 0, sent = 0, send_failed = 0;
  };

  UdpNetwork(EventLoop& loop, Receive receive);
  ~UdpNetwork();
  UdpNetwork(const UdpNetwork&) = delete;
  UdpNetwork& operator=(const UdpNetwork&) = delete;

  /// Opens a socket; an unspecified address takes every one of its family. An address that is not
  /// on this machine (yet) works once it is; `missing` is then set to true.
  Status bind(const Endpoint& local, bool& missing);
  /// Receives what is sent to a multicast group at `local`'s port, on the interface of its address,
  /// as if it had come to `local`. Joining twice changes nothing.
  Status join(const Endpoint& local, const IpAddress& group);
  void leave(const Endpoint& local, const IpAddress& group);
  /// The port of the socket at an address, which a group is joined on.
  [[nodiscard]] std::optional<Endpoint> local_at(const IpAddress& address) const;
  Status send(const Datagram& datagram);
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Socket;
  void drain(Socket& socket);
  [[nodiscard]] Socket* socket_for(const Datagram& datagram) const;

  EventLoop& loop_;
  Receive receive_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  std::vector<std::unique_ptr<Socket>> groups_;  ///< one for each joined group; never sent from
  std::vector<std::unique_ptr<Socket>> left_;    ///< of groups that were left just now
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  Counters counters_;
};

}  // namespace cohort::daemon
