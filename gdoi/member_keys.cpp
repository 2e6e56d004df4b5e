#include "gdoi/member_keys.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using std::chrono::seconds;

constexpr std::size_t retired_max = 4096;
constexpr std::size_t past_seqs_max = 64;

bool names(const MemberEntry& entry, std::uint32_t spi) {
  return std::find(entry.spis.begin(), entry.spis.end(), spi) != entry.spis.end();
}

bool is_followed(const MemberEntry& line, const std::vector<MemberEntry>& entries) {
  return line.acl.permit && std::any_of(entries.begin(), entries.end(), [&](const auto& entry) {
           return entry.acl.permit && !entry.spis.empty() &&
                  contains(entry.acl.selector, line.acl.selector);
         });
}

const AclEntry& acl_of(const std::variant<OfferedSa, OfferedExclusion>& item) {
  if (const auto* sa = std::get_if<OfferedSa>(&item)) return sa->entry;
  return std::get<OfferedExclusion>(item).entry;
}

std::vector<AclEntry> order_of(const OfferedPolicy& policy) {
  std::vector<AclEntry> order;
  for (const auto& item : policy.items) {
    const AclEntry& acl = acl_of(item);
    if (std::find(order.begin(), order.end(), acl) == order.end()) order.push_back(acl);
  }
  return order;
}

bool is_short(const crypto::PublicKey& key) {
  return key.type() == crypto::KeyType::rsa && key.bits() < 2048;
}

bool is_zero(ByteView octets) {
  return std::all_of(octets.begin(), octets.end(), [](std::uint8_t o) { return o == 0; });
}

}  // namespace

bool MemberKek::is_weak() const {
  return is_short(key) || has_weak_algorithm(offer);
}

// ---- taking keys over ---------------------------------------------------------------------------

MemberEntry& MemberKeys::entry_for(std::vector<MemberEntry>& entries, const AclEntry& acl) {
  for (MemberEntry& entry : entries) {
    if (entry.acl == acl) return entry;
  }
  MemberEntry entry;
  entry.acl = acl;
  entries.push_back(std::move(entry));
  return entries.back();
}

/// Reads every TEK that the policy names, so that nothing is half-installed.
Status MemberKeys::add_teks(TimePoint now, const OfferedPolicy& policy, const KdPayload& kd,
                            std::map<std::uint32_t, MemberTek>& added) const {
  for (const auto& item : policy.items) {
    const auto* sa = std::get_if<OfferedSa>(&item);
    if (sa == nullptr || added.contains(sa->spi)) continue;
    MemberTek tek;
    COHORT_TRY(tek.tek, read_tek(*sa, kd));
    tek.tek.send_from = now;
    tek.tek.expires = now + sa->lifetime;
    tek.lifetime = sa->lifetime;
    tek.may_send = sa->may_send;
    tek.may_receive = sa->may_receive;
    tek.replay_window = sa->replay_window;
    tek.time_window = sa->time_window;
    added.emplace(sa->spi, std::move(tek));
  }
  return {};
}

/// The Rekey SA that the policy brings, if it is another than ours. `signer`: the one under which
/// the policy came, whose signature key stays the group's as long as no other is sent.
Result<std::optional<MemberKek>> MemberKeys::read_rekey_sa(TimePoint now,
                                                           const OfferedPolicy& policy,
                                                           const KdPayload& kd,
                                                           const MemberKek* signer) const {
  if (!policy.kek) return std::optional<MemberKek>{};
  std::optional<KekSpi> older;
  if (signer != nullptr) older = signer->kek.spi;
  COHORT_TRY(Kek kek, read_kek(*policy.kek, kd, older));
  if (kek.signature_key_spki.empty()) {
    if (signer == nullptr) return fail(missing_key, "SIG_ALGORITHM_KEY");
    kek.signature_key_spki = signer->kek.signature_key_spki;
  }
  COHORT_TRY(crypto::PublicKey key, crypto::PublicKey::from_spki(kek.signature_key_spki));
  if (key.type() != policy.kek->signature_type) {
    return fail(unsupported_policy, "SIG_ALGORITHM and the key are of two kinds");
  }
  if (is_short(key) && !options_.allow_weak) {
    return fail(weak_rekey_policy, fmt::format("RSA with {} bits", key.bits()));
  }
  kek.expires = now + policy.kek->lifetime;
  MemberKek fresh{std::move(kek), std::move(key), *policy.kek, 0, {}, {}, {}};
  if (signer != nullptr) fresh.form = signer->form;
  return std::optional<MemberKek>(std::move(fresh));
}

