#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "coop/group.hpp"
#include "gdoi/authority.hpp"

namespace cohort::coop {

/// A group's co-operating servers as its key server sees them: keys from the epoch in force,
/// members and removed identities as replicated items. Both ends outlive it.
class Authority final : public gdoi::KeyAuthority, private GroupObserver {
 public:
  explicit Authority(Group& group);
  ~Authority() override;

  void serve(TimePoint now, gdoi::KeyAuthorityClient* client) override;
  Status set_policy(TimePoint now, const gdoi::GroupPolicy& policy,
                    std::vector<gdoi::KeyLine> lines, Duration kek_lead,
                    ByteView signing_key) override;
  [[nodiscard]] Status may_register() const override { return group_.may_register(); }
  [[nodiscard]] bool distributes() const override { return group_.primary(); }
  [[nodiscard]] std::optional<gdoi::KeyPlan> plan(TimePoint now) const override;
  [[nodiscard]] TimePoint next_change(TimePoint now) const override;
  [[nodiscard]] std::optional<TimePoint> kek_end(TimePoint now,
                                                 const gdoi::KekSpi& kek) const override;
  [[nodiscard]] std::uint64_t group_time_ms(TimePoint now) const override {
    return group_.time().now_ms(now);
  }
  Result<std::vector<std::uint32_t>> next_seqs(TimePoint now, const gdoi::KekSpi& kek,
                                               TimePoint kek_made, std::uint32_t last_used,
                                               std::size_t count) override;
  [[nodiscard]] std::uint32_t seq_floor(const gdoi::KekSpi& kek) const override {
    return group_.seq_floor(kek);
  }
  Result<std::vector<std::uint32_t>> take_sender_ids(TimePoint now, std::size_t count) override {
    return group_.take_sender_ids(now, count);
  }
  [[nodiscard]] SenderIdCount sender_id_count() const override;
  Status exclude(TimePoint now, std::string_view why) override;
  Status refresh(TimePoint now) override { return group_.refresh(now); }
  void member_registered(TimePoint now, const gdoi::Member& member) override;
  void member_gone(TimePoint now, const gdoi::Member& member, bool silent) override;
  Status identity_removed(TimePoint now, const std::string& identity) override;
  void identity_admitted(TimePoint now, const std::string& identity) override;

 private:
  [[nodiscard]] std::uint64_t era() const;
  void on_keys_changed(TimePoint now) override;
  void on_item(TimePoint now, const ItemKey& id, const Item* item) override;
  void tell_member(TimePoint now, const ItemKey& id, const Item* item);
  void tell_removed(TimePoint now, const ItemKey& id, const Item* item);
  void add_teks(const Epoch& epoch, std::uint64_t now_ms, std::uint64_t left_ms, bool in_force,
                gdoi::KeyPlan& plan) const;

  Group& group_;
  gdoi::KeyAuthorityClient* client_ = nullptr;
  std::vector<gdoi::KeyLine> lines_;
  std::vector<LineId> line_ids_;
  std::size_t kek_octets_ = 0;
  /// Who a member item was about, so that its deletion can be told.
  std::map<ItemKey, std::pair<std::string, IpAddress>> members_;
  std::map<ItemKey, std::string> removed_;
  std::set<ItemKey> gone_;  ///< not yet told
  std::uint64_t era_ = 0;
  bool complete_ = false;  ///< every key server was reachable when we last looked
};

/// The value of a member item; docs/coop-protocol.md leaves it to the implementation.
struct StoredMember {
  gdoi::Member member;
  std::uint64_t era = 0;  ///< of its registration: the purge id of the epoch in force
};
[[nodiscard]] Bytes encode_member(const gdoi::Member& member, std::uint64_t now_ms,
                                  std::uint64_t era);
[[nodiscard]] Result<StoredMember> decode_member(ByteView value);

}  // namespace cohort::coop
