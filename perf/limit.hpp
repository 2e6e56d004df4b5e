#pragma once

#include <cstdint>
#include <intel-ipsec-mb.h>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/api/snapshot.hpp"
#include "dataplane/cipher.hpp"

namespace cohort::perf {

/// The bare cost of IPsec-MB for ESP packets: the best call for the suite on hot buffers in place,
/// job fill included, and nothing else. What the pipeline is held against.
class Limit {
 public:
  Limit(const dataplane::Sa& sa, bool encrypt, std::span<const std::uint32_t> inner_sizes);
  ~Limit();
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

  /// All buffers once. SHA-256 over short packets is faster with the AVX2 manager: `second` uses
  /// it.
  void run(bool second);
  [[nodiscard]] bool has_second() const { return second_ != nullptr; }
  [[nodiscard]] unsigned packets() const { return static_cast<unsigned>(text_.size()); }

 private:
  static constexpr std::size_t stride = 2304;
  void run_gcm();
  void run_cbc(IMB_MGR& manager, unsigned from, unsigned n);
  [[nodiscard]] std::uint8_t* buffer(unsigned i) { return buffers_ + i * stride; }

  bool encrypt_;
  IMB_MGR* manager_;
  IMB_MGR* second_ = nullptr;
  dataplane::SuiteCode code_;
  std::unique_ptr<dataplane::SaKeys> keys_;
  std::uint8_t* buffers_;
  std::vector<std::uint32_t> text_;
  alignas(64) std::array<IMB_JOB, IMB_MAX_BURST_SIZE> jobs_{};
};

}  // namespace cohort::perf