/// What the policy says of the Rekey SA that we have.
void MemberKeys::refresh_rekey_sa(TimePoint now, const OfferedKek& offer, std::uint32_t seq) {
  // The PULL and PUSH race, RFC 6407 section 3.3: a SEQ that we are beyond is stale.
  kek_->seq = std::max(kek_->seq, seq);
  kek_->kek.expires = now + offer.lifetime;
  kek_->offer = offer;
}

/// The old one stays a while: the key server may repeat its last rekey under it.
void MemberKeys::replace_rekey_sa(MemberKek fresh, std::uint32_t seq) {
  if (previous_kek_ && previous_kek_->kek.spi == fresh.kek.spi) remember_seq(previous_kek_);
  fresh.seq = seq;
  for (const auto& [spi, last] : past_seqs_)
    if (spi == fresh.kek.spi) fresh.seq = std::max(fresh.seq, last);
  if (kek_) {
    remember_seq(previous_kek_);
    previous_kek_ = std::move(kek_);
  }
  kek_ = std::move(fresh);
}

void MemberKeys::remember_seq(std::optional<MemberKek>& gone) {
  if (!gone) return;
  if (past_seqs_.size() == past_seqs_max) past_seqs_.pop_front();
  past_seqs_.emplace_back(gone->kek.spi, gone->seq);
  gone.reset();
}

Status MemberKeys::install(TimePoint now, const OfferedPolicy& policy, const KdPayload& kd,
                           std::optional<std::uint32_t> seq) {
  std::map<std::uint32_t, MemberTek> fresh;
  COHORT_CHECK(add_teks(now, policy, kd, fresh));
  COHORT_TRY(GrantedSenderIds ids, read_sender_ids(kd));
  if (policy.counter_mode() && ids.ids.empty()) return fail(missing_sender_id);
  const bool same_kek = kek_ && policy.kek && kek_->kek.spi == policy.kek->spi;
  std::optional<MemberKek> fresh_kek;
  if (!same_kek) {
    COHORT_TRY(fresh_kek, read_rekey_sa(now, policy, kd, kek_ ? &*kek_ : nullptr));
  }
  if (same_kek) refresh_rekey_sa(now, *policy.kek, seq.value_or(0));
  if (fresh_kek) replace_rekey_sa(std::move(*fresh_kek), seq.value_or(0));
  if (!policy.kek) remember_seq(kek_);
  // What still comes under an older KEK is older than this registration: a "delete everything"
  // that was on its way would take the new keys.
  if (!same_kek) remember_seq(previous_kek_);

  std::vector<MemberEntry> entries;
  for (const auto& item : policy.items) {
    MemberEntry& entry = entry_for(entries, acl_of(item));
    if (const auto* sa = std::get_if<OfferedSa>(&item)) {
      if (!names(entry, sa->spi)) entry.spis.push_back(sa->spi);
      entry.replay_window = sa->replay_window ? sa->replay_window : entry.replay_window;
    } else {
      entry.exclusion_id = std::get<OfferedExclusion>(item).id;
    }
  }
  activation_delay_ = policy.activation_delay.value_or(seconds{0});
  for (const MemberEntry& entry : entries) {
    // Amid a rekey an entry comes with its old TEK and, last, with the one that is to follow.
    if (entry.spis.size() < 2) continue;
    fresh.at(entry.spis.back()).tek.send_from = now + activation_delay_;
  }
  for (auto& [spi, tek] : fresh) {
    if (const auto known = teks_.find(spi); known != teks_.end()) {
      tek.tek.send_from = std::min(tek.tek.send_from, known->second.tek.send_from);
    }
  }
  keep_unnamed(entries, fresh, same_kek);
  for (const auto& [spi, tek] : teks_) {
    if (!fresh.contains(spi)) retire(tek);
  }
  teks_ = std::move(fresh);
  entries_ = std::move(entries);
  if (!ids.ids.empty()) {
    sender_ids_ = std::move(ids);
    retired_.clear();
  }
  return {};
}

