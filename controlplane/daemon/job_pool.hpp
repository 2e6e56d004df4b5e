#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "controlplane/daemon/event_loop.hpp"
#include "controlplane/world/world.hpp"

namespace cohort::daemon {

/// The World's CryptoJobs on threads: a job runs on one of them, its result comes back on the
/// loop's thread. Jobs are values, so the threads share nothing but the two queues.
class JobPool final : public CryptoJobs {
 public:
  using Done = std::function<void(JobId, JobResult)>;

  /// `threads` 0: one for each processor. Results go to `done`.
  JobPool(EventLoop& loop, unsigned threads);
  /// Drops what waits, and finishes what runs; work that takes long looks at ending().
  ~JobPool() override;
  JobPool(const JobPool&) = delete;
  JobPool& operator=(const JobPool&) = delete;

  void on_done(Done done) { done_ = std::move(done); }
  JobId post(Job job) override;
  /// Runs `work` on a thread, then what it returned on the loop's thread.
  void run(std::function<EventLoop::Work()> work);
  [[nodiscard]] std::size_t waiting() const;
  /// True once the pool is going away. For work on its threads.
  [[nodiscard]] const std::atomic<bool>& ending() const { return ending_; }

 private:
  void serve();

  EventLoop& loop_;
  Done done_;
  JobId last_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<EventLoop::Work()>> queue_;  // guarded by mutex_
  std::atomic<bool> ending_{false};
  std::vector<std::thread> threads_;
};

}  // namespace cohort::daemon
