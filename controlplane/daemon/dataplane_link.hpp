#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/daemon/event_log.hpp"
#include "controlplane/world/world.hpp"
#include "dataplane/manager.hpp"

namespace cohort::daemon {

/// The World's Dataplane: the manager of a member role, or nobody. In a laboratory it also keeps
/// the keys that pass through it, so that a capture can be decrypted.
class DataplaneLink final : public Dataplane {
 public:
  DataplaneLink(EventLog& log, bool keep_keys) : log_(log), keep_keys_(keep_keys) {}

  void attach(std::unique_ptr<dataplane::Manager> manager) { manager_ = std::move(manager); }
  [[nodiscard]] dataplane::Manager* manager() const { return manager_.get(); }

  Status apply(std::string_view port_pair, dataplane::Snapshot snapshot) override;
  [[nodiscard]] dataplane::Usage usage(std::string_view port_pair) const override;

  /// Every SA seen so far as lines of Wireshark's esp_sa table; empty unless the keys are kept.
  [[nodiscard]] Secret esp_sa_table() const;

 private:
  void remember(const dataplane::Snapshot& snapshot);

  EventLog& log_;
  bool keep_keys_;
  std::unique_ptr<dataplane::Manager> manager_;
  std::map<std::uint32_t, Secret> lab_lines_;  ///< by SPI
};

}  // namespace cohort::daemon