/// TEKs of ours that a registration does not name: others may still send with them, so we receive
/// on them until their end. One that came by a rekey under the same KEK and lives longer than what
/// is offered has overtaken the registration, and stays what it is. The others keep the sender ids
/// that they had: a key server that has lost its state lends the same ids again, for its new keys,
/// and the workers send with the old ones until they have seen the new policy.
void MemberKeys::keep_unnamed(std::vector<MemberEntry>& entries,
                              std::map<std::uint32_t, MemberTek>& fresh, bool same_kek) {
  std::vector<MemberEntry> gone;
  for (const MemberEntry& old : entries_) {
    const auto entry = std::find_if(entries.begin(), entries.end(),
                                    [&](const MemberEntry& e) { return e.acl == old.acl; });
    if (entry == entries.end()) {
      if (is_followed(old, entries)) gone.push_back(old);
      continue;
    }
    TimePoint last_offered = TimePoint::min();
    for (const std::uint32_t spi : entry->spis) {
      last_offered = std::max(last_offered, fresh.at(spi).tek.expires);
    }
    // Nor has it overtaken what was ours after it: lifetimes in messages are whole seconds.
    const auto last_named =
        std::find_if(old.spis.rbegin(), old.spis.rend(), [&](std::uint32_t spi) {
          return names(*entry, spi);
        }).base();
    std::size_t older = 0;
    for (auto at = old.spis.begin(); at != old.spis.end(); ++at) {
      const std::uint32_t spi = *at;
      if (names(*entry, spi)) continue;
      const auto known = teks_.find(spi);
      if (known != teks_.end()) fresh.try_emplace(spi, std::move(known->second));
      const auto kept = fresh.find(spi);
      if (kept == fresh.end()) continue;
      if (same_kek && at >= last_named && kept->second.tek.expires > last_offered) {
        entry->spis.push_back(spi);
        continue;
      }
      kept->second.receive_only_now = true;
      if (!kept->second.own_sender_ids) kept->second.own_sender_ids = sender_ids_;
      entry->spis.insert(entry->spis.begin() + static_cast<std::ptrdiff_t>(older++), spi);
    }
  }
  for (MemberEntry& line : gone) keep_line(std::move(line), entries, fresh);
}

/// A line that the registration does not have, since it was taken away, or the server has not heard
/// of it: others may still send with its TEKs, and what it protected is protected by another now.
/// It goes last, where no packet of ours meets it, and with its keys.
void MemberKeys::keep_line(MemberEntry line, std::vector<MemberEntry>& entries,
                           std::map<std::uint32_t, MemberTek>& fresh) {
  std::erase_if(line.spis, [&](std::uint32_t spi) {
    const auto known = teks_.find(spi);
    if (known == teks_.end()) return true;
    const auto [kept, ours] = fresh.try_emplace(spi, std::move(known->second));
    MemberTek& tek = kept->second;
    if (ours) {
      tek.receive_only_now = true;
      tek.delete_at = std::min(tek.delete_at.value_or(never), tek.tek.expires);
      if (!tek.own_sender_ids) tek.own_sender_ids = sender_ids_;
    }
    return !tek.deleted();
  });
  if (!line.spis.empty()) entries.push_back(std::move(line));
}

// ---- rekey --------------------------------------------------------------------------------------

/// Entries that a rekey names keep their places if their order is the one that we have; else the
/// rekey brings a changed policy, whose entries go before the older ones.
void MemberKeys::reorder(const OfferedPolicy& policy) {
  const std::vector<AclEntry> order = order_of(policy);
  std::vector<AclEntry> ours;
  for (const MemberEntry& entry : entries_) {
    if (std::find(order.begin(), order.end(), entry.acl) != order.end()) ours.push_back(entry.acl);
  }
  if (ours == order) return;
  std::vector<MemberEntry> sorted;
  for (const AclEntry& acl : order) {
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const MemberEntry& entry) { return entry.acl == acl; });
    if (found == entries_.end()) {
      sorted.push_back({acl, 0, {}, {}});
    } else {
      sorted.push_back(std::move(*found));
      entries_.erase(found);
    }
  }
  for (MemberEntry& entry : entries_) sorted.push_back(std::move(entry));
  entries_ = std::move(sorted);
}

bool MemberKeys::deletes_kek(const PushContent& content) const {
  for (const DeletePayload& del : content.deletes) {
    if (del.protocol != protocol_kek) continue;
    for (const Bytes& spi : del.spis) {
      if (kek_ && (is_zero(spi) || equal(spi, kek_->kek.spi))) return true;
    }
  }
  return false;
}

const MemberKek* MemberKeys::rekey_sa(const KekSpi& spi) const {
  for (const auto* kek : {&kek_, &previous_kek_}) {
    if (*kek && (*kek)->kek.spi == spi) return &**kek;
  }
  return nullptr;
}

