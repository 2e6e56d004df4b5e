#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "tests/sim/group.hpp"

/// Named ways to break a World on purpose, to see that an oracle objects.
namespace cohort::sim {

[[nodiscard]] dataplane::Sa clone(const dataplane::Sa& sa);
[[nodiscard]] dataplane::Snapshot clone(const dataplane::Snapshot& snapshot);

/// Changes each snapshot on its way to the workers.
class ChangedDataplane final : public Dataplane {
 public:
  using Change = std::function<void(dataplane::Snapshot&)>;
  ChangedDataplane(Dataplane& real, Change change) : real_(real), change_(std::move(change)) {}
  Status apply(std::string_view port_pair, dataplane::Snapshot snapshot) override {
    change_(snapshot);
    return real_.apply(port_pair, std::move(snapshot));
  }
  [[nodiscard]] dataplane::Usage usage(std::string_view port_pair) const override {
    return real_.usage(port_pair);
  }

 private:
  Dataplane& real_;
  Change change_;
};

/// Says that it has written, and after `honest` writes of a name writes it no more.
class LyingStore final : public TracedStore {
 public:
  LyingStore(Store& real, unsigned honest) : real_(real), honest_(honest) {}
  Status put(std::string_view name, ByteView value) override {
    if (written_[std::string(name)]++ >= honest_) return {};
    return real_.put(name, value);
  }
  [[nodiscard]] Result<std::optional<Bytes>> get(std::string_view name) const override {
    return real_.get(name);
  }
  Status remove(std::string_view name) override { return real_.remove(name); }
  [[nodiscard]] Provenance provenance(std::string_view name) const override {
    return provenance_of(real_, name);
  }

 private:
  Store& real_;
  unsigned honest_;
  std::map<std::string, unsigned> written_;
};

}  // namespace cohort::sim
