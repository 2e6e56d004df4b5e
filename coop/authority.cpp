#include "coop/authority.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "controlplane/crypto/hash.hpp"
#include "coop/reasons.hpp"
#include "gdoi/authorization.hpp"

namespace cohort::coop {

namespace {

using gdoi::identity_size_max;
constexpr std::uint8_t member_version = 2;
constexpr std::size_t sender_ids_max = 64;

ItemKey item_of(Kind kind, std::string_view identity, ByteView more = {}) {
  const std::uint8_t separator = 0;
  Bytes digest =
      crypto::digest(crypto::Hash::sha256, {as_bytes(identity), ByteView(&separator, 1), more});
  digest.resize(16);
  return {kind, std::move(digest)};
}

std::uint64_t as_ms(Duration duration) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

std::string text_of(bool flag) {
  return flag ? "yes" : "no";
}

/// What may not differ either, though it is no part of the policy that members get: with other
/// times of rekeys each new primary would begin keys of its own.
std::vector<PolicyEntry> compared_only(const gdoi::GroupPolicy& policy,
                                       const std::vector<gdoi::KeyLine>& lines, Duration kek_lead,
                                       const Options& options) {
  const auto ms = [](auto time) { return fmt::format("{} ms", as_ms(time)); };
  std::vector<PolicyEntry> out{
      {"rekey lead", ms(kek_lead)},
      {"rekey evict", fmt::format("{} before first ack {}", policy.rekey.evict_after_unanswered,
                                  text_of(policy.rekey.evict_before_first_ack))},
      {"rekey bare-digest-signature", text_of(policy.rekey.bare_digest_signature)}};
  for (const gdoi::SaPolicy& sa : policy.sas) {
    const auto line = std::find_if(lines.begin(), lines.end(), [&sa](const gdoi::KeyLine& one) {
      return one.sa_number == sa.number;
    });
    if (line != lines.end()) out.push_back({fmt::format("sa {} lead", sa.number), ms(line->lead)});
    out.push_back({fmt::format("sa {} single-sender", sa.number), text_of(sa.single_sender)});
  }
  out.push_back({"redundancy announce", ms(options.timers.announce)});
  out.push_back({"redundancy silent", ms(options.timers.silent)});
  out.push_back({"redundancy dead", ms(options.timers.dead)});
  out.push_back(
      {"redundancy key-source", options.key_source == KeySource::derived ? "derived" : "random"});
  out.push_back({"redundancy evict-in-partition",
                 options.evict_in_partition == EvictInPartition::now ? "now" : "at-merge"});
  out.push_back({"redundancy refresh", ms(options.refresh_after)});
  return out;
}

std::size_t key_octets(dataplane::Suite suite) {
  const auto& shape = dataplane::shape_of(suite);
  return std::size_t{shape.cipher_key} + shape.integrity_key + shape.salt;
}

LineSpec line_spec(std::string text, std::uint8_t suite, Duration lifetime, Duration lead) {
  return {std::move(text), suite, as_ms(lifetime - lead), as_ms(lifetime)};
}

/// The pseudotimes at which a KEK was distributed first and ends, whichever epoch it is of. What
/// the key server remembers are instants of our clock, from which the pseudotime may have been put
/// right since. Empty if it has ended.
struct Span {
  std::uint64_t start_ms, end_ms;
};
std::optional<Span> span_of(const Group& group, const gdoi::KekSpi& kek, TimePoint now) {
  for (const Item* item : group.replica().all(Kind::epoch)) {
    EpochId id{};
    std::copy_n(item->id.key.begin(), id.size(), id.begin());
    const auto epoch = decode_epoch(id, item->value.view());
    const Chain* chain = epoch ? epoch->find(line_id(kek_line)) : nullptr;
    if (chain == nullptr) continue;
    const std::uint64_t now_ms = group.time().now_ms(now);
    std::uint64_t of = std::max(chain->generation, chain->oldest_alive(now_ms));
    for (; of <= chain->newest(now_ms); ++of)
      if (chain->kek_spi(of) == kek) return Span{chain->distributed_ms(of), chain->ends_ms(of)};
  }
  return std::nullopt;
}

/// When the member registered: the pseudotime in its item.
std::uint64_t registered_ms(ByteView value) {
  Reader in(value);
  in.skip(2);  // version, flags
  return in.u64();
}

}  // namespace

Bytes encode_member(const gdoi::Member& member, std::uint64_t now_ms, std::uint64_t era) {
  Writer out;
  const auto identity =
      as_bytes(member.identity).first(std::min(member.identity.size(), identity_size_max));
  out.u8(member_version).u8(member.cohort ? 1 : 0).u64(now_ms).u64(era);
  out.u16(static_cast<std::uint16_t>(identity.size())).bytes(identity);
  write_address(out, member.remote.address);
  out.u16(member.remote.port).u32(static_cast<std::uint32_t>(member.registrations));
  const std::size_t ids = std::min(member.sender_ids.size(), sender_ids_max);
  out.u8(static_cast<std::uint8_t>(ids));
  for (std::size_t i = 0; i < ids; ++i) out.u32(member.sender_ids[i]);
  return out.take();
}

Result<StoredMember> decode_member(ByteView value) {
  Reader in(value);
  StoredMember stored;
  gdoi::Member& member = stored.member;
  if (in.u8() != member_version) return fail(coop_record, "another version of a member");
  member.cohort = (in.u8() & 1) != 0;
  in.skip(8);
  stored.era = in.u64();
  const std::size_t length = in.u16();
  if (length > identity_size_max) return fail(coop_record, "a member's identity is too long");
  const ByteView identity = in.take(length);
  member.identity.assign(identity.begin(), identity.end());
  COHORT_TRY(member.remote.address, read_address(in));
  member.remote.port = in.u16();
  member.registrations = in.u32();
  const std::size_t ids = in.u8();
  if (ids > sender_ids_max) return fail(coop_record, "a member has too many sender ids");
  for (std::size_t i = 0; i < ids && in.ok(); ++i) member.sender_ids.push_back(in.u32());
  if (!in.ok() || !in.empty()) return fail(coop_record, "a member's length is wrong");
  return stored;
}

Authority::Authority(Group& group) : group_(group) {
  group_.observe(this);
}

Authority::~Authority() {
  group_.observe(nullptr);
}

// ---- what the key server hears --------------------------------------------------------------

void Authority::serve(TimePoint now, gdoi::KeyAuthorityClient* client) {
  client_ = client;
  if (client_ == nullptr) return;
  era_ = era();
  for (const Item* item : group_.replica().all(Kind::removed_identity))
    tell_removed(now, item->id, item);
  for (const Item* item : group_.replica().all(Kind::member)) tell_member(now, item->id, item);
  client_->on_plan_changed(now);
}

void Authority::on_keys_changed(TimePoint now) {
  if (client_ == nullptr) return;
  const bool complete = group_.everybody_reachable();
  if (complete && !std::exchange(complete_, complete)) {
    // What was silent here during the partition may have talked to another server.
    for (const Item* item : group_.replica().all(Kind::member)) tell_member(now, item->id, item);
  }
  complete_ = complete;
  client_->on_plan_changed(now);
  // Somebody was excluded: the key server has forgotten all members, also those who have registered
  // since, elsewhere.
  if (const std::uint64_t era = this->era(); std::exchange(era_, era) != era)
    for (const Item* item : group_.replica().all(Kind::member)) tell_member(now, item->id, item);
  if (!group_.epochs_agree()) return;
  for (const ItemKey& id : std::exchange(gone_, {}))
    if (group_.replica().find(id) == nullptr) tell_member(now, id, nullptr);
}

/// What changes when somebody is excluded: who registered in another era has keys of that one only.
std::uint64_t Authority::era() const {
  return group_.epoch() == nullptr ? 0 : Reader(group_.epoch()->purge).u64();
}

void Authority::on_item(TimePoint now, const ItemKey& id, const Item* item) {
  if (client_ == nullptr) return;
  // A member may be gone since an epoch that is still on its way to us ends all registrations: it
  // has to be told of that first.
  if (id.kind == Kind::member && item == nullptr && !group_.epochs_agree())
    gone_.insert(id);
  else if (id.kind == Kind::member)
    tell_member(now, id, item);
  if (id.kind == Kind::removed_identity) tell_removed(now, id, item);
}

void Authority::tell_member(TimePoint now, const ItemKey& id, const Item* item) {
  if (item == nullptr) {
    const auto known = members_.find(id);
    if (known == members_.end()) return;
    client_->on_member_gone(now, known->second.first, known->second.second);
    members_.erase(known);
    return;
  }
  auto stored = decode_member(item->value.view());
  if (!stored || stored->era != era()) return;
  gdoi::Member& member = stored->member;
  member.registered = std::min(now, group_.time().at(registered_ms(item->value.view())));
  members_[id] = {member.identity, member.remote.address};
  client_->on_member(now, member);
}

void Authority::tell_removed(TimePoint now, const ItemKey& id, const Item* item) {
  if (item == nullptr) {
    const auto known = removed_.find(id);
    if (known == removed_.end()) return;
    client_->on_identity_admitted(now, known->second);
    removed_.erase(known);
    return;
  }
  const auto removed = decode_removed(item->value.view());
  if (!removed || removed->identity.empty()) return;
  removed_[id] = removed->identity;
  client_->on_identity_removed(now, removed_[id]);
}

// ---- keys ---------------------------------------------------------------------------------------

Status Authority::set_policy(TimePoint now, const gdoi::GroupPolicy& policy,
                             std::vector<gdoi::KeyLine> lines, Duration kek_lead,
                             ByteView signing_key) {
  const Options& options = group_.options();
  // A successor must be with the members before the old key ends, even if the primary dies just
  // when it should be distributed: until the next one is elected, and for the activation delay.
  const Duration failover = options.timers.dead + options.timers.announce;
  std::vector<LineSpec> specs;
  specs.push_back(line_spec(std::string(kek_line), static_cast<std::uint8_t>(policy.rekey.cipher),
                            policy.rekey.lifetime,
                            std::min<Duration>(kek_lead + failover, policy.rekey.lifetime / 2)));
  std::vector<LineId> ids;
  for (const gdoi::KeyLine& line : lines) {
    gdoi::SaPolicy sa;
    sa.number = line.sa_number;
    sa.suite = line.suite;
    sa.lifetime = line.lifetime;
    sa.replay = line.replay;
    std::string text = tek_line(sa, line.entries);
    ids.push_back(line_id(text));
    specs.push_back(line_spec(std::move(text), static_cast<std::uint8_t>(line.suite), line.lifetime,
                              std::min<Duration>(line.lead + failover, line.lifetime / 2)));
  }
  const std::vector<PolicyEntry> extra = compared_only(policy, lines, kek_lead, options);
  line_ids_ = std::move(ids);
  lines_ = std::move(lines);
  kek_octets_ = crypto::block_size(policy.rekey.cipher) + crypto::key_size(policy.rekey.cipher);
  std::vector<PolicyEntry> entries = canonical(policy);
  // Members check rekeys with one key, whoever registered them.
  const Bytes digest = crypto::digest(crypto::Hash::sha256, {signing_key});
  entries.push_back({std::string(signing_key_entry), to_hex(ByteView(digest).first(16))});
  return group_.set_policy(now, std::move(entries), std::move(specs), policy.sender_id_bits, extra);
}

void Authority::add_teks(const Epoch& epoch, std::uint64_t now_ms, std::uint64_t left_ms,
                         bool in_force, gdoi::KeyPlan& plan) const {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const Chain* chain = epoch.find(line_ids_[i]);
    if (chain == nullptr) continue;
    const std::uint64_t newest = chain->newest(left_ms);
    for (std::uint64_t of = chain->oldest_alive(now_ms); of <= newest; ++of) {
      const bool known = std::any_of(plan.teks.begin(), plan.teks.end(),
                                     [&](const auto& tek) { return tek.spi == chain->spi(of); });
      auto material = chain->key(of, key_octets(lines_[i].suite));
      if (known || !material) continue;  // an unchanged line has the same chain in both epochs
      gdoi::PlannedTek tek;
      tek.line = i;
      tek.spi = chain->spi(of);
      tek.material = std::move(*material);
      tek.made = group_.time().at(chain->distributed_ms(of));
      tek.expires = group_.time().at(chain->ends_ms(of));
      tek.current = in_force && of == newest;
      tek.receive_only = !in_force;
      plan.teks.push_back(std::move(tek));
    }
  }
}

