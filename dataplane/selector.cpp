#include "dataplane/selector.hpp"

#include <cstddef>
#include <cstring>
#include <fmt/format.h>
#include <rte_acl.h>
#include <vector>

#include "dataplane/headers.hpp"
#include "dataplane/reasons.hpp"

namespace cohort::dataplane {
namespace {

constexpr std::size_t fields_v4 = 5;
constexpr std::size_t fields_v6 = 11;
RTE_ACL_RULE_DEF(RuleV4, fields_v4);
RTE_ACL_RULE_DEF(RuleV6, fields_v6);

rte_acl_field_def field(std::uint8_t type, std::uint8_t size, std::uint8_t index,
                        std::uint8_t input, std::size_t offset) {
  return {type, size, index, input, static_cast<std::uint32_t>(offset)};
}

/// Protocol, source, destination, and the two ports as one 4-octet input.
rte_acl_config layout(Family family) {
  rte_acl_config config{};
  config.num_categories = 1;
  const auto words = static_cast<std::uint8_t>(family == Family::v4 ? 2 : 8);
  std::uint8_t at = 0;
  config.defs[at] = field(RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, 0);
  for (++at; at <= words; ++at)
    config.defs[at] = field(RTE_ACL_FIELD_TYPE_MASK, 4, at, at, 4u * at);
  config.defs[at] = field(RTE_ACL_FIELD_TYPE_RANGE, 2, at, at, 4u * at);
  config.defs[at + 1] =
      field(RTE_ACL_FIELD_TYPE_RANGE, 2, static_cast<std::uint8_t>(at + 1), at, 4u * at + 2);
  config.num_fields = at + 2u;
  return config;
}

/// rte_acl takes addresses as host-order words with a mask length each.
void put_prefix(rte_acl_field* fields, const Prefix& prefix) {
  const ByteView octets = prefix.address.bytes();
  for (std::size_t word = 0; word < octets.size() / 4; ++word) {
    const std::size_t first_bit = word * 32;
    const std::size_t bits = prefix.length <= first_bit ? 0 : prefix.length - first_bit;
    fields[word].value.u32 = load_be32(octets.data() + word * 4);
    fields[word].mask_range.u32 = static_cast<std::uint32_t>(bits > 32 ? 32 : bits);
  }
}

template <typename Rule>
Rule make_rule(const Selector& selector, std::uint8_t protocol, bool any_port,
               std::uint32_t user_data, std::int32_t priority) {
  Rule rule{};
  rule.data.userdata = user_data;
  rule.data.category_mask = 1;
  rule.data.priority = priority;
  rule.field[0].value.u8 = protocol;
  rule.field[0].mask_range.u8 = protocol == 0 ? 0 : 0xff;
  const std::size_t words = selector.source.address.bytes().size() / 4;
  put_prefix(rule.field + 1, selector.source);
  put_prefix(rule.field + 1 + words, selector.destination);
  rte_acl_field* ports = rule.field + 1 + 2 * words;
  ports[0].value.u16 = any_port ? std::uint16_t{0} : selector.source_ports.first;
  ports[0].mask_range.u16 = any_port ? std::uint16_t{65535} : selector.source_ports.last;
  ports[1].value.u16 = any_port ? std::uint16_t{0} : selector.destination_ports.first;
  ports[1].mask_range.u16 = any_port ? std::uint16_t{65535} : selector.destination_ports.last;
  return rule;
}

/// One entry becomes one rule, or one for each protocol with ports if it names ports only.
template <typename Rule>
void add_rules(std::vector<Rule>& rules, const Selector& selector, std::size_t index,
               bool fragment) {
  const auto priority =
      static_cast<std::int32_t>(RTE_ACL_MAX_PRIORITY - 1 - static_cast<int>(index));
  const bool by_ports = looks_at_ports(selector);
  // 0 means no match to rte_acl.
  auto user_data = static_cast<std::uint32_t>(index) + 1;
  if (fragment && by_ports) user_data += decision_maybe;
  const bool any_port = fragment || !by_ports;
  if (by_ports && selector.protocol == 0) {
    for (const std::uint8_t protocol : {protocol_tcp, protocol_udp, protocol_sctp})
      rules.push_back(make_rule<Rule>(selector, protocol, any_port, user_data, priority));
  } else {
    rules.push_back(make_rule<Rule>(selector, selector.protocol, any_port, user_data, priority));
  }
}

template <typename Rule>
Status fill(rte_acl_ctx& context, std::span<const PolicyEntry> entries, Family family,
            bool fragment) {
  std::vector<Rule> rules;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (entries[i].selector.source.address.family() == family)
      add_rules(rules, entries[i].selector, i, fragment);
  if (rte_acl_add_rules(&context, reinterpret_cast<const rte_acl_rule*>(rules.data()),
                        static_cast<std::uint32_t>(rules.size())) != 0)
    return fail(bad_policy, "rte_acl takes no such rules");
  const rte_acl_config config = layout(family);
  if (rte_acl_build(&context, &config) != 0) return fail(bad_policy, "rte_acl can't build");
  return {};
}

template <typename Key>
void classify_keys(const rte_acl_ctx* context, std::span<const Key> keys,
                   std::uint16_t* decisions) {
  for (std::size_t from = 0; from < keys.size(); from += burst_max) {
    const std::size_t n = std::min<std::size_t>(keys.size() - from, burst_max);
    std::array<const std::uint8_t*, burst_max> data;
    std::array<std::uint32_t, burst_max> results{};
    for (std::size_t i = 0; i < n; ++i)
      data[i] = reinterpret_cast<const std::uint8_t*>(&keys[from + i]);
    if (context != nullptr)
      rte_acl_classify(context, data.data(), results.data(), static_cast<std::uint32_t>(n), 1);
    for (std::size_t i = 0; i < n; ++i)
      decisions[from + i] =
          results[i] == 0 ? decision_none : static_cast<std::uint16_t>(results[i] - 1);
  }
}

Status check(const PolicyEntry& entry, std::size_t index) {
  const Selector& selector = entry.selector;
  const auto say = [&](std::string_view what) {
    return fail(bad_policy, fmt::format("entry {}: {}", index, what));
  };
  if (selector.source.address.family() != selector.destination.address.family())
    return say("source and destination are of different families");
  const unsigned bits = selector.source.address.is_v4() ? 32 : 128;
  if (selector.source.length > bits || selector.destination.length > bits)
    return say("a prefix is longer than its address");
  if (selector.source_ports.first > selector.source_ports.last ||
      selector.destination_ports.first > selector.destination_ports.last)
    return say("a port range ends before it begins");
  return {};
}

bool any_by_ports(std::span<const PolicyEntry> entries, Family family) {
  for (const PolicyEntry& entry : entries)
    if (entry.selector.source.address.family() == family && looks_at_ports(entry.selector))
      return true;
  return false;
}

}  // namespace

bool looks_at_ports(const Selector& selector) {
  return (selector.protocol == 0 || has_ports(selector.protocol)) &&
         !(selector.source_ports.any() && selector.destination_ports.any());
}

void SelectorTable::Free::operator()(rte_acl_ctx* context) const {
  rte_acl_free(context);
}

Result<SelectorTable::Context> SelectorTable::compile(std::span<const PolicyEntry> entries,
                                                      Family family, Kind kind,
                                                      const std::string& name) {
  std::uint32_t count = 0;
  for (const PolicyEntry& entry : entries)
    if (entry.selector.source.address.family() == family) ++count;
  if (count == 0) return Context{};
  rte_acl_param parameters{};
  parameters.name = name.c_str();
  parameters.socket_id = SOCKET_ID_ANY;
  parameters.rule_size =
      static_cast<std::uint32_t>(RTE_ACL_RULE_SZ(family == Family::v4 ? fields_v4 : fields_v6));
  parameters.max_rule_num = count * 3;
  Context context(rte_acl_create(&parameters));
  if (!context) return fail(bad_policy, "no memory for a selector table");
  const bool fragment = kind == Kind::fragment;
  COHORT_CHECK(family == Family::v4 ? fill<RuleV4>(*context, entries, family, fragment)
                                    : fill<RuleV6>(*context, entries, family, fragment));
  return context;
}

Result<SelectorTable> SelectorTable::build(std::span<const PolicyEntry> entries,
                                           std::string_view name) {
  if (entries.size() > entries_max) return fail(policy_too_large, "selectors");
  for (std::size_t i = 0; i < entries.size(); ++i) COHORT_CHECK(check(entries[i], i));
  SelectorTable table;
  const auto named = [&](std::string_view suffix) { return fmt::format("{}{}", name, suffix); };
  COHORT_TRY(table.v4_, compile(entries, Family::v4, Kind::ports_known, named("4")));
  COHORT_TRY(table.v6_, compile(entries, Family::v6, Kind::ports_known, named("6")));
  if (any_by_ports(entries, Family::v4)) {
    COHORT_TRY(table.v4_fragment_, compile(entries, Family::v4, Kind::fragment, named("4f")));
  }
  if (any_by_ports(entries, Family::v6)) {
    COHORT_TRY(table.v6_fragment_, compile(entries, Family::v6, Kind::fragment, named("6f")));
  }
  return table;
}

void SelectorTable::find(std::span<const SelectorKey4> keys, std::uint16_t* decisions) const {
  classify_keys(v4_.get(), keys, decisions);
}
void SelectorTable::find(std::span<const SelectorKey6> keys, std::uint16_t* decisions) const {
  classify_keys(v6_.get(), keys, decisions);
}

std::uint16_t SelectorTable::find_fragment(const SelectorKey4& key) const {
  std::uint16_t decision = decision_none;
  classify_keys(v4_fragment_ ? v4_fragment_.get() : v4_.get(), std::span(&key, 1), &decision);
  return decision;
}
std::uint16_t SelectorTable::find_fragment(const SelectorKey6& key) const {
  std::uint16_t decision = decision_none;
  classify_keys(v6_fragment_ ? v6_fragment_.get() : v6_.get(), std::span(&key, 1), &decision);
  return decision;
}

}  // namespace cohort::dataplane
