#include "dataplane/manager.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <intel-ipsec-mb.h>
#include <rte_eal.h>
#include <set>

#include "dataplane/eal.hpp"
#include "dataplane/multi_buffer.hpp"
#include "dataplane/port_pair.hpp"
#include "dataplane/reasons.hpp"

namespace cohort::dataplane {

struct Manager::Parts {
  DataplaneOptions options;
  MultiBuffer::Manager multi_buffer = MultiBuffer::linked().best();  ///< for key schedules
  std::vector<std::unique_ptr<PortPair>> pairs;

  [[nodiscard]] PortPair* find(std::string_view name) const {
    const auto found =
        std::ranges::find_if(pairs, [&](const auto& pair) { return pair->name() == name; });
    return found == pairs.end() ? nullptr : found->get();
  }
};

Manager::Manager(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Manager::~Manager() = default;

Result<std::unique_ptr<Manager>> Manager::create(DataplaneOptions options) {
  std::vector<std::string> pci;
  std::set<std::string> names;
  std::set<unsigned> worker_cpus;
  for (const PortPairOptions& pair : options.port_pairs) {
    for (const auto& cpu : pair.workers)
      if (cpu) worker_cpus.insert(*cpu);
    if (!names.insert(pair.name).second)
      return fail(bad_port_pair, fmt::format("two port pairs are called {}", pair.name));
    for (const std::string& device : {pair.inside, pair.outside, pair.punt})
      if (is_pci_address(device)) pci.push_back(device);
  }
  COHORT_CHECK(start_eal(options.eal, pci, worker_cpus));
  auto parts = std::make_unique<Parts>();
  if (!parts->multi_buffer) return fail(no_multi_buffer, "no memory");
  parts->options = std::move(options);
  unsigned number = 0;
  for (const PortPairOptions& pair : parts->options.port_pairs) {
    COHORT_TRY(auto made, PortPair::create(pair, parts->options, *parts->multi_buffer, number++));
    parts->pairs.push_back(std::move(made));
  }
  return std::unique_ptr<Manager>(new Manager(std::move(parts)));
}

void Manager::start() {
  for (const auto& pair : parts_->pairs) pair->start();
}

Status Manager::apply(std::string_view port_pair, Snapshot snapshot) {
  PortPair* pair = parts_->find(port_pair);
  if (pair == nullptr) return fail(no_such_pair, std::string(port_pair));
  return pair->apply(snapshot);
}

Usage Manager::usage(std::string_view port_pair) const {
  const PortPair* pair = parts_->find(port_pair);
  return pair != nullptr ? pair->usage() : Usage{};
}

void Manager::reclaim() {
  for (const auto& pair : parts_->pairs) pair->reclaim();
}

std::size_t Manager::retired() const {
  std::size_t sum = 0;
  for (const auto& pair : parts_->pairs) sum += pair->retired();
  return sum;
}

std::vector<PortStatus> Manager::ports(std::string_view port_pair) const {
  const PortPair* pair = parts_->find(port_pair);
  return pair != nullptr ? pair->ports() : std::vector<PortStatus>{};
}

std::vector<std::string> Manager::advice() const {
  std::vector<std::string> sentences;
  if (!parts_->options.eal.hugepages)
    sentences.emplace_back("hugepages are off: a fifth to a third of the speed is lost");
  if ((parts_->multi_buffer->features & (IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ)) !=
      (IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ))
    sentences.emplace_back("the CPU has no VAES and VPCLMULQDQ: AES-GCM runs at half speed");
  if (const unsigned crowded = MultiBuffer::crowded(); crowded > 0)
    sentences.push_back(fmt::format(
        "{} workers share copies of IPsec-MB, and with AES-GCM slow each other down: the C library "
        "loads no more; start with GLIBC_TUNABLES=glibc.rtld.nns=16 in the environment, and with "
        "16 workers at most",
        crowded));
  for (const auto& pair : parts_->pairs)
    for (std::string& sentence : pair->advice()) sentences.push_back(std::move(sentence));
  return sentences;
}

}  // namespace cohort::dataplane
