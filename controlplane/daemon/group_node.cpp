#include "controlplane/daemon/group_node.hpp"

#include <algorithm>
#include <utility>

namespace cohort::daemon {

GroupNode::GroupNode(World& world, ike::IsakmpOptions options)
    : local_(options.local),
      nat_port_(options.nat_traversal ? std::optional(options.nat_port) : std::nullopt),
      jobs_(world.jobs),
      world_{world.clock,       world.random, world.outbox,   world.store,
             world.credentials, jobs_,        world.dataplane},
      isakmp_(world_, std::move(options)) {}

std::unique_ptr<GroupNode> GroupNode::key_server(World& world, ike::IsakmpOptions options) {
  std::unique_ptr<GroupNode> out(new GroupNode(world, std::move(options)));
  out->coop_ = std::make_unique<coop::Coop>(out->world_, out->isakmp_);
  out->server_ = std::make_unique<gdoi::KeyServer>(out->world_, out->isakmp_);
  return out;
}

std::unique_ptr<GroupNode> GroupNode::group_member(World& world, ike::IsakmpOptions options) {
  std::unique_ptr<GroupNode> out(new GroupNode(world, std::move(options)));
  out->member_ = std::make_unique<gdoi::GroupMember>(out->world_, out->isakmp_);
  return out;
}

Status GroupNode::add_server_group(TimePoint now, gdoi::KeyServerOptions options,
                                   std::optional<coop::Options> redundancy) {
  if (!redundancy) return server_->add_group(now, std::move(options));
  const std::string name = options.policy.name;
  COHORT_CHECK(coop_->add_group(now, std::move(*redundancy)));
  auto& authority = authorities_[name];
  authority = std::make_unique<coop::Authority>(*coop_->find(name));
  options.authority = authority.get();
  Status added = server_->add_group(now, std::move(options));
  if (!added) {
    authorities_.erase(name);
    (void)coop_->remove_group(name);
  }
  return added;
}

Status GroupNode::remove_server_group(TimePoint now, const std::string& name) {
  COHORT_CHECK(server_->remove_group(now, name));
  if (authorities_.erase(name) == 0) return {};
  return coop_->remove_group(name);
}

void GroupNode::on_datagram(TimePoint now, const Datagram& datagram) {
  isakmp_.on_datagram(now, datagram);
}

void GroupNode::on_timer(TimePoint now) {
  isakmp_.on_timer(now);
  if (coop_) coop_->on_timer(now);
  if (server_) server_->on_timer(now);
  if (member_) member_->on_timer(now);
}

TimePoint GroupNode::next_deadline() const {
  TimePoint out = isakmp_.next_deadline();
  if (coop_) out = std::min(out, coop_->next_deadline());
  if (server_) out = std::min(out, server_->next_deadline());
  if (member_) out = std::min(out, member_->next_deadline());
  return out;
}

void GroupNode::on_job_done(TimePoint now, JobId id, JobResult result) {
  if (server_ && server_->on_job_done(now, id, result)) return;
  if (member_ && member_->on_job_done(now, id, result)) return;
  isakmp_.on_job_done(now, id, std::move(result));
}

}  // namespace cohort::daemon
