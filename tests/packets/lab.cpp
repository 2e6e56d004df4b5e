#include "tests/packets/lab.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include "dataplane/eal.hpp"
#include "dataplane/policy.hpp"

namespace cohort::test {

using namespace dataplane;

void start_test_eal() {
  EalOptions options;
  options.hugepages = false;
  options.memory_mb = 256;
  options.file_prefix = fmt::format("cohort-test-{}", getpid());
  const Status status = start_eal(options, {});
  if (!status) {
    fmt::print(stderr, "{}\n", status.error().text());
    std::abort();
  }
}

PipelineOptions Lab::defaults() {
  PipelineOptions options;
  options.has_punt = true;
  options.locality = Locality(
      {IpAddress::parse("10.191.61.116").value(), IpAddress::parse("2001:db8:f::116").value()},
      {IpAddress::parse("10.191.61.114").value()});
  options.icmp_errors_per_second = 1'000'000;
  return options;
}

Lab::Lab(PipelineOptions options, unsigned workers, unsigned worker)
    : options_(std::move(options)), workers_(workers) {
  start_test_eal();
  static int number = 0;
  pool_ = rte_pktmbuf_pool_create(
      fmt::format("lab{}", number++).c_str(), 2047, 0, 0,
      static_cast<std::uint16_t>(RTE_PKTMBUF_HEADROOM + std::max(options_.mtu + 256, 2048)),
      SOCKET_ID_ANY);
  if (pool_ == nullptr) throw std::runtime_error("no packet memory");
  pipeline_ = Pipeline::create(options_, worker, *pool_, counters_).value();
}

Lab::~Lab() {
  pipeline_.reset();
  EXPECT_EQ(buffers_in_use(), 0u) << "packet buffers leaked";
  rte_mempool_free(pool_);
}

unsigned Lab::buffers_in_use() const {
  return rte_mempool_in_use_count(pool_);
}

void Lab::apply(const Snapshot& snapshot) {
  static int number = 0;
  std::vector<std::shared_ptr<SaState>> states;
  for (const Sa& sa : snapshot.sas) {
    const auto old = std::ranges::find_if(
        states_, [&](const auto& s) { return s->spi() == sa.spi && s->same_key(sa); });
    states.push_back(old != states_.end()
                         ? *old
                         : std::make_shared<SaState>(*keys_, sa, workers_, options_.mtu));
    states.back()->follow(sa);
  }
  states_ = states;
  auto policy = compile_policy(snapshot, std::move(states), fmt::format("lab{}-", number++),
                               policies_.empty() ? nullptr : policies_.back().get());
  if (!policy) throw std::runtime_error(policy.error().text());
  pipeline_->use(policy->get());
  policies_.push_back(std::move(*policy));
}

namespace {

rte_mbuf* place(rte_mempool& pool, const Bytes& frame, const Placement& placement) {
  rte_mbuf* first = nullptr;
  const std::size_t share = frame.size() / placement.segments + 1;
  for (std::size_t from = 0; from < frame.size() || first == nullptr; from += share) {
    const std::size_t n = std::min(share, frame.size() - from);
    rte_mbuf* part = rte_pktmbuf_alloc(&pool);
    if (part == nullptr) throw std::runtime_error("no packet buffer");
    part->data_off = placement.headroom;
    std::memcpy(rte_pktmbuf_append(part, static_cast<std::uint16_t>(n)), frame.data() + from, n);
    if (first == nullptr)
      first = part;
    else if (rte_pktmbuf_chain(first, part) != 0)
      throw std::runtime_error("chain");
  }
  return first;
}

void collect(Outgoing& outgoing, std::vector<Bytes>& frames) {
  for (unsigned i = 0; i < outgoing.size; ++i) {
    rte_mbuf* mbuf = outgoing.mbuf[i];
    EXPECT_EQ(mbuf->nb_segs, 1);
    EXPECT_EQ(mbuf->pkt_len, mbuf->data_len);
    const auto* data = rte_pktmbuf_mtod(mbuf, const std::uint8_t*);
    frames.emplace_back(data, data + mbuf->data_len);
    rte_pktmbuf_free(mbuf);
  }
  outgoing.size = 0;
}

}  // namespace

Outcome Lab::run(Side side, const std::vector<Bytes>& frames, const Placement& placement) {
  const WorkerCounters before = counters_;
  Outcome outcome;
  auto burst = std::make_unique<Burst>();
  if (pipeline_->policy() != nullptr) pipeline_->set_time(now_ms_);
  for (std::size_t from = 0; from < frames.size(); from += burst_max) {
    burst->size = static_cast<unsigned>(std::min<std::size_t>(burst_max, frames.size() - from));
    for (unsigned i = 0; i < burst->size; ++i)
      burst->mbuf[i] = place(*pool_, frames[from + i], placement);
    switch (side) {
      case Side::inside:
        pipeline_->from_inside(*burst);
        break;
      case Side::outside:
        pipeline_->from_outside(*burst);
        break;
      case Side::punt:
        pipeline_->from_punt(*burst);
        break;
    }
    collect(pipeline_->to_inside, outcome.inside);
    collect(pipeline_->to_outside, outcome.outside);
    collect(pipeline_->to_punt, outcome.punt);
  }
  for (std::size_t i = 0; i < drop_reason_count; ++i)
    if (const auto n = counters_.drops[i] - before.drops[i]; n != 0)
      outcome.drops[std::string(drop_reasons[i].name)] = n;
  for (std::size_t i = 0; i < forward_names.size(); ++i)
    if (const auto n = counters_.forwards[i] - before.forwards[i]; n != 0)
      outcome.forwards[std::string(forward_names[i])] = n;
  return outcome;
}

Outcome Lab::inside(const std::vector<Bytes>& frames, const Placement& placement) {
  return run(Side::inside, frames, placement);
}
Outcome Lab::outside(const std::vector<Bytes>& frames, const Placement& placement) {
  return run(Side::outside, frames, placement);
}
Outcome Lab::punt(const std::vector<Bytes>& frames) {
  return run(Side::punt, frames, {});
}

Sa make_sa(Suite suite, std::uint32_t spi) {
  const SuiteShape& shape = shape_of(suite);
  std::mt19937 random(spi * 31 + static_cast<unsigned>(suite));
  const auto secret = [&](std::size_t n) {
    Bytes octets(n);
    for (auto& octet : octets) octet = static_cast<std::uint8_t>(random());
    return Secret(octets);
  };
  Sa sa;
  sa.spi = spi;
  sa.suite = suite;
  sa.cipher_key = secret(shape.cipher_key);
  sa.integrity_key = secret(shape.integrity_key);
  sa.salt = secret(shape.salt);
  if (shape.aead) {
    sa.sender_ids = {0x21, 0x22};
    sa.sid_bits = 16;
  }
  return sa;
}

Sa clone(const Sa& sa) {
  Sa copy;
  copy.spi = sa.spi;
  copy.suite = sa.suite;
  copy.cipher_key = sa.cipher_key.clone();
  copy.integrity_key = sa.integrity_key.clone();
  copy.salt = sa.salt.clone();
  copy.sender_ids = sa.sender_ids;
  copy.sid_bits = sa.sid_bits;
  copy.replay = sa.replay;
  copy.replay_window = sa.replay_window;
  return copy;
}

PolicyEntry entry(Action action, std::string_view source, std::string_view destination,
                  std::uint32_t spi) {
  PolicyEntry out;
  out.action = action;
  out.selector.source = Prefix::parse(source).value();
  out.selector.destination = Prefix::parse(destination).value();
  out.send_spi = spi;
  if (spi != 0) out.receive_spis = {spi};
  return out;
}

Snapshot protect_all(Suite suite, std::uint32_t spi) {
  Snapshot snapshot;
  snapshot.policy.push_back(entry(Action::protect, "0.0.0.0/0", "0.0.0.0/0", spi));
  snapshot.policy.push_back(entry(Action::protect, "::/0", "::/0", spi));
  snapshot.sas.push_back(make_sa(suite, spi));
  return snapshot;
}

Bytes iv_for(Suite suite, std::uint64_t number) {
  Writer out;
  out.u64(number);
  if (!shape_of(suite).aead) out.u64(~number);
  return out.take();
}

}  // namespace cohort::test
