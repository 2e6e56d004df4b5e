#pragma once

/// Owners of the C library's handles: std::unique_ptr<BIGNUM, Deleter<BN_clear_free>>.
namespace cohort::crypto {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace cohort::crypto