Result<MemberKeys::Change> MemberKeys::update(TimePoint now,
                                              const std::optional<OfferedPolicy>& policy,
                                              const PushContent& content, const KekSpi& under) {
  Change change;
  std::map<std::uint32_t, MemberTek> added;
  if (policy) COHORT_CHECK(add_teks(now, *policy, *content.kd, added));
  change.kek_deleted = deletes_kek(content);
  const MemberKek* signer = rekey_sa(under);
  // A Delete beside it is for the one before: a message that deletes the KEK may bring another.
  const bool same_kek =
      policy && policy->kek && kek_ && !change.kek_deleted && kek_->kek.spi == policy->kek->spi;
  std::optional<MemberKek> fresh_kek;
  if (policy && !same_kek) {
    COHORT_TRY(fresh_kek, read_rekey_sa(now, *policy, *content.kd, signer));
  }
  // From here on nothing fails, and the whole message counts.
  // RFC 5374 section 4.2.1: a Delete beside new policy takes effect after the deactivation delay.
  const TimePoint when =
      now + (policy ? policy->deactivation_delay.value_or(seconds{0}) : seconds{0});
  for (const DeletePayload& del : content.deletes) {
    if (del.protocol == protocol_exclusion) delete_exclusions(del);
    if (del.protocol == protocol_esp) delete_teks(when, now, del, change);
  }
  if (change.kek_deleted) {
    remember_seq(kek_);
    remember_seq(previous_kek_);
  }
  change.all_teks_deleted = change.deleted_teks != 0 && teks_.empty();
  if (!policy) return change;
  if (same_kek) refresh_rekey_sa(now, *policy->kek, 0);
  change.new_kek = fresh_kek.has_value();
  if (fresh_kek) replace_rekey_sa(std::move(*fresh_kek), 0);
  if (policy->activation_delay) activation_delay_ = *policy->activation_delay;
  if (policy->group_time_ms) clock_.rekey_said(now, *policy->group_time_ms);
  reorder(*policy);
  for (const auto& item : policy->items) {
    MemberEntry& entry = entry_for(entries_, acl_of(item));
    const auto* sa = std::get_if<OfferedSa>(&item);
    if (sa == nullptr) {
      entry.exclusion_id = std::get<OfferedExclusion>(item).id;
      continue;
    }
    if (sa->replay_window) entry.replay_window = sa->replay_window;
    added.at(sa->spi).replay_window = entry.replay_window;
    if (const auto had = teks_.find(sa->spi); had != teks_.end() && had->second.deleted())
      drop(sa->spi);  // it is only kept for reception
    if (!teks_.contains(sa->spi)) {
      const bool spent = !holds_sender_id() || !may_count_anew(sa->spi);
      if (dataplane::shape_of(sa->suite).aead && sa->may_send && spent) {
        change.lacks_sender_id = true;  // RFC 6407 section 4.4: must not be installed
        continue;
      }
      auto& fresh = added.at(sa->spi);
      fresh.tek.send_from = now + activation_delay_;
      teks_.emplace(sa->spi, std::move(fresh));
      ++change.new_teks;
    }
    MemberTek& tek = teks_.at(sa->spi);
    if (sa->replay_window) tek.replay_window = sa->replay_window;
    // Lifetimes are relative: of several transmissions the one that was delayed least is right.
    tek.tek.expires = std::min(tek.tek.expires, now + Duration(sa->lifetime));
    if (!names(entry, sa->spi)) entry.spis.push_back(sa->spi);
  }
  return change;
}

/// Whatever may still bring it back, these sender ids have been used with it.
void MemberKeys::retire(const MemberTek& tek) {
  if (!dataplane::shape_of(tek.tek.suite).aead || retired_.size() == retired_max) return;
  retired_.insert(tek.tek.spi);
}

/// Whether our sender ids have not been used with it yet, as far as we remember.
bool MemberKeys::may_count_anew(std::uint32_t spi) const {
  return retired_.size() < retired_max && !retired_.contains(spi);
}

void MemberKeys::drop(std::uint32_t spi) {
  if (const auto tek = teks_.find(spi); tek != teks_.end()) retire(tek->second);
  teks_.erase(spi);
  for (MemberEntry& entry : entries_) std::erase(entry.spis, spi);
}

