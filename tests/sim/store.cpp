#include "tests/sim/store.hpp"

namespace cohort::sim {

Status SimStore::put(std::string_view name, ByteView value) {
  if (frozen_) return fail(disk_error, "the machine is dead");
  if (prng_.chance(faults_.put_error_permille)) return fail(disk_error, std::string(name));
  if (prng_.chance(faults_.crash_at_put_permille)) {
    if (prng_.chance(faults_.torn_permille)) {
      values_[std::string(name)] = std::nullopt;
    } else if (prng_.chance(500)) {
      values_[std::string(name)] = to_bytes(value);
    }
    frozen_ = true;
    if (crash_) crash_();
    return fail(disk_error, "the machine died");
  }
  values_[std::string(name)] = to_bytes(value);
  return {};
}

Result<std::optional<Bytes>> SimStore::get(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::optional<Bytes>{};
  if (!found->second) return fail(torn_value, std::string(name));
  return found->second;
}

Status SimStore::remove(std::string_view name) {
  if (frozen_) return fail(disk_error, "the machine is dead");
  if (prng_.chance(faults_.put_error_permille)) return fail(disk_error, std::string(name));
  if (const auto found = values_.find(name); found != values_.end()) values_.erase(found);
  return {};
}

void SimStore::tear(std::string_view name) {
  if (const auto found = values_.find(name); found != values_.end()) found->second = std::nullopt;
}

std::size_t SimStore::octets() const {
  std::size_t sum = 0;
  for (const auto& [name, value] : values_) sum += value ? value->size() : 0;
  return sum;
}

}  // namespace cohort::sim
