#include <gtest/gtest.h>
#include <set>

#include "dataplane/cipher.hpp"
#include "dataplane/counters.hpp"
#include "dataplane/flow_cache.hpp"
#include "dataplane/multi_buffer.hpp"
#include "dataplane/sa_state.hpp"
#include "dataplane/worker.hpp"
#include "tests/packets/lab.hpp"

/// No cache line that is written for each packet belongs to two workers.
namespace cohort::dataplane {
namespace {

constexpr std::size_t line = 64;

/// An array or the heap puts two of them side by side.
template <typename T>
constexpr bool has_lines_of_its_own = alignof(T) % line == 0 && sizeof(T) % line == 0;
static_assert(has_lines_of_its_own<SaWorker>);
static_assert(has_lines_of_its_own<SenderIds>);
static_assert(has_lines_of_its_own<WorkerCounters>);
static_assert(has_lines_of_its_own<Worker>);
static_assert(has_lines_of_its_own<Pipeline>);
static_assert(has_lines_of_its_own<Cipher>);
// The one thing that workers share, the sequence, is written once a burst and has a line, so that
// what all of them read is not taken away by it.
static_assert(has_lines_of_its_own<SaState>);

std::uintptr_t line_of(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) / line;
}

TEST(Layout, WindowsAndCountersOfWorkersShareNoLine) {
  constexpr unsigned workers = 16;
  const auto cipher = Cipher::create().value();
  for (const unsigned window : {1u, 64u, 128u, 1024u, 4096u}) {
    Sa sa = test::make_sa(Suite::aes_128_gcm_16);
    sa.replay_window = static_cast<std::uint16_t>(window);
    sa.sender_ids.clear();
    for (std::uint32_t id = 1; id <= workers; ++id) sa.sender_ids.push_back(id);
    SaState state(cipher->manager(), sa, workers, 1500);
    state.assign_senders(sa);
    std::set<std::uintptr_t> seen;
    for (unsigned i = 0; i < workers; ++i) {
      SaWorker& worker = state.worker(i);
      std::set<std::uintptr_t> lines;
      for (std::size_t at = 0; at < sizeof worker; at += line)
        lines.insert(line_of(reinterpret_cast<const char*>(&worker) + at));
      // Numbers of a window are spread over as many words as it has bits, and a word more.
      for (unsigned word = 0; word <= window / 64; ++word)
        lines.insert(line_of(worker.window.words() + word));
      ASSERT_NE(worker.sender.load(), nullptr);
      lines.insert(line_of(worker.sender.load()));
      for (const std::uintptr_t one : lines)
        EXPECT_TRUE(seen.insert(one).second) << "worker " << i << ", window " << window;
    }
  }
}

/// Each copy of IPsec-MB has its own variable for errors, which GCM calls write for each packet.
TEST(Layout, WorkersCallCopiesOfIpsecMbOfTheirOwn) {
  std::vector<std::unique_ptr<Cipher>> workers;
  std::set<aes_gcm_enc_dec_t> called;
  for (unsigned i = 0; i < 8; ++i) {
    workers.push_back(Cipher::create().value());
    const GcmCalls calls = gcm_of(workers.back()->manager(), 16);
    EXPECT_TRUE(called.insert(calls.encrypt).second);
    EXPECT_TRUE(called.insert(calls.decrypt).second);
  }
  EXPECT_EQ(MultiBuffer::crowded(), 0u);
  // A worker that ends leaves its copy to the next.
  workers.erase(workers.begin() + 2);
  workers.push_back(Cipher::create().value());
  EXPECT_FALSE(called.insert(gcm_of(workers.back()->manager(), 16).encrypt).second);
  EXPECT_EQ(MultiBuffer::crowded(), 0u);
}

TEST(Layout, WorkersBeyondTheLastCopyShareAndSaySo) {
  std::vector<std::shared_ptr<const MultiBuffer>> leases;
  for (unsigned i = 0; i < 17; ++i) leases.push_back(MultiBuffer::lease());
  EXPECT_GE(MultiBuffer::crowded(), 2u);
  const std::set<const MultiBuffer*> copies{leases[0].get(), leases[8].get(), leases[16].get()};
  for (const MultiBuffer* copy : copies) EXPECT_NE(copy->best(), nullptr);
  leases.clear();
  EXPECT_EQ(MultiBuffer::crowded(), 0u);
}

}  // namespace
}  // namespace cohort::dataplane
