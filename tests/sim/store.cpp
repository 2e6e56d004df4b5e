#include "tests/sim/store.hpp"

namespace cohort::sim {

Status SimStore::put(std::string_view name, ByteView value) {
  if (frozen_) return fail(disk_error, "the machine is dead");
  if (prng_.chance(faults_.put_error_permille)) return fail(disk_error, std::string(name));
  witnessed_.insert(std::string(name));
  if (prng_.chance(faults_.crash_at_put_permille)) {
    if (prng_.chance(faults_.torn_permille)) {
      values_[std::string(name)].octets = std::nullopt;
    } else if (prng_.chance(500)) {
      values_[std::string(name)] = {to_bytes(value)};
    }
    frozen_ = true;
    if (crash_) crash_();
    return fail(disk_error, "the machine died");
  }
  values_[std::string(name)] = {to_bytes(value)};
  return {};
}

Result<std::optional<Bytes>> SimStore::get(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::optional<Bytes>{};
  if (!found->second.octets) return fail(torn_value, std::string(name));
  return found->second.octets;
}

Status SimStore::remove(std::string_view name) {
  if (frozen_) return fail(disk_error, "the machine is dead");
  if (prng_.chance(faults_.put_error_permille)) return fail(disk_error, std::string(name));
  if (const auto found = values_.find(name); found != values_.end()) values_.erase(found);
  return {};
}

Provenance SimStore::provenance(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end() || !found->second.octets || !found->second.original)
    return Provenance::unknown;
  return witnessed_.contains(name) ? Provenance::latest : Provenance::original;
}

void SimStore::restore(Image image) {
  roll_back(std::move(image));
  for (auto& [name, value] : values_) value.original = false;
}

void SimStore::roll_back(Image image) {
  values_ = std::move(image);
  witnessed_.clear();
}

void SimStore::tear(std::string_view name) {
  if (const auto found = values_.find(name); found != values_.end())
    found->second.octets = std::nullopt;
}

std::size_t SimStore::octets() const {
  std::size_t sum = 0;
  for (const auto& [name, value] : values_) sum += value.octets ? value.octets->size() : 0;
  return sum;
}

}  // namespace cohort::sim
