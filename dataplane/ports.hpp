#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "controlplane/base/result.hpp"
#include "dataplane/manager.hpp"

struct rte_mempool;

namespace cohort::dataplane {

/// A DPDK port, started. Stopped and closed when it goes; a device that was attached for it is
/// taken off again.
class Port {
 public:
  struct Setup {
    std::string device;  ///< EAL syntax, or the name of a port that is there already
    std::string role;    ///< for messages: "inside", "outside", "punt"
    std::uint16_t queues = 1;
    std::uint16_t ring_size = 1024;
    std::uint16_t mtu = 1500;
    bool promiscuous = true;
  };
  static Result<std::unique_ptr<Port>> open(const Setup& setup, rte_mempool& pool);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  [[nodiscard]] std::uint16_t id() const { return id_; }
  [[nodiscard]] PortStatus status() const;
  /// A kernel device behind a software driver: its peers' offloads can't be trusted.
  [[nodiscard]] bool is_kernel_device() const;
  [[nodiscard]] const std::string& driver() const { return driver_; }

 private:
  Port() = default;
  Status attach(const Setup& setup);
  Status configure(const Setup& setup, rte_mempool& pool);

  std::uint16_t id_ = 0;
  std::string name_;
  std::string role_;
  std::string driver_;
  bool attached_ = false;
  bool started_ = false;
};

}  // namespace cohort::dataplane
