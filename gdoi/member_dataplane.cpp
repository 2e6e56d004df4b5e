#include <algorithm>
#include <fmt/core.h>

#include "gdoi/events.hpp"
#include "gdoi/member_group.hpp"
#include "gdoi/reasons.hpp"

// A member's keys and its dataplane; and what it shows.
namespace cohort::gdoi {
namespace {

using namespace std::chrono;

constexpr Duration install_retry = seconds{1};

seconds whole(Duration duration) {
  return std::max(duration_cast<seconds>(duration), seconds{0});
}

}  // namespace

void MemberGroup::install(TimePoint now) {
  install_retry_at_ = never;
  keys_next_ = keys_.next_change(now);
  std::set<std::uint32_t> spis;
  for (const auto& [spi, tek] : keys_.teks()) spis.insert(spi);
  unknown_spis_.follow(std::move(spis));
  const Status applied = world_.dataplane.apply(options_.port_pair, keys_.snapshot(now));
  if (applied) return;
  report(events::gm_dataplane_failed, {{"error", applied.error().text()}});
  install_retry_at_ = now + install_retry;
}

void MemberGroup::on_keys_timer(TimePoint now) {
  if (keys_next_ > now && install_retry_at_ > now) return;
  const bool had_kek = keys_.kek().has_value();
  const std::size_t before = keys_.teks().size();
  if (keys_.expire(now)) {
    if (keys_.teks().size() < before) {
      report(events::gm_sa_expired, {{"teks", fmt::format("{}", before - keys_.teks().size())}});
    }
    if (had_kek && !keys_.kek() && state_ == MemberState::registered) {
      reregister_at_ = now;  // no rekey can reach us any more
    }
  } else if (install_retry_at_ > now) {
    report(events::gm_sa_activated);
  }
  install(now);
  if (had_keys_ && !keys_.usable(now) && state_ != MemberState::stopped) {
    had_keys_ = false;
    report(events::gm_no_keys);
    if (state_ == MemberState::registered) reregister_at_ = now;
  }
}

/// Counters that near their end: new sender ids come with a registration (RFC 6407 section
/// 5.6.4.3). For suites without them only a rekey helps, so it is reported once.
void MemberGroup::look_at_usage(TimePoint now) {
  usage_at_ = now + options_.usage_poll;
  const dataplane::Usage usage = world_.dataplane.usage(options_.port_pair);
  look_at_unknown_spis(now, usage);
  look_at_time(now, usage);
  bool again = false;
  for (const dataplane::SaUsage& sa : usage.sas) {
    const auto tek = keys_.teks().find(sa.spi);
    if (tek == keys_.teks().end() || sa.exhausted_permille < options_.exhausted_permille) {
      exhausted_.erase(sa.spi);
      continue;
    }
    if (!exhausted_.insert(sa.spi).second) continue;  // acted upon; wait until it shows
    again = again || dataplane::shape_of(tek->second.tek.suite).aead;
    report(events::gm_re_register,
           {{"why", "a traffic key is nearly used up"}, {"spi", fmt::format("0x{:08x}", sa.spi)}});
  }
  if (again && state_ == MemberState::registered) reregister_at_ = now;
}

/// Somebody of the group sends with a key that we don't have: a rekey did not reach us, or we were
/// taken off the list. Without this we would notice shortly before our keys end.
void MemberGroup::look_at_unknown_spis(TimePoint now, const dataplane::Usage& usage) {
  std::uint64_t count = 0;
  for (const dataplane::NamedCounter& drop : usage.drops) {
    if (drop.name == "unknown_spi") count = drop.value;
  }
  if (!unknown_spis_.look(now, world_.random, usage.unknown_spi, count)) return;
  report(events::gm_unknown_spi, {{"spi", fmt::format("0x{:08x}", usage.unknown_spi)}});
}

void MemberGroup::follow_unknown_spi(TimePoint now) {
  const std::string why = fmt::format("unknown SPI 0x{:08x}", unknown_spis_.spi());
  if (!unknown_spis_.still_unknown() || state_ != MemberState::registered) return;
  ++counters_.unknown_spi;
  register_now(now, why);
}

void MemberGroup::look_at_time(TimePoint now, const dataplane::Usage& usage) {
  bool doubtful = false;
  for (const dataplane::SaUsage& sa : usage.sas) {
    const auto tek = keys_.teks().find(sa.spi);
    if (tek == keys_.teks().end() || !tek->second.time_window) continue;
    doubtful = time_doubt_.look(sa, *tek->second.time_window) || doubtful;
  }
  if (time_doubt_.plan(now, world_.random, doubtful)) report(events::gm_time_doubted);
}

void MemberGroup::ask_for_time(TimePoint now) {
  time_doubt_.asked();
  if (state_ != MemberState::registered) return;
  ++counters_.time_asked;
  register_now(now, "the group's time is in doubt");
}

void MemberGroup::follow_multicast() {
  std::optional<IpAddress> wanted;
  if (keys_.kek() && keys_.kek()->offer.transport == RekeyTransport::multicast) {
    wanted = keys_.kek()->offer.destination;
  }
  if (wanted == joined_) return;
  if (joined_) world_.outbox.leave_multicast(*joined_, local_.address);
  if (wanted) world_.outbox.join_multicast(*wanted, local_.address);
  joined_ = wanted;
}

// ---- status -------------------------------------------------------------------------------------

std::string_view name_of(MemberState state) {
  switch (state) {
    case MemberState::stopped:
      return "Not registered";
    case MemberState::connecting:
      return "Registering (phase 1)";
    case MemberState::requesting:
      return "Registering (policy)";
    case MemberState::proving:
      return "Registering (keys)";
    case MemberState::registered:
      return "Registered";
    case MemberState::waiting:
      return "Waiting to register";
  }
  return "";
}

std::vector<GmTekStatus> MemberGroup::tek_status(TimePoint now) const {
  std::vector<GmTekStatus> out;
  for (const dataplane::Sa& sa : keys_.snapshot(now).sas) {
    const MemberTek& tek = keys_.teks().at(sa.spi);
    GmTekStatus item;
    item.spi = sa.spi;
    item.suite = sa.suite;
    item.transform = transform_text(sa.suite);
    item.remaining = whole(tek.tek.expires - now);
    item.replay = sa.replay;
    item.replay_window = sa.replay_window;
    item.cipher_key_octets = static_cast<unsigned>(sa.cipher_key.size());
    item.integrity_key_octets = static_cast<unsigned>(sa.integrity_key.size());
    item.sender_ids = sa.sender_ids;
    for (const MemberEntry& entry : keys_.entries()) {
      const bool ours = std::find(entry.spis.begin(), entry.spis.end(), sa.spi) != entry.spis.end();
      if (!ours) continue;
      item.acl.push_back(entry.acl.text());
      item.sending = item.sending || keys_.send_spi(entry, now) == sa.spi;
    }
    out.push_back(std::move(item));
  }
  return out;
}

/// Empty unless some SA goes by time.
std::optional<GmTimeStatus> MemberGroup::time_status(TimePoint now) const {
  const bool by_time = std::any_of(keys_.teks().begin(), keys_.teks().end(), [](const auto& tek) {
    return tek.second.time_window.has_value();
  });
  if (!by_time) return std::nullopt;
  GmTimeStatus out;
  out.group_time_ms = ms_of(now) + keys_.clock().offset_ms();
  out.told_ago = whole(now - keys_.clock().told());
  out.correction_ms = keys_.clock().correction_ms();
  for (const dataplane::SaUsage& sa : world_.dataplane.usage(options_.port_pair).sas)
    if (sa.time_skew_ms) out.skew_ms = sa.time_skew_ms;
  return out;
}

GroupMemberStatus MemberGroup::status(TimePoint now) const {
  GroupMemberStatus out;
  out.name = options_.group_name;
  out.id = options_.id;
  out.servers = options_.servers;
  out.port_pair = options_.port_pair;
  out.state = state_;
  out.registered = keys_.usable(now);
  out.local = local_;
  out.remote = remote_;
  out.registered_with = registered_with_;
  if (reregister_at_ != never) out.reregisters_in = whole(reregister_at_ - now);
  out.registrations_attempted = counters_.attempted;
  out.registrations_succeeded = counters_.succeeded;
  out.last_rekey_from = last_rekey_from_;
  out.last_rekey_seq = last_rekey_seq_;
  if (last_rekey_at_) out.last_rekey_ago = whole(now - *last_rekey_at_);
  out.rekeys_received = counters_.rekeys;
  out.unicast_rekeys_received = counters_.unicast_rekeys;
  out.rekey_acks_sent = counters_.acks;
  out.rekeys_since_registration = counters_.since_registration;
  out.rekeys_refused = counters_.refused;
  out.pfs_rekeys = counters_.pfs_rekeys;
  out.unknown_spi_registrations = counters_.unknown_spi;
  out.unknown_spi_postponed = unknown_spis_.postponed();
  out.time_registrations = counters_.time_asked;
  out.last_failure = last_failure_;
  out.fail_close = options_.fail_close;
  out.fail_close_revert = options_.fail_close && options_.fail_close_revert;
  out.dp_error_monitoring = options_.unknown_spi_wait > std::chrono::milliseconds{0};
  out.unknown_spi = world_.dataplane.usage(options_.port_pair).unknown_spi;
  if (!options_.allow_weak) {
    out.allowed_rekey_cipher = "any AES";
    out.allowed_rekey_hash = "any SHA-2";
  }
  if (!options_.accepted_suites.empty()) {
    out.allowed_transforms.clear();
    for (const dataplane::Suite suite : options_.accepted_suites) {
      out.allowed_transforms +=
          (out.allowed_transforms.empty() ? "" : ", ") + transform_text(suite);
    }
  }
  bool v4 = keys_.entries().empty(), v6 = false;
  for (const MemberEntry& entry : keys_.entries()) {
    out.acl.push_back(entry.acl.text());
    (entry.acl.selector.source.address.is_v4() ? v4 : v6) = true;
  }
  out.crypto_path = v4 && v6 ? "ipv4, ipv6" : v6 ? "ipv6" : "ipv4";
  out.key_management_path = local_.address.is_v4() ? "ipv4" : "ipv6";
  for (const AclEntry& entry : options_.local_exclusions) out.local_acl.push_back(entry.text());
  if (const auto& kek = keys_.kek()) {
    out.kek = GmKekStatus{kek->kek.spi,
                          kek->offer.transport,
                          whole(kek->kek.expires - now),
                          kek->kek.cipher,
                          kek->kek.signature_hash,
                          kek->key.bits(),
                          kek->seq,
                          kek->offer.acknowledge.has_value()};
  }
  out.teks = tek_status(now);
  out.time = time_status(now);
  return out;
}

}  // namespace cohort::gdoi
