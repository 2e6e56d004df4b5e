#include "coop/messages.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "coop/options.hpp"
#include "coop/reasons.hpp"

namespace cohort::coop {

namespace {

constexpr std::uint8_t flag_reply = 0x01;
constexpr std::uint8_t flag_elect = 0x02;
constexpr std::uint8_t condition_drifted = 0x01;
constexpr std::uint8_t condition_estimate = 0x02;
constexpr std::uint8_t condition_state = 0x04;
constexpr std::uint8_t condition_synchronized = 0x08;
constexpr std::uint8_t condition_wants_sender_ids = 0x10;
constexpr std::uint8_t id_ipv4 = 1;
constexpr std::uint8_t id_key_id = 11;
constexpr std::size_t clients_max = 16;

template <std::size_t N>
std::array<std::uint8_t, N> read_array(Reader& in) {
  std::array<std::uint8_t, N> out{};
  const ByteView octets = in.take(N);
  if (octets.size() == N) std::copy(octets.begin(), octets.end(), out.begin());
  return out;
}

void write_group(Writer& out, const gdoi::GroupId& group) {
  if (const auto* number = std::get_if<std::uint32_t>(&group.value)) {
    out.u8(id_key_id).zeros(3).u32(*number);
    return;
  }
  out.u8(id_ipv4).zeros(3).u32(std::get<IpAddress>(group.value).v4_value());
}

Result<gdoi::GroupId> read_group(Reader& in) {
  const std::uint8_t type = in.u8();
  in.skip(3);
  const std::uint32_t value = in.u32();
  if (!in.ok()) return fail(coop_format, "the message ends within its header");
  if (type == id_key_id) return gdoi::GroupId{value};
  if (type == id_ipv4) return gdoi::GroupId{IpAddress::v4(value)};
  return fail(coop_format, fmt::format("group id type {}", type));
}

void write_body(Writer& out, const Announce& announce) {
  out.u16(announce.priority).u8(static_cast<std::uint8_t>(announce.role));
  out.u8(static_cast<std::uint8_t>((announce.drifted ? condition_drifted : 0) |
                                   (announce.time_estimate ? condition_estimate : 0) |
                                   (announce.has_state ? condition_state : 0) |
                                   (announce.synchronized ? condition_synchronized : 0) |
                                   (announce.wants_sender_ids ? condition_wants_sender_ids : 0)));
  out.u32(announce.epoch_number).bytes(announce.epoch_id).u64(announce.pseudotime_ms);
  out.bytes(announce.policy_hash).bytes(announce.servers_hash);
  write_address(out, announce.sender);
  write_address(out, announce.primary);
  out.u8(static_cast<std::uint8_t>(announce.clients.size()));
  for (const ClientVersion& client : announce.clients)
    out.u8(client.client).u8(client.major).u8(client.minor).u8(client.mini);
  out.u8(static_cast<std::uint8_t>(announce.heard.size()));
  for (const IpAddress& address : announce.heard) write_address(out, address);
}

void write_body(Writer& out, const Data& data) {
  out.u32(data.stream).u64(data.offset).bytes(data.octets);
}

void write_body(Writer& out, const Ack& ack) {
  out.u32(ack.stream).u64(ack.offset);
}

Status read_lists(Reader& in, Announce& announce) {
  COHORT_TRY(announce.sender, read_address(in));
  COHORT_TRY(announce.primary, read_address(in));
  const std::size_t clients = in.u8();
  if (clients > clients_max) return fail(coop_format, fmt::format("{} clients", clients));
  for (std::size_t i = 0; i < clients && in.ok(); ++i) {
    ClientVersion client;
    client.client = in.u8();
    client.major = in.u8();
    client.minor = in.u8();
    client.mini = in.u8();
    announce.clients.push_back(client);
  }
  const std::size_t heard = in.u8();
  if (heard > servers_max) return fail(coop_format, fmt::format("{} servers heard", heard));
  for (std::size_t i = 0; i < heard && in.ok(); ++i) {
    COHORT_TRY(const IpAddress address, read_address(in));
    announce.heard.push_back(address);
  }
  return {};
}

Result<Announce> read_announce(Reader& in) {
  Announce announce;
  announce.priority = in.u16();
  const std::uint8_t role = in.u8();
  const std::uint8_t conditions = in.u8();
  announce.drifted = (conditions & condition_drifted) != 0;
  announce.time_estimate = (conditions & condition_estimate) != 0;
  announce.has_state = (conditions & condition_state) != 0;
  announce.synchronized = (conditions & condition_synchronized) != 0;
  announce.wants_sender_ids = (conditions & condition_wants_sender_ids) != 0;
  announce.epoch_number = in.u32();
  announce.epoch_id = read_array<8>(in);
  announce.pseudotime_ms = in.u64();
  announce.policy_hash = read_array<32>(in);
  announce.servers_hash = read_array<32>(in);
  if (!in.ok()) return fail(coop_format, "the announcement ends too early");
  if (role < 1 || role > 4) return fail(coop_format, fmt::format("role {}", role));
  announce.role = static_cast<Role>(role);
  if ((announce.epoch_number == 0) != (announce.epoch_id == EpochId{}))
    return fail(coop_format, "an epoch number without an id, or an id without a number");
  if (announce.epoch_number > heard_number_max || announce.pseudotime_ms > heard_ms_max)
    return fail(coop_format, fmt::format("epoch {}, pseudotime {} ms: no server comes so far",
                                         announce.epoch_number, announce.pseudotime_ms));
  COHORT_CHECK(read_lists(in, announce));
  return announce;
}

Result<Data> read_data(Reader& in) {
  Data data;
  data.stream = in.u32();
  data.offset = in.u64();
  const ByteView octets = in.rest();
  data.octets.assign(octets.begin(), octets.end());
  if (data.octets.empty() || data.octets.size() > data_octets_max)
    return fail(coop_format, fmt::format("DATA with {} octets", data.octets.size()));
  return data;
}

Result<Ack> read_ack(Reader& in) {
  Ack ack;
  ack.stream = in.u32();
  ack.offset = in.u64();
  return ack;
}

Result<std::optional<std::variant<Announce, Data, Ack>>> read_body(std::uint8_t type, Reader& in) {
  using Body = std::variant<Announce, Data, Ack>;
  switch (type) {
    case static_cast<std::uint8_t>(MessageType::announce): {
      COHORT_TRY(Announce announce, read_announce(in));
      return std::optional<Body>(std::move(announce));
    }
    case static_cast<std::uint8_t>(MessageType::data): {
      COHORT_TRY(Data data, read_data(in));
      return std::optional<Body>(std::move(data));
    }
    case static_cast<std::uint8_t>(MessageType::ack): {
      COHORT_TRY(const Ack ack, read_ack(in));
      return std::optional<Body>(ack);
    }
  }
  return std::optional<Body>{};
}

}  // namespace

std::string_view name_of(Role role) {
  switch (role) {
    case Role::listening:
      return "Listening";
    case Role::secondary:
      return "Secondary";
    case Role::electing:
      return "Electing";
    case Role::primary:
      return "Primary";
  }
  return "?";
}

std::vector<ClientVersion> our_clients() {
  return {{client_policy, 1, 0, 0}, {client_member, 1, 0, 0}, {client_sid, 1, 0, 0}};
}

void write_address(Writer& out, const IpAddress& address) {
  out.u8(address.is_v4() ? 4 : 6).bytes(address.bytes());
}

Result<IpAddress> read_address(Reader& in) {
  const std::uint8_t family = in.u8();
  if (!in.ok()) return fail(coop_format, "an address is missing");
  if (family != 4 && family != 6)
    return fail(coop_format, fmt::format("address family {}", family));
  const ByteView octets = in.take(family == 4 ? 4 : 16);
  if (!in.ok()) return fail(coop_format, "an address is cut off");
  return IpAddress::from_bytes(octets);
}

Bytes encode(const Message& message) {
  Writer out;
  const auto type = static_cast<std::uint8_t>(message.body.index() + 1);
  out.u8(version_major).u8(version_minor).u8(type);
  out.u8(static_cast<std::uint8_t>((message.reply_requested ? flag_reply : 0) |
                                   (message.elect_now ? flag_elect : 0)));
  out.u32(message.sequence);
  write_group(out, message.group);
  out.u64(message.from).u64(message.to);
  std::visit([&out](const auto& body) { write_body(out, body); }, message.body);
  return out.take();
}

Result<std::optional<Message>> decode(ByteView body) {
  Reader in(body);
  const std::uint8_t major = in.u8();
  const std::uint8_t minor = in.u8();  // any: it may only have added what we may ignore
  if (in.ok() && major != version_major)
    return fail(coop_version, fmt::format("version {}, ours is {}", major, version_major));
  const std::uint8_t type = in.u8();
  const std::uint8_t flags = in.u8();
  Message message;
  message.version_minor = minor;
  message.reply_requested = (flags & flag_reply) != 0;
  message.elect_now = (flags & flag_elect) != 0;
  message.sequence = in.u32();
  COHORT_TRY(message.group, read_group(in));
  message.from = in.u64();
  message.to = in.u64();
  if (!in.ok()) return fail(coop_format, "the message ends within its header");
  if (message.from == 0) return fail(coop_format, "the sender has no incarnation");
  COHORT_TRY(auto read, read_body(type, in));
  if (!read) return std::optional<Message>{};
  if (!in.ok()) return fail(coop_format, "the message ends too early");
  if (!in.empty() && std::holds_alternative<Ack>(*read))
    return fail(coop_format, fmt::format("{} octets after the end", in.remaining()));
  message.body = std::move(*read);
  return std::optional<Message>(std::move(message));
}

}  // namespace cohort::coop
