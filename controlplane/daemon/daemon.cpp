#include "controlplane/daemon/daemon.hpp"

#include <algorithm>
#include <signal.h>
#include <utility>

#include "controlplane/daemon/commands.hpp"
#include "controlplane/daemon/events.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

constexpr Duration housekeeping_period = std::chrono::seconds(1);

pki::HttpResponse metrics_response(const Metrics& metrics, const pki::HttpRequest& request) {
  if (request.method != pki::HttpMethod::get || request.url != "/metrics") {
    return {404, "text/plain", to_bytes(as_bytes("try /metrics\n"))};
  }
  return {200, "text/plain; version=0.0.4", to_bytes(as_bytes(metrics.text()))};
}

}  // namespace

Daemon::Daemon(config::Configuration configuration, std::unique_ptr<Runtime> runtime)
    : configuration_(std::move(configuration)),
      runtime_(std::move(runtime)),
      started_(runtime_->clock.now()) {
  timer_ = runtime_->loop.deadline([this] { on_timer(); });
  runtime_->jobs->on_done(
      [this](JobId id, JobResult result) { on_job_done(id, std::move(result)); });
  runtime_->receive = [this](const Datagram& datagram) {
    runtime_->log.debug("crypto isakmp", [&] {
      return "in " + datagram.remote.text() + " to " + datagram.local.text() + ": " +
             describe_isakmp(datagram.payload);
    });
    for (GroupNode* node : {server_.get(), member_.get()}) {
      if (node == nullptr || !node->listens_at(datagram.local.port)) continue;
      const IpAddress& address = node->local().address;
      if (!address.is_unspecified() && address != datagram.local.address) continue;
      node->on_datagram(runtime_->clock.now(), datagram);
      break;
    }
    touch();
  };
}

Daemon::~Daemon() {
  admin_.reset();
  watches_.clear();
  if (member_) {
    const TimePoint now = runtime_->clock.now();
    for (const auto& group : configuration_.group_member->groups) {
      (void)member_->member()->remove_group(now, group.group_name);
    }
  }
  runtime_->receive = nullptr;
  runtime_->jobs->on_done(nullptr);
  enrolments_.clear();
  server_.reset();
  member_.reset();
}

Result<std::unique_ptr<Daemon>> Daemon::start(config::Configuration configuration) {
  COHORT_TRY(auto runtime, Runtime::create(configuration));
  std::unique_ptr<Daemon> out(new Daemon(std::move(configuration), std::move(runtime)));
  COHORT_CHECK(out->start_keys());
  COHORT_CHECK(out->start_ca());
  COHORT_CHECK(out->start_trustpoints());
  // Ports first, with the policy of "not registered": nothing passes before it may.
  COHORT_CHECK(out->start_dataplane());
  COHORT_CHECK(out->start_key_server());
  COHORT_CHECK(out->start_group_member());
  COHORT_CHECK(out->start_sockets());
  COHORT_CHECK(out->start_admin());
  out->gather_metrics();
  // Everything is open now. A member keeps what its ports need.
  if (!out->member_) drop_capabilities();
  out->runtime_->outbox.report(Event{&events::started, {{"config", out->configuration_.file}}});
  return out;
}

Status Daemon::start_keys() {
  for (const pki::KeyPairOptions& options : configuration_.keys) {
    COHORT_TRY(const auto found, runtime_->keys->find(options.label));
    if (found) warn_of_weak_key(*found);
    if (found || options.imported) continue;
    COHORT_TRY(const auto made, runtime_->keys->generate(options));
    warn_of_weak_key(made);
    runtime_->outbox.report(Event{
        &events::key_made, {{"label", made.label}, {"bits", std::to_string(made.key.bits())}}});
  }
  return {};
}