/// An entry whose last TEK is deleted goes with it, unless nothing is left at all: then the group
/// starts over, and until we have registered again its traffic is dropped, not sent in clear.
void MemberKeys::delete_teks(TimePoint when, TimePoint now, const DeletePayload& del,
                             Change& change) {
  const bool starts_over = change.kek_deleted || std::any_of(del.spis.begin(), del.spis.end(),
                                                             [](ByteView o) { return is_zero(o); });
  std::vector<std::uint32_t> gone;
  for (auto& [own_spi, tek] : teks_) {
    const std::uint32_t spi = own_spi;  // a lambda can't capture a structured binding
    const bool meant = std::any_of(del.spis.begin(), del.spis.end(), [&](const Bytes& octets) {
      return is_zero(octets) || Reader(octets).u32() == spi;
    });
    if (!meant) continue;
    ++change.deleted_teks;
    if (starts_over || !tek.deleted()) tek.delete_at = when;
    if (when <= now) gone.push_back(spi);
  }
  if (gone.empty()) return;
  if (!starts_over) keep_for_reception(now, gone);
  (void)expire(now);
}

/// The others hear of a Delete earlier or later than we do, and until then they send with the keys
/// that it names: a line that was in front of the one that follows it keeps its place so long. If
/// we have another key for all that such a key has protected, we stop sending with it at once, and
/// receive on it for the activation delay, which is what a rekey may take to reach everybody.
void MemberKeys::keep_for_reception(TimePoint now, const std::vector<std::uint32_t>& spis) {
  for (const std::uint32_t spi : spis) {
    MemberTek& tek = teks_.at(spi);
    if (!tek.deleted() && !tek.own_sender_ids) tek.own_sender_ids = sender_ids_;
    tek.receive_only_now = true;
  }
  for (const std::uint32_t spi : spis) {
    const bool followed = std::all_of(
        entries_.begin(), entries_.end(),
        [&](const MemberEntry& entry) { return !names(entry, spi) || send_spi(entry, now) != 0; });
    MemberTek& tek = teks_.at(spi);
    if (!followed) tek.delete_at = now;
    if (followed && *tek.delete_at <= now) tek.delete_at = now + activation_delay_;
  }
  // With nothing left to send with, the group starts over.
  if (std::any_of(teks_.begin(), teks_.end(), [](const auto& t) { return !t.second.deleted(); }))
    return;
  for (auto& [spi, tek] : teks_) tek.delete_at = now;
}

void MemberKeys::delete_exclusions(const DeletePayload& del) {
  std::erase_if(entries_, [&del](const MemberEntry& entry) {
    if (entry.acl.permit) return false;
    return std::any_of(del.spis.begin(), del.spis.end(), [&](const Bytes& octets) {
      return is_zero(octets) || Reader(octets).u32() == entry.exclusion_id;
    });
  });
}

bool MemberKeys::expire(TimePoint now) {
  std::vector<std::uint32_t> ended, deleted;
  for (const auto& [spi, tek] : teks_) {
    if (tek.delete_at && *tek.delete_at <= now) {
      deleted.push_back(spi);
    } else if (tek.tek.expires <= now) {
      ended.push_back(spi);
    }
  }
  for (const std::uint32_t spi : ended) drop(spi);
  std::vector<AclEntry> emptied;
  for (const std::uint32_t spi : deleted) {
    for (const MemberEntry& entry : entries_) {
      if (names(entry, spi)) emptied.push_back(entry.acl);
    }
    drop(spi);
  }
  if (!teks_.empty()) {
    std::erase_if(entries_, [&](const MemberEntry& entry) {
      return entry.spis.empty() &&
             std::find(emptied.begin(), emptied.end(), entry.acl) != emptied.end();
    });
  }
  bool kek_ended = false;
  for (auto* kek : {&kek_, &previous_kek_}) {
    if (!*kek || (*kek)->kek.expires > now) continue;
    remember_seq(*kek);
    kek_ended = true;
  }
  return kek_ended || !ended.empty() || !deleted.empty();
}

void MemberKeys::wipe() {
  entries_.clear();
  teks_.clear();
  remember_seq(kek_);
  remember_seq(previous_kek_);
  sender_ids_ = {};
  retired_.clear();
  clock_ = {};
}

MemberKek* MemberKeys::kek_of(const ike::Header& header) {
  for (auto* kek : {&kek_, &previous_kek_}) {
    if (!*kek) continue;
    const KekSpi& spi = (*kek)->kek.spi;
    if (std::equal(header.initiator.begin(), header.initiator.end(), spi.begin()) &&
        std::equal(header.responder.begin(), header.responder.end(), spi.begin() + 8)) {
      return &**kek;
    }
  }
  return nullptr;
}

}  // namespace cohort::gdoi
