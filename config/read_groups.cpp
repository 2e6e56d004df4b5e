// The key server and the group member.
#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "config/reader.hpp"
#include "config/sections.hpp"
#include "gdoi/payloads.hpp"

namespace cohort::config {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

gdoi::GroupId read_identity(Object& object) {
  constexpr std::string_view expected = "a number from 0 to 4294967295, or an IPv4 address";
  const Json* value = object.child("identity");
  if (value == nullptr) {
    object.missing("identity", std::string(expected));
    return {};
  }
  if (value->is_number_unsigned() && value->get<std::uint64_t>() <= 0xffffffff) {
    return {static_cast<std::uint32_t>(value->get<std::uint64_t>())};
  }
  if (value->is_string()) {
    const auto address = read_address(value->get_ref<const std::string&>());
    if (address && address->is_v4()) return {*address};
  }
  object.reject("identity", std::string(expected), "write it as in 484 or \"192.0.2.1\"");
  return {};
}

std::string read_group_name(Object& object) {
  std::string name = object.required_text("name");
  if (!name.empty()) (void)check_name(object.context(), name, object.pointer_to("name"));
  return name;
}

Endpoint read_local(Object& object) {
  Endpoint out;
  out.port = static_cast<std::uint16_t>(object.number("port", 848, 1, 65535));
  if (!object.has("address")) object.missing("address", "an IPv4 or IPv6 address");
  out.address = object.address("address").value_or(IpAddress());
  if (object.has("address") && (out.address.is_multicast())) {
    object.reject("address", "an address of this machine", "it is a multicast address");
  }
  return out;
}

void read_multicast(Object& object, gdoi::RekeyPolicy& out) {
  using gdoi::RekeyTransport;
  out.transport = object.choice<RekeyTransport>(
      "transport", out.transport,
      {{"unicast", RekeyTransport::unicast}, {"multicast", RekeyTransport::multicast}});
  out.multicast_destination = object.endpoint("multicast_destination", 848);
  const bool multicast = out.transport == RekeyTransport::multicast;
  if (multicast && !object.has("multicast_destination")) {
    object.missing("multicast_destination", "a multicast address");
  }
  if (out.multicast_destination && !out.multicast_destination->address.is_multicast()) {
    object.reject("multicast_destination", "a multicast address", "as in \"239.192.1.190\"");
  }
  if (out.multicast_destination && !multicast) {
    object.reject("multicast_destination", "nothing with transport unicast",
                  "remove it, or set \"transport\": \"multicast\"");
  }
}

void read_rekey(ReadContext& context, const Json& value, const std::string& pointer,
                const Names& names, KeyServerGroup& group) {
  Object object(context, value, pointer, sections::rekey);
  gdoi::RekeyPolicy& out = group.policy.rekey;
  out.signing_key = read_reference(
      object, "signing_key", "key pair",
      names_of(names.keys, [](const auto& key) -> std::string_view { return key.label; }), true);
  for (const auto& trustpoint : names.trustpoints) {
    if (!out.signing_key.empty() && trustpoint.key.label == out.signing_key) {
      object.reject("signing_key", "a key pair that no trustpoint uses (RFC 6407 section 4.1)",
                    "add a key pair of its own under /keys");
    }
  }
  out.cipher = object.choice<crypto::Cipher>("encryption", out.cipher,
                                             {{"aes-128", crypto::Cipher::aes_128},
                                              {"aes-192", crypto::Cipher::aes_192},
                                              {"aes-256", crypto::Cipher::aes_256},
                                              {"3des", crypto::Cipher::triple_des, true}});
  out.signature_hash = object.choice<crypto::Hash>("hash", out.signature_hash,
                                                   {{"sha256", crypto::Hash::sha256},
                                                    {"sha384", crypto::Hash::sha384},
                                                    {"sha512", crypto::Hash::sha512},
                                                    {"sha1", crypto::Hash::sha1, true}});
  out.lifetime = object.seconds("lifetime", out.lifetime, seconds(10), hours(24 * 30));
  group.rekey_lead_permille =
      static_cast<unsigned>(object.number("lead", group.rekey_lead_permille, 1, 500));
  read_multicast(object, out);
  out.retransmit_interval = object.milliseconds("retransmit_interval", out.retransmit_interval,
                                                milliseconds(100), hours(1));
  out.acknowledge_wait =
      object.milliseconds("acknowledge_wait", out.acknowledge_wait, milliseconds(100), hours(1));
  out.evict_before_first_ack = object.flag("evict_before_first_ack", out.evict_before_first_ack);
  out.retransmit_number =
      static_cast<unsigned>(object.number("retransmit_number", out.retransmit_number, 0, 10));
  out.acknowledge = object.flag("acknowledge", out.acknowledge);
  out.evict_after_unanswered = static_cast<unsigned>(
      object.number("evict_after_unanswered", out.evict_after_unanswered, 0, 100));
  out.bare_digest_signature = object.flag("bare_digest_signature", out.bare_digest_signature);
  group.push_size_max = object.number("message_size_max", group.push_size_max, 576, 60'000);
  object.finish();
}

void read_sa(ReadContext& context, const Json& value, const std::string& pointer,
             const Names& names, KeyServerGroup& group) {
  Object object(context, value, pointer, sections::sa);
  gdoi::SaPolicy out;
  out.number = static_cast<std::uint32_t>(
      object.number("number", 10 * (group.policy.sas.size() + 1), 1, 65535));
  const std::string list = read_reference(
      object, "access_list", "access list",
      names_of(names.access_lists, [](const auto& one) -> std::string_view { return one.name; }),
      true);
  for (const auto& candidate : names.access_lists) {
    if (candidate.name == list) out.acl = candidate.entries();
  }
  const bool permits =
      std::any_of(out.acl.begin(), out.acl.end(), [](const auto& entry) { return entry.permit; });
  if (!out.acl.empty() && !permits) {
    object.reject("access_list", "a list with one permit line at least",
                  "nothing would be encrypted; add a permit line");
  }
  const std::string profile = read_reference(
      object, "profile", "profile",
      names_of(names.profiles, [](const auto& one) -> std::string_view { return one.first; }),
      true);
  if (const auto at = names.profiles.find(profile); at != names.profiles.end()) {
    out.suite = at->second.suite;
    out.lifetime = at->second.lifetime;
    out.replay = at->second.replay;
    out.replay_window = at->second.replay_window;
  }
  out.tek_per_entry = object.flag("tek_per_entry", out.tek_per_entry);
  out.single_sender = object.flag("single_sender", out.single_sender);
  object.finish();
  for (const auto& other : group.policy.sas) {
    if (other.number == out.number) {
      object.reject("number", "a number of its own", "two SAs of the group have it");
    }
  }
  group.access_lists.push_back(list);
  group.policy.sas.push_back(std::move(out));
}

void read_group_lists(Object& object, const Names& names, KeyServerGroup& out) {
  ReadContext& context = object.context();
  if (!object.has("sas")) object.missing("sas", "a list of SAs");
  object.each_item("sas", 100, [&](const Json& item, const std::string& pointer) {
    read_sa(context, item, pointer, names, out);
  });
  if (object.has("sas") && out.policy.sas.empty()) {
    object.reject("sas", "one SA at least", "add { \"access_list\": …, \"profile\": … }");
  }
  if (!object.has("authorization")) object.missing("authorization", "a list of rules");
  object.each_item("authorization", 1000, [&](const Json& item, const std::string& pointer) {
    out.policy.authorization.push_back(read_rule(context, item, pointer, sections::authorization));
  });
  if (const Json* rules = object.child("authorization");
      rules && rules->is_array() && rules->empty()) {
    object.warn("authorization", "a rule", "as it is nobody may register");
  }
}

KeyServerGroup read_server_group(ReadContext& context, const Json& value,
                                 const std::string& pointer, const Names& names) {
  Object object(context, value, pointer, sections::server_group);
  KeyServerGroup out;
  out.policy.name = read_group_name(object);
  out.policy.id = read_identity(object);
  if (const Json* rekey = object.child("rekey")) {
    read_rekey(context, *rekey, child_pointer(pointer, "rekey"), names, out);
  } else {
    object.missing("rekey", "an object with \"signing_key\" at least");
  }
  read_group_lists(object, names, out);
  out.policy.activation_delay =
      object.seconds("activation_delay", out.policy.activation_delay, seconds(0), hours(1));
  out.policy.deactivation_delay =
      object.seconds("deactivation_delay", out.policy.deactivation_delay, seconds(0), hours(1));
  out.policy.sender_id_bits = object.choice<std::uint8_t>(
      "sender_id_bits", out.policy.sender_id_bits,
      {{"8", std::uint8_t{8}}, {"12", std::uint8_t{12}}, {"16", std::uint8_t{16}}});
  out.policy.send_exclusions = object.flag("send_exclusions", out.policy.send_exclusions);
  if (const Json* redundancy = object.child("redundancy")) {
    read_redundancy(context, *redundancy, child_pointer(pointer, "redundancy"), out);
  }
  out.policy.members_max = object.number("members_max", out.policy.members_max, 1, 100'000);
  object.finish();
  return out;
}

std::vector<dataplane::Suite> read_suites(Object& object, std::string_view key) {
  std::vector<dataplane::Suite> out;
  object.each_item(key, 64, [&](const Json& item, const std::string& pointer) {
    const std::string word = item.is_string() ? item.get<std::string>() : std::string();
    std::vector<std::string_view> known;
    for (const auto& shape : dataplane::all_suites()) {
      known.push_back(shape.name);
      if (shape.name == word) {
        out.push_back(shape.suite);
        return;
      }
    }
    const std::string_view near = did_you_mean(word, known);
    object.context().diagnostics.error(pointer, found_text(item), "the name of a transform",
                                       near.empty()
                                           ? fmt::format("choose one of {}", fmt::join(known, ", "))
                                           : fmt::format("did you mean \"{}\"?", near));
  });
  return out;
}

std::vector<Endpoint> read_servers(Object& object) {
  std::vector<Endpoint> out;
  if (!object.has("servers")) object.missing("servers", "a list of key servers");
  object.each_item("servers", 16, [&](const Json& item, const std::string& pointer) {
    const auto server =
        read_endpoint(item.is_string() ? item.get<std::string>() : std::string(), 848);
    if (server) {
      out.push_back(*server);
    } else {
      object.context().diagnostics.error(pointer, found_text(item), "the address of a key server",
                                         server.error());
    }
  });
  if (const Json* list = object.child("servers"); list && list->is_array() && list->empty()) {
    object.reject("servers", "one key server at least", "add its address");
  }
  return out;
}

void read_exclusions(Object& object, const Names& names, gdoi::GroupMemberOptions& out) {
  const std::string list = read_reference(
      object, "exclusions", "access list",
      names_of(names.access_lists, [](const auto& one) -> std::string_view { return one.name; }),
      false);
  for (const auto& candidate : names.access_lists) {
    if (candidate.name == list) out.local_exclusions = candidate.entries();
  }
  for (const auto& entry : out.local_exclusions) {
    if (!entry.permit) continue;
    object.reject("exclusions", "a list of deny lines only",
                  fmt::format("only the key server says what is encrypted; remove \"{}\"",
                              access_text(entry)));
    break;
  }
}

gdoi::GroupMemberOptions read_membership(ReadContext& context, const Json& value,
                                         const std::string& pointer, const Names& names) {
  Object object(context, value, pointer, sections::membership);
  gdoi::GroupMemberOptions out;
  out.group_name = read_group_name(object);
  out.id = read_identity(object);
  out.servers = read_servers(object);
  out.port_pair = read_reference(
      object, "port_pair", "port pair",
      names_of(names.port_pairs, [](const auto& one) -> std::string_view { return one.name; }),
      true);
  unsigned workers = 1;
  for (const auto& pair : names.port_pairs) {
    if (pair.name == out.port_pair) workers = static_cast<unsigned>(pair.workers.size());
  }
  out.allow_weak = context.allow_weak;
  out.fail_close = object.flag("fail_close", out.fail_close);
  out.fail_close_revert = object.flag("fail_close_revert", out.fail_close_revert);
  if (out.fail_close_revert && !out.fail_close)
    object.reject("fail_close_revert", "\"fail_close\": true beside it", "remove one of them");
  read_exclusions(object, names, out);
  out.accepted_suites = read_suites(object, "accepted_transforms");
  out.sender_ids =
      static_cast<unsigned>(object.number("sender_ids", workers, 1, gdoi::sender_ids_max));
  if (out.sender_ids < workers) {
    object.reject("sender_ids", fmt::format("{} or more, one for each worker", workers),
                  "remove it, or raise it");
  }
  out.reregister_lead =
      object.seconds("reregister_lead", out.reregister_lead, seconds(1), hours(24));
  out.registration_retry_initial = object.milliseconds(
      "retry_initial", out.registration_retry_initial, milliseconds(100), seconds(600));
  out.registration_retry_max =
      object.milliseconds("retry_max", out.registration_retry_max, milliseconds(100), hours(1));
  const auto window = object.number("replay_window", out.replay_window, 0, 4096);
  if (window % 64 != 0)
    object.reject("replay_window", "0, or a multiple of 64", "choose 64, 128, …");
  out.replay_window = static_cast<std::uint16_t>(window);
  out.reregister_jitter =
      object.milliseconds("reregister_jitter", out.reregister_jitter, milliseconds(0), hours(1));
  out.acknowledge_jitter = object.milliseconds("acknowledge_jitter", out.acknowledge_jitter,
                                               milliseconds(0), seconds(60));
  out.unknown_spi_wait =
      object.milliseconds("unknown_spi_wait", out.unknown_spi_wait, milliseconds(0), hours(1));
  out.private_use = object.flag("private_use", out.private_use);
  out.phase1_timeout =
      object.milliseconds("phase1_timeout", out.phase1_timeout, seconds(1), seconds(600));
  if (out.registration_retry_max < out.registration_retry_initial) {
    object.reject("retry_max", "no less than \"retry_initial\"", "raise it");
  }
  object.finish();
  return out;
}

/// Two groups with one name or identity would be one to the operator or on the wire.
template <typename Group, typename NameOf, typename IdOf>
void check_unique(ReadContext& context, const std::string& pointer,
                  const std::vector<Group>& groups, NameOf name_of, IdOf id_of) {
  std::set<std::string> names;
  std::set<gdoi::GroupId> ids;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (!name_of(groups[i]).empty() && !names.insert(name_of(groups[i])).second) {
      context.diagnostics.error(child_pointer(pointer, i), "a name that another group has",
                                "a name of its own", "rename one of them");
    }
    if (!ids.insert(id_of(groups[i])).second) {
      context.diagnostics.error(child_pointer(pointer, i), "an identity that another group has",
                                "an identity of its own", "change one of them");
    }
  }
}

void check_groups(Object& object) {
  if (!object.has("groups")) {
    object.missing("groups", "a list of groups");
  } else if (const Json& list = *object.child("groups"); list.is_array() && list.empty()) {
    object.reject("groups", "one group at least", "add one, or remove the section");
  }
}

std::string read_role_trustpoint(Object& object, const Names& names) {
  return read_reference(
      object, "trustpoint", "trustpoint",
      names_of(names.trustpoints, [](const auto& one) -> std::string_view { return one.name; }),
      false);
}

}  // namespace

KeyServerRole read_key_server(ReadContext& context, const Json& value, const Names& names) {
  Object object(context, value, "/key_server", sections::key_server);
  KeyServerRole out;
  out.local = read_local(object);
  out.trustpoint = read_role_trustpoint(object, names);
  out.state_trust = object.seconds("state_trust", out.state_trust, seconds(0), hours(24 * 7));
  check_groups(object);
  object.each_item("groups", 100, [&](const Json& item, const std::string& pointer) {
    out.groups.push_back(read_server_group(context, item, pointer, names));
  });
  if (!context.diagnostics.has_errors()) {
    check_unique(
        context, "/key_server/groups", out.groups,
        [](const KeyServerGroup& group) { return group.policy.name; },
        [](const KeyServerGroup& group) { return group.policy.id; });
  }
  object.finish();
  return out;
}

GroupMemberRole read_group_member(ReadContext& context, const Json& value, const Names& names) {
  Object object(context, value, "/group_member", sections::group_member);
  GroupMemberRole out;
  out.local = read_local(object);
  out.trustpoint = read_role_trustpoint(object, names);
  check_groups(object);
  object.each_item("groups", 100, [&](const Json& item, const std::string& pointer) {
    out.groups.push_back(read_membership(context, item, pointer, names));
  });
  object.each_item("multicast", 64, [&](const Json& item, const std::string& pointer) {
    const auto address = read_address(item.is_string() ? item.get<std::string>() : std::string());
    if (address && address->is_multicast()) {
      out.multicast.push_back(*address);
    } else {
      context.diagnostics.error(pointer, found_text(item), "a multicast address",
                                address ? "as in \"239.192.1.190\"" : address.error());
    }
  });
  if (!context.diagnostics.has_errors()) {
    check_unique(
        context, "/group_member/groups", out.groups,
        [](const gdoi::GroupMemberOptions& group) { return group.group_name; },
        [](const gdoi::GroupMemberOptions& group) { return group.id; });
  }
  object.finish();
  return out;
}

}  // namespace cohort::config