Status Daemon::start_ca() {
  if (!configuration_.certificate_authority) return {};
  auto& role = *configuration_.certificate_authority;
  const Endpoint listen = role.listen;
  COHORT_TRY(ca_, pki::CertificateAuthority::open(std::move(role.options), *runtime_->world));
  scep_ = std::make_unique<pki::ScepServer>(*ca_, *runtime_->world);
  COHORT_TRY(
      scep_http_, HttpServer::open(runtime_->loop, listen, [this](const pki::HttpRequest& request) {
        const pki::HttpResponse out = scep_->handle(request);
        runtime_->log.debug("crypto pki messages", [&] {
          return (request.method == pki::HttpMethod::post ? "POST " : "GET ") +
                 request.url.substr(0, 120) + " from " + request.peer + ": status " +
                 std::to_string(out.status) + ", " + std::to_string(out.body.size()) + " octets";
        });
        return out;
      }));
  return {};
}

Status Daemon::start_trustpoints() {
  for (pki::TrustpointOptions& options : configuration_.trustpoints) {
    const bool enrols = !options.enrollment_url.empty();
    pki::Trustpoint& trustpoint = runtime_->keyring->add(std::move(options));
    COHORT_CHECK(trustpoint.load(*runtime_->keys));
    if (!enrols) continue;
    enrolments_.push_back(std::make_unique<Enrolment>(*runtime_, trustpoint, [this] { touch(); }));
  }
  for (config::PreSharedKey& key : configuration_.pre_shared_keys) {
    runtime_->keyring->add_pre_shared_key(key.peers, std::move(key.key));
  }
  // An authority in this very process answers once the loop runs.
  runtime_->loop.post([this] {
    for (const auto& enrolment : enrolments_) enrolment->start();
  });
  return {};
}

Status Daemon::start_dataplane() {
  if (!configuration_.group_member || !configuration_.dataplane) return {};
  dataplane::DataplaneOptions options = *configuration_.dataplane;
  options.start_workers = false;  // until every port pair has its policy
  COHORT_TRY(auto manager, dataplane::Manager::create(std::move(options)));
  for (const std::string& sentence : manager->advice()) {
    runtime_->outbox.report(Event{&events::advice, {{"advice", sentence}}});
  }
  runtime_->dataplane->attach(std::move(manager));
  watches_.push_back(runtime_->loop.every(housekeeping_period,
                                          [this] { runtime_->dataplane->manager()->reclaim(); }));
  return {};
}

Status Daemon::bind(const Endpoint& local) {
  bool missing = false;
  COHORT_CHECK(runtime_->network->bind(local, missing));
  const ike::IsakmpOptions& isakmp = configuration_.isakmp;
  if (isakmp.nat_traversal && isakmp.nat_port != local.port) {
    COHORT_CHECK(runtime_->network->bind({local.address, isakmp.nat_port}, missing));
  }
  if (missing) {
    runtime_->outbox.report(Event{&events::address_missing, {{"address", local.text()}}});
  }
  return {};
}

Status Daemon::start_key_server() {
  if (!configuration_.key_server) return {};
  const config::KeyServerRole& role = *configuration_.key_server;
  ike::IsakmpOptions options = configuration_.isakmp;
  options.local = role.local;
  options.trustpoint = role.trustpoint;
  server_ = GroupNode::key_server(*runtime_->world, std::move(options));
  COHORT_CHECK(bind(role.local));
  for (const config::KeyServerGroup& group : role.groups) COHORT_CHECK(add_server_group(group));
  return {};
}

Status Daemon::start_group_member() {
  if (!configuration_.group_member) return {};
  const config::GroupMemberRole& role = *configuration_.group_member;
  ike::IsakmpOptions options = configuration_.isakmp;
  options.local = role.local;
  options.trustpoint = role.trustpoint;
  member_ = GroupNode::group_member(*runtime_->world, std::move(options));
  COHORT_CHECK(bind(role.local));
  for (const IpAddress& group : role.multicast) {
    COHORT_CHECK(runtime_->network->join(role.local, group));
  }
  for (const gdoi::GroupMemberOptions& group : role.groups) {
    COHORT_CHECK(member_->member()->add_group(runtime_->clock.now(), group));
  }
  runtime_->dataplane->manager()->start();
  return {};
}