std::optional<gdoi::KeyPlan> Authority::plan(TimePoint now) const {
  const Epoch* epoch = group_.epoch();
  if (epoch == nullptr) return std::nullopt;
  const Chain* kek = epoch->find(line_id(kek_line));
  if (kek == nullptr) return std::nullopt;
  const std::uint64_t now_ms = group_.time().now_ms(now);
  gdoi::KeyPlan plan;
  plan.era = Reader(epoch->purge).u64();
  for (std::uint64_t of = kek->newest(now_ms) + 1; of-- > kek->oldest_alive(now_ms);) {
    auto material = kek->key(of, kek_octets_);
    const auto spi = kek->kek_spi(of);
    if (!material || !spi) continue;
    plan.keks.push_back({*spi, std::move(*material), group_.time().at(kek->distributed_ms(of)),
                         group_.time().at(kek->ends_ms(of))});
  }
  add_teks(*epoch, now_ms, now_ms, true, plan);
  for (const Group::OldEpoch& old : group_.old_epochs())
    add_teks(*old.epoch, now_ms, old.left_ms, false, plan);
  std::stable_sort(plan.teks.begin(), plan.teks.end(), [](const auto& a, const auto& b) {
    return a.current != b.current ? b.current : a.made < b.made;
  });
  return plan;
}

