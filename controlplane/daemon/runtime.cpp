#include "controlplane/daemon/runtime.hpp"

#include <fmt/format.h>
#include <utility>

#include "controlplane/daemon/events.hpp"
#include "controlplane/daemon/reasons.hpp"
#include "controlplane/ike/message.hpp"

namespace cohort::daemon {
namespace {

constexpr Duration trouble_period = std::chrono::seconds(30);

std::string_view exchange_name(ike::ExchangeType type) {
  switch (type) {
    case ike::ExchangeType::none:
      return "NONE";
    case ike::ExchangeType::identity_protection:
      return "MAIN";
    case ike::ExchangeType::aggressive:
      return "AGGRESSIVE";
    case ike::ExchangeType::informational:
      return "INFORMATIONAL";
    case ike::ExchangeType::groupkey_pull:
      return "GROUPKEY-PULL";
    case ike::ExchangeType::groupkey_push:
      return "GROUPKEY-PUSH";
    case ike::ExchangeType::groupkey_push_ack:
      return "GROUPKEY-PUSH-ACK";
    case ike::ExchangeType::coop:
      return "COOP";
  }
  return "?";
}

}  // namespace

std::string describe_isakmp(ByteView payload) {
  const auto header = ike::Header::parse(payload);
  if (!header) return fmt::format("no ISAKMP message, {} octets", payload.size());
  return fmt::format("{} {}/{} flags {:#x}, id {:08x}, {} octets", exchange_name(header->exchange),
                     to_hex(header->initiator), to_hex(header->responder), header->flags,
                     header->message_id, payload.size());
}

void DaemonOutbox::send(Datagram datagram) {
  if (network_ == nullptr) return;
  log_.debug("crypto isakmp", [&] {
    return fmt::format("out {} to {}: {}", datagram.local.text(), datagram.remote.text(),
                       describe_isakmp(datagram.payload));
  });
  const auto sent = network_->send(datagram);
  if (sent) return;
  // Protocols retransmit; the operator needs to know, but not a line for each datagram.
  const TimePoint now = clock_.now();
  if (last_trouble_ != TimePoint{} && now - last_trouble_ < trouble_period) return;
  last_trouble_ = now;
  report(Event{&events::send_trouble, {{"error", sent.error().detail()}}});
}

void DaemonOutbox::report(Event event) {
  metrics_.count(event);
  log_.write(event);
}

void DaemonOutbox::refuse(Refusal refusal) {
  metrics_.count(refusal);
  log_.write(refusal);
}

void DaemonOutbox::join_multicast(const IpAddress& group, const IpAddress& local) {
  if (network_ == nullptr) return;
  const auto at = network_->local_at(local);
  if (!at) return;
  if (const Status joined = network_->join(*at, group); !joined)
    report(Event{&events::send_trouble, {{"error", joined.error().text()}}});
}

void DaemonOutbox::leave_multicast(const IpAddress& group, const IpAddress& local) {
  if (network_ == nullptr) return;
  if (const auto at = network_->local_at(local)) network_->leave(*at, group);
}

Result<std::unique_ptr<Runtime>> Runtime::create(const config::Configuration& configuration) {
  auto out = std::make_unique<Runtime>();
  const std::string name =
      configuration.hostname.empty() ? std::string("cohortd") : configuration.hostname;
  COHORT_TRY(out->store, FileStore::open(out->disk, configuration.state_directory,
                                         configuration.runtime_directory));
  COHORT_TRY(StateLock taken, StateLock::take(configuration.state_directory));
  out->lock.emplace(std::move(taken));
  COHORT_CHECK(out->log.configure(configuration.logging, name));
  out->keys = std::make_unique<pki::KeyPairs>(*out->store, Secret{}, configuration.allow_weak);
  out->keyring = std::make_unique<pki::Keyring>(*out->store, out->clock);
  out->jobs = std::make_unique<JobPool>(out->loop, configuration.crypto_threads);
  out->dataplane = std::make_unique<DataplaneLink>(out->log, configuration.lab_export_keys);
  Runtime* raw = out.get();
  out->network = std::make_unique<UdpNetwork>(out->loop, [raw](const Datagram& datagram) {
    if (raw->receive) raw->receive(datagram);
  });
  out->outbox.attach(*out->network);
  out->http = std::make_unique<HttpClient>(out->loop);
  out->world.reset(new World{out->clock, out->random, out->outbox, *out->store, *out->keyring,
                             *out->jobs, *out->dataplane});
  return out;
}

}  // namespace cohort::daemon
