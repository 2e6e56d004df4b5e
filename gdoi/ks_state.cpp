#include "gdoi/ks_state.hpp"

#include <algorithm>
#include <fmt/core.h>

#include "controlplane/crypto/hash.hpp"
#include "gdoi/authority.hpp"
#include "gdoi/events.hpp"
#include "gdoi/group_clock.hpp"
#include "gdoi/reasons.hpp"

namespace cohort::gdoi {
namespace {

using namespace std::chrono;

constexpr std::string_view magic = "COHORTKS";
constexpr std::uint16_t version = 3;
constexpr std::uint16_t version_before = 2;  ///< without group time and spending limit
constexpr std::uint32_t shards = 64;
constexpr std::size_t checksum_octets = 32;
constexpr Duration store_retry = seconds{1};
/// What a wall clock is set back by when it is only put right.
constexpr seconds clock_tolerance{5};
constexpr seconds life_max{std::int64_t{86400} * 366 * 100};
constexpr seconds wall_max{std::int64_t{86400} * 366 * 1000};  ///< the arithmetic has room for it

/// Makes the reader fail: a value that we never write.
void reject(Reader& in) {
  in.skip(in.remaining() + 1);
}

/// An enumeration's value, which must be one of its first `count`.
template <typename E>
E read_enum(Reader& in, std::size_t count) {
  const std::uint8_t value = in.u8();
  if (value < count) return static_cast<E>(value);
  reject(in);
  return E{};
}

bool read_flag(Reader& in) {
  const std::uint8_t value = in.u8();
  if (value > 1) reject(in);
  return value == 1;
}

/// Key material of the one size that fits.
Secret read_secret(Reader& in, std::size_t size) {
  const std::size_t found = in.u16();
  if (found != size) reject(in);
  return Secret(in.take(size));
}

seconds read_life(Reader& in) {
  const std::uint64_t life = in.u64();
  if (life <= static_cast<std::uint64_t>(life_max.count())) return seconds(life);
  reject(in);
  return {};
}

/// Times are stored as what is left of them, beside the wall clock of the writing.
struct Times {
  TimePoint now;
  seconds elapsed{0};  ///< between writing and reading

