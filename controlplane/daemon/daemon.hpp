#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/configuration.hpp"
#include "controlplane/daemon/admin_server.hpp"
#include "controlplane/daemon/enrolment.hpp"
#include "controlplane/daemon/group_node.hpp"
#include "controlplane/daemon/runtime.hpp"
#include "pki/ca.hpp"
#include "pki/scep_server.hpp"

namespace cohort::daemon {

/// One running cohortd: the roles of its configuration, driven by the loop. The parts are public
/// to the commands of the admin socket (commands*.cpp), which look at them and act on them.
class Daemon {
 public:
  /// Everything that must work at once does, or the error says what to do. Peers may be down.
  static Result<std::unique_ptr<Daemon>> start(config::Configuration configuration);
  /// Leaves groups and wipes keys.
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Until SIGTERM or SIGINT.
  void run();
  /// Reads the configuration file again: all of it, or nothing when it has an error. Key pairs that
  /// it asks for are made on threads first, so `done` may be called later. What can't be applied is
  /// reported, and tried again by the next reload.
  void reload(std::function<void(Status)> done);
  /// An admin request; answers now or later.
  void handle(const AdminRequest& request, AdminServer::Answer answer);
  /// A key pair has come: groups that waited for it begin to be served.
  void on_key_stored();
  /// Call after anything that may have moved a deadline.
  void touch();

  [[nodiscard]] const config::Configuration& configuration() const { return configuration_; }
  [[nodiscard]] Runtime& runtime() { return *runtime_; }
  [[nodiscard]] pki::CertificateAuthority* ca() const { return ca_.get(); }
  [[nodiscard]] const pki::ScepServer* scep() const { return scep_.get(); }
  [[nodiscard]] GroupNode* server() const { return server_.get(); }
  [[nodiscard]] GroupNode* member() const { return member_.get(); }
  [[nodiscard]] Enrolment* find_enrolment(std::string_view trustpoint);
  [[nodiscard]] const std::vector<std::unique_ptr<Enrolment>>& enrolments() const {
    return enrolments_;
  }
  [[nodiscard]] TimePoint started() const { return started_; }
  /// An operator's change, for the log.
  void audit(const std::string& command, const std::string& what);
  /// Says so in the log if the key is one that only allow_weak admits.
  void warn_of_weak_key(const pki::KeyPair& pair);

 private:
  Daemon(config::Configuration configuration, std::unique_ptr<Runtime> runtime);

  Status start_keys();
  Status start_ca();
  Status start_trustpoints();
  Status start_dataplane();
  Status start_key_server();
  Status start_group_member();
  Status start_sockets();
  Status start_admin();
  Status add_server_group(const config::KeyServerGroup& group);
  [[nodiscard]] Result<coop::Options> redundancy_of(const config::KeyServerGroup& group);
  [[nodiscard]] bool waits_for_key(const config::KeyServerGroup& group);
  Status bind(const Endpoint& local);
  void make_keys(std::vector<pki::KeyPairOptions> wanted, std::function<void()> done);
  void store_key(const pki::KeyPairOptions& wanted, Result<crypto::PrivateKey> made);
  void apply(config::Configuration& fresh);
  [[nodiscard]] bool apply_groups(const config::Configuration& fresh);
  void on_timer();
  void on_job_done(JobId id, JobResult result);
  void gather_metrics();
  void gather_authority_metrics();

  config::Configuration configuration_;
  std::unique_ptr<Runtime> runtime_;
  TimePoint started_;
  std::unique_ptr<pki::CertificateAuthority> ca_;
  std::unique_ptr<pki::ScepServer> scep_;
  std::unique_ptr<HttpServer> scep_http_;
  std::unique_ptr<HttpServer> metrics_http_;
  std::vector<std::unique_ptr<Enrolment>> enrolments_;
  std::unique_ptr<GroupNode> server_;
  std::unique_ptr<GroupNode> member_;
  std::unique_ptr<AdminServer> admin_;
  std::vector<std::string> waiting_groups_;  ///< for their signing keys to be imported
  bool reloading_ = false;
  EventLoop::Watch timer_;
  std::vector<EventLoop::Watch> watches_;
};

}  // namespace cohort::daemon
