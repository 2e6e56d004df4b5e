#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "config/configuration.hpp"
#include "controlplane/daemon/runtime.hpp"
#include "controlplane/ike/isakmp.hpp"
#include "coop/authority.hpp"
#include "coop/coop.hpp"
#include "gdoi/group_member.hpp"
#include "gdoi/key_server.hpp"

namespace cohort::daemon {

/// Knows which jobs a node has posted, since several nodes share the threads.
class NodeJobs final : public CryptoJobs {
 public:
  explicit NodeJobs(CryptoJobs& threads) : threads_(threads) {}
  JobId post(Job job) override { return *posted_.insert(threads_.post(std::move(job))).first; }
  /// True once for each job that was posted here.
  [[nodiscard]] bool take(JobId id) { return posted_.erase(id) > 0; }

 private:
  CryptoJobs& threads_;
  std::set<JobId> posted_;
};

/// One local endpoint that speaks ISAKMP, with what sits above it: a key server or a member.
class GroupNode final : public Node {
 public:
  /// Both keep what `world` refers to; groups are added afterwards.
  static std::unique_ptr<GroupNode> key_server(World& world, ike::IsakmpOptions options);
  static std::unique_ptr<GroupNode> group_member(World& world, ike::IsakmpOptions options);

  [[nodiscard]] const Endpoint& local() const { return local_; }
  /// Its own port, and with NAT traversal that of RFC 3947.
  [[nodiscard]] bool listens_at(std::uint16_t port) const {
    return port == local_.port || (nat_port_ && port == *nat_port_);
  }
  [[nodiscard]] ike::Isakmp& isakmp() { return isakmp_; }
  [[nodiscard]] const ike::Isakmp& isakmp() const { return isakmp_; }
  [[nodiscard]] gdoi::KeyServer* server() const { return server_.get(); }
  [[nodiscard]] coop::Coop* coop() const { return coop_.get(); }
  [[nodiscard]] gdoi::GroupMember* member() const { return member_.get(); }

  /// Serves a group: alone, or with `redundancy` together with other key servers.
  Status add_server_group(TimePoint now, gdoi::KeyServerOptions options,
                          std::optional<coop::Options> redundancy);
  Status remove_server_group(TimePoint now, const std::string& name);

  void on_datagram(TimePoint now, const Datagram& datagram) override;
  void on_timer(TimePoint now) override;
  [[nodiscard]] TimePoint next_deadline() const override;
  void on_job_done(TimePoint now, JobId id, JobResult result) override;
  /// True once for each job that this node has posted.
  [[nodiscard]] bool owns_job(JobId id) { return jobs_.take(id); }

 private:
  GroupNode(World& world, ike::IsakmpOptions options);

  Endpoint local_;
  std::optional<std::uint16_t> nat_port_;
  NodeJobs jobs_;
  World world_;  ///< the one we were given, with our jobs_
  ike::Isakmp isakmp_;
  std::unique_ptr<coop::Coop> coop_;
  std::map<std::string, std::unique_ptr<coop::Authority>> authorities_;  ///< by group
  std::unique_ptr<gdoi::KeyServer> server_;
  std::unique_ptr<gdoi::GroupMember> member_;
};

}  // namespace cohort::daemon
