#include "controlplane/daemon/event_log.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <syslog.h>
#include <unistd.h>

#include "controlplane/base/printable.hpp"
#include "controlplane/daemon/events.hpp"
#include "controlplane/daemon/reasons.hpp"

namespace cohort::daemon {
namespace {

constexpr unsigned refusal_lines_max = 5;
constexpr Duration refusal_period = std::chrono::seconds(10);

constexpr std::size_t line_max = 2048;  // a stranger's certificate may name him in 64 KiB
constexpr std::size_t field_max = 1024;

std::string clean(std::string_view text) {
  return printable(text, line_max);
}

/// Which categories show an event whatever its severity.
std::vector<std::string_view> categories_of(const EventKind& kind) {
  const auto begins = [&](std::string_view prefix) {
    return kind.mnemonic.substr(0, prefix.size()) == prefix;
  };
  if (kind.facility == "IKE" || kind.facility == "ISAKMP") return {"crypto isakmp"};
  if (kind.facility == "PKI") return {"crypto pki transactions", "crypto pki api"};
  if (kind.facility == "DATAPLANE") return {"dataplane"};
  if (kind.facility != "GDOI" && kind.facility != "CRYPTO") return {};
  if (begins("COOP") || begins("PSEUDO_TIME")) return {"crypto gdoi ks coop", "crypto gdoi ks"};
  if (begins("KS") || begins("UNAUTHORIZED") || begins("POLICY")) return {"crypto gdoi ks"};
  return {"crypto gdoi gm"};
}

std::string_view category_of_refusal(std::string_view where) {
  if (where.find("scep") != std::string_view::npos || where.find("pki") != std::string_view::npos) {
    return "crypto pki validation";
  }
  if (where.find("coop") != std::string_view::npos) return "crypto gdoi ks coop";
  if (where.find("gdoi") != std::string_view::npos) return "crypto gdoi";
  return "crypto isakmp";
}

nlohmann::json json_of(std::string_view facility, Severity severity, std::string_view mnemonic,
                       std::string_view message, WallTime time) {
  return {{"time", to_text(time)},
          {"facility", facility},
          {"severity", static_cast<int>(severity)},
          {"mnemonic", mnemonic},
          {"message", message}};
}

std::string line_of(const nlohmann::json& json) {
  // In ASCII, so that a terminal that shows the file obeys nobody.
  return json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string event_json(const Event& event, WallTime time) {
  nlohmann::json json = json_of(event.kind->facility, event.kind->severity, event.kind->mnemonic,
                                clean(event.sentence()), time);
  nlohmann::json fields = nlohmann::json::object();
  for (const auto& [name, value] : event.fields)
    fields[std::string(name)] = value.substr(0, field_max);
  json["fields"] = std::move(fields);
  return line_of(json);
}

EventLog::~EventLog() {
  if (file_ >= 0) ::close(file_);
  if (syslog_open_) ::closelog();
}

Status EventLog::configure(const config::LoggingOptions& options, std::string name) {
  int file = -1;
  if (!options.event_log.empty()) {
    file = ::open(options.event_log.c_str(),
                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (file < 0) return fail(log_failed, options.event_log + ": " + std::strerror(errno));
  }
  if (file_ >= 0) ::close(file_);
  file_ = file;
  // Categories that the file named and names no more; those of an operator stay.
  for (const std::string& category : options_.debug) {
    const auto& kept = options.debug;
    if (std::find(kept.begin(), kept.end(), category) == kept.end()) {
      (void)set_debug(category, false);
    }
  }
  options_ = options;
  name_ = std::move(name);
  if (options_.syslog && !syslog_open_) {
    ::openlog("cohortd", LOG_PID | LOG_NDELAY, LOG_LOCAL7);
    syslog_open_ = true;
  }
  for (const std::string& category : options_.debug) (void)set_debug(category, true);
  return {};
}

bool EventLog::set_debug(std::string_view category, bool on) {
  bool found = false;
  for (const config::DebugCategory& known : config::debug_categories()) {
    if (category != "all" && known.name != category) continue;
    found = true;
    if (on) {
      on_.insert(known.name);
    } else {
      on_.erase(known.name);
    }
  }
  return found;
}

bool EventLog::wanted(const EventKind& kind) const {
  if (kind.severity <= options_.level) return true;
  const auto categories = categories_of(kind);
  return std::any_of(categories.begin(), categories.end(), [this](std::string_view category) {
    const bool gdoi = category.substr(0, 11) == "crypto gdoi";
    return is_on(category) || (gdoi && is_on("crypto gdoi"));
  });
}

void EventLog::emit(Severity severity, const std::string& line, const std::string& json) {
  if (options_.standard_error) {
    const std::string out = fmt::format("{} {} {}\n", to_text(clock_.wall()), name_, line);
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, out.data(), out.size());
  }
  if (options_.syslog) ::syslog(static_cast<int>(severity), "%s", line.c_str());
  if (file_ >= 0) {
    const std::string out = json + '\n';
    [[maybe_unused]] const ssize_t written = ::write(file_, out.data(), out.size());
  }
}

void EventLog::write(const Event& event) {
  if (!wanted(*event.kind)) return;
  emit(event.kind->severity, clean(event.text()), event_json(event, clock_.wall()));
}

void EventLog::write(const Refusal& refusal) {
  const bool traced = is_on(category_of_refusal(refusal.where));
  if (options_.level < Severity::warning && !traced) return;
  Allowance& allowance = allowances_[refusal.error.reason().name];
  const TimePoint now = clock_.now();
  if (now - allowance.since >= refusal_period) {
    if (allowance.left_out > 0) {
      write(Event{&events::events_suppressed,
                  {{"reason", std::string(refusal.error.reason().name)},
                   {"count", std::to_string(allowance.left_out)}}});
    }
    allowance = {now, 0, 0};
  }
  if (!traced && allowance.written >= refusal_lines_max) {
    ++allowance.left_out;
    return;
  }
  ++allowance.written;
  const std::string message = clean(refusal.error.text());
  nlohmann::json json =
      json_of("REFUSED", Severity::warning, refusal.error.reason().name, message, clock_.wall());
  json["fields"] = {{"where", refusal.where}, {"peer", refusal.peer.substr(0, field_max)}};
  emit(Severity::warning,
       fmt::format("%{}-4-REFUSED: {} (where={}, peer={})",
                   category_of_refusal(refusal.where) == "crypto pki validation" ? "PKI" : "CRYPTO",
                   message, refusal.where, clean(refusal.peer)),
       line_of(json));
}

void EventLog::write_debug(std::string_view category, const std::string& text) {
  nlohmann::json json = json_of("DEBUG", Severity::debug, "TRACE", clean(text), clock_.wall());
  json["fields"] = {{"category", category}};
  emit(Severity::debug, fmt::format("%DEBUG-7-TRACE: {}: {}", category, clean(text)),
       line_of(json));
}

}  // namespace cohort::daemon
