#include "dataplane/port_pair.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <pthread.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <set>
#include <unistd.h>

#include "dataplane/clock.hpp"
#include "dataplane/environment.hpp"
#include "dataplane/policy.hpp"
#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

constexpr unsigned policy_ring_size = 64;
constexpr std::size_t buried_max = 256;
constexpr std::size_t sas_max = 4096;
constexpr std::uint32_t pool_cache = 256;
constexpr std::uint16_t packet_slack = 256;  ///< of a buffer, beyond the MTU: Ethernet, ESP, tags

Status check(const PortPairOptions& options) {
  const auto say = [&](std::string_view what) {
    return fail(bad_port_pair, fmt::format("{}: {}", options.name, what));
  };
  if (options.mtu < 576 || options.mtu > 9600) return say("the MTU is not 576 to 9600");
  if (options.inside.empty() || options.outside.empty()) return say("it has two ports");
  if (options.inside == options.outside) return say("inside and outside are the same port");
  if (options.workers.empty() || options.workers.size() > 64) return say("1 to 64 workers");
  return {};
}

PipelineOptions pipeline_options(const PortPairOptions& options, const DataplaneOptions& dataplane,
                                 bool check_checksums, bool finish_punted) {
  PipelineOptions pipeline;
  pipeline.mtu = options.mtu;
  pipeline.has_punt = !options.punt.empty();
  pipeline.check_checksums = check_checksums;
  pipeline.finish_punted_checksums = finish_punted;
  pipeline.clamp_mss = options.clamp_mss;
  pipeline.df_bit = options.df_bit;
  pipeline.locality = Locality(options.own_addresses, options.control_peers);
  pipeline.icmp_errors_per_second = dataplane.icmp_errors_per_second;
  pipeline.reassembly_flows = dataplane.reassembly_flows;
  pipeline.reassembly_timeout = dataplane.reassembly_timeout;
  return pipeline;
}

}  // namespace

void PortPair::FreePool::operator()(rte_mempool* pool) const {
  rte_mempool_free(pool);
}

Result<std::unique_ptr<PortPair>> PortPair::create(const PortPairOptions& options,
                                                   const DataplaneOptions& dataplane,
                                                   IMB_MGR& manager, unsigned number) {
  COHORT_CHECK(check(options));
  std::unique_ptr<PortPair> pair(new PortPair(options, manager, number));
  COHORT_CHECK(pair->make_pool(dataplane));
  COHORT_CHECK(pair->open_ports(dataplane));
  COHORT_CHECK(pair->make_seats(dataplane));
  // Until the control plane speaks, nothing but the control protocols, ARP and ND passes.
  Snapshot closed;
  closed.otherwise = Action::drop;
  COHORT_CHECK(pair->apply(closed));
  if (dataplane.start_workers) pair->start();
  return pair;
}

Status PortPair::make_pool(const DataplaneOptions& dataplane) {
  const auto room = static_cast<std::uint16_t>(
      RTE_PKTMBUF_HEADROOM + std::max<unsigned>(options_.mtu + packet_slack, 2048u));
  const std::string name = fmt::format("cohort-{}-{}", number_, fmt::ptr(this));
  pool_.reset(rte_pktmbuf_pool_create(name.substr(0, 25).c_str(), dataplane.mbufs_per_pair,
                                      pool_cache, 0, room, SOCKET_ID_ANY));
  if (!pool_) return fail(no_packet_memory, rte_strerror(rte_errno));
  return {};
}

Status PortPair::open_ports(const DataplaneOptions& dataplane) {
  (void)dataplane;
  Port::Setup setup;
  setup.queues = static_cast<std::uint16_t>(options_.workers.size());
  setup.ring_size = options_.ring_size;
  setup.mtu = options_.mtu;
  setup.device = options_.inside;
  setup.role = "inside";
  COHORT_TRY(inside_, Port::open(setup, *pool_));
  setup.device = options_.outside;
  setup.role = "outside";
  COHORT_TRY(outside_, Port::open(setup, *pool_));
  if (options_.punt.empty()) return {};
  setup.device = options_.punt;
  setup.role = "punt";
  setup.promiscuous = false;
  COHORT_TRY(punt_, Port::open(setup, *pool_));
  return {};
}

