#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "controlplane/base/address.hpp"
#include "controlplane/base/result.hpp"
#include "dataplane/api/snapshot.hpp"
#include "dataplane/burst.hpp"

struct rte_acl_ctx;

namespace cohort::dataplane {

/// A packet's own header as rte_acl reads it: network order, fixed offsets.
struct SelectorKey4 {
  std::uint8_t protocol = 0;
  std::array<std::uint8_t, 3> unused{};
  std::array<std::uint8_t, 8> addresses{};  ///< source, destination
  std::uint32_t ports = 0;
};
struct SelectorKey6 {
  std::uint8_t protocol = 0;
  std::array<std::uint8_t, 3> unused{};
  std::array<std::uint8_t, 32> addresses{};
  std::uint32_t ports = 0;
};
static_assert(sizeof(SelectorKey4) == 16 && sizeof(SelectorKey6) == 40);

/// The ordered policy as rte_acl tables: for packets whose ports are known, and, where the policy
/// looks at ports, for fragments without them. Immutable once built; read by all workers.
class SelectorTable {
 public:
  /// `name` is unique among the tables that exist at once, and short.
  static Result<SelectorTable> build(std::span<const PolicyEntry> entries, std::string_view name);

  /// For each key the first entry that matches, or decision_none.
  void find(std::span<const SelectorKey4> keys, std::uint16_t* decisions) const;
  void find(std::span<const SelectorKey6> keys, std::uint16_t* decisions) const;
  /// The same for later fragments: decision_maybe + entry where the first entry that may match
  /// looks at ports.
  [[nodiscard]] std::uint16_t find_fragment(const SelectorKey4& key) const;
  [[nodiscard]] std::uint16_t find_fragment(const SelectorKey6& key) const;

 private:
  struct Free {
    void operator()(rte_acl_ctx* context) const;
  };
  using Context = std::unique_ptr<rte_acl_ctx, Free>;
  enum class Kind { ports_known, fragment };
  static Result<Context> compile(std::span<const PolicyEntry> entries, Family family, Kind kind,
                                 const std::string& name);

  Context v4_;  ///< null: no entry of this family
  Context v6_;
  Context v4_fragment_;  ///< null: no entry looks at ports
  Context v6_fragment_;
};

/// Whether the entry can tell packets apart by their ports.
[[nodiscard]] bool looks_at_ports(const Selector& selector);

}  // namespace cohort::dataplane
