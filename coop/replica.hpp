#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/base/address.hpp"
#include "controlplane/base/secret.hpp"
#include "coop/messages.hpp"

/// The replicated state of one group: docs/coop-protocol.md section 5.1. Applying items is
/// idempotent and order does not matter, so servers that have exchanged all items are equal.
namespace cohort::coop {

enum class Kind : std::uint8_t {
  policy = 1,
  epoch = 2,
  seq = 4,  // 3 is not assigned
  removed_identity = 5,
  member = 6,
  lease = 7
};
inline constexpr std::uint8_t kind_last = 7;
[[nodiscard]] std::string_view name_of(Kind kind);
/// The most items of a kind, tombstones included; 0 for one that we don't know.
[[nodiscard]] std::size_t limit_of(Kind kind);

inline constexpr std::size_t members_max = 20'000;  ///< of them, those that are gone included

struct ItemKey {
  Kind kind = Kind::policy;
  Bytes key;
  auto operator<=>(const ItemKey&) const = default;
};

struct Item {
  ItemKey id;
  std::uint64_t stamp = 0;
  IpAddress origin;
  bool tombstone = false;
  Secret value;  ///< some kinds are secrets

  [[nodiscard]] Item clone() const;
};

inline constexpr std::size_t key_octets_max = 64;
inline constexpr std::size_t value_octets_max = 65'535;
inline constexpr std::size_t member_value_octets_max = 2'048;
/// Of an item as a record of the stream, without the record's own length.
inline constexpr std::size_t record_octets_max = value_octets_max + key_octets_max + 40;

/// The value of a removed identity.
struct RemovedIdentity {
  /// Keys that it never had are in force: nothing is left to do. False: an epoch that excludes it
  /// has still to begin.
  bool excluded = false;
  std::string identity;  ///< empty: an exclusion that names nobody
};
[[nodiscard]] Bytes encode_removed(const RemovedIdentity& removed);
[[nodiscard]] Result<RemovedIdentity> decode_removed(ByteView value);

[[nodiscard]] Bytes encode_item(const Item& item);
/// Checks lengths and the form of the kind's key and value. An unknown kind gives an empty
/// optional: a higher minor version may have more.
[[nodiscard]] Result<std::optional<Item>> decode_item(ByteView record);

/// Whether what a peer sent leaves room for what follows it.
[[nodiscard]] Status check_heard(const Item& item);

class Replica {
 public:
  explicit Replica(IpAddress self) : self_(self) {}

  // ---- local changes; stamps come from the pseudotime ---------------------------------------
  /// Fails with coop_limit. Writing an equal value changes nothing.
  Status put(ItemKey id, ByteView value, std::uint64_t now_ms);
  void erase(const ItemKey& id, std::uint64_t now_ms);
  /// Deletes what is there, but nothing that somebody has put since without our knowing.
  void retract(const ItemKey& id);
  /// Replaces the value in place: not a change, not sent. For chains that have stepped.
  void rewrite(const ItemKey& id, ByteView value);
  /// Removes an item here only, without a tombstone.
  void forget(const ItemKey& id);

  // ---- what peers sent ----------------------------------------------------------------------
  enum class Applied : std::uint8_t { unchanged, changed };
  Result<Applied> apply(Item item, const IpAddress& from);

  // ---- reading ------------------------------------------------------------------------------
  /// Null for tombstones too.
  [[nodiscard]] const Item* find(const ItemKey& id) const;
  [[nodiscard]] std::vector<const Item*> all(Kind kind) const;  ///< without tombstones
  [[nodiscard]] std::size_t count(Kind kind) const;             ///< with tombstones

  // ---- changes by number --------------------------------------------------------------------
  [[nodiscard]] std::uint64_t last_change() const { return last_change_; }
  [[nodiscard]] std::uint64_t last_stamp() const { return last_stamp_; }
  struct Change {
    std::uint64_t number;
    const Item* item;
  };
  /// The first change after `number` that did not come from `peer`.
  [[nodiscard]] std::optional<Change> next_after(std::uint64_t number, const IpAddress& peer) const;

  /// The peer has started anew and may have lost what it once gave us.
  void forget_source(const IpAddress& peer);

  /// Drops tombstones that have been here for `age_ms`, as far as earlier calls have seen.
  void drop_tombstones(std::uint64_t now_ms, std::uint64_t age_ms);

  // ---- the disk -----------------------------------------------------------------------------
  static constexpr unsigned buckets = 65;  ///< 0: all but members; 1 to 64: members
  [[nodiscard]] std::set<unsigned>& dirty() { return dirty_; }
  [[nodiscard]] const std::set<unsigned>& dirty() const { return dirty_; }
  [[nodiscard]] Secret encode_bucket(unsigned bucket) const;
  Status restore_bucket(ByteView octets);

 private:
  struct Entry {
    Item item;
    std::uint64_t change = 0;
    IpAddress learned_from;  ///< unspecified: changed here
    std::uint64_t tombstone_since_ms = 0;
    unsigned bucket = 0;
  };
  struct ByKey {
    bool operator()(const Entry* a, const Entry* b) const { return a->item.id < b->item.id; }
  };
  std::uint64_t next_stamp(std::uint64_t now_ms);
  [[nodiscard]] bool room_for(const ItemKey& id, std::uint64_t stamp);
  void note_change(Entry& entry, const IpAddress& from);
  void remove(std::map<ItemKey, Entry>::iterator place);
  [[nodiscard]] static unsigned bucket_of(const ItemKey& id);
  [[nodiscard]] static bool merge(Item& ours, Item& theirs);

  IpAddress self_;
  std::map<ItemKey, Entry> items_;
  /// By whom they were learned from, then by number: what a peer lacks is found without a look at
  /// what came from it.
  std::map<IpAddress, std::map<std::uint64_t, Entry*>> changes_;
  std::array<std::set<const Entry*, ByKey>, buckets> stored_;  ///< what lies in each bucket
  std::map<Kind, std::size_t> counts_;
  std::set<unsigned> dirty_;
  std::uint64_t last_change_ = 0;
  std::uint64_t last_stamp_ = 0;
};

}  // namespace cohort::coop
