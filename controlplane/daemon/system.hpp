#pragma once

#include "controlplane/world/world.hpp"

namespace cohort::daemon {

/// CLOCK_BOOTTIME for deadlines, so that keys age while a machine is suspended; the system's wall
/// clock for certificates.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override;
  [[nodiscard]] WallTime wall() const override;
};

/// OpenSSL's generator, seeded by the kernel. Ends the program when that fails: nothing may go on
/// with predictable keys.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override;
};

/// Keeps what this process holds, keys among it, out of swap, by locking all memory that it uses,
/// now or later. False where the system's limit does not let it and there is swap.
[[nodiscard]] bool keep_out_of_swap();

/// Gives up every capability of the calling thread; nothing to do for an ordinary user. What is
/// open stays open.
void drop_capabilities();

}  // namespace cohort::daemon
