#pragma once

#include <string>
#include <string_view>

#include "controlplane/base/bytes.hpp"

namespace cohort {

/// Key material: zeroized when it goes away, copied only by an explicit clone(), compared in
/// constant time, and without any way to print it.
class Secret {
 public:
  Secret() = default;
  explicit Secret(ByteView octets);
  /// Takes the octets over and wipes the source.
  static Secret take(Bytes&& octets);
  static Secret of_text(std::string_view text);
  ~Secret();
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  [[nodiscard]] Secret clone() const { return Secret(view()); }
  [[nodiscard]] ByteView view() const { return octets_; }
  [[nodiscard]] std::size_t size() const { return octets_.size(); }
  [[nodiscard]] bool empty() const { return octets_.empty(); }
  [[nodiscard]] bool operator==(const Secret& other) const {
    return equal_constant_time(view(), other.view());
  }

 private:
  Bytes octets_;
};

/// Overwrites memory in a way that the compiler keeps.
void zeroize(Bytes& octets);
void zeroize(std::string& text);

}  // namespace cohort
