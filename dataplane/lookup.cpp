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

const std::uint8_t* ip_of(const Burst& burst, unsigned i) {
  return octets(burst.mbuf[i]) + burst.note[i].l2_length;
}

/// The cold half: what the cache did not know, decided together and remembered.
template <typename Key, typename SelectorKey>
struct Misses {
  unsigned size = 0;
  std::array<std::uint8_t, burst_max> index;
  std::array<Key, burst_max> key;
  std::array<std::uint32_t, burst_max> hash;
  std::array<SelectorKey, burst_max> selector;
};

template <typename Key, typename SelectorKey>
[[gnu::noinline]] void decide_misses(LookupContext& context, Burst& burst,
                                     Misses<Key, SelectorKey>& misses) {
  std::array<std::uint16_t, burst_max> decisions;
  context.policy->selectors.find(std::span(misses.selector.data(), misses.size), decisions.data());
  for (unsigned m = 0; m < misses.size; ++m) {
    const unsigned i = misses.index[m];
    Note& note = burst.note[i];
    note.decision = context.locality->decide(ip_of(burst, i), note).value_or(decisions[m]);
    context.cache.put(misses.key[m], misses.hash[m], note.decision);
  }
}

void look_up_v4(LookupContext& context, Burst& burst) {
  std::array<FlowCache::Key4, burst_max> key;
  std::array<std::uint32_t, burst_max> hash;
  std::array<std::uint8_t, burst_max> index;
  unsigned n = 0;
  for (unsigned i = 0; i < burst.size; ++i) {
    const Note& note = burst.note[i];
    if (note.verdict != Verdict::undecided || note.has(note_v6 | note_later_fragment)) continue;
    index[n] = static_cast<std::uint8_t>(i);
    key[n] = context.cache.key4(ip_of(burst, i), note.ports, note.protocol);
    hash[n] = FlowCache::hash(key[n]);
    context.cache.prefetch(hash[n]);
    ++n;
  }
  Misses<FlowCache::Key4, SelectorKey4> misses;
  for (unsigned k = 0; k < n; ++k) {
    const unsigned i = index[k];
    if (context.cache.find(key[k], hash[k], burst.note[i].decision)) [[likely]]
      continue;
    const unsigned m = misses.size++;
    misses.index[m] = index[k];
    misses.key[m] = key[k];
    misses.hash[m] = hash[k];
    misses.selector[m] = selector_key4(ip_of(burst, i), burst.note[i]);
  }
  if (misses.size > 0) decide_misses(context, burst, misses);
}

void look_up_v6(LookupContext& context, Burst& burst) {
  Misses<FlowCache::Key6, SelectorKey6> misses;
  for (unsigned i = 0; i < burst.size; ++i) {
    Note& note = burst.note[i];
    if (note.verdict != Verdict::undecided || !note.has(note_v6) || note.has(note_later_fragment))
      continue;
    const std::uint8_t* ip = ip_of(burst, i);
    const FlowCache::Key6 key = context.cache.key6(ip, note.ports, note.protocol);
    const std::uint32_t hash = FlowCache::hash(key);
    if (context.cache.find(key, hash, note.decision)) [[likely]]
      continue;
    const unsigned m = misses.size++;
    misses.index[m] = static_cast<std::uint8_t>(i);
    misses.key[m] = key;
    misses.hash[m] = hash;
    misses.selector[m] = selector_key6(ip, note);
  }
  if (misses.size > 0) decide_misses(context, burst, misses);
}

void look_up_fragments(LookupContext& context, Burst& burst) {
  for (unsigned i = 0; i < burst.size; ++i) {
    Note& note = burst.note[i];
    if (note.verdict != Verdict::undecided) continue;
    const std::uint8_t* ip = ip_of(burst, i);
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
  std::uint8_t seen = 0;
  bool v4 = false;
  for (unsigned i = 0; i < burst.size; ++i) {
    if (burst.note[i].verdict != Verdict::undecided) continue;
    seen |= burst.note[i].flags;
    v4 |= !burst.note[i].has(note_v6);
  }
  if (v4) look_up_v4(context, burst);
  if ((seen & note_v6) != 0) look_up_v6(context, burst);
  if ((seen & (note_first_fragment | note_later_fragment)) != 0) [[unlikely]]
    look_up_fragments(context, burst);
}

std::uint16_t policy_decision(const LookupContext& context, const std::uint8_t* ip,
                              const Note& note) {
  const SelectorTable& selectors = context.policy->selectors;
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
  if (is_entry(decision)) [[likely]]
    return context.policy->entries[decision].accepts(sa.spi());
  if (decision == decision_none) return false;
  if (!is_maybe(decision)) decision = policy_decision(context, ip, note);
  if (is_entry(decision)) return context.policy->entries[decision].accepts(sa.spi());
  return is_maybe(decision) && some_candidate_accepts(*context.policy, sa.spi(), ip, note);
}

}  // namespace cohort::dataplane
