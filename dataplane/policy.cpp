#include "dataplane/policy.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

Result<CompiledEntry> compile_entry(const PolicyEntry& entry, std::size_t index,
                                    const SaTable& by_spi) {
  const auto unknown = [&](std::uint32_t spi) {
    return fail(bad_policy, fmt::format("entry {}: no SA has SPI {:#x}", index, spi));
  };
  CompiledEntry compiled;
  compiled.action = entry.action;
  if (entry.action != Action::protect) return compiled;
  if (entry.send_spi != 0) {
    compiled.send = by_spi.find(entry.send_spi);
    if (compiled.send == nullptr) return unknown(entry.send_spi);
  }
  for (const std::uint32_t spi : entry.receive_spis) {
    if (by_spi.find(spi) == nullptr) return unknown(spi);
    if (compiled.spi_count < CompiledEntry::inline_spis)
      compiled.spis[compiled.spi_count++] = spi;
    else
      compiled.more_spis.push_back(spi);
  }
  return compiled;
}

}  // namespace

SaTable::SaTable(std::span<const std::shared_ptr<SaState>> sas)
    : mask_(std::bit_ceil(sas.size() * 2 + 2) - 1), slots_(mask_ + 1) {
  for (const auto& sa : sas) {
    std::size_t at = home(sa->spi());
    while (slots_[at].sa != nullptr) at = (at + 1) & mask_;
    slots_[at] = {sa->spi(), sa.get()};
  }
}

Result<std::unique_ptr<CompiledPolicy>> compile_policy(const Snapshot& snapshot,
                                                       std::vector<std::shared_ptr<SaState>> sas,
                                                       std::string_view name,
                                                       const CompiledPolicy* before) {
  auto policy = std::make_unique<CompiledPolicy>();
  std::vector<std::uint32_t> spis;
  for (const auto& sa : sas) spis.push_back(sa->spi());
  std::ranges::sort(spis);
  if (std::ranges::adjacent_find(spis) != spis.end())
    return fail(bad_policy, "two SAs of one snapshot have the same SPI");
  policy->by_spi = SaTable(sas);
  policy->sas = std::move(sas);
  policy->otherwise = snapshot.otherwise;
  if (snapshot.otherwise == Action::protect)
    return fail(bad_policy, "what no entry matches can't be protected: bypass or drop");
  if (before != nullptr && std::ranges::equal(before->entries_as_given, snapshot.policy, {},
                                              &PolicyEntry::selector, &PolicyEntry::selector)) {
    policy->selectors = before->selectors;
    policy->selectors_number = before->selectors_number;
  } else {
    COHORT_TRY(auto selectors, SelectorTable::build(snapshot.policy, name));
    policy->selectors = std::make_shared<const SelectorTable>(std::move(selectors));
    if (before != nullptr) policy->selectors_number = before->selectors_number + 1;
  }
  for (std::size_t i = 0; i < snapshot.policy.size(); ++i) {
    COHORT_TRY(auto entry, compile_entry(snapshot.policy[i], i, policy->by_spi));
    policy->entries.push_back(std::move(entry));
  }
  policy->entries_as_given = snapshot.policy;
  for (const auto& sa : policy->sas) policy->suites |= suite_bit(sa->code().suite);
  policy->by_time = std::ranges::any_of(policy->sas, [](const auto& sa) { return sa->by_time(); });
  policy->group_time_offset_ms = snapshot.group_time_offset_ms;
  return policy;
}

}  // namespace cohort::dataplane
