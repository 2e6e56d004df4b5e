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
  /// As many SAs as the pipeline has, whose keys take turns.
  Limit(const dataplane::Sa& sa, unsigned sas, bool encrypt,
        std::span<const std::uint32_t> inner_sizes,
        std::shared_ptr<const dataplane::MultiBuffer> library = dataplane::MultiBuffer::lease());
  ~Limit();
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

  /// All buffers once. There are several ways for SHA-256: with SHA-NI (the AVX2 manager), which is
  /// faster for short packets, for the hash, the cipher, or both; the least is the limit.
  void run(unsigned way);
  [[nodiscard]] unsigned ways() const { return second_ == nullptr ? 1 : 4; }
  [[nodiscard]] unsigned packets() const { return static_cast<unsigned>(text_.size()); }

 private:
  static constexpr std::size_t stride = 2304;
  void run_gcm();
  void run_cbc(IMB_MGR& ciphers, IMB_MGR& hashes, unsigned from, unsigned n);
  [[nodiscard]] std::uint8_t* buffer(unsigned i) { return buffers_ + i * stride; }

  bool encrypt_;
  std::shared_ptr<const dataplane::MultiBuffer> library_;
  dataplane::MultiBuffer::Manager manager_;
  dataplane::MultiBuffer::Manager second_;
  dataplane::SuiteCode code_;
  std::vector<std::unique_ptr<dataplane::SaKeys>> keys_;
  std::uint8_t* buffers_;
  std::vector<std::uint32_t> text_;
  alignas(64) std::array<IMB_JOB, IMB_MAX_BURST_SIZE> jobs_{};
};

}  // namespace cohort::perf
