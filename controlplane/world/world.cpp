#include "controlplane/world/world.hpp"

#include <limits>

namespace cohort {

Bytes Random::bytes(std::size_t n) {
  Bytes out(n);
  fill(out);
  return out;
}

Secret Random::secret(std::size_t n) {
  return Secret::take(bytes(n));
}

std::uint32_t Random::u32() {
  std::array<std::uint8_t, 4> octets{};
  fill(octets);
  return Reader(octets).u32();
}

std::uint64_t Random::u64() {
  std::array<std::uint8_t, 8> octets{};
  fill(octets);
  return Reader(octets).u64();
}

std::uint64_t Random::below(std::uint64_t bound) {
  constexpr std::uint64_t top = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t limit = top - top % bound;  // rejection keeps the draw uniform
  std::uint64_t draw = u64();
  while (draw >= limit) draw = u64();
  return draw % bound;
}

namespace {

template <typename... F>
struct Overload : F... {
  using F::operator()...;
};
template <typename... F>
Overload(F...) -> Overload<F...>;

JobResult value_of(auto result) {
  if (!result) return fail(std::move(result).error());
  return JobValue(std::move(*result));
}

}  // namespace

JobResult run_job(const Job& job) {
  return std::visit(
      Overload{
          [](const DhGenerateJob& work) -> JobResult {
            auto key = crypto::DhKey::generate(work.group);
            if (!key) return fail(std::move(key).error());
            return JobValue(std::make_shared<const crypto::DhKey>(std::move(*key)));
          },
          [](const DhSharedJob& work) { return value_of(work.key->shared(work.peer_public)); },
          [](const SignJob& work) {
            return value_of(work.key.sign(work.form, work.hash, work.digest));
          },
          [](const VerifyJob& work) -> JobResult {
            COHORT_CHECK(work.key.verify(work.form, work.hash, work.digest, work.signature));
            return JobValue(std::monostate{});
          },
      },
      job);
}

}  // namespace cohort
