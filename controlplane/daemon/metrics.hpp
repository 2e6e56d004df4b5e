#pragma once

#include <functional>
#include <map>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/event.hpp"

namespace cohort::daemon {

/// A value that is read when it is asked for, as `cohort_NAME{LABELS} VALUE`.
struct Sample {
  std::string name;  ///< without "cohort_"
  std::string help;
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
  bool counter = false;
};

/// Counts events and refusals as they happen, and gathers everything else at the time of asking.
/// Control-plane thread only.
class Metrics {
 public:
  Metrics();
  void count(const Event& event);
  void count(const Refusal& refusal);
  /// Appends samples; called for each text().
  using Gather = std::function<void(std::vector<Sample>&)>;
  void add(Gather gather) { gathers_.push_back(std::move(gather)); }
  /// Text exposition format 0.0.4.
  [[nodiscard]] std::string text() const;
  struct Refused {
    std::string_view sentence;  ///< of the reason, which lives as long as the program
    std::uint64_t count = 0;
  };
  /// By entry and reason, for `cohort show refusals`.
  using Refusals = std::map<std::pair<std::string, std::string>, Refused>;
  [[nodiscard]] const Refusals& refusals() const { return refused_; }

 private:
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& events_;
  prometheus::Family<prometheus::Counter>& refusals_;
  Refusals refused_;
  std::vector<Gather> gathers_;
};

}  // namespace cohort::daemon
