// The configuration reader: whatever the file holds, problems are named, a configuration exists
// only without an error, and no inline secret shows in a message.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/configuration.hpp"

namespace {

class NoFiles final : public cohort::config::Files {
 public:
  cohort::Result<cohort::Bytes> read(const std::string&, std::size_t) const override {
    return cohort::to_bytes(cohort::as_bytes("a secret in a file\n"));
  }
  bool readable_by_others(const std::string&) const override { return false; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto outcome = cohort::config::read_text(text, "fuzz.json", NoFiles{}, true);
  bool errors = false;
  for (const auto& problem : outcome.problems) {
    errors = errors || problem.kind == cohort::config::Problem::Kind::error;
    if (problem.text().find("MARKED-SECRET") != std::string::npos) std::abort();
  }
  if (outcome.configuration.has_value() == errors) std::abort();
  return 0;
}
