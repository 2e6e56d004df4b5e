#include "dataplane/lookup.hpp"

#include "dataplane/headers.hpp"

namespace cohort::dataplane {
namespace {

SelectorKey4 selector_key4(const std::uint8_t* ip, const Note& note) {
  SelectorKey4 key;
  key.protocol = note.protocol;
  std::memcpy(key.addresses.data(), ip + 12, key.addresses.size());
  key.ports = has_ports(note.protocol) ? note.ports : 0;
  return key;
}

SelectorKey6 selector_key6(const std::uint8_t* ip, const Note& note) {
  SelectorKey6 key;
  key.protocol = note.protocol;
  std::memcpy(key.addresses.data(), ip + 8, key.addresses.size());
  key.ports = has_ports(note.protocol) ? note.ports : 0;
  return key;
}

/// IPv4 and IPv6, as the code below tells them apart.
struct Family4 {
  using Key = FlowCache::Key4;
  using SelectorKey = SelectorKey4;
  static constexpr std::uint8_t flag = 0;
  using Set = FlowCache::Set4;
  static Key key(const FlowCache& cache, const Note& note) {
    return cache.key4(note.ip, note.nature());
  }
  static SelectorKey selector_key(const Note& note) { return selector_key4(note.ip, note); }
};
struct Family6 {
  using Key = FlowCache::Key6;
  using SelectorKey = SelectorKey6;
  static constexpr std::uint8_t flag = note_v6;
  using Set = FlowCache::Set6;
  static Key key(const FlowCache& cache, const Note& note) {
    return cache.key6(note.ip, note.nature());
  }
  static SelectorKey selector_key(const Note& note) { return selector_key6(note.ip, note); }
};

/// Places in a burst.
struct Places {
  unsigned size = 0;
  std::array<std::uint8_t, burst_max> index;
};

/// The cold half: what the cache did not know, decided together and remembered.
template <typename Ip>
[[gnu::noinline]] void decide_misses(LookupContext& context, Burst& burst, const Places& misses) {
  std::array<typename Ip::SelectorKey, burst_max> selector;
  std::array<std::uint16_t, burst_max> decisions;
  for (unsigned m = 0; m < misses.size; ++m)
    selector[m] = Ip::selector_key(burst.note[misses.index[m]]);
  context.policy->selectors->find(std::span(selector.data(), misses.size), decisions.data());
  for (unsigned m = 0; m < misses.size; ++m) {
    Note& note = burst.note[misses.index[m]];
    note.decision = context.locality->decide(note.ip, note).value_or(decisions[m]);
    context.cache.put(Ip::key(context.cache, note), note.decision);
  }
}

/// Whether look_up_family is to decide it.
template <typename Ip>
[[nodiscard]] inline bool is_of(const Note& note) {
  return note.verdict == Verdict::undecided &&
         (note.flags & (note_v6 | note_later_fragment)) == Ip::flag;
}

/// All keys first, so that their cache lines are on the way while the next are made. `all`: every
/// packet is of the family, and to be decided.
template <typename Ip, bool all>
void look_up_family(LookupContext& context, Burst& burst) {
  std::array<typename Ip::Key, burst_max> key;
  std::array<const typename Ip::Set*, burst_max> set;
  const unsigned size = burst.size;
  for (unsigned i = 0; i < size; ++i) {
    const Note& note = burst.note[i];
    if (!all && !is_of<Ip>(note)) continue;
    key[i] = Ip::key(context.cache, note);
    set[i] = context.cache.set_of(key[i]);
    rte_prefetch0(set[i]);
  }
  Places misses;
  for (unsigned i = 0; i < size; ++i) {
    Note& note = burst.note[i];
    if (!all && !is_of<Ip>(note)) continue;
    if (FlowCache::find(key[i], *set[i], note.decision)) [[likely]]
      continue;
    misses.index[misses.size++] = static_cast<std::uint8_t>(i);
  }
  if (misses.size > 0) [[unlikely]]
    decide_misses<Ip>(context, burst, misses);
}

/// The flags of all packets that are undecided.
std::uint8_t flags_of(const Burst& burst) {
  std::uint8_t flags = 0;
  for (unsigned i = 0; i < burst.size; ++i)
    if (burst.note[i].verdict == Verdict::undecided) flags |= burst.note[i].flags;
  return flags;
}

void look_up_fragments(LookupContext& context, Burst& burst) {
  for (unsigned i = 0; i < burst.size; ++i) {
    Note& note = burst.note[i];
    if (note.verdict != Verdict::undecided) continue;
    const std::uint8_t* ip = note.ip;
    if (note.has(note_first_fragment)) context.fragments.remember(ip, note);
    if (!note.has(note_later_fragment)) continue;
    note.decision = context.fragments.recall(ip, note);
    if (note.decision == FragmentMemory::unknown)
      note.decision =
          context.locality->decide(ip, note).value_or(policy_decision(context, ip, note));
  }
}

bool protocol_and_addresses_match(const Selector& selector, const std::uint8_t* ip,
                                  const Note& note) {
  const bool v6 = note.has(note_v6);
  if (selector.source.address.is_v4() == v6) return false;
  if (selector.protocol != 0 && selector.protocol != note.protocol) return false;
  if (looks_at_ports(selector) && !has_ports(note.protocol)) return false;
  const std::size_t size = v6 ? 16 : 4;
  const std::uint8_t* source = ip + (v6 ? 8 : 12);
  const auto from = IpAddress::from_bytes({source, size});
  const auto to = IpAddress::from_bytes({source + size, size});
  return from && to && selector.source.contains(*from) && selector.destination.contains(*to);
}

/// A fragment without ports: is there an entry that may be its packet's and expects it under the
/// SA? The sender, who saw the ports, chose the SA, and the packet is authentic.
[[gnu::noinline]] bool some_candidate_accepts(const CompiledPolicy& policy, std::uint32_t spi,
                                              const std::uint8_t* ip, const Note& note) {
  for (std::size_t i = 0; i < policy.entries.size(); ++i) {
    const Selector& selector = policy.entries_as_given[i].selector;
    if (!protocol_and_addresses_match(selector, ip, note)) continue;
    if (policy.entries[i].accepts(spi)) return true;
    if (!looks_at_ports(selector)) return false;
  }
  return false;
}

}  // namespace

void look_up(LookupContext& context, Burst& burst) {
  switch (burst.kind) {
    case Kind::plain_v4:
      return look_up_family<Family4, true>(context, burst);
    case Kind::plain_v6:
      return look_up_family<Family6, true>(context, burst);
    case Kind::mixed:
      break;
  }
  look_up_family<Family4, false>(context, burst);
  const std::uint8_t flags = flags_of(burst);
  if ((flags & note_v6) != 0) look_up_family<Family6, false>(context, burst);
  if ((flags & (note_first_fragment | note_later_fragment)) != 0) look_up_fragments(context, burst);
}

std::uint16_t policy_decision(const LookupContext& context, const std::uint8_t* ip,
                              const Note& note) {
  const SelectorTable& selectors = *context.policy->selectors;
  std::uint16_t decision = decision_none;
  if (note.has(note_v6)) {
    const SelectorKey6 key = selector_key6(ip, note);
    if (note.has(note_later_fragment)) return selectors.find_fragment(key);
    selectors.find(std::span(&key, 1), &decision);
  } else {
    const SelectorKey4 key = selector_key4(ip, note);
    if (note.has(note_later_fragment)) return selectors.find_fragment(key);
    selectors.find(std::span(&key, 1), &decision);
  }
  return decision;
}

bool expected_under(const LookupContext& context, const SaState& sa, const std::uint8_t* ip,
                    const Note& note) {
  std::uint16_t decision = note.decision;
  if (is_entry(decision)) return context.policy->entries[decision].accepts(sa.spi());
  if (decision == decision_none) return false;
  if (!is_maybe(decision)) decision = policy_decision(context, ip, note);
  if (is_entry(decision)) return context.policy->entries[decision].accepts(sa.spi());
  return is_maybe(decision) && some_candidate_accepts(*context.policy, sa.spi(), ip, note);
}

}  // namespace cohort::dataplane