TimePoint Authority::next_change(TimePoint now) const {
  return group_.next_generation(now);
}

std::optional<TimePoint> Authority::kek_end(TimePoint now, const gdoi::KekSpi& kek) const {
  const auto span = span_of(group_, kek, now);
  return span ? std::optional(group_.time().at(span->end_ms)) : std::nullopt;
}

Result<std::vector<std::uint32_t>> Authority::next_seqs(TimePoint now, const gdoi::KekSpi& kek,
                                                        TimePoint kek_made, std::uint32_t last_used,
                                                        std::size_t count) {
  const auto span = span_of(group_, kek, now);
  const std::uint64_t start_ms = span ? span->start_ms : group_.time().now_ms(kek_made);
  COHORT_TRY(std::uint32_t seq, group_.take_seqs(now, kek, last_used, count, start_ms));
  std::vector<std::uint32_t> seqs;
  for (; seqs.size() < count; seq += seq_slots) seqs.push_back(seq);
  return seqs;
}

gdoi::KeyAuthority::SenderIdCount Authority::sender_id_count() const {
  const Group::SidCount count = group_.sid_count();
  return {count.leased - count.left, count.left};
}

Status Authority::exclude(TimePoint now, std::string_view) {
  return group_.exclude(now, EpochCause::eviction);
}

