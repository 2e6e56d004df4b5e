#include "pki/scep_client.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "pki/events.hpp"
#include "pki/openssl.hpp"

/// The client's course: what it does when. Its messages are in scep_client_messages.cpp.
namespace cohort::pki {

namespace {

constexpr Duration wall_recheck = std::chrono::hours(1);  ///< the wall clock may step

/// Doubles with each failure, and is never the same for two clients.
Duration back_off(World& world, std::chrono::seconds first, std::chrono::seconds longest,
                  unsigned failures) {
  auto wait = std::max(first, std::chrono::seconds(1));
  for (unsigned i = 1; i < failures && wait < longest; ++i) wait *= 2;
  const Duration whole = std::min(wait, std::max(longest, std::chrono::seconds(1)));
  const auto tenth = static_cast<std::uint64_t>(whole.count() / 10 + 1);
  return whole + Duration(static_cast<Duration::rep>(world.random.below(tenth)));
}

}  // namespace

ScepClient::ScepClient(World& world, Trustpoint& trustpoint, KeyPairs& keys)
    : world_(world),
      trustpoint_(trustpoint),
      keys_(keys),
      codec_(trustpoint.options().allow_weak) {}

ScepClient::~ScepClient() = default;

bool ScepClient::is_renewing() const {
  return transaction_ && transaction_->renewal;
}

std::string ScepClient::blob() const {
  return fmt::format("trustpoints/{}/transaction", store_name(trustpoint_.name()));
}

std::optional<WallTime> ScepClient::renewal_at() const {
  const auto& certificate = trustpoint_.certificate();
  const unsigned percent = trustpoint_.options().auto_enroll_percent;
  if (!certificate || percent == 0) return std::nullopt;
  const auto share = [&](WallTime from) {
    return from + (certificate->not_after() - from) * std::min(percent, 100u) / 100;
  };
  const WallTime renewal = share(certificate->not_before());
  // One that comes with that share of its life behind it (of an authority that is about to end, or
  // whose clock is far from ours) must not be renewed as fast as messages travel.
  if (!granted_ || renewal > *granted_) return renewal;
  return std::max(share(*granted_), *granted_ + trustpoint_.options().retry_interval);
}

bool ScepClient::wants_certificate() const {
  if (!trustpoint_.certificate() || renew_now_) return true;
  if (world_.clock.wall() > trustpoint_.certificate()->not_after()) return true;
  const auto renewal = renewal_at();
  return renewal && world_.clock.wall() >= *renewal;
}

bool ScepClient::wants_crl() const {
  return trustpoint_.options().revocation_check != RevocationCheck::none &&
         (crl_now_ || world_.clock.now() >= next_crl_);
}

TimePoint ScepClient::wall_deadline(TimePoint now, WallTime when) const {
  const auto left = when - world_.clock.wall();
  if (left <= std::chrono::seconds(0)) return now;
  return now + std::min<Duration>(std::chrono::duration_cast<Duration>(left), wall_recheck);
}

void ScepClient::advance(EnrolEvent event) {
  for (const auto& row : enrol_transitions()) {
    if (row.from != state_ || row.on != event) continue;
    state_ = row.to;
    return;
  }
  world_.outbox.refuse(
      {Error(scep_no_transition, fmt::format("{} in {}", name_of(event), name_of(state_))),
       "scep_client", trustpoint_.name()});
}

void ScepClient::start(TimePoint now) {
  if (state_ != EnrolState::idle && state_ != EnrolState::refused && state_ != EnrolState::retry)
    return;
  if (state_ == EnrolState::idle) {
    if (auto loaded = load_transaction(); !loaded) {
      drop_transaction();  // a fresh request is always possible
      world_.outbox.refuse({std::move(loaded).error(), "scep_client", trustpoint_.name()});
    }
    // Every list that we have may be outdated; a request in flight goes on.
    if (trustpoint_.is_authenticated() && !transaction_ && !wants_certificate() && !wants_crl()) {
      advance(EnrolEvent::nothing_wanted);
      return rest(now);
    }
  }
  advance(EnrolEvent::ask_capabilities);
  send_operation(now, "GetCACaps");
}

/// What to do next, once capabilities are known.
void ScepClient::choose_next(TimePoint now) {
  Status done;
  if (!trustpoint_.is_authenticated()) {
    advance(EnrolEvent::ca_wanted);
    return send_operation(now, "GetCACert");
  }
  if (transaction_ && transaction_->pending) {
    advance(EnrolEvent::poll_wanted);
    done = send_poll(now);
  } else if (transaction_ || wants_certificate()) {
    done = begin_request(now);
  } else if (wants_crl()) {
    advance(EnrolEvent::crl_wanted);
    if (auto sent = send_crl_request(now); !sent) crl_failed_with(now, std::move(sent).error());
  } else {
    advance(EnrolEvent::nothing_wanted);
    rest(now);
  }
  if (!done) fail_with(now, std::move(done).error());
}

/// Sleeps until renewal or the next CRL.
void ScepClient::rest(TimePoint now) {
  deadline_ = never;
  if (const auto renewal = renewal_at()) deadline_ = wall_deadline(now, *renewal);
  if (trustpoint_.certificate())
    deadline_ = std::min(deadline_, wall_deadline(now, trustpoint_.certificate()->not_after() +
                                                           std::chrono::seconds(1)));
  if (trustpoint_.options().revocation_check != RevocationCheck::none)
    deadline_ = std::min(deadline_, std::max(next_crl_, now));
}

void ScepClient::on_timer(TimePoint now) {
  if (now < deadline_) return;
  deadline_ = never;
  switch (state_) {
    case EnrolState::capabilities:
    case EnrolState::ca_request:
    case EnrolState::request:
    case EnrolState::poll:
      request_id_ = 0;  // a late answer means nothing any more
      return fail_with(now, Error(http_timeout, trustpoint_.options().enrollment_url));
    case EnrolState::crl:
      request_id_ = 0;
      return crl_failed_with(now, Error(http_timeout, trustpoint_.options().enrollment_url));
    case EnrolState::pending: {
      advance(EnrolEvent::poll_wanted);
      if (auto sent = send_poll(now); !sent) fail_with(now, std::move(sent).error());
      return;
    }
    case EnrolState::enrolled:
      if (!wants_certificate() && !wants_crl()) return rest(now);
      [[fallthrough]];
    case EnrolState::retry:
      advance(EnrolEvent::ask_capabilities);
      return send_operation(now, "GetCACaps");
    case EnrolState::idle:
    case EnrolState::decision:
    case EnrolState::refused:
    case EnrolState::key:
      return;
  }
}

std::optional<OutgoingHttp> ScepClient::take_request() {
  auto out = std::move(outgoing_);
  outgoing_.reset();
  return out;
}

void ScepClient::on_response(TimePoint now, std::uint64_t id, Result<HttpResponse> response) {
  if (id == 0 || id != request_id_) return;
  request_id_ = 0;
  deadline_ = never;
  Status done;
  if (!response) {
    done = fail(std::move(response).error());
  } else {
    switch (state_) {
      case EnrolState::capabilities:
        done = on_capabilities(now, *response);
        break;
      case EnrolState::ca_request:
        done = on_ca_certificates(now, *response);
        break;
      case EnrolState::request:
      case EnrolState::poll:
        done = on_reply(now, *response);
        break;
      case EnrolState::crl:
        done = on_crl(now, *response);
        break;
      case EnrolState::idle:
      case EnrolState::decision:
      case EnrolState::refused:
      case EnrolState::key:
      case EnrolState::pending:
      case EnrolState::enrolled:
      case EnrolState::retry:
        return;
    }
  }
  if (done) return;
  if (state_ == EnrolState::crl) return crl_failed_with(now, std::move(done).error());
  fail_with(now, std::move(done).error());
}

void ScepClient::fail_with(TimePoint now, Error error) {
  ++failures_;
  const auto& options = trustpoint_.options();
  outgoing_.reset();
  last_error_ = std::move(error);
  if (state_ == EnrolState::refused) return;  // reported; an operator must act
  world_.outbox.report(
      {&enrolment_failed, {{"trustpoint", trustpoint_.name()}, {"reason", last_error_->text()}}});
  advance(EnrolEvent::failed);
  deadline_ = now + back_off(world_, options.retry_interval, options.retry_interval_max, failures_);
}

/// Enrolment stands; only the list is missing, and is asked for again.
void ScepClient::crl_failed_with(TimePoint now, Error error) {
  ++crl_failures_;
  const auto& options = trustpoint_.options();
  world_.outbox.report(
      {&crl_failed, {{"trustpoint", trustpoint_.name()}, {"reason", error.text()}}});
  last_error_ = std::move(error);
  outgoing_.reset();
  crl_now_ = false;
  next_crl_ =
      now + back_off(world_, options.retry_interval, options.retry_interval_max, crl_failures_);
  advance(EnrolEvent::nothing_wanted);
  rest(now);
}

Status ScepClient::on_capabilities(TimePoint now, const HttpResponse& response) {
  // A server that knows no GetCACaps answers with an error: it can nothing then (RFC 8894 3.5.2).
  capabilities_ =
      response.status == 200 ? ScepCapabilities::parse(response.body) : ScepCapabilities{};
  const bool strong = capabilities_->aes && (capabilities_->sha_256 || capabilities_->sha_512);
  if (!strong && !codec_.allow_weak()) return fail(scep_server_weak);
  choose_next(now);
  return {};
}

Status ScepClient::decide(TimePoint now, bool accept) {
  if (state_ != EnrolState::decision) return fail(scep_no_transition, "nothing to decide");
  if (!accept) {
    advance(EnrolEvent::declined);
    last_error_ = Error(ca_refused, offer_->subject);
    world_.outbox.report(
        {&ca_not_accepted, {{"trustpoint", trustpoint_.name()}, {"subject", offer_->subject}}});
    offer_.reset();
    return {};
  }
  return accept_offer(now);
}

Status ScepClient::accept_offer(TimePoint now) {
  const std::string fingerprint = offer_->fingerprint_sha256;
  COHORT_CHECK(trustpoint_.accept_ca(std::move(offered_anchors_), std::move(offered_others_)));
  offer_.reset();
  world_.outbox.report({&ca_authenticated,
                        {{"trustpoint", trustpoint_.name()}, {"fingerprint_sha256", fingerprint}}});
  if (auto begun = begin_request(now); !begun) fail_with(now, std::move(begun).error());
  return {};
}

/// Asks for the certificate, once there is a key pair for it.
Status ScepClient::begin_request(TimePoint now) {
  COHORT_TRY(const bool new_key, needs_new_key());
  if (!new_key) {
    advance(EnrolEvent::request_wanted);
    return send_request(now);
  }
  advance(EnrolEvent::key_wanted);
  KeyPairOptions wanted = trustpoint_.options().key;
  wanted.label = label_for_request();
  key_id_ = world_.random.u64() | 1;
  key_wish_ = KeyWish{key_id_, std::move(wanted)};
  deadline_ = never;  // however long it takes
  return {};
}

std::optional<KeyWish> ScepClient::take_key_wish() {
  auto out = std::move(key_wish_);
  key_wish_.reset();
  return out;
}

void ScepClient::on_key(TimePoint now, std::uint64_t id, Result<crypto::PrivateKey> key) {
  if (id == 0 || id != key_id_ || state_ != EnrolState::key) return;
  key_id_ = 0;
  const auto store = [&]() -> Status {
    if (!key) return fail(std::move(key).error());
    KeyPairOptions wanted = trustpoint_.options().key;
    wanted.label = label_for_request();
    COHORT_TRY(const auto present, keys_.find(wanted.label));
    // Another trustpoint with this label may have been faster; under the label of a renewal lies
    // what an earlier one has left.
    if (present && !trustpoint_.identity()) return {};
    if (present) COHORT_CHECK(keys_.remove(wanted.label));
    COHORT_CHECK(keys_.add(wanted, std::move(*key)).map([](const auto&) {}));
    fresh_key_ = wanted.label;
    return {};
  };
  Status done = store();
  if (done) {
    advance(EnrolEvent::request_wanted);
    done = send_request(now);
  }
  if (!done) fail_with(now, std::move(done).error());
}

Status ScepClient::renew(TimePoint now) {
  if (!trustpoint_.identity()) return fail(renewal_impossible, trustpoint_.name());
  renew_now_ = true;
  if (state_ != EnrolState::enrolled) return {};  // it follows what is under way
  advance(EnrolEvent::ask_capabilities);
  send_operation(now, "GetCACaps");
  return {};
}

Status ScepClient::refresh_crl(TimePoint now) {
  if (state_ != EnrolState::enrolled)
    return fail(scep_no_transition, fmt::format("it is in state {}", name_of(state_)));
  crl_now_ = true;
  advance(EnrolEvent::ask_capabilities);
  send_operation(now, "GetCACaps");
  return {};
}

void ScepClient::wait_for_operator(TimePoint now) {
  const auto& options = trustpoint_.options();
  advance(EnrolEvent::told_to_wait);
  if (polls_ == 0)
    world_.outbox.report({&enrolment_pending,
                          {{"trustpoint", trustpoint_.name()}, {"transaction", transaction_->id}}});
  if (polls_ >= options.poll_max) {
    drop_transaction();
    return fail_with(now,
                     Error(scep_rejected, fmt::format("still pending after {} polls", polls_)));
  }
  ++polls_;
  deadline_ = now + back_off(world_, options.poll_interval, options.poll_interval_max, polls_);
}

Status ScepClient::load_transaction() {
  COHORT_TRY(const auto stored, world_.store.get(blob()));
  if (!stored) return {};
  COHORT_TRY(transaction_, ScepTransaction::parse(*stored));
  return {};
}

Status ScepClient::save_transaction() {
  return world_.store.put(blob(), transaction_->encode());
}

void ScepClient::drop_transaction() {
  transaction_.reset();
  polls_ = 0;
  // If this fails, a restart repeats the request, which the CA answers as before.
  const auto stored = world_.store.get(blob());
  if (!stored || !*stored) return;
  if (auto removed = world_.store.remove(blob()); !removed)
    world_.outbox.refuse({std::move(removed).error(), "scep_client", trustpoint_.name()});
}

}  // namespace cohort::pki