  void write(Writer& out, TimePoint when) const {
    const auto left = duration_cast<milliseconds>(when - now).count();
    out.u64(static_cast<std::uint64_t>(left));
  }
  [[nodiscard]] TimePoint read(Reader& in) const {
    const auto left = static_cast<std::int64_t>(in.u64());
    constexpr std::int64_t limit = milliseconds(life_max).count();
    return now + milliseconds(std::clamp(left, -limit, limit)) - elapsed;
  }
};

void write_octets(Writer& out, ByteView octets) {
  out.u16(static_cast<std::uint16_t>(octets.size())).bytes(octets);
}
ByteView read_octets(Reader& in) {
  const std::size_t size = in.u16();
  return in.take(size);
}
void write_text(Writer& out, const std::string& text) {
  write_octets(out, as_bytes(text));
}
std::string read_text(Reader& in) {
  const ByteView octets = read_octets(in);
  return {octets.begin(), octets.end()};
}
void write_address(Writer& out, const IpAddress& address) {
  write_octets(out, address.bytes());
}
IpAddress read_address(Reader& in) {
  const auto address = IpAddress::from_bytes(read_octets(in));
  if (!address) reject(in);
  return address.value_or(IpAddress{});
}
void write_endpoint(Writer& out, const Endpoint& end) {
  write_address(out, end.address);
  out.u16(end.port);
}
Endpoint read_endpoint(Reader& in) {
  Endpoint end;
  end.address = read_address(in);
  end.port = in.u16();
  return end;
}

// ---- policy values ------------------------------------------------------------------------------

void write_entry(Writer& out, const AclEntry& entry) {
  const dataplane::Selector& s = entry.selector;
  out.u8(entry.permit ? 1 : 0);
  write_address(out, s.source.address);
  out.u8(s.source.length);
  write_address(out, s.destination.address);
  out.u8(s.destination.length).u8(s.protocol);
  out.u16(s.source_ports.first).u16(s.source_ports.last);
  out.u16(s.destination_ports.first).u16(s.destination_ports.last);
}

Prefix read_prefix(Reader& in) {
  Prefix prefix;
  prefix.address = read_address(in);
  prefix.length = in.u8();
  if (prefix.length > prefix.address.bytes().size() * 8) reject(in);
  return prefix;
}

AclEntry read_entry(Reader& in) {
  AclEntry entry;
  dataplane::Selector& s = entry.selector;
  entry.permit = read_flag(in);
  s.source = read_prefix(in);
  s.destination = read_prefix(in);
  s.protocol = in.u8();
  s.source_ports.first = in.u16();
  s.source_ports.last = in.u16();
  s.destination_ports.first = in.u16();
  s.destination_ports.last = in.u16();
  return entry;
}

void write_entries(Writer& out, const std::vector<AclEntry>& entries) {
  out.u16(static_cast<std::uint16_t>(entries.size()));
  for (const AclEntry& entry : entries) write_entry(out, entry);
}

std::vector<AclEntry> read_entries(Reader& in) {
  std::vector<AclEntry> entries;
  const std::size_t count = in.u16();
  for (std::size_t i = 0; i < count && in.ok(); ++i) entries.push_back(read_entry(in));
  return entries;
}

// ---- keys ---------------------------------------------------------------------------------------

constexpr std::size_t ciphers = std::size_t(crypto::Cipher::triple_des) + 1;
constexpr std::size_t hashes = std::size_t(crypto::Hash::sha512) + 1;
constexpr std::size_t replay_kinds = std::size_t(dataplane::ReplayKind::time) + 1;

void write_rekey(Writer& out, const Times& times, const std::shared_ptr<RekeySa>& sa) {
  out.u8(sa ? 1 : 0);
  if (!sa) return;
  out.bytes(sa->kek.spi).u8(static_cast<std::uint8_t>(sa->kek.cipher));
  out.u8(static_cast<std::uint8_t>(sa->kek.signature_hash));
  write_octets(out, sa->kek.iv.view());
  write_octets(out, sa->kek.key.view());
  write_octets(out, sa->kek.signature_key_spki);
  out.u32(sa->seq).u64(static_cast<std::uint64_t>(sa->lifetime.count()));
  times.write(out, sa->kek.expires);
  times.write(out, sa->made);
  out.u8(sa->multicast ? 1 : 0);
  if (sa->multicast) write_endpoint(out, *sa->multicast);
}

std::shared_ptr<RekeySa> read_rekey(Reader& in, const Times& times) {
  if (!read_flag(in)) return nullptr;
  auto sa = std::make_shared<RekeySa>();
  const ByteView spi = in.take(sa->kek.spi.size());
  if (in.ok()) std::copy(spi.begin(), spi.end(), sa->kek.spi.begin());
  sa->kek.cipher = read_enum<crypto::Cipher>(in, ciphers);
  sa->kek.signature_hash = read_enum<crypto::Hash>(in, hashes);
  sa->kek.iv = read_secret(in, crypto::block_size(sa->kek.cipher));
  sa->kek.key = read_secret(in, crypto::key_size(sa->kek.cipher));
  sa->kek.signature_key_spki = to_bytes(read_octets(in));
  sa->seq = in.u32();
  sa->lifetime = read_life(in);
  sa->kek.expires = times.read(in);
  sa->made = times.read(in);
  if (read_flag(in)) sa->multicast = read_endpoint(in);
  return sa;
}

void write_optional_time(Writer& out, const Times& times, const std::optional<TimePoint>& when) {
  out.u8(when ? 1 : 0);
  if (when) times.write(out, *when);
}

std::optional<TimePoint> read_optional_time(Reader& in, const Times& times) {
  if (!read_flag(in)) return std::nullopt;
  return times.read(in);
}

void write_tek(Writer& out, const Times& times, const GroupTek& tek) {
  out.u32(tek.tek.spi).u8(static_cast<std::uint8_t>(tek.tek.suite));
  write_octets(out, tek.tek.cipher_key.view());
  write_octets(out, tek.tek.integrity_key.view());
  write_octets(out, tek.tek.salt.view());
  out.u8(static_cast<std::uint8_t>(tek.tek.replay)).u16(tek.tek.replay_window);
  out.u8(tek.single_sender ? 1 : 0).u8(tek.many_senders ? 1 : 0).u8(tek.receive_only ? 1 : 0);
  out.u32(tek.sa_number).u64(static_cast<std::uint64_t>(tek.lifetime.count()));
  times.write(out, tek.tek.expires);
  times.write(out, tek.made);
  times.write(out, tek.activate);
  write_optional_time(out, times, tek.superseded);
  write_optional_time(out, times, tek.delete_at);
  write_entries(out, tek.entries);
}

GroupTek read_tek(Reader& in, const Times& times) {
  GroupTek tek;
  tek.tek.spi = in.u32();
  tek.tek.suite = read_enum<dataplane::Suite>(in, dataplane::all_suites().size());
  const dataplane::SuiteShape& shape = dataplane::shape_of(tek.tek.suite);
  tek.tek.cipher_key = read_secret(in, shape.cipher_key);
  tek.tek.integrity_key = read_secret(in, shape.integrity_key);
  tek.tek.salt = read_secret(in, shape.salt);
  tek.tek.replay = read_enum<dataplane::ReplayKind>(in, replay_kinds);
  tek.tek.replay_window = in.u16();
  tek.single_sender = read_flag(in);
  tek.many_senders = read_flag(in);
  tek.receive_only = read_flag(in);
  tek.sa_number = in.u32();
  tek.lifetime = read_life(in);
  tek.tek.expires = times.read(in);
  tek.made = times.read(in);
  tek.activate = times.read(in);
  tek.superseded = read_optional_time(in, times);
  tek.delete_at = read_optional_time(in, times);
  tek.entries = read_entries(in);
  return tek;
}

Bytes write_keys(const Times& times, const KsGroupState& state) {
  Writer out;
  write_rekey(out, times, state.keys.rekey);
  write_rekey(out, times, state.keys.previous);
  out.u16(static_cast<std::uint16_t>(state.keys.teks.size()));
  for (const GroupTek& tek : state.keys.teks) write_tek(out, times, tek);
  out.u8(state.keys.sender_ids.bits()).u32(state.keys.sender_ids_reserved);
  state.keys.spending.write(out);
  out.u64(state.keys.generation).u32(state.members.next_id());
  write_entries(out, state.exclusions);
  write_rekey(out, times, state.reset_under);
  out.u16(static_cast<std::uint16_t>(state.removed.size()));
  for (const std::string& identity : state.removed) write_text(out, identity);
  out.u64(state.group_time_ms(times.now));
  return out.take();
}

void read_keys(Reader& in, std::uint16_t form, const Times& times, milliseconds passed,
               KsGroupState& state) {
  state.keys.rekey = read_rekey(in, times);
  state.keys.previous = read_rekey(in, times);
  const std::size_t teks = in.u16();
  for (std::size_t i = 0; i < teks && in.ok(); ++i) {
    state.keys.teks.push_back(read_tek(in, times));
  }
  const std::uint8_t bits = in.u8();
  const std::uint32_t reserved = in.u32();
  if (bits != 8 && bits != 12 && bits != 16) reject(in);
  if (in.ok()) state.keys.sender_ids = SenderIdAllocator(bits);
  state.keys.sender_ids.resume_at(reserved);
  state.keys.sender_ids_reserved = reserved;
  if (form != version_before) state.keys.spending = SpendingLimit::read(in);
  state.keys.generation = in.u64() + 1;
  state.members.skip_ids_below(in.u32());
  state.exclusions = read_entries(in);
  state.reset_under = read_rekey(in, times);
  const std::size_t removed = in.u16();
  for (std::size_t i = 0; i < removed && in.ok(); ++i) state.removed.insert(read_text(in));
  if (form == version_before) return;
  const std::uint64_t group_time = in.u64();
  if (group_time > group_time_max_ms) return reject(in);
  state.group_time_offset_ms =
      static_cast<std::int64_t>(group_time) + passed.count() - ms_of(times.now);
}

// ---- members ------------------------------------------------------------------------------------

void write_member(Writer& out, const Times& times, const Member& member) {
  out.u32(member.id);
  write_text(out, member.identity);
  write_endpoint(out, member.remote);
  write_endpoint(out, member.local);
  out.u8(member.cohort ? 1 : 0);
  times.write(out, member.registered);
  out.u64(member.registrations).u64(member.rekeys_sent).u64(member.acks_received);
  out.u32(member.unanswered).u32(member.last_seq_sent).u32(member.last_seq_acknowledged);
  out.u16(static_cast<std::uint16_t>(member.sender_ids.size()));
  for (const std::uint32_t id : member.sender_ids) out.u32(id);
}

Member read_member(Reader& in, const Times& times) {
  Member member;
  member.id = in.u32();
  member.identity = read_text(in);
  member.remote = read_endpoint(in);
  member.local = read_endpoint(in);
  member.cohort = read_flag(in);
  member.registered = times.read(in);
  member.registrations = in.u64();
  member.rekeys_sent = in.u64();
  member.acks_received = in.u64();
  member.unanswered = in.u32();
  member.last_seq_sent = in.u32();
  member.last_seq_acknowledged = in.u32();
  const std::size_t ids = in.u16();
  for (std::size_t i = 0; i < ids && in.ok(); ++i) member.sender_ids.push_back(in.u32());
  return member;
}

// ---- the frame around each blob -----------------------------------------------------------------

/// When something was written, by both clocks.
struct Moment {
  WallTime wall;
  TimePoint monotonic;
};

Bytes frame(const Moment& written, ByteView content) {
  Writer out;
  out.bytes(as_bytes(magic)).u16(version);
  out.u64(static_cast<std::uint64_t>(written.wall.time_since_epoch().count()));
  out.u64(static_cast<std::uint64_t>(written.monotonic.time_since_epoch().count()));
  out.bytes(content);
  const Bytes checksum = crypto::digest(crypto::Hash::sha256, {out.view()});
  out.bytes(checksum);
  return out.take();
}

struct Unframed {
  std::uint16_t form = 0;
  Moment written;
  ByteView content;
};

Result<Unframed> unframe(ByteView blob, const std::string& name) {
  if (blob.size() < magic.size() + 2 + 8 + 8 + checksum_octets) {
    return fail(corrupt_state, name + ": too short");
  }
  const ByteView body = blob.first(blob.size() - checksum_octets);
  if (!equal(crypto::digest(crypto::Hash::sha256, {body}), blob.last(checksum_octets))) {
    return fail(corrupt_state, name + ": the checksum is wrong");
  }
  Reader in(body);
  if (!equal(in.take(magic.size()), as_bytes(magic))) {
    return fail(corrupt_state, name + ": not a key server's state");
  }
  const std::uint16_t form = in.u16();
  if (form != version && form != version_before) {
    return fail(corrupt_state, fmt::format("{}: version {}, we read {}", name, form, version));
  }
  const std::uint64_t wall = in.u64();
  const std::uint64_t monotonic = in.u64();
  if (wall > static_cast<std::uint64_t>(wall_max.count()) ||
      monotonic > static_cast<std::uint64_t>(Duration(wall_max).count())) {
    return fail(corrupt_state, name + ": a time that no clock shows");
  }
  const Moment written{WallTime{seconds(wall)}, TimePoint{Duration(monotonic)}};
  return Unframed{form, written, in.rest()};
}

/// The least that has passed by the monotonic clock, which begins with the machine: what it counts
/// if the machine still runs, and if it has started since, more than it counts has passed.
seconds monotonic_since(const Moment& written, const Moment& now) {
  const Duration passed = now.monotonic - written.monotonic;
  return std::max(duration_cast<seconds>(passed), seconds{0});
}

/// A clock that was set back adds no life to a key, as far as the other clock can tell.
seconds elapsed_since(const Moment& written, const Moment& now) {
  return std::max<seconds>(now.wall - written.wall, monotonic_since(written, now));
}

/// To the millisecond if the machine has run through, which the two clocks then agree on: so the
/// group's time goes on as if nothing had been. Else to the second, and rather too much: members
/// follow it forward at once.
milliseconds passed_since(const Moment& written, const Moment& now) {
  const auto by_monotonic = duration_cast<milliseconds>(now.monotonic - written.monotonic);
  const seconds apart = now.wall - written.wall - duration_cast<seconds>(by_monotonic);
  const bool ran_through = by_monotonic.count() >= 0 && abs(apart) <= clock_tolerance;
  return ran_through ? by_monotonic : elapsed_since(written, now) + seconds{1};
}

bool was_set_back(const Moment& written, const Moment& now) {
  return now.wall + clock_tolerance < written.wall + monotonic_since(written, now);
}

/// Group names are the operator's; a store's names are [a-z0-9._-/].
std::string store_prefix(const std::string& group) {
  return "gdoi/" + to_hex(crypto::digest(crypto::Hash::sha256, {as_bytes(group)})).substr(0, 16);
}

}  // namespace

std::uint64_t KsGroupState::group_time_ms(TimePoint now) const {
  if (options.authority != nullptr) return options.authority->group_time_ms(now);
  return static_cast<std::uint64_t>(std::max<std::int64_t>(ms_of(now) + group_time_offset_ms, 0));
}

KsStore::KsStore(World& world, const std::string& group)
    : world_(world), prefix_(store_prefix(group)) {}

Status KsStore::save_keys(TimePoint now, const KsGroupState& state) {
  Bytes content = write_keys(Times{now}, state);
  Bytes blob = frame({world_.clock.wall(), now}, content);
  zeroize(content);
  const Status stored = world_.store.put(prefix_ + "/keys", blob);
  zeroize(blob);
  const bool was_durable = durable();
  retry_at_ = stored ? never : now + store_retry;
  if (was_durable == durable()) return stored;
  if (stored) {
    world_.outbox.report({&events::ks_store_recovered, {{"group", state.policy().name}}});
  } else {
    world_.outbox.report({&events::ks_store_failed,
                          {{"group", state.policy().name}, {"error", stored.error().text()}}});
  }
  return stored;
}

Status KsStore::save_shard(TimePoint now, const KsGroupState& state, std::uint32_t shard) {
  Writer out;
  const std::size_t count_at = out.size();
  out.u16(0);
  std::uint16_t count = 0;
  for (const auto& [id, member] : state.members.all()) {
    if (id % shards != shard) continue;
    write_member(out, Times{now}, member);
    ++count;
  }
  out.patch_u16(count_at, count);
  return world_.store.put(fmt::format("{}/members.{}", prefix_, shard),
                          frame({world_.clock.wall(), now}, out.view()));
}

Status KsStore::save_member(TimePoint now, const KsGroupState& state, MemberId id) {
  return save_shard(now, state, id % shards);
}

Status KsStore::save_all_members(TimePoint now, const KsGroupState& state) {
  for (std::uint32_t shard = 0; shard < shards; ++shard) {
    COHORT_CHECK(save_shard(now, state, shard));
  }
  return {};
}

Result<KsStore::Loaded> KsStore::load(TimePoint now, KsGroupState& state) {
  const Moment present{world_.clock.wall(), now};
  const std::string keys_name = prefix_ + "/keys";
  COHORT_TRY(auto blob, world_.store.get(keys_name));
  if (!blob) return Loaded{};
  COHORT_TRY(const Unframed keys, unframe(*blob, keys_name));
  Reader in(keys.content);
  read_keys(in, keys.form, Times{now, elapsed_since(keys.written, present)},
            passed_since(keys.written, present), state);
  zeroize(*blob);
  if (!in.ok() || !in.empty()) return fail(corrupt_state, keys_name + ": bad content");
  for (std::uint32_t shard = 0; shard < shards; ++shard) {
    const std::string name = fmt::format("{}/members.{}", prefix_, shard);
    COHORT_TRY(const auto stored, world_.store.get(name));
    if (!stored) continue;
    COHORT_TRY(const Unframed content, unframe(*stored, name));
    Reader members(content.content);
    const Times times{now, elapsed_since(content.written, present)};
    const std::size_t count = members.u16();
    for (std::size_t i = 0; i < count && members.ok(); ++i) {
      state.members.restore(read_member(members, times));
    }
    if (!members.ok() || !members.empty()) return fail(corrupt_state, name + ": bad content");
  }
  // A member that had left the list, of which the disk has not heard, and that registered again.
  for (const MemberId id : state.members.drop_outdated()) (void)save_member(now, state, id);
  return Loaded{true, was_set_back(keys.written, present), keys.written.wall,
                provenance_of(world_.store, keys_name)};
}

Status KsStore::erase() {
  for (std::uint32_t shard = 0; shard < shards; ++shard) {
    COHORT_CHECK(world_.store.remove(fmt::format("{}/members.{}", prefix_, shard)));
  }
  return world_.store.remove(prefix_ + "/keys");
}

}  // namespace cohort::gdoi
