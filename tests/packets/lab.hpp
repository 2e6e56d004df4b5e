#pragma once

#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dataplane/api/snapshot.hpp"
#include "dataplane/multi_buffer.hpp"
#include "dataplane/pipeline.hpp"
#include "tests/packets/packet.hpp"
#include "tests/packets/reference_esp.hpp"

/// A member's pipeline in the test's own thread, without ports: frames in, frames out.
namespace cohort::test {

/// What came out of one burst.
struct Outcome {
  std::vector<Bytes> inside;
  std::vector<Bytes> outside;
  std::vector<Bytes> punt;
  std::map<std::string, std::uint64_t> drops;     ///< by name, those that are not 0
  std::map<std::string, std::uint64_t> forwards;  ///< likewise
};

/// How frames are put into buffers.
struct Placement {
  std::uint16_t headroom = 128;
  unsigned segments = 1;  ///< the frame is cut into this many, as evenly as it goes
};

class Lab {
 public:
  explicit Lab(dataplane::PipelineOptions options = defaults(), unsigned workers = 1,
               unsigned worker = 0);
  ~Lab();

  static dataplane::PipelineOptions defaults();
  void apply(const dataplane::Snapshot& snapshot);
  /// What CLOCK_MONOTONIC shows from now on.
  void at(std::int64_t ms) { now_ms_ = ms; }
  /// Makes SAs without counters that lived before (a snapshot for a second pipeline).
  Outcome inside(const std::vector<Bytes>& frames, const Placement& placement = {});
  Outcome outside(const std::vector<Bytes>& frames, const Placement& placement = {});
  Outcome punt(const std::vector<Bytes>& frames);
  [[nodiscard]] dataplane::SaState& sa(std::size_t index) { return *states_[index]; }
  [[nodiscard]] dataplane::Pipeline& pipeline() { return *pipeline_; }
  /// Buffers that are neither free nor out: 0, or somebody leaks.
  [[nodiscard]] unsigned buffers_in_use() const;
  rte_mempool& pool() { return *pool_; }
  [[nodiscard]] std::uint64_t last_unknown_spi() const { return counters_.last_unknown_spi; }

 private:
  enum class Side { inside, outside, punt };
  Outcome run(Side side, const std::vector<Bytes>& frames, const Placement& placement);

  dataplane::PipelineOptions options_;
  unsigned workers_;
  std::int64_t now_ms_ = 0;
  rte_mempool* pool_ = nullptr;
  dataplane::WorkerCounters counters_;
  std::unique_ptr<dataplane::Pipeline> pipeline_;
  dataplane::MultiBuffer::Manager keys_ = dataplane::MultiBuffer::linked().best();
  std::vector<std::shared_ptr<dataplane::SaState>> states_;
  std::vector<std::unique_ptr<dataplane::CompiledPolicy>> policies_;
};

/// An SA with keys from the SPI, a sender id, and a window of 64.
dataplane::Sa make_sa(dataplane::Suite suite, std::uint32_t spi = 0x1000);
/// Everything of both families is protected by the SA.
dataplane::Snapshot protect_all(dataplane::Suite suite, std::uint32_t spi = 0x1000);
dataplane::PolicyEntry entry(dataplane::Action action, std::string_view source,
                             std::string_view destination, std::uint32_t spi = 0);
Bytes iv_for(dataplane::Suite suite, std::uint64_t number);
dataplane::Sa clone(const dataplane::Sa& sa);

/// Starts EAL without hugepages, once.
void start_test_eal();

}  // namespace cohort::test
