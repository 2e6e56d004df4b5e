#include "dataplane/ports.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

auto refuse(const Port::Setup& setup, std::string_view what, int code) {
  return fail(port_failed, fmt::format("{} port {}: {}: {}", setup.role, setup.device, what,
                                       rte_strerror(code < 0 ? -code : code)));
}

/// By addresses alone: fragments, and a packet's replays, then meet the worker of their first.
rte_eth_conf device_configuration(const rte_eth_dev_info& info, const Port::Setup& setup) {
  rte_eth_conf conf{};
  conf.rxmode.mtu = std::min(setup.mtu, info.max_mtu);
  if (setup.queues > 1) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads &
        (RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER |
         RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_OTHER);
  }
  return conf;
}

}  // namespace

Result<std::unique_ptr<Port>> Port::open(const Setup& setup, rte_mempool& pool) {
  std::unique_ptr<Port> port(new Port);
  port->role_ = setup.role;
  COHORT_CHECK(port->attach(setup));
  COHORT_CHECK(port->configure(setup, pool));
  return port;
}

Status Port::attach(const Setup& setup) {
  name_ = setup.device.substr(0, setup.device.find(','));
  if (rte_eth_dev_get_port_by_name(name_.c_str(), &id_) == 0) return {};
  if (const int code = rte_dev_probe(setup.device.c_str()); code != 0)
    return refuse(setup, "no such device, or it is not free", code);
  attached_ = true;
  if (const int code = rte_eth_dev_get_port_by_name(name_.c_str(), &id_); code != 0)
    return refuse(setup, "the device has no port", code);
  return {};
}

Status Port::configure(const Setup& setup, rte_mempool& pool) {
  rte_eth_dev_info info{};
  if (const int code = rte_eth_dev_info_get(id_, &info); code != 0)
    return refuse(setup, "no information", code);
  driver_ = info.driver_name != nullptr ? info.driver_name : "";
  if (info.max_rx_queues < setup.queues || info.max_tx_queues < setup.queues)
    return fail(port_queues_short, fmt::format("{} port {}: {} queues, {} workers", setup.role,
                                               setup.device, info.max_rx_queues, setup.queues));
  const rte_eth_conf conf = device_configuration(info, setup);
  if (const int code = rte_eth_dev_configure(id_, setup.queues, setup.queues, &conf); code != 0)
    return refuse(setup, "can't be configured", code);
  std::uint16_t receive = std::bit_ceil(setup.ring_size);
  std::uint16_t transmit = receive;
  if (const int code = rte_eth_dev_adjust_nb_rx_tx_desc(id_, &receive, &transmit); code != 0)
    return refuse(setup, "takes no such number of descriptors", code);
  const int socket = rte_eth_dev_socket_id(id_);
  const auto node =
      socket < 0 ? static_cast<unsigned>(SOCKET_ID_ANY) : static_cast<unsigned>(socket);
  for (std::uint16_t queue = 0; queue < setup.queues; ++queue) {
    if (const int code = rte_eth_rx_queue_setup(id_, queue, receive, node, nullptr, &pool);
        code != 0)
      return refuse(setup, "receive queue", code);
    if (const int code = rte_eth_tx_queue_setup(id_, queue, transmit, node, nullptr); code != 0)
      return refuse(setup, "transmit queue", code);
  }
  if (const int code = rte_eth_dev_start(id_); code != 0) return refuse(setup, "can't start", code);
  started_ = true;
  // A bump in the wire takes frames for everybody. Some drivers know no other way and say so.
  if (setup.promiscuous) {
    const int code = rte_eth_promiscuous_enable(id_);
    if (code != 0 && code != -ENOTSUP) return refuse(setup, "promiscuous mode", code);
    (void)rte_eth_allmulticast_enable(id_);
  }
  return {};
}

Port::~Port() {
  if (started_) (void)rte_eth_dev_stop(id_);
  if (!attached_) return;
  rte_eth_dev_info info{};
  rte_device* device = rte_eth_dev_info_get(id_, &info) == 0 ? info.device : nullptr;
  (void)rte_eth_dev_close(id_);
  if (device != nullptr) (void)rte_dev_remove(device);
}

bool Port::is_kernel_device() const {
  constexpr std::string_view kernel_drivers[] = {"net_af_packet", "net_tap", "net_af_xdp"};
  return std::ranges::any_of(kernel_drivers,
                             [&](std::string_view name) { return name == driver_; });
}

PortStatus Port::status() const {
  PortStatus status;
  status.name = name_;
  status.role = role_;
  status.driver = driver_;
  rte_eth_link link{};
  status.link_up = rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  (void)rte_eth_dev_get_mtu(id_, &status.mtu);
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) != 0) return status;
  status.packets_in = stats.ipackets;
  status.packets_out = stats.opackets;
  status.bytes_in = stats.ibytes;
  status.bytes_out = stats.obytes;
  status.missed = stats.imissed;
  status.errors = stats.ierrors + stats.oerrors;
  return status;
}

}  // namespace cohort::dataplane