Status Daemon::start_sockets() {
  if (!configuration_.metrics) return {};
  COHORT_TRY(metrics_http_, HttpServer::open(runtime_->loop, *configuration_.metrics,
                                             [this](const pki::HttpRequest& request) {
                                               return metrics_response(runtime_->metrics, request);
                                             }));
  return {};
}

Status Daemon::start_admin() {
  COHORT_TRY(admin_,
             AdminServer::open(runtime_->loop, configuration_.admin_socket,
                               [this](const AdminRequest& request, AdminServer::Answer answer) {
                                 handle(request, std::move(answer));
                                 touch();
                               }));
  return {};
}

void Daemon::run() {
  const auto stop = [this] { runtime_->loop.stop(); };
  watches_.push_back(runtime_->loop.on_signal(SIGTERM, stop));
  watches_.push_back(runtime_->loop.on_signal(SIGINT, stop));
  watches_.push_back(runtime_->loop.on_signal(SIGHUP, [this] {
    reload([this](const Status& done) {
      if (done || done.error().is(config_refused)) return;  // which has been reported
      runtime_->outbox.report(Event{&events::apply_failed, {{"error", done.error().text()}}});
    });
  }));
  touch();
  runtime_->loop.run();
  runtime_->outbox.report(Event{&events::stopping, {}});
}

void Daemon::touch() {
  TimePoint next = never;
  for (const auto& enrolment : enrolments_) next = std::min(next, enrolment->next_deadline());
  for (const GroupNode* node : {server_.get(), member_.get()}) {
    if (node != nullptr) next = std::min(next, node->next_deadline());
  }
  // Deadlines are by a clock that goes on while the machine sleeps, and the loop's may not: look
  // again now and then, whatever is due.
  constexpr Duration look_again = std::chrono::seconds(60);
  const TimePoint now = runtime_->clock.now();
  const Duration wait = next == never ? look_again : std::min(look_again, next - now);
  // A deadline that stays in the past would be a mistake of a protocol: it must not stop the rest.
  runtime_->loop.arm(timer_, std::max(wait, Duration(std::chrono::milliseconds(1))));
}

void Daemon::on_timer() {
  const TimePoint now = runtime_->clock.now();
  for (const auto& enrolment : enrolments_) {
    if (enrolment->next_deadline() <= now) enrolment->on_timer(now);
  }
  for (GroupNode* node : {server_.get(), member_.get()}) {
    if (node != nullptr && node->next_deadline() <= now) node->on_timer(now);
  }
  touch();
}

void Daemon::on_job_done(JobId id, JobResult result) {
  for (GroupNode* node : {server_.get(), member_.get()}) {
    if (node == nullptr || !node->owns_job(id)) continue;
    node->on_job_done(runtime_->clock.now(), id, std::move(result));
    break;
  }
  touch();
}

Enrolment* Daemon::find_enrolment(std::string_view trustpoint) {
  for (const auto& enrolment : enrolments_) {
    if (enrolment->name() == trustpoint) return enrolment.get();
  }
  return nullptr;
}

void Daemon::warn_of_weak_key(const pki::KeyPair& pair) {
  if (pair.key.type() != crypto::KeyType::rsa || pair.key.bits() >= pki::rsa_bits_min) return;
  runtime_->outbox.report(
      Event{&events::weak_key, {{"label", pair.label}, {"bits", std::to_string(pair.key.bits())}}});
}

void Daemon::audit(const std::string& command, const std::string& what) {
  runtime_->outbox.report(
      Event{&events::operator_command, {{"command", command}, {"object", what}}});
}

void Daemon::handle(const AdminRequest& request, AdminServer::Answer answer) {
  run_command(*this, request, std::move(answer));
}

}  // namespace cohort::daemon
