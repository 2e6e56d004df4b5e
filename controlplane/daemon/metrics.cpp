#include "controlplane/daemon/metrics.hpp"

#include <map>
#include <prometheus/text_serializer.h>

namespace cohort::daemon {

Metrics::Metrics()
    : events_(prometheus::BuildCounter()
                  .Name("cohort_events_total")
                  .Help("Events by facility and mnemonic")
                  .Register(registry_)),
      refusals_(prometheus::BuildCounter()
                    .Name("cohort_refusals_total")
                    .Help("Refused inputs by entry and reason")
                    .Register(registry_)) {}

// Labels come from constexpr objects of the program, so hostile input can't make new series.
void Metrics::count(const Event& event) {
  events_
      .Add({{"facility", std::string(event.kind->facility)},
            {"mnemonic", std::string(event.kind->mnemonic)}})
      .Increment();
}

void Metrics::count(const Refusal& refusal) {
  const std::string reason(refusal.error.reason().name);
  refusals_.Add({{"where", refusal.where}, {"reason", reason}}).Increment();
  Refused& refused = refused_[{refusal.where, reason}];
  refused.sentence = refusal.error.reason().sentence;
  ++refused.count;
}

std::string Metrics::text() const {
  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  std::vector<Sample> samples;
  for (const Gather& gather : gathers_) gather(samples);
  std::map<std::string, std::size_t> places;
  for (const Sample& sample : samples) {
    const auto [at, added] = places.emplace(sample.name, families.size());
    if (added) {
      prometheus::MetricFamily family;
      family.name = "cohort_" + sample.name;
      family.help = sample.help;
      family.type =
          sample.counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
      families.push_back(std::move(family));
    }
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
    if (sample.counter) {
      metric.counter.value = sample.value;
    } else {
      metric.gauge.value = sample.value;
    }
    families[at->second].metric.push_back(std::move(metric));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace cohort::daemon
