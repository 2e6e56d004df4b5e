#pragma once

#include <deque>
#include <event2/util.h>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "controlplane/base/time.hpp"

struct event;
struct event_base;

namespace cohort::daemon {

/// The control plane's one thread: readiness of files, deadlines, signals, and work that other
/// threads hand over. Everything but post() is for that thread only.
class EventLoop {
 public:
  using Work = std::function<void()>;

  /// A registration; it ends with the object.
  class Watch {
   public:
    Watch();
    ~Watch();
    Watch(Watch&& other) noexcept;
    Watch& operator=(Watch&& other) noexcept;
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    friend class EventLoop;
    struct State;
    explicit Watch(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };

  /// Makes the process ignore SIGPIPE.
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// `ready` runs whenever `fd` can be read.
  [[nodiscard]] Watch on_readable(evutil_socket_t fd, Work ready);
  /// `tick` runs every `period` from now on.
  [[nodiscard]] Watch every(Duration period, Work tick);
  [[nodiscard]] Watch on_signal(int number, Work arrived);
  /// A single deadline that can be moved; `due` runs when it is reached.
  [[nodiscard]] Watch deadline(Work due);
  /// Sets a deadline() to run after `delay`; negative is at once, `Duration::max()` is never.
  void arm(Watch& deadline, Duration delay);

  /// Runs `work` on the loop's thread, soon. Any thread; never runs it before it returns.
  void post(Work work);
  /// Until stop().
  void run();
  void stop();
  [[nodiscard]] event_base* base() const { return base_; }

 private:
  void run_posted();

  event_base* base_;
  int wake_fd_;
  std::mutex mutex_;
  std::deque<Work> posted_;  // guarded by mutex_
  Watch wake_;
};

}  // namespace cohort::daemon
