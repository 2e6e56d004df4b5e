#include "dataplane/sa_state.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <openssl/evp.h>

#include "dataplane/counters.hpp"
#include "dataplane/headers.hpp"
#include "dataplane/reasons.hpp"

namespace cohort::dataplane {

SaState::SaState(IMB_MGR& manager, const Sa& sa, unsigned workers, std::uint32_t mtu)
    : spi_(sa.spi),
      code_(code_of(sa.suite)),
      checks_(sa.replay),
      by_time_(sa.replay == ReplayKind::time),
      time_window_ms_(by_time_ ? sa.replay_window : std::uint16_t{0}),
      workers_(workers),
      digest_(digest_of(sa)) {
  revive(manager, sa);
  inner_mtu_ = {inner_mtu_for(mtu, ipv4_length), inner_mtu_for(mtu, ipv6_length)};
  if (checks() == ReplayKind::counter)
    for (SaWorker& worker : workers_) worker.window = ReplayWindow(sa.replay_window);
}

void SaState::revive(IMB_MGR& manager, const Sa& sa) {
  keys_ = std::make_unique<SaKeys>(manager, sa);
}

void SaState::wipe() {
  keys_.reset();
}

std::uint32_t SaState::inner_mtu_for(std::uint32_t mtu, std::uint32_t outer_header) const {
  const std::uint32_t around = outer_header + esp_header() + code_.icv;
  if (mtu < around + code_.block) return 0;
  return (mtu - around) / code_.block * code_.block - 2;
}

void SaState::follow(const Sa& sa) {
  if (sa.replay == ReplayKind::none) checks_.store(sa.replay, std::memory_order_relaxed);
  assign_senders(sa);
}

void SaState::assign_senders(const Sa& sa) {
  if (!code_.aead || sa.sid_bits == 0) return;
  // Ids of another width would run into those that were used: same key, same IV. Better no sender.
  if (!senders_.empty() && sid_bits_ != sa.sid_bits) {
    for (SaWorker& worker : workers_) worker.sender.store(nullptr);
    return;
  }
  sid_bits_ = sa.sid_bits;
  const auto known = [&](std::uint32_t id) -> SenderIds* {
    for (const auto& sender : senders_)
      if (sender->id == id) return sender.get();
    return nullptr;
  };
  for (const std::uint32_t id : sa.sender_ids) {
    if (known(id) != nullptr) continue;
    auto sender = std::make_unique<SenderIds>();
    sender->id = id;
    sender->prefix = std::uint64_t{id} << (64 - sa.sid_bits);
    sender->last = (std::uint64_t{1} << (64 - sa.sid_bits)) - 1;
    senders_.push_back(std::move(sender));
  }
  const auto listed = [&](const SenderIds& sender) {
    return std::find(sa.sender_ids.begin(), sa.sender_ids.end(), sender.id) != sa.sender_ids.end();
  };
  for (unsigned index = 0; index < workers_.size(); ++index) {
    SaWorker& worker = workers_[index];
    const SenderIds* mine = worker.sender.load();
    if (mine != nullptr && listed(*mine)) continue;
    SenderIds* next = nullptr;
    for (const auto& sender : senders_)
      if (sender->owner.value_or(index) == index && listed(*sender)) {
        next = sender.get();
        break;
      }
    if (next != nullptr) next->owner = index;
    worker.sender.store(next);
  }
}

SaState::Digest SaState::digest_of(const Sa& sa) {
  Digest digest{};
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  const auto suite = static_cast<std::uint8_t>(sa.suite);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  EVP_DigestUpdate(context.get(), &suite, 1);
  for (const Secret* part : {&sa.cipher_key, &sa.salt, &sa.integrity_key})
    EVP_DigestUpdate(context.get(), part->view().data(), part->size());
  EVP_DigestFinal_ex(context.get(), digest.data(), nullptr);
  return digest;
}

bool SaState::same_key(const Sa& sa) const {
  return digest_ == digest_of(sa);
}

namespace {

std::uint64_t permille_of(const SenderIds& sender) {
  const std::uint64_t next = peek(sender.next);
  return next > sender.last ? 1000 : next / (sender.last / 1000 + 1);
}

std::optional<std::int32_t> farther(std::optional<std::int32_t> a, std::optional<std::int32_t> b) {
  if (!a || !b) return a ? a : b;
  return std::abs(*a) < std::abs(*b) ? b : a;
}

}  // namespace

SaUsage SaState::usage() const {
  SaUsage usage;
  usage.spi = spi_;
  std::uint64_t worst = sequence_.load(std::memory_order_relaxed) / (last_sequence() / 1000);
  for (const SaWorker& worker : workers_) {
    usage.packets_out += peek(worker.packets_out);
    usage.bytes_out += peek(worker.bytes_out);
    usage.packets_in += peek(worker.packets_in);
    usage.bytes_in += peek(worker.bytes_in);
    usage.replay_drops += peek(worker.replay_drops);
    usage.auth_failures += peek(worker.auth_failures);
    usage.time_skew_ms = farther(usage.time_skew_ms, worker.skew.ms());
    if (const SenderIds* sender = worker.sender.load(); sender != nullptr)
      worst = std::max(worst, permille_of(*sender));
  }
  usage.exhausted_permille = static_cast<std::uint32_t>(std::min<std::uint64_t>(worst, 1000));
  return usage;
}

Status check_sa(const Sa& sa) {
  const SuiteShape& shape = shape_of(sa.suite);
  const auto say = [&](std::string_view what) {
    return fail(bad_sa, fmt::format("SPI {:#x}, {}: {}", sa.spi, shape.name, what));
  };
  if (sa.spi < 256) return say("an SPI under 256 is reserved");
  if (sa.cipher_key.size() != shape.cipher_key) return say("the cipher key has the wrong size");
  if (sa.integrity_key.size() != shape.integrity_key)
    return say("the integrity key has the wrong size");
  if (sa.salt.size() != shape.salt) return say("the salt has the wrong size");
  if (sa.replay == ReplayKind::counter && (sa.replay_window < 1 || sa.replay_window > 4096))
    return say("the anti-replay window is not 1 to 4096 packets");
  if (sa.replay == ReplayKind::time && (sa.replay_window < 100 || sa.replay_window > 60'000))
    return say("the anti-replay window is not 100 to 60000 ms");
  if (shape.aead && !sa.sender_ids.empty()) {
    if (sa.sid_bits != 8 && sa.sid_bits != 12 && sa.sid_bits != 16 && sa.sid_bits != 24)
      return say("sender ids have 8, 12, 16 or 24 bits");
    for (const std::uint32_t id : sa.sender_ids)
      if (id >> sa.sid_bits != 0) return say("a sender id is wider than it may be");
  }
  return {};
}

}  // namespace cohort::dataplane
