// The dataplane of a group member.
#include <fmt/format.h>
#include <set>

#include "config/reader.hpp"
#include "config/sections.hpp"

namespace cohort::config {
namespace {

std::vector<IpAddress> read_addresses(Object& object, std::string_view key) {
  std::vector<IpAddress> out;
  object.each_item(key, 256, [&](const Json& item, const std::string& pointer) {
    const auto address = read_address(item.is_string() ? item.get<std::string>() : std::string());
    if (address) {
      out.push_back(*address);
    } else {
      object.context().diagnostics.error(pointer, found_text(item), "an IPv4 or IPv6 address",
                                         address.error());
    }
  });
  return out;
}

void read_workers(Object& object, dataplane::PortPairOptions& out) {
  const auto count = object.number("workers", 1, 1, 63);
  std::vector<std::optional<unsigned>> cpus;
  object.each_item("cpus", 63, [&](const Json& item, const std::string& pointer) {
    if (item.is_number_unsigned() && item.get<std::uint64_t>() < 4096) {
      cpus.emplace_back(static_cast<unsigned>(item.get<std::uint64_t>()));
    } else {
      object.context().diagnostics.error(pointer, found_text(item), "the number of a CPU",
                                         "see lscpu");
    }
  });
  if (object.has("cpus") && object.has("workers") && cpus.size() != count) {
    object.reject("cpus", fmt::format("{} CPUs, one for each worker", count),
                  "remove \"workers\" or list as many");
  }
  out.workers = cpus.empty() ? std::vector<std::optional<unsigned>>(count) : std::move(cpus);
}

struct Device {
  const char* key;
  std::string_view driver;  ///< that makes one of a kernel interface
};
constexpr Device devices_of_pair[] = {
    {"inside", "net_af_packet0"}, {"outside", "net_af_packet1"}, {"punt", "net_tap0"}};

void check_devices(Object& object, const dataplane::PortPairOptions& pair) {
  std::set<std::string_view> seen;
  const std::string* names[] = {&pair.inside, &pair.outside, &pair.punt};
  for (std::size_t i = 0; i < std::size(names); ++i) {
    const auto& [key, driver] = devices_of_pair[i];
    const std::string_view name = *names[i];
    if (name.empty()) continue;
    if (!seen.insert(name).second)
      object.reject(key, "a device of its own", "another port of the pair has it; name another");
    // DPDK knows its devices by bus or driver; the bare name of an interface is the usual slip.
    const bool by_bus = name.find_first_of(":.=") != std::string_view::npos;
    if (!by_bus && !name.starts_with("net_") && !name.starts_with("eth_"))
      object.warn(
          key, "a device of DPDK",
          fmt::format("if it is an interface of the kernel, write \"{},iface={}\"", driver, name));
  }
}

dataplane::PortPairOptions read_port_pair(ReadContext& context, const std::string& name,
                                          const Json& value, const std::string& pointer) {
  Object object(context, value, pointer, sections::port_pair);
  dataplane::PortPairOptions out;
  out.name = name;
  out.inside = object.required_text("inside");
  out.outside = object.required_text("outside");
  out.punt = object.text_or("punt", "");
  check_devices(object, out);
  out.mtu = static_cast<std::uint16_t>(object.number("mtu", out.mtu, 576, 9600));
  out.own_addresses = read_addresses(object, "own_addresses");
  if (!out.own_addresses.empty() && out.punt.empty()) {
    object.reject("own_addresses", "nothing without a punt port",
                  "add \"punt\", or packets for these addresses would be dropped");
  }
  out.control_peers = read_addresses(object, "control_peers");
  using dataplane::ChecksumCheck;
  using dataplane::DfBit;
  out.df_bit = object.choice<DfBit>(
      "df_bit", out.df_bit, {{"copy", DfBit::copy}, {"set", DfBit::set}, {"clear", DfBit::clear}});
  out.clamp_mss = object.flag("clamp_mss", out.clamp_mss);
  out.check_checksums = object.choice<ChecksumCheck>("check_checksums", out.check_checksums,
                                                     {{"automatic", ChecksumCheck::automatic},
                                                      {"on", ChecksumCheck::on},
                                                      {"off", ChecksumCheck::off}});
  read_workers(object, out);
  out.ring_size = static_cast<std::uint16_t>(object.number("ring_size", out.ring_size, 64, 32768));
  object.finish();
  return out;
}

}  // namespace

dataplane::DataplaneOptions read_dataplane(ReadContext& context, const Json& value) {
  using std::chrono::milliseconds;
  Object object(context, value, "/dataplane", sections::dataplane);
  dataplane::DataplaneOptions out;
  if (!object.has("port_pairs")) object.missing("port_pairs", "an object of named port pairs");
  object.each_named("port_pairs", 32,
                    [&](const std::string& name, const Json& item, const std::string& pointer) {
                      out.port_pairs.push_back(read_port_pair(context, name, item, pointer));
                    });
  out.eal.hugepages = object.flag("hugepages", out.eal.hugepages);
  out.eal.memory_mb =
      static_cast<unsigned>(object.number("memory_mb", out.eal.memory_mb, 64, 1'048'576));
  out.eal.file_prefix = object.text_or("file_prefix", out.eal.file_prefix);
  if (object.has("file_prefix")) {
    (void)check_name(context, out.eal.file_prefix, object.pointer_to("file_prefix"));
  }
  out.eal.extra = object.text_list("eal_arguments");
  out.idle_sleep_max = object.duration("idle_sleep_max", out.idle_sleep_max,
                                       std::chrono::microseconds(0), milliseconds(100));
  out.mbufs_per_pair = static_cast<std::uint32_t>(
      object.number("packet_buffers", out.mbufs_per_pair, 1024, 4'194'304));
  out.icmp_errors_per_second = static_cast<std::uint32_t>(
      object.number("icmp_errors_per_second", out.icmp_errors_per_second, 0, 1'000'000));
  out.reassembly_flows = static_cast<std::uint32_t>(
      object.number("reassembly_flows", out.reassembly_flows, 0, 65'536));
  out.reassembly_timeout = object.milliseconds("reassembly_timeout", out.reassembly_timeout,
                                               milliseconds(100), std::chrono::seconds(60));
  object.finish();
  return out;
}

}  // namespace cohort::config
