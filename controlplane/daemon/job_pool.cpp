#include "controlplane/daemon/job_pool.hpp"

#include <algorithm>
#include <utility>

#include "controlplane/daemon/system.hpp"

namespace cohort::daemon {

JobPool::JobPool(EventLoop& loop, unsigned threads) : loop_(loop) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { serve(); });
}

JobPool::~JobPool() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

JobId JobPool::post(Job job) {
  const JobId id = ++last_;
  run([this, id, job = std::make_shared<Job>(std::move(job))]() -> EventLoop::Work {
    auto result = std::make_shared<JobResult>(run_job(*job));
    return [this, id, result] {
      if (done_) done_(id, std::move(*result));
    };
  });
  return id;
}

void JobPool::run(std::function<EventLoop::Work()> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  changed_.notify_one();
}

std::size_t JobPool::waiting() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void JobPool::serve() {
  drop_capabilities();  // arithmetic needs none
  for (;;) {
    std::function<EventLoop::Work()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !queue_.empty(); });
      if (ending_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    loop_.post(work());
  }
}

}  // namespace cohort::daemon
