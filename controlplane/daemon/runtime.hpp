#pragma once

#include <functional>
#include <memory>
#include <string>

#include "config/configuration.hpp"
#include "controlplane/daemon/dataplane_link.hpp"
#include "controlplane/daemon/event_log.hpp"
#include "controlplane/daemon/event_loop.hpp"
#include "controlplane/daemon/file_store.hpp"
#include "controlplane/daemon/http.hpp"
#include "controlplane/daemon/job_pool.hpp"
#include "controlplane/daemon/metrics.hpp"
#include "controlplane/daemon/system.hpp"
#include "controlplane/daemon/udp_network.hpp"
#include "controlplane/world/world.hpp"
#include "pki/key_pair.hpp"
#include "pki/keyring.hpp"

namespace cohort::daemon {

/// The World's Outbox: datagrams to the sockets, events and refusals to log and metrics.
class DaemonOutbox final : public Outbox {
 public:
  DaemonOutbox(EventLog& log, Metrics& metrics, const Clock& clock)
      : log_(log), metrics_(metrics), clock_(clock) {}
  void attach(UdpNetwork& network) { network_ = &network; }

  void send(Datagram datagram) override;
  void report(Event event) override;
  void refuse(Refusal refusal) override;
  void join_multicast(const IpAddress& group, const IpAddress& local) override;
  void leave_multicast(const IpAddress& group, const IpAddress& local) override;

 private:
  EventLog& log_;
  Metrics& metrics_;
  const Clock& clock_;
  UdpNetwork* network_ = nullptr;
  TimePoint last_trouble_{};  ///< a failing network is reported once in a while
};

/// "MAIN 7c3f…/0000 flags 1, id 5, 412 octets", for the debug category of ISAKMP messages.
[[nodiscard]] std::string describe_isakmp(ByteView payload);

/// The real outside, in the order of building up: everything that the World is made of, and what
/// drives it.
struct Runtime {
  /// The state directory is taken, the store open, the log configured; no socket is bound yet.
  static Result<std::unique_ptr<Runtime>> create(const config::Configuration& configuration);

  EventLoop loop;
  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  EventLog log{clock};
  DaemonOutbox outbox{log, metrics, clock};
  RealDisk disk;
  std::optional<StateLock> lock;
  std::unique_ptr<FileStore> store;
  std::unique_ptr<pki::KeyPairs> keys;
  std::unique_ptr<pki::Keyring> keyring;
  std::unique_ptr<JobPool> jobs;
  std::unique_ptr<DataplaneLink> dataplane;
  std::unique_ptr<UdpNetwork> network;
  std::unique_ptr<HttpClient> http;
  std::unique_ptr<World> world;
  /// What becomes of a datagram; set by the daemon before a socket is bound.
  std::function<void(const Datagram&)> receive;
};

}  // namespace cohort::daemon