Status PortPair::make_seats(const DataplaneOptions& dataplane) {
  const auto count = static_cast<unsigned>(options_.workers.size());
  const std::size_t size = rte_rcu_qsbr_get_memsize(count);
  readers_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(64, (size + 63) / 64 * 64)));
  if (!readers_ || rte_rcu_qsbr_init(readers_.get(), count) != 0)
    return fail(no_packet_memory, "quiescence variables");
  bool check_checksums = options_.check_checksums == ChecksumCheck::on;
  if (options_.check_checksums == ChecksumCheck::automatic)
    check_checksums = inside_->is_kernel_device();
  const PipelineOptions pipeline =
      pipeline_options(options_, dataplane, check_checksums, outside_->is_kernel_device());
  for (unsigned index = 0; index < count; ++index) {
    auto seat = std::make_unique<Seat>();
    const std::string name = fmt::format("cohort-{}-{}-{}", number_, index, fmt::ptr(this));
    seat->policies.reset(rte_ring_create(name.substr(0, 28).c_str(), policy_ring_size,
                                         SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ));
    if (!seat->policies) return fail(no_packet_memory, rte_strerror(rte_errno));
    WorkerSetup setup;
    setup.index = index;
    setup.inside = inside_->id();
    setup.outside = outside_->id();
    if (punt_) setup.punt = punt_->id();
    setup.idle_sleep_max = dataplane.idle_sleep_max;
    setup.policies = seat->policies.get();
    setup.readers = readers_.get();
    setup.reader = index;
    COHORT_TRY(auto made, Pipeline::create(pipeline, index, *pool_, seat->counters));
    seat->worker = std::make_unique<Worker>(setup, std::move(made), seat->counters);
    if (rte_rcu_qsbr_thread_register(readers_.get(), index) != 0)
      return fail(no_packet_memory, "quiescence reader");
    rte_rcu_qsbr_thread_online(readers_.get(), index);
    seats_.push_back(std::move(seat));
  }
  return {};
}

void PortPair::start() {
  for (std::size_t index = 0; index < seats_.size(); ++index) {
    Seat& seat = *seats_[index];
    if (seat.thread.joinable()) continue;
    seat.thread = std::thread([this, &seat] {
      // An lcore id gives the thread its cache of packet buffers.
      (void)rte_thread_register();
      seat.worker->run(stop_);
      rte_thread_unregister();
    });
    const std::string name = fmt::format("{}.{}", options_.name.substr(0, 11), index);
    (void)pthread_setname_np(seat.thread.native_handle(), name.c_str());
    if (!options_.workers[index]) continue;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(*options_.workers[index], &cpus);
    (void)pthread_setaffinity_np(seat.thread.native_handle(), sizeof cpus, &cpus);
  }
}

PortPair::~PortPair() {
  stop_.store(true);
  for (const auto& seat : seats_)
    if (seat->thread.joinable()) seat->thread.join();
}

std::shared_ptr<SaState> PortPair::find_state(const Sa& sa, const StatesBySpi& current) {
  const auto same = [&](const std::shared_ptr<SaState>& state) {
    return state->spi() == sa.spi && state->same_key(sa);
  };
  if (const auto found = current.find(sa.spi); found != current.end() && same(found->second))
    return found->second;
  const auto buried = std::ranges::find_if(buried_, same);
  // Still held by a retired policy, its keys are there; else they are made again.
  if (buried == buried_.end()) return nullptr;
  std::shared_ptr<SaState> state = *buried;
  buried_.erase(buried);
  return state;
}

Result<std::vector<std::shared_ptr<SaState>>> PortPair::states_for(const Snapshot& snapshot) {
  if (snapshot.sas.size() > sas_max) return fail(policy_too_large, "SAs");
  for (const Sa& sa : snapshot.sas) COHORT_CHECK(check_sa(sa));
  std::vector<std::shared_ptr<SaState>> states;
  StatesBySpi current;
  for (const auto& state : sas_) current.emplace(state->spi(), state);
  for (const Sa& sa : snapshot.sas) {
    std::shared_ptr<SaState> state = find_state(sa, current);
    if (!state)
      state = std::make_shared<SaState>(manager_, sa, static_cast<unsigned>(seats_.size()),
                                        options_.mtu);
    else if (!state->has_keys())
      state->revive(manager_, sa);
    state->follow(sa);
    states.push_back(std::move(state));
  }
  return states;
}

