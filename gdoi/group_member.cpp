#include "gdoi/group_member.hpp"

#include <algorithm>

#include "gdoi/member_group.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {

struct GroupMember::Impl {
  World& world;
  ike::Isakmp& isakmp;
  std::vector<std::unique_ptr<MemberGroup>> groups;

  MemberGroup* find(std::string_view name) {
    for (auto& group : groups) {
      if (group->options().group_name == name) return group.get();
    }
    return nullptr;
  }
};

GroupMember::GroupMember(World& world, ike::Isakmp& isakmp) : impl_(new Impl{world, isakmp, {}}) {
  isakmp.attach(ike::ExchangeType::groupkey_pull, *this);
  isakmp.attach(ike::ExchangeType::groupkey_push, *this);
}

GroupMember::~GroupMember() = default;

Status GroupMember::add_group(TimePoint now, GroupMemberOptions options) {
  if (impl_->find(options.group_name)) {
    return fail(bad_group_policy, options.group_name + ": the group is there already");
  }
  auto group = std::make_unique<MemberGroup>(impl_->world, impl_->isakmp, std::move(options));
  COHORT_CHECK(group->start(now));
  impl_->groups.push_back(std::move(group));
  return {};
}

Status GroupMember::remove_group(TimePoint now, std::string_view name) {
  MemberGroup* group = impl_->find(name);
  if (group == nullptr) return fail(no_such_group, std::string(name));
  group->stop(now);
  std::erase_if(impl_->groups, [group](const auto& owned) { return owned.get() == group; });
  return {};
}

Status GroupMember::register_now(TimePoint now, std::string_view name) {
  MemberGroup* group = impl_->find(name);
  if (group == nullptr) return fail(no_such_group, std::string(name));
  group->register_now(now, "operator");
  return {};
}

std::vector<GroupMemberStatus> GroupMember::status(TimePoint now) const {
  std::vector<GroupMemberStatus> out;
  for (const auto& group : impl_->groups) out.push_back(group->status(now));
  return out;
}

void GroupMember::on_phase1_established(TimePoint now, const ike::Phase1Info& info) {
  for (auto& group : impl_->groups) group->on_phase1_established(now, info);
}

void GroupMember::on_phase1_closed(TimePoint now, ike::Phase1Id id, const Error& why) {
  for (auto& group : impl_->groups) group->on_phase1_closed(now, id, why);
}

void GroupMember::on_notify(TimePoint now, const ike::Phase1Info& info, ike::NotifyType type,
                            ByteView, ByteView data) {
  for (auto& group : impl_->groups) group->on_notify(now, info, type, data);
}

void GroupMember::on_protected(TimePoint now, const ike::Phase1Info& info,
                               const ike::Header& header, const Datagram& datagram) {
  if (header.exchange != ike::ExchangeType::groupkey_pull) return;
  for (auto& group : impl_->groups) {
    if (group->on_pull(now, info, header, datagram)) return;
  }
  impl_->world.outbox.refuse({Error(wrong_message, "no such GROUPKEY-PULL is under way"),
                              "gdoi_pull", datagram.remote.text()});
}

void GroupMember::on_unprotected(TimePoint now, const ike::Header& header,
                                 const Datagram& datagram) {
  if (header.exchange != ike::ExchangeType::groupkey_push) {
    impl_->world.outbox.refuse(
        {Error(wrong_message, "no such phase 1"), "gdoi_pull", datagram.remote.text()});
    return;
  }
  for (auto& group : impl_->groups) {
    if (group->on_push(now, header, datagram)) return;
  }
  impl_->world.outbox.refuse({Error(unknown_kek), "gdoi_push", datagram.remote.text()});
}

void GroupMember::on_timer(TimePoint now) {
  for (auto& group : impl_->groups) {
    if (group->next_deadline() <= now) group->on_timer(now);
  }
}

TimePoint GroupMember::next_deadline() const {
  TimePoint next = never;
  for (const auto& group : impl_->groups) next = std::min(next, group->next_deadline());
  return next;
}

bool GroupMember::on_job_done(TimePoint, JobId, JobResult&) {
  return false;
}

}  // namespace cohort::gdoi
