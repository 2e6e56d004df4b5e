#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/base/bytes.hpp"

namespace cohort::daemon {

/// Remembers what was put into a store last, in memory that neither a backup nor the next start of
/// the machine reaches: digests in files of a tmpfs. What it confirms was not put back from before.
class StateWitness {
 public:
  /// In a folder of `runtime_directory` for this state directory. Empty if that is not in memory,
  /// or can't be used: then there is nothing to go by.
  static std::optional<StateWitness> open(const std::string& runtime_directory,
                                          const std::string& state_directory);

  /// A put begins: until it ends, what was there before and this are both the last.
  void begin(std::string_view name, ByteView value) const;
  void end(std::string_view name, ByteView value) const;
  void forget(std::string_view name) const;
  [[nodiscard]] bool confirms(std::string_view name, ByteView value) const;

 private:
  StateWitness(std::string folder, std::string boot)
      : folder_(std::move(folder)), boot_(std::move(boot)) {}
  [[nodiscard]] std::string path_of(std::string_view name) const;
  [[nodiscard]] std::vector<Bytes> read(std::string_view name) const;
  void write(std::string_view name, const std::vector<Bytes>& digests) const;

  std::string folder_;
  std::string boot_;  ///< the kernel's random id of this start of the machine
};

}  // namespace cohort::daemon
