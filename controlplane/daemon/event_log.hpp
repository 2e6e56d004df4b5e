#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/configuration.hpp"
#include "controlplane/world/world.hpp"

namespace cohort::daemon {

/// Where events go: lines "%GDOI-5-GM_REGS_COMPL: …" on standard error and in syslog, and a file
/// of JSON objects. An event goes out when its severity is at the level or worse, or when one of
/// its debug categories is on. Control-plane thread only.
class EventLog {
 public:
  explicit EventLog(const Clock& clock) : clock_(clock) {}
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  /// Opens what the options name; on a failure the old state stays. Also how a rotated file is
  /// opened anew.
  Status configure(const config::LoggingOptions& options, std::string name);
  void write(const Event& event);
  /// Refusals are hostile input as a rule: at most a few lines for each reason in ten seconds, and
  /// then one that says how many were left out.
  void write(const Refusal& refusal);
  /// A line of a debug category; `text` is only asked for when the category is on.
  template <typename Text>
  void debug(std::string_view category, Text text) {
    if (is_on(category)) write_debug(category, text());
  }
  /// False for an unknown category; "all" is every one.
  bool set_debug(std::string_view category, bool on);
  [[nodiscard]] bool is_on(std::string_view category) const { return on_.contains(category); }

 private:
  void emit(Severity severity, const std::string& line, const std::string& json);
  void write_debug(std::string_view category, const std::string& text);
  [[nodiscard]] bool wanted(const EventKind& kind) const;

  const Clock& clock_;
  config::LoggingOptions options_;
  std::string name_;
  int file_ = -1;
  bool syslog_open_ = false;
  std::set<std::string_view> on_;  ///< names out of config::debug_categories()
  struct Allowance {
    TimePoint since{};
    unsigned written = 0;
    std::uint64_t left_out = 0;
  };
  std::map<std::string_view, Allowance> allowances_;  ///< by the reason's name: a bounded set
};

/// The JSON object of an event, one line without its end.
[[nodiscard]] std::string event_json(const Event& event, WallTime time);

}  // namespace cohort::daemon
