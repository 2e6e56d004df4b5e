#include <array>
#include <atomic>
#include <filesystem>
#include <gtest/gtest.h>
#include <mutex>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <string_view>
#include <thread>

#include "perf/loop.hpp"
#include "tests/packets/lab.hpp"

/// Several workers on the same SAs while policies and keys change under them. Proves by itself that
/// nothing is lost; under ThreadSanitizer (./run test --tsan), that nobody reads what another one
/// writes.
namespace cohort::test {
namespace {

using namespace dataplane;

/// Packet memory that changes hands under a lock that ThreadSanitizer sees; DPDK's own is in a
/// library that it does not.
struct Stack {
  std::mutex mutex;
  std::vector<void*> objects;
};
Stack& stack_of(const rte_mempool* pool) {
  return *static_cast<Stack*>(pool->pool_data);
}
int stack_make(rte_mempool* pool) {
  pool->pool_data = new Stack;
  return 0;
}
void stack_free(rte_mempool* pool) {
  delete &stack_of(pool);
}
int stack_put(rte_mempool* pool, void* const* objects, unsigned n) {
  Stack& stack = stack_of(pool);
  const std::lock_guard lock(stack.mutex);
  stack.objects.insert(stack.objects.end(), objects, objects + n);
  return 0;
}
int stack_take(rte_mempool* pool, void** objects, unsigned n) {
  Stack& stack = stack_of(pool);
  const std::lock_guard lock(stack.mutex);
  if (stack.objects.size() < n) return -ENOBUFS;
  for (unsigned i = 0; i < n; ++i) {
    objects[i] = stack.objects.back();
    stack.objects.pop_back();
  }
  return 0;
}
unsigned stack_count(const rte_mempool* pool) {
  Stack& stack = stack_of(pool);
  const std::lock_guard lock(stack.mutex);
  return static_cast<unsigned>(stack.objects.size());
}

void use_visible_packet_memory() {
  start_test_eal();
  static const int registered = [] {
    rte_mempool_ops ops{};
    std::string_view("visible").copy(ops.name, sizeof ops.name - 1);
    ops.alloc = stack_make;
    ops.free = stack_free;
    ops.enqueue = stack_put;
    ops.dequeue = stack_take;
    ops.get_count = stack_count;
    return rte_mempool_register_ops(&ops);
  }();
  ASSERT_GE(registered, 0);
  ASSERT_EQ(rte_mbuf_set_platform_mempool_ops("visible"), 0);
}

class Race : public testing::TestWithParam<Suite> {
 protected:
  static constexpr unsigned workers = 3;
  void SetUp() override {
    use_visible_packet_memory();
    std::string pattern = (std::filesystem::temp_directory_path() / "cohort-race-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    perf::Loop::Options options;
    options.suite = GetParam();
    options.entries = 20;
    options.sas = 4;
    options.workers = workers;
    loop_ = std::make_unique<perf::Loop>(options, directory_);
    ASSERT_TRUE(loop_->pair().apply(loop_->snapshot(0)));
    for (unsigned i = 0; i < workers; ++i)
      threads_.emplace_back([this, i] {
        (void)rte_thread_register();
        while (!stop_.load(std::memory_order_relaxed))
          packets_[i].fetch_add(loop_->pair().worker(i).poll(), std::memory_order_relaxed);
        rte_thread_unregister();
      });
  }
  void TearDown() override {
    stop_.store(true);
    for (std::thread& thread : threads_) thread.join();
    EXPECT_EQ(loop_->lost(), 0u);
    for (const NamedCounter& drop : loop_->pair().usage().drops)
      EXPECT_EQ(drop.value, 0u) << drop.name;
    loop_.reset();
    std::filesystem::remove_all(directory_);
  }
  /// Until each worker has handled so many more packets.
  void let_run(std::uint64_t each) {
    for (unsigned i = 0; i < workers; ++i) {
      const std::uint64_t until = packets_[i].load() + each;
      for (int k = 0; k < 50'000'000 && packets_[i].load() < until; ++k) std::this_thread::yield();
      ASSERT_GE(packets_[i].load(), until) << "worker " << i << " stands still";
    }
  }

  std::string directory_;
  std::unique_ptr<perf::Loop> loop_;
  std::array<std::atomic<std::uint64_t>, workers> packets_{};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};
INSTANTIATE_TEST_SUITE_P(Suites, Race,
                         testing::Values(Suite::aes_128_gcm_16, Suite::aes_128_cbc_sha256_128),
                         [](const auto& suite) {
                           return suite.param == Suite::aes_128_gcm_16 ? "gcm" : "cbc";
                         });

TEST_P(Race, RekeysUnderSeveralWorkersLoseNothing) {
  for (unsigned generation = 1; generation <= 40; ++generation) {
    ASSERT_TRUE(loop_->pair().apply(loop_->snapshot(generation)));
    (void)loop_->pair().usage();
    (void)loop_->pair().ports();
    ASSERT_NO_FATAL_FAILURE(let_run(300));
    loop_->pair().reclaim();
  }
  // An SA that goes and comes back, and one whose anti-replay ends while it is in use.
  Snapshot other = loop_->snapshot(40);
  for (Sa& sa : other.sas) sa.replay = ReplayKind::none;
  ASSERT_TRUE(loop_->pair().apply(other));
  ASSERT_NO_FATAL_FAILURE(let_run(300));
  ASSERT_TRUE(loop_->pair().apply(loop_->snapshot(41)));
  ASSERT_NO_FATAL_FAILURE(let_run(300));
  ASSERT_TRUE(loop_->pair().apply(loop_->snapshot(40)));
  ASSERT_NO_FATAL_FAILURE(let_run(300));
  for (int i = 0; i < 1'000'000 && loop_->pair().retired() > 0; ++i) {
    loop_->pair().reclaim();
    std::this_thread::yield();
  }
  EXPECT_EQ(loop_->pair().retired(), 0u);
}

TEST(Rekey, AThousandSasReplacedAtOnceLoseNothing) {
  use_visible_packet_memory();
  std::string pattern = (std::filesystem::temp_directory_path() / "cohort-many-XXXXXX").string();
  const std::string directory = mkdtemp(pattern.data());
  perf::Loop::Options options;
  options.suite = Suite::aes_128_gcm_16;
  options.entries = 1000;
  options.sas = 1000;
  perf::Loop loop(options, directory);
  for (unsigned generation = 0; generation < 5; ++generation) {
    ASSERT_TRUE(loop.pair().apply(loop.snapshot(generation)));
    // Every SA has packets, in the ring too when the next generation comes.
    unsigned packets = 0;
    while (packets < 3000) packets += loop.pair().worker(0).poll();
  }
  for (const SaUsage& sa : loop.pair().usage().sas) EXPECT_GT(sa.packets_out, 0u);
  EXPECT_EQ(loop.lost(), 0u);
  EXPECT_EQ(perf::drops_of(loop.pair().usage()), 0u);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace cohort::test
