#include "gdoi/member_group.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "controlplane/ike/reasons.hpp"
#include "gdoi/events.hpp"
#include "gdoi/member_claim.hpp"
#include "gdoi/reasons.hpp"

// Registration: which server, phase 1, GROUPKEY-PULL, what to do when it fails.
namespace cohort::gdoi {
namespace {

using namespace std::chrono;

constexpr unsigned tries_on_reused_phase1 = 2;  // it may be dead at the other end
constexpr Duration attempt_limit_min = seconds{3};
constexpr Duration pause = milliseconds{10};             // between attempts, so that none can spin
constexpr Duration overtaken_pause = milliseconds{200};  // the longest first one; it doubles
constexpr unsigned overtaken_max = 6;
constexpr Duration credentials_poll = seconds{1};
constexpr std::size_t foreign_nonce = 20;  // octets; no claim has this length

/// Errors that another copy of the message could not have.
bool is_final(const Error& error) {
  return !error.is(hash_mismatch) && !error.is(ike::bad_header) && !error.is(wrong_message) &&
         !error.is(ike::bad_length) && !error.is(ike::truncated_message);
}

}  // namespace

MemberGroup::MemberGroup(World& world, ike::Isakmp& isakmp, GroupMemberOptions options)
    : world_(world),
      isakmp_(isakmp),
      options_(std::move(options)),
      keys_(options_),
      unknown_spis_(options_.unknown_spi_wait, options_.unknown_spi_wait_max),
      time_doubt_(options_.unknown_spi_wait, options_.unknown_spi_wait_max) {}

void MemberGroup::report(const EventKind& kind,
                         std::vector<std::pair<std::string_view, std::string>> fields) const {
  fields.insert(fields.begin(), {"group", options_.group_name});
  world_.outbox.report({&kind, std::move(fields)});
}

void MemberGroup::advance(MemberEvent event) {
  if (const auto next = member_next(state_, event)) state_ = *next;
}

Status MemberGroup::start(TimePoint now) {
  if (options_.servers.empty()) return fail(bad_group_policy, "a member needs a key server");
  install(now);
  backoff_ = options_.registration_retry_initial;
  advance(MemberEvent::start);
  attempt_at_ = now;
  return {};
}

void MemberGroup::stop(TimePoint now) {
  advance(MemberEvent::stop);
  attempt_ = {};
  attempt_at_ = reregister_at_ = usage_at_ = never;
  keys_.wipe();
  install(now);
  follow_multicast();
  report(events::gm_unregister);
}

void MemberGroup::register_now(TimePoint now, std::string_view why) {
  if (state_ == MemberState::stopped) return;
  report(events::gm_re_register, {{"why", std::string(why)}});
  advance(MemberEvent::start);
  attempt_ = {};
  server_ = failed_in_row_ = 0;
  reregister_at_ = never;
  attempt_at_ = now;
}

// ---- attempts -----------------------------------------------------------------------------------

/// While keys run out each server gets a share of what is left, so that all are tried in time.
Duration MemberGroup::attempt_limit(TimePoint now) const {
  const Duration limit = options_.phase1_timeout;
  const TimePoint end = keys_.end();
  if (end == never || end <= now) return limit;
  const auto share = (end - now) / static_cast<std::int64_t>(options_.servers.size() + 1);
  return std::clamp<Duration>(share, std::min(attempt_limit_min, limit), limit);
}

/// A machine that is being set up: it asks as soon as it is enrolled, and until then no server is
/// to blame. Once it was registered, missing credentials are a failure like others.
bool MemberGroup::lacks_credentials() const {
  return counters_.succeeded == 0 &&
         std::none_of(options_.servers.begin(), options_.servers.end(),
                      [&](const Endpoint& server) { return isakmp_.can_initiate(server); });
}

void MemberGroup::wait_for_credentials(TimePoint now) {
  if (!awaits_credentials_) report(events::gm_awaits_credentials);
  awaits_credentials_ = true;
  last_failure_ = Error(ike::no_usable_policy).text();
  advance(MemberEvent::all_failed);
  attempt_at_ = now + credentials_poll;
}

void MemberGroup::begin_attempt(TimePoint now) {
  attempt_at_ = never;
  attempt_ = {};
  if (lacks_credentials()) return wait_for_credentials(now);
  awaits_credentials_ = false;
  const Endpoint& server = options_.servers[server_];
  ++counters_.attempted;
  report(events::gm_regster, {{"server", server.text()}});
  const ike::Phase1Id id = isakmp_.initiate(now, server);
  attempt_.phase1 = id;
  attempt_.give_up_at = now + attempt_limit(now);
  if (const ike::Phase1Info* info = isakmp_.find(id)) begin_pull(now, *info, true);
}

void MemberGroup::on_phase1_established(TimePoint now, const ike::Phase1Info& info) {
  if (state_ != MemberState::connecting || attempt_.phase1 != info.id || attempt_.pull) return;
  begin_pull(now, info, false);
}

void MemberGroup::begin_pull(TimePoint now, const ike::Phase1Info& info, bool reused) {
  std::uint32_t message_id = 0;
  while (message_id == 0) message_id = world_.random.u32();
  auto exchange = isakmp_.begin_exchange(info.id, message_id);
  auto group = group_id_to_wire(options_.id);
  if (!exchange || !group) {
    fail_attempt(now, exchange ? group.error() : exchange.error());
    return;
  }
  const bool starts_anew = keys_.teks().empty();
  attempt_.pull.emplace(std::move(*exchange), options_.private_use
                                                  ? make_member_nonce(world_.random, starts_anew)
                                                  : world_.random.bytes(foreign_nonce));
  auto message = attempt_.pull->request(*group);
  if (!message) {
    fail_attempt(now, message.error());
    return;
  }
  advance(MemberEvent::phase1_up);
  attempt_.reused = reused;
  attempt_.asked = now;
  attempt_.tries_left = reused ? std::min(tries_on_reused_phase1, options_.pull_retransmit_tries)
                               : options_.pull_retransmit_tries;
  send_pull(now, std::move(*message));
}

void MemberGroup::send_pull(TimePoint now, Bytes message) {
  attempt_.message = std::move(message);
  attempt_.interval = options_.pull_retransmit_initial;
  attempt_.resend_at = now + attempt_.interval;
  attempt_.give_up_at = never;  // the retransmissions decide from here on
  isakmp_.send(*attempt_.phase1, attempt_.message);
  isakmp_.expect_answer(now, *attempt_.phase1);
}

void MemberGroup::resend_or_give_up(TimePoint now) {
  if (attempt_.give_up_at <= now) {
    fail_attempt(now, Error(pull_timeout, "phase 1"));
    return;
  }
  if (attempt_.resend_at > now) return;
  if (attempt_.tries_left == 0) {
    const auto phase1 = attempt_.phase1;
    if (attempt_.reused) {
      // The other end may have forgotten this phase 1: the same server again, over a new one.
      attempt_ = {};
      advance(MemberEvent::server_failed);
      attempt_at_ = now + pause;
    } else {
      fail_attempt(now, Error(pull_timeout, "GROUPKEY-PULL"));
    }
    if (phase1) isakmp_.close(now, *phase1, pull_timeout);
    return;
  }
  --attempt_.tries_left;
  attempt_.interval *= 2;
  attempt_.resend_at = now + attempt_.interval;
  isakmp_.send(*attempt_.phase1, attempt_.message);
}

/// On to the next server; after the last one, back off. Nothing is started from here, since this
/// may be inside a call of Isakmp: the timer does.
void MemberGroup::fail_attempt(TimePoint now, const Error& why) {
  const Endpoint& server = options_.servers[server_];
  attempt_ = {};
  last_failure_ = fmt::format("{}: {}", server.text(), why.text());
  report(events::gm_regs_failed, {{"server", server.text()}, {"reason", why.text()}});
  server_ = (server_ + 1) % options_.servers.size();
  if (++failed_in_row_ < options_.servers.size()) {
    advance(MemberEvent::server_failed);
    attempt_at_ = now + pause;
    return;
  }
  advance(MemberEvent::all_failed);
  failed_in_row_ = server_ = 0;
  const auto jitter = static_cast<std::int64_t>(
      world_.random.below(static_cast<std::uint64_t>(backoff_.count()) / 2 + 1));
  attempt_at_ = now + backoff_ + Duration(jitter);
  backoff_ = std::min<Duration>(backoff_ * 2, options_.registration_retry_max);
}

void MemberGroup::on_phase1_closed(TimePoint now, ike::Phase1Id id, const Error& why) {
  if (attempt_.phase1 == id) fail_attempt(now, why);
}

void MemberGroup::on_notify(TimePoint now, const ike::Phase1Info& info, ike::NotifyType type,
                            ByteView data) {
  constexpr std::uint16_t first_status_type = 16384;  // RFC 2408 section 3.14.1
  const bool pulling = state_ == MemberState::requesting || state_ == MemberState::proving;
  if (!pulling || attempt_.phase1 != info.id) return;
  if (static_cast<std::uint16_t>(type) >= first_status_type) return;
  std::string name;  // ours send the reason's name; from others it could be anything
  for (const std::uint8_t c : data.first(std::min<std::size_t>(data.size(), 64))) {
    if ((c >= 'a' && c <= 'z') || c == '_') name.push_back(static_cast<char>(c));
  }
  if (name == stale_offer.name || name == sender_ids_exhausted.name) {
    ask_again(now, Error(refused_by_server, name));
    return;
  }
  fail_attempt(now, Error(refused_by_server, fmt::format("{} {}", ike::name_of(type), name)));
}

/// The group changed while we asked: the same server will answer a new question. So will it to the
/// others whom that befell at the same moment, hence the random part; and if it goes on, it isn't
/// that.
void MemberGroup::ask_again(TimePoint now, const Error& why) {
  if (overtaken_ == overtaken_max) {
    overtaken_ = 0;
    fail_attempt(now, why);
    return;
  }
  const Duration longest = overtaken_pause * (1u << overtaken_++);
  attempt_ = {};
  advance(MemberEvent::server_failed);
  const auto jitter = world_.random.below(static_cast<std::uint64_t>(longest.count()) / 2 + 1);
  attempt_at_ = now + longest / 2 + Duration(static_cast<std::int64_t>(jitter));
}

// ---- GROUPKEY-PULL ------------------------------------------------------------------------------

bool MemberGroup::on_pull(TimePoint now, const ike::Phase1Info& info, const ike::Header& header,
                          const Datagram& datagram) {
  if (!attempt_.pull || attempt_.phase1 != info.id ||
      attempt_.pull->message_id() != header.message_id) {
    return false;
  }
  if (attempt_.pull->is_repeated(datagram.payload)) return true;
  if (state_ == MemberState::requesting) {
    take_offer(now, datagram);
  } else if (state_ == MemberState::proving) {
    take_keys(now, info, datagram);
  }
  return true;
}

/// A message that can't be used: perhaps the true one is still to come, perhaps it was that.
void MemberGroup::unreadable(TimePoint now, const Error& why) {
  world_.outbox.refuse({why, "gdoi_pull", options_.servers[server_].text()});
  if (is_final(why)) reject(now, why);
}

/// RFC 6407 section 3.3: Delete for the phase 1, then it is torn down.
void MemberGroup::reject(TimePoint now, const Error& why) {
  report(events::gm_rejecting_sa_payload,
         {{"server", options_.servers[server_].text()}, {"reason", why.text()}});
  const auto phase1 = attempt_.phase1;
  fail_attempt(now, why);
  if (phase1) isakmp_.close(now, *phase1, why.reason());
}

void MemberGroup::take_offer(TimePoint now, const Datagram& datagram) {
  auto offer = attempt_.pull->read_offer(datagram.payload);
  if (!offer) {
    unreadable(now, offer.error());
    return;
  }
  isakmp_.heard(now, *attempt_.phase1);
  auto policy = read_policy(*offer, options_);
  if (!policy) {
    reject(now, policy.error());
    return;
  }
  // Of a late answer nobody knows when it was given: a fresh one tells the group's time better.
  if (const Duration trip = now - attempt_.asked;
      trip > policy->time_tolerance() && overtaken_ < overtaken_max) {
    ask_again(now, Error(time_uncertain, fmt::format("{} ms", ms_of(now) - ms_of(attempt_.asked))));
    return;
  }
  std::optional<std::uint16_t> sender_ids;
  if (policy->counter_mode() && options_.sender_ids > 1) {
    sender_ids = static_cast<std::uint16_t>(std::min(options_.sender_ids, 65535u));
  }
  auto message = attempt_.pull->prove(sender_ids);
  if (!message) {
    fail_attempt(now, message.error());
    return;
  }
  attempt_.offer = std::move(*policy);
  attempt_.offered = now;
  attempt_.tries_left = options_.pull_retransmit_tries;
  advance(MemberEvent::offer_accepted);
  send_pull(now, std::move(*message));
}

void MemberGroup::take_keys(TimePoint now, const ike::Phase1Info& info, const Datagram& datagram) {
  auto keys = attempt_.pull->read_keys(datagram.payload);
  if (!keys) {
    unreadable(now, keys.error());
    return;
  }
  isakmp_.heard(now, info.id);
  // It would take from us what a rekey has brought since it was made, and bring back what was
  // deleted. SEQ does not tell: one of several key servers need not know the last that was used.
  if (attempt_.overtaken && overtaken_ < overtaken_max) {
    ask_again(now, Error(stale_offer, "a rekey came in between"));
    return;
  }
  if (const Status taken = keys_.install(now, *attempt_.offer, keys->kd, keys->seq); !taken) {
    reject(now, taken.error());
    return;
  }
  if (const auto& time = attempt_.offer->group_time_ms)
    keys_.told_time(attempt_.asked, attempt_.offered, *time);
  const bool seq_given = keys->seq.has_value();
  advance(MemberEvent::keys_accepted);
  local_ = info.local;
  remote_ = info.remote;
  registered_with_ = options_.servers[server_];
  attempt_ = {};
  failed_in_row_ = overtaken_ = 0;
  backoff_ = options_.registration_retry_initial;
  last_failure_.clear();
  had_keys_ = true;
  ++counters_.succeeded;
  counters_.since_registration = 0;
  usage_at_ = now + options_.usage_poll;
  report(events::gm_regs_compl, {{"server", registered_with_->text()},
                                 {"teks", fmt::format("{}", keys_.teks().size())},
                                 {"entries", fmt::format("{}", keys_.entries().size())}});
  if (keys_.kek() && !seq_given) report(events::gm_no_seq);
  if (keys_.kek() && keys_.kek()->is_weak()) report(events::gm_weak_rekey);
  install(now);
  unknown_spis_.registered();
  follow_multicast();
  plan_reregistration(now);
}

/// Before the first key ends: the lead, but no more than a twentieth of the key's life, and earlier
/// by a random part of it, so that a group whose key server was gone does not come back at once.
void MemberGroup::plan_reregistration(TimePoint now) {
  reregister_at_ = never;
  const TimePoint end = keys_.end();
  if (state_ != MemberState::registered || end == never) return;
  const Duration lead = std::min<Duration>(options_.reregister_lead, keys_.shortest_life() / 20);
  const auto jitter = static_cast<std::int64_t>(
      world_.random.below(static_cast<std::uint64_t>(lead.count()) / 2 + 1));
  reregister_at_ = std::max(now + milliseconds{100}, end - lead - Duration(jitter));
}

// ---- time ---------------------------------------------------------------------------------------

void MemberGroup::on_timer(TimePoint now) {
  on_keys_timer(now);
  send_due_acks(now);
  if (usage_at_ <= now) look_at_usage(now);
  if (unknown_spis_.due() <= now) follow_unknown_spi(now);
  if (time_doubt_.due() <= now) ask_for_time(now);
  if (reregister_at_ <= now) register_now(now, "keys are about to end and no rekey came");
  if (attempt_at_ <= now && state_ != MemberState::stopped) {
    if (state_ == MemberState::waiting) advance(MemberEvent::start);
    begin_attempt(now);
  }
  if (attempt_.phase1) resend_or_give_up(now);
}

TimePoint MemberGroup::next_deadline() const {
  TimePoint next =
      std::min({attempt_at_, reregister_at_, install_retry_at_, usage_at_, attempt_.resend_at,
                attempt_.give_up_at, keys_next_, unknown_spis_.due(), time_doubt_.due()});
  for (const PendingAck& ack : acks_) next = std::min(next, ack.when);
  return next;
}

}  // namespace cohort::gdoi
