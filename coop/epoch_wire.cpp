#include <algorithm>
#include <fmt/format.h>

#include "coop/key_schedule.hpp"
#include "coop/reasons.hpp"

/// The value of an epoch item, docs/coop-protocol.md section 8.1.
namespace cohort::coop {

namespace {

constexpr std::size_t chain_octets = 92;
// No time that overflows when lifetimes are added to it.
constexpr std::uint64_t time_ms_max = std::uint64_t{1} << 48;

template <std::size_t N>
std::array<std::uint8_t, N> read_array(Reader& in) {
  std::array<std::uint8_t, N> out{};
  const ByteView octets = in.take(N);
  if (octets.size() == N) std::copy(octets.begin(), octets.end(), out.begin());
  return out;
}

void write_chain(Writer& out, const Chain& chain) {
  out.bytes(chain.line).u32(chain.spi_base).u8(chain.suite).zeros(3);
  out.u64(chain.start_ms).u64(chain.period_ms).u64(chain.lifetime_ms).u64(chain.generation);
  out.bytes(chain.secret.view()).zeros(4);
}

Result<Chain> read_chain(Reader& in) {
  Chain chain;
  chain.line = read_array<16>(in);
  chain.spi_base = in.u32();
  chain.suite = in.u8();
  in.skip(3);
  chain.start_ms = in.u64();
  chain.period_ms = in.u64();
  chain.lifetime_ms = in.u64();
  chain.generation = in.u64();
  chain.secret = Secret(in.take(chain_secret_octets));
  in.skip(4);
  if (!in.ok()) return fail(coop_record, "a chain is cut off");
  if (chain.period_ms == 0 || chain.period_ms >= chain.lifetime_ms ||
      chain.lifetime_ms > span_ms_max || chain.lifetime_ms / chain.period_ms >= alive_max ||
      chain.start_ms > time_ms_max || chain.generation > time_ms_max / chain.period_ms)
    return fail(coop_record, "a chain's times contradict each other");
  return chain;
}

}  // namespace

Bytes encode_epoch(const Epoch& epoch) {
  Writer out;
  out.u32(epoch.number).bytes(epoch.parent).bytes(epoch.purge);
  out.u8(static_cast<std::uint8_t>(epoch.state)).u8(static_cast<std::uint8_t>(epoch.cause));
  out.u16(static_cast<std::uint16_t>(epoch.chains.size()));
  out.u32(epoch.sid_epoch).u64(epoch.start_ms);
  out.u8(static_cast<std::uint8_t>(epoch.ancestors.size()));
  for (const EpochId& id : epoch.ancestors) out.bytes(id);
  for (const Chain& chain : epoch.chains) write_chain(out, chain);
  return out.take();
}

Result<Epoch> decode_epoch(const EpochId& id, ByteView value) {
  Reader in(value);
  Epoch epoch;
  epoch.id = id;
  epoch.number = in.u32();
  epoch.parent = read_array<8>(in);
  epoch.purge = read_array<8>(in);
  const std::uint8_t state = in.u8();
  const std::uint8_t cause = in.u8();
  const std::size_t chains = in.u16();
  epoch.sid_epoch = in.u32();
  epoch.start_ms = in.u64();
  const std::size_t ancestors = in.u8();
  if (!in.ok()) return fail(coop_record, "an epoch is cut off");
  if (epoch.number == 0 || epoch.id == EpochId{} || state < 1 || state > 2 || cause < 1 ||
      cause > 8 || chains > chains_max || ancestors > ancestors_max || epoch.start_ms > time_ms_max)
    return fail(coop_record, fmt::format("epoch: number {}, state {}, cause {}, {} chains",
                                         epoch.number, state, cause, chains));
  if (in.remaining() != ancestors * 8 + chains * chain_octets)
    return fail(coop_record, "an epoch's length does not fit its counts");
  epoch.state = static_cast<EpochState>(state);
  epoch.cause = static_cast<EpochCause>(cause);
  for (std::size_t i = 0; i < ancestors; ++i) epoch.ancestors.push_back(read_array<8>(in));
  for (std::size_t i = 0; i < chains; ++i) {
    COHORT_TRY(Chain chain, read_chain(in));
    if (epoch.find(chain.line) != nullptr) return fail(coop_record, "the same line twice");
    epoch.chains.push_back(std::move(chain));
  }
  return epoch;
}

}  // namespace cohort::coop
