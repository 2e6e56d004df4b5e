#include "controlplane/ike/isakmp.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "controlplane/ike/isakmp_impl.hpp"
#include "controlplane/ike/reasons.hpp"

namespace cohort::ike {

namespace {

// What fragments may cost, in octets; the longest messages are some 15 and 60 KiB.
constexpr std::size_t message_max_half_open = 20 * 1024;
constexpr std::size_t message_max_established = 68 * 1024;
// How long the rest of a message is waited for, from its last fragment on.
constexpr std::chrono::seconds fragment_wait{30};

}  // namespace

Isakmp::Impl::Entry::~Entry() {
  if (impl_.depth == 1) {
    impl_.tell_handlers(now_);
    impl_.closed.clear();
  }
  --impl_.depth;
}

void Isakmp::Impl::tell_handlers(TimePoint now) {
  while (!notices.empty()) {
    const Notice notice = std::move(notices.front());
    notices.pop_front();
    for (ExchangeHandler* handler : handlers) {
      if (const auto* up = std::get_if<Established>(&notice)) {
        const Phase1Sa* sa = sas.find(up->id);
        if (sa != nullptr) handler->on_phase1_established(now, sa->info);
      } else {
        const auto& down = std::get<Closed>(notice);
        handler->on_phase1_closed(now, down.id, down.why);
      }
    }
  }
}

void Isakmp::Impl::refuse(Error error, const Endpoint& peer) {
  world.outbox.refuse({std::move(error), "isakmp", peer.text()});
}

void Isakmp::Impl::dispatch(TimePoint now, const Datagram& datagram) {
  if (has_marker(datagram.local) && datagram.payload.size() == 1 &&
      datagram.payload.front() == nat_keepalive)
    return;
  const auto message = message_in(datagram);
  const auto header = message ? Header::parse(*message) : fail(message.error());
  if (!header) return refuse(header.error(), datagram.remote);
  const Datagram inner{datagram.local, datagram.remote, to_bytes(*message)};
  if (header->next == PayloadType::fragment)
    on_fragment(now, *header, inner);
  else
    on_exchange(now, *header, inner);
}

void Isakmp::Impl::on_fragment(TimePoint now, const Header& header, const Datagram& datagram) {
  Phase1Sa* sa = sas.find(header.initiator, header.responder);
  if (sa == nullptr || header.responder == Cookie{})
    return refuse(Error(unknown_cookies, "fragment"), datagram.remote);
  if (sa->info.remote.address != datagram.remote.address)
    return refuse(Error(wrong_endpoint, "fragment"), datagram.remote);
  if (options.fragment_size == 0) return refuse(Error(bad_fragment, "not agreed"), datagram.remote);
  auto whole = sa->reassembly.add(
      datagram.payload, sa->established() ? message_max_established : message_max_half_open);
  sa->fragments_until = sa->reassembly.held() == 0 ? never : now + fragment_wait;
  schedule(*sa);
  if (!whole) return refuse(whole.error(), datagram.remote);
  if (!*whole) return;
  const Datagram message{datagram.local, datagram.remote, std::move(**whole)};
  const auto inner = Header::parse(message.payload);
  if (!inner) return refuse(inner.error(), datagram.remote);
  if (inner->initiator != header.initiator || inner->responder != header.responder ||
      inner->next == PayloadType::fragment)
    return refuse(Error(bad_fragment, "the message is not of the fragments' SA"), datagram.remote);
  on_exchange(now, *inner, message);
}

void Isakmp::Impl::on_exchange(TimePoint now, const Header& header, const Datagram& datagram) {
  switch (header.exchange) {
    case ExchangeType::identity_protection:
      return on_main_mode(now, header, datagram);
    case ExchangeType::informational:
      return on_informational(now, header, datagram);
    case ExchangeType::none:
    case ExchangeType::aggressive:
    case ExchangeType::groupkey_pull:
    case ExchangeType::groupkey_push:
    case ExchangeType::groupkey_push_ack:
    case ExchangeType::coop:
      break;
  }
  const auto handler = by_type.find(header.exchange);
  if (handler == by_type.end() || header.exchange == ExchangeType::none)
    return refuse(
        Error(unsupported_exchange, fmt::format("type {}", static_cast<unsigned>(header.exchange))),
        datagram.remote);
  const Phase1Sa* sa = sas.find(header.initiator, header.responder);
  if (sa == nullptr) return handler->second->on_unprotected(now, header, datagram);
  if (!sa->established())
    return refuse(Error(unexpected_message, "phase 1 is not finished"), datagram.remote);
  handler->second->on_protected(now, sa->info, header, datagram);
}

Isakmp::Isakmp(World& world, IsakmpOptions options)
    : impl_(std::make_unique<Impl>(world, std::move(options))) {}

Isakmp::~Isakmp() = default;

void Isakmp::attach(ExchangeType type, ExchangeHandler& handler) {
  impl_->by_type[type] = &handler;
  auto& all = impl_->handlers;
  if (std::find(all.begin(), all.end(), &handler) == all.end()) all.push_back(&handler);
}

Phase1Id Isakmp::initiate(TimePoint now, const Endpoint& remote) {
  const Phase1Sa* best = nullptr;
  impl_->sas.for_each_with(remote.address, [&](const Phase1Sa& sa) {
    const bool with_it = sa.established() ? sa.info.remote == remote || sa.requested == remote
                                          : sa.role == Role::initiator && sa.requested == remote;
    if (!with_it || sa.superseded || sa.stillborn) return;
    const bool better = best == nullptr || (sa.established() && !best->established()) ||
                        (sa.established() == best->established() && sa.created >= best->created);
    if (better) best = &sa;
  });
  if (best != nullptr) return best->info.id;
  return impl_->begin(now, remote, std::nullopt);
}

bool Isakmp::can_initiate(const Endpoint& remote) const {
  return !usable_policies(impl_->world, impl_->options, remote.address).empty();
}

const Phase1Info* Isakmp::find(Phase1Id id) const {
  const Phase1Sa* sa = impl_->sas.find(id);
  return sa != nullptr && sa->established() ? &sa->info : nullptr;
}

std::vector<Phase1Info> Isakmp::established() const {
  std::vector<Phase1Info> all;
  impl_->sas.for_each([&](const Phase1Sa& sa) {
    if (sa.established()) all.push_back(sa.info);
  });
  return all;
}

Result<SecureExchange> Isakmp::begin_exchange(Phase1Id id, std::uint32_t message_id) const {
  const Phase1Sa* sa = impl_->sas.find(id);
  if (sa == nullptr || !sa->established()) return fail(unknown_cookies, "no such phase 1");
  return SecureExchange(sa->keys, sa->initiator_cookie, sa->responder_cookie, message_id);
}

void Isakmp::send(Phase1Id id, ByteView message) {
  if (Phase1Sa* sa = impl_->sas.find(id); sa != nullptr) impl_->transmit(*sa, message);
}

void Isakmp::send_unprotected(const Endpoint& local, const Endpoint& remote, ByteView message) {
  impl_->send_datagram(local, remote, to_bytes(message));
}

bool Isakmp::on_nat_port(const Endpoint& local) const {
  return impl_->has_marker(local);
}

void Isakmp::notify(TimePoint, Phase1Id id, NotifyType type, ByteView data) {
  if (Phase1Sa* sa = impl_->sas.find(id); sa != nullptr && sa->established())
    impl_->send_notify(*sa, type, data);
}

void Isakmp::close(TimePoint now, Phase1Id id, const Reason& why) {
  const Impl::Entry entry(*impl_, now);
  if (Phase1Sa* sa = impl_->sas.find(id); sa != nullptr) impl_->drop(now, *sa, Error(why), true);
}

void Isakmp::expect_answer(TimePoint now, Phase1Id id) {
  if (Phase1Sa* sa = impl_->sas.find(id); sa != nullptr && sa->established()) {
    sa->dpd.await(now);
    impl_->schedule(*sa);
  }
}

void Isakmp::heard(TimePoint now, Phase1Id id) {
  if (Phase1Sa* sa = impl_->sas.find(id); sa != nullptr && sa->established()) {
    sa->dpd.heard(now);
    impl_->schedule(*sa);
  }
}

void Isakmp::on_datagram(TimePoint now, const Datagram& datagram) {
  const Impl::Entry entry(*impl_, now);
  impl_->dispatch(now, datagram);
}

void Isakmp::on_timer(TimePoint now) {
  const Impl::Entry entry(*impl_, now);
  while (Phase1Sa* sa = impl_->sas.due(now)) impl_->on_due(now, *sa);
}

TimePoint Isakmp::next_deadline() const {
  return impl_->sas.next_deadline();
}

void Isakmp::on_job_done(TimePoint now, JobId id, JobResult result) {
  const Impl::Entry entry(*impl_, now);
  const auto found = impl_->jobs.find(id);
  if (found == impl_->jobs.end()) return;
  Phase1Sa* sa = impl_->sas.find(found->second);
  impl_->jobs.erase(found);
  if (sa != nullptr && sa->job == id) impl_->on_job(now, *sa, std::move(result));
}

}  // namespace cohort::ike