Status PortPair::apply(const Snapshot& snapshot) {
  reclaim();
  const auto full = [](const auto& seat) { return rte_ring_full(seat->policies.get()) != 0; };
  if (std::ranges::any_of(seats_, full)) return fail(workers_busy, options_.name);
  COHORT_TRY(auto states, states_for(snapshot));
  const std::string name = fmt::format("c{}-{}-{:x}-", number_, policies_made_++,
                                       reinterpret_cast<std::uintptr_t>(this) >> 6 & 0xffffff);
  auto policy = compile_policy(snapshot, states, name, current_.get());
  if (!policy) {
    // A buried SA that came back for nothing must not be forgotten.
    for (auto& state : states)
      if (std::ranges::find(sas_, state) == sas_.end()) buried_.push_back(std::move(state));
    return fail(std::move(policy).error());
  }
  (*policy)->group_time_offset_ms += suspended_ms();
  const std::set<std::shared_ptr<SaState>> kept(states.begin(), states.end());
  for (const auto& old : sas_)
    if (!kept.contains(old)) buried_.push_back(old);
  while (buried_.size() > buried_max) buried_.pop_front();
  sas_ = std::move(states);
  push(std::move(*policy));
  reclaim();
  return {};
}

void PortPair::push(std::unique_ptr<CompiledPolicy> policy) {
  for (const auto& seat : seats_) (void)rte_ring_sp_enqueue(seat->policies.get(), policy.get());
  // A worker that reports after this point has, when it next looks, the new policy in its ring.
  const std::uint64_t token = rte_rcu_qsbr_start(readers_.get());
  if (current_) retired_.push_back({token, std::move(current_)});
  current_ = std::move(policy);
}

void PortPair::reclaim() {
  while (!retired_.empty() &&
         rte_rcu_qsbr_check(readers_.get(), retired_.front().token, false) == 1)
    retired_.pop_front();
  // Keys that nobody can use any more go at once; counters stay.
  for (const auto& state : buried_)
    if (state.use_count() == 1 && state->has_keys()) state->wipe();
}

Usage PortPair::usage() const {
  Usage usage;
  for (const auto& sa : sas_) usage.sas.push_back(sa->usage());
  for (std::size_t i = 0; i < drop_reason_count; ++i) {
    std::uint64_t sum = 0;
    for (const auto& seat : seats_) sum += peek(seat->counters.drops[i]);
    usage.drops.push_back({drop_reasons[i].name, sum});
  }
  for (std::size_t i = 0; i < forward_names.size(); ++i) {
    std::uint64_t sum = 0;
    for (const auto& seat : seats_) sum += peek(seat->counters.forwards[i]);
    usage.forwards.push_back({forward_names[i], sum});
  }
  for (const auto& seat : seats_)
    if (const std::uint64_t spi = peek(seat->counters.last_unknown_spi); spi != 0)
      usage.unknown_spi = static_cast<std::uint32_t>(spi);
  return usage;
}

std::vector<PortStatus> PortPair::ports() const {
  std::vector<PortStatus> ports{inside_->status(), outside_->status()};
  if (punt_) ports.push_back(punt_->status());
  return ports;
}

std::vector<std::string> PortPair::advice() const {
  std::vector<std::string> sentences;
  const Usage now = usage();
  const auto dropped = [&](DropReason reason) {
    return now.drops[static_cast<std::size_t>(reason)].value;
  };
  for (const DropReason reason :
       {DropReason::frame_over_mtu, DropReason::bad_transport_checksum, DropReason::no_buffer,
        DropReason::tx_full, DropReason::no_punt_port, DropReason::fragment_undecided})
    if (const std::uint64_t count = dropped(reason); count > 0)
      sentences.push_back(fmt::format("{}: {} packets dropped ({}): {}", options_.name, count,
                                      text_of(reason).name, text_of(reason).sentence));
  for (const Port* port : {inside_.get(), outside_.get()}) {
    if (port->is_kernel_device())
      sentences.push_back(
          fmt::format("{}: {} goes through the kernel: under a million packets a "
                      "second; use a NIC, virtio or memif for speed",
                      options_.name, port->status().name));
    if (!port->status().link_up)
      sentences.push_back(fmt::format("{}: {} has no link", options_.name, port->status().name));
  }
  // The node of the first port that has one: both are best on the same.
  std::optional<unsigned> node;
  for (const Port* port : {inside_.get(), outside_.get()})
    if (const int socket = rte_eth_dev_socket_id(port->id()); socket >= 0 && !node)
      node = static_cast<unsigned>(socket);
  for (const std::string& sentence : CpuFacts().advice(options_.workers, node))
    sentences.push_back(fmt::format("{}: {}", options_.name, sentence));
  return sentences;
}

}  // namespace cohort::dataplane
