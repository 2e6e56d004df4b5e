#pragma once

#include <cstdint>
#include <intel-ipsec-mb.h>
#include <memory>

namespace cohort::dataplane {

/// One copy of the IPsec-MB library in the process. The direct GCM calls of version 1.3 clear the
/// library's variable for errors, of which there is one for all threads, for every packet: workers
/// that call the same copy take its cache line from each other. So each worker leases a copy: the
/// first has the one that the program is linked with, the others have it loaded once more
/// (dlmopen), code in the same physical memory, variables of their own.
class MultiBuffer {
 public:
  /// Zeroizes it: it may hold keys.
  struct Free {
    void operator()(IMB_MGR* manager) const;
  };
  using Manager = std::unique_ptr<IMB_MGR, Free>;

  /// A copy that nobody has, or the one that the fewest have if no more can be loaded: the C
  /// library has 16 namespaces, and by default thread-local memory for some 12 copies
  /// (GLIBC_TUNABLES=glibc.rtld.nns=16 makes it 16). Any thread; takes milliseconds.
  static std::shared_ptr<const MultiBuffer> lease();
  /// The linked copy, for whoever calls it seldom.
  static const MultiBuffer& linked();
  /// How many leases are of a copy that somebody else has too.
  static unsigned crowded();

  /// Null without memory.
  [[nodiscard]] Manager best() const;
  /// Of AVX2. Null without memory.
  [[nodiscard]] Manager avx2() const;
  /// Of SSE and SHA-NI. Null without memory.
  [[nodiscard]] Manager sse() const;

 private:
  static std::shared_ptr<const MultiBuffer> load();

  void (*init_best_)(IMB_MGR*, IMB_ARCH*) = init_mb_mgr_auto;
  void (*init_avx2_)(IMB_MGR*) = init_mb_mgr_avx2;
  void (*init_sse_)(IMB_MGR*) = init_mb_mgr_sse;
};

}  // namespace cohort::dataplane
