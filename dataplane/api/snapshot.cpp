#include "dataplane/api/snapshot.hpp"

namespace cohort::dataplane {

namespace {

constexpr SuiteShape cbc(Suite suite, std::string_view name, std::uint8_t key, std::uint8_t auth,
                         std::uint8_t icv) {
  return {suite, name, false, key, auth, 0, 16, icv, 16};
}

constexpr SuiteShape gcm(Suite suite, std::string_view name, std::uint8_t key) {
  return {suite, name, true, key, 0, 4, 8, 16, 4};
}

}  // namespace

const std::vector<SuiteShape>& all_suites() {
  static const std::vector<SuiteShape> suites = {
      cbc(Suite::aes_128_cbc_sha1_96, "aes-128-cbc-hmac-sha1", 16, 20, 12),
      cbc(Suite::aes_192_cbc_sha1_96, "aes-192-cbc-hmac-sha1", 24, 20, 12),
      cbc(Suite::aes_256_cbc_sha1_96, "aes-256-cbc-hmac-sha1", 32, 20, 12),
      cbc(Suite::aes_128_cbc_sha256_128, "aes-128-cbc-hmac-sha256", 16, 32, 16),
      cbc(Suite::aes_192_cbc_sha256_128, "aes-192-cbc-hmac-sha256", 24, 32, 16),
      cbc(Suite::aes_256_cbc_sha256_128, "aes-256-cbc-hmac-sha256", 32, 32, 16),
      cbc(Suite::aes_128_cbc_sha384_192, "aes-128-cbc-hmac-sha384", 16, 48, 24),
      cbc(Suite::aes_192_cbc_sha384_192, "aes-192-cbc-hmac-sha384", 24, 48, 24),
      cbc(Suite::aes_256_cbc_sha384_192, "aes-256-cbc-hmac-sha384", 32, 48, 24),
      cbc(Suite::aes_128_cbc_sha512_256, "aes-128-cbc-hmac-sha512", 16, 64, 32),
      cbc(Suite::aes_192_cbc_sha512_256, "aes-192-cbc-hmac-sha512", 24, 64, 32),
      cbc(Suite::aes_256_cbc_sha512_256, "aes-256-cbc-hmac-sha512", 32, 64, 32),
      gcm(Suite::aes_128_gcm_16, "aes-128-gcm", 16),
      gcm(Suite::aes_192_gcm_16, "aes-192-gcm", 24),
      gcm(Suite::aes_256_gcm_16, "aes-256-gcm", 32),
  };
  return suites;
}

const SuiteShape& shape_of(Suite suite) {
  return all_suites()[static_cast<std::size_t>(suite)];
}

}  // namespace cohort::dataplane
