#include "controlplane/base/secret.hpp"

#include <openssl/crypto.h>
#include <utility>

namespace cohort {

void zeroize(Bytes& octets) {
  if (!octets.empty()) OPENSSL_cleanse(octets.data(), octets.size());
  octets.clear();
}

void zeroize(std::string& text) {
  if (!text.empty()) OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

Secret::Secret(ByteView octets) : octets_(octets.begin(), octets.end()) {}

Secret Secret::take(Bytes&& octets) {
  Secret out;
  out.octets_ = std::move(octets);  // the buffer itself moves, so no copy is left behind
  octets.clear();
  return out;
}

Secret Secret::of_text(std::string_view text) {
  return Secret(as_bytes(text));
}

Secret::~Secret() {
  zeroize(octets_);
}

Secret::Secret(Secret&& other) noexcept : octets_(std::move(other.octets_)) {
  other.octets_.clear();
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    zeroize(octets_);
    octets_ = std::move(other.octets_);
    other.octets_.clear();
  }
  return *this;
}

}  // namespace cohort
