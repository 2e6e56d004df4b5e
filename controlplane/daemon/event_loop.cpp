#include "controlplane/daemon/event_loop.hpp"

#include <event2/event.h>
#include <new>
#include <signal.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace cohort::daemon {

struct EventLoop::Watch::State {
  event* handle = nullptr;
  Work work;

  ~State() {
    if (handle != nullptr) event_free(handle);
  }
  static void fire(evutil_socket_t, short, void* self) { static_cast<State*>(self)->work(); }
};

EventLoop::Watch::Watch(std::unique_ptr<State> state) : state_(std::move(state)) {}
EventLoop::Watch::Watch() = default;
EventLoop::Watch::~Watch() = default;
EventLoop::Watch::Watch(Watch&& other) noexcept = default;
EventLoop::Watch& EventLoop::Watch::operator=(Watch&& other) noexcept = default;

namespace {

timeval to_timeval(Duration duration) {
  const auto count = duration.count() < 0 ? 0 : duration.count();
  timeval out{};
  out.tv_sec = static_cast<time_t>(count / 1'000'000);
  out.tv_usec = static_cast<suseconds_t>(count % 1'000'000);
  return out;
}

}  // namespace

EventLoop::EventLoop() : base_(event_base_new()), wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  // The library writes to connections with write(2): a peer that hung up must be an error of that
  // connection, not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
  if (base_ == nullptr || wake_fd_ < 0) throw std::runtime_error("no event loop: out of memory?");
  wake_ = on_readable(wake_fd_, [this] { run_posted(); });
}

EventLoop::~EventLoop() {
  wake_ = Watch();
  ::close(wake_fd_);
  event_base_free(base_);
}

EventLoop::Watch EventLoop::on_readable(evutil_socket_t fd, Work ready) {
  auto state = std::make_unique<Watch::State>();
  state->work = std::move(ready);
  state->handle = event_new(base_, fd, EV_READ | EV_PERSIST, &Watch::State::fire, state.get());
  if (state->handle == nullptr || event_add(state->handle, nullptr) != 0) throw std::bad_alloc();
  return Watch(std::move(state));
}

EventLoop::Watch EventLoop::every(Duration period, Work tick) {
  auto state = std::make_unique<Watch::State>();
  state->work = std::move(tick);
  state->handle = event_new(base_, -1, EV_PERSIST, &Watch::State::fire, state.get());
  const timeval interval = to_timeval(period);
  if (state->handle == nullptr || event_add(state->handle, &interval) != 0) throw std::bad_alloc();
  return Watch(std::move(state));
}

EventLoop::Watch EventLoop::on_signal(int number, Work arrived) {
  auto state = std::make_unique<Watch::State>();
  state->work = std::move(arrived);
  state->handle =
      event_new(base_, number, EV_SIGNAL | EV_PERSIST, &Watch::State::fire, state.get());
  if (state->handle == nullptr || event_add(state->handle, nullptr) != 0) throw std::bad_alloc();
  return Watch(std::move(state));
}

EventLoop::Watch EventLoop::deadline(Work due) {
  auto state = std::make_unique<Watch::State>();
  state->work = std::move(due);
  state->handle = event_new(base_, -1, 0, &Watch::State::fire, state.get());
  if (state->handle == nullptr) throw std::bad_alloc();
  return Watch(std::move(state));
}

void EventLoop::arm(Watch& deadline, Duration delay) {
  if (delay == Duration::max()) {
    event_del(deadline.state_->handle);
    return;
  }
  const timeval interval = to_timeval(delay);
  event_add(deadline.state_->handle, &interval);
}

void EventLoop::post(Work work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  const std::uint64_t one = 1;
  // The counter can't overflow before the loop has read it; a full one wakes it all the same.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_, &one, sizeof one);
}

void EventLoop::run_posted() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_fd_, &count, sizeof count);
  std::deque<Work> work;
  {
    const std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (Work& one : work) one();
}

void EventLoop::run() {
  event_base_loop(base_, EVLOOP_NO_EXIT_ON_EMPTY);
}
void EventLoop::stop() {
  event_base_loopbreak(base_);
}

}  // namespace cohort::daemon