// ---- members ------------------------------------------------------------------------------------

void Authority::member_registered(TimePoint now, const gdoi::Member& member) {
  const ItemKey id = item_of(Kind::member, member.identity, member.remote.address.bytes());
  members_[id] = {member.identity, member.remote.address};
  (void)group_.put(now, id, encode_member(member, group_.time().now_ms(now), era()));
}

void Authority::member_gone(TimePoint now, const gdoi::Member& member, bool silent) {
  if (silent && !group_.everybody_reachable()) return;  // another server may hear it
  const ItemKey id = item_of(Kind::member, member.identity, member.remote.address.bytes());
  members_.erase(id);
  const Item* item = group_.replica().find(id);
  if (item == nullptr) return;
  const auto stored = decode_member(item->value.view());
  // It has registered since, with another key server, while ours heard only now of what ended all
  // registrations of before.
  if (stored && !silent && stored->era == era()) return;
  group_.retract(now, id);  // and may have done so without our knowing
}

Status Authority::identity_removed(TimePoint now, const std::string& identity) {
  const ItemKey id = item_of(Kind::removed_identity, identity);
  removed_[id] = identity;
  return group_.remove_identity(now, id, identity);
}

void Authority::identity_admitted(TimePoint now, const std::string& identity) {
  const ItemKey id = item_of(Kind::removed_identity, identity);
  removed_.erase(id);
  group_.erase(now, id);
}

}  // namespace cohort::coop
