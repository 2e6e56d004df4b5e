#include "tests/exchange/harness.hpp"

#include <algorithm>
#include <stdexcept>

namespace cohort::harness {

namespace {

JobResult copy_of(const JobResult& result) {
  if (!result) return fail(result.error());
  if (const auto* secret = std::get_if<Secret>(&*result)) return JobValue(secret->clone());
  if (const auto* octets = std::get_if<Bytes>(&*result)) return JobValue(*octets);
  if (const auto* key = std::get_if<std::shared_ptr<const crypto::DhKey>>(&*result))
    return JobValue(*key);
  return JobValue(std::monostate{});
}

}  // namespace

Host::Host(Net& net, IpAddress address, std::uint64_t seed)
    : net_(net),
      address_(address),
      random_(seed),
      credentials(net.clock),
      world{net.clock, random_, *this, store, credentials, *this, dataplane} {}

void Host::bind(std::uint16_t port, Node& node) {
  ports_.emplace(port, &node);
  if (std::find(nodes_.begin(), nodes_.end(), &node) == nodes_.end()) nodes_.push_back(&node);
}

void Host::unbind(Node& node) {
  std::erase(nodes_, &node);
  std::erase_if(ports_, [&](const auto& entry) { return entry.second == &node; });
}

std::size_t Host::count(const EventKind& kind) const {
  return static_cast<std::size_t>(
      std::count_if(events.begin(), events.end(), [&](const Event& e) { return e.kind == &kind; }));
}

std::size_t Host::count(const Reason& reason) const {
  return static_cast<std::size_t>(std::count_if(
      refusals.begin(), refusals.end(), [&](const Refusal& r) { return r.error.is(reason); }));
}

void Host::send(Datagram datagram) {
  if (datagram.local.address.is_unspecified()) datagram.local.address = address_;
  net_.carry(*this, std::move(datagram));
}

JobId Host::post(Job job) {
  const JobId id = ++net_.last_job_;
  if (std::holds_alternative<VerifyJob>(job)) ++verified;
  auto shared = std::make_shared<Job>(std::move(job));
  net_.at(net_.now() + net_.job_time, [this, id, shared](TimePoint now) {
    // Every node hears of it, as a node must ignore what it did not post.
    const JobResult result = run_job(*shared);
    for (Node* node : std::vector<Node*>(nodes_)) node->on_job_done(now, id, copy_of(result));
  });
  return id;
}

Host& Net::add_host(std::string_view address) {
  auto parsed = IpAddress::parse(address);
  if (!parsed) throw std::invalid_argument(std::string(address));
  hosts_.push_back(std::make_unique<Host>(*this, *parsed, seed_ * 1000 + hosts_.size()));
  return *hosts_.back();
}

void Net::at(TimePoint when, std::function<void(TimePoint)> what) {
  queue_.push({when, order_++, std::move(what)});
}

void Net::carry(const Host&, Datagram datagram) {
  sent.push_back(datagram);
  Fate what = fate ? fate(datagram) : Fate{};
  if (what.payload) datagram.payload = std::move(*what.payload);
  for (unsigned i = 0; i < what.copies; ++i)
    at(now() + latency + what.extra_delay, [this, datagram](TimePoint) { deliver(datagram); });
}

void Net::inject(const Endpoint& from, const Endpoint& to, Bytes payload) {
  at(now() + latency,
     [this, datagram = Datagram{from, to, std::move(payload)}](TimePoint) { deliver(datagram); });
}

void Net::deliver(const Datagram& datagram) {
  const bool multicast = datagram.remote.address.is_multicast();
  for (const auto& host : hosts_) {
    const auto& joined = host->multicast_groups;
    const bool for_it =
        multicast ? std::find(joined.begin(), joined.end(), datagram.remote.address) != joined.end()
                  : host->address_ == datagram.remote.address;
    if (!for_it) continue;
    const auto [first, last] = host->ports_.equal_range(datagram.remote.port);
    std::vector<Node*> nodes;
    for (auto entry = first; entry != last; ++entry) nodes.push_back(entry->second);
    for (Node* node : nodes)
      node->on_datagram(
          now(),
          Datagram{{host->address_, datagram.remote.port}, datagram.local, datagram.payload});
  }
}

TimePoint Net::next_time() const {
  TimePoint next = queue_.empty() ? never : queue_.top().when;
  for (const auto& host : hosts_)
    for (const Node* node : host->nodes_) next = std::min(next, node->next_deadline());
  return next;
}

void Net::step(TimePoint when) {
  clock.advance_to(when);
  if (!queue_.empty() && queue_.top().when <= now()) {
    const auto deliver = queue_.top().deliver;
    queue_.pop();
    deliver(now());
    return;
  }
  for (const auto& host : hosts_) {
    for (Node* node : std::vector<Node*>(host->nodes_)) {
      if (node->next_deadline() > now()) continue;
      node->on_timer(now());
      if (node->next_deadline() <= now())
        throw std::logic_error("a node's on_timer left its deadline in the past");
    }
  }
}

void Net::run_for(Duration duration) {
  const TimePoint end = now() + duration;
  (void)run_until([] { return false; }, duration);
  clock.advance_to(end);
}

bool Net::run_until(const std::function<bool()>& condition, Duration limit) {
  const TimePoint end = now() + limit;
  while (!condition()) {
    const TimePoint next = next_time();
    if (next > end) {
      clock.advance_to(end);
      return false;
    }
    step(next);
  }
  return true;
}

}  // namespace cohort::harness
