#include "coop/key_schedule.hpp"

#include <algorithm>

#include "controlplane/crypto/hash.hpp"

namespace cohort::coop {

namespace {

constexpr std::string_view label_next = "cohort coop v1 next";
constexpr std::string_view label_key = "cohort coop v1 key";
constexpr std::string_view label_spi = "cohort coop v1 spi";
constexpr std::uint32_t spi_first = 256;  // RFC 4303 section 2.1 reserves what is below
constexpr std::uint64_t spi_space = (std::uint64_t{1} << 32) - spi_first;
constexpr std::uint64_t seq_tick_ms = 250;

bool spi_base_is_clear(std::uint32_t base, std::span<const Chain> chains, std::uint64_t now_ms) {
  return std::none_of(chains.begin(), chains.end(), [&](const Chain& chain) {
    const std::uint64_t at = (chain.spi_base + chain.newest(now_ms)) % spi_space;
    const std::uint64_t ahead = (base + spi_space - at) % spi_space;
    return ahead < spi_window || spi_space - ahead < spi_window;
  });
}

std::uint32_t draw_spi_base(Random& random, const Epoch& epoch,
                            std::span<const Epoch* const> others, std::uint64_t now_ms) {
  for (;;) {
    const auto base = static_cast<std::uint32_t>(random.u64() % spi_space);
    const bool clear = spi_base_is_clear(base, epoch.chains, now_ms) &&
                       std::all_of(others.begin(), others.end(), [&](const Epoch* other) {
                         return spi_base_is_clear(base, other->chains, now_ms);
                       });
    if (clear) return base;
  }
}

Chain fresh_chain(Random& random, const LineSpec& line, std::uint32_t spi_base,
                  std::uint64_t now_ms) {
  Chain chain;
  chain.line = line_id(line.text);
  chain.spi_base = spi_base;
  chain.suite = line.suite;
  chain.start_ms = now_ms;
  chain.period_ms = line.period_ms;
  chain.lifetime_ms = line.lifetime_ms;
  chain.secret = random.secret(chain_secret_octets);
  return chain;
}

}  // namespace

LineId line_id(std::string_view canonical_text) {
  const Bytes digest = crypto::digest(crypto::Hash::sha256, {as_bytes(canonical_text)});
  LineId id;
  std::copy_n(digest.begin(), id.size(), id.begin());
  return id;
}

Secret hkdf_expand(const Secret& key, std::initializer_list<ByteView> info, std::size_t octets) {
  Bytes joined;
  for (const ByteView part : info) joined.insert(joined.end(), part.begin(), part.end());
  Bytes out;
  out.reserve(octets + 32);
  Bytes previous;
  for (std::uint8_t counter = 1; out.size() < octets; ++counter) {
    Bytes block =
        crypto::hmac(crypto::Hash::sha256, key.view(), {previous, joined, ByteView(&counter, 1)});
    zeroize(previous);
    previous = std::move(block);
    out.insert(out.end(), previous.begin(), previous.end());
  }
  zeroize(previous);
  Secret result(ByteView(out).first(octets));
  zeroize(out);
  return result;
}

Chain Chain::clone() const {
  Chain copy;
  copy.line = line;
  copy.spi_base = spi_base;
  copy.suite = suite;
  copy.start_ms = start_ms;
  copy.period_ms = period_ms;
  copy.lifetime_ms = lifetime_ms;
  copy.generation = generation;
  copy.secret = secret.clone();
  return copy;
}

std::uint64_t Chain::newest(std::uint64_t now_ms) const {
  return now_ms < start_ms ? 0 : (now_ms - start_ms) / period_ms;
}

std::uint64_t Chain::oldest_alive(std::uint64_t now_ms) const {
  // The first g with start + g * period + lifetime > now.
  if (now_ms < start_ms + lifetime_ms) return 0;
  return (now_ms - start_ms - lifetime_ms) / period_ms + 1;
}

std::uint32_t Chain::spi(std::uint64_t of) const {
  return static_cast<std::uint32_t>(spi_first + (spi_base + of % spi_space) % spi_space);
}

std::optional<Secret> Chain::secret_of(std::uint64_t of) const {
  if (of < generation || of - generation > ratchet_steps_max) return std::nullopt;
  Secret at = secret.clone();
  for (std::uint64_t step = generation; step < of; ++step)
    at = hkdf_expand(at, {as_bytes(label_next), line}, chain_secret_octets);
  return at;
}

std::optional<Secret> Chain::key(std::uint64_t of, std::size_t octets) const {
  const auto at = secret_of(of);
  if (!at) return std::nullopt;
  return hkdf_expand(*at, {as_bytes(label_key), line, ByteView(&suite, 1)}, octets);
}

std::optional<KekSpi> Chain::kek_spi(std::uint64_t of) const {
  const auto at = secret_of(of);
  if (!at) return std::nullopt;
  const Secret octets = hkdf_expand(*at, {as_bytes(label_spi), line}, 16);
  KekSpi spi;
  std::copy_n(octets.view().begin(), spi.size(), spi.begin());
  return spi;
}

bool Chain::ratchet(std::uint64_t to) {
  if (to <= generation) return true;
  auto at = secret_of(to);
  if (!at) return false;
  secret = std::move(*at);
  generation = to;
  return true;
}

std::string_view name_of(EpochCause cause) {
  switch (cause) {
    case EpochCause::first:
      return "first";
    case EpochCause::policy:
      return "policy";
    case EpochCause::eviction:
      return "eviction";
    case EpochCause::compromise:
      return "compromise";
    case EpochCause::refresh:
      return "refresh";
    case EpochCause::generation:
      return "generation";
    case EpochCause::merge:
      return "merge";
    case EpochCause::sender_ids:
      return "sender ids";
  }
  return "?";
}

Epoch Epoch::clone() const {
  Epoch copy;
  copy.number = number;
  copy.id = id;
  copy.parent = parent;
  copy.purge = purge;
  copy.state = state;
  copy.cause = cause;
  copy.sid_epoch = sid_epoch;
  copy.start_ms = start_ms;
  copy.ancestors = ancestors;
  for (const Chain& chain : chains) copy.chains.push_back(chain.clone());
  return copy;
}

const Chain* Epoch::find(const LineId& line) const {
  for (const Chain& chain : chains) {
    if (chain.line == line) return &chain;
  }
  return nullptr;
}

bool Epoch::descends_from(const EpochId& other) const {
  return std::find(ancestors.begin(), ancestors.end(), other) != ancestors.end();
}

bool Epoch::above(const Epoch& other) const {
  return number != other.number ? number > other.number : id > other.id;
}

std::uint64_t Epoch::steps_to(std::uint64_t now_ms) const {
  std::uint64_t steps = 0;  // times are bounded (time_ms_max): no sum of chains_max overflows
  for (const Chain& chain : chains)
    steps += std::max(chain.oldest_alive(now_ms), chain.generation) - chain.generation;
  return steps;
}

bool Epoch::ratchet(std::uint64_t now_ms) {
  if (steps_to(now_ms) > ratchet_steps_max) return false;
  bool all = true;
  for (Chain& chain : chains) all = chain.ratchet(chain.oldest_alive(now_ms)) && all;
  return all;
}

std::uint64_t Epoch::known_since_ms() const {
  std::uint64_t since = start_ms;
  for (const Chain& chain : chains)
    if (chain.generation > 0) since = std::max(since, chain.ends_ms(chain.generation - 1));
  return since;
}

Epoch begin_epoch(Random& random, EpochCause cause, std::uint32_t highest_number,
                  const Epoch* parent, std::span<const LineSpec> lines,
                  std::span<const Epoch* const> others, std::uint64_t now_ms) {
  Epoch epoch;
  epoch.number = highest_number + 1;
  random.fill(epoch.id);
  epoch.cause = cause;
  epoch.start_ms = now_ms;
  epoch.sid_epoch = epoch.number;
  if (parent != nullptr) {
    epoch.parent = parent->id;
    epoch.purge = parent->purge;
    epoch.ancestors = parent->ancestors;
    epoch.ancestors.insert(epoch.ancestors.begin(), parent->id);
    if (epoch.ancestors.size() > ancestors_max) epoch.ancestors.resize(ancestors_max);
    if (!purges(cause)) epoch.sid_epoch = parent->sid_epoch;
  }
  // Groups that began apart have nothing in common, not even who holds which sender id.
  if (purges(cause) || parent == nullptr) epoch.purge = epoch.id;
  for (const LineSpec& line : lines) {
    const Chain* old = parent != nullptr && cause == EpochCause::policy
                           ? parent->find(line_id(line.text))
                           : nullptr;
    if (old != nullptr && old->period_ms == line.period_ms && old->lifetime_ms == line.lifetime_ms)
      epoch.chains.push_back(old->clone());
    else
      epoch.chains.push_back(
          fresh_chain(random, line, draw_spi_base(random, epoch, others, now_ms), now_ms));
  }
  return epoch;
}

MergePlan plan_merge(const Epoch& mine, const Epoch& theirs) {
  if (mine.id == theirs.id) return MergePlan::same;
  const bool same_purge = mine.purge == theirs.purge;
  // So many ancestors are remembered. Whoever is further behind was away, not apart, unless
  // somebody was excluded meanwhile: then one can't tell, and forgets no exclusion.
  const bool theirs_is_old = same_purge && mine.number >= theirs.number + ancestors_max;
  const bool mine_is_old = same_purge && theirs.number >= mine.number + ancestors_max;
  if (mine.descends_from(theirs.id) || theirs_is_old) return MergePlan::keep;
  if (theirs.descends_from(mine.id) || mine_is_old)
    return same_purge ? MergePlan::adopt_and_push : MergePlan::adopt_and_purge;
  if (same_purge)
    return mine.above(theirs) ? MergePlan::keep_and_receive : MergePlan::adopt_and_push;
  // A server that began a group by itself has excluded nobody: its members join the others.
  if (mine.above(theirs) && theirs.cause == EpochCause::first) return MergePlan::keep;
  if (theirs.above(mine) && mine.cause == EpochCause::first) return MergePlan::adopt_and_purge;
  return MergePlan::begin_purging;
}

std::uint32_t next_seq(std::uint32_t last_used, std::uint64_t kek_start_ms, std::uint64_t now_ms,
                       std::uint32_t slot) {
  const std::uint64_t ticks = now_ms < kek_start_ms ? 0 : (now_ms - kek_start_ms) / seq_tick_ms;
  const std::uint64_t least =
      std::max<std::uint64_t>(std::uint64_t{last_used} + 1, ticks * seq_slots);
  const std::uint64_t ahead = (slot + seq_slots - least % seq_slots) % seq_slots;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(least + ahead, 0xffffffff));
}

}  // namespace cohort::coop
